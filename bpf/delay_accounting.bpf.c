// SPDX-License-Identifier: GPL-2.0
/*
 * How long the tasks of each control group waited: for a CPU, for block I/O, for memory.
 *
 * The kernel keeps these sums per task. A pass over all tasks adds what each waited since the pass before to the totals
 * of the control group that it is in now; when a task is freed the rest is added. So totals only grow: nothing is lost
 * when a task ends between two passes, and nothing goes down when one moves or its pid is used again.
 *
 * The rest is added when the task is freed rather than at sched_process_exit, because a task still waits for a CPU while
 * it takes itself down (0.2 to 0.5 % of all in a fork storm). Until then a pass sees it as a zombie.
 */
#include "common.bpf.h"

#define PF_EXITING 0x00000004 /* include/linux/sched.h */
#define EXIT_DEAD 0x00000010

enum delay { CPU, BLKIO, SWAPIN, FREEPAGES, THRASHING, COMPACT, WPCOPY, IRQ, DELAYS };

/* Whether delays that tasks had before the first pass count. */
const volatile __u8 history = 1;

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

/* receivers/delay_accounting/totals.ts reads this. */
struct totals {
	__u64 ns[DELAYS];
	/* Pass in which `unmeasured` was counted. */
	__u64 pass;
	/* Tasks in that pass without delay accounting, because they were forked while it was off. */
	__u64 unmeasured;
	/* Those that ended. */
	__u64 unmeasured_ended;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u64); /* control group id; 0 for what could not be given to one */
	__type(value, struct totals);
} totals SEC(".maps");

/* Written by user space before each pass, and after the first. */
struct passes {
	/* 0 before the first, 1 during it, and from then on more. */
	__u64 number;
	/* When the first began, in ns since boot. */
	__u64 since_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct passes);
} passes SEC(".maps");

struct counters {
	/* Times that `totals` was full and a delay went to the control group 0. */
	__u64 refused;
	/* Times that the kernel had no memory to remember a task; it is tried again in the next pass. */
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

static struct passes *get_passes(void)
{
	const __u32 zero = 0;

	return bpf_map_lookup_elem(&passes, &zero);
}

static struct counters *get_counters(void)
{
	const __u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

static struct totals *totals_of(__u64 cgroup)
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

	struct counters *count = get_counters();

	if (count)
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
static void read_ended_threads(struct task_struct *task, __u64 ns[DELAYS])
{
	struct taskstats *stats = task->signal->stats;

	if (!stats)
		return;
	ns[CPU] = stats->cpu_delay_total;
	ns[BLKIO] = stats->blkio_delay_total;
	ns[SWAPIN] = stats->swapin_delay_total;
	ns[FREEPAGES] = stats->freepages_delay_total;
	ns[THRASHING] = FIELD_OR_0(stats, thrashing_delay_total);
	ns[COMPACT] = FIELD_OR_0(stats, compact_delay_total);
	ns[WPCOPY] = FIELD_OR_0(stats, wpcopy_delay_total);
	ns[IRQ] = FIELD_OR_0(stats, irq_delay_total);
}

/* Adds what came since the last time. */
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

/* What a task that was there before us brings along. Threads that ended come with the leader, even if it ended itself. */
static void inherit(struct task_struct *task, struct accounted *before, const __u64 now[DELAYS], struct totals *to)
{
	bool exiting = task->flags & PF_EXITING;

	if (history && !exiting) {
		settle(before, now, to);
	} else {
		for (int i = 0; i < DELAYS; i++)
			before->ns[i] = now[i];
	}
	if (history && task->pid == task->tgid && task->signal->live.counter > 0) {
		__u64 ended[DELAYS] = {};

		read_ended_threads(task, ended);
		add(ended, to);
	}
}

static void count_unmeasured(struct totals *to, __u64 pass)
{
	if (to->pass != pass) {
		to->pass = pass;
		to->unmeasured = 0;
	}
	to->unmeasured++;
}

SEC("iter/task")
int pass_over_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct passes *pass = get_passes();
	struct counters *count = get_counters();
	__u64 now[DELAYS] = {};

	if (!task || !pass || !count)
		return 0;
	if (!pass->since_ns) {
		pass->since_ns = bpf_ktime_get_boot_ns();
		count->counted = counted_here();
	}
	/* It is freed after a grace period from here on, so on_free() cannot run while we look at any other. */
	if (task->exit_state == EXIT_DEAD)
		return 0;

	struct totals *to = totals_of(cgroup_of(task));

	if (!to)
		return 0;
	if (!task->delays && !(task->flags & PF_EXITING))
		count_unmeasured(to, pass->number);

	struct accounted *before = bpf_task_storage_get(&tasks, task, 0, 0);
	bool seen = before;

	if (!before)
		before = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!before) {
		__sync_fetch_and_add(&count->no_storage, 1);
		return 0;
	}
	read_delays(task, now);
	if (!seen && pass->number == 1 && task->start_boottime < pass->since_ns)
		inherit(task, before, now, to);
	else
		settle(before, now, to);
	return 0;
}

/* The last moment of a task, a grace period after it was reaped. Its control group may have been removed meanwhile. */
SEC("tp_btf/sched_process_free")
int BPF_PROG(on_free, struct task_struct *task)
{
	struct passes *pass = get_passes();
	struct accounted *before = bpf_task_storage_get(&tasks, task, 0, 0);
	__u64 now[DELAYS] = {};

	/* It ended before we came. */
	if (!pass || !pass->number || (!before && pass->number == 1 && task->start_boottime < pass->since_ns))
		return 0;

	struct totals *to = totals_of(cgroup_of(task));

	if (!to)
		return 0;
	read_delays(task, now);
	if (before)
		settle(before, now, to);
	else
		add(now, to);
	if (!task->delays)
		__sync_fetch_and_add(&to->unmeasured_ended, 1);
	return 0;
}
