/* SPDX-License-Identifier: GPL-2.0 */
/* What is looked at rather than heard of. */
#pragma once

#include "tcp_freed.h"

static __always_inline void listens(struct seq_file *seq, struct task_struct *task, const struct sock *sk,
				    const struct tcp_sock *tp, __u64 holder, const bool btf)
{
	struct record record = {
		.socket = (__u64)sk,
		.cgroup = cgroup_of_socket(sk, btf),
		.local = local_of(sk, btf),
		.netns = netns_of(sk, btf),
		.local_port = bpf_ntohs(GET(tp, inet_conn.icsk_inet.inet_sport)),
		.tgid = task->tgid,
		.drops = GET(sk, sk_drops.counter),
		.event = LISTENS,
		.flags = BPF_CORE_READ_BITFIELD_PROBED(&sk->__sk_common, skc_ipv6only),
		.holder_cgroup = holder,
	};

	bpf_seq_write(seq, &record, sizeof(record));
}

static __always_inline struct entry *make_entry(__u64 id, const struct entry *fresh, struct entry *before)
{
	long failed;

	if (before && before->flags & FREE)
		return take_place(before, fresh);
	if (before)
		bpf_map_delete_elem(&sockets, &id);
	failed = bpf_map_update_elem(&sockets, &id, fresh, BPF_NOEXIST);
	if (!failed)
		return bpf_map_lookup_elem(&sockets, &id);
	if (failed != -17) /* EEXIST: it was opened, or closed, a moment ago */
		COUNT(no_entry);
	return 0;
}

/* A connection's group: the kernel tells of the one that its socket was born in, user space of any. */
static __always_inline bool has_ended(__u64 cgroup, const struct sock *sk, const bool btf)
{
	return bpf_map_lookup_elem(&nobody, &cgroup) ||
	       (cgroup == cgroup_of_socket(sk, btf) && is_born_in_ended(sk, btf));
}

/*
 * An open connection of a control group that has ended is of whoever holds it, from here on. It may end on another CPU
 * meanwhile: it is subtracted by whoever finds it ACTIVE and not yet ENDED.
 */
static __always_inline void hand_over(struct entry *entry, const struct sock *sk, const struct tcp_sock *tp,
				      __u64 holder, const bool btf)
{
	__u32 flags;
	struct totals *to = 0;

	if (bpf_map_lookup_elem(&nobody, &holder))
		return;
	flags = __sync_fetch_and_and(&entry->flags, ~ACTIVE);
	if (flags & ENDED)
		return;
	if (entry->route != TOLD) {
		struct numbers now = numbers_of(sk, tp, btf);

		to = totals_of_entry(entry);
		if (to) {
			settle(entry, &now, to, false, true);
			__sync_fetch_and_add(&to->active, flags & ACTIVE ? -1 : 0);
		}
		entry->route = entry->route == FOLDED ? COUNTED : entry->route;
	}
	entry->key.cgroup = holder;
	if (!(flags & ACTIVE))
		return;
	if (entry->route != TOLD)
		to = totals_of_entry(entry);
	if (to)
		__sync_fetch_and_add(&to->active, 1);
	flags = __sync_fetch_and_or(&entry->flags, ACTIVE);
	if (!(flags & ENDED)) {
		/* close() may have found it not active. */
		if (GET(sk, sk_shutdown) != SHUTDOWN_MASK)
			return;
		flags = __sync_fetch_and_and(&entry->flags, ~ACTIVE);
		if (flags & ENDED || !(flags & ACTIVE))
			return;
	}
	if (to)
		__sync_fetch_and_add(&to->active, -1);
}

