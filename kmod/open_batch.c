// SPDX-License-Identifier: GPL-2.0
/*
 * Opening what UDP GRO joined, message by message.
 *
 * The text is copied to new pages and opened there.  Those that came may be a
 * tap's or the sender's as well, where GRO has lost the trace of it (STACK A3):
 * the one must not see them opened, and the other, on this host, could write to
 * them after their tag was checked, for an AEAD reads what it opens twice.
 *
 * Each message is checked, opened and counted as if it had come alone; one that
 * fails is dropped, and the others go on.  TCP segments that follow each other
 * and are alike, by the rules of tcp_gro_receive(), become one GSO packet.
 *
 * Only for transforms that answer at once (veil_session.prompt).
 */
#include <linux/tcp.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/tcp.h>
#include <net/udp.h>

#include "compat.h"
#include "open_batch.h"
#include "pages.h"
#include "request.h"
#include "seal.h"
#include "timers.h"

/* What is no longer lies in the linear part, and holds no page. */
#define VEIL_BATCH_SMALL	256

/* Entry of a request's table where the source begins. */
#define VEIL_BATCH_SOURCE	2

/* L4 headers that the stack looks at first. */
#define VEIL_BATCH_HEADER	64

/* In these TCP segments may differ, and still be one GSO packet. */
#define VEIL_BATCH_FLAGS	(TCP_FLAG_FIN | TCP_FLAG_PSH | \
				 (VEIL_GSO_ACCECN ? 0 : TCP_FLAG_CWR))

/* With these it ends, or never begins. */
#define VEIL_BATCH_LAST		(TCP_FLAG_FIN | TCP_FLAG_PSH | TCP_FLAG_SYN | \
				 TCP_FLAG_RST | TCP_FLAG_URG)

/**
 * struct veil_open_batch - one outer packet on its way in
 * @peer: who sent it
 * @session: that of its first message, and of all that are opened here
 * @skb: the outer packet
 * @odd: what is not opened here
 * @request: serves one message after the other; NULL: the API has kept it
 * @at: entry of @request->sg where the next byte of @skb is
 * @left: bytes of the message from there on
 * @offset: of the message, in @skb
 * @hlen: length of the IP header
 * @index: of the message
 * @opened: something opened
 * @ended: there were too many forgeries
 * @ready: inner packets
 * @run: TCP segments being joined, or NULL
 * @tail: @run, or the last of its fragment list
 * @next_seq: of @run
 * @segments: of @run
 * @mss: of @run
 * @last: @run takes no more
 */
struct veil_open_batch {
	struct veil_peer *peer;
	struct veil_session *session;
	struct sk_buff *skb;
	struct sk_buff_head *odd;
	struct veil_request *request;
	unsigned int at;
	unsigned int left;
	unsigned int offset;
	unsigned int hlen;
	unsigned int index;
	bool opened;
	bool ended;
	struct sk_buff_head ready;
	struct sk_buff *run;
	struct sk_buff *tail;
	u32 next_seq;
	unsigned int segments;
	unsigned int mss;
	bool last;
};

/* The text of one message, opened. */
struct veil_opened_text {
	struct veil_room room;
	unsigned int len;
	u8 protocol;
	bool partial;		/* its checksum is left open */
};

static void veil_batch_drop(struct veil_open_batch *batch,
			    enum veil_drop reason)
{
	veil_drop_count(batch->peer->vn, reason);
	atomic64_inc(&batch->peer->drops);
}

/*
 * The source: skb as a table, eaten from its front.
 */

static unsigned int veil_batch_pieces(const struct sk_buff *skb)
{
	unsigned int pieces = 1 + skb_shinfo(skb)->nr_frags;
	const struct sk_buff *part;

	skb_walk_frags(skb, part)
		pieces += 1 + skb_shinfo(part)->nr_frags;
	return pieces;
}

static void veil_batch_skip(struct veil_open_batch *batch, unsigned int len,
			    void *copy)
{
	batch->left -= len;
	while (len) {
		struct scatterlist *sg = &batch->request->sg[batch->at];
		unsigned int n = min(len, sg->length);

		if (copy) {
			memcpy(copy, sg_virt(sg), n);
			copy += n;
		}
		sg->offset += n;
		sg->length -= n;
		len -= n;
		if (!sg->length)
			batch->at++;
	}
}

