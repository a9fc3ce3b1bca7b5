/* SPDX-License-Identifier: GPL-2.0 */
/* What every program of ours needs: the types, the helpers, the licence, and how a task's control group is named. */
#pragma once

#include "types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "compat.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* The tree whose directories' inodes name the control groups; receivers/host decides. */
enum { V2_TREE, V1_MEMORY, V1_CPU, V1_CPUACCT, V1_PIDS };
const volatile __u8 canonical_tree = V2_TREE;

#define V1_INDEX(subsystem)                                                                         \
	(bpf_core_enum_value_exists(enum cgroup_subsys_id, subsystem)                               \
		 ? (int)bpf_core_enum_value(enum cgroup_subsys_id, subsystem)                       \
		 : -1)

/* Place of the canonical v1 controller in css_set.subsys; it differs with the kernel's configuration. */
static inline int v1_index(void)
{
	switch (canonical_tree) {
	case V1_MEMORY:
		return V1_INDEX(memory_cgrp_id);
	case V1_CPU:
		return V1_INDEX(cpu_cgrp_id);
	case V1_CPUACCT:
		return V1_INDEX(cpuacct_cgrp_id);
	case V1_PIDS:
		return V1_INDEX(pids_cgrp_id);
	}
	return -1;
}

static inline __u64 cgroup_of(struct task_struct *task)
{
	struct css_set *set = task->cgroups;

	if (canonical_tree == V2_TREE)
		return set->dfl_cgrp->kn->id;

	int index = v1_index();
	struct cgroup_subsys_state *state = 0;

	if (index < 0)
		return 0;
	bpf_core_read(&state, sizeof(state), &set->subsys[0] + index);
	return BPF_CORE_READ(state, cgroup, kn, id);
}
