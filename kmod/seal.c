// SPDX-License-Identifier: GPL-2.0
/*
 * Sealing: from one inner packet (a segment, if it came as GSO) to one outer.
 *
 * The text is copied into a fresh packet and sealed there in place: the inner
 * packet's pages belong to its sender, who may send them again (TCP) or may
 * still write to them (sendfile), and a copy costs little beside the AEAD.  Only
 * a linear packet that is nobody else's becomes the outer one itself.
 */
#include <linux/siphash.h>
#include <linux/tcp.h>
#include <net/dsfield.h>
#include <net/dst.h>
#include <net/ip.h>
#include <net/sock.h>

#include <net/netfilter/nf_conntrack.h>
#include "compat.h"
#include "handshake.h"
#include "pmtu.h"
#include "request.h"
#include "roam.h"
#include "seal.h"
#include "seal_batch.h"
#include "socket.h"
#include "timers.h"
#include "traceroute.h"
#include "tunnel.h"
#include "xmit.h"

/* Above this a packet's text lies in page fragments: no large allocation. */
#define VEIL_LINEAR_MAX		4096

/* Which flow goes to which lane is a secret of this boot. */
static hsiphash_key_t veil_lane_key __read_mostly;

void veil_seal_init(void)
{
	get_random_bytes(&veil_lane_key, sizeof(veil_lane_key));
}

/* Protocol and header length of the inner packet. */
static u8 veil_seal_protocol(const struct sk_buff *skb, unsigned int *hlen)
{
	if (skb->protocol == htons(ETH_P_IP)) {
		*hlen = ip_hdrlen(skb);
		return ip_hdr(skb)->protocol;
	}
	*hlen = sizeof(struct ipv6hdr);
	return ipv6_hdr(skb)->nexthdr;
}

/* What the other end would not deliver from a transport packet, since its stack
 * goes on to look behind it for more headers.
 */
bool veil_seal_next_header_ok(u8 protocol)
{
	switch (protocol) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_DSTOPTS:
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
		return false;
	}
	return true;
}

/* One whole L4 packet that the other end delivers itself, and no IP options. */
static bool veil_seal_plain(const struct sk_buff *skb)
{
	unsigned int hlen;
	u8 protocol = veil_seal_protocol(skb, &hlen);

	if (!veil_seal_next_header_ok(protocol))
		return false;
	if (skb->protocol == htons(ETH_P_IP))
		return hlen == sizeof(struct iphdr) &&
		       !ip_is_fragment(ip_hdr(skb));
	return true;
}

enum veil_mode veil_seal_mode(const struct veil_session *session,
			      const struct sk_buff *skb, bool between)
{
	if (veil_seal_tunnels(session, between))
		return VEIL_TUNNEL;
	return veil_seal_plain(skb) ? VEIL_TRANSPORT : VEIL_TUNNEL_HOSTS;
}

static bool veil_seal_has_ports(u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP ||
	       protocol == IPPROTO_SCTP || protocol == IPPROTO_DCCP ||
	       protocol == IPPROTO_UDPLITE;
}

/* A flow keeps its lane, so it keeps its order. */
static u16 veil_seal_lane(const struct veil_session *session,
			  const struct sk_buff *skb)
{
	unsigned int hlen;
	u8 protocol = veil_seal_protocol(skb, &hlen);
	u32 hash, flow = 0;
	__be32 buffer, *ports;

	if (session->tx_lanes == 1)
		return 0;
	if (veil_seal_has_ports(protocol) &&
	    (skb->protocol != htons(ETH_P_IP) ||
	     !ip_is_fragment(ip_hdr(skb)))) {
		ports = skb_header_pointer(skb, skb_network_offset(skb) + hlen,
					   sizeof(buffer), &buffer);
		if (ports)
			flow = (__force u32)*ports;
	}
	if (skb->protocol == htons(ETH_P_IP))
		hash = hsiphash_4u32(protocol, flow,
				     (__force u32)ip_hdr(skb)->saddr,
				     (__force u32)ip_hdr(skb)->daddr,
				     &veil_lane_key);
	else
		hash = hsiphash_4u32(protocol, flow,
				     ipv6_addr_hash(&ipv6_hdr(skb)->saddr),
				     ipv6_addr_hash(&ipv6_hdr(skb)->daddr),
				     &veil_lane_key);
	return reciprocal_scale(hash, session->tx_lanes);
}

