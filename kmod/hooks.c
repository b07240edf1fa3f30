// SPDX-License-Identifier: GPL-2.0
/*
 * The netfilter hooks: POST_ROUTING as its last step, PRE_ROUTING as its first
 * after reassembly; LOCAL_IN, FORWARD and LOCAL_OUT for what would get around
 * these.  They classify; tx.c and rx.c act.
 *
 * Packets for or from addresses that are not a peer's cost one look-up.
 */
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <net/dst.h>
#include <net/dst_metadata.h>
#include <net/ip6_route.h>
#include <net/l3mdev.h>
#include <net/xfrm.h>

#include "addr.h"
#include "compat.h"
#include "exempt.h"
#include "flows.h"
#include "hooks.h"
#include "ipsec.h"
#include "mark.h"
#include "network.h"
#include "open.h"
#include "own.h"
#include "peer.h"
#include "pmtu.h"
#include "policy.h"
#include "rx.h"
#include "socket.h"
#include "tunnel.h"
#include "tx.h"

/* Where we are among the hooks of this hook point; their number if nowhere. */
static unsigned int veil_hooks_place(const struct nf_hook_entries *entries,
				     nf_hookfn *hook)
{
	unsigned int i;

	for (i = 0; i < entries->num_hook_entries; i++)
		if (entries->hooks[i].hook == hook)
			break;
	return i;
}

static const struct nf_hook_entries *
veil_hooks_entries(struct net *net, u8 pf, unsigned int hook)
{
	if (pf == NFPROTO_IPV4)
		return rcu_dereference(net->nf.hooks_ipv4[hook]);
	return rcu_dereference(net->nf.hooks_ipv6[hook]);
}

/* The hooks behind ours, then state->okfn.  Ours gone meanwhile: drop. */
static void veil_hooks_rest(struct sk_buff *skb, struct nf_hook_state *state,
			    nf_hookfn *own)
{
	const struct nf_hook_entries *entries =
		veil_hooks_entries(state->net, state->pf, state->hook);
	unsigned int place;

	place = entries ? veil_hooks_place(entries, own) : 0;
	if (!entries || place == entries->num_hook_entries) {
		veil_drop(veil_net(state->net), skb, VEIL_DROP_namespace_exit);
		return;
	}
	if (nf_hook_slow(skb, state, entries, place + 1) == 1)
		state->okfn(state->net, state->sk, skb);
}

/* Nobody comes behind us at this hook point. */
static bool veil_hooks_last(const struct nf_hook_state *state, nf_hookfn *own)
{
	const struct nf_hook_entries *entries =
		veil_hooks_entries(state->net, state->pf, state->hook);

	return entries &&
	       entries->hooks[entries->num_hook_entries - 1].hook == own;
}

/* Where source routes and routing headers really send the packet. */
static bool veil_hooks_redirected(struct veil_net *vn,
				  const struct sk_buff *skb)
{
	struct veil_final final = {};
	struct veil_policy policy;

	while (veil_exempt_final(skb, &final)) {
		veil_policy_lookup(vn, &final.addr, &policy);
		if (policy.kind == NETVEIL_POLICY_REQUIRE)
			return true;
	}
	return false;
}

/* IPsec with the ESP transform left to the device: the text is still clear. */
static bool veil_hooks_offloaded(struct sk_buff *skb)
{
#ifdef CONFIG_XFRM_OFFLOAD
	return xfrm_offload(skb);
#else
	return false;
#endif
}

/* Neighbour discovery, and on the link: anybody can write such a packet. */
static bool veil_hooks_neighbour(const struct sk_buff *skb)
{
	const struct in6_addr *destination = &ipv6_hdr(skb)->daddr;
	struct rt6_info *rt = (struct rt6_info *)skb_dst(skb);

	return skb->protocol == htons(ETH_P_IPV6) &&
	       veil_exempt_neighbour(skb, skb_network_offset(skb)) &&
	       !veil_hooks_wraps(&rt->dst) &&
	       ipv6_addr_equal(rt6_nexthop(rt, destination), destination);
}

/* Whether skb is for all on its link: a route knows (RTCF_*), an address alone
 * does not.
 */
static bool veil_hooks_to_many(const struct sk_buff *skb)
{
	if (skb->protocol == htons(ETH_P_IP))
		return skb_rtable(skb)->rt_flags & (RTCF_BROADCAST |
						    RTCF_MULTICAST);
	return ipv6_addr_is_multicast(&ipv6_hdr(skb)->daddr);
}

/* Whether skb is ours to judge.  What we forward into a network behind a peer
 * is, from whomever; to an address of the peer itself only what comes from our
 * side, or was opened: other hosts' traffic with it is theirs (STACK B3).
 */
