// SPDX-License-Identifier: GPL-2.0
/*
 * Path MTU: what does not fit is cut (TCP), fragmented outside (who allows it)
 * or refused, and its sender learns the inner MTU from the route.
 */
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/tcp.h>
#include <net/icmp.h>
#include <net/ip.h>
#include <net/tcp.h>

#include "addr.h"
#include "mtu.h"
#include "pmtu.h"
#include "tunnel.h"

/* The largest inner packet that fits one outer packet at all, in tunnel mode
 * with IPv6 around it.
 */
#define VEIL_PMTU_LARGEST	(IP_MAX_MTU - sizeof(struct ipv6hdr) - \
				 VEIL_TUNNEL_OVERHEAD)

/* What fits whatever is believed of a path, with any headers around it. */
#define VEIL_PMTU_SHORT		(VEIL_MTU_MIN_V4 - sizeof(struct ipv6hdr) - \
				 VEIL_TUNNEL_OVERHEAD)

/* Whether skb, which goes where its outer packet goes, is as short as that: then
 * nothing else is asked.
 */
static bool veil_pmtu_short(const struct veil_session *session,
			    const struct sk_buff *skb, bool between)
{
	return skb->len <= VEIL_PMTU_SHORT && !skb_is_gso(skb) &&
	       !veil_seal_tunnels(session, between) &&
	       READ_ONCE(veil_dst_dev(skb_dst(skb))->mtu) >= VEIL_MTU_MIN_V4;
}

/* Whether skb, or each segment of it, is no longer than mtu. */
static bool veil_pmtu_fits(const struct sk_buff *skb, unsigned int mtu)
{
	return skb_is_gso(skb) ? skb_gso_validate_network_len(skb, mtu) :
				 skb->len <= mtu;
}

/* The inner MTU from end to end of session; before there is one, by the inner
 * packet's route and the longer of outer headers.
 */
static unsigned int veil_pmtu_tunnel(struct veil_peer *peer,
				     struct veil_session *session,
				     const struct sk_buff *skb)
{
	struct dst_entry *dst = NULL;
	struct veil_place place;
	unsigned int mtu;
	bool ipv6 = true;

	if (session) {
		dst = veil_tunnel_route(session, &place);
		ipv6 = !veil_addr_is_v4(&place.local);
	}
	mtu = veil_mtu_tunnel(veil_pmtu_path(peer, dst ?: skb_dst(skb), ipv6),
			      ipv6);
	dst_release(dst);
	return mtu;
}

/* The inner MTU, for a packet as this one. */
static unsigned int veil_pmtu_inner(struct veil_peer *peer,
				    struct veil_session *session,
				    const struct sk_buff *skb,
				    enum veil_mode mode)
{
	bool ipv6 = skb->protocol == htons(ETH_P_IPV6);

	switch (mode) {
	case VEIL_TUNNEL:
		return veil_pmtu_tunnel(peer, session, skb);
	case VEIL_TUNNEL_HOSTS:
		return veil_mtu_tunnel(veil_pmtu_outer(peer, skb), ipv6);
	case VEIL_TRANSPORT:
		break;
	}
	return veil_mtu_transport(veil_pmtu_outer(peer, skb));
}

static bool veil_pmtu_tcp(const struct sk_buff *skb, unsigned int *hlen)
{
	if (skb->protocol == htons(ETH_P_IP)) {
		*hlen = ip_hdrlen(skb);
		return ip_hdr(skb)->protocol == IPPROTO_TCP &&
		       !ip_is_fragment(ip_hdr(skb));
	}
	*hlen = sizeof(struct ipv6hdr);
	return ipv6_hdr(skb)->nexthdr == IPPROTO_TCP;
}

/* Whether outer fragments carry a packet, or each segment of it, that is too
 * long: its sender allows them, or IPv6 promises that 1280 bytes pass.
 */
static bool veil_pmtu_may_fragment(const struct sk_buff *skb)
{
	if (skb->ignore_df)
		return true;
	if (skb->protocol == htons(ETH_P_IP))
		return !(ip_hdr(skb)->frag_off & htons(IP_DF));
	return veil_pmtu_fits(skb, IPV6_MIN_MTU);
}

/* Forwarded packets' senders get an ICMP error; a local sender gets -EMSGSIZE
 * from the hook, and finds the MTU in its route.
 */
static void veil_pmtu_tell(struct sk_buff *skb, unsigned int mtu)
{
	if (!veil_addr_forwarded(skb))
		return;
	if (skb->protocol == htons(ETH_P_IP))
		icmp_ndo_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED,
			      htonl(mtu));
	else
		icmpv6_ndo_send(skb, ICMPV6_PKT_TOOBIG, 0, mtu);
}

