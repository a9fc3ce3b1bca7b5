/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From the dial to the end of a connection.
 *
 * The kernel does not tell us of everything. A program is passed over while it is under way on that CPU, so what a
 * softirq does in the middle of it goes unseen (__bpf_trace_run in kernel/trace/bpf_trace.c, since 6.2); and some
 * virtual machines run no program at all for what happens on a CPU that was idle. What a task does itself is always
 * seen, and a socket is dialled, closed and freed by tasks. So whoever sees a socket next makes up for what was missed.
 */
#pragma once

#include "tcp_owners.h"
#include "tcp_records.h"
#include "tcp_sockets.h"

/* An entry begins to count. It is announced unless a pass has found it. */
static __always_inline void open_entry(const struct sock *sk, const struct tcp_sock *tp, struct entry *entry,
				       bool announce, const bool btf)
{
	struct totals *to;

	entry->route = COUNTED;
	if (!is_direct(&entry->key)) {
		entry->key.kind = UNRESOLVED;
		entry->route = TOLD;
		if (!announce || tell(sk, tp, entry, OPENED, 0, btf))
			return;
		entry->route = NOT_RESOLVED;
	}
	to = totals_of_entry(entry);
	if (!to)
		return;
	if (announce || history || !is_first_pass())
		add_connect(to, entry);
	if (entry->flags & ACTIVE)
		__sync_fetch_and_add(&to->active, 1);
}

/* For an entry whose socket is no more. What it had since the last pass nobody can tell. */
static __always_inline void bury(__u64 id, struct entry *entry, const bool exact)
{
	__u32 before = end_flags(&entry->flags, exact);
	struct totals *to;

	if (before & ENDED)
		return;
	COUNT(end_lost);
	if (entry->route == TOLD) {
		tell_lost(id, entry);
	} else if (before & ACTIVE) {
		to = totals_of_entry(entry);
		if (to)
			__sync_fetch_and_add(&to->active, -1);
	}
}

