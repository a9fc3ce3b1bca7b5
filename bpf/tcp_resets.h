/* SPDX-License-Identifier: GPL-2.0 */
/* Connections that we broke off; those that the other side broke off end with an error, see tcp_states.h. */
#pragma once

#include "tcp_states.h"

/* Of a connection that was open, and may have ended: close() first changes the state and then sends. */
static __always_inline int reset_sent(const struct sock *sk, const bool btf)
{
	const struct tcp_sock *tp;
	__u64 id = (__u64)sk;
	struct entry fresh = {};
	struct entry *entry;
	struct totals *to;
	int incoming;
	int state;

	if (!sk)
		return 0;
	state = GET(sk, __sk_common.skc_state);
	if (state == TCP_TIME_WAIT) {
		tell_late_reset(sk, btf);
		return 0;
	}
	if ((!is_open(state) && state != TCP_CLOSE) || !is_tcp(sk, btf))
		return 0;
	tp = tcp_of(sk, btf);
	if (!tp)
		return 0;
	sk = sock_of(tp);
	/* One that nobody holds any more is freed first and refuses what came then: its entry is still there. */
	entry = bpf_map_lookup_elem(&sockets, &id);
	if (!entry || !is_of(entry, sk, tp, btf)) {
		incoming = is_incoming(tp, state == TCP_CLOSE ? TCP_ESTABLISHED : state, btf);
		if (incoming < 0) {
			COUNT(lost);
			return 0;
		}
		describe(&fresh, sk, tp, incoming, btf);
		if (!is_direct(&fresh.key))
			fresh.key.kind = UNRESOLVED;
		entry = &fresh;
	}
	if (entry->route == TOLD && tell(sk, tp, entry, RESET_SENT, 0, btf))
		return 0;
	to = totals_of_entry(entry);
	if (to)
		__sync_fetch_and_add(&to->resets_sent, 1);
	return 0;
}
