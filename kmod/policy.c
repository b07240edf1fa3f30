// SPDX-License-Identifier: GPL-2.0
/*
 * Which policy an address is under, and which peer protects it.
 */
#include "peer.h"
#include "policy.h"

/* Namespaces without policies, the usual case, pay for one look-up. */
void veil_policy_lookup(struct veil_net *vn, const struct in6_addr *addr,
			struct veil_policy *policy)
{
	struct veil_prefix_node *own, *set = NULL;
	const struct veil_address *address;

	memset(policy, 0, sizeof(*policy));
	own = veil_prefix_lookup(&vn->addresses, addr);
	if (READ_ONCE(vn->policy_count))
		set = veil_prefix_lookup(&vn->policies, addr);
	if (own) {
		address = container_of(own, struct veil_address, node);
		policy->peer = address->peer;
		policy->behind = address->behind;
		policy->kind = READ_ONCE(address->peer->policy);
	}
	if (set && (!own || set->prefix.length > own->prefix.length))
		policy->kind = READ_ONCE(container_of(set, struct veil_policy_node,
						      node)->kind);
	if (policy->kind == NETVEIL_POLICY_PREFER && policy->peer &&
	    READ_ONCE(policy->peer->confirmed))
		policy->kind = NETVEIL_POLICY_REQUIRE;
}
