/* SPDX-License-Identifier: GPL-2.0 */
/* From the dial to the end of a connection. */
#pragma once

#include "tcp_owners.h"
#include "tcp_records.h"
#include "tcp_sockets.h"

/* An entry begins to count. */
static __always_inline void open_entry(const struct sock *sk, const struct tcp_sock *tp, struct entry *entry,
				       bool announce, const bool btf)
{
	struct key key;
	struct totals *to;

	key_of(&key, sk, tp, entry->cgroup, entry->flags & INCOMING, btf);
	entry->route = COUNTED;
	if (!is_direct(&key)) {
		entry->route = TOLD;
		if (!announce || tell(sk, tp, entry, OPENED, 0, btf))
			return;
		entry->route = NOT_RESOLVED;
		key.kind = UNRESOLVED;
	}
	to = totals_of(&key, &entry->route);
	if (!to)
		return;
	add_connect(to, entry);
	if (entry->flags & ACTIVE)
		__sync_fetch_and_add(&to->active, 1);
}

static __always_inline struct totals *totals_of_entry(const struct sock *sk, const struct tcp_sock *tp,
						      struct entry *entry, const bool btf)
{
	struct key key;

	key_of(&key, sk, tp, entry->cgroup, entry->flags & INCOMING, btf);
	if (entry->route == NOT_RESOLVED || entry->route == TOLD)
		key.kind = UNRESOLVED;
	return totals_of(&key, &entry->route);
}

/* Of several programs that see one event after another. */
enum place { ALONE, FIRST, SECOND, LAST };

static __always_inline bool is_first(const enum place place)
{
	return place == ALONE || place == FIRST;
}

/* CLOSE -> SYN_SENT is the only transition that runs in the dialling task. */
static __always_inline void dialled(const struct sock *sk, const bool btf, const enum place place)
{
	__u64 id = (__u64)sk;
	struct entry *before = is_first(place) ? 0 : bpf_map_lookup_elem(&sockets, &id);

	/* What is in the way here otherwise is of another socket, whose end nobody saw. */
	if (before && before->flags & DIALLING)
		return;

	struct entry entry = {
		.cgroup = dialling_cgroup(sk, btf),
		.dialled_ns = bpf_ktime_get_ns(),
		.tgid = bpf_get_current_pid_tgid() >> 32,
		.flags = DIALLING,
	};

	if (bpf_map_update_elem(&sockets, &id, &entry, BPF_ANY))
		COUNT(no_entry);
}

static __always_inline void established(const struct sock *sk, const struct tcp_sock *tp, int old, const bool btf)
{
	__u64 id = (__u64)sk;
	struct entry *entry = bpf_map_lookup_elem(&sockets, &id);

	if (entry && entry->flags & ENDED) {
		bpf_map_delete_elem(&sockets, &id);
		entry = 0;
	}
	if (entry) {
		if (!(entry->flags & DIALLING))
			return;
		entry->connect_us = (bpf_ktime_get_ns() - entry->dialled_ns) / 1000;
		entry->flags = ACTIVE;
	} else {
		struct entry fresh = {
			.cgroup = old == TCP_SYN_SENT ? cgroup_of_socket(sk, btf) : accepting_cgroup(sk, tp, btf),
			.flags = old == TCP_SYN_SENT ? ACTIVE : ACTIVE | INCOMING,
		};

		entry = make_entry(sk, &fresh);
		if (!entry)
			return;
	}
	open_entry(sk, tp, entry, true, btf);
}

static __always_inline enum failure failure_of(const struct sock *sk, const struct tcp_sock *tp, const bool btf)
{
	switch (GET(sk, sk_err)) {
	case 111:
		return REFUSED;
	case 110:
		return TIMED_OUT;
	case 113:
		return HOST_UNREACHABLE;
	case 101:
		return NET_UNREACHABLE;
	case 104:
		return RESET;
	case 0:
		/* Without a SYN there was no local address or port left for it. */
		return GET(tp, segs_out) ? ABANDONED : NO_ADDRESS;
	}
	return OTHER_FAILURE;
}

