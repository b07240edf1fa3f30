/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which policy an address is under, and which peer protects it: the one
 * question that hooks, fence and ICMP ask.
 *
 * Two tables answer it, by longest prefix: veil_net.addresses, of peers (their
 * own addresses, and prefixes behind them), and veil_net.policies, of prefixes
 * that an administrator gave a policy.  The longer prefix gives the policy, which
 * is the peer's own where it is the peer's; no prefix is in both, but for one that
 * a step moves from one to the other.
 */
#ifndef _VEIL_POLICY_H
#define _VEIL_POLICY_H

#include <linux/timekeeping.h>

#include "net.h"

struct veil_peer;

/* What passed in clear under "prefer"; last: seconds since 1970, of rx. */
struct veil_clear {
	atomic64_t rx;
	atomic64_t tx;
	u64 last;
};

/* A prefix with a policy, in veil_net.policies; freed by RCU. */
struct veil_policy_node {
	struct veil_prefix_node node;
	struct list_head list;		/* veil_net.policy_list */
	u8 kind;			/* enum netveil_policy, but for NONE */
	u8 wanted;			/* once it is kept, or NONE: it is; vn->lock */
	bool leaving;			/* removed at the end of the step; vn->lock */
	bool changing;			/* set by the step; vn->lock */
	struct veil_clear clear;	/* where there is no peer */
	atomic64_t drops;		/* no_peer */
	struct rcu_head rcu;
};

/**
 * struct veil_policy - what holds for an address now
 * @kind: NETVEIL_POLICY_REQUIRE also for "prefer" once a session with @peer was
 *	confirmed: then nothing passes in clear any more
 * @behind: it is in a prefix behind @peer, not an address of @peer itself.  True
 *	without @peer as long as a step makes of a network of ours a peer's, or the
 *	reverse
 * @peer: who has its packets sealed; NULL: nobody (REQUIRE then drops)
 * @node: the prefix that gave @kind; NULL: that of @peer did, or such a step
 */
struct veil_policy {
	enum netveil_policy kind;
	bool behind;
	struct veil_peer *peer;
	struct veil_policy_node *node;
};

/* How often what look-ups find has changed: each only grows, so that no sum comes
 * twice.
 */
static inline unsigned long veil_policy_changes(const struct veil_net *vn)
{
	return veil_prefix_changes(&vn->addresses) +
	       veil_prefix_changes(&vn->policies) +
	       veil_prefix_changes(&vn->locals);
}

/*
 * Most hosts talk in clear with somebody, in rows of packets, each of which would
 * be looked up at two or more hooks to find nothing.  So each CPU remembers the
 * last IPv4 address of which nothing is said, in veil_recent.stranger: one word with
 * the number of changes that the tables had seen before it was looked up.  Half of
 * that number will do: no pointer is remembered.
 */
static inline u64 veil_policy_word(__be32 addr, unsigned long changes)
{
	return (u64)(__force u32)addr << 32 | (u32)changes;
}

/* Whether no policy holds for addr, as far as can be told at once.  Hooks ask
 * before all else, and what they do otherwise is not inlined: the stack that
 * it wants is zeroed at the beginning.  The word is read whole on 64 bits only.
 */
static inline bool veil_policy_stranger(const struct veil_net *vn, __be32 addr)
{
	return IS_ENABLED(CONFIG_64BIT) &&
	       this_cpu_read(vn->recent->stranger) ==
	       veil_policy_word(addr, veil_policy_changes(vn));
}

/* Under rcu_read_lock(), any context; peer and node are good until its end. */
void veil_policy_lookup(struct veil_net *vn, const struct in6_addr *addr,
			struct veil_policy *policy);
/* The same for the addresses of prefix that no longer prefix has. */
void veil_policy_lookup_prefix(struct veil_net *vn,
			       const struct veil_prefix *prefix,
			       struct veil_policy *policy);

/* No peer has it, nor is it hidden from one by a network of ours that comes or goes. */
static inline bool veil_policy_peerless(const struct veil_policy *policy)
{
	return !policy->peer && !policy->behind;
}

/* Plaintext may pass for good: no policy says otherwise. */
static inline bool veil_policy_clear(const struct veil_policy *policy)
{
	return policy->kind == NETVEIL_POLICY_NONE ||
	       policy->kind == NETVEIL_POLICY_BYPASS;
}

/* The stricter one of kind and what holds for the addresses of prefix; vn->lock
 * written.
 */
enum netveil_policy veil_policy_stricter(struct veil_net *vn,
					 const struct veil_prefix *prefix,
					 enum netveil_policy kind);

/* Under "prefer" a packet passed in clear. */
void veil_policy_passed(const struct veil_policy *policy, bool in);
/* "require", and no peer: drop skb, and ask for one (the event "acquire"). */
void veil_policy_no_peer(struct veil_net *vn, const struct veil_policy *policy,
			 const struct in6_addr *addr, struct sk_buff *skb);

/*
 * For netlink: process context, vn->lock written; refused with extack text, and
 * then nothing has changed.
 */
/* Whether a new one can be added, or there is one. */
int veil_policy_check(struct veil_net *vn, const struct veil_prefix *prefix,
		      bool new, struct netlink_ext_ack *extack);
int veil_policy_add(struct veil_net *vn, const struct veil_prefix *prefix,
		    enum netveil_policy kind, struct netlink_ext_ack *extack);
/* As part of a step, within veil_weaken_begin(): weaker than what held before only
 * once it is kept, of which alone others are told.  Until then veil_policy_del()
 * takes it back.
 */
int veil_policy_add_held(struct veil_net *vn, const struct veil_prefix *prefix,
			 enum netveil_policy kind,
			 struct netlink_ext_ack *extack);
void veil_policy_keep(struct veil_net *vn, const struct veil_prefix *prefix);
int veil_policy_set(struct veil_net *vn, const struct veil_prefix *prefix,
		    enum netveil_policy kind, struct netlink_ext_ack *extack);
int veil_policy_del(struct veil_net *vn, const struct veil_prefix *prefix,
		    struct netlink_ext_ack *extack);
void veil_policy_flush(struct veil_net *vn);
/* Or NULL. */
struct veil_policy_node *veil_policy_find(struct veil_net *vn,
					  const struct veil_prefix *prefix);
/* Whether there is one, and no step is about to remove it: a peer, or networks of
 * ours, may take its place then.
 */
bool veil_policy_stays(struct veil_net *vn, const struct veil_prefix *prefix);
/* Of one that there is: the step sets it.  -EALREADY: it does so already. */
int veil_policy_claim(struct veil_net *vn, const struct veil_prefix *prefix);
void veil_policy_leave(struct veil_net *vn, const struct veil_prefix *prefix);
/* Neither, if there is one. */
void veil_policy_stay(struct veil_net *vn, const struct veil_prefix *prefix);

int veil_policies_init(struct veil_net *vn);
void veil_policies_exit(struct veil_net *vn);

#endif /* _VEIL_POLICY_H */
