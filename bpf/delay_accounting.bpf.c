// SPDX-License-Identifier: GPL-2.0
/*
 * How long the tasks of each control group waited: for a CPU, for block I/O, for memory.
 *
 * The kernel keeps these sums per task. An iterator pass adds what each living task waited since the pass before to
 * the totals of the control group that it is in now; the exit of a task adds the rest. So totals only grow: nothing is
 * lost when a task ends between two passes, and nothing goes down when one moves or its pid is used again.
 */
#include "types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "compat.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define PF_EXITING 0x00000004 /* include/linux/sched.h */

enum delay { CPU, BLKIO, SWAPIN, FREEPAGES, THRASHING, COMPACT, WPCOPY, IRQ, DELAYS };

/* When we were attached, ns since boot. Older tasks may have threads that ended, and delays from before us. */
const volatile __u64 attached_ns = 0;
/* Whether the delays that older tasks bring along count. */
const volatile __u8 history = 1;
/* Index of the v1 controller whose hierarchy names the control groups; -1 for the v2 tree. */
const volatile __s32 v1_subsystem = -1;

/* What was already added for a task. */
struct accounted {
	__u64 ns[DELAYS];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct accounted);
} tasks SEC(".maps");

struct totals {
	__u64 ns[DELAYS];
	/* Pass in which `unmeasured` was counted. */
	__u64 pass;
	/* Living tasks that have no delay accounting, because they were forked while it was off. */
	__u64 unmeasured;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u64); /* control group id */
	__type(value, struct totals);
} totals SEC(".maps");

struct counters {
	/* Number of the pass that runs or ran last; user space sets it before each. */
	__u64 pass;
	/* Times that `totals` was full and a delay went to the control group 0. */
	__u64 refused;
	/* Times that no storage could be had for a task; it is tried again in the next pass. */
	__u64 no_storage;
	/* Bit i: this kernel counts delay i. */
	__u64 counted;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counters SEC(".maps");

static __u64 cgroup_of(struct task_struct *task)
{
	if (v1_subsystem >= 0 && v1_subsystem < CGROUP_SUBSYS_COUNT) {
		struct css_set *set = task->cgroups;
		struct cgroup_subsys_state *state = 0;

		bpf_core_read(&state, sizeof(state), &set->subsys[v1_subsystem]);
		return BPF_CORE_READ(state, cgroup, kn, id);
	}
	return task->cgroups->dfl_cgrp->kn->id;
}

static struct totals *totals_of(__u64 cgroup, struct counters *count)
{
	static const struct totals none;
	const __u64 catch_all = 0;
	struct totals *found = bpf_map_lookup_elem(&totals, &cgroup);

	if (found)
		return found;
	bpf_map_update_elem(&totals, &cgroup, &none, BPF_NOEXIST);
	found = bpf_map_lookup_elem(&totals, &cgroup);
	if (found)
		return found;
	__sync_fetch_and_add(&count->refused, 1);
	return bpf_map_lookup_elem(&totals, &catch_all);
}

static __u64 counted_here(void)
{
	return 1 << CPU | 1 << BLKIO | 1 << SWAPIN | 1 << FREEPAGES |
	       HAS(struct task_delay_info, thrashing_delay) << THRASHING |
	       HAS(struct task_delay_info, compact_delay) << COMPACT |
	       HAS(struct task_delay_info, wpcopy_delay) << WPCOPY | HAS(struct task_delay_info, irq_delay) << IRQ;
}

static void read_delays(struct task_struct *task, __u64 ns[DELAYS])
{
	struct task_delay_info *delays = task->delays;

	ns[CPU] = task->sched_info.run_delay;
	if (!delays)
		return;
	ns[BLKIO] = delays->blkio_delay;
	ns[SWAPIN] = delays->swapin_delay;
	ns[FREEPAGES] = delays->freepages_delay;
	ns[THRASHING] = FIELD_OR_0(delays, thrashing_delay);
	ns[COMPACT] = FIELD_OR_0(delays, compact_delay);
	ns[WPCOPY] = FIELD_OR_0(delays, wpcopy_delay);
	ns[IRQ] = FIELD_OR_0(delays, irq_delay);
}

/* Threads of this process that ended before we came live on in its signal->stats (kernel/taskstats.c). */
static void add_ended_threads(struct task_struct *task, __u64 ns[DELAYS])
{
	struct taskstats *stats = task->signal->stats;

	if (!stats)
		return;
	ns[CPU] += stats->cpu_delay_total;
	ns[BLKIO] += stats->blkio_delay_total;
	ns[SWAPIN] += stats->swapin_delay_total;
	ns[FREEPAGES] += stats->freepages_delay_total;
	ns[THRASHING] += FIELD_OR_0(stats, thrashing_delay_total);
	ns[COMPACT] += FIELD_OR_0(stats, compact_delay_total);
	ns[WPCOPY] += FIELD_OR_0(stats, wpcopy_delay_total);
	ns[IRQ] += FIELD_OR_0(stats, irq_delay_total);
}

/* Adds what came since the last time. The exchange makes a pass and an exit on two CPUs each count their own part. */
static void settle(struct accounted *before, const __u64 now[DELAYS], struct totals *to)
{
	for (int i = 0; i < DELAYS; i++) {
		__u64 last = __sync_lock_test_and_set(&before->ns[i], now[i]);

		if (now[i] > last)
			__sync_fetch_and_add(&to->ns[i], now[i] - last);
	}
}

static void add(const __u64 ns[DELAYS], struct totals *to)
{
	for (int i = 0; i < DELAYS; i++)
		if (ns[i])
			__sync_fetch_and_add(&to->ns[i], ns[i]);
}

SEC("iter/task")
int pass_over_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	const __u32 zero = 0;
	struct counters *count = bpf_map_lookup_elem(&counters, &zero);
	__u64 now[DELAYS] = {};

	/* What has begun to exit is settled by its exit, or was. */
	if (!task || !count || task->flags & PF_EXITING)
		return 0;

	struct totals *to = totals_of(cgroup_of(task), count);
	if (!to)
		return 0;
	count->counted = counted_here();
	if (!task->delays) {
		__u64 pass = count->pass;

		if (__sync_lock_test_and_set(&to->pass, pass) != pass)
			to->unmeasured = 0;
		__sync_fetch_and_add(&to->unmeasured, 1);
	}

	read_delays(task, now);
	struct accounted *before = bpf_task_storage_get(&tasks, task, 0, 0);
	if (before) {
		settle(before, now, to);
		return 0;
	}
	before = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!before) {
		__sync_fetch_and_add(&count->no_storage, 1);
		return 0;
	}
	if (task->start_boottime >= attached_ns || history) {
		settle(before, now, to);
	} else {
		for (int i = 0; i < DELAYS; i++)
			before->ns[i] = now[i];
	}
	if (task->start_boottime < attached_ns && history && task->pid == task->tgid) {
		__u64 ended[DELAYS] = {};

		add_ended_threads(task, ended);
		add(ended, to);
	}
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	const __u32 zero = 0;
	struct counters *count = bpf_map_lookup_elem(&counters, &zero);
	struct accounted *before = bpf_task_storage_get(&tasks, task, 0, 0);
	__u64 now[DELAYS] = {};

	if (!count)
		return 0;
	/* Older than we are and never seen: a thread whose delays its process' signal->stats will bring, or before us. */
	if (!before && task->start_boottime < attached_ns)
		return 0;
	struct totals *to = totals_of(cgroup_of(task), count);
	if (!to)
		return 0;
	read_delays(task, now);
	if (before)
		settle(before, now, to);
	else
		add(now, to);
	return 0;
}