static bool veil_batch_start(struct veil_open_batch *batch,
			     const struct veil_data_header *header)
{
	unsigned int pieces = veil_batch_pieces(batch->skb);
	struct veil_request *request;
	struct veil_addr_pair addrs;
	unsigned int aad_len;

	/* The AEAD's two entries, and behind them the source. */
	request = veil_request_alloc(batch->session, header, pieces + 1);
	if (!request)
		return false;
	veil_addr_of(batch->skb, &addrs);
	aad_len = veil_request_aad(request, &addrs);
	sg_init_table(request->sg, VEIL_BATCH_SOURCE);
	sg_set_buf(&request->sg[0], request->aad, aad_len);
	aead_request_set_tfm(&request->aead, batch->session->rx);
	aead_request_set_callback(&request->aead, 0, veil_request_late,
				  request);
	aead_request_set_ad(&request->aead, aad_len);
	batch->request = request;
	batch->at = VEIL_BATCH_SOURCE;
	if (skb_to_sgvec(batch->skb, &request->sg[batch->at], batch->offset,
			 batch->skb->len - batch->offset) >= 0)
		return true;
	veil_request_free(request);
	return false;
}

/*
 * The inner packets
 */

/* A packet with the outer one's MAC and IP headers, and room for len bytes. */
static struct sk_buff *veil_batch_packet(struct veil_open_batch *batch,
					 unsigned int len)
{
	const struct sk_buff *skb = batch->skb;
	struct sk_buff *packet;
	unsigned int mac = veil_open_mac_len(skb);

	packet = alloc_skb(NET_SKB_PAD + mac + batch->hlen + len,
			   GFP_ATOMIC | __GFP_NOWARN);
	if (!packet)
		return NULL;
	skb_copy_header(packet, skb);
	skb_gso_reset(packet);
	skb_reserve(packet, NET_SKB_PAD + mac);
	skb_put(packet, batch->hlen);
	memcpy(packet->data - mac, skb->data - mac, mac + batch->hlen);
	/* Where there is none as well: the offset is of the other buffer. */
	if (skb_mac_header_was_set(packet))
		skb_set_mac_header(packet, -(int)mac);
	skb_reset_network_header(packet);
	skb_set_transport_header(packet, batch->hlen);
	/* As whoever cuts a GSO packet numbers them. */
	if (packet->protocol == htons(ETH_P_IP))
		ip_hdr(packet)->id = htons(ntohs(ip_hdr(packet)->id) +
					   batch->index);
	return packet;
}

static void veil_batch_lengths(struct sk_buff *packet, unsigned int hlen)
{
	if (packet->protocol == htons(ETH_P_IP)) {
		ip_hdr(packet)->tot_len = htons(packet->len);
		ip_send_check(ip_hdr(packet));
	} else {
		ipv6_hdr(packet)->payload_len = htons(packet->len - hlen);
	}
}

/* A message that is not opened here, by itself. */
static void veil_batch_odd(struct veil_open_batch *batch, unsigned int len)
{
	unsigned int size = sizeof(struct udphdr) + len;
	struct sk_buff *packet = veil_batch_packet(batch, size);
	struct udphdr *uh;

	if (!packet) {
		veil_batch_drop(batch, VEIL_DROP_no_memory);
		return;
	}
	uh = skb_put_data(packet, udp_hdr(batch->skb), sizeof(*uh));
	uh->len = htons(size);
	if (skb_copy_bits(batch->skb, batch->offset, skb_put(packet, len),
			  len)) {
		veil_peer_drop(batch->peer, packet, VEIL_DROP_no_memory);
		return;
	}
	packet->ip_summed = CHECKSUM_UNNECESSARY;
	veil_batch_lengths(packet, batch->hlen);
	__skb_queue_tail(batch->odd, packet);
}

/* The run is whole: what TCP GRO does at its end. */
static void veil_batch_finish(struct veil_open_batch *batch)
{
	struct sk_buff *run = batch->run;
	unsigned int len;
	struct tcphdr *th;

	if (!run)
		return;
	batch->run = NULL;
	veil_batch_lengths(run, batch->hlen);
	if (batch->segments > 1) {
		bool ipv4 = run->protocol == htons(ETH_P_IP);

		th = tcp_hdr(run);
		len = run->len - batch->hlen;
		th->check = ipv4 ?
			~tcp_v4_check(len, ip_hdr(run)->saddr,
				      ip_hdr(run)->daddr, 0) :
			~tcp_v6_check(len, &ipv6_hdr(run)->saddr,
				      &ipv6_hdr(run)->daddr, 0);
		skb_shinfo(run)->gso_size = batch->mss;
		skb_shinfo(run)->gso_segs = batch->segments;
		skb_shinfo(run)->gso_type = ipv4 ? SKB_GSO_TCPV4 :
						   SKB_GSO_TCPV6;
		if (th->cwr)
			skb_shinfo(run)->gso_type |= VEIL_GSO_ACCECN ?:
						     SKB_GSO_TCP_ECN;
	}
	__skb_queue_tail(&batch->ready, run);
}

/* Attach text from offset on to the run; the page goes with it.  False: no memory
 * for one more packet of the fragment list.
 */
static bool veil_batch_attach(struct veil_open_batch *batch,
			      struct veil_opened_text *text,
			      unsigned int offset)
{
	struct sk_buff *run = batch->run, *tail = batch->tail;
	unsigned int len = text->len - offset;

	if (skb_shinfo(tail)->nr_frags == MAX_SKB_FRAGS) {
		struct sk_buff *part = alloc_skb(0, GFP_ATOMIC | __GFP_NOWARN);

		if (!part)
			return false;
		if (tail == run)
			skb_shinfo(run)->frag_list = part;
		else
			tail->next = part;
		run->truesize += part->truesize;
		batch->tail = part;
		tail = part;
	}
	skb_fill_page_desc(tail, skb_shinfo(tail)->nr_frags, text->room.page,
			   text->room.offset + offset, len);
	text->room.page = NULL;
	skb_len_add(tail, len);
	tail->truesize += text->room.size - len;
	if (tail != run) {
		skb_len_add(run, len);
		run->truesize += text->room.size - len;
	}
	return true;
}

/* How much of text belongs into the linear part. */
static int veil_batch_linear(const struct veil_opened_text *text)
{
	const struct tcphdr *th = text->room.data;

	if (text->protocol == IPPROTO_TCP) {
		if (text->len < sizeof(*th) || th->doff * 4 < sizeof(*th) ||
		    th->doff * 4 > text->len)
			return -EINVAL;
		if (text->len > VEIL_BATCH_SMALL)
			return th->doff * 4;
	}
	if (text->len <= VEIL_BATCH_SMALL)
		return text->len;
	return text->protocol == IPPROTO_UDP ? sizeof(struct udphdr) :
	       VEIL_BATCH_HEADER;
}

/* A new run, which only TCP segments may join. */
static enum veil_drop veil_batch_begin(struct veil_open_batch *batch,
				       struct veil_opened_text *text)
{
	const struct tcphdr *th = text->room.data;
	int linear = veil_batch_linear(text);
	struct sk_buff *run;

	if (linear < 0)
		return VEIL_DROP_bad_inner;
	run = veil_batch_packet(batch, linear);
	if (!run)
		return VEIL_DROP_no_memory;
	skb_put_data(run, text->room.data, linear);
	veil_open_scrub(batch->peer->vn, run);
	if (run->protocol == htons(ETH_P_IP))
		ip_hdr(run)->protocol = text->protocol;
	else
		ipv6_hdr(run)->nexthdr = text->protocol;
	if (text->partial && veil_open_checksum(run, text->protocol)) {
		kfree_skb(run);
		return VEIL_DROP_bad_inner;
	}

	batch->run = run;
	batch->tail = run;
	batch->segments = 1;
	batch->last = true;
	if (text->protocol == IPPROTO_TCP) {
		batch->mss = text->len - th->doff * 4;
		batch->next_seq = ntohl(th->seq) + batch->mss;
		batch->last = !text->partial || linear != th->doff * 4 ||
			      !batch->mss ||
			      tcp_flag_word(th) & VEIL_BATCH_LAST;
	}
	/* A fragment list is for the second and later. */
	if (text->len > linear)
		veil_batch_attach(batch, text, linear);
	return VEIL_DROPS;
}

static bool veil_batch_joins(const struct veil_open_batch *batch,
			     const struct veil_opened_text *text)
{
	const struct tcphdr *th = text->room.data, *first;
	unsigned int hlen;

	if (!batch->run || batch->last || text->protocol != IPPROTO_TCP ||
	    !text->partial || text->len <= VEIL_BATCH_SMALL)
		return false;
	first = tcp_hdr(batch->run);
	hlen = first->doff * 4;
	/* The flag word has window and header length, too. */
	return th->source == first->source && th->dest == first->dest &&
	       ntohl(th->seq) == batch->next_seq &&
	       th->ack_seq == first->ack_seq && (VEIL_GSO_ACCECN || !th->cwr) &&
	       !((tcp_flag_word(th) ^ tcp_flag_word(first)) &
		 ~VEIL_BATCH_FLAGS) &&
	       text->len > hlen && text->len - hlen <= batch->mss &&
	       !memcmp(th + 1, first + 1, hlen - sizeof(*th));
}

