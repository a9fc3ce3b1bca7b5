/* SPDX-License-Identifier: GPL-2.0 */
/* What could not be kept or told: counted, so that no loss is silent. */
#pragma once

#include "common.bpf.h"

struct counters {
	/* Sockets for which there was no room in `sockets`: they are counted when they close. */
	__u64 no_entry;
	/* Times that a new key did not fit, or was one too many of its control group. */
	__u64 folded;
	/* Records that did not fit into the ring: counted, but nobody can tell who answered. */
	__u64 ring_full;
	/* Times that not even the folded key could be made, or whose reset it was could not be told, so the number is lost. */
	__u64 lost;
	/* Sockets whose direction was not clear at first sight. They are looked at again. */
	__u64 unclear;
	/* Openings that the kernel told nobody of, counted later. */
	__u64 opening_unseen;
	/* Ends that the kernel told nobody of, counted later. */
	__u64 end_unseen;
	/* Those where it was too late for the last numbers: the memory was another socket's by then. */
	__u64 end_lost;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counters SEC(".maps");

#define COUNT(what)                                                                                 \
	({                                                                                          \
		const __u32 zero = 0;                                                               \
		struct counters *all = bpf_map_lookup_elem(&counters, &zero);                       \
		if (all)                                                                            \
			__sync_fetch_and_add(&all->what, 1);                                        \
	})
