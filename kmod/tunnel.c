// SPDX-License-Identifier: GPL-2.0
/*
 * Tunnel mode: the route and header of outer packets, what is asked of inner
 * ones, and how these go on.
 *
 * An inner packet of the outer one's family goes on as the same skb.  One of the
 * other family, one whose hop-by-hop options have to be looked at, or any that was
 * opened in a bridge's hook, begins anew at the device's protocol handlers, below
 * taps and traffic control, with a mark that only we can set (STACK A3).
 */
#include <net/addrconf.h>
#include <net/dst_metadata.h>
#include <net/inet_ecn.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/ipv6.h>

#include "compat.h"
#include "exempt.h"
#include "hooks.h"
#include "mark.h"
#include "network.h"
#include "open.h"
#include "own.h"
#include "roam.h"
#include "rx.h"
#include "socket.h"
#include "tunnel.h"

/* Route of packets that begin anew. */
static struct metadata_dst *veil_tunnel_mark;

/* In whose namespace they were opened, behind IP's part of skb->cb: an ipvlan or a
 * macvlan may take them to another one, with other peers.  And whether they were
 * sealed, or are a router's word that is believed.
 */
struct veil_tunnel_cb {
	union {
		struct inet_skb_parm ipv4;
		struct inet6_skb_parm ipv6;
	};
	const struct veil_net *vn;
	bool sealed;
};

#define VEIL_TUNNEL_CB(skb)	((struct veil_tunnel_cb *)(skb)->cb)

int veil_tunnel_init(void)
{
	veil_tunnel_mark = metadata_dst_alloc(0, METADATA_HW_PORT_MUX,
					      GFP_KERNEL);
	return veil_tunnel_mark ? 0 : -ENOMEM;
}

void veil_tunnel_exit(void)
{
	/* A packet in some program's queue may have it still. */
	dst_release(&veil_tunnel_mark->dst);
}

bool veil_tunnel_between(struct veil_net *vn, const struct sk_buff *skb,
			 const struct veil_policy *policy,
			 const struct veil_addr_pair *addrs)
{
	/* What is made here has others' addresses as well: REJECT's resets, a transparent
	 * proxy's packets, what NAT makes of answers.
	 */
	return policy->behind ||
	       !veil_own_address(vn, veil_dst_dev(skb_dst(skb)),
				 &addrs->source);
}

static struct dst_entry *veil_tunnel_find_route(struct veil_net *vn,
						struct veil_ends *ends)
{
	struct veil_addr_pair addrs = {
		.source = ends->place.local,
		.destination = ends->place.remote,
	};
	struct dst_entry *dst;

	dst = veil_socket_dst(vn, &addrs,
			      veil_socket_domain(vn->net, &ends->place.local,
						 ends->domain),
			      READ_ONCE(vn->port), ends->place.port);
	if (IS_ERR(dst))
		return NULL;
	if (veil_addr_is_v4(&addrs.source))
		dst_cache_set_ip4(&ends->route, dst,
				  veil_addr_v4(&addrs.source));
	else
		veil_dst_cache_set_ip6(&ends->route, dst, &addrs.source);
	return dst;
}

struct dst_entry *veil_tunnel_route(struct veil_session *session,
				    struct veil_place *place)
{
	struct veil_ends *ends = rcu_dereference(session->ends);
	struct dst_entry *dst;

	/* The cache is each CPU's own, and hooks may run preemptible. */
	local_bh_disable();
	dst = dst_cache_get(&ends->route);
	if (!dst) {
		ends = veil_roam_ends(session);
		dst = veil_tunnel_find_route(session->peer->vn, ends);
	}
	local_bh_enable();
	*place = ends->place;
	return dst;
}

static u8 veil_tunnel_dsfield(const struct sk_buff *skb)
{
	return skb->protocol == htons(ETH_P_IP) ? ip_hdr(skb)->tos :
	       ipv6_get_dsfield(ipv6_hdr(skb));
}

/* The tunnel is one hop, and its TTL not the inner packet's (RFC 2003); DSCP
 * and ECN are (RFC 6040, normal mode).
 */
