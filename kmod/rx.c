// SPDX-License-Identifier: GPL-2.0
/*
 * The way in: plaintext from a peer is dropped, Netveil's messages go to their
 * place, fragments of them are put together first (STACK B6), and everybody
 * else's packets pass.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/etherdevice.h>
#include <linux/icmp.h>
#include <linux/inetdevice.h>
#include <linux/netfilter_ipv6.h>
#include <net/ip.h>
#include <net/ipv6_frag.h>
#include <net/netfilter/ipv6/nf_defrag_ipv6.h>
#include <net/xfrm.h>

#include "addr.h"
#include "compat.h"
#include "exempt.h"
#include "handshake.h"
#include "icmp.h"
#include "netlink.h"
#include "network.h"
#include "open.h"
#include "open_batch.h"
#include "own.h"
#include "policy.h"
#include "rx.h"
#include "unknown.h"

/* Lives in a module that insmod would not load for us. A kernel without IPv6 has
 * neither that nor such packets.
 */
static typeof(nf_ct_frag6_gather) *veil_frag6_gather;

int veil_rx_init(void)
{
	if (!IS_ENABLED(CONFIG_IPV6))
		return 0;
	veil_frag6_gather = symbol_request(nf_ct_frag6_gather);
	if (veil_frag6_gather)
		return 0;
	pr_err("this kernel has no \"nf_defrag_ipv6\" (CONFIG_NF_DEFRAG_IPV6), and modprobe did not find it\n");
	return -EOPNOTSUPP;
}

void veil_rx_exit(void)
{
	if (IS_ENABLED(CONFIG_IPV6))
		symbol_put(nf_ct_frag6_gather);
}

void veil_rx_plaintext(struct veil_peer *peer, struct sk_buff *skb,
		       enum veil_drop reason)
{
	unsigned long last = READ_ONCE(peer->last_event);
	unsigned long now = jiffies | 1;

	veil_peer_drop(peer, skb, reason);
	if ((!last || !time_in_range(now, last, last + HZ)) &&
	    cmpxchg(&peer->last_event, last, now) == last)
		veil_netlink_event(peer->vn, NETVEIL_EVENT_PLAINTEXT,
				   READ_ONCE(peer->public_key));
}

/* L4 protocol at the transport header, which is set; 0 for later fragments. */
static u8 veil_rx_protocol(const struct sk_buff *skb)
{
	if (skb->protocol != htons(ETH_P_IP))
		return ipv6_hdr(skb)->nexthdr;
	if (ip_hdr(skb)->frag_off & htons(IP_OFFSET))
		return 0;
	return ip_hdr(skb)->protocol;
}

static bool veil_rx_for_port(const struct veil_net *vn,
			     const struct sk_buff *skb)
{
	struct udphdr *uh, buffer;

	if (veil_rx_protocol(skb) != IPPROTO_UDP)
		return false;
	uh = skb_header_pointer(skb, skb_transport_offset(skb), sizeof(buffer),
				&buffer);
	return uh && uh->dest == htons(READ_ONCE(vn->port));
}

/* peer: whose address the packet came from, or NULL. */
static unsigned int veil_rx_drop(struct veil_net *vn, struct veil_peer *peer,
				 struct sk_buff *skb, enum veil_drop reason)
{
	if (peer)
		veil_peer_drop(peer, skb, reason);
	else
		veil_drop(vn, skb, reason);
	return NF_STOLEN;
}

/* Whose initiation a response or cookie reply answers, from wherever it came. */
static struct veil_peer *veil_rx_answered(struct veil_net *vn,
					  struct veil_peer *peer,
					  __be32 receiver)
{
	struct veil_index *index = veil_index_lookup(vn, be32_to_cpu(receiver));

	if (index && index->peer != peer && READ_ONCE(index->peer->roaming))
		return index->peer;
	return peer;
}

