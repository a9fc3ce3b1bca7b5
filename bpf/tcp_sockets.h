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
/* It has closed and is counted. The entry stays until the socket is freed, so that nobody counts it again. */
#define ENDED 16
/* The pass `suspected_by` found it open although it had ended: a later one takes it for another connection. */
#define SUSPECT 32
/* The numbers in the entry are not added anywhere: they are told if nobody sees the end. */
#define KEPT 64

/*
 * Its socket is freed: it is nobody's until another socket has that memory, which is soon, and cheaper than to take it
 * out of the map and put another one in: that was a fifth of all that we do for a connection.
 */
#define FREE 128

/* A socket that is dialled, or open, or has ended and is not freed yet. */
struct entry {
	struct key key;
	/* When it was dialled; 0 if we did not see that. */
	__u64 dialled_ns;
	__u64 sent;
	__u64 received;
	__u32 retransmits;
	__u32 tgid;
	__u32 flags;
	/* Of the handshake, in microseconds; 0 if we did not see it. */
	__u32 connect_us;
	/* Port of the end that `key` does not name; 0 while it is dialled. */
	__u16 other_port;
	__u8 route;
	__u8 reserved;
	__u32 suspected_by;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 55000);
	__type(key, __u64); /* address of the struct sock */
	__type(value, struct entry);
} sockets SEC(".maps");

static __always_inline void mark(__u32 *flags, __u32 flag, const bool exact)
{
	if (exact)
		__sync_fetch_and_or(flags, flag);
	else
		*flags |= flag;
}

/* Takes a flag away; true for the one of several that did. Only where there are passes can there be several. */
static __always_inline bool take(__u32 *flags, __u32 flag, const bool exact)
{
	__u32 before;

	if (exact)
		return __sync_fetch_and_and(flags, ~flag) & flag;
	before = *flags;
	*flags = before & ~flag;
	return before & flag;
}

/* The flags as they were before it had ended. */
static __always_inline __u32 end_flags(__u32 *flags, const bool exact)
{
	__u32 before;

	if (exact)
		return __sync_fetch_and_or(flags, ENDED);
	before = *flags;
	*flags = before | ENDED;
	return before;
}

/* Whether it is of this connection: the kernel uses the memory of a socket again. */
static __always_inline bool is_of(const struct entry *entry, const struct sock *sk, const struct tcp_sock *tp,
				  const bool btf)
{
	__u16 local = bpf_ntohs(GET(tp, inet_conn.icsk_inet.inet_sport));
	__u16 remote = bpf_ntohs(GET(sk, __sk_common.skc_dport));

	if (entry->flags & INCOMING)
		return entry->key.port == local && entry->other_port == remote;
	return entry->key.port == remote && (entry->flags & DIALLING || entry->other_port == local);
}

/* Of a socket, which may not have one. */
static __always_inline struct entry *unless_free(struct entry *entry)
{
	return entry && !(entry->flags & FREE) ? entry : 0;
}

static __always_inline struct entry *take_place(struct entry *of, const struct entry *fresh)
{
	of->key = fresh->key;
	of->dialled_ns = fresh->dialled_ns;
	of->sent = of->received = of->retransmits = 0;
	of->tgid = fresh->tgid;
	of->connect_us = fresh->connect_us;
	of->other_port = fresh->other_port;
	of->route = fresh->route;
	/* Nobody believes the rest before. */
	barrier();
	of->flags = fresh->flags;
	return of;
}

/* For a socket where `before` is found. 0 when there is no room. */
static __always_inline struct entry *put(__u64 id, const struct entry *fresh, struct entry *before)
{
	if (before && before->flags & FREE)
		return take_place(before, fresh);
	return bpf_map_update_elem(&sockets, &id, fresh, BPF_ANY) ? 0 : bpf_map_lookup_elem(&sockets, &id);
}

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

static __always_inline struct totals *totals_of_entry(struct entry *entry)
{
	return totals_of(&entry->key, &entry->route);
}
