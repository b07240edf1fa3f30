// SPDX-License-Identifier: GPL-2.0
/*
 * Sealing a TCP packet of many segments at once.
 *
 * Each segment is what tcp_gso_segment() would have made of it, but is copied
 * to its place in a page fragment, sealed there, and attached to an outer packet
 * that is one UDP GSO packet.  L4 checksums are left open for the other end.  The
 * outer packet is cut where the stack or the device cuts UDP GSO packets; the
 * rest of the stack is passed once.
 *
 * Only for transforms that answer at once (veil_session.prompt).
 */
#include <linux/tcp.h>
#include <net/dst.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/tcp.h>

#include <net/netfilter/nf_conntrack.h>
#include "compat.h"
#include "pages.h"
#include "pmtu.h"
#include "request.h"
#include "seal.h"
#include "seal_batch.h"
#include "socket.h"
#include "timers.h"
#include "xmit.h"

/* Segments of an outer packet: as many as UDP GRO joins again. */
#define VEIL_BATCH_MAX		64

/* What TCP GSO may be besides; all else goes one by one. */
#define VEIL_BATCH_GSO		(SKB_GSO_TCPV4 | SKB_GSO_TCPV6 | \
				 SKB_GSO_TCP_FIXEDID | SKB_GSO_TCP_ECN | \
				 VEIL_GSO_ACCECN | SKB_GSO_DODGY)

/**
 * struct veil_seal_batch - one inner packet on its way out
 * @session: seals it
 * @skb: the inner packet
 * @request: serves one segment after the other
 * @aad_len: of its additional data
 * @hlen: length of the IP header
 * @l4len: length of the TCP header
 * @mss: payload of a segment, but maybe of the last
 * @segments: how many
 * @lane: where they go
 * @counter: of the first
 * @sent: some of it
 * @addrs: of inner and outer packets
 * @tcp: header of the inner packet
 * @header: the same with its options
 */
struct veil_seal_batch {
	struct veil_session *session;
	struct sk_buff *skb;
	struct veil_request *request;
	unsigned int aad_len;
	unsigned int hlen;
	unsigned int l4len;
	unsigned int mss;
	unsigned int segments;
	u16 lane;
	u64 counter;
	bool sent;
	struct veil_addr_pair addrs;
	union {
		struct tcphdr tcp;
		u8 header[60];
	};
};

/* Bytes of a full segment behind the UDP header. */
static unsigned int veil_batch_size(const struct veil_seal_batch *batch)
{
	return sizeof(struct veil_data_header) + batch->l4len + batch->mss +
	       sizeof(struct veil_trailer) + VEIL_TAG_LEN;
}

static bool veil_batch_kind(const struct veil_session *session,
			    const struct sk_buff *skb)
{
	const struct skb_shared_info *shinfo = skb_shinfo(skb);

	return READ_ONCE(session->prompt) && shinfo->gso_size &&
	       shinfo->gso_type & (SKB_GSO_TCPV4 | SKB_GSO_TCPV6) &&
	       !(shinfo->gso_type & ~VEIL_BATCH_GSO) &&
	       skb->ip_summed == CHECKSUM_PARTIAL && !skb->encapsulation;
}

/* Whether skb is for this way; it may have been pulled. */
static bool veil_batch_plan(struct veil_seal_batch *batch)
{
	bool ipv4 = batch->skb->protocol == htons(ETH_P_IP);
	struct sk_buff *skb = batch->skb;
	unsigned int payload, start;

	if ((ipv4 ? ip_hdr(skb)->protocol : ipv6_hdr(skb)->nexthdr) !=
	    IPPROTO_TCP)
		return false;
	batch->hlen = ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	start = skb_network_offset(skb) + batch->hlen;
	if (skb_checksum_start_offset(skb) != start ||
	    skb->csum_offset != offsetof(struct tcphdr, check) ||
	    skb_copy_bits(skb, start, batch->header, sizeof(batch->tcp)))
		return false;
	batch->l4len = batch->tcp.doff * 4;
	if (batch->l4len < sizeof(batch->tcp) ||
	    skb->len <= start + batch->l4len || batch->tcp.syn ||
	    batch->tcp.urg || skb_copy_bits(skb, start, batch->header,
					    batch->l4len))
		return false;
	payload = skb->len - start - batch->l4len;
	batch->mss = skb_shinfo(skb)->gso_size;
	batch->segments = DIV_ROUND_UP(payload, batch->mss);
	/* A length field may end before what the device takes. */
	return batch->segments > 1 &&
	       batch->hlen + VEIL_UDP_LEN + veil_batch_size(batch) <=
	       min_t(unsigned int, U16_MAX,
		     veil_pmtu_outer(batch->session->peer, skb));
}