static unsigned int veil_rx_initiation(struct veil_net *vn,
				       struct veil_peer *peer,
				       struct sk_buff *skb,
				       const struct veil_initiation *msg)
{
	/* A peer that roams may do so behind another one's address. */
	if (READ_ONCE(vn->roamer_count) &&
	    !(peer && (veil_handshake_unjudged(peer) ||
		       veil_handshake_stamped(peer, msg))))
		veil_unknown_initiation(vn, peer, skb, msg);
	else if (peer)
		veil_handshake_initiation(peer, skb, msg);
	else
		veil_drop(vn, skb, VEIL_DROP_stranger);
	return NF_STOLEN;
}

static unsigned int veil_rx_handshake(struct veil_net *vn,
				      struct veil_peer *peer,
				      struct sk_buff *skb)
{
	const struct veil_cookie_reply *cookie;
	const struct veil_response *response;
	const void *msg;
	size_t len;
	u8 type;

	if (skb_linearize(skb))
		return veil_rx_drop(vn, peer, skb, VEIL_DROP_no_memory);
	msg = skb_transport_header(skb) + sizeof(struct udphdr);
	len = skb->len - skb_transport_offset(skb) - sizeof(struct udphdr);
	type = *(const u8 *)msg;
	if (type == VEIL_MSG_INITIATION && len == sizeof(struct veil_initiation))
		return veil_rx_initiation(vn, peer, skb, msg);
	if (type == VEIL_MSG_RESPONSE && len == sizeof(*response)) {
		response = msg;
		peer = veil_rx_answered(vn, peer, response->header.receiver);
		if (!peer)
			return veil_rx_drop(vn, peer, skb, VEIL_DROP_stranger);
		veil_handshake_response(peer, skb, response);
		return NF_STOLEN;
	}
	if (type == VEIL_MSG_COOKIE && len == sizeof(*cookie)) {
		cookie = msg;
		peer = veil_rx_answered(vn, peer, cookie->receiver);
		if (!peer)
			return veil_rx_drop(vn, peer, skb, VEIL_DROP_stranger);
		veil_handshake_cookie(peer, skb, cookie);
		return NF_STOLEN;
	}
	return veil_rx_drop(vn, peer, skb, VEIL_DROP_malformed);
}

/* IPv6 with an IPv4 address as its source or destination, which nobody has: by our tables
 * it would be that peer's or ours, and authenticated as if the packet were IPv4.
 */
static bool veil_rx_mapped(const struct sk_buff *skb)
{
	return skb->protocol == htons(ETH_P_IPV6) &&
	       (veil_addr_is_v4(&ipv6_hdr(skb)->saddr) ||
		veil_addr_is_v4(&ipv6_hdr(skb)->daddr));
}

static bool veil_rx_holds_fragment6(const struct sk_buff *skb)
{
	unsigned int offset = 0;

	switch (ipv6_hdr(skb)->nexthdr) {
	case NEXTHDR_HOP:
	case NEXTHDR_DEST:
	case NEXTHDR_ROUTING:
	case NEXTHDR_FRAGMENT:
		return ipv6_find_hdr(skb, &offset, NEXTHDR_FRAGMENT, NULL,
				     NULL) != -ENOENT;
	}
	return false;
}

static bool veil_rx_is_fragment(const struct sk_buff *skb)
{
	if (skb->protocol == htons(ETH_P_IP))
		return ip_is_fragment(ip_hdr(skb));
	return veil_rx_holds_fragment6(skb);
}

/* TCP and forwarding discard what came in such a frame, which anybody can write: its
 * counter would be used up by then, and the message as it was sent be a replay.
 */
static bool veil_rx_to_many(const struct sk_buff *skb)
{
	return skb->pkt_type == PACKET_BROADCAST ||
	       skb->pkt_type == PACKET_MULTICAST;
}

/* Whether the device's rp_filter makes a difference, and can be asked before rules have
 * set a mark.  When loose it does for a device without an address.
 */
static bool veil_rx_filtered(const struct sk_buff *skb)
{
	const struct in_device *in_dev = __in_dev_get_rcu(skb->dev);

	if (skb->protocol != htons(ETH_P_IP) || !in_dev ||
	    IN_DEV_SRC_VMARK(in_dev))
		return false;
	return IN_DEV_RPFILTER(in_dev) == 1 ||
	       (IN_DEV_RPFILTER(in_dev) &&
		!rcu_access_pointer(in_dev->ifa_list));
}

/* Whether routing will drop it for the device that it comes by, to which somebody may
 * bring a copy: before its counter is used up, as above.
 */
static bool veil_rx_astray(struct sk_buff *skb)
{
	const struct iphdr *iph = ip_hdr(skb);
	bool astray;

	if (!veil_rx_filtered(skb) || skb_dst(skb) || veil_open_bridged(skb))
		return false;
	astray = ip_route_input(skb, iph->daddr, iph->saddr,
				inet_dsfield_to_dscp(iph->tos), skb->dev);
	/* Rules may make another packet of it, which routing is asked about then. */
	skb_dst_drop(skb);
	return astray;
}

/* A whole UDP packet for our port. */
static unsigned int veil_rx_message(struct veil_net *vn, struct veil_peer *peer,
				    struct sk_buff *skb,
				    const struct nf_hook_state *state)
{
	unsigned int offset = skb_transport_offset(skb);
	unsigned int head = offset + sizeof(struct udphdr) + 1;

	if (skb->protocol == htons(ETH_P_IP) && ip_hdr(skb)->ihl > 5)
		return veil_rx_drop(vn, peer, skb, VEIL_DROP_ip_options);
	if (!pskb_may_pull(skb, head))
		return veil_rx_drop(vn, peer, skb,
				    veil_drop_pull(skb->len, head));
	/* A device may have joined fragments, each with a length of its own. */
	if (ntohs(udp_hdr(skb)->len) != skb->len - offset ||
	    veil_rx_mapped(skb) || veil_rx_is_fragment(skb))
		return veil_rx_drop(vn, peer, skb, VEIL_DROP_malformed);
	if (*(u8 *)(udp_hdr(skb) + 1) != VEIL_MSG_DATA)
		return veil_rx_handshake(vn, peer, skb);
	if (veil_rx_to_many(skb))
		return veil_rx_drop(vn, peer, skb, VEIL_DROP_malformed);
	if (veil_rx_astray(skb))
		return veil_rx_drop(vn, peer, skb, VEIL_DROP_wrong_source);
	return veil_open(vn, peer, skb, state);
}

/* Several packets that a device or GRO joined: each for itself. */
static unsigned int veil_rx_split(struct veil_net *vn, struct veil_peer *peer,
				  struct sk_buff *skb,
				  const struct nf_hook_state *state)
{
	unsigned int mac = veil_open_mac_len(skb);
	struct sk_buff *segments, *next;

	/* The MAC header goes into each; and no page is shared with a tap, which
	 * would see it opened.
	 */
	__skb_push(skb, mac);
	segments = skb_gso_segment(skb, NETIF_F_HW_CSUM);
	if (IS_ERR_OR_NULL(segments))
		return veil_rx_drop(vn, peer, skb,
				    veil_drop_error(PTR_ERR(segments),
						    VEIL_DROP_malformed));
	consume_skb(skb);
	skb_list_walk_safe(segments, skb, next) {
		struct nf_hook_state rest = *state;

		skb_mark_not_on_list(skb);
		__skb_pull(skb, mac);
		if (veil_rx_message(vn, peer, skb, state) == NF_ACCEPT)
			veil_hooks_continue(skb, &rest);
	}
	return NF_STOLEN;
}

static unsigned int veil_rx_batch(struct veil_net *vn, struct veil_peer *peer,
				  struct sk_buff *skb,
				  const struct nf_hook_state *state)
{
	struct sk_buff_head odd;

	__skb_queue_head_init(&odd);
	if (veil_open_bridged(skb) || veil_rx_mapped(skb) ||
	    veil_rx_to_many(skb) || veil_rx_astray(skb) ||
	    !veil_open_batch(peer, skb, state, &odd))
		return veil_rx_split(vn, peer, skb, state);
	while ((skb = __skb_dequeue(&odd))) {
		struct nf_hook_state rest = *state;

		if (veil_rx_message(vn, peer, skb, state) == NF_ACCEPT)
			veil_hooks_continue(skb, &rest);
	}
	return NF_STOLEN;
}

