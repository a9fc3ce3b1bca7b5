/* SPDX-License-Identifier: GPL-2.0 */
/* Sockets at the end of their life, and those whose end the kernel told nobody of. */
#pragma once

#include "tcp_states.h"

/* What is in CLOSE though nobody saw it close did not close itself: a task that does is always seen. */
static __always_inline bool was_reset(const struct sock *sk, const struct entry *entry, const bool btf)
{
	int error = GET(sk, sk_err);

	/* The application may have taken the error away. */
	return entry->flags & ACTIVE && (error == 104 || error == 32 || error == 0);
}

static __always_inline bool had_no_room(void)
{
	const __u32 zero = 0;
	struct counters *all = bpf_map_lookup_elem(&counters, &zero);

	return !all || all->no_entry;
}

/* The socket is about to be freed, by the task that closed it or, if it had still to send, by the kernel. */
static __always_inline int freed(const struct sock *sk, const bool btf, const bool exact)
{
	__u64 id = (__u64)sk;
	struct entry *entry = unless_free(bpf_map_lookup_elem(&sockets, &id));
	const struct tcp_sock *tp = tcp_of(sk, btf);
	bool is_its;

	if (!tp)
		return 0;
	sk = sock_of(tp);
	is_its = entry && is_of(entry, sk, tp, btf);
	/* What never was a connection has no port; and what there was no room for was counted as it closed. */
	if (!is_its && (!GET(sk, __sk_common.skc_dport) || had_no_room())) {
		if (entry)
			bury(id, entry, exact);
	} else if (!is_its || !(entry->flags & ENDED)) {
		/* Its SYN was acknowledged, so it was open. And what a task closed has an entry, so no FIN was sent. */
		if (!is_its || (entry->flags & DIALLING && was_open(tp, btf)))
			entry = entry_of(sk, tp, TCP_ESTABLISHED, END, btf, exact);
		if (!entry)
			return 0;
		COUNT(end_unseen);
		finish(sk, tp, entry, was_reset(sk, entry, btf), btf, exact);
	}
	if (!entry)
		return 0;
	if (exact)
		entry->flags = (entry->flags & INCOMING) | FREE | ENDED;
	else
		bpf_map_delete_elem(&sockets, &id);
	return 0;
}

#define SECOND_NS 1000000000ULL

/* Of all entries. Where there are more, those that are free are taken away from here on. */
#define MOST_ROOM_FOR_FREE 10000

/*
 * One entry of `sockets`, the `number`th, while others may work on it. Its socket may be freed, or another one by now:
 * the memory stays readable, and what is read of it is only believed if the ports are those of the entry.
 */
static __always_inline void check(__u64 id, __u64 number)
{
	const struct sock *sk = (const struct sock *)id;
	const struct tcp_sock *tp = (const struct tcp_sock *)id;
	/* We are told before the state changes, so whoever is in a state had been told of it. */
	int state = BPF_CORE_READ(sk, __sk_common.skc_state);
	bool is_freed = BPF_CORE_READ(sk, __sk_common.skc_refcnt.refs.counter) == 0;
	struct entry *entry = bpf_map_lookup_elem(&sockets, &id);
	bool is_its;

	if (!entry)
		return;
	if (entry->flags & FREE) {
		if (number >= MOST_ROOM_FOR_FREE)
			bpf_map_delete_elem(&sockets, &id);
		return;
	}
	if (entry->flags & DIALLING && bpf_ktime_get_ns() - entry->dialled_ns < SECOND_NS)
		return;
	is_its = is_of(entry, sk, tp, false);
	if (is_its && entry->flags & DIALLING && (is_open(state) || (state == TCP_CLOSE && was_open(tp, false))))
		entry = entry_of(sk, tp, state == TCP_CLOSE ? TCP_ESTABLISHED : state, USE, false, true);
	if (!entry)
		return;
	if (is_its && state == TCP_CLOSE && !(entry->flags & ENDED)) {
		COUNT(end_unseen);
		finish(sk, tp, entry, was_reset(sk, entry, false), false, true);
	}
	if (!is_its || is_freed) {
		bury(id, entry, true);
		/* Unless it is dialled this very moment. */
		if (bpf_map_lookup_elem(&sockets, &id) == entry)
			bpf_map_delete_elem(&sockets, &id);
	}
}
