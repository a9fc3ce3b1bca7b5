// SPDX-License-Identifier: GPL-2.0
/*
 * Who talks to whom over TCP, counted where it happens: per control group, network namespace and destination.
 *
 * A socket is counted exactly when `sockets` has an entry for it. The entry is made when it is dialled or accepted, or
 * when a pass over all descriptors finds one that was there before us, and stays until the socket is freed; whatever
 * closes without an entry is counted as it closes. So nothing is counted twice and nothing is missed, also when the map
 * is full or the kernel passes us over (tcp_states.h). An entry that is free is none: the next socket there takes it.
 *
 * Bytes, retransmits and round-trip times are in struct tcp_sock anyway. They are added when a socket closes and, for
 * those that live, by the pass; an entry remembers what was added already.
 *
 * Connections whose destination user space has not classed as direct are not summed here but told one by one, with
 * absolute numbers, because only conntrack knows who answers them.
 */
#include "common.bpf.h"
#include "tcp_freed.h"
#include "tcp_passes.h"
#include "tcp_resets.h"
#include "tcp_states.h"

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_btf, const struct sock *sk, int old, int now)
{
	return on_state(sk, old, now, true, true);
}

/* For kernels without passes and without exchanges: 5.8 to 5.11. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_alone, const struct sock *sk, int old, int now)
{
	return on_state(sk, old, now, true, false);
}

SEC("raw_tp/inet_sock_set_state")
int on_state_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return on_state((const struct sock *)ctx->args[0], ctx->args[1], ctx->args[2], false, false);
}

SEC("tp/sock/inet_sock_set_state")
int on_state_tp(struct trace_event_raw_inet_sock_set_state *ctx)
{
	return on_state(ctx->skaddr, ctx->oldstate, ctx->newstate, false, false);
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_freed_btf, const struct sock *sk)
{
	return freed(sk, true, true);
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_freed_alone, const struct sock *sk)
{
	return freed(sk, true, false);
}

SEC("raw_tp/tcp_destroy_sock")
int on_freed_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return freed((const struct sock *)ctx->args[0], false, false);
}

SEC("tp_btf/tcp_send_reset")
int BPF_PROG(on_reset_sent_btf, const struct sock *sk)
{
	return reset_sent(sk, true);
}

SEC("raw_tp/tcp_send_reset")
int on_reset_sent_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return reset_sent((const struct sock *)ctx->args[0], false);
}
