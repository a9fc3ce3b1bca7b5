/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel's own structures say of a connection, and how they are read. */
#pragma once

#include "common.bpf.h"
#include "types_net.h"
#include <bpf/bpf_endian.h>

/* IPv4 as ::ffff:a.b.c.d. */
struct address {
	__u32 words[4];
};

/* Pointers that a program was handed as BTF pointers can be followed as they are, which is a third cheaper. */
#define GET(pointer, field) (btf ? (pointer)->field : BPF_CORE_READ(pointer, field))

static __always_inline const struct tcp_sock *tcp_of(const struct sock *sk, const bool btf)
{
	return btf ? bpf_skc_to_tcp_sock((void *)sk) : (const struct tcp_sock *)sk;
}

/*
 * The same socket. Of a pointer that it trusts the verifier looks, with each pointer that is read from it, through the
 * names of all types of the kernel (btf_nested_type_is_trusted), which took half of our start; of this one it does not.
 */
static __always_inline const struct sock *sock_of(const struct tcp_sock *tp)
{
	return (const struct sock *)tp;
}

static __always_inline struct address mapped(__be32 v4)
{
	return (struct address){ { 0, 0, bpf_htonl(0xffff), v4 } };
}

static __always_inline struct address remote_of(const struct sock *sk, const bool btf)
{
	if (GET(sk, __sk_common.skc_family) == AF_INET)
		return mapped(GET(sk, __sk_common.skc_daddr));
	return (struct address){ { GET(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[0]),
				   GET(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[1]),
				   GET(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[2]),
				   GET(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[3]) } };
}

static __always_inline struct address local_of(const struct sock *sk, const bool btf)
{
	if (GET(sk, __sk_common.skc_family) == AF_INET)
		return mapped(GET(sk, __sk_common.skc_rcv_saddr));
	return (struct address){ { GET(sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[0]),
				   GET(sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[1]),
				   GET(sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[2]),
				   GET(sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[3]) } };
}

static __always_inline __u32 netns_of(const struct sock *sk, const bool btf)
{
	return btf ? sk->__sk_common.skc_net.net->ns.inum : BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

/* In the v2 tree: a socket keeps the control group it was born in. 0 where it has none. */
static __always_inline __u64 cgroup_of_socket(const struct sock *sk, const bool btf)
{
	if (HAS(struct sock, sk_cgrp_data.cgroup)) {
		if (btf)
			return sk->sk_cgrp_data.cgroup->kn->id;
		return BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	}

	const struct sock_cgroup_data___val *data = (const void *)&sk->sk_cgrp_data;
	__u64 value = BPF_CORE_READ(data, val);

	if (value & 1)
		return 0;
	return BPF_CORE_READ((const struct cgroup *)(value & ~3ULL), kn, id);
}

/* include/linux/cgroup-defs.h. Taken away as the group is removed (cgroup_destroy_locked in kernel/cgroup/cgroup.c). */
#define CSS_ONLINE 2

/* Whether the control group that a socket was born in is no more: it was handed on, or its holder was moved. */
static __always_inline bool is_born_in_ended(const struct sock *sk, const bool btf)
{
	if (HAS(struct sock, sk_cgrp_data.cgroup)) {
		if (btf)
			return !(sk->sk_cgrp_data.cgroup->self.flags & CSS_ONLINE);
		return !(BPF_CORE_READ(sk, sk_cgrp_data.cgroup, self.flags) & CSS_ONLINE);
	}

	const struct sock_cgroup_data___val *data = (const void *)&sk->sk_cgrp_data;
	__u64 value = BPF_CORE_READ(data, val);

	return value & 1 || !(BPF_CORE_READ((const struct cgroup *)(value & ~3ULL), self.flags) & CSS_ONLINE);
}

static __always_inline bool is_tcp(const struct sock *sk, const bool btf)
{
	return GET(sk, sk_protocol) == IPPROTO_TCP;
}

/* The answer to its SYN counts as delivered, on either side. */
static __always_inline bool was_open(const struct tcp_sock *tp, const bool btf)
{
	return GET(tp, delivered);
}

/* What struct tcp_sock knows of a connection. */
struct numbers {
	__u64 sent;
	__u64 received;
	__u32 retransmits;
	__u32 srtt_us;
	__u32 min_rtt_us;
};

static __always_inline struct numbers numbers_of(const struct sock *sk, const struct tcp_sock *tp, const bool btf)
{
	__u64 received = GET(tp, bytes_received);

	/* The other side's FIN counts as a byte (tcp_rcv_nxt_update in net/ipv4/tcp_input.c). */
	if (received && GET(sk, __sk_common.skc_flags) & 1 << SOCK_DONE)
		received--;
	return (struct numbers){
		.sent = GET(tp, bytes_sent) - GET(tp, bytes_retrans),
		.received = received,
		.retransmits = GET(tp, total_retrans),
		.srtt_us = GET(tp, srtt_us) >> 3,
		.min_rtt_us = GET(tp, rtt_min.s[0].v),
	};
}

/*
 * Whether a connection was accepted rather than dialled: 1, 0, or -1 for unclear, which it is while the numbers change
 * under our eyes. What is acknowledged and what is under way are together what was sent, and one more for the SYN, but
 * that counts only on the side that sent it first; and one more for a FIN that has left.
 */
static __always_inline int is_incoming(const struct tcp_sock *tp, int state, const bool btf)
{
	__u32 next = GET(tp, snd_nxt);
	__u32 sequence = next - GET(tp, snd_una) + (__u32)GET(tp, bytes_acked) -
			 (__u32)(GET(tp, bytes_sent) - GET(tp, bytes_retrans));

	if (next != GET(tp, snd_nxt))
		return -1;
	if ((state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING || state == TCP_LAST_ACK) &&
	    next == GET(tp, write_seq))
		sequence--;
	return sequence == 1 ? 0 : sequence == 0 ? 1 : -1;
}

static __always_inline bool is_open(int state)
{
	return state == TCP_ESTABLISHED || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSE_WAIT ||
	       state == TCP_LAST_ACK || state == TCP_CLOSING;
}
