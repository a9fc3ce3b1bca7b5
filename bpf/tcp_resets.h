/* SPDX-License-Identifier: GPL-2.0 */
/* Connections that we broke off; those that the other side broke off end with an error, see tcp_states.h. */
#pragma once

#include "tcp_owners.h"
#include "tcp_records.h"

/* Of a connection that was open. Its entry may be gone by now: close() first changes the state and then sends. */
static __always_inline int reset_sent(const struct sock *sk, const bool btf)
{
	const struct tcp_sock *tp;
	__u8 route = COUNTED;
	struct totals *to;
	struct key key;
	int incoming;
	int state;

	if (!sk)
		return 0;
	state = GET(sk, __sk_common.skc_state);
	if ((!is_open(state) && state != TCP_CLOSE) || !is_tcp(sk, btf))
		return 0;
	tp = tcp_of(sk, btf);
	if (!tp)
		return 0;
	sk = sock_of(tp);
	incoming = is_incoming(tp, state == TCP_CLOSE ? TCP_ESTABLISHED : state, btf);
	if (incoming < 0)
		return 0;
	key_of(&key, sk, tp, incoming ? accepting_cgroup(sk, tp, btf) : cgroup_of_socket(sk, btf), incoming, btf);
	if (!is_direct(&key))
		key.kind = UNRESOLVED;
	to = totals_of(&key, &route);
	if (to)
		__sync_fetch_and_add(&to->resets_sent, 1);
	return 0;
}