/* One that a process holds. */
static __always_inline int look_at(struct seq_file *seq, struct task_struct *task, const struct sock *sk,
				   const struct tcp_sock *tp, const bool btf)
{
	int state = GET(sk, __sk_common.skc_state);
	__u64 holder = cgroup_of(task);
	__u64 id = (__u64)sk;
	struct entry *before;
	struct entry *entry;
	struct totals *to;

	if (state == TCP_LISTEN)
		listens(seq, task, sk, tp, holder, btf);
	before = bpf_map_lookup_elem(&sockets, &id);
	entry = unless_free(before);
	if (!entry && state == TCP_CLOSE && GET(sk, __sk_common.skc_dport) && is_first_pass()) {
		/* It ended before we came, and will be freed one day. */
		struct entry ended = {
			.key.port = bpf_ntohs(GET(sk, __sk_common.skc_dport)),
			.other_port = bpf_ntohs(GET(tp, inet_conn.icsk_inet.inet_sport)),
			.flags = ENDED,
		};

		bpf_map_update_elem(&sockets, &id, &ended, BPF_NOEXIST);
	}
	if (!is_open(state))
		return 0;
	if (entry && entry->flags & ENDED && (!(entry->flags & SUSPECT) || entry->suspected_by == number_of_pass())) {
		/* It ends this very moment, or it is another connection whose opening went unseen. */
		entry->suspected_by = number_of_pass();
		mark(&entry->flags, SUSPECT, true);
		return 0;
	}
	if (!entry || entry->flags & ENDED) {
		struct entry fresh = { .tgid = task->tgid };
		int incoming = is_incoming(tp, state, btf);

		if (incoming < 0) {
			COUNT(unclear);
			return 0;
		}
		describe(&fresh, sk, tp, incoming, btf);
		if (canonical_tree != V2_TREE || is_nobodys(sk, fresh.key.cgroup, btf))
			fresh.key.cgroup = holder;
		if (GET(sk, sk_shutdown) == SHUTDOWN_MASK)
			fresh.flags &= ~ACTIVE;
		if (!history && is_first_pass()) {
			struct numbers now = numbers_of(sk, tp, btf);

			fresh.sent = now.sent;
			fresh.received = now.received;
			fresh.retransmits = now.retransmits;
		}
		entry = make_entry(id, &fresh, before);
		if (!entry)
			return 0;
		open_entry(sk, tp, entry, false, btf);
	} else if (entry->flags & DIALLING) {
		entry = entry_of(sk, tp, state, USE, btf, true);
		if (!entry)
			return 0;
	}
	if (entry->key.cgroup != holder && has_ended(entry->key.cgroup, sk, btf))
		hand_over(entry, sk, tp, holder, btf);
	if (entry->route == TOLD) {
		struct record record;

		fill(&record, sk, tp, entry, LIVES, btf);
		record.holder_cgroup = holder;
		if (bpf_seq_write(seq, &record, sizeof(record)))
			return 0;
		/* Should the record of its end not fit, the rest is counted from here on. */
		__sync_fetch_and_and(&entry->flags, ~KEPT);
		entry->sent = record.sent;
		entry->received = record.received;
		entry->retransmits = record.retransmits;
		return 0;
	}
	to = totals_of_entry(entry);
	if (to) {
		struct numbers now = numbers_of(sk, tp, btf);

		settle(entry, &now, to, false, true);
	}
	return 0;
}

/* Every descriptor of every process. Run twice over one, when the buffer was full, it changes nothing. */
SEC("iter/task_file")
int pass_over_files(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	const struct tcp_sock *tp;
	const struct sock *first;
	struct socket *socket;
	struct sock *sk;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp)
		return look_at(ctx->meta->seq, task, sk, tp, true);
	if (sk->sk_protocol != IPPROTO_MPTCP || !HAS(struct mptcp_sock, first))
		return 0;
	/* No TCP itself: what it listens with, or began to send on, is within. Further paths are counted when they end. */
	first = BPF_CORE_READ((const struct mptcp_sock *)sk, first);
	return first ? look_at(ctx->meta->seq, task, first, (const struct tcp_sock *)first, false) : 0;
}

/* Every socket that we know, also those that no process holds. */
SEC("iter/bpf_map_elem")
int pass_over_sockets(struct bpf_iter__bpf_map_elem *ctx)
{
	const __u64 *id = ctx->key;

	if (id)
		check(*id, ctx->meta->seq_num);
	return 0;
}