/* CLOSE -> SYN_SENT is the only transition that runs in the dialling task. */
static __always_inline void dialled(const struct sock *sk, const struct tcp_sock *tp, const bool btf, const bool exact)
{
	__u64 id = (__u64)sk;
	struct entry *before = bpf_map_lookup_elem(&sockets, &id);
	struct entry entry = {
		.dialled_ns = bpf_ktime_get_ns(),
		.tgid = bpf_get_current_pid_tgid() >> 32,
		.flags = DIALLING,
	};

	if (before)
		bury(id, before, exact);
	key_of(&entry.key, sk, tp, dialling_cgroup(sk, btf), false, btf);
	if (!put(id, &entry, before))
		COUNT(no_entry);
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

static __always_inline void failed(const struct sock *sk, const struct tcp_sock *tp, struct entry *entry,
				   const bool btf)
{
	enum failure failure = failure_of(sk, tp, btf);
	__u32 retransmits = GET(tp, total_retrans);
	struct totals *to;

	if (!is_direct(&entry->key)) {
		if (tell(sk, tp, entry, FAILED, failure, btf))
			return;
		entry->key.kind = UNRESOLVED;
	}
	to = totals_of_entry(entry);
	if (!to || failure >= FAILURES)
		return;
	__sync_fetch_and_add(&to->failures[failure], 1);
	if (retransmits)
		__sync_fetch_and_add(&to->retransmits, retransmits);
}

static __always_inline void describe(struct entry *fresh, const struct sock *sk, const struct tcp_sock *tp,
				     bool incoming, const bool btf)
{
	key_of(&fresh->key, sk, tp, incoming ? accepting_cgroup(sk, tp, btf) : cgroup_of_socket(sk, btf), incoming,
	       btf);
	fresh->other_port = bpf_ntohs(incoming ? GET(sk, __sk_common.skc_dport) :
						 GET(tp, inet_conn.icsk_inet.inet_sport));
	fresh->flags = incoming ? ACTIVE | INCOMING : ACTIVE;
}

/* For the last moment of a socket that there was no room for. Who answered it nobody can be asked any more. */
static __always_inline void count_at_once(struct entry *entry, const struct sock *sk, const struct tcp_sock *tp,
					  const bool btf, const bool exact)
{
	struct numbers now = numbers_of(sk, tp, btf);
	struct totals *to;

	if (!is_direct(&entry->key))
		entry->key.kind = UNRESOLVED;
	to = totals_of_entry(entry);
	if (!to)
		return;
	add_connect(to, entry);
	settle(entry, &now, to, true, exact);
}

/* Of an opening that went unseen: as long as TCP's own first round trip, unless a SYN had to be sent again. */
static __always_inline void guess_handshake(struct entry *entry, const struct tcp_sock *tp, const bool btf)
{
	entry->connect_us = GET(tp, srtt_us) >> 3;
	if (GET(tp, total_retrans) || !entry->connect_us)
		entry->dialled_ns = 0;
}

/* What brings a connection to our notice. */
enum notice { OPENING, USE, END };

/*
 * The entry of a connection that is open, or was until now; it is made if nobody saw the opening, or if this is it.
 * 0 for one that has ended, and where there is no room.
 */
static __always_inline struct entry *entry_of(const struct sock *sk, const struct tcp_sock *tp, int state,
					      enum notice notice, const bool btf, const bool exact)
{
	__u64 id = (__u64)sk;
	struct entry *before = bpf_map_lookup_elem(&sockets, &id);
	struct entry *entry = unless_free(before);
	bool is_its = entry && is_of(entry, sk, tp, btf);

	if (is_its && entry->flags & ENDED && notice != OPENING)
		return 0;
	if (is_its && !(entry->flags & ENDED)) {
		if (!take(&entry->flags, DIALLING, exact))
			return entry;
		if (notice == OPENING)
			entry->connect_us = (bpf_ktime_get_ns() - entry->dialled_ns) / 1000;
		else
			guess_handshake(entry, tp, btf);
		entry->other_port = bpf_ntohs(GET(tp, inet_conn.icsk_inet.inet_sport));
		mark(&entry->flags, ACTIVE, exact);
	} else {
		struct entry fresh = {};
		int incoming = notice == OPENING ? state != TCP_SYN_SENT : is_incoming(tp, state, btf);

		if (entry)
			bury(id, entry, exact);
		if (incoming < 0) {
			COUNT(unclear);
			return 0;
		}
		/* A dial that failed, and was counted without an entry; or the other side's, which it gave up. */
		if (notice == END && !was_open(tp, btf))
			return 0;
		describe(&fresh, sk, tp, incoming, btf);
		/* It was there before us, most likely: what the first pass did not find, or what ended before it came by. */
		if (notice != OPENING && !history && number_of_pass() <= 2) {
			fresh.flags |= ENDED;
			put(id, &fresh, before);
			return 0;
		}
		entry = put(id, &fresh, before);
		if (!entry) {
			COUNT(no_entry);
			if (notice == END)
				count_at_once(&fresh, sk, tp, btf, exact);
			return 0;
		}
	}
	if (notice != OPENING)
		COUNT(opening_unseen);
	open_entry(sk, tp, entry, true, btf);
	return entry;
}

/* The end, whoever hears of it first. */
static __always_inline void finish(const struct sock *sk, const struct tcp_sock *tp, struct entry *entry, bool reset,
				   const bool btf, const bool exact)
{
	__u32 before = end_flags(&entry->flags, exact);
	struct numbers now;
	struct totals *to;

	if (before & ENDED)
		return;
	if (before & DIALLING) {
		failed(sk, tp, entry, btf);
		return;
	}
	if (reset)
		mark(&entry->flags, RESET_RECEIVED, exact);
	if (entry->route == TOLD && tell(sk, tp, entry, CLOSED, 0, btf))
		return;
	to = totals_of_entry(entry);
	if (!to)
		return;
	if (before & KEPT)
		entry->sent = entry->received = entry->retransmits = 0;
	now = numbers_of(sk, tp, btf);
	settle(entry, &now, to, true, exact);
	if (before & ACTIVE && entry->route != TOLD)
		__sync_fetch_and_add(&to->active, -1);
	if (reset)
		__sync_fetch_and_add(&to->resets_received, 1);
}

/* Of a connection that is told, unless its numbers were told already. */
static __always_inline void keep(struct entry *entry, const struct numbers *now, bool are_told, const bool exact)
{
	if (!are_told && (entry->sent || entry->received))
		return;
	if (are_told)
		take(&entry->flags, KEPT, exact);
	else
		mark(&entry->flags, KEPT, exact);
	entry->sent = now->sent;
	entry->received = now->received;
	entry->retransmits = now->retransmits;
}

/* close() or shutdown() of both directions: from here on only the kernel has to do with it, in softirqs. */
static __always_inline void left(const struct sock *sk, const struct tcp_sock *tp, struct entry *entry,
				 const bool btf, const bool exact)
{
	struct numbers now;
	struct totals *to;

	if (!take(&entry->flags, ACTIVE, exact))
		return;
	now = numbers_of(sk, tp, btf);
	if (entry->route == TOLD) {
		keep(entry, &now, tell(sk, tp, entry, LEFT, 0, btf), exact);
		return;
	}
	to = totals_of_entry(entry);
	if (!to)
		return;
	__sync_fetch_and_add(&to->active, -1);
	settle(entry, &now, to, false, exact);
}

/* A dial that came to nothing. After a SYN from both sides it was at SYN_RECV, where accepted ones are as well. */
static __always_inline void not_reached(const struct sock *sk, const struct tcp_sock *tp, int old, const bool btf,
					const bool exact)
{
	__u64 id = (__u64)sk;
	struct entry *entry = unless_free(bpf_map_lookup_elem(&sockets, &id));
	struct entry spare = {};

	if (entry && (old == TCP_SYN_SENT || (is_of(entry, sk, tp, btf) && entry->flags & DIALLING))) {
		finish(sk, tp, entry, false, btf, exact);
	} else if (!entry && old == TCP_SYN_SENT) {
		key_of(&spare.key, sk, tp, cgroup_of_socket(sk, btf), false, btf);
		failed(sk, tp, &spare, btf);
	}
}

static __always_inline bool is_end_of_sending(int state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_LAST_ACK;
}

static __always_inline int on_state(const struct sock *sk, int old, int now, const bool btf, const bool exact)
{
	const struct tcp_sock *tp;
	struct entry *entry;

	if (now != TCP_SYN_SENT && now != TCP_ESTABLISHED && now != TCP_CLOSE && !is_end_of_sending(now))
		return 0;
	if (!is_tcp(sk, btf) || (is_end_of_sending(now) && GET(sk, sk_shutdown) != SHUTDOWN_MASK))
		return 0;
	tp = tcp_of(sk, btf);
	if (!tp)
		return 0;
	sk = sock_of(tp);
	if (now == TCP_SYN_SENT) {
		if (old == TCP_CLOSE)
			dialled(sk, tp, btf, exact);
		return 0;
	}
	if (now != TCP_ESTABLISHED && (old == TCP_SYN_SENT || old == TCP_SYN_RECV)) {
		not_reached(sk, tp, old, btf, exact);
		return 0;
	}
	if (now != TCP_ESTABLISHED && !is_open(old))
		return 0;
	entry = entry_of(sk, tp, old, now == TCP_ESTABLISHED ? OPENING : now == TCP_CLOSE ? END : USE, btf, exact);
	if (!entry || now == TCP_ESTABLISHED)
		return 0;
	if (now == TCP_CLOSE) {
		int error = GET(sk, sk_err);

		/* tcp_reset() in net/ipv4/tcp_input.c says so right before. */
		finish(sk, tp, entry, error == 104 || (error == 32 && old == TCP_CLOSE_WAIT), btf, exact);
	} else {
		left(sk, tp, entry, btf, exact);
	}
	return 0;
}
