/* SPDX-License-Identifier: GPL-2.0 */
/* What is looked at rather than heard of. */
#pragma once

#include "tcp_states.h"

static __always_inline void listens(struct seq_file *seq, struct task_struct *task, const struct sock *sk,
				    const struct tcp_sock *tp, __u64 holder)
{
	struct record record = {
		.socket = (__u64)sk,
		.cgroup = cgroup_of_socket(sk, true),
		.local = local_of(sk, true),
		.netns = netns_of(sk, true),
		.local_port = bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport),
		.tgid = task->tgid,
		.drops = sk->sk_drops.counter,
		.event = LISTENS,
		.flags = BPF_CORE_READ_BITFIELD(&sk->__sk_common, skc_ipv6only),
		.holder_cgroup = holder,
	};

	bpf_seq_write(seq, &record, sizeof(record));
}

/* Every descriptor of every process. Run twice over one, when the buffer was full, it changes nothing. */
SEC("iter/task_file")
int pass_over_files(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	const struct tcp_sock *tp;
	struct socket *socket;
	struct entry *entry;
	struct totals *to;
	struct sock *sk;
	__u64 holder;
	int state;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	holder = cgroup_of(task);
	state = sk->__sk_common.skc_state;
	if (state == TCP_LISTEN)
		listens(ctx->meta->seq, task, sk, tp, holder);
	if (!is_open(state))
		return 0;

	__u64 id = (__u64)sk;

	entry = bpf_map_lookup_elem(&sockets, &id);
	if (!entry) {
		int incoming = is_incoming(tp, state, true);
		__u64 born = cgroup_of_socket(sk, true);

		if (canonical_tree != V2_TREE || bpf_map_lookup_elem(&nobody, &born))
			born = holder;

		struct entry fresh = {
			.cgroup = born,
			.tgid = task->tgid,
			.flags = (incoming > 0 ? INCOMING : 0) | (sk->sk_shutdown == SHUTDOWN_MASK ? 0 : ACTIVE),
		};

		if (incoming < 0) {
			COUNT(unclear);
			return 0;
		}
		entry = make_entry(sk, &fresh);
		if (!entry)
			return 0;
		/* It closed meanwhile, and was counted as it did. */
		if (sk->__sk_common.skc_state == TCP_CLOSE) {
			bpf_map_delete_elem(&sockets, &id);
			return 0;
		}
		open_entry(sk, tp, entry, false, true);
	}
	if (entry->flags & (DIALLING | ENDED))
		return 0;
	if (entry->route == TOLD) {
		struct record record;

		fill(&record, sk, tp, entry, LIVES, true);
		record.holder_cgroup = holder;
		if (bpf_seq_write(ctx->meta->seq, &record, sizeof(record)))
			return 0;
		/* Should the record of its end not fit, the rest is counted from here on. */
		entry->sent = record.sent;
		entry->received = record.received;
		entry->retransmits = record.retransmits;
		return 0;
	}
	to = totals_of_entry(sk, tp, entry, true);
	if (to) {
		struct numbers now = numbers_of(sk, tp, true);

		settle(entry, &now, to, false, true);
	}
	return 0;
}
