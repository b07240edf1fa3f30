// SPDX-License-Identifier: GPL-2.0
/*
 * Flow tables.  New flows: these tables leave packets with a security path
 * alone, so those that are ours have one while they pass the forward chains.
 * Older ones end with their conntrack entry.
 */
#include <net/netfilter/nf_conntrack.h>

#include "flows.h"
#include "mark.h"
#include "policy.h"

int veil_flows_hold(struct sk_buff *skb)
{
	return skb_sec_path(skb) ? 0 : veil_mark(skb, VEIL_MARK_FORWARD);
}

void veil_flows_release(struct sk_buff *skb)
{
	veil_unmark(skb, VEIL_MARK_FORWARD);
}

static bool veil_flows_address(struct veil_net *vn, u16 family,
			       const union nf_inet_addr *address)
{
	struct in6_addr addr = address->in6;
	struct veil_policy policy;

	if (family == NFPROTO_IPV4)
		ipv6_addr_set_v4mapped(address->ip, &addr);
	veil_policy_lookup(vn, &addr, &policy);
	return !veil_policy_clear(&policy);
}

/* Before NAT or behind it, either end. */
static int veil_flows_protected(struct nf_conn *ct, void *data)
{
	const struct nf_conntrack_tuple_hash *way = ct->tuplehash;
	u16 family = nf_ct_l3num(ct);
	struct veil_net *vn = data;
	bool found;

	if (!test_bit(IPS_OFFLOAD_BIT, &ct->status))
		return 0;
	rcu_read_lock();
	found = veil_flows_address(vn, family, &way[0].tuple.src.u3) ||
		veil_flows_address(vn, family, &way[0].tuple.dst.u3) ||
		veil_flows_address(vn, family, &way[1].tuple.src.u3) ||
		veil_flows_address(vn, family, &way[1].tuple.dst.u3);
	rcu_read_unlock();
	return found;
}

void veil_flows_end(struct veil_net *vn)
{
	struct nf_ct_iter_data data = { .net = vn->net, .data = vn };
	typeof(nf_ct_iterate_cleanup_net) *cleanup;

	if (!veil_flows_possible())
		return;
	/* By name, or insmod would want conntrack to be loaded before. */
	cleanup = symbol_get(nf_ct_iterate_cleanup_net);
	if (!cleanup)
		return;
	/* Who passed our hook in FORWARD before is in the flow table now. */
	synchronize_rcu();
	cleanup(veil_flows_protected, &data);
	symbol_put(nf_ct_iterate_cleanup_net);
}
