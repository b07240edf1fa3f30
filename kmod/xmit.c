// SPDX-License-Identifier: GPL-2.0
/*
 * The last step out.  What IP output does after POST_ROUTING, but for the
 * route's MTU, which is that of inner packets (STACK A2):  IPv4 asks the socket
 * (ours, that probes), IPv6 the packet's owner, so there we go on alone.
 */
#include <net/arp.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/lwtunnel.h>
#include <net/ndisc.h>
#include <net/neighbour.h>

#include "compat.h"
#include "hooks.h"
#include "mark.h"
#include "pmtu.h"
#include "socket.h"
#include "xmit.h"

static int veil_xmit4(struct net *net, struct sock *sk, struct sk_buff *skb,
		      unsigned int mtu)
{
	memset(IPCB(skb), 0, sizeof(*IPCB(skb)));
	/* Past POST_ROUTING. */
	IPCB(skb)->flags = IPSKB_REROUTED;
	if (skb->len > mtu)
		IPCB(skb)->frag_max_size = mtu;
	return dst_output(net, sk, skb);
}

/* As ip6_finish_output2() */
static int veil_xmit6_neighbour(struct net *net, struct sock *sk,
				struct sk_buff *skb)
{
	struct dst_entry *dst = skb_dst(skb);
	struct net_device *dev = skb->dev;
	unsigned int room = LL_RESERVED_SPACE(dev);
	const struct in6_addr *nexthop;
	struct neighbour *neigh;

	/* What was sealed in itself has the inner packet's headroom. */
	if (unlikely(room > skb_headroom(skb)) && dev->header_ops) {
		skb = skb_expand_head(skb, room);
		if (!skb) {
			veil_drop_count(veil_net(net), VEIL_DROP_no_memory);
			return -ENOMEM;
		}
	}
	if (lwtunnel_xmit_redirect(dst->lwtstate)) {
		int res = lwtunnel_xmit(skb);

		if (res != LWTUNNEL_XMIT_CONTINUE)
			return res;
	}
	nexthop = rt6_nexthop((struct rt6_info *)dst, &ipv6_hdr(skb)->daddr);
	neigh = __ipv6_neigh_lookup_noref(dev, nexthop);
	if (!neigh)
		neigh = __neigh_create(&nd_tbl, nexthop, dev, false);
	if (IS_ERR(neigh)) {
		veil_drop(veil_net(net), skb, VEIL_DROP_no_route);
		return PTR_ERR(neigh);
	}
	sock_confirm_neigh(skb, neigh);
	return neigh_output(neigh, skb, false);
}

/* Where others have a part in it, IPsec or a route that wraps, they go first; with any
 * other route that would ask for its MTU.
 */
static int veil_xmit6_out(struct net *net, struct sock *sk,
			  struct sk_buff *skb)
{
	struct dst_entry *dst = skb_dst(skb);

	if (likely(!dst_xfrm(dst) && !veil_hooks_wraps(dst)))
		return veil_xmit6_neighbour(net, sk, skb);
	/* Past POST_ROUTING. */
	IP6CB(skb)->flags |= IP6SKB_REROUTED;
	return dst_output(net, sk, skb);
}

static int veil_xmit6(struct net *net, struct sock *sk, struct sk_buff *skb,
		      unsigned int mtu)
{
	memset(IP6CB(skb), 0, sizeof(*IP6CB(skb)));
	skb->protocol = htons(ETH_P_IPV6);
	skb->dev = veil_dst_dev(skb_dst(skb));
	if (skb->len <= mtu)
		return veil_xmit6_out(net, sk, skb);
	skb->ignore_df = 1;
	IP6CB(skb)->frag_max_size = min(mtu, dst_mtu(skb_dst(skb)));
	return veil_ip6_fragment(net, sk, skb, veil_xmit6_out);
}

void veil_xmit(struct veil_peer *peer, struct sk_buff *skb)
{
	bool ipv6 = skb->protocol == htons(ETH_P_IPV6);
	/* Segments of a GSO packet fit, or it were none. */
	unsigned int mtu = skb_is_gso(skb) ? UINT_MAX :
					     veil_pmtu_outer(peer, skb);
	struct net *net = peer->vn->net;
	struct sock *sk = veil_socket_sk(peer->vn, ipv6);
	/* For the fence, which cannot tell by the look of these. */
	bool mark = skb->len > mtu || READ_ONCE(peer->roaming);

	if (!sk || (mark && veil_mark(skb, VEIL_MARK_SEALED))) {
		veil_peer_drop(peer, skb, VEIL_DROP_no_memory);
		return;
	}
	if (!ipv6)
		veil_xmit4(net, sk, skb, mtu);
	else if (IS_ENABLED(CONFIG_IPV6))
		veil_xmit6(net, sk, skb, mtu);
}
