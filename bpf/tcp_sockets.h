/* SPDX-License-Identifier: GPL-2.0 */
/* Sockets that are dialled or open, and what was added for them already. */
#pragma once

#include "tcp_losses.h"
#include "tcp_totals.h"

#define DIALLING 1
#define INCOMING 2
/* Neither side has closed it for good. */
#define ACTIVE 4
#define RESET_RECEIVED 8
/* It has closed and is counted; the last program takes the entry away. */
#define ENDED 16

/* A socket that is dialled, or open. */
struct entry {
	__u64 cgroup;
	/* When it was dialled; 0 if we did not see that. */
	__u64 dialled_ns;
	__u64 sent;
	__u64 received;
	__u32 retransmits;
	__u32 tgid;
	__u8 flags;
	__u8 route;
	__u16 reserved;
	/* Of the handshake, in microseconds; 0 if we did not see it. */
	__u32 connect_us;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64); /* address of the struct sock */
	__type(value, struct entry);
} sockets SEC(".maps");

static __always_inline void add_connect(struct totals *to, const struct entry *entry)
{
	__u32 bucket = bucket_of(entry->connect_us);

	__sync_fetch_and_add(&to->connects, 1);
	if (!entry->dialled_ns || bucket >= BUCKETS)
		return;
	__sync_fetch_and_add(&to->timed_connects, 1);
	__sync_fetch_and_add(&to->connect_ns, (__u64)entry->connect_us * 1000);
	__sync_fetch_and_add(&to->connect_times[bucket], 1);
}

static __always_inline __u64 more(__u64 *told, __u64 now, const bool exact)
{
	__u64 before;

	/* A pass may look at a socket that closes on another CPU. Where there are no passes nobody needs the exchange. */
	if (exact) {
		before = __sync_lock_test_and_set(told, now);
	} else {
		before = *told;
		*told = now;
	}
	return now > before ? now - before : 0;
}

/* Adds what came since the last time. */
static __always_inline void settle(struct entry *entry, const struct numbers *now, struct totals *to, bool closing,
				   const bool exact)
{
	bool is_new = closing && !entry->sent && !entry->received;
	__u64 sent = more(&entry->sent, now->sent, exact);
	__u64 received = more(&entry->received, now->received, exact);
	__u32 retransmits = now->retransmits - entry->retransmits;

	entry->retransmits = now->retransmits;
	if (sent)
		__sync_fetch_and_add(&to->sent, sent);
	if (received)
		__sync_fetch_and_add(&to->received, received);
	if (retransmits)
		__sync_fetch_and_add(&to->retransmits, retransmits);
	if (sent || received || is_new)
		add_rtt(to, now);
}

static __always_inline struct entry *make_entry(const struct sock *sk, const struct entry *fresh)
{
	__u64 id = (__u64)sk;
	long failed = bpf_map_update_elem(&sockets, &id, fresh, BPF_NOEXIST);

	if (!failed)
		return bpf_map_lookup_elem(&sockets, &id);
	if (failed != -17) /* EEXIST: a pass was faster */
		COUNT(no_entry);
	return 0;
}