static bool veil_hooks_ours(struct veil_net *vn, const struct sk_buff *skb,
			    const struct veil_addr_pair *addrs,
			    const struct veil_policy *policy)
{
	if (policy->behind)
		return !veil_hooks_to_many(skb);
	return !veil_addr_forwarded(skb) || veil_opened(skb) ||
	       veil_addr_is_local(vn->net, veil_dst_dev(skb_dst(skb)),
				  &addrs->source) ||
	       veil_open_test(skb, VEIL_FROM_LOCAL) ||
	       veil_network_local(vn, &addrs->source) ||
	       veil_network_behind(vn, &addrs->destination);
}

static bool veil_hooks_skips_out(const struct sk_buff *skb,
				 const struct nf_hook_state *state)
{
	if (!state->out)
		return true;
	/* At LOCAL_OUT (veil_hook_made()) what is wrapped leaves by another one. */
	if (state->hook != NF_INET_LOCAL_OUT &&
	    (READ_ONCE(state->out->flags) & IFF_LOOPBACK ||
	     netif_is_l3_master(state->out)))
		return true;
	/* A frame that br_netfilter shows us; one that came in by a bridge and
	 * was routed since has an input device.
	 */
	return IS_ENABLED(CONFIG_BRIDGE_NETFILTER) && !state->in &&
	       state->hook == NF_INET_POST_ROUTING &&
	       skb_ext_exist(skb, SKB_EXT_BRIDGE_NF);
}

/* What IPsec makes of skb comes by on its own (STACK A6), for the same peer: where it
 * tunnels to another host, that host would have what is for the peer.
 */
static bool veil_hooks_transformed(struct veil_net *vn,
				   const struct sk_buff *skb,
				   const struct veil_addr_pair *addrs,
				   const struct veil_policy *policy)
{
	struct in6_addr outer = addrs->destination;
	struct veil_policy to;

	veil_ipsec_end(skb_dst(skb), &outer);
	veil_policy_lookup(vn, &outer, &to);
	return to.peer == policy->peer && !veil_policy_clear(&to) &&
	       (to.kind == policy->kind || to.kind == NETVEIL_POLICY_REQUIRE);
}

/* What is sealed for peer, or dropped. */
static unsigned int veil_hooks_seal(struct veil_peer *peer, struct sk_buff *skb,
				    const struct nf_hook_state *state,
				    nf_hookfn *own, bool between)
{
	struct nf_hook_state rest = *state;
	struct veil_net *vn = peer->vn;
	int err;

	/* At LOCAL_OUT, or with IPsec to do: wrapped in clear next. */
	if (READ_ONCE(vn->dying) || state->hook == NF_INET_LOCAL_OUT ||
	    skb_dst(skb)->xfrm || veil_hooks_offloaded(skb)) {
		veil_peer_drop(peer, skb, READ_ONCE(vn->dying) ?
			       VEIL_DROP_namespace_exit :
			       VEIL_DROP_unprotectable);
		return NF_STOLEN;
	}
	if (veil_ip6_unjumbo(skb)) {
		veil_peer_drop(peer, skb, VEIL_DROP_no_memory);
		return NF_STOLEN;
	}
	err = veil_pmtu_check(peer, skb, between);
	if (err) {
		veil_drop_count(vn, err == -EMSGSIZE ? VEIL_DROP_too_big :
						       VEIL_DROP_no_route);
		atomic64_inc(&peer->drops);
		return NF_DROP_ERR(err);
	}

	/* Conntrack's confirmation and others may come behind us: run them,
	 * then seal (STACK A7).
	 */
	if (veil_hooks_last(state, own)) {
		veil_tx(peer, state->sk, skb, between);
		return NF_STOLEN;
	}
	rest.okfn = veil_tx_output;
	/* Tells veil guard that we are here.  No packet on its way out is of
	 * this type, and no program can make one so.
	 */
	skb->pkt_type = PACKET_OTHERHOST;
	veil_hooks_rest(skb, &rest, own);
	return NF_STOLEN;
}