/* A request for all segments; what is in it but counter and text stays. */
static bool veil_batch_request(struct veil_seal_batch *batch)
{
	struct veil_data_header header = {
		.type = VEIL_MSG_DATA,
		.flags = VEIL_DATA_CSUM_PARTIAL,
		.lane = cpu_to_be16(batch->lane),
		.receiver = batch->session->remote,
	};
	struct veil_request *request;

	request = veil_request_alloc(batch->session, &header, 1);
	if (!request)
		return false;
	batch->aad_len = veil_request_aad(request, &batch->addrs);
	sg_set_buf(&request->sg[0], request->aad, batch->aad_len);
	aead_request_set_tfm(&request->aead, batch->session->tx);
	aead_request_set_callback(&request->aead, 0, veil_request_late,
				  request);
	aead_request_set_ad(&request->aead, batch->aad_len);
	batch->request = request;
	return true;
}

/* An outer packet with headers and without text, for n segments from first on. */
static struct sk_buff *veil_batch_outer(const struct veil_seal_batch *batch,
					unsigned int first, unsigned int n)
{
	unsigned int room = LL_RESERVED_SPACE(batch->skb->dev);
	unsigned int head = batch->hlen + VEIL_UDP_LEN;
	struct sk_buff *outer;

	outer = alloc_skb(room + head, GFP_ATOMIC | __GFP_NOWARN);
	if (!outer)
		return NULL;
	skb_copy_header(outer, batch->skb);
	skb_reserve(outer, room);
	skb_put(outer, head);
	veil_seal_reset(outer, batch->hlen);
	memcpy(outer->data, skb_network_header(batch->skb), batch->hlen);
	if (outer->protocol == htons(ETH_P_IP) && first)
		ip_hdr(outer)->id = htons(ntohs(ip_hdr(outer)->id) + first);
	skb_shinfo(outer)->gso_type = n > 1 ? SKB_GSO_UDP_L4 : 0;
	skb_shinfo(outer)->gso_size = n > 1 ? veil_batch_size(batch) : 0;
	skb_shinfo(outer)->gso_segs = n > 1 ? n : 0;
	return outer;
}

/* Lengths and checksums, when the text is attached. */
static void veil_batch_complete(const struct veil_seal_batch *batch,
				struct sk_buff *outer)
{
	struct veil_peer *peer = batch->session->peer;
	struct ipv6hdr *ip6h = ipv6_hdr(outer);
	struct iphdr *iph = ip_hdr(outer);

	if (outer->protocol == htons(ETH_P_IP)) {
		iph->protocol = IPPROTO_UDP;
		iph->tot_len = htons(outer->len);
		iph->frag_off &= htons(IP_DF);
		ip_send_check(iph);
	} else {
		ip6h->nexthdr = IPPROTO_UDP;
		ip6h->payload_len = htons(outer->len - sizeof(*ip6h));
	}
	veil_socket_udp_header(outer, &batch->addrs,
			       READ_ONCE(peer->vn->port) + batch->lane,
			       READ_ONCE(peer->port));
}

/* The TCP header of segment i, as tcp_gso_segment() makes it. */
static void veil_batch_tcp(const struct veil_seal_batch *batch, unsigned int i,
			   unsigned int payload, void *to)
{
	unsigned int len = batch->l4len + payload;
	struct tcphdr *th = to;

	memcpy(to, batch->header, batch->l4len);
	th->seq = htonl(ntohl(th->seq) + i * batch->mss);
	if (i && !(skb_shinfo(batch->skb)->gso_type & VEIL_GSO_ACCECN))
		th->cwr = 0;
	if (i + 1 < batch->segments) {
		th->fin = 0;
		th->psh = 0;
	}
	if (veil_addr_is_v4(&batch->addrs.source))
		th->check = ~tcp_v4_check(len, veil_addr_v4(&batch->addrs.source),
					  veil_addr_v4(&batch->addrs.destination),
					  0);
	else
		th->check = ~tcp_v6_check(len, &batch->addrs.source,
					  &batch->addrs.destination, 0);
}

/* Seal len bytes of text in place, segment i, and put its header before it. */
static int veil_batch_crypt(struct veil_seal_batch *batch, unsigned int i,
			    void *data, unsigned int len)
{
	struct veil_request *request = batch->request;
	struct veil_data_header *header = &request->header;
	int err;

	/* As late as can be: a VM may have been forked since the look-up. */
	if (veil_session_expired(batch->session))
		return -EKEYEXPIRED;
	header->counter = cpu_to_be64(batch->counter + i);
	memcpy(data, header, sizeof(*header));
	memcpy(request->aad, header, sizeof(*header));
	veil_cipher_nonce(request->nonce, header);
	sg_set_buf(&request->sg[1], data + sizeof(*header), len + VEIL_TAG_LEN);
	aead_request_set_crypt(&request->aead, request->sg, request->sg, len,
			       request->nonce);
	err = crypto_aead_encrypt(&request->aead);
	if (err == -EINPROGRESS) {
		/* It did not when it was tried.  The request has the packet. */
		WRITE_ONCE(batch->session->prompt, false);
		veil_request_hold(batch->session, batch->lane);
		batch->request = NULL;
	}
	return err;
}

