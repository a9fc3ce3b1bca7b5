// SPDX-License-Identifier: GPL-2.0
/*
 * Who talks to whom over TCP, counted where it happens: per control group, network namespace and destination.
 *
 * A socket is counted exactly when `sockets` has an entry for it. The entry is made when it is dialled or accepted, or
 * when a pass over all descriptors finds one that was there before us; whatever closes without an entry is counted as
 * it closes. So nothing is counted twice and nothing is missed, also when the map is full.
 *
 * Bytes, retransmits and round-trip times are in struct tcp_sock anyway. They are added when a socket closes and, for
 * those that live, by the pass; an entry remembers what was added already.
 *
 * Connections whose destination user space has not classed as direct are not summed here but told one by one, with
 * absolute numbers, because only conntrack knows who answers them.
 */
#include "common.bpf.h"
#include "types_net.h"
#include <bpf/bpf_endian.h>

/* 1: tell connections to destinations of unknown class one by one. 0: nobody listens, count all here. */
const volatile __u8 resolve = 1;
/* Destinations, and listening addresses, that one control group may have before the rest is folded into one. */
const volatile __u32 max_destinations = 2000;

#define BOUNDS 6
#define BUCKETS (BOUNDS + 1)

/* Upper bounds in microseconds; receivers/tcp_connections/totals.ts has the same. */
static const __u32 bounds_us[BOUNDS] = { 500, 2000, 10000, 50000, 250000, 1000000 };

/* IPv4 as ::ffff:a.b.c.d. */
struct address {
	__u32 words[4];
};

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
	__uint(max_entries, 16384);
	__type(key, struct key);
	__type(value, struct totals);
} totals SEC(".maps");

/* Keys of each control group in `totals`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u32);
} quotas SEC(".maps");

/* Where the numbers of a socket go, decided once. */
enum route { COUNTED, FOLDED, NOT_RESOLVED, TOLD };

#define DIALLING 1
#define INCOMING 2
/* Neither side has closed it for good. */
#define ACTIVE 4
#define RESET_RECEIVED 8
/* It has closed and is counted; the last program takes the entry away. */
#define ENDED 16

/* A socket that is dialled, or open. */
struct entry {
	__u64 cgroup;
	/* When it was dialled; 0 if we did not see that. */
	__u64 dialled_ns;
	__u64 sent;
	__u64 received;
	__u32 retransmits;
	__u32 tgid;
	__u8 flags;
	__u8 route;
	__u16 reserved;
	/* Of the handshake, in microseconds; 0 if we did not see it. */
	__u32 connect_us;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64); /* address of the struct sock */
	__type(value, struct entry);
} sockets SEC(".maps");

struct destination {
	struct address address;
	__u32 netns;
	__u16 port;
	__u16 reserved;
};

/* Destinations that nobody translates. User space writes it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct destination);
	__type(value, __u64);
} direct SEC(".maps");

/* Control groups that belong to no container. User space writes it: of their sockets whoever holds them is asked. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} nobody SEC(".maps");

struct listener {
	__u32 netns;
	__u32 port;
};

/* Listening sockets in the hands of another control group than made them (socket activation). User space writes it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct listener);
	__type(value, __u64);
} listeners SEC(".maps");

enum event { OPENED = 1, FAILED, CLOSED, LIVES, LISTENS };

/* One connection. receivers/tcp_connections/records.ts reads this. All numbers are since the socket began. */
struct record {
	__u64 socket;
	__u64 cgroup;
	struct address local;
	struct address remote;
	__u64 sent;
	__u64 received;
	__u32 netns;
	__u16 local_port;
	__u16 remote_port;
	__u32 retransmits;
	__u32 srtt_us;
	__u32 min_rtt_us;
	__u32 connect_us;
	__u32 tgid;
	/* Listeners: connections that were thrown away. */
	__u32 drops;
	__u8 event;
	__u8 failure;
	__u8 flags;
	__u8 reserved[5];
	/* Of the process that holds the descriptor; only where a pass tells. */
	__u64 holder_cgroup;
	/* CLOCK_MONOTONIC; 0 if we did not see it. */
	__u64 dialled_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2 * 1024 * 1024);
} records SEC(".maps");