static noinline unsigned int veil_hooks_out(struct veil_net *vn,
					    struct sk_buff *skb,
					    const struct nf_hook_state *state,
					    nf_hookfn *own)
{
	struct veil_addr_pair addrs;
	struct veil_policy policy;

	if (veil_hooks_skips_out(skb, state))
		return NF_ACCEPT;
	veil_addr_of(skb, &addrs);
	veil_policy_lookup(vn, &addrs.destination, &policy);
	if (veil_policy_clear(&policy)) {
		if (!veil_hooks_redirected(vn, skb))
			return NF_ACCEPT;
		veil_drop(vn, skb, VEIL_DROP_unprotectable);
		return NF_STOLEN;
	}
	if (!veil_hooks_ours(vn, skb, &addrs, &policy))
		return NF_ACCEPT;
	if (veil_socket_owns(vn, state->sk) || veil_socket_owns(vn, skb->sk) ||
	    veil_hooks_neighbour(skb))
		return NF_ACCEPT;
	if (skb_dst(skb)->xfrm &&
	    veil_hooks_transformed(vn, skb, &addrs, &policy))
		return NF_ACCEPT;
	if (policy.kind == NETVEIL_POLICY_PREFER &&
	    (!policy.peer || !veil_tx_prefers(policy.peer))) {
		veil_policy_passed(&policy, false);
		return NF_ACCEPT;
	}
	if (!policy.peer) {
		veil_policy_no_peer(vn, &policy, &addrs.destination, skb);
		return NF_STOLEN;
	}
	return veil_hooks_seal(policy.peer, skb, state, own,
			       veil_tunnel_between(vn, skb, &policy, &addrs));
}

static unsigned int veil_hook_out(void *priv, struct sk_buff *skb,
				  const struct nf_hook_state *state)
{
	if (skb->protocol == htons(ETH_P_IP) && ip_hdr(skb)->ihl == 5 &&
	    veil_policy_stranger(priv, ip_hdr(skb)->daddr))
		return NF_ACCEPT;
	return veil_hooks_out(priv, skb, state, veil_hook_out);
}

/* Behind whatever may choose another route.  Ours (handshakes) may be wrapped. */
static unsigned int veil_hook_made(void *priv, struct sk_buff *skb,
				   const struct nf_hook_state *state)
{
	if (!veil_hooks_wraps(skb_dst(skb)))
		return NF_ACCEPT;
	return veil_hooks_out(priv, skb, state, veil_hook_made);
}

/* At FORWARD: br_netfilter shows us what a bridge sends out at another port. */
static bool veil_hooks_bridged(const struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_BRIDGE_NETFILTER)
	const struct nf_bridge_info *bridge = skb_ext_find(skb,
							   SKB_EXT_BRIDGE_NF);

	return bridge && bridge->physoutdev;
#else
	return false;
#endif
}

/* From a local network, while that can be told: source NAT comes at POST_ROUTING,
 * before us.  (On a bridge skb->cb is not IP's.)
 */
static void veil_hooks_note_local(struct veil_net *vn, struct sk_buff *skb)
{
	struct veil_addr_pair addrs;

	if (!READ_ONCE(vn->local_count) || veil_hooks_bridged(skb))
		return;
	veil_addr_of(skb, &addrs);
	if (veil_network_local(vn, &addrs.source))
		veil_open_set(skb, VEIL_FROM_LOCAL);
}

static unsigned int veil_hook_forward(void *priv, struct sk_buff *skb,
				      const struct nf_hook_state *state)
{
	struct veil_net *vn = priv;
	struct veil_addr_pair addrs;
	struct veil_policy policy;
	unsigned int verdict;

	veil_hooks_note_local(vn, skb);
	verdict = veil_rx_forward(vn, skb);
	if (verdict != NF_ACCEPT || !veil_flows_possible())
		return verdict;
	/* From a peer, or to one; before NAT or behind it; inside of a tunnel. */
	veil_addr_of(skb, &addrs);
	veil_policy_lookup(vn, &addrs.destination, &policy);
	if (!veil_opened(skb) && veil_policy_clear(&policy) &&
	    !veil_flows_wraps(state->in) && !veil_flows_wraps(state->out))
		return NF_ACCEPT;
	if (veil_flows_hold(skb)) {
		veil_drop(vn, skb, VEIL_DROP_no_memory);
		return NF_STOLEN;
	}
	return NF_ACCEPT;
}

static unsigned int veil_hook_forwarded(void *priv, struct sk_buff *skb,
					const struct nf_hook_state *state)
{
	veil_flows_release(skb);
	return NF_ACCEPT;
}

static unsigned int veil_hook_local(void *priv, struct sk_buff *skb,
				    const struct nf_hook_state *state)
{
	/* In a VRF this comes once, with its device. */
	if (READ_ONCE(state->in->flags) & IFF_LOOPBACK &&
	    !veil_open_test(skb, VEIL_BY_LOOPBACK))
		return NF_ACCEPT;
	/* IPVS may send it on from here. */
	veil_hooks_note_local(priv, skb);
	return veil_rx_local(priv, skb, state);
}