/* Whether a packet's destructor wants no more of it than its socket and true size.
 * Those of rings, which packet and XDP sockets have, look for the frame in it; what
 * they sent may come by inside of a tunnel, or by a VRF.
 */
static bool veil_seal_owned(const struct sk_buff *skb)
{
	const struct sock *sk = skb->sk;

	if (!sk || !sk_fullsock(sk))
		return false;
	if (skb->destructor == sock_wfree)
		return true;
	return sk_is_tcp(sk) && skb->destructor &&
	       skb->destructor != sock_efree &&
	       skb->destructor != sock_edemux;
}

/* The socket pays for the outer packet as it did for the inner one, so that
 * TSQ, pacing and SO_SNDBUF go on to work (STACK B4).
 */
void veil_seal_move_owner(struct sk_buff *outer, struct sk_buff *skb)
{
	struct sock *sk = skb->sk;
	int delta;

	if (!veil_seal_owned(skb))
		return;
	outer->sk = sk;
	outer->destructor = skb->destructor;
	skb->sk = NULL;
	skb->destructor = NULL;
	delta = outer->truesize - skb->truesize;
	if (delta >= 0)
		refcount_add(delta, &sk->sk_wmem_alloc);
	else
		WARN_ON_ONCE(refcount_sub_and_test(-delta,
						   &sk->sk_wmem_alloc));
}

/* The same for each of several outer packets but the last, as in tcp_gso_segment(): all of
 * them are their flow's for queues and classes.
 */
void veil_seal_share_owner(struct sk_buff *outer, const struct sk_buff *skb)
{
	if (!veil_seal_owned(skb))
		return;
	outer->sk = skb->sk;
	outer->destructor = skb->destructor;
	refcount_add(outer->truesize, &skb->sk->sk_wmem_alloc);
}

/**
 * struct veil_plan - how one packet is sealed
 * @mode: what of the inner packet is text, and who writes the outer header
 * @dst: route of the outer packet, where it is not the inner one's
 * @protocol: of the inner packet
 * @head: bytes of the outer packet before the text
 * @skip: bytes of the inner packet before the text
 * @copy: bytes of the inner packet that are text
 * @text: bytes to seal: @copy and the trailer
 * @fragment: the outer packet will not fit its path
 * @header: of the outer packet
 * @addrs: of both
 * @port: that the outer packet goes to
 * @inner4: header of the inner packet, without its options
 * @inner6: the same
 */
struct veil_plan {
	enum veil_mode mode;
	struct dst_entry *dst;
	u8 protocol;
	unsigned int head;
	unsigned int skip;
	unsigned int copy;
	unsigned int text;
	bool fragment;
	struct veil_data_header header;
	struct veil_addr_pair addrs;
	u16 port;
	union {
		struct iphdr inner4;
		struct ipv6hdr inner6;
	};
};

/* Where the outer packet leaves. */
static const struct net_device *veil_seal_dev(const struct sk_buff *skb,
					      const struct veil_plan *plan)
{
	return plan->dst ? veil_dst_dev(plan->dst) : skb->dev;
}

/* The outer packet goes its own way. */
static void veil_seal_route(struct sk_buff *outer, const struct veil_plan *plan)
{
	skb_dst_drop(outer);
	skb_dst_set(outer, plan->dst);
	outer->dev = veil_dst_dev(plan->dst);
	outer->protocol = veil_addr_is_v4(&plan->addrs.source) ?
			  htons(ETH_P_IP) : htons(ETH_P_IPV6);
}

/* An empty outer packet with skb's metadata and room for what is planned; its
 * data begins with the IP header.
 */
