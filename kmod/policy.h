/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which policy an address is under, and which peer protects it: the one
 * question that hooks, fence and ICMP ask.
 *
 * Two tables answer it, by longest prefix: veil_net.addresses, of peers (their
 * own addresses, and prefixes behind them), and veil_net.policies, of prefixes
 * that an administrator gave a policy.  The longer prefix gives the policy, which
 * is the peer's own where it is the peer's; no prefix is in both.
 */
#ifndef _VEIL_POLICY_H
#define _VEIL_POLICY_H

#include "net.h"

struct veil_peer;

/* A prefix with a policy, in veil_net.policies; freed by RCU. */
struct veil_policy_node {
	struct veil_prefix_node node;
	u8 kind;			/* enum netveil_policy, but for NONE */
	struct rcu_head rcu;
};

/**
 * struct veil_policy - what holds for an address now
 * @kind: NETVEIL_POLICY_REQUIRE also for "prefer" once a session with @peer was
 *	confirmed: then nothing passes in clear any more
 * @behind: it is in a prefix behind @peer, not an address of @peer itself
 * @peer: who has its packets sealed; NULL: nobody (REQUIRE then drops)
 */
struct veil_policy {
	enum netveil_policy kind;
	bool behind;
	struct veil_peer *peer;
};

/* Under rcu_read_lock(), any context; peer is good until its end. */
void veil_policy_lookup(struct veil_net *vn, const struct in6_addr *addr,
			struct veil_policy *policy);

/* Plaintext may pass for good: no policy says otherwise. */
static inline bool veil_policy_clear(const struct veil_policy *policy)
{
	return policy->kind == NETVEIL_POLICY_NONE ||
	       policy->kind == NETVEIL_POLICY_BYPASS;
}

#endif /* _VEIL_POLICY_H */