static unsigned int veil_hook_in(void *priv, struct sk_buff *skb,
				 const struct nf_hook_state *state)
{
	struct veil_net *vn = priv;
	unsigned int verdict;

	/* Of ours, and it came back, or a copy that a rule of FORWARD has made for this
	 * host: IPsec's checks cannot read our marks.
	 */
	veil_unmark(skb, VEIL_MARK_SEALED);
	veil_flows_release(skb);
	/* It was judged at the device behind. */
	if (netif_is_l3_master(state->in))
		return NF_ACCEPT;
	if (veil_tunnel_returned(vn, skb))
		return NF_ACCEPT;
	veil_open_mark(vn, skb, false);
	/* What this host has sent itself keeps its route; what MPLS takes out of its
	 * labels for lo has none, and anybody may have sent it.
	 */
	if (READ_ONCE(state->in->flags) & IFF_LOOPBACK) {
		if (skb_valid_dst(skb))
			return NF_ACCEPT;
		veil_open_set(skb, VEIL_BY_LOOPBACK);
	}
	/* What NFQUEUE held before us goes on in process context. */
	local_bh_disable();
	verdict = veil_rx(vn, skb, state);
	local_bh_enable();
	return verdict;
}

void veil_hooks_continue(struct sk_buff *skb, struct nf_hook_state *state)
{
	veil_hooks_rest(skb, state, veil_hook_in);
}

bool veil_hooks_defrag(struct net *net, __be16 protocol)
{
	u8 pf = protocol == htons(ETH_P_IP) ? NFPROTO_IPV4 : NFPROTO_IPV6;
	const struct nf_hook_entries *entries =
		veil_hooks_entries(net, pf, NF_INET_PRE_ROUTING);

	/* The only one that the kernel puts before ours. */
	return entries && veil_hooks_place(entries, veil_hook_in);
}

/* Last but for conntrack, and for the ruleset of veil guard. */
#define VEIL_HOOKS_OUT	(NF_IP_PRI_LAST - 1)

/* The first of them, see veil_hooks_unregister() */
#define VEIL_HOOKS_HANDING_ON	2

static const struct nf_hook_ops veil_hook_ops[] = {
	{
		.hook = veil_hook_out,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_POST_ROUTING,
		.priority = VEIL_HOOKS_OUT,
	}, {
		.hook = veil_hook_out,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_POST_ROUTING,
		.priority = VEIL_HOOKS_OUT,
	}, {
		.hook = veil_hook_in,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = NF_IP_PRI_CONNTRACK_DEFRAG + 1,
	}, {
		.hook = veil_hook_in,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_PRE_ROUTING,
		.priority = NF_IP6_PRI_CONNTRACK_DEFRAG + 1,
	}, {
		.hook = veil_hook_local,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP_PRI_FIRST,
	}, {
		.hook = veil_hook_local,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_IN,
		.priority = NF_IP6_PRI_FIRST,
	}, {
		.hook = veil_hook_forward,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_FORWARD,
		.priority = NF_IP_PRI_FIRST,
	}, {
		.hook = veil_hook_forward,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_FORWARD,
		.priority = NF_IP6_PRI_FIRST,
	}, {
		.hook = veil_hook_forwarded,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_FORWARD,
		.priority = NF_IP_PRI_LAST,
	}, {
		.hook = veil_hook_forwarded,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_FORWARD,
		.priority = NF_IP6_PRI_LAST,
	}, {
		.hook = veil_hook_made,
		.pf = NFPROTO_IPV4,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP_PRI_LAST,
	}, {
		.hook = veil_hook_made,
		.pf = NFPROTO_IPV6,
		.hooknum = NF_INET_LOCAL_OUT,
		.priority = NF_IP6_PRI_LAST,
	},
};

int veil_hooks_register(struct veil_net *vn)
{
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(veil_hook_ops); i++) {
		vn->hooks[i] = veil_hook_ops[i];
		vn->hooks[i].priv = vn;
	}
	err = nf_register_net_hooks(vn->net, vn->hooks,
				    ARRAY_SIZE(vn->hooks));
	return err;
}

/* A packet that POST_ROUTING's hooks have handed on may be in a program's queue,
 * and would go on to veil_tx_output() when that is gone with the module.  With a
 * hook goes what is queued by then, but not what another CPU is about to queue.  So
 * these two go first, and what they still had in hand goes with the others.
 */
void veil_hooks_unregister(struct veil_net *vn)
{
	nf_unregister_net_hooks(vn->net, vn->hooks, VEIL_HOOKS_HANDING_ON);
	synchronize_net();
	nf_unregister_net_hooks(vn->net, vn->hooks + VEIL_HOOKS_HANDING_ON,
				ARRAY_SIZE(vn->hooks) - VEIL_HOOKS_HANDING_ON);
}