static __always_inline void failed(const struct sock *sk, const struct tcp_sock *tp, struct entry *entry, const bool btf)
{
	enum failure failure = failure_of(sk, tp, btf);
	__u32 retransmits = GET(tp, total_retrans);
	struct totals *to;
	struct key key;

	key_of(&key, sk, tp, entry->cgroup, false, btf);
	if (!is_direct(&key)) {
		if (tell(sk, tp, entry, FAILED, failure, btf))
			return;
		key.kind = UNRESOLVED;
	}
	to = totals_of(&key, &entry->route);
	if (!to || failure >= FAILURES)
		return;
	__sync_fetch_and_add(&to->failures[failure], 1);
	if (retransmits)
		__sync_fetch_and_add(&to->retransmits, retransmits);
}

static __always_inline void closed(const struct sock *sk, const struct tcp_sock *tp, int old, const bool btf,
				   const bool exact, const enum place place)
{
	__u64 id = (__u64)sk;
	struct entry *entry = bpf_map_lookup_elem(&sockets, &id);
	struct entry fresh = {};
	struct numbers now;
	struct totals *to;

	if (!entry && !is_first(place))
		return;
	if (entry && entry->flags & ENDED)
		goto forget;
	if (!entry) {
		int incoming = old == TCP_SYN_SENT ? 0 : is_incoming(tp, old, btf);

		if (old != TCP_SYN_SENT && !is_open(old))
			return;
		if (incoming < 0) {
			COUNT(unclear);
			return;
		}
		fresh.cgroup = incoming ? accepting_cgroup(sk, tp, btf) : cgroup_of_socket(sk, btf);
		fresh.flags = old == TCP_SYN_SENT ? DIALLING : incoming ? INCOMING : 0;
		if (!(fresh.flags & DIALLING))
			open_entry(sk, tp, &fresh, true, btf);
		entry = &fresh;
	}
	/* Else the compiler works on the pointer before it knows which of the two it is. */
	barrier_var(entry);
	/* Whoever was open is no failure, even if its opening was passed over. */
	if (entry->flags & DIALLING && is_open(old)) {
		entry->flags &= ~DIALLING;
		entry->dialled_ns = 0;
		open_entry(sk, tp, entry, true, btf);
	}
	if (entry->flags & DIALLING) {
		failed(sk, tp, entry, btf);
		goto forget;
	}
	if (entry->route == TOLD && tell(sk, tp, entry, CLOSED, 0, btf))
		goto forget;
	to = totals_of_entry(sk, tp, entry, btf);
	if (!to)
		goto forget;
	now = numbers_of(sk, tp, btf);
	settle(entry, &now, to, true, exact);
	if (entry->flags & ACTIVE && entry->route != TOLD)
		__sync_fetch_and_add(&to->active, -1);
	if (entry->flags & RESET_RECEIVED)
		__sync_fetch_and_add(&to->resets_received, 1);
forget:
	if (place == ALONE || place == LAST)
		bpf_map_delete_elem(&sockets, &id);
	else
		entry->flags = ENDED;
}

/* close() or shutdown() of both directions: from here on only the kernel has to do with it. */
static __always_inline void left(const struct sock *sk, const struct tcp_sock *tp, const bool btf)
{
	__u64 id = (__u64)sk;
	struct entry *entry;
	struct totals *to;

	if (GET(sk, sk_shutdown) != SHUTDOWN_MASK)
		return;
	entry = bpf_map_lookup_elem(&sockets, &id);
	if (!entry || !(entry->flags & ACTIVE))
		return;
	entry->flags &= ~ACTIVE;
	if (entry->route == TOLD)
		return;
	to = totals_of_entry(sk, tp, entry, btf);
	if (to)
		__sync_fetch_and_add(&to->active, -1);
}

static __always_inline int on_state(const struct sock *sk, int old, int now, const bool btf, const bool exact,
				    const enum place place)
{
	const struct tcp_sock *tp;

	if (!is_tcp(sk, btf))
		return 0;
	if (now == TCP_SYN_SENT) {
		if (old == TCP_CLOSE)
			dialled(sk, btf, place);
		return 0;
	}
	if (now != TCP_ESTABLISHED && now != TCP_CLOSE && now != TCP_FIN_WAIT1 && now != TCP_FIN_WAIT2 &&
	    now != TCP_LAST_ACK)
		return 0;
	tp = tcp_of(sk, btf);
	if (!tp)
		return 0;
	if (now == TCP_ESTABLISHED)
		established(sk, tp, old, btf);
	else if (now == TCP_CLOSE)
		closed(sk, tp, old, btf, exact, place);
	else
		left(sk, tp, btf);
	return 0;
}
