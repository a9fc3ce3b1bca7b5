/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The few kernel types our programs read, written by hand: only the members that are used, found at load time by
 * CO-RE. A generated header would be 3 MB and would put full structs into every object's BTF.
 */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef int pid_t;
typedef _Bool bool;
enum { false, true };

/* include/uapi/linux/bpf.h */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_AVAIL_DATA = 0,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	unsigned int flags;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

enum cgroup_subsys_id {
	cpu_cgrp_id,
	cpuacct_cgrp_id,
	memory_cgrp_id,
	pids_cgrp_id,
	CGROUP_SUBSYS_COUNT = 16,
};

struct css_set {
	struct cgroup_subsys_state *subsys[CGROUP_SUBSYS_COUNT];
	struct cgroup *dfl_cgrp;
};

struct sched_info {
	unsigned long long run_delay;
};

/* include/linux/delayacct.h */
struct task_delay_info {
	__u64 blkio_delay;
	__u64 swapin_delay;
	__u64 freepages_delay;
	__u64 thrashing_delay;
	__u64 compact_delay;
	__u64 wpcopy_delay;
	__u64 irq_delay;
};

/* include/uapi/linux/taskstats.h */
struct taskstats {
	__u64 cpu_delay_total;
	__u64 blkio_delay_total;
	__u64 swapin_delay_total;
	__u64 freepages_delay_total;
	__u64 thrashing_delay_total;
	__u64 compact_delay_total;
	__u64 wpcopy_delay_total;
	__u64 irq_delay_total;
};

typedef struct {
	int counter;
} atomic_t;

struct mm_struct;

struct signal_struct {
	struct taskstats *stats;
	atomic_t live;
	struct mm_struct *oom_mm;
};

struct task_struct {
	unsigned int flags;
	int exit_state;
	pid_t pid;
	pid_t tgid;
	__u64 start_boottime;
	struct sched_info sched_info;
	struct task_delay_info *delays;
	struct signal_struct *signal;
	struct css_set *cgroups;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop
