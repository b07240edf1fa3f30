// SPDX-License-Identifier: GPL-2.0
/*
 * ICMP errors of routers about our outer packets (PROTOCOL section 5, STACK
 * B10).  Anyone can send them: one is believed when it quotes a live index and
 * a counter that was sent lately, and then lowers the peer's path MTU.  One
 * that quotes a packet in clear to a peer, ours or one that we forward into a
 * network behind the peer, quotes what never was on a wire.
 *
 * One about a packet of traceroute's is put into words that its socket, and
 * connection tracking, understand: with the inner packet as the quoted one.
 */
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <net/icmp.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>

#include "icmp.h"
#include "mtu.h"
#include "network.h"
#include "open.h"
#include "policy.h"
#include "roam.h"
#include "session.h"
#include "traceroute.h"
#include "tunnel.h"
#include "unknown.h"

/* Packets that may be under way on a lane when an error about one arrives. */
#define VEIL_ICMP_LATELY	65536

/* Seconds that a path's MTU is believed, as ip_rt_mtu_expires. */
#define VEIL_ICMP_TRUST		600

/* What an ICMP error says. */
struct veil_icmp_error {
	unsigned int mtu;		/* of "too big", else 0 */
	bool tell;			/* what is to be told to a socket, too */
	u8 soft;			/* its code, or of what ends no UDP socket's connection */
	unsigned int icmp;		/* offset of the ICMP header */
	struct veil_addr_pair addrs;	/* of the quoted packet */
	u8 protocol;
	bool later;			/* of a later fragment: no L4 header */
	bool hidden;			/* what it quotes is in a later piece of it */
	unsigned int l4;		/* offset of the quoted L4 header */
};

static bool veil_icmp_parse4(const struct sk_buff *skb,
			     struct veil_icmp_error *error)
{
	unsigned int offset = skb_transport_offset(skb);
	struct icmphdr *icmp, icmp_buffer;
	struct iphdr *iph, buffer;

	if (ip_hdr(skb)->protocol != IPPROTO_ICMP ||
	    ip_hdr(skb)->frag_off & htons(IP_OFFSET))
		return false;
	icmp = skb_header_pointer(skb, offset, sizeof(icmp_buffer),
				  &icmp_buffer);
	if (!icmp || !icmp_is_err(icmp->type))
		return false;
	iph = skb_header_pointer(skb, offset + sizeof(*icmp), sizeof(buffer),
				 &buffer);
	error->hidden = !iph && ip_is_fragment(ip_hdr(skb));
	if (error->hidden)
		return true;
	if (!iph || iph->version != 4 || iph->ihl < 5)
		return false;

	error->icmp = offset;
	error->tell = icmp->type == ICMP_TIME_EXCEEDED ||
		      (icmp->type == ICMP_DEST_UNREACH &&
		       icmp->code != ICMP_PROT_UNREACH &&
		       icmp->code != ICMP_PORT_UNREACH);
	error->mtu = 0;
	if (icmp->type == ICMP_DEST_UNREACH && icmp->code == ICMP_FRAG_NEEDED)
		error->mtu = ntohs(icmp->un.frag.mtu) ?: VEIL_MTU_MIN_V4;
	error->soft = icmp->code;
	if (icmp->type == ICMP_DEST_UNREACH && icmp->code <= NR_ICMP_UNREACH &&
	    icmp_err_convert[icmp->code].fatal)
		error->soft = ICMP_HOST_UNREACH;
	ipv6_addr_set_v4mapped(iph->saddr, &error->addrs.source);
	ipv6_addr_set_v4mapped(iph->daddr, &error->addrs.destination);
	error->protocol = iph->protocol;
	error->later = iph->frag_off & htons(IP_OFFSET);
	error->l4 = offset + sizeof(*icmp) + iph->ihl * 4;
	return true;
}

/* Where the first fragment header is, or 0. */
static unsigned int veil_icmp_piece6(const struct sk_buff *skb)
{
	unsigned int offset = 0;

	return ipv6_find_hdr(skb, &offset, NEXTHDR_FRAGMENT, NULL, NULL) < 0 ?
	       0 : offset;
}

static bool veil_icmp_parse6(const struct sk_buff *skb,
			     struct veil_icmp_error *error)
{
	struct icmp6hdr *icmp, icmp_buffer;
	struct ipv6hdr *ip6h, buffer;
	unsigned int offset;
	u8 nexthdr = ipv6_hdr(skb)->nexthdr;
	unsigned int end = 0;
	__be16 fragment;
	int quoted;