static struct sk_buff *veil_seal_alloc(struct sk_buff *skb,
				       const struct veil_plan *plan)
{
	unsigned int room = LL_RESERVED_SPACE(veil_seal_dev(skb, plan));
	unsigned int text = plan->text + VEIL_TAG_LEN;
	bool linear = text <= VEIL_LINEAR_MAX;
	struct sk_buff *outer;
	int err;

	if (linear)
		outer = alloc_skb(room + plan->head + text,
				  GFP_ATOMIC | __GFP_NOWARN);
	else
		outer = alloc_skb_with_frags(room + plan->head, text, 0, &err,
					     GFP_ATOMIC | __GFP_NOWARN);
	if (!outer)
		return NULL;

	skb_copy_header(outer, skb);
	skb_shinfo(outer)->gso_size = 0;
	skb_shinfo(outer)->gso_segs = 0;
	skb_shinfo(outer)->gso_type = 0;
	skb_reserve(outer, room);
	skb_put(outer, plan->head);
	if (linear) {
		skb_put(outer, text);
	} else {
		outer->data_len = text;
		outer->len += text;
	}
	return outer;
}

/* skb itself, with room made for what is planned around its text: its sender,
 * its owner and a tap have no more to do with its bytes.  False: it has to be
 * copied.
 */
static bool veil_seal_own(struct sk_buff *skb, const struct veil_plan *plan)
{
	unsigned int before = plan->head - plan->skip;
	unsigned int behind = plan->text + VEIL_TAG_LEN - plan->copy;

	if (skb_is_nonlinear(skb) || skb_is_gso(skb) || skb_cloned(skb) ||
	    skb_shared(skb) || skb_tailroom(skb) < behind)
		return false;
	if (skb_headroom(skb) >=
	    before + LL_RESERVED_SPACE(veil_seal_dev(skb, plan))) {
		__skb_push(skb, before);
	} else if (skb_tailroom(skb) >= before + behind) {
		memmove(skb->data + plan->head, skb->data + plan->skip,
			plan->copy);
		__skb_put(skb, before);
	} else {
		return false;
	}
	__skb_put(skb, behind);
	return true;
}

/* Copy len bytes at offset of skb to where outer's text begins. */
static int veil_seal_copy(struct sk_buff *outer, unsigned int head,
			  const struct sk_buff *skb, unsigned int offset,
			  unsigned int len)
{
	struct skb_shared_info *shinfo = skb_shinfo(outer);
	unsigned int i, size;

	if (!skb_is_nonlinear(outer))
		return skb_copy_bits(skb, offset, outer->data + head, len);
	for (i = 0; len && i < shinfo->nr_frags; i++) {
		size = min_t(unsigned int, len,
			     skb_frag_size(&shinfo->frags[i]));
		if (skb_copy_bits(skb, offset,
				  skb_frag_address(&shinfo->frags[i]), size))
			return -EFAULT;
		offset += size;
		len -= size;
	}
	return len ? -EFAULT : 0;
}

/* IP header of the outer packet, where it is the inner one with another protocol:
 * between the same two hosts.
 */
static void veil_seal_ipv4(struct sk_buff *outer, const struct veil_plan *plan)
{
	struct iphdr *iph = ip_hdr(outer);

	*iph = plan->inner4;
	iph->ihl = sizeof(*iph) / 4;
	iph->protocol = IPPROTO_UDP;
	iph->tot_len = htons(outer->len);
	iph->frag_off &= htons(IP_DF);
	if (plan->fragment)
		iph->frag_off = 0;
	/* Fragments of several sockets must not share an ID. */
	if (plan->mode != VEIL_TRANSPORT || plan->fragment)
		__ip_select_ident(dev_net(outer->dev), iph, 1);
	ip_send_check(iph);
}

