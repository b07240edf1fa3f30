// SPDX-License-Identifier: GPL-2.0
/*
 * Flow tables.  New flows: these tables leave packets with a security path
 * alone, so those that are ours have one while they pass the forward chains.
 * Older ones end with their conntrack entry.
 */
#include <net/netfilter/nf_conntrack.h>

#include "compat.h"
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

/* Whether dev is an IP tunnel to an address that is protected, or to any. */
static bool veil_flows_tunnel(struct veil_net *vn, const struct net_device *dev)
{
	union nf_inet_addr remote = {};
	bool v6 = dev->type == ARPHRD_TUNNEL6;

	if (!veil_flows_wraps(dev) || !(READ_ONCE(dev->flags) & IFF_UP))
		return false;
	memcpy(&remote, dev->broadcast,
	       v6 ? sizeof(remote.in6) : sizeof(remote.in));
	return ipv6_addr_any(&remote.in6) ||
	       veil_flows_address(vn, v6 ? NFPROTO_IPV6 : NFPROTO_IPV4,
				  &remote);
}

/* Whether a flow table may wrap what a connection's addresses say nothing of. */
static bool veil_flows_wrap(struct veil_net *vn)
{
	struct net_device *dev;
	bool found = false;

	if (!VEIL_FLOWS_WRAP)
		return false;
	rcu_read_lock();
	for_each_netdev_rcu(vn->net, dev)
		found |= veil_flows_tunnel(vn, dev);
	rcu_read_unlock();
	return found;
}

struct veil_flows_cleanup {
	struct veil_net *vn;
	bool all;
};

/* Before NAT or behind it, either end. */
static int veil_flows_protected(struct nf_conn *ct, void *data)
{
	const struct nf_conntrack_tuple_hash *way = ct->tuplehash;
	const struct veil_flows_cleanup *which = data;
	struct veil_net *vn = which->vn;
	u16 family = nf_ct_l3num(ct);
	bool found;

	if (!test_bit(IPS_OFFLOAD_BIT, &ct->status))
		return 0;
	if (which->all)
		return 1;
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
	struct veil_flows_cleanup which = { .vn = vn };
	struct nf_ct_iter_data data = { .net = vn->net, .data = &which };
	typeof(nf_ct_iterate_cleanup_net) *cleanup;

	if (!veil_flows_possible())
		return;
	/* By name, or insmod would want conntrack to be loaded before. */
	cleanup = symbol_get(nf_ct_iterate_cleanup_net);
	if (!cleanup)
		return;
	/* Who passed our hook in FORWARD before is in the flow table now. */
	synchronize_rcu();
	which.all = veil_flows_wrap(vn);
	cleanup(veil_flows_protected, &data);
	symbol_put(nf_ct_iterate_cleanup_net);
}