	/* Behind whatever comes before it. */
	offset = ipv6_skip_exthdr(skb, skb_network_offset(skb) +
				  sizeof(struct ipv6hdr), &nexthdr, &fragment);
	error->hidden = true;
	/* Which may be cut, be too much for this kernel, or be pieces of pieces. */
	if ((int)offset < 0)
		return ipv6_find_hdr(skb, &end, -1, NULL, NULL) < 0;
	if (nexthdr == NEXTHDR_FRAGMENT)
		return veil_icmp_piece6(skb) != offset;
	if (nexthdr != IPPROTO_ICMPV6)
		return false;
	icmp = skb_header_pointer(skb, offset, sizeof(icmp_buffer),
				  &icmp_buffer);
	if (!icmp)
		return veil_icmp_piece6(skb);
	if (icmp->icmp6_type & ICMPV6_INFOMSG_MASK)
		return false;
	ip6h = skb_header_pointer(skb, offset + sizeof(*icmp), sizeof(buffer),
				  &buffer);
	if (!ip6h)
		return veil_icmp_piece6(skb);
	error->hidden = false;
	if (ip6h->version != 6)
		return false;

	error->icmp = offset;
	error->mtu = icmp->icmp6_type == ICMPV6_PKT_TOOBIG ?
		     ntohl(icmp->icmp6_mtu) : 0;
	error->tell = error->mtu || icmp->icmp6_type == ICMPV6_TIME_EXCEED ||
		      (icmp->icmp6_type == ICMPV6_DEST_UNREACH &&
		       icmp->icmp6_code != ICMPV6_PORT_UNREACH);
	error->soft = icmp->icmp6_code;
	/* As icmpv6_err_convert(), which is the ipv6 module's. */
	if (icmp->icmp6_type == ICMPV6_DEST_UNREACH &&
	    (icmp->icmp6_code == ICMPV6_ADM_PROHIBITED ||
	     icmp->icmp6_code > ICMPV6_ADDR_UNREACH))
		error->soft = ICMPV6_ADDR_UNREACH;
	error->addrs.source = ip6h->saddr;
	error->addrs.destination = ip6h->daddr;
	error->protocol = ip6h->nexthdr;
	/* The quote may end anywhere, and be of an outer fragment. */
	quoted = ipv6_skip_exthdr(skb, offset + sizeof(*icmp) + sizeof(*ip6h),
				  &error->protocol, &fragment);
	error->later = quoted >= 0 && fragment & htons(IP6_OFFSET);
	error->l4 = max(quoted, 0);
	return true;
}

static bool veil_icmp_sent(const struct veil_session *session,
			   const struct veil_data_header *header)
{
	u64 counter = be64_to_cpu(header->counter);
	u16 lane = be16_to_cpu(header->lane);
	u64 next;

	if (!session || session->remote != header->receiver ||
	    lane >= session->tx_lanes)
		return false;
	next = atomic64_read(&session->lanes[lane].tx_counter);
	return counter < next && counter + VEIL_ICMP_LATELY >= next;
}

/* Whether the quoted packet is one that we sent to peer lately. */
static bool veil_icmp_authentic(struct veil_peer *peer,
				const struct veil_data_header *header)
{
	return header->type == VEIL_MSG_DATA &&
	       (veil_icmp_sent(rcu_dereference(peer->current_session), header) ||
		veil_icmp_sent(rcu_dereference(peer->previous_session), header));
}

static void veil_icmp_too_big(struct veil_peer *peer, unsigned int mtu,
			      bool ipv6)
{
	struct veil_path *path = &peer->paths[ipv6];
	unsigned int known = READ_ONCE(path->mtu);

	if (!known || time_after_eq(jiffies, READ_ONCE(path->until)))
		known = IP_MAX_MTU;
	WRITE_ONCE(path->mtu, veil_mtu_lower(known, mtu, ipv6));
	WRITE_ONCE(path->until, jiffies + VEIL_ICMP_TRUST * HZ);
}

/* The MTU that a "too big" about an outer packet means for the inner one. */
static unsigned int veil_icmp_inner_mtu(const struct veil_traceroute *trace,
					unsigned int mtu, bool ipv6)
{
	if (!mtu)
		return 0;
	mtu = veil_mtu_lower(IP_MAX_MTU, mtu, ipv6);
	if (trace->mode == VEIL_TRANSPORT)
		return veil_mtu_transport(mtu);
	return veil_mtu_tunnel(mtu, ipv6);
}