static void veil_seal_ipv6(struct sk_buff *outer, const struct veil_plan *plan)
{
	struct ipv6hdr *ip6h = ipv6_hdr(outer);

	*ip6h = plan->inner6;
	ip6h->nexthdr = IPPROTO_UDP;
	ip6h->payload_len = htons(outer->len - sizeof(*ip6h));
}

/* One port for all lanes where NAT may be on the way: each would have a mapping
 * of its own, and a peer that roams would be in several places at once.
 */
static u16 veil_seal_port(const struct veil_session *session, u16 lane)
{
	return READ_ONCE(session->peer->vn->port) +
	       (session->transport ? lane : 0);
}

static void veil_seal_send_control(struct veil_request *request)
{
	const struct veil_place *place = &request->place;
	struct veil_session *session = request->session;
	const struct veil_addr_pair addrs = {
		.source = place->local,
		.destination = place->remote,
	};
	int domain;

	rcu_read_lock();
	domain = rcu_dereference(session->ends)->domain;
	rcu_read_unlock();
	veil_socket_xmit(session->peer->vn, &addrs, domain,
			 veil_seal_port(session, 0), place->port, request->skb);
}

static void veil_seal_done(struct veil_request *request, int err)
{
	struct veil_peer *peer = request->session->peer;
	struct sk_buff *outer = request->skb;

	if (err) {
		veil_peer_drop(peer, outer, VEIL_DROP_crypto_failed);
	} else {
		/* A challenge or an echo may go where the peer is not. */
		if (!request->control || !request->text)
			veil_timers_sent(peer, !request->control);
		if (request->control)
			veil_seal_send_control(request);
		else
			veil_xmit(peer, outer);
	}
}

/* The crypto API finished later; from its worker or a device's tasklet. */
static void veil_seal_async_done(veil_completion_data_t *data, int err)
{
	struct veil_request *request = veil_completion_context(data);

	if (err == -EINPROGRESS)
		return;
	veil_path_enter();
	veil_seal_done(request, err);
	/* Last: with it may go the session, the peer and the namespace. */
	veil_request_free_late(request);
	veil_path_leave();
}

static void veil_seal_submit(struct veil_request *request, unsigned int aad_len)
{
	u16 lane = be16_to_cpu(request->header.lane);
	struct veil_session *session = request->session;
	struct aead_request *aead = &request->aead;
	int err = -EKEYEXPIRED;

	/* As late as can be: a VM may have been forked since the look-up. */
	if (!veil_session_expired(session)) {
		aead_request_set_tfm(aead, session->tx);
		aead_request_set_callback(aead, 0, veil_seal_async_done,
					  request);
		aead_request_set_ad(aead, aad_len);
		aead_request_set_crypt(aead, request->sg, request->sg,
				       request->text, request->nonce);
		err = crypto_aead_encrypt(aead);
	}
	if (err == -EINPROGRESS) {
		veil_request_hold(session, lane);
		return;
	}
	veil_seal_done(request, err);
	veil_request_free(request);
}

/* Table of outer's text from head on, behind the additional data. */
static int veil_seal_map(struct veil_request *request, unsigned int aad_len,
			 unsigned int head)
{
	struct sk_buff *outer = request->skb;
	int pieces;

	sg_set_buf(&request->sg[0], request->aad, aad_len);
	if (!skb_is_nonlinear(outer)) {
		sg_set_buf(&request->sg[1], outer->data + head,
			   outer->len - head);
		return 0;
	}
	pieces = skb_to_sgvec(outer, &request->sg[1], head, outer->len - head);
	return pieces < 0 ? pieces : 0;
}

static int veil_seal_trailer(struct sk_buff *outer, unsigned int offset,
			     u8 protocol)
{
	struct veil_trailer trailer = { .next_header = protocol };

	if (!skb_is_nonlinear(outer)) {
		memcpy(outer->data + offset, &trailer, sizeof(trailer));
		return 0;
	}
	return skb_store_bits(outer, offset, &trailer, sizeof(trailer));
}

/* Whether the device's checksum offload was left to fill the L4 checksum, and
 * the other end's stack may do so as well.
 */