struct counters {
	/* Sockets for which there was no room in `sockets`: they are counted when they close. */
	__u64 no_entry;
	/* Times that a new key did not fit, or was one too many of its control group. */
	__u64 folded;
	/* Records that did not fit into the ring: counted, but nobody can tell who answered. */
	__u64 ring_full;
	/* Times that not even the folded key could be made, so the number is lost. */
	__u64 lost;
	/* Sockets whose direction was not clear at first sight. They are looked at again. */
	__u64 unclear;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counters SEC(".maps");

/* Number of the pass; user space counts it up. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} pass SEC(".maps");

#define COUNT(what)                                                                                 \
	({                                                                                          \
		const __u32 zero = 0;                                                               \
		struct counters *all = bpf_map_lookup_elem(&counters, &zero);                       \
		if (all)                                                                            \
			__sync_fetch_and_add(&all->what, 1);                                        \
	})

/* Pointers that a program was handed as BTF pointers can be followed as they are, which is a third cheaper. */
#define GET(pointer, field) (btf ? (pointer)->field : BPF_CORE_READ(pointer, field))

static __always_inline const struct tcp_sock *tcp_of(const struct sock *sk, const bool btf)
{
	return btf ? bpf_skc_to_tcp_sock((void *)sk) : (const struct tcp_sock *)sk;
}

static __always_inline struct address mapped(__be32 v4)
{
	return (struct address){ { 0, 0, bpf_htonl(0xffff), v4 } };
}

static __always_inline struct address remote_of(const struct sock *sk, const bool btf)
{
	if (GET(sk, __sk_common.skc_family) == AF_INET)
		return mapped(GET(sk, __sk_common.skc_daddr));
	return (struct address){ { GET(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[0]),
				   GET(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[1]),
				   GET(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[2]),
				   GET(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[3]) } };
}

static __always_inline struct address local_of(const struct sock *sk, const bool btf)
{
	if (GET(sk, __sk_common.skc_family) == AF_INET)
		return mapped(GET(sk, __sk_common.skc_rcv_saddr));
	return (struct address){ { GET(sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[0]),
				   GET(sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[1]),
				   GET(sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[2]),
				   GET(sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[3]) } };
}

static __always_inline __u32 netns_of(const struct sock *sk, const bool btf)
{
	return btf ? sk->__sk_common.skc_net.net->ns.inum : BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

/* In the v2 tree: a socket keeps the control group it was born in. 0 where it has none. */
static __always_inline __u64 cgroup_of_socket(const struct sock *sk, const bool btf)
{
	if (HAS(struct sock, sk_cgrp_data.cgroup)) {
		if (btf)
			return sk->sk_cgrp_data.cgroup->kn->id;
		return BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	}

	const struct sock_cgroup_data___val *data = (const void *)&sk->sk_cgrp_data;
	__u64 value = BPF_CORE_READ(data, val);

	if (value & 1)
		return 0;
	return BPF_CORE_READ((const struct cgroup *)(value & ~3ULL), kn, id);
}

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

/* A socket keeps the control group that it was born in, which may have made it for another: systemd, a runtime. */
static __always_inline __u64 dialling_cgroup(const struct sock *sk, const bool btf)
{
	if (canonical_tree != V2_TREE)
		return cgroup_of_current();

	__u64 born = cgroup_of_socket(sk, btf);
	__u64 current = bpf_get_current_cgroup_id();

	return born != current && bpf_map_lookup_elem(&nobody, &born) ? current : born;
}

static __always_inline __u64 accepting_cgroup(const struct sock *sk, const struct tcp_sock *tp, const bool btf)
{
	__u64 born = cgroup_of_socket(sk, btf);

	if (!bpf_map_lookup_elem(&nobody, &born))
		return born;

	struct listener listener = {
		.netns = netns_of(sk, btf),
		.port = bpf_ntohs(GET(tp, inet_conn.icsk_inet.inet_sport)),
	};
	__u64 *holder = bpf_map_lookup_elem(&listeners, &listener);

	return holder ? *holder : born;
}

static __always_inline bool is_tcp(const struct sock *sk, const bool btf)
{
	return GET(sk, sk_protocol) == IPPROTO_TCP;
}

/* What struct tcp_sock knows of a connection. */
struct numbers {
	__u64 sent;
	__u64 received;
	__u32 retransmits;
	__u32 srtt_us;
	__u32 min_rtt_us;
};

static __always_inline struct numbers numbers_of(const struct sock *sk, const struct tcp_sock *tp, const bool btf)
{
	__u64 received = GET(tp, bytes_received);

	/* The other side's FIN counts as a byte (tcp_rcv_nxt_update in net/ipv4/tcp_input.c). */
	if (received && GET(sk, __sk_common.skc_flags) & 1 << SOCK_DONE)
		received--;
	return (struct numbers){
		.sent = GET(tp, bytes_sent) - GET(tp, bytes_retrans),
		.received = received,
		.retransmits = GET(tp, total_retrans),
		.srtt_us = GET(tp, srtt_us) >> 3,
		.min_rtt_us = GET(tp, rtt_min.s[0].v),
	};
}

/*
 * Whether a connection was accepted rather than dialled: 1, 0, or -1 for unclear, which it is while the numbers change
 * under our eyes. What is acknowledged and what is under way are together what was sent, and one more for the SYN, but
 * that counts only on the side that sent it first; and one more for a FIN that has left.
 */
static __always_inline int is_incoming(const struct tcp_sock *tp, int state, const bool btf)
{
	__u32 next = GET(tp, snd_nxt);
	__u32 sequence = next - GET(tp, snd_una) + (__u32)GET(tp, bytes_acked) -
			 (__u32)(GET(tp, bytes_sent) - GET(tp, bytes_retrans));

	if (next != GET(tp, snd_nxt))
		return -1;
	if ((state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING || state == TCP_LAST_ACK) &&
	    next == GET(tp, write_seq))
		sequence--;
	return sequence == 1 ? 0 : sequence == 0 ? 1 : -1;
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

static __always_inline bool is_direct(const struct key *key)
{
	struct destination destination = { .address = key->address, .netns = key->netns, .port = key->port };

	return !resolve || key->kind != OUTBOUND || bpf_map_lookup_elem(&direct, &destination);
}

static __always_inline bool may_grow(__u64 cgroup)
{
	const __u32 none = 0;
	__u32 *used = bpf_map_lookup_elem(&quotas, &cgroup);

	if (!used) {
		bpf_map_update_elem(&quotas, &cgroup, &none, BPF_NOEXIST);
		used = bpf_map_lookup_elem(&quotas, &cgroup);
	}
	if (!used || *used >= max_destinations)
		return false;
	__sync_fetch_and_add(used, 1);
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
	if (!found) {
		/* The table is full: what belongs to nobody still has a place, which user space has made. */
		other.cgroup = 0;
		found = bpf_map_lookup_elem(&totals, &other);
	}
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

static __always_inline __u32 bucket_of(__u32 us)
{
	__u32 bucket = 0;

#pragma unroll
	for (int i = 0; i < BOUNDS; i++)
		bucket += us > bounds_us[i];
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

static __always_inline void add_connect(struct totals *to, const struct entry *entry)
{
	__u32 bucket = bucket_of(entry->connect_us);

	__sync_fetch_and_add(&to->connects, 1);
	if (!entry->dialled_ns || bucket >= BUCKETS)
		return;
	__sync_fetch_and_add(&to->timed_connects, 1);
	__sync_fetch_and_add(&to->connect_ns, (__u64)entry->connect_us * 1000);
	__sync_fetch_and_add(&to->connect_times[bucket], 1);
}

static __always_inline __u64 more(__u64 *told, __u64 now, const bool exact)
{
	__u64 before;

	/* A pass may look at a socket that closes on another CPU. Where there are no passes nobody needs the exchange. */
	if (exact) {
		before = __sync_lock_test_and_set(told, now);
	} else {
		before = *told;
		*told = now;
	}
	return now > before ? now - before : 0;
}

/* Adds what came since the last time. */
static __always_inline void settle(struct entry *entry, const struct numbers *now, struct totals *to, bool closing,
				   const bool exact)
{
	bool is_new = closing && !entry->sent && !entry->received;
	__u64 sent = more(&entry->sent, now->sent, exact);
	__u64 received = more(&entry->received, now->received, exact);
	__u32 retransmits = now->retransmits - entry->retransmits;

	entry->retransmits = now->retransmits;
	if (sent)
		__sync_fetch_and_add(&to->sent, sent);
	if (received)
		__sync_fetch_and_add(&to->received, received);
	if (retransmits)
		__sync_fetch_and_add(&to->retransmits, retransmits);
	if (sent || received || is_new)
		add_rtt(to, now);
}

static __always_inline void fill(struct record *record, const struct sock *sk, const struct tcp_sock *tp,
				 const struct entry *entry, enum event event, const bool btf)
{
	struct numbers now = numbers_of(sk, tp, btf);

	record->socket = (__u64)sk;
	record->cgroup = entry->cgroup;
	record->local = local_of(sk, btf);
	record->remote = remote_of(sk, btf);
	record->sent = now.sent;
	record->received = now.received;
	record->netns = netns_of(sk, btf);
	record->local_port = bpf_ntohs(GET(tp, inet_conn.icsk_inet.inet_sport));
	record->remote_port = bpf_ntohs(GET(sk, __sk_common.skc_dport));
	record->retransmits = now.retransmits;
	record->srtt_us = now.srtt_us;
	record->min_rtt_us = now.min_rtt_us;
	record->connect_us = entry->dialled_ns ? entry->connect_us + 1 : 0;
	record->tgid = entry->tgid;
	record->drops = 0;
	record->event = event;
	record->failure = 0;
	record->flags = entry->flags;
	__builtin_memset(record->reserved, 0, sizeof(record->reserved));
	record->holder_cgroup = 0;
	record->dialled_ns = entry->dialled_ns;
}

/* Whether the record is on its way. */
static __always_inline bool tell(const struct sock *sk, const struct tcp_sock *tp, const struct entry *entry,
				 enum event event, enum failure failure, const bool btf)
{
	struct record *record = bpf_ringbuf_reserve(&records, sizeof(*record), 0);

	if (!record) {
		COUNT(ring_full);
		return false;
	}
	fill(record, sk, tp, entry, event, btf);
	record->failure = failure;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return true;
}

/* An entry begins to count. */
static __always_inline void open_entry(const struct sock *sk, const struct tcp_sock *tp, struct entry *entry,
				       bool announce, const bool btf)
{
	struct key key;
	struct totals *to;

	key_of(&key, sk, tp, entry->cgroup, entry->flags & INCOMING, btf);
	entry->route = COUNTED;
	if (!is_direct(&key)) {
		entry->route = TOLD;
		if (!announce || tell(sk, tp, entry, OPENED, 0, btf))
			return;
		entry->route = NOT_RESOLVED;
		key.kind = UNRESOLVED;
	}
	to = totals_of(&key, &entry->route);
	if (!to)
		return;
	add_connect(to, entry);
	if (entry->flags & ACTIVE)
		__sync_fetch_and_add(&to->active, 1);
}

static __always_inline struct totals *totals_of_entry(const struct sock *sk, const struct tcp_sock *tp,
						      struct entry *entry, const bool btf)
{
	struct key key;

	key_of(&key, sk, tp, entry->cgroup, entry->flags & INCOMING, btf);
	if (entry->route == NOT_RESOLVED || entry->route == TOLD)
		key.kind = UNRESOLVED;
	return totals_of(&key, &entry->route);
}

static __always_inline struct entry *make_entry(const struct sock *sk, const struct entry *fresh)
{
	__u64 id = (__u64)sk;
	long failed = bpf_map_update_elem(&sockets, &id, fresh, BPF_NOEXIST);

	if (!failed)
		return bpf_map_lookup_elem(&sockets, &id);
	if (failed != -17) /* EEXIST: a pass was faster */
		COUNT(no_entry);
	return 0;
}

/* Of several programs that see one event after another. */
enum place { ALONE, FIRST, SECOND, LAST };

static __always_inline bool is_first(const enum place place)
{
	return place == ALONE || place == FIRST;
}

/* CLOSE -> SYN_SENT is the only transition that runs in the dialling task. */
static __always_inline void dialled(const struct sock *sk, const bool btf, const enum place place)
{
	__u64 id = (__u64)sk;
	struct entry *before = is_first(place) ? 0 : bpf_map_lookup_elem(&sockets, &id);

	/* What is in the way here otherwise is of another socket, whose end nobody saw. */
	if (before && before->flags & DIALLING)
		return;

	struct entry entry = {
		.cgroup = dialling_cgroup(sk, btf),
		.dialled_ns = bpf_ktime_get_ns(),
		.tgid = bpf_get_current_pid_tgid() >> 32,
		.flags = DIALLING,
	};

	if (bpf_map_update_elem(&sockets, &id, &entry, BPF_ANY))
		COUNT(no_entry);
}

static __always_inline void established(const struct sock *sk, const struct tcp_sock *tp, int old, const bool btf)
{
	__u64 id = (__u64)sk;
	struct entry *entry = bpf_map_lookup_elem(&sockets, &id);

	if (entry && entry->flags & ENDED) {
		bpf_map_delete_elem(&sockets, &id);
		entry = 0;
	}
	if (entry) {
		if (!(entry->flags & DIALLING))
			return;
		entry->connect_us = (bpf_ktime_get_ns() - entry->dialled_ns) / 1000;
		entry->flags = ACTIVE;
	} else {
		struct entry fresh = {
			.cgroup = old == TCP_SYN_SENT ? cgroup_of_socket(sk, btf) : accepting_cgroup(sk, tp, btf),
			.flags = old == TCP_SYN_SENT ? ACTIVE : ACTIVE | INCOMING,
		};

		entry = make_entry(sk, &fresh);
		if (!entry)
			return;
	}
	open_entry(sk, tp, entry, true, btf);
}

static __always_inline enum failure failure_of(const struct sock *sk, const struct tcp_sock *tp, const bool btf)
{
	switch (GET(sk, sk_err)) {
	case 111:
		return REFUSED;
	case 110:
		return TIMED_OUT;
	case 113:
		return HOST_UNREACHABLE;
	case 101:
		return NET_UNREACHABLE;
	case 104:
		return RESET;
	case 0:
		/* Without a SYN there was no local address or port left for it. */
		return GET(tp, segs_out) ? ABANDONED : NO_ADDRESS;
	}
	return OTHER_FAILURE;
}

static __always_inline void failed(const struct sock *sk, const struct tcp_sock *tp, struct entry *entry, const bool btf)
{
	enum failure failure = failure_of(sk, tp, btf);
	__u32 retransmits = GET(tp, total_retrans);
	struct totals *to;
	struct key key;

	key_of(&key, sk, tp, entry->cgroup, false, btf);
	if (!is_direct(&key)) {
		if (tell(sk, tp, entry, FAILED, failure, btf))
			return;
		key.kind = UNRESOLVED;
	}
	to = totals_of(&key, &entry->route);
	if (!to || failure >= FAILURES)
		return;
	__sync_fetch_and_add(&to->failures[failure], 1);
	if (retransmits)
		__sync_fetch_and_add(&to->retransmits, retransmits);
}

static __always_inline bool is_open(int state)
{
	return state == TCP_ESTABLISHED || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSE_WAIT ||
	       state == TCP_LAST_ACK || state == TCP_CLOSING;
}

static __always_inline void closed(const struct sock *sk, const struct tcp_sock *tp, int old, const bool btf,
				   const bool exact, const enum place place)
{
	__u64 id = (__u64)sk;
	struct entry *entry = bpf_map_lookup_elem(&sockets, &id);
	struct entry fresh = {};
	struct numbers now;
	struct totals *to;

	if (!entry && !is_first(place))
		return;
	if (entry && entry->flags & ENDED)
		goto forget;
	if (!entry) {
		int incoming = old == TCP_SYN_SENT ? 0 : is_incoming(tp, old, btf);

		if (old != TCP_SYN_SENT && !is_open(old))
			return;
		if (incoming < 0) {
			COUNT(unclear);
			return;
		}
		fresh.cgroup = incoming ? accepting_cgroup(sk, tp, btf) : cgroup_of_socket(sk, btf);
		fresh.flags = old == TCP_SYN_SENT ? DIALLING : incoming ? INCOMING : 0;
		if (!(fresh.flags & DIALLING))
			open_entry(sk, tp, &fresh, true, btf);
		entry = &fresh;
	}
	/* Else the compiler works on the pointer before it knows which of the two it is. */
	barrier_var(entry);
	/* Whoever was open is no failure, even if its opening was passed over. */
	if (entry->flags & DIALLING && is_open(old)) {
		entry->flags &= ~DIALLING;
		entry->dialled_ns = 0;
		open_entry(sk, tp, entry, true, btf);
	}
	if (entry->flags & DIALLING) {
		failed(sk, tp, entry, btf);
		goto forget;
	}
	if (entry->route == TOLD && tell(sk, tp, entry, CLOSED, 0, btf))
		goto forget;
	to = totals_of_entry(sk, tp, entry, btf);
	if (!to)
		goto forget;
	now = numbers_of(sk, tp, btf);
	settle(entry, &now, to, true, exact);
	if (entry->flags & ACTIVE && entry->route != TOLD)
		__sync_fetch_and_add(&to->active, -1);
	if (entry->flags & RESET_RECEIVED)
		__sync_fetch_and_add(&to->resets_received, 1);
forget:
	if (place == ALONE || place == LAST)
		bpf_map_delete_elem(&sockets, &id);
	else
		entry->flags = ENDED;
}

/* close() or shutdown() of both directions: from here on only the kernel has to do with it. */
static __always_inline void left(const struct sock *sk, const struct tcp_sock *tp, const bool btf)
{
	__u64 id = (__u64)sk;
	struct entry *entry;
	struct totals *to;

	if (GET(sk, sk_shutdown) != SHUTDOWN_MASK)
		return;
	entry = bpf_map_lookup_elem(&sockets, &id);
	if (!entry || !(entry->flags & ACTIVE))
		return;
	entry->flags &= ~ACTIVE;
	if (entry->route == TOLD)
		return;
	to = totals_of_entry(sk, tp, entry, btf);
	if (to)
		__sync_fetch_and_add(&to->active, -1);
}

static __always_inline int on_state(const struct sock *sk, int old, int now, const bool btf, const bool exact,
				    const enum place place)
{
	const struct tcp_sock *tp;

	if (!is_tcp(sk, btf))
		return 0;
	if (now == TCP_SYN_SENT) {
		if (old == TCP_CLOSE)
			dialled(sk, btf, place);
		return 0;
	}
	if (now != TCP_ESTABLISHED && now != TCP_CLOSE && now != TCP_FIN_WAIT1 && now != TCP_FIN_WAIT2 &&
	    now != TCP_LAST_ACK)
		return 0;
	tp = tcp_of(sk, btf);
	if (!tp)
		return 0;
	if (now == TCP_ESTABLISHED)
		established(sk, tp, old, btf);
	else if (now == TCP_CLOSE)
		closed(sk, tp, old, btf, exact, place);
	else
		left(sk, tp, btf);
	return 0;
}

/*
 * The kernel passes a program over while the same one is under way on that CPU, which it is for a whole time slice when
 * its task is preempted there (__bpf_trace_run in kernel/trace/bpf_trace.c, since 6.2). So three of them run after one
 * another, and each does only what has not been done: the entry of the socket, which is locked meanwhile, tells.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_btf, const struct sock *sk, int old, int now)
{
	return on_state(sk, old, now, true, true, FIRST);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_second, const struct sock *sk, int old, int now)
{
	return on_state(sk, old, now, true, true, SECOND);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_last, const struct sock *sk, int old, int now)
{
	return on_state(sk, old, now, true, true, LAST);
}

/* For kernels without passes and without exchanges: 5.8 to 5.10. They pass nothing over. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_alone, const struct sock *sk, int old, int now)
{
	return on_state(sk, old, now, true, false, ALONE);
}

SEC("raw_tp/inet_sock_set_state")
int on_state_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return on_state((const struct sock *)ctx->args[0], ctx->args[1], ctx->args[2], false, false, ALONE);
}

SEC("tp/sock/inet_sock_set_state")
int on_state_tp(struct trace_event_raw_inet_sock_set_state *ctx)
{
	return on_state(ctx->skaddr, ctx->oldstate, ctx->newstate, false, false, ALONE);
}

/* The socket goes to CLOSE right after. */
static __always_inline int reset_came(const struct sock *sk)
{
	__u64 id = (__u64)sk;
	struct entry *entry = bpf_map_lookup_elem(&sockets, &id);

	if (entry && !(entry->flags & (DIALLING | ENDED)))
		entry->flags |= RESET_RECEIVED;
	return 0;
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(on_reset_received_btf, const struct sock *sk)
{
	return reset_came(sk);
}

SEC("raw_tp/tcp_receive_reset")
int on_reset_received_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return reset_came((const struct sock *)ctx->args[0]);
}

/* Of a connection that was open. Its entry may be gone by now: close() first changes the state and then sends. */
static __always_inline int reset_sent(const struct sock *sk, const bool btf)
{
	const struct tcp_sock *tp;
	__u8 route = COUNTED;
	struct totals *to;
	struct key key;
	int incoming;
	int state;

	if (!sk)
		return 0;
	state = GET(sk, __sk_common.skc_state);
	if ((!is_open(state) && state != TCP_CLOSE) || !is_tcp(sk, btf))
		return 0;
	tp = tcp_of(sk, btf);
	if (!tp)
		return 0;
	incoming = is_incoming(tp, state == TCP_CLOSE ? TCP_ESTABLISHED : state, btf);
	if (incoming < 0)
		return 0;
	key_of(&key, sk, tp, incoming ? accepting_cgroup(sk, tp, btf) : cgroup_of_socket(sk, btf), incoming, btf);
	if (!is_direct(&key))
		key.kind = UNRESOLVED;
	to = totals_of(&key, &route);
	if (to)
		__sync_fetch_and_add(&to->resets_sent, 1);
	return 0;
}

SEC("tp_btf/tcp_send_reset")
int BPF_PROG(on_reset_sent_btf, const struct sock *sk)
{
	return reset_sent(sk, true);
}

SEC("raw_tp/tcp_send_reset")
int on_reset_sent_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return reset_sent((const struct sock *)ctx->args[0], false);
}

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