static void veil_batch_attach(struct sk_buff *outer,
			      const struct veil_room *room, unsigned int size)
{
	unsigned int n = skb_shinfo(outer)->nr_frags;

	if (skb_can_coalesce(outer, n, room->page, room->offset)) {
		skb_frag_size_add(&skb_shinfo(outer)->frags[n - 1], size);
		put_page(room->page);
	} else {
		skb_fill_page_desc(outer, n, room->page, room->offset, size);
	}
	outer->len += size;
	outer->data_len += size;
	outer->truesize += size;
}

/* Seal segment i onto outer. */
static int veil_batch_segment(struct veil_seal_batch *batch,
			      struct sk_buff *outer, unsigned int i)
{
	unsigned int from = skb_network_offset(batch->skb) + batch->hlen +
			    batch->l4len + i * batch->mss;
	unsigned int payload = min(batch->mss, batch->skb->len - from);
	unsigned int text = batch->l4len + payload + sizeof(struct veil_trailer);
	unsigned int size = sizeof(struct veil_data_header) + text + VEIL_TAG_LEN;
	struct veil_trailer trailer = { .next_header = IPPROTO_TCP };
	struct veil_room room;
	void *data;
	int err;

	if (!veil_pages_get(&room, size, false))
		return -ENOMEM;
	/* Attached first: the page stays as long as the request may need it. */
	veil_batch_attach(outer, &room, size);
	data = room.data + sizeof(struct veil_data_header);
	veil_batch_tcp(batch, i, payload, data);
	err = skb_copy_bits(batch->skb, from, data + batch->l4len, payload);
	if (err)
		return err;
	memcpy(data + batch->l4len + payload, &trailer, sizeof(trailer));
	batch->request->skb = outer;
	return veil_batch_crypt(batch, i, room.data, text);
}

/* Seal and send up to n segments from first on as one outer packet; how many, or
 * an error, and then none of them.
 */
static int veil_batch_send(struct veil_seal_batch *batch, unsigned int first,
			   unsigned int n)
{
	struct sk_buff *outer = veil_batch_outer(batch, first, n);
	unsigned int done = 0;
	int err = 0;

	if (!outer)
		return -ENOMEM;
	/* No error of the crypto API may be taken for "full": what is attached
	 * then is clear.
	 */
	while (done < n && !err &&
	       skb_shinfo(outer)->nr_frags < MAX_SKB_FRAGS) {
		err = veil_batch_segment(batch, outer, first + done);
		if (!err)
			done++;
	}
	if (err) {
		/* Some of it may be clear. */
		if (err != -EINPROGRESS)
			kfree_skb(outer);
		return err;
	}
	if (done < n) {
		if (done == 1)
			skb_gso_reset(outer);
		else
			skb_shinfo(outer)->gso_segs = done;
	}
	veil_batch_complete(batch, outer);
	if (first + done == batch->segments)
		veil_seal_move_owner(outer, batch->skb);
	else
		veil_seal_share_owner(outer, batch->skb);
	batch->sent = true;
	veil_xmit(batch->session->peer, outer);
	return done;
}

static enum veil_drop veil_batch_run(struct veil_seal_batch *batch)
{
	unsigned int most = min_t(unsigned int, VEIL_BATCH_MAX,
				  (U16_MAX - batch->hlen - VEIL_UDP_LEN) /
				  veil_batch_size(batch));
	unsigned int i, n;
	int done;

	if (veil_session_take(batch->session, batch->lane,
			      batch->skb->len + (batch->segments - 1) *
			      (batch->hlen + batch->l4len),
			      batch->segments, &batch->counter))
		return VEIL_DROP_limit_reached;
	/* Packets of one size, not a large and a small one. */
	n = DIV_ROUND_UP(batch->segments,
			 DIV_ROUND_UP(batch->segments, most));
	for (i = 0; i < batch->segments; i += done) {
		done = veil_batch_send(batch, i, min(n, batch->segments - i));
		if (done == -ENOMEM || done == -EFAULT)
			return VEIL_DROP_no_memory;
		if (done < 0)
			return VEIL_DROP_crypto_failed;
	}
	return VEIL_DROPS;
}

bool veil_seal_batch(struct veil_session *session, struct sk_buff *skb,
		     u16 lane)
{
	struct veil_seal_batch batch = {
		.session = session,
		.skb = skb,
		.lane = lane,
	};
	enum veil_drop reason = VEIL_DROP_no_memory;

	if (!veil_batch_kind(session, skb) || !veil_batch_plan(&batch))
		return false;
	veil_addr_of(skb, &batch.addrs);
	if (veil_batch_request(&batch))
		reason = veil_batch_run(&batch);
	if (batch.request)
		veil_request_free(batch.request);
	/* One by one they do with single pages. */
	if (reason == VEIL_DROP_no_memory && !batch.sent)
		return false;
	if (reason != VEIL_DROPS) {
		veil_peer_drop(session->peer, skb, reason);
		return true;
	}
	veil_timers_sent(session->peer, true);
	consume_skb(skb);
	return true;
}
