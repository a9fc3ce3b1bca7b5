/* SPDX-License-Identifier: GPL-2.0 */
/* What is counted apart, and the sums of it. Bounded: what is one too many goes to one key of its control group. */
#pragma once

#include "tcp_losses.h"
#include "tcp_reading.h"

/* 1: tell connections to destinations of unknown class one by one. 0: nobody listens, count all here. */
const volatile __u8 resolve = 1;
/* 1: what the first pass finds counts as connected, with all its bytes. 0: from then on only. */
const volatile __u8 history = 1;
/* Destinations, and listening addresses, that one control group may have before the rest is folded into one. */
const volatile __u32 max_destinations = 2000;

#define BOUNDS 6
#define BUCKETS (BOUNDS + 1)

/* Upper bounds in microseconds; receivers/tcp_connections/totals.ts has the same. */
static const __u32 bounds_us[BOUNDS] = { 500, 2000, 10000, 50000, 250000, 1000000 };

/* Keys of all control groups together, and room besides for what each of them has too many. */
#define MOST_KEYS 16384
#define MOST_APART 12288

enum kind { OUTBOUND = 1, UNRESOLVED, OTHER_OUTBOUND, INBOUND, OTHER_INBOUND };

/* What is counted apart. For inbound connections the address is the local one. */
struct key {
	__u64 cgroup;
	struct address address;
	__u32 netns;
	__u16 port;
	__u8 kind;
	__u8 reserved;
};

enum failure { REFUSED, TIMED_OUT, HOST_UNREACHABLE, NET_UNREACHABLE, RESET, ABANDONED, NO_ADDRESS, OTHER_FAILURE, FAILURES };

/* All but `active` and the minimum only grow. receivers/tcp_connections/totals.ts reads this. */
struct totals {
	__u64 sent;
	__u64 received;
	__u64 connect_ns;
	__u64 rtt_us;
	__u32 connects;
	__u32 timed_connects;
	__s32 active;
	__u32 retransmits;
	__u32 resets_sent;
	__u32 resets_received;
	/* Smallest round trip of those that were looked at since pass number `min_rtt_pass`. */
	__u32 min_rtt_us;
	__u32 min_rtt_pass;
	__u32 failures[FAILURES];
	__u32 connect_times[BUCKETS];
	__u32 rtts[BUCKETS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MOST_KEYS);
	__type(key, struct key);
	__type(value, struct totals);
} totals SEC(".maps");

/* Where the quota of all control groups together is. A socket may know none, which is 0. */
#define ALL_GROUPS (1ULL << 63)

/* Keys of each control group in `totals`. What is folded is not among them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} quotas SEC(".maps");

/* Where the numbers of a socket go, decided once. */
enum route { COUNTED, FOLDED, NOT_RESOLVED, TOLD };

/* Number of the pass; user space counts it up. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} pass SEC(".maps");

/* User space counts up before each, from 1. */
static __always_inline __u32 number_of_pass(void)
{
	const __u32 zero = 0;
	__u32 *number = bpf_map_lookup_elem(&pass, &zero);

	return number ? *number : 0;
}

static __always_inline bool is_first_pass(void)
{
	return number_of_pass() == 2;
}

static __always_inline void key_of(struct key *key, const struct sock *sk, const struct tcp_sock *tp, __u64 cgroup,
				   bool incoming, const bool btf)
{
	key->cgroup = cgroup;
	key->netns = netns_of(sk, btf);
	key->reserved = 0;
	if (incoming) {
		key->address = local_of(sk, btf);
		/* skc_num is 0 by the time it closes. */
		key->port = bpf_ntohs(GET(tp, inet_conn.icsk_inet.inet_sport));
		key->kind = INBOUND;
	} else {
		key->address = remote_of(sk, btf);
		key->port = bpf_ntohs(GET(sk, __sk_common.skc_dport));
		key->kind = OUTBOUND;
	}
}

static __always_inline __u32 *quota_of(__u64 cgroup)
{
	const __u32 none = 0;
	__u32 *used = bpf_map_lookup_elem(&quotas, &cgroup);

	if (used)
		return used;
	bpf_map_update_elem(&quotas, &cgroup, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&quotas, &cgroup);
}

/* Others fill the table as well: what one has too many then must still find its own folded key. */
static __always_inline bool may_grow(__u64 cgroup)
{
	__u32 *used = quota_of(cgroup);
	__u32 *all = quota_of(ALL_GROUPS);

	if (!used || !all || *used >= max_destinations || *all >= MOST_APART)
		return false;
	__sync_fetch_and_add(used, 1);
	__sync_fetch_and_add(all, 1);
	return true;
}

static __always_inline struct totals *find_or_make(const struct key *key)
{
	static const struct totals none;

	bpf_map_update_elem(&totals, key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&totals, key);
}

static __always_inline struct totals *folded(const struct key *key)
{
	struct key other = {
		.cgroup = key->cgroup,
		.kind = key->kind == INBOUND || key->kind == OTHER_INBOUND ? OTHER_INBOUND : OTHER_OUTBOUND,
	};
	struct totals *found = bpf_map_lookup_elem(&totals, &other);

	if (!found)
		found = find_or_make(&other);
	/* Thousands have too many: there is no place that would tell whose it was. */
	if (!found)
		COUNT(lost);
	return found;
}

static __always_inline struct totals *totals_of(const struct key *key, __u8 *route)
{
	struct totals *found;

	if (*route == FOLDED)
		return folded(key);
	found = bpf_map_lookup_elem(&totals, key);
	if (found)
		return found;
	if (may_grow(key->cgroup)) {
		found = find_or_make(key);
		if (found)
			return found;
	}
	COUNT(folded);
	*route = FOLDED;
	return folded(key);
}

/* Without a branch: each would be followed by the verifier, and by all that comes after it. */
static __always_inline __u32 bucket_of(__u64 us)
{
	__u32 bucket = 0;

#pragma unroll
	for (int i = 0; i < BOUNDS; i++) {
		__u64 below = bounds_us[i] - us;

		barrier_var(below);
		bucket += below >> 63;
	}
	return bucket;
}

static __always_inline void add_rtt(struct totals *to, const struct numbers *now)
{
	const __u32 zero = 0;
	__u32 *number = bpf_map_lookup_elem(&pass, &zero);
	__u32 bucket = bucket_of(now->srtt_us);

	if (!now->srtt_us || bucket >= BUCKETS)
		return;
	__sync_fetch_and_add(&to->rtts[bucket], 1);
	__sync_fetch_and_add(&to->rtt_us, now->srtt_us);
	/* Two at once may lose the smaller one, which the next pass brings again for what lives. */
	if (number && (to->min_rtt_pass != *number || now->min_rtt_us < to->min_rtt_us)) {
		to->min_rtt_us = now->min_rtt_us;
		to->min_rtt_pass = *number;
	}
}