static enum veil_drop veil_batch_add(struct veil_open_batch *batch,
				     struct veil_opened_text *text)
{
	const struct tcphdr *th = text->room.data;
	unsigned int hlen, payload;

	if (!veil_batch_joins(batch, text)) {
		veil_batch_finish(batch);
		return veil_batch_begin(batch, text);
	}
	hlen = th->doff * 4;
	if (!veil_batch_attach(batch, text, hlen)) {
		/* What comes next does not follow it. */
		batch->last = true;
		return VEIL_DROP_no_memory;
	}
	payload = text->len - hlen;
	tcp_flag_word(tcp_hdr(batch->run)) |=
		tcp_flag_word(th) & (TCP_FLAG_FIN | TCP_FLAG_PSH);
	batch->last = payload < batch->mss ||
		      tcp_flag_word(th) & VEIL_BATCH_LAST;
	batch->next_seq += payload;
	batch->segments++;
	return VEIL_DROPS;
}

/*
 * The messages
 */

/* Open the text in room, of the message whose header was read. */
static int veil_batch_crypt(struct veil_open_batch *batch,
			    struct veil_room *room, unsigned int text)
{
	struct veil_request *request = batch->request;
	u16 lane = be16_to_cpu(request->header.lane);
	int err;

	memcpy(request->aad, &request->header, sizeof(request->header));
	veil_cipher_nonce(request->nonce, &request->header);
	sg_set_buf(&request->sg[1], room->data, text + VEIL_TAG_LEN);
	aead_request_set_crypt(&request->aead, request->sg, request->sg,
			       text + VEIL_TAG_LEN, request->nonce);
	/* Both are the request's if it is kept. */
	request->skb = batch->skb;
	request->page = room->page;
	err = crypto_aead_decrypt(&request->aead);
	if (err == -EINPROGRESS) {
		/* It did not when it was tried. */
		WRITE_ONCE(batch->session->prompt, false);
		/* The request may be gone by now. */
		veil_request_hold(batch->session, lane);
		room->page = NULL;
		batch->request = NULL;
	}
	return err;
}

/* Text of len bytes was opened: its trailer, and what it is. */
static enum veil_drop veil_batch_deliver(struct veil_open_batch *batch,
					 struct veil_opened_text *text,
					 const struct veil_data_header *header)
{
	struct veil_trailer trailer;
	unsigned int len = text->len;
	bool newest;

	if (!veil_open_account(batch->session, header,
			       batch->hlen + len - sizeof(trailer), &newest))
		return VEIL_DROP_replayed;
	batch->opened = true;
	memcpy(&trailer, text->room.data + len - sizeof(trailer),
	       sizeof(trailer));
	if (trailer.pad_length > len - sizeof(trailer) ||
	    !veil_seal_next_header_ok(trailer.next_header))
		return VEIL_DROP_bad_inner;
	text->len = len - sizeof(trailer) - trailer.pad_length;
	text->protocol = trailer.next_header;
	text->partial = header->flags & VEIL_DATA_CSUM_PARTIAL;
	return veil_batch_add(batch, text);
}

/* The message of len bytes, whose header was read. */
static enum veil_drop veil_batch_open(struct veil_open_batch *batch,
				      unsigned int len)
{
	struct veil_data_header header = batch->request->header;
	struct veil_opened_text text = {
		.len = len - sizeof(header) - VEIL_TAG_LEN,
	};
	enum veil_drop reason;
	int err;

	if (veil_session_expired(batch->session))
		return VEIL_DROP_expired;
	reason = veil_open_check(batch->session, &header,
				 len - sizeof(header));
	if (reason != VEIL_DROPS)
		return reason;
	if (!veil_pages_get(&text.room, batch->left, true))
		return VEIL_DROP_no_memory;
	veil_batch_skip(batch, batch->left, text.room.data);
	err = veil_batch_crypt(batch, &text.room, text.len);
	if (!err)
		reason = veil_batch_deliver(batch, &text, &header);
	else
		reason = err == -EBADMSG ? VEIL_DROP_not_authentic :
					   VEIL_DROP_crypto_failed;
	if (text.room.page)
		put_page(text.room.page);
	if (err == -EBADMSG && veil_session_forged(batch->session)) {
		veil_session_kill_all(batch->peer);
		batch->ended = true;
	}
	return reason;
}

