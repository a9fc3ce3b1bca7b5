// SPDX-License-Identifier: GPL-2.0
/*
 * Who talks to whom over TCP, counted where it happens: per control group, network namespace and destination.
 *
 * A socket is counted exactly when `sockets` has an entry for it. The entry is made when it is dialled or accepted, or
 * when a pass over all descriptors finds one that was there before us; whatever closes without an entry is counted as
 * it closes. So nothing is counted twice and nothing is missed, also when the map is full.
 *
 * Bytes, retransmits and round-trip times are in struct tcp_sock anyway. They are added when a socket closes and, for
 * those that live, by the pass; an entry remembers what was added already.
 *
 * Connections whose destination user space has not classed as direct are not summed here but told one by one, with
 * absolute numbers, because only conntrack knows who answers them.
 */
#include "common.bpf.h"
#include "tcp_passes.h"
#include "tcp_resets.h"
#include "tcp_states.h"

/*
 * The kernel passes a program over while the same one is under way on that CPU, which it is for a whole time slice when
 * its task is preempted there (__bpf_trace_run in kernel/trace/bpf_trace.c, since 6.2). So three of them run after one
 * another, and each does only what has not been done: the entry of the socket, which is locked meanwhile, tells.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_btf, const struct sock *sk, int old, int now)
{
	return on_state(sk, old, now, true, true, FIRST);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_second, const struct sock *sk, int old, int now)
{
	return on_state(sk, old, now, true, true, SECOND);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_last, const struct sock *sk, int old, int now)
{
	return on_state(sk, old, now, true, true, LAST);
}

/* For kernels without passes and without exchanges: 5.8 to 5.10. They pass nothing over. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_alone, const struct sock *sk, int old, int now)
{
	return on_state(sk, old, now, true, false, ALONE);
}

SEC("raw_tp/inet_sock_set_state")
int on_state_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return on_state((const struct sock *)ctx->args[0], ctx->args[1], ctx->args[2], false, false, ALONE);
}

SEC("tp/sock/inet_sock_set_state")
int on_state_tp(struct trace_event_raw_inet_sock_set_state *ctx)
{
	return on_state(ctx->skaddr, ctx->oldstate, ctx->newstate, false, false, ALONE);
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(on_reset_received_btf, const struct sock *sk)
{
	return reset_came(sk);
}

SEC("raw_tp/tcp_receive_reset")
int on_reset_received_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return reset_came((const struct sock *)ctx->args[0]);
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