static void veil_icmp_finish4(struct sk_buff *skb,
			      const struct veil_icmp_error *error,
			      unsigned int mtu)
{
	struct icmphdr *icmp = (void *)skb->data + error->icmp;

	/* The length of RFC 4884 is not that of this quote. */
	icmp->un.gateway = 0;
	icmp->un.frag.mtu = htons(mtu);
	icmp->checksum = 0;
	icmp->checksum = ip_compute_csum(icmp, skb->len - error->icmp);
	ip_hdr(skb)->tot_len = htons(skb->len);
	ip_send_check(ip_hdr(skb));
}

static void veil_icmp_finish6(struct sk_buff *skb,
			      const struct veil_icmp_error *error,
			      unsigned int mtu)
{
	struct icmp6hdr *icmp = (void *)skb->data + error->icmp;
	unsigned int len = skb->len - error->icmp;

	icmp->icmp6_mtu = htonl(mtu);
	icmp->icmp6_cksum = 0;
	icmp->icmp6_cksum = csum_ipv6_magic(&ipv6_hdr(skb)->saddr,
					    &ipv6_hdr(skb)->daddr, len,
					    IPPROTO_ICMPV6,
					    csum_partial(icmp, len, 0));
	ipv6_hdr(skb)->payload_len = htons(skb->len - sizeof(struct ipv6hdr));
}

/* Put the inner packet in the place of the quoted outer one. */
static int veil_icmp_translate(struct sk_buff *skb,
			       const struct veil_icmp_error *error,
			       const struct veil_traceroute *trace)
{
	bool ipv6 = skb->protocol == htons(ETH_P_IPV6);
	unsigned int mtu = veil_icmp_inner_mtu(trace, error->mtu, ipv6);
	int err;

	/* A header of eight bytes, in both families. */
	err = pskb_trim(skb, error->icmp + sizeof(struct icmphdr));
	if (!err)
		err = skb_linearize_cow(skb);
	if (!err && skb_tailroom(skb) < trace->len)
		err = pskb_expand_head(skb, 0, trace->len, GFP_ATOMIC);
	if (err)
		return err;
	skb_put_data(skb, trace->quote, trace->len);
	/* Where it is in both families. */
	if (trace->soft)
		((struct icmphdr *)(skb->data + error->icmp))->code = error->soft;
	if (ipv6)
		veil_icmp_finish6(skb, error, mtu);
	else
		veil_icmp_finish4(skb, error, mtu);
	skb->ip_summed = CHECKSUM_NONE;
	return 0;
}

/* An error that is believed, about the packet that went under header. */
static unsigned int veil_icmp_deliver(struct veil_peer *peer,
				      struct sk_buff *skb,
				      const struct veil_icmp_error *error,
				      const struct veil_data_header *header)
{
	struct veil_traceroute trace;

	if (!error->tell || !veil_traceroute_find(peer, header, &trace) ||
	    (error->mtu && trace.soft)) {
		/* No socket has that packet's ports, or none that is to get EMSGSIZE
		 * for a path's MTU.
		 */
		consume_skb(skb);
		return NF_STOLEN;
	}
	if (veil_icmp_translate(skb, error, &trace)) {
		veil_peer_drop(peer, skb, VEIL_DROP_no_memory);
		return NF_STOLEN;
	}
	if (veil_open_bridged(skb)) {
		veil_tunnel_begin_anew(peer->vn, skb, false);
		return NF_STOLEN;
	}
	/* Its router may be under "require" itself. */
	veil_open_judged(skb);
	return NF_ACCEPT;
}

static enum veil_drop veil_icmp_judge(struct veil_peer *peer,
				      const struct sk_buff *skb,
				      const struct veil_icmp_error *error,
				      struct veil_data_header *proof)
{
	struct veil_data_header *header, header_buffer;
	struct udphdr *uh, buffer;

	if (error->later)
		return VEIL_DROP_icmp_unproven;
	uh = skb_header_pointer(skb, error->l4, sizeof(buffer), &buffer);
	if (error->protocol != IPPROTO_UDP || !uh ||
	    uh->dest != htons(READ_ONCE(peer->port)))
		return VEIL_DROP_icmp_forged;
	header = skb_header_pointer(skb, error->l4 + sizeof(*uh),
				    sizeof(header_buffer), &header_buffer);
	if (!header || !veil_icmp_authentic(peer, header))
		return VEIL_DROP_icmp_unproven;
	*proof = *header;
	if (error->mtu)
		veil_icmp_too_big(peer, error->mtu,
				  skb->protocol == htons(ETH_P_IPV6));
	return VEIL_DROPS;
}