int veil_pmtu_check(struct veil_peer *peer, struct sk_buff *skb, bool between)
{
	struct veil_session *session = rcu_dereference(peer->current_session);
	enum veil_mode mode = between ? VEIL_TUNNEL : VEIL_TRANSPORT;
	unsigned int mtu, hlen;

	if (session && veil_pmtu_short(session, skb, between))
		return 0;
	if (session)
		mode = veil_seal_mode(session, skb, between);
	mtu = veil_pmtu_inner(peer, session, skb, mode);
	/* Its route ended meanwhile, as in a program's queue, and has a device of 68
	 * bytes now, in another namespace, where that would be learned.
	 */
	if (unlikely(veil_dst_dev(skb_dst(skb)) == blackhole_netdev))
		return -ENETUNREACH;
	if (veil_pmtu_fits(skb, mtu))
		return 0;
	if (skb->protocol == htons(ETH_P_IPV6))
		mtu = max_t(unsigned int, mtu, IPV6_MIN_MTU);
	skb_dst_update_pmtu_no_confirm(skb, mtu);
	if (veil_pmtu_tcp(skb, &hlen)) {
		/* It goes, cut; but better ones are to follow. */
		if (!veil_pmtu_may_fragment(skb))
			veil_pmtu_tell(skb, mtu);
		return 0;
	}
	/* A tunnel cuts it before, if it is not joined (veil_pmtu_fragments());
	 * else it is to fit one outer packet.
	 */
	if (veil_pmtu_may_fragment(skb) &&
	    ((mode == VEIL_TUNNEL && !skb_is_gso(skb)) ||
	     veil_pmtu_fits(skb, VEIL_PMTU_LARGEST)))
		return 0;
	veil_pmtu_tell(skb, mtu);
	return -EMSGSIZE;
}

static unsigned int veil_pmtu_frag_max(const struct sk_buff *skb)
{
	return skb->protocol == htons(ETH_P_IP) ? IPCB(skb)->frag_max_size :
	       IP6CB(skb)->frag_max_size;
}

/* The far gateway forwards what it gets as it is: a long IPv6 packet, or an IPv4
 * one that says so, it would have to drop for its own link.  So what was in
 * fragments, or may be, goes through the tunnel in fragments.
 */
unsigned int veil_pmtu_fragments(struct veil_session *session,
				 const struct sk_buff *skb, bool between)
{
	unsigned int mtu, hlen, was = veil_pmtu_frag_max(skb);

	if (!veil_seal_tunnels(session, between) || skb_is_gso(skb) ||
	    veil_pmtu_tcp(skb, &hlen) ||
	    (!was && !veil_pmtu_may_fragment(skb)))
		return 0;
	mtu = veil_pmtu_inner(session->peer, session, skb, VEIL_TUNNEL);
	if (was)
		mtu = min(mtu, was);
	mtu = min(mtu, dst_mtu(skb_dst(skb)));
	if (skb->protocol == htons(ETH_P_IPV6))
		mtu = max_t(unsigned int, mtu, IPV6_MIN_MTU);
	return skb->len > mtu ? mtu : 0;
}

/* A TCP packet that was made before its socket learned the MTU. */
int veil_pmtu_fit(struct veil_session *session, struct sk_buff *skb,
		  enum veil_mode mode)
{
	struct skb_shared_info *shinfo;
	unsigned int mtu, hlen;
	int err;

	if (veil_pmtu_short(session, skb, mode == VEIL_TUNNEL))
		return 0;
	mtu = veil_pmtu_inner(session->peer, session, skb, mode);
	if (veil_pmtu_fits(skb, mtu) || !veil_pmtu_tcp(skb, &hlen))
		return 0;
	/* Its shared info may belong to the retransmit queue as well. */
	err = skb_unclone(skb, GFP_ATOMIC);
	if (err)
		return err;
	if (!pskb_may_pull(skb, skb_network_offset(skb) + hlen +
			   sizeof(struct tcphdr)))
		return -ENOMEM;
	skb_set_transport_header(skb, skb_network_offset(skb) + hlen);
	hlen += tcp_hdrlen(skb);
	/* A SYN with data cannot be cut; it goes in outer fragments. */
	if (tcp_hdr(skb)->syn || hlen + TCP_MIN_MSS > mtu)
		return 0;

	/* A fragment list that reassembly or GRO made does not end where the
	 * new segments do.
	 */
	if (skb_has_frag_list(skb) && skb_linearize(skb))
		return -ENOMEM;

	shinfo = skb_shinfo(skb);
	shinfo->gso_size = mtu - hlen;
	shinfo->gso_segs = DIV_ROUND_UP(skb->len - hlen, shinfo->gso_size);
	if (!(shinfo->gso_type & (SKB_GSO_TCPV4 | SKB_GSO_TCPV6)))
		shinfo->gso_type |= skb->protocol == htons(ETH_P_IP) ?
				    SKB_GSO_TCPV4 : SKB_GSO_TCPV6;
	/* The size is ours, not its maker's: skb_segment() must not rely on it. */
	shinfo->gso_type |= SKB_GSO_DODGY;
	return 0;
}