void veil_tunnel_header(struct sk_buff *outer,
			const struct veil_tunnel_header *header)
{
	const struct veil_addr_pair *addrs = header->addrs;
	struct ipv6hdr *ip6h = ipv6_hdr(outer);
	struct iphdr *iph = ip_hdr(outer);

	if (!veil_addr_is_v4(&addrs->source)) {
		ip6_flow_hdr(ip6h, header->dsfield, htonl(header->flow_label));
		ip6h->payload_len = htons(outer->len - sizeof(*ip6h));
		ip6h->nexthdr = IPPROTO_UDP;
		ip6h->hop_limit = veil_ip6_hoplimit(skb_dst(outer));
		ip6h->saddr = addrs->source;
		ip6h->daddr = addrs->destination;
		return;
	}
	memset(iph, 0, sizeof(*iph));
	iph->version = 4;
	iph->ihl = sizeof(*iph) / 4;
	iph->tos = header->dsfield;
	iph->tot_len = htons(outer->len);
	iph->frag_off = header->df;
	iph->ttl = ip4_dst_hoplimit(skb_dst(outer));
	iph->protocol = IPPROTO_UDP;
	iph->saddr = veil_addr_v4(&addrs->source);
	iph->daddr = veil_addr_v4(&addrs->destination);
	__ip_select_ident(dev_net(outer->dev), iph, 1);
	ip_send_check(iph);
}

/* As ip_rcv_core(): the packet's length, or 0. */
static unsigned int veil_tunnel_len4(struct sk_buff *skb)
{
	unsigned int hlen, len;

	if (!pskb_may_pull(skb, sizeof(struct iphdr)))
		return 0;
	hlen = ((struct iphdr *)skb->data)->ihl * 4;
	if (hlen < sizeof(struct iphdr) || !pskb_may_pull(skb, hlen) ||
	    ip_fast_csum(skb->data, hlen / 4))
		return 0;
	len = ntohs(((struct iphdr *)skb->data)->tot_len);
	return len >= hlen && len <= skb->len ? len : 0;
}

/* As ip6_rcv_core() */
static unsigned int veil_tunnel_len6(struct sk_buff *skb)
{
	unsigned int len;

	if (!pskb_may_pull(skb, sizeof(struct ipv6hdr)))
		return 0;
	len = ntohs(((struct ipv6hdr *)skb->data)->payload_len) +
	      sizeof(struct ipv6hdr);
	return len <= skb->len ? len : 0;
}

/* From where the peer may send, to where packets are routed at all.  Where that
 * is, and whether we forward it, is for routes and firewall to say.
 */
static bool veil_tunnel_addrs_ok(struct veil_peer *peer,
				 const struct sk_buff *skb)
{
	struct net *net = peer->vn->net;
	struct veil_addr_pair addrs;
	struct veil_policy policy;

	veil_addr_of(skb, &addrs);
	/* An IPv6 packet with IPv4 addresses is no packet of theirs. */
	if (skb->protocol == htons(ETH_P_IPV6) &&
	    (veil_addr_is_v4(&addrs.source) ||
	     veil_addr_is_v4(&addrs.destination)))
		return false;
	veil_policy_lookup(peer->vn, &addrs.source, &policy);
	return policy.peer == peer &&
	       !veil_addr_is_local(net, skb->dev, &addrs.source) &&
	       veil_network_routable(&addrs.destination) &&
	       veil_rx_unicast(peer->vn, skb, &addrs.destination);
}

static int veil_tunnel_ecn(struct sk_buff *skb, u8 outer)
{
	u8 inner = veil_tunnel_dsfield(skb);

	return INET_ECN_decapsulate(skb, outer, inner) > 1 ? -EINVAL : 0;
}

bool veil_tunnel_ecn_fits(const struct sk_buff *skb)
{
	u8 head[2];	/* version and DS field */

	if (!INET_ECN_is_ce(veil_tunnel_dsfield(skb)) ||
	    skb_copy_bits(skb, skb_transport_offset(skb) + VEIL_OPEN_HEAD, head,
			  sizeof(head)))
		return true;
	return !INET_ECN_is_not_ect(head[0] >> 4 == 4 ? head[1] : head[1] >> 4);
}

int veil_tunnel_inner(struct veil_peer *peer, struct sk_buff *skb)
{
	u8 outer = veil_tunnel_dsfield(skb);
	unsigned int hlen, len;
	u8 version;

	veil_open_cut(skb, skb_transport_offset(skb) + VEIL_OPEN_HEAD, 0);
	if (skb_copy_bits(skb, 0, &version, sizeof(version)))
		return -EINVAL;
	if (version >> 4 == 4) {
		skb->protocol = htons(ETH_P_IP);
		len = veil_tunnel_len4(skb);
	} else if (version >> 4 == 6) {
		skb->protocol = htons(ETH_P_IPV6);
		len = veil_tunnel_len6(skb);
	} else {
		return -EINVAL;
	}
	skb_reset_network_header(skb);
	if (!len || !veil_tunnel_addrs_ok(peer, skb) ||
	    /* Not from another link. */
	    (skb->protocol == htons(ETH_P_IPV6) && veil_exempt_discovery(skb)))
		return -EINVAL;
	if (pskb_trim(skb, len))
		return -ENOMEM;
	hlen = skb->protocol == htons(ETH_P_IP) ? ip_hdrlen(skb) :
	       sizeof(struct ipv6hdr);
	skb_set_transport_header(skb, hlen);
	return veil_tunnel_ecn(skb, outer);
}

