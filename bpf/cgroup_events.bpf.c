// SPDX-License-Identifier: GPL-2.0
/*
 * Control groups as they are made and removed, so that one which lived a few milliseconds is known by id and path even
 * if user space never saw its directory. And the processes that the kernel killed for memory: where such a kill ends a
 * container, its files are gone before anybody can read the count in them.
 */
#include "common.bpf.h"

/* TRACE_CGROUP_PATH_LEN of kernel/cgroup/cgroup-internal.h: longer paths reach us cut short. */
#define PATH_SIZE 1024

enum kind { MADE = 1, REMOVED = 2 };

/* cgroup_root.hierarchy_id of the tree to report; 0 is the v2 tree. */
const volatile __s32 hierarchy = 0;

/* A record in the ring ends with the path's last byte; receivers/host/cgroup_events.ts reads it. */
struct cgroup_event {
	__u64 id;
	/* CLOCK_BOOTTIME. */
	__u64 at_ns;
	__u16 kind;
	/* Bytes of `path`, without its end mark. */
	__u16 path_length;
	__u32 reserved;
	char path[PATH_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} cgroup_events SEC(".maps");

/* Where a record is put together: it is too large for the stack. The kernel calls us under cgroup_mutex. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cgroup_event);
} scratch SEC(".maps");

/* How many records did not fit into the ring. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static void report(struct cgroup *cgroup, const char *path, enum kind kind)
{
	const __u32 zero = 0;
	struct cgroup_event *event = bpf_map_lookup_elem(&scratch, &zero);
	__u64 *losses = bpf_map_lookup_elem(&lost, &zero);

	if (!event || !losses || cgroup->root->hierarchy_id != hierarchy)
		return;

	long size = bpf_probe_read_kernel_str(event->path, PATH_SIZE, path);

	if (size < 1 || size > PATH_SIZE)
		return;
	event->id = cgroup->kn->id;
	event->at_ns = bpf_ktime_get_boot_ns();
	event->kind = kind;
	event->path_length = size - 1;
	event->reserved = 0;
	if (bpf_ringbuf_output(&cgroup_events, event, __builtin_offsetof(struct cgroup_event, path) + size - 1,
			       BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(losses, 1);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_mkdir, struct cgroup *cgroup, const char *path)
{
	report(cgroup, path, MADE);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_rmdir, struct cgroup *cgroup, const char *path)
{
	report(cgroup, path, REMOVED);
	return 0;
}

/* By id of the control group: processes killed for memory. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} oom_kills SEC(".maps");

static void count_kill(__u64 cgroup)
{
	const __u32 zero = 0;
	const __u64 none = 0;
	__u64 *kills, *losses;

	bpf_map_update_elem(&oom_kills, &cgroup, &none, BPF_NOEXIST);
	kills = bpf_map_lookup_elem(&oom_kills, &cgroup);
	if (kills) {
		__sync_fetch_and_add(kills, 1);
		return;
	}
	losses = bpf_map_lookup_elem(&lost, &zero);
	if (losses)
		__sync_fetch_and_add(losses, 1);
}

struct victim {
	__u64 signal;
	__u64 tgid;
};

/* uapi/asm-generic/errno-base.h */
#define EEXIST 17

/* Those that were counted a moment ago. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct victim);
	__type(value, __u8);
} victims SEC(".maps");

/*
 * mark_oom_victim() sets oom_mm (mm/oom_kill.c); the last thread of the process to exit finds nobody alive, and so does
 * any other that comes here after it, for each counts itself out before it tells (do_exit() in kernel/exit.c).
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_victim_exit, struct task_struct *task)
{
	struct victim victim = { .signal = (__u64)task->signal, .tgid = task->tgid };
	const __u8 counted = 1;

	if (!task->signal->oom_mm || task->signal->live.counter != 0)
		return 0;
	if (bpf_map_update_elem(&victims, &victim, &counted, BPF_NOEXIST) != -EEXIST)
		count_kill(cgroup_of(task));
	return 0;
}