/* Fragments meet those of the same user only: outer ones are anybody's, opened
 * ones the peer's, and those that the stack collects itself are a third kind.
 */
enum veil_defrag_user {
	VEIL_DEFRAG_OUTER	= 0x7665696c,
	VEIL_DEFRAG_OPENED,
};

/* Collect a fragment; whether skb is the whole packet now.  Otherwise it was
 * consumed: dropped and counted, or it waits (-EINPROGRESS) and is the kernel's, who
 * counts what never becomes whole (IpReasmFails, Ip6ReasmFails).
 */
static bool veil_rx_gather4(struct veil_net *vn, struct sk_buff *skb, u32 user)
{
	int err;

	/* A rule before ours may have written to it since IP input looked. */
	if (ip_hdrlen(skb) < sizeof(struct iphdr)) {
		veil_drop(vn, skb, VEIL_DROP_malformed);
		return false;
	}
	local_bh_disable();
	err = ip_defrag(vn->net, skb, user);
	local_bh_enable();
	if (err == -EINPROGRESS)
		return false;
	if (err) {
		veil_drop_count(vn, veil_drop_error(err, VEIL_DROP_malformed));
		return false;
	}
	skb_set_transport_header(skb, ip_hdrlen(skb));
	return true;
}

/* Where IP input goes on.  The headers are those of the first fragment, which need
 * not be those of the last.
 */
static unsigned int veil_rx_offset6(const struct sk_buff *skb)
{
	unsigned int offset = skb_network_offset(skb) + sizeof(struct ipv6hdr);
	struct ipv6_opt_hdr *opt, buffer;

	if (ipv6_hdr(skb)->nexthdr != NEXTHDR_HOP)
		return offset;
	opt = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
	return opt ? offset + ipv6_optlen(opt) : offset;
}

static bool veil_rx_gather6(struct veil_net *vn, struct sk_buff *skb, u32 user)
{
	int err;

	local_bh_disable();
	err = veil_frag6_gather(vn->net, skb, user);
	local_bh_enable();
	if (err == -EINPROGRESS)
		return false;
	if (err) {
		veil_drop(vn, skb, veil_drop_error(err, VEIL_DROP_malformed));
		return false;
	}
	skb_set_transport_header(skb, veil_rx_offset6(skb));
	return true;
}

static bool veil_rx_fragment6(const struct sk_buff *skb, u8 protocol)
{
	struct frag_hdr *fh, buffer;

	if (ipv6_hdr(skb)->nexthdr != NEXTHDR_FRAGMENT)
		return false;
	fh = skb_header_pointer(skb, skb_network_offset(skb) +
				sizeof(struct ipv6hdr), sizeof(buffer),
				&buffer);
	return fh && fh->nexthdr == protocol;
}

/* protocol: what IPv4 and IPv6 call the packets to be put together. */
static bool veil_rx_gather(struct veil_net *vn, struct sk_buff *skb,
			   u8 protocol4, u8 protocol6)
{
	if (skb->protocol == htons(ETH_P_IP)) {
		if (ip_is_fragment(ip_hdr(skb)) &&
		    ip_hdr(skb)->protocol == protocol4)
			return veil_rx_gather4(vn, skb, VEIL_DEFRAG_OUTER);
	} else if (veil_rx_fragment6(skb, protocol6)) {
		return veil_rx_gather6(vn, skb, VEIL_DEFRAG_OUTER);
	}
	return true;
}