/* The roaming peer to whose place the quoted packet went. */
static struct veil_peer *veil_icmp_roamer(struct veil_net *vn,
					  const struct sk_buff *skb,
					  const struct veil_icmp_error *error,
					  struct veil_data_header *header)
{
	unsigned int tries = VEIL_STAMPS_MAX;
	struct rhlist_head *list, *place;
	struct udphdr *uh, buffer;
	struct veil_roamer *roamer;

	/* Pairs with veil_roam_set(). */
	if (!smp_load_acquire(&vn->roamer_count) ||
	    error->protocol != IPPROTO_UDP || error->later)
		return NULL;
	uh = skb_header_pointer(skb, error->l4, sizeof(buffer), &buffer);
	if (!uh)
		return NULL;
	list = veil_roam_at(vn, &error->addrs.destination, ntohs(uh->dest));
	rhl_for_each_entry_rcu(roamer, place, list, place) {
		if (veil_icmp_judge(roamer->peer, skb, error, header) ==
		    VEIL_DROPS)
			return roamer->peer;
		if (!--tries)
			break;
	}
	return NULL;
}

/* About a packet of somebody else's, and to him: had that come through us, as
 * veil_hooks_ours() has it, it would have been sealed.
 */
static unsigned int veil_icmp_passes(struct veil_net *vn, struct sk_buff *skb,
				     const struct veil_icmp_error *error)
{
	struct veil_policy policy;

	veil_policy_lookup(vn, &error->addrs.destination, &policy);
	if (policy.kind != NETVEIL_POLICY_REQUIRE ||
	    !(policy.behind || veil_network_local(vn, &error->addrs.source) ||
	      veil_network_behind(vn, &error->addrs.destination)))
		return NF_ACCEPT;
	if (policy.peer)
		veil_peer_drop(policy.peer, skb, VEIL_DROP_icmp_forged);
	else
		veil_drop(vn, skb, VEIL_DROP_icmp_forged);
	return NF_STOLEN;
}

unsigned int veil_icmp(struct veil_net *vn, struct sk_buff *skb,
		       const struct veil_addr_pair *addrs, bool local)
{
	bool ipv4 = skb->protocol == htons(ETH_P_IP);
	enum veil_drop reason = VEIL_DROP_icmp_forged;
	struct veil_peer *peer = NULL, *roamer;
	struct veil_data_header header;
	struct veil_icmp_error error;
	struct veil_policy policy;

	if (ipv4 ? !veil_icmp_parse4(skb, &error) :
		   !veil_icmp_parse6(skb, &error))
		return NF_ACCEPT;
	/* No router makes a piece that is too short for the quoted header, and nobody
	 * a first one that has not all headers (RFC 7112), or pieces of pieces.
	 */
	if (error.hidden) {
		veil_drop(vn, skb, VEIL_DROP_malformed);
		return NF_STOLEN;
	}
	if (!veil_addr_is_local(vn->net, skb->dev, &error.addrs.source) ||
	    (!local &&
	     !veil_addr_is_local(vn->net, skb->dev, &addrs->destination)))
		return veil_icmp_passes(vn, skb, &error);

	veil_policy_lookup(vn, &error.addrs.destination, &policy);
	if (!veil_policy_clear(&policy))
		peer = policy.peer;
	if (peer)
		reason = veil_icmp_judge(peer, skb, &error, &header);
	if (reason == VEIL_DROPS)
		return veil_icmp_deliver(peer, skb, &error, &header);
	roamer = veil_icmp_roamer(vn, skb, &error, &header);
	if (roamer)
		return veil_icmp_deliver(roamer, skb, &error, &header);

	/* Under "prefer" there are packets in clear to complain about. */
	if (veil_policy_clear(&policy) ||
	    (reason == VEIL_DROP_icmp_forged &&
	     policy.kind == NETVEIL_POLICY_PREFER))
		return NF_ACCEPT;
	if (peer)
		veil_peer_drop(peer, skb, reason);
	else
		veil_drop(vn, skb, reason);
	return NF_STOLEN;
}