/* Data in transport mode, of the session that the batch is about, while it lasts. */
static bool veil_batch_fits(const struct veil_open_batch *batch,
			    const struct veil_data_header *header,
			    __be32 receiver, unsigned int len)
{
	return !batch->ended && header->type == VEIL_MSG_DATA &&
	       !(header->flags & ~VEIL_DATA_CSUM_PARTIAL) &&
	       header->receiver == receiver &&
	       len >= sizeof(*header) + sizeof(struct veil_trailer) +
	       VEIL_TAG_LEN;
}

static void veil_batch_run(struct veil_open_batch *batch)
{
	unsigned int size = skb_shinfo(batch->skb)->gso_size;
	unsigned int end = batch->skb->len;	/* the request may take it */
	struct veil_data_header *header = &batch->request->header;
	__be32 receiver = header->receiver;
	enum veil_drop reason;
	unsigned int len;

	for (; batch->offset < end; batch->offset += len) {
		len = min(size, end - batch->offset);
		batch->left = len;
		if (batch->request && len >= sizeof(*header))
			veil_batch_skip(batch, sizeof(*header), header);
		reason = VEIL_DROPS;
		if (!batch->request)
			reason = VEIL_DROP_crypto_failed;
		else if (len < sizeof(*header) ||
			 !veil_batch_fits(batch, header, receiver, len))
			veil_batch_odd(batch, len);
		else
			reason = veil_batch_open(batch, len);
		if (reason != VEIL_DROPS)
			veil_batch_drop(batch, reason);
		if (batch->request)
			veil_batch_skip(batch, batch->left, NULL);
		batch->index++;
	}
	veil_batch_finish(batch);
}

/* The session of the first message, if skb is for this way. */
static struct veil_session *veil_batch_session(struct veil_open_batch *batch,
					       struct veil_data_header *header)
{
	struct sk_buff *skb = batch->skb;
	struct veil_session *session;
	enum veil_drop reason;

	if (IS_ENABLED(CONFIG_HIGHMEM) ||
	    !(skb_shinfo(skb)->gso_type & SKB_GSO_UDP_L4) ||
	    skb_shinfo(skb)->gso_type & SKB_GSO_FRAGLIST ||
	    !veil_frags_readable(skb) ||
	    (skb->protocol == htons(ETH_P_IP) && ip_hdr(skb)->ihl > 5) ||
	    !pskb_may_pull(skb, batch->offset) ||
	    skb_copy_bits(skb, batch->offset, header, sizeof(*header)) ||
	    header->type != VEIL_MSG_DATA)
		return NULL;
	session = veil_open_session(batch->peer->vn, batch->peer, header,
				    &reason);
	/* That of a peer that roams is for tunnel mode. */
	if (!session || !session->transport || !READ_ONCE(session->prompt))
		return NULL;
	return session;
}

bool veil_open_batch(struct veil_peer *peer, struct sk_buff *skb,
		     const struct nf_hook_state *state,
		     struct sk_buff_head *odd)
{
	struct veil_open_batch batch = {
		.peer = peer,
		.skb = skb,
		.odd = odd,
		.hlen = skb_transport_offset(skb),
		.offset = skb_transport_offset(skb) + sizeof(struct udphdr),
	};
	struct veil_data_header header;

	batch.session = veil_batch_session(&batch, &header);
	if (!batch.session || !veil_batch_start(&batch, &header))
		return false;
	__skb_queue_head_init(&batch.ready);
	/* As in veil_open_begin(): it may be kept. */
	skb_orphan(skb);
	/* The pages are this CPU's. */
	veil_path_enter();
	veil_batch_run(&batch);
	veil_path_leave();
	if (batch.request) {
		veil_request_free(batch.request);
		consume_skb(skb);
	}
	if (batch.opened) {
		veil_timers_opened(peer, true);
		veil_open_confirm(batch.session);
	}
	while ((skb = __skb_dequeue(&batch.ready))) {
		struct nf_hook_state rest = *state;

		veil_hooks_continue(skb, &rest);
	}
	return true;
}