static int veil_seal_checksum(struct sk_buff *skb, unsigned int hlen,
			      struct veil_plan *plan)
{
	unsigned int start = skb_network_offset(skb) + hlen;

	if (skb->ip_summed != CHECKSUM_PARTIAL)
		return 0;
	if (plan->mode == VEIL_TRANSPORT &&
	    skb_checksum_start_offset(skb) == start &&
	    ((plan->protocol == IPPROTO_TCP &&
	      skb->csum_offset == offsetof(struct tcphdr, check)) ||
	     (plan->protocol == IPPROTO_UDP &&
	      skb->csum_offset == offsetof(struct udphdr, check)))) {
		plan->header.flags |= VEIL_DATA_CSUM_PARTIAL;
		return 0;
	}
	return skb_csum_hwoffload_help(skb, 0);
}

/* Addresses, header length and route of the outer packet. */
static enum veil_drop veil_seal_ends(struct veil_session *session,
				     const struct sk_buff *skb,
				     struct veil_plan *plan)
{
	struct dst_entry *dst = skb_dst(skb);
	struct veil_place place;
	unsigned int len;
	bool ipv6;

	veil_addr_of(skb, &plan->addrs);
	plan->port = READ_ONCE(session->peer->port);
	if (plan->mode == VEIL_TUNNEL) {
		plan->dst = veil_tunnel_route(session, &place);
		plan->addrs.source = place.local;
		plan->addrs.destination = place.remote;
		plan->port = place.port;
		dst = plan->dst;
	}
	if (!dst)
		return VEIL_DROP_no_route;
	ipv6 = !veil_addr_is_v4(&plan->addrs.source);
	plan->head = (ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) +
		     VEIL_UDP_LEN + sizeof(plan->header);
	len = plan->head + plan->text + VEIL_TAG_LEN;
	plan->fragment = len > veil_pmtu_path(session->peer, dst, ipv6);
	if (len <= IP_MAX_MTU)
		return VEIL_DROPS;
	dst_release(plan->dst);
	return VEIL_DROP_too_big;
}

static enum veil_drop veil_seal_plan(struct veil_session *session,
				     struct sk_buff *skb, u16 lane,
				     enum veil_mode mode,
				     struct veil_plan *plan)
{
	enum veil_drop reason;
	unsigned int hlen;
	u64 counter;

	memset(plan, 0, sizeof(*plan));
	plan->mode = mode;
	plan->protocol = veil_seal_protocol(skb, &hlen);
	plan->skip = mode == VEIL_TRANSPORT ? hlen : 0;
	plan->copy = skb->len - plan->skip;
	plan->text = plan->copy;
	if (mode == VEIL_TRANSPORT)
		plan->text += sizeof(struct veil_trailer);
	else
		plan->header.flags |= VEIL_DATA_TUNNEL;
	if (veil_seal_checksum(skb, hlen, plan))
		return VEIL_DROP_no_memory;

	if (skb->protocol == htons(ETH_P_IP))
		plan->inner4 = *ip_hdr(skb);
	else
		plan->inner6 = *ipv6_hdr(skb);
	reason = veil_seal_ends(session, skb, plan);
	if (reason != VEIL_DROPS)
		return reason;
	if (veil_session_take(session, lane, skb->len, 1, &counter)) {
		dst_release(plan->dst);
		return VEIL_DROP_limit_reached;
	}
	plan->header.type = VEIL_MSG_DATA;
	plan->header.lane = cpu_to_be16(lane);
	plan->header.receiver = session->remote;
	plan->header.counter = cpu_to_be64(counter);
	return VEIL_DROPS;
}

/* A label for each lane, so that routers spread these as well (RFC 6438). */
static u32 veil_seal_label(u16 lane)
{
	return hsiphash_1u32(lane, &veil_lane_key) &
	       ntohl(IPV6_FLOWLABEL_MASK);
}

