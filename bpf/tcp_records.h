/* SPDX-License-Identifier: GPL-2.0 */
/* Connections that are told one by one, with absolute numbers, because only conntrack knows who answers them. */
#pragma once

#include "tcp_losses.h"
#include "tcp_sockets.h"
#include "tcp_totals.h"

struct destination {
	struct address address;
	__u32 netns;
	__u16 port;
	__u16 reserved;
};

/* Destinations that nobody translates. User space writes it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct destination);
	__type(value, __u64);
} direct SEC(".maps");

enum event { OPENED = 1, FAILED, CLOSED, LIVES, LISTENS, END_LOST, LEFT, RESET_LATE, RESET_SENT };

/* One connection. receivers/tcp_connections/records.ts reads this. All numbers are since the socket began. */
struct record {
	__u64 socket;
	__u64 cgroup;
	struct address local;
	struct address remote;
	__u64 sent;
	__u64 received;
	__u32 netns;
	__u16 local_port;
	__u16 remote_port;
	__u32 retransmits;
	__u32 srtt_us;
	__u32 min_rtt_us;
	__u32 connect_us;
	__u32 tgid;
	/* Listeners: connections that were thrown away. */
	__u32 drops;
	__u8 event;
	__u8 failure;
	__u8 flags;
	__u8 reserved[5];
	/* Of the process that holds the descriptor; only where a pass tells. */
	__u64 holder_cgroup;
	/* CLOCK_MONOTONIC; 0 if we did not see it. */
	__u64 dialled_ns;
};

#define RING_BYTES (2 * 1024 * 1024)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} records SEC(".maps");

static __always_inline bool is_direct(const struct key *key)
{
	struct destination destination = { .address = key->address, .netns = key->netns, .port = key->port };

	return !resolve || key->kind != OUTBOUND || bpf_map_lookup_elem(&direct, &destination);
}

static __always_inline void fill(struct record *record, const struct sock *sk, const struct tcp_sock *tp,
				 const struct entry *entry, enum event event, const bool btf)
{
	struct numbers now = numbers_of(sk, tp, btf);

	record->socket = (__u64)sk;
	record->cgroup = entry->key.cgroup;
	record->local = local_of(sk, btf);
	record->remote = remote_of(sk, btf);
	record->sent = now.sent;
	record->received = now.received;
	record->netns = entry->key.netns;
	record->local_port = bpf_ntohs(GET(tp, inet_conn.icsk_inet.inet_sport));
	record->remote_port = bpf_ntohs(GET(sk, __sk_common.skc_dport));
	record->retransmits = now.retransmits;
	record->srtt_us = now.srtt_us;
	record->min_rtt_us = now.min_rtt_us;
	record->connect_us = entry->dialled_ns ? entry->connect_us + 1 : 0;
	record->tgid = entry->tgid;
	record->drops = 0;
	record->event = event;
	record->failure = 0;
	record->flags = entry->flags;
	__builtin_memset(record->reserved, 0, sizeof(record->reserved));
	record->holder_cgroup = 0;
	record->dialled_ns = entry->dialled_ns;
}

/* Whether the record is on its way. */
static __always_inline bool tell(const struct sock *sk, const struct tcp_sock *tp, const struct entry *entry,
				 enum event event, enum failure failure, const bool btf)
{
	struct record *record = bpf_ringbuf_reserve(&records, sizeof(*record), 0);

	if (!record) {
		COUNT(ring_full);
		return false;
	}
	fill(record, sk, tp, entry, event, btf);
	record->failure = failure;
	/* Wakes the reader for the first record since it was there, and that is ten times a second. */
	bpf_ringbuf_submit(record, 0);
	return true;
}

/*
 * We refused what came after the end: of the socket only its addresses are left (struct inet_timewait_sock). User space
 * knows whose they are. Anybody can bring these about, so they get a quarter of the room.
 */
static __always_inline void tell_late_reset(const struct sock *sk, const bool btf)
{
	struct record record = {
		.local = local_of(sk, btf),
		.remote = remote_of(sk, btf),
		.netns = netns_of(sk, btf),
		.local_port = GET(sk, __sk_common.skc_num),
		.remote_port = bpf_ntohs(GET(sk, __sk_common.skc_dport)),
		.event = RESET_LATE,
	};

	if (bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA) > RING_BYTES / 4 ||
	    bpf_ringbuf_output(&records, &record, sizeof(record), 0))
		COUNT(lost);
}

/* Of a connection that was told, and whose end nobody saw: what is known of it. */
static __always_inline void tell_lost(__u64 id, const struct entry *entry)
{
	struct record record = {
		.socket = id,
		.cgroup = entry->key.cgroup,
		.sent = entry->sent,
		.received = entry->received,
		.retransmits = entry->retransmits,
		.event = END_LOST,
	};

	if (bpf_ringbuf_output(&records, &record, sizeof(record), 0))
		COUNT(ring_full);
}
