/* SPDX-License-Identifier: GPL-2.0 */
/* Whose a connection is. */
#pragma once

#include "tcp_reading.h"

/* Control groups of no container, or that have ended. User space writes it: of their sockets whoever holds them is asked. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} nobody SEC(".maps");

struct listener {
	struct address address;
	__u32 netns;
	__u32 port;
};

/* Listening sockets in the hands of another control group than made them. User space writes it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct listener);
	__type(value, __u64);
} listeners SEC(".maps");

/* On hosts without a v2 tree sockets do not know theirs, so the dialling task is asked. */
static __always_inline __u64 cgroup_of_current(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct cgroup_subsys_state *state = 0;
	int index = v1_index();

	if (index < 0)
		return 0;

	struct css_set *set = BPF_CORE_READ(task, cgroups);

	bpf_core_read(&state, sizeof(state), &set->subsys[0] + index);
	return BPF_CORE_READ(state, cgroup, kn, id);
}

/* Whether the control group that a socket was born in has nothing to do with it: it is of whoever holds it. */
static __always_inline bool is_nobodys(const struct sock *sk, __u64 born, const bool btf)
{
	return bpf_map_lookup_elem(&nobody, &born) || is_born_in_ended(sk, btf);
}

/* A socket keeps the control group that it was born in, which may have made it for another: systemd, a runtime. */
static __always_inline __u64 dialling_cgroup(const struct sock *sk, const bool btf)
{
	if (canonical_tree != V2_TREE)
		return cgroup_of_current();

	__u64 born = cgroup_of_socket(sk, btf);
	__u64 current = bpf_get_current_cgroup_id();

	return born != current && is_nobodys(sk, born, btf) ? current : born;
}

static __always_inline __u64 accepting_cgroup(const struct sock *sk, const struct tcp_sock *tp, const bool btf)
{
	__u64 born = cgroup_of_socket(sk, btf);

	if (!is_nobodys(sk, born, btf))
		return born;

	struct listener listener = {
		.address = local_of(sk, btf),
		.netns = netns_of(sk, btf),
		.port = bpf_ntohs(GET(tp, inet_conn.icsk_inet.inet_sport)),
	};
	__u64 *holder = bpf_map_lookup_elem(&listeners, &listener);

	/* One that listens on all addresses, of IPv4 or of both families. */
	if (!holder) {
		listener.address = mapped(0);
		holder = bpf_map_lookup_elem(&listeners, &listener);
	}
	if (!holder) {
		listener.address = (struct address){};
		holder = bpf_map_lookup_elem(&listeners, &listener);
	}
	return holder ? *holder : born;
}