bool veil_rx_gather_opened(struct veil_net *vn, struct sk_buff *skb)
{
	if (skb->protocol == htons(ETH_P_IP))
		return !ip_is_fragment(ip_hdr(skb)) ||
		       veil_rx_gather4(vn, skb, VEIL_DEFRAG_OPENED);
	if (!veil_rx_holds_fragment6(skb))
		return true;
	if (!veil_rx_gather6(vn, skb, VEIL_DEFRAG_OPENED))
		return false;
	if (!veil_rx_holds_fragment6(skb) && !veil_exempt_discovery(skb))
		return true;
	veil_drop(vn, skb, VEIL_DROP_bad_inner);
	return false;
}

/* A fragment of what may be ICMPv6, behind whatever headers: the first one need hold
 * no more than those of ICMPv6 itself.
 */
static bool veil_rx_icmp_fragment6(const struct sk_buff *skb)
{
	struct frag_hdr *fh, buffer;
	unsigned int offset = 0;

	if (!veil_rx_holds_fragment6(skb) ||
	    ipv6_find_hdr(skb, &offset, NEXTHDR_FRAGMENT, NULL, NULL) < 0)
		return false;
	fh = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
	return fh && (fh->nexthdr == IPPROTO_ICMPV6 ||
		      ipv6_ext_hdr(fh->nexthdr));
}

/* Pieces of an ICMP error, from who is no peer and to us; as veil_rx_gather(). */
static bool veil_rx_gather_icmp(struct veil_net *vn, struct sk_buff *skb)
{
	if (skb->protocol == htons(ETH_P_IP))
		return veil_rx_gather(vn, skb, IPPROTO_ICMP, IPPROTO_ICMPV6);
	if (!veil_rx_icmp_fragment6(skb))
		return true;
	if (!veil_rx_gather6(vn, skb, VEIL_DEFRAG_OUTER))
		return false;
	/* Fragments of fragments */
	if (!veil_rx_icmp_fragment6(skb))
		return true;
	veil_drop(vn, skb, VEIL_DROP_malformed);
	return false;
}

/* br_netfilter shows us a frame that the bridge will pass on, since it is
 * neither for the bridge nor for its port: opened, it would go out at its other
 * ports; and it does not come by here again.
 */
static bool veil_rx_bridged(const struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_BRIDGE_NETFILTER)
	const struct nf_bridge_info *bridge = skb_ext_find(skb,
							   SKB_EXT_BRIDGE_NF);

	return bridge && bridge->pkt_otherhost &&
	       !ether_addr_equal(eth_hdr(skb)->h_dest, skb->dev->dev_addr);
#else
	return false;
#endif
}

/* What a bridge passes on is none of ours. */
static unsigned int veil_rx_icmp(struct veil_net *vn, struct sk_buff *skb,
				 const struct veil_addr_pair *addrs)
{
	return veil_rx_bridged(skb) ? NF_ACCEPT :
				      veil_icmp(vn, skb, addrs, false);
}

/* Pieces of what is for us, from an unknown address, are judged whole: an ICMP
 * error, and the packets of peers that roam.
 */
static bool veil_rx_gather_unknown(struct veil_net *vn, struct sk_buff *skb)
{
	return veil_rx_gather_icmp(vn, skb) &&
	       (!READ_ONCE(vn->roamer_count) ||
		veil_rx_gather(vn, skb, IPPROTO_UDP, IPPROTO_UDP));
}

/* From who is no peer: Netveil's messages and ICMP errors about them are judged
 * whatever the policy says.  What is believed is accepted as opened.
 */
static unsigned int veil_rx_stranger(struct veil_net *vn, struct sk_buff *skb,
				     const struct veil_addr_pair *addrs,
				     const struct nf_hook_state *state)
{
	if (veil_rx_is_fragment(skb) &&
	    veil_own_address(vn, skb->dev, &addrs->destination) &&
	    !veil_rx_gather_unknown(vn, skb))
		return NF_STOLEN;
	if (!veil_rx_for_port(vn, skb))
		return veil_rx_icmp(vn, skb, addrs);
	if (!veil_own_address(vn, skb->dev, &addrs->destination))
		return NF_ACCEPT;
	/* Silence: nobody learns that we are here. */
	if (!READ_ONCE(vn->roamer_count))
		return veil_rx_drop(vn, NULL, skb, VEIL_DROP_stranger);
	if (READ_ONCE(vn->dying) || veil_rx_bridged(skb))
		return veil_rx_drop(vn, NULL, skb, READ_ONCE(vn->dying) ?
				    VEIL_DROP_namespace_exit :
				    VEIL_DROP_bridged);
	if (skb_is_gso(skb))
		return veil_rx_split(vn, NULL, skb, state);
	return veil_rx_message(vn, NULL, skb, state);
}