static void veil_seal_tunnel(struct sk_buff *outer, const struct veil_plan *plan)
{
	struct veil_tunnel_header header = {
		.addrs = &plan->addrs,
		.flow_label = veil_seal_label(be16_to_cpu(plan->header.lane)),
		.df = htons(IP_DF),
	};

	if (plan->inner4.version == 4) {
		header.dsfield = plan->inner4.tos;
		header.df &= plan->inner4.frag_off;
	} else {
		header.dsfield = ipv6_get_dsfield(&plan->inner6);
	}
	if (plan->fragment)
		header.df = 0;
	veil_tunnel_header(outer, &header);
}

void veil_seal_reset(struct sk_buff *skb, unsigned int hlen)
{
	skb_reset_mac_header(skb);
	skb_reset_network_header(skb);
	skb_set_transport_header(skb, hlen);
	skb->mac_len = 0;
	skb->encapsulation = 0;
	skb_ext_reset(skb);
	nf_reset_trace(skb);
	nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
}

/* All but the text, which is at its place. */
static int veil_seal_fill(struct veil_session *session, struct sk_buff *outer,
			  const struct veil_plan *plan)
{
	u16 lane = be16_to_cpu(plan->header.lane);

	veil_seal_reset(outer, plan->head - sizeof(plan->header) -
			VEIL_UDP_LEN);
	memcpy(outer->data + plan->head - sizeof(plan->header), &plan->header,
	       sizeof(plan->header));
	if (plan->mode == VEIL_TUNNEL)
		veil_seal_tunnel(outer, plan);
	else if (outer->protocol == htons(ETH_P_IP))
		veil_seal_ipv4(outer, plan);
	else
		veil_seal_ipv6(outer, plan);
	veil_socket_udp_header(outer, &plan->addrs,
			       veil_seal_port(session, lane), plan->port);
	if (plan->mode != VEIL_TRANSPORT)
		return 0;
	return veil_seal_trailer(outer, plan->head + plan->copy,
				 plan->protocol);
}

/* skb as it will be sealed: itself, or a copy that takes its place.  Consumes
 * skb, unless there is no memory.
 */
static struct sk_buff *veil_seal_outer(struct sk_buff *skb,
				       const struct veil_plan *plan)
{
	struct sk_buff *outer;

	if (veil_seal_own(skb, plan)) {
		if (plan->dst)
			veil_seal_route(skb, plan);
		return skb;
	}
	outer = veil_seal_alloc(skb, plan);
	if (!outer) {
		dst_release(plan->dst);
		return NULL;
	}
	if (plan->dst)
		veil_seal_route(outer, plan);
	if (veil_seal_copy(outer, plan->head, skb, plan->skip, plan->copy)) {
		kfree_skb(outer);
		return NULL;
	}
	veil_seal_move_owner(outer, skb);
	consume_skb(skb);
	return outer;
}

/* A request for the outer packet, or NULL. */
static struct veil_request *veil_seal_request(struct veil_session *session,
					      struct sk_buff *outer,
					      const struct veil_plan *plan,
					      unsigned int *aad_len)
{
	struct veil_request *request;

	if (veil_seal_fill(session, outer, plan) ||
	    (session->async && !skb_dst_force(outer)))
		return NULL;
	request = veil_request_alloc(session, &plan->header,
				     1 + skb_shinfo(outer)->nr_frags);
	if (!request)
		return NULL;
	request->skb = outer;
	request->text = plan->text;
	request->control = false;
	*aad_len = veil_request_aad(request, &plan->addrs);
	if (veil_seal_map(request, *aad_len, plan->head)) {
		veil_request_free(request);
		return NULL;
	}
	return request;
}

static void veil_seal_segment(struct veil_session *session,
			      struct sk_buff *skb, u16 lane,
			      enum veil_mode mode)
{
	struct veil_request *request = NULL;
	struct sk_buff *outer;
	struct veil_plan plan;
	enum veil_drop reason;
	unsigned int aad_len;

