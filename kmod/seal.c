// SPDX-License-Identifier: GPL-2.0
/*
 * Sealing: from one inner packet (a segment, if it came as GSO) to one outer.
 *
 * The text is copied into a fresh packet and sealed there in place: the inner
 * packet's pages belong to its sender, who may send them again (TCP) or may
 * still write to them (sendfile), and a copy costs little beside the AEAD.
 */
#include <linux/siphash.h>
#include <linux/tcp.h>
#include <net/dst.h>
#include <net/ip.h>
#include <net/sock.h>

#include <net/netfilter/nf_conntrack.h>
#include "compat.h"
#include "pmtu.h"
#include "request.h"
#include "seal.h"
#include "socket.h"
#include "timers.h"
#include "xmit.h"

/* Above this a packet's text lies in page fragments: no large allocation. */
#define VEIL_LINEAR_MAX		4096

/* Which flow goes to which lane is a secret of this boot. */
static siphash_key_t veil_lane_key __read_mostly;

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

bool veil_seal_transport(const struct veil_session *session,
			 const struct sk_buff *skb)
{
	unsigned int hlen;
	u8 protocol = veil_seal_protocol(skb, &hlen);

	if (!session->transport || !veil_seal_next_header_ok(protocol))
		return false;
	if (skb->protocol == htons(ETH_P_IP))
		return hlen == sizeof(struct iphdr) &&
		       !ip_is_fragment(ip_hdr(skb));
	return true;
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
	u64 flow = protocol;
	__be32 buffer, *ports;
	u64 hash;

	if (session->tx_lanes == 1)
		return 0;
	if (veil_seal_has_ports(protocol) &&
	    (skb->protocol != htons(ETH_P_IP) ||
	     !ip_is_fragment(ip_hdr(skb)))) {
		ports = skb_header_pointer(skb, skb_network_offset(skb) + hlen,
					   sizeof(buffer), &buffer);
		if (ports)
			flow |= (u64)be32_to_cpu(*ports) << 32;
	}
	if (skb->protocol == htons(ETH_P_IP))
		hash = siphash_3u64(flow, be32_to_cpu(ip_hdr(skb)->saddr),
				    be32_to_cpu(ip_hdr(skb)->daddr),
				    &veil_lane_key);
	else
		hash = siphash_3u64(flow,
				    get_unaligned_be64(&ipv6_hdr(skb)->saddr.s6_addr[8]),
				    get_unaligned_be64(&ipv6_hdr(skb)->daddr.s6_addr[8]),
				    &veil_lane_key);
	return reciprocal_scale(hash, session->tx_lanes);
}

/* The socket pays for the outer packet as it did for the inner one, so that
 * TSQ, pacing and SO_SNDBUF go on to work (STACK B4).
 */
static void veil_seal_move_owner(struct sk_buff *outer, struct sk_buff *skb)
{
	struct sock *sk = skb->sk;
	int delta;

	if (!sk || !skb->destructor || skb->destructor == sock_efree ||
	    skb->destructor == sock_edemux || !sk_fullsock(sk))
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

/**
 * struct veil_plan - how one packet is sealed
 * @transport: mode; else the whole packet is the text (tunnel mode)
 * @protocol: of the inner packet
 * @head: bytes of the outer packet before the text
 * @skip: bytes of the inner packet before the text
 * @copy: bytes of the inner packet that are text
 * @text: bytes to seal: @copy and the trailer
 * @fragment: the outer packet will not fit its path
 * @header: of the outer packet
 * @addrs: of both
 */
struct veil_plan {
	bool transport;
	u8 protocol;
	unsigned int head;
	unsigned int skip;
	unsigned int copy;
	unsigned int text;
	bool fragment;
	struct veil_data_header header;
	struct veil_addr_pair addrs;
};

/* An empty outer packet with skb's metadata and room for what is planned; its
 * data begins with the IP header.
 */
static struct sk_buff *veil_seal_alloc(struct sk_buff *skb,
				       const struct veil_plan *plan)
{
	unsigned int room = LL_RESERVED_SPACE(skb->dev);
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
	skb_reserve(outer, room);
	skb_put(outer, plan->head);
	if (linear) {
		skb_put(outer, text);
	} else {
		outer->data_len = text;
		outer->len += text;
	}
	skb_reset_mac_header(outer);
	skb_reset_network_header(outer);
	outer->mac_len = 0;
	outer->encapsulation = 0;
	skb_shinfo(outer)->gso_size = 0;
	skb_shinfo(outer)->gso_segs = 0;
	skb_shinfo(outer)->gso_type = 0;
	skb_ext_reset(outer);
	nf_reset_trace(outer);
	nf_ct_set(outer, NULL, IP_CT_UNTRACKED);
	return outer;
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

/* IP header of the outer packet.  Transport: the inner one with another
 * protocol.  Tunnel: a new one, with DSCP and ECN of the inner (RFC 6040).
 */
static void veil_seal_ipv4(struct sk_buff *outer, const struct sk_buff *skb,
			   const struct veil_plan *plan)
{
	struct iphdr *iph = ip_hdr(outer);

	*iph = *ip_hdr(skb);
	iph->ihl = sizeof(*iph) / 4;
	iph->protocol = IPPROTO_UDP;
	iph->tot_len = htons(outer->len);
	iph->frag_off &= htons(IP_DF);
	if (plan->fragment)
		iph->frag_off = 0;
	/* Fragments of several sockets must not share an ID. */
	if (!plan->transport || plan->fragment)
		__ip_select_ident(dev_net(outer->dev), iph, 1);
	ip_send_check(iph);
}

static void veil_seal_ipv6(struct sk_buff *outer, const struct sk_buff *skb)
{
	struct ipv6hdr *ip6h = ipv6_hdr(outer);

	*ip6h = *ipv6_hdr(skb);
	ip6h->nexthdr = IPPROTO_UDP;
	ip6h->payload_len = htons(outer->len - sizeof(*ip6h));
}

static void veil_seal_done(struct veil_request *request, int err)
{
	struct veil_peer *peer = request->session->peer;
	struct sk_buff *outer = request->skb;
	bool keepalive = !request->text;
	u16 lane = be16_to_cpu(request->header.lane);
	struct veil_addr_pair addrs = {
		.source = request->session->local,
		.destination = request->session->remote_address,
	};

	if (err) {
		veil_peer_drop(peer, outer, VEIL_DROP_crypto_failed);
	} else {
		veil_timers_sent(peer, !keepalive);
		if (keepalive)
			veil_socket_xmit(peer->vn, &addrs,
					 READ_ONCE(peer->vn->port) + lane,
					 READ_ONCE(peer->port), outer);
		else
			veil_xmit(peer, outer);
	}
	/* Last: with it may go the session, the peer and the namespace. */
	veil_request_free(request);
}

/* The crypto API finished later; from its worker or a device's tasklet. */
static void veil_seal_async_done(veil_completion_data_t *data, int err)
{
	struct veil_request *request = veil_completion_context(data);

	if (err == -EINPROGRESS)
		return;
	veil_path_enter();
	veil_seal_done(request, err);
	veil_path_leave();
}

static void veil_seal_submit(struct veil_request *request, unsigned int aad_len)
{
	struct aead_request *aead = &request->aead;
	int err;

	/* As late as can be: a VM may have been forked since the look-up. */
	if (veil_session_expired(request->session)) {
		veil_seal_done(request, -EKEYEXPIRED);
		return;
	}
	aead_request_set_tfm(aead, request->session->tx);
	aead_request_set_callback(aead, 0, veil_seal_async_done, request);
	aead_request_set_ad(aead, aad_len);
	aead_request_set_crypt(aead, request->sg, request->sg,
			       request->text, request->nonce);
	err = crypto_aead_encrypt(aead);
	if (err != -EINPROGRESS)
		veil_seal_done(request, err);
}

/* Table of outer's text from head on, behind the additional data. */
static int veil_seal_map(struct veil_request *request, unsigned int aad_len,
			 unsigned int head)
{
	struct sk_buff *outer = request->skb;
	int pieces;

	sg_set_buf(&request->sg[0], request->aad, aad_len);
	pieces = skb_to_sgvec(outer, &request->sg[1], head, outer->len - head);
	return pieces < 0 ? pieces : 0;
}

static int veil_seal_trailer(struct sk_buff *outer, unsigned int offset,
			     u8 protocol)
{
	struct veil_trailer trailer = { .next_header = protocol };

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
	if (plan->transport && skb_checksum_start_offset(skb) == start &&
	    ((plan->protocol == IPPROTO_TCP &&
	      skb->csum_offset == offsetof(struct tcphdr, check)) ||
	     (plan->protocol == IPPROTO_UDP &&
	      skb->csum_offset == offsetof(struct udphdr, check)))) {
		plan->header.flags |= VEIL_DATA_CSUM_PARTIAL;
		return 0;
	}
	return skb_csum_hwoffload_help(skb, 0);
}

static enum veil_drop veil_seal_plan(struct veil_session *session,
				     struct sk_buff *skb, u16 lane,
				     struct veil_plan *plan)
{
	bool ipv4 = skb->protocol == htons(ETH_P_IP);
	unsigned int hlen;
	u64 counter;

	memset(plan, 0, sizeof(*plan));
	plan->protocol = veil_seal_protocol(skb, &hlen);
	plan->transport = veil_seal_transport(session, skb);
	plan->head = (ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) +
		     VEIL_UDP_LEN + sizeof(plan->header);
	plan->skip = plan->transport ? hlen : 0;
	plan->copy = skb->len - plan->skip;
	plan->text = plan->copy;
	if (plan->transport)
		plan->text += sizeof(struct veil_trailer);
	else
		plan->header.flags |= VEIL_DATA_TUNNEL;
	if (plan->head + plan->text + VEIL_TAG_LEN > IP_MAX_MTU)
		return VEIL_DROP_too_big;
	/* The other end could not have its options looked at. */
	if (!ipv4 && plan->protocol == IPPROTO_HOPOPTS)
		return VEIL_DROP_unprotectable;
	plan->fragment = plan->head + plan->text + VEIL_TAG_LEN >
			 veil_pmtu_outer(session->peer, skb);
	if (veil_seal_checksum(skb, hlen, plan))
		return VEIL_DROP_no_memory;

	veil_addr_of(skb, &plan->addrs);
	if (veil_session_take(session, lane, skb->len, &counter))
		return VEIL_DROP_limit_reached;
	plan->header.type = VEIL_MSG_DATA;
	plan->header.lane = cpu_to_be16(lane);
	plan->header.receiver = session->remote;
	plan->header.counter = cpu_to_be64(counter);
	return VEIL_DROPS;
}

static int veil_seal_fill(struct veil_session *session, struct sk_buff *skb,
			  struct sk_buff *outer, const struct veil_plan *plan)
{
	struct veil_peer *peer = session->peer;
	u16 lane = be16_to_cpu(plan->header.lane);
	int err;

	err = veil_seal_copy(outer, plan->head, skb, plan->skip, plan->copy);
	if (!err && plan->transport)
		err = veil_seal_trailer(outer, plan->head + plan->copy,
					plan->protocol);
	if (err)
		return err;

	skb_set_transport_header(outer, plan->head - sizeof(plan->header) -
				 VEIL_UDP_LEN);
	memcpy(outer->data + plan->head - sizeof(plan->header), &plan->header,
	       sizeof(plan->header));
	if (skb->protocol == htons(ETH_P_IP))
		veil_seal_ipv4(outer, skb, plan);
	else
		veil_seal_ipv6(outer, skb);
	veil_socket_udp_header(outer, &plan->addrs,
			       READ_ONCE(peer->vn->port) + lane,
			       READ_ONCE(peer->port));
	return 0;
}

static enum veil_drop veil_seal_one(struct veil_session *session,
				    struct sk_buff *skb, u16 lane)
{
	struct veil_request *request = NULL;
	struct sk_buff *outer;
	struct veil_plan plan;
	enum veil_drop reason;
	unsigned int aad_len;

	reason = veil_seal_plan(session, skb, lane, &plan);
	if (reason != VEIL_DROPS)
		return reason;

	outer = veil_seal_alloc(skb, &plan);
	if (outer && !veil_seal_fill(session, skb, outer, &plan))
		request = veil_request_alloc(session, &plan.header,
					     1 + skb_shinfo(outer)->nr_frags);
	if (!request) {
		kfree_skb(outer);
		return VEIL_DROP_no_memory;
	}
	request->skb = outer;
	request->text = plan.text;
	aad_len = veil_request_aad(request, &plan.addrs);
	if (veil_seal_map(request, aad_len, plan.head) ||
	    (session->async && !skb_dst_force(outer))) {
		kfree_skb(outer);
		veil_request_free(request);
		return VEIL_DROP_no_memory;
	}
	veil_seal_move_owner(outer, skb);
	veil_seal_submit(request, aad_len);
	return VEIL_DROPS;
}

static void veil_seal_segment(struct veil_session *session,
			      struct sk_buff *skb, u16 lane)
{
	enum veil_drop reason = veil_seal_one(session, skb, lane);

	if (reason == VEIL_DROPS)
		consume_skb(skb);
	else
		veil_peer_drop(session->peer, skb, reason);
}

void veil_seal(struct veil_session *session, struct sk_buff *skb)
{
	u16 lane = veil_seal_lane(session, skb);
	struct sk_buff *segments, *next;

	if (veil_pmtu_fit(session, skb)) {
		veil_peer_drop(session->peer, skb, VEIL_DROP_no_memory);
		return;
	}
	if (!skb_is_gso(skb)) {
		veil_seal_segment(session, skb, lane);
		return;
	}

	/* Segments with their L4 checksums left open: see veil_seal_checksum() */
	segments = skb_gso_segment(skb, NETIF_F_SG | NETIF_F_HW_CSUM);
	if (IS_ERR_OR_NULL(segments)) {
		veil_peer_drop(session->peer, skb, VEIL_DROP_no_memory);
		return;
	}
	consume_skb(skb);
	skb_list_walk_safe(segments, skb, next) {
		skb_mark_not_on_list(skb);
		veil_seal_segment(session, skb, lane);
	}
}

void veil_seal_keepalive(struct veil_session *session, u8 flags)
{
	const struct veil_addr_pair addrs = {
		.source = session->local,
		.destination = session->remote_address,
	};
	struct veil_data_header header = {
		.type = VEIL_MSG_DATA,
		.flags = flags | (session->transport ? 0 : VEIL_DATA_TUNNEL),
		.receiver = session->remote,
	};
	struct veil_request *request;
	struct sk_buff *skb;
	u64 counter;

	if (veil_session_take(session, 0, 0, &counter))
		return;
	atomic_inc(&session->keepalives);
	header.counter = cpu_to_be64(counter);
	skb = alloc_skb(VEIL_SOCKET_HEADROOM + sizeof(header) + VEIL_TAG_LEN,
			GFP_ATOMIC);
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
	sg_set_buf(&request->sg[1], skb_put(skb, VEIL_TAG_LEN), VEIL_TAG_LEN);
	request->skb = skb;
	request->text = 0;
	veil_seal_submit(request, request->sg[0].length);
}