/* IPsec inside of Netveil: the packet that was in an ESP packet comes by here
 * again, with the peer's address (STACK A8).
 */
static bool veil_rx_decrypted(const struct sk_buff *skb)
{
#ifdef CONFIG_XFRM
	struct sec_path *sp = skb_sec_path(skb);

	return sp && sp->len;
#else
	return false;
#endif
}

static bool veil_rx_exempt(const struct sk_buff *skb)
{
	return veil_rx_decrypted(skb) ||
	       (skb->protocol == htons(ETH_P_IPV6) &&
		veil_exempt_neighbour(skb, skb_network_offset(skb)));
}

bool veil_rx_unicast(const struct veil_net *vn, const struct sk_buff *skb,
		     const struct in6_addr *addr)
{
	unsigned int type;

	if (!veil_addr_is_v4(addr))
		return !ipv6_addr_is_multicast(addr);
	type = inet_addr_type_dev_table(vn->net, skb->dev, veil_addr_v4(addr));
	return type != RTN_BROADCAST && type != RTN_MULTICAST;
}

/* Plaintext for this host, where there is a policy. */
static unsigned int veil_rx_clear(struct veil_net *vn, struct sk_buff *skb,
				  const struct veil_policy *policy,
				  const struct in6_addr *source)
{
	if (policy->kind == NETVEIL_POLICY_PREFER) {
		veil_policy_passed(policy, true);
		return NF_ACCEPT;
	}
	if (policy->peer)
		veil_rx_plaintext(policy->peer, skb, VEIL_DROP_plaintext_in);
	else
		veil_policy_no_peer(vn, policy, source, skb);
	return NF_STOLEN;
}

/* What passed veil_rx() because it was not for us, and then was after all: by
 * NAT, a transparent proxy or a local route.  It came in clear.
 */
static noinline unsigned int veil_rx_local_clear(struct veil_net *vn,
						 struct sk_buff *skb)
{
	struct veil_addr_pair addrs;
	struct veil_policy policy;

	veil_addr_of(skb, &addrs);
	veil_policy_lookup(vn, &addrs.source, &policy);
	if (policy.kind != NETVEIL_POLICY_REQUIRE)
		return NF_ACCEPT;
	if (!veil_rx_unicast(vn, skb, &addrs.destination) ||
	    veil_rx_exempt(skb))
		return NF_ACCEPT;
	return veil_rx_clear(vn, skb, &policy, &addrs.source);
}

/* An ICMP error goes by what it quotes, to which of our addresses it came does not
 * matter: one that only routes know (anycast), or a group's.  veil_rx() has judged
 * those to all others.
 */
static noinline unsigned int veil_rx_local_icmp(struct veil_net *vn,
						struct sk_buff *skb)
{
	struct veil_addr_pair addrs;
	unsigned int verdict;

	veil_addr_of(skb, &addrs);
	if (veil_own_address(vn, skb->dev, &addrs.destination))
		return NF_ACCEPT;
	if (!veil_rx_gather_icmp(vn, skb))
		return NF_STOLEN;
	/* As in veil_hook_in(). */
	local_bh_disable();
	verdict = veil_icmp(vn, skb, &addrs, true);
	local_bh_enable();
	return verdict;
}

static bool veil_rx_maybe_icmp(const struct sk_buff *skb)
{
	u8 nexthdr;

	if (skb->protocol == htons(ETH_P_IP))
		return ip_hdr(skb)->protocol == IPPROTO_ICMP;
	nexthdr = ipv6_hdr(skb)->nexthdr;
	return nexthdr == IPPROTO_ICMPV6 || ipv6_ext_hdr(nexthdr);
}