/* Whether the stack would put fragments together before anything else sees
 * them; it did not see these.
 */
static bool veil_tunnel_gathers(struct veil_net *vn, const struct sk_buff *skb,
				bool anew)
{
	return anew || veil_hooks_defrag(vn->net, skb->protocol);
}

bool veil_tunnel_returned(const struct veil_net *vn, struct sk_buff *skb)
{
	if (likely(skb_dst(skb) != &veil_tunnel_mark->dst))
		return false;
	skb_dst_drop(skb);
	skb_reset_redirect(skb);
	veil_unmark(skb, VEIL_MARK_OPENED);
	if (VEIL_TUNNEL_CB(skb)->vn != vn)
		return false;
	veil_open_mark(vn, skb, VEIL_TUNNEL_CB(skb)->sealed);
	veil_open_judged(skb);
	return true;
}

/* IPv6 in IPv4 may come by a device that takes no IPv6 by itself.  As ip6_rcv_core() */
static bool veil_tunnel_takes(const struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_IPV6)
	const struct inet6_dev *idev = __in6_dev_get(skb->dev);

	return skb->protocol != htons(ETH_P_IPV6) ||
	       (idev && !READ_ONCE(idev->cnf.disable_ipv6));
#else
	return skb->protocol != htons(ETH_P_IPV6);
#endif
}

/* The mark is for the hooks before ours, veil guard's among them. */
void veil_tunnel_begin_anew(struct veil_net *vn, struct sk_buff *skb,
			    bool sealed)
{
	bool taken;

	/* The device's macvlans have copies of what is for all on the link, opened
	 * now; and anybody can write a frame's header.
	 */
	if (skb->pkt_type == PACKET_BROADCAST ||
	    skb->pkt_type == PACKET_MULTICAST) {
		veil_drop(vn, skb, VEIL_DROP_malformed);
		return;
	}
	/* Who takes packets off the device may take them to a namespace where no
	 * hook of ours takes the mark away, and IPsec's checks read past it.
	 */
	taken = rcu_access_pointer(skb->dev->rx_handler);
	/* Nobody else would count it. */
	if (!taken && !veil_tunnel_takes(skb)) {
		veil_drop(vn, skb, VEIL_DROP_no_route);
		return;
	}
	if (!taken && veil_mark(skb, VEIL_MARK_OPENED)) {
		veil_drop(vn, skb, VEIL_DROP_no_memory);
		return;
	}
	/* No port of the bridge gets it, whatever the frame said.  (IP input would
	 * skip our hook, which has seen the outer packet; and with a mark all the
	 * way to FORWARD, IPsec's checks read past it.)
	 */
#if IS_ENABLED(CONFIG_BRIDGE_NETFILTER)
	skb_ext_del(skb, SKB_EXT_BRIDGE_NF);
#endif
	BUILD_BUG_ON(sizeof(struct veil_tunnel_cb) > sizeof(skb->cb));
	VEIL_TUNNEL_CB(skb)->vn = vn;
	VEIL_TUNNEL_CB(skb)->sealed = sealed;
	skb_dst_drop(skb);
	/* And may queue them, for longer than we are here. */
	if (taken)
		skb_dst_set(skb, dst_clone(&veil_tunnel_mark->dst));
	else
		skb_dst_set_noref(skb, &veil_tunnel_mark->dst);
	__vlan_hwaccel_clear_tag(skb);
	/* Taps, traffic control and generic XDP have seen the outer packet. */
	skb->tc_skip_classify = 1;
	skb_set_redirected(skb, false);
	netif_receive_skb_core(skb);
}

unsigned int veil_tunnel_deliver(struct veil_net *vn, struct sk_buff *skb,
				 __be16 outer_protocol)
{
	bool anew = veil_open_bridged(skb) || skb->protocol != outer_protocol ||
		    (skb->protocol == htons(ETH_P_IPV6) &&
		     ipv6_hdr(skb)->nexthdr == NEXTHDR_HOP);

	/* Fragments in clear must not meet opened ones: apart, and before the
	 * stack's own reassembly.
	 */
	if (veil_tunnel_gathers(vn, skb, anew) &&
	    !veil_rx_gather_opened(vn, skb))
		return NF_STOLEN;
	if (!anew)
		return NF_ACCEPT;
	veil_tunnel_begin_anew(vn, skb, true);
	return NF_STOLEN;
}