	reason = veil_seal_plan(session, skb, lane, mode, &plan);
	if (reason != VEIL_DROPS) {
		veil_peer_drop(session->peer, skb, reason);
		/* Our address may be another one by now. */
		if (reason == VEIL_DROP_no_route)
			veil_handshake_start(session->peer);
		return;
	}
	veil_traceroute_record(session->peer, skb, &plan.header, mode);
	outer = veil_seal_outer(skb, &plan);
	if (outer)
		request = veil_seal_request(session, outer, &plan, &aad_len);
	if (!request) {
		veil_peer_drop(session->peer, outer ?: skb,
			       VEIL_DROP_no_memory);
		return;
	}
	veil_seal_submit(request, aad_len);
}

void veil_seal(struct veil_session *session, struct sk_buff *skb, bool between)
{
	enum veil_mode mode = veil_seal_mode(session, skb, between);
	u16 lane = veil_seal_lane(session, skb);
	struct sk_buff *segments, *next;

	if (veil_pmtu_fit(session, skb, mode)) {
		veil_peer_drop(session->peer, skb, VEIL_DROP_no_memory);
		return;
	}
	if (!skb_is_gso(skb)) {
		veil_seal_segment(session, skb, lane, mode);
		return;
	}

	if (mode == VEIL_TRANSPORT && veil_seal_batch(session, skb, lane))
		return;
	/* Segments with their L4 checksums left open: see veil_seal_checksum() */
	segments = skb_gso_segment(skb, NETIF_F_SG | NETIF_F_HW_CSUM);
	if (IS_ERR_OR_NULL(segments)) {
		veil_peer_drop(session->peer, skb,
			       veil_drop_error(PTR_ERR(segments),
					       VEIL_DROP_unprotectable));
		return;
	}
	consume_skb(skb);
	skb_list_walk_safe(segments, skb, next) {
		skb_mark_not_on_list(skb);
		/* Of what a virtual machine sends they may be IP fragments. */
		mode = veil_seal_mode(session, skb, between);
		veil_seal_segment(session, skb, lane, mode);
	}
}

void veil_seal_control(struct veil_session *session,
		       const struct veil_place *place, u8 flags,
		       const u8 *token)
{
	const struct veil_addr_pair addrs = {
		.source = place->local,
		.destination = place->remote,
	};
	struct veil_data_header header = {
		.type = VEIL_MSG_DATA,
		.flags = flags,
		.receiver = session->remote,
	};
	unsigned int text = token ? VEIL_TOKEN_LEN : 0;
	struct veil_request *request;
	struct sk_buff *skb;
	u64 counter;

	/* What it answers may have been opened a while ago. */
	if (veil_session_expired(session) ||
	    veil_session_take(session, 0, 0, 1, &counter))
		return;
	atomic_inc(&session->keepalives);
	if (token || !session->transport)
		header.flags |= VEIL_DATA_TUNNEL;
	header.counter = cpu_to_be64(counter);
	skb = alloc_skb(VEIL_SOCKET_HEADROOM + sizeof(header) + text +
			VEIL_TAG_LEN, GFP_ATOMIC);
	if (!skb)
		return;
	request = veil_request_alloc(session, &header, 1);
	if (!request) {
		kfree_skb(skb);
		return;
	}
	skb_reserve(skb, VEIL_SOCKET_HEADROOM);
	skb_put_data(skb, &header, sizeof(header));
	sg_set_buf(&request->sg[0], request->aad,
		   veil_request_aad(request, &addrs));
	sg_set_buf(&request->sg[1], skb_put(skb, text + VEIL_TAG_LEN),
		   text + VEIL_TAG_LEN);
	if (token)
		memcpy(sg_virt(&request->sg[1]), token, text);
	request->skb = skb;
	request->text = text;
	request->control = true;
	request->place = *place;
	veil_seal_submit(request, request->sg[0].length);
}

void veil_seal_keepalive(struct veil_session *session, u8 flags)
{
	const struct veil_ends *ends = veil_roam_ends(session);
	struct veil_place place = ends->place;

	veil_seal_control(session, &place, flags, NULL);
}