unsigned int veil_rx_local(struct veil_net *vn, struct sk_buff *skb,
			   const struct nf_hook_state *state)
{
	unsigned int verdict = NF_ACCEPT;

	if (veil_opened(skb))
		return NF_ACCEPT;
	if (skb->protocol != htons(ETH_P_IP) ||
	    !veil_policy_stranger(vn, ip_hdr(skb)->saddr))
		verdict = veil_rx_local_clear(vn, skb);
	if (verdict == NF_ACCEPT && veil_rx_maybe_icmp(skb))
		verdict = veil_rx_local_icmp(vn, skb);
	return verdict;
}

/* From an address that no peer protects. */
static unsigned int veil_rx_unprotected(struct veil_net *vn,
					struct sk_buff *skb,
					const struct veil_addr_pair *addrs,
					const struct veil_policy *policy,
					const struct nf_hook_state *state)
{
	unsigned int verdict = veil_rx_stranger(vn, skb, addrs, state);

	if (verdict != NF_ACCEPT || veil_opened(skb) ||
	    veil_policy_clear(policy) ||
	    !veil_own_address(vn, skb->dev, &addrs->destination) ||
	    veil_rx_exempt(skb))
		return verdict;
	return veil_rx_clear(vn, skb, policy, &addrs->source);
}

/* From a protected address, and not sealed to us. */
static unsigned int veil_rx_in_clear(struct veil_net *vn, struct sk_buff *skb,
				     const struct veil_addr_pair *addrs,
				     const struct veil_policy *policy)
{
	if (policy->kind != NETVEIL_POLICY_REQUIRE || veil_rx_bridged(skb) ||
	    !veil_rx_unicast(vn, skb, &addrs->destination) ||
	    veil_rx_exempt(skb))
		return NF_ACCEPT;
	return veil_rx_clear(vn, skb, policy, &addrs->source);
}

/* From a network behind a peer, whose packets come inside of the peer's: also
 * those that we would forward.  Routers on the way may be in it (0.0.0.0/0).
 */
static unsigned int veil_rx_behind(struct veil_net *vn, struct sk_buff *skb,
				   const struct veil_addr_pair *addrs,
				   const struct veil_policy *policy,
				   const struct nf_hook_state *state)
{
	unsigned int verdict = veil_rx_stranger(vn, skb, addrs, state);

	if (verdict != NF_ACCEPT || veil_opened(skb))
		return verdict;
	return veil_rx_in_clear(vn, skb, addrs, policy);
}

/* From a peer itself, through us: ours to judge as in veil_hooks_ours().  Into a
 * network behind a peer we would seal it, and vouch for its source.
 */
static unsigned int veil_rx_transit(struct veil_net *vn, struct sk_buff *skb,
				    const struct veil_addr_pair *addrs,
				    const struct veil_policy *policy)
{
	struct veil_policy to;

	if (veil_network_local(vn, &addrs->destination) ||
	    veil_network_behind(vn, &addrs->source))
		return veil_rx_in_clear(vn, skb, addrs, policy);
	veil_policy_lookup(vn, &addrs->destination, &to);
	if (!to.behind || veil_policy_clear(&to))
		return NF_ACCEPT;
	return veil_rx_in_clear(vn, skb, addrs, policy);
}

/* NAT may have made of it what veil_rx() would not have let in; and segment routing
 * unwraps packets that no hook has seen.
 */
static noinline unsigned int veil_rx_forward_clear(struct veil_net *vn,
						   struct sk_buff *skb)
{
	struct veil_addr_pair addrs;
	struct veil_policy policy;

	veil_addr_of(skb, &addrs);
	veil_policy_lookup(vn, &addrs.source, &policy);
	if (veil_policy_peerless(&policy) || veil_policy_clear(&policy))
		return NF_ACCEPT;
	if (policy.behind)
		return veil_rx_in_clear(vn, skb, &addrs, &policy);
	return veil_rx_transit(vn, skb, &addrs, &policy);
}

unsigned int veil_rx_forward(struct veil_net *vn, struct sk_buff *skb)
{
	if (veil_opened(skb) ||
	    (skb->protocol == htons(ETH_P_IP) &&
	     veil_policy_stranger(vn, ip_hdr(skb)->saddr)))
		return NF_ACCEPT;
	return veil_rx_forward_clear(vn, skb);
}

static noinline unsigned int veil_rx_judge(struct veil_net *vn,
					   struct sk_buff *skb,
					   const struct nf_hook_state *state)
{
	struct veil_addr_pair addrs;
	struct veil_policy policy;
	struct veil_peer *peer;
	unsigned int verdict;

	/* What connection tracking collected goes on behind headers that the stack
	 * has not seen, and would take what is there for the first of them.
	 */
	if (skb->protocol == htons(ETH_P_IPV6) &&
	    IP6CB(skb)->flags & IP6SKB_FRAGMENTED)
		skb_set_transport_header(skb, veil_rx_offset6(skb));
	veil_addr_of(skb, &addrs);
	veil_policy_lookup(vn, &addrs.source, &policy);
	peer = policy.peer;
	if (veil_policy_peerless(&policy) || veil_policy_clear(&policy))
		return veil_rx_unprotected(vn, skb, &addrs, &policy, state);
	if (policy.behind)
		return veil_rx_behind(vn, skb, &addrs, &policy, state);
	if (!veil_own_address(vn, skb->dev, &addrs.destination)) {
		verdict = veil_rx_transit(vn, skb, &addrs, &policy);
		return verdict == NF_ACCEPT ? veil_rx_icmp(vn, skb, &addrs) :
					      verdict;
	}
	if (policy.kind == NETVEIL_POLICY_PREFER && veil_rx_bridged(skb))
		return NF_ACCEPT;
	if (READ_ONCE(vn->dying) || veil_rx_bridged(skb)) {
		veil_peer_drop(peer, skb, READ_ONCE(vn->dying) ?
			       VEIL_DROP_namespace_exit : VEIL_DROP_bridged);
		return NF_STOLEN;
	}
	/* IPsec may bring what is for the port; its fragments do not meet those that
	 * are in clear.
	 */
	if (veil_rx_exempt(skb) &&
	    (veil_rx_is_fragment(skb) || !veil_rx_for_port(vn, skb)))
		return NF_ACCEPT;
	if (!veil_rx_gather(vn, skb, IPPROTO_UDP, IPPROTO_UDP))
		return NF_STOLEN;
	if (!veil_rx_for_port(vn, skb))
		return veil_rx_clear(vn, skb, &policy, &addrs.source);
	if (skb_is_gso(skb))
		return veil_rx_batch(vn, peer, skb, state);
	return veil_rx_message(vn, peer, skb, state);
}

/* Nobody's peer sent it, and it is neither for our port nor an ICMP error: what
 * most traffic is, in short.
 */
static bool veil_rx_passes(const struct veil_net *vn, const struct sk_buff *skb)
{
	const struct iphdr *iph = ip_hdr(skb);
	struct icmphdr *icmp, buffer;

	if (skb->protocol != htons(ETH_P_IP) || ip_is_fragment(iph) ||
	    !veil_policy_stranger(vn, iph->saddr))
		return false;
	if (iph->protocol != IPPROTO_ICMP)
		return !veil_rx_for_port(vn, skb);
	icmp = skb_header_pointer(skb, skb_transport_offset(skb),
				  sizeof(buffer), &buffer);
	return icmp && !icmp_is_err(icmp->type);
}

unsigned int veil_rx(struct veil_net *vn, struct sk_buff *skb,
		     const struct nf_hook_state *state)
{
	if (veil_rx_passes(vn, skb))
		return NF_ACCEPT;
	return veil_rx_judge(vn, skb, state);
}
