// SPDX-License-Identifier: GPL-2.0
/*
 * Opening: what is checked before and after the AEAD, and the mending of the
 * skb so that the stack sees the inner packet as if it had come by itself.
 *
 * Before a packet is authentic it changes nothing but counters.
 */
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/udp.h>
#include <net/xfrm.h>

#include "compat.h"
#include "handshake.h"
#include "open.h"
#include "peer_key.h"
#include "request.h"
#include "roam.h"
#include "seal.h"
#include "timers.h"
#include "trace.h"
#include "tunnel.h"
#include "tx.h"

/* Where a packet came from, and to. */
static void veil_open_place(const struct sk_buff *skb, struct veil_place *place)
{
	const struct udphdr *uh = (const void *)skb_transport_header(skb);
	struct veil_addr_pair addrs;

	veil_addr_of(skb, &addrs);
	place->local = addrs.destination;
	place->remote = addrs.source;
	place->port = ntohs(uh->source);
}

/* What these flags may come with: a token of just this length, in tunnel mode. */
static bool veil_open_flags_ok(u8 flags, size_t text)
{
	u8 token = flags & (VEIL_DATA_CHALLENGE | VEIL_DATA_ECHO);

	if (flags & ~VEIL_DATA_FLAGS)
		return false;
	return !token || (text == VEIL_TOKEN_LEN && is_power_of_2(token) &&
			  flags == (token | VEIL_DATA_TUNNEL));
}

struct veil_session *veil_open_session(struct veil_net *vn,
				       struct veil_peer *peer,
				       const struct veil_data_header *header,
				       enum veil_drop *reason)
{
	struct veil_index *index;
	struct veil_session *session;

	index = veil_index_lookup(vn, be32_to_cpu(header->receiver));
	/* Pairs with veil_session_set_keys(). */
	if (!index || smp_load_acquire(&index->kind) != VEIL_INDEX_SESSION) {
		*reason = VEIL_DROP_unknown_index;
		return NULL;
	}
	session = container_of(index, struct veil_session, index);
	if (index->peer != peer && !READ_ONCE(index->peer->roaming)) {
		*reason = VEIL_DROP_wrong_source;
		return NULL;
	}
	if (veil_session_expired(session)) {
		*reason = VEIL_DROP_expired;
		return NULL;
	}
	return session;
}

enum veil_drop veil_open_check(struct veil_session *session,
			       const struct veil_data_header *header,
			       size_t len)
{
	u64 counter = be64_to_cpu(header->counter);
	u16 lane = be16_to_cpu(header->lane);
	struct veil_lane *l;
	bool fresh;

	if (!veil_open_flags_ok(header->flags, len - VEIL_TAG_LEN))
		return VEIL_DROP_malformed;
	if (lane >= session->rx_lanes)
		return VEIL_DROP_wrong_lane;
	if (!(header->flags & VEIL_DATA_TUNNEL) && !session->transport)
		return VEIL_DROP_wrong_source;
	if (!veil_session_may_open(session, lane, counter, len))
		return VEIL_DROP_limit_reached;

	l = &session->lanes[lane];
	spin_lock_bh(&l->rx_lock);
	fresh = veil_window_check(&l->window, counter);
	spin_unlock_bh(&l->rx_lock);
	return fresh ? VEIL_DROPS : VEIL_DROP_replayed;
}

void veil_open_confirm(struct veil_session *session)
{
	struct veil_peer *peer = session->peer;
	bool promoted;

	if (READ_ONCE(session->opened))
		return;
	spin_lock_bh(&peer->lock);
	WRITE_ONCE(session->opened, true);
	/* A session that was ended meanwhile confirms nothing. */
	if (rcu_access_pointer(peer->current_session) == session ||
	    rcu_access_pointer(peer->next_session) == session)
		veil_peer_confirm(peer);
	promoted = veil_session_promote(peer, session);
	veil_session_settle(peer, session);
	/* Ours, which went on until now (responder.c), is not needed: the worker ends it. */
	if (promoted) {
		WRITE_ONCE(peer->handshaking, false);
		if (rcu_access_pointer(peer->initiation))
			veil_handshake_queue(peer);
	}
	trace_veil_session_confirmed(session);
	spin_unlock_bh(&peer->lock);
	veil_peer_confirmed(session);
	veil_roam_confirmed(session);
	if (promoted)
		veil_tx_session_up(peer);
}

bool veil_open_account(struct veil_session *session,
		       const struct veil_data_header *header,
		       size_t delivered, bool *newest)
{
	struct veil_lane *lane = &session->lanes[be16_to_cpu(header->lane)];
	bool fresh;

	spin_lock_bh(&lane->rx_lock);
	*newest = be64_to_cpu(header->counter) >= lane->window.next;
	fresh = veil_window_set(&lane->window, be64_to_cpu(header->counter));
	if (fresh && delivered) {
		WRITE_ONCE(lane->rx_packets, lane->rx_packets + 1);
		WRITE_ONCE(lane->rx_bytes, lane->rx_bytes + delivered);
	}
	spin_unlock_bh(&lane->rx_lock);
	return fresh;
}

void veil_open_cut(struct sk_buff *skb, unsigned int len, unsigned int keep)
{
	unsigned int mac = veil_open_mac_len(skb);

	memmove(skb->data - mac + len, skb->data - mac, mac + keep);
	__skb_pull(skb, len);
	if (skb_mac_header_was_set(skb))
		skb_set_mac_header(skb, -(int)mac);
	skb_reset_network_header(skb);
}

void veil_open_scrub(const struct veil_net *vn, struct sk_buff *skb)
{
	struct skb_shared_info *shinfo = skb_shinfo(skb);
	bool joined = false;
	int iif;

	if (skb->protocol == htons(ETH_P_IP)) {
		iif = IPCB(skb)->iif;
		memset(IPCB(skb), 0, sizeof(*IPCB(skb)));
		IPCB(skb)->iif = iif;
	} else {
		iif = IP6CB(skb)->iif;
		joined = IP6CB(skb)->flags & IP6SKB_FRAGMENTED;
		memset(IP6CB(skb), 0, sizeof(*IP6CB(skb)));
		IP6CB(skb)->iif = iif;
		IP6CB(skb)->nhoff = offsetof(struct ipv6hdr, nexthdr);
		/* Its sender allowed fragments, and they were made outside: a
		 * router may make them again.
		 */
		if (joined)
			IP6CB(skb)->frag_max_size = IPV6_MIN_MTU;
	}
	veil_open_flag(vn, skb);
	shinfo->gso_size = 0;
	shinfo->gso_segs = 0;
	shinfo->gso_type = 0;
	skb->ip_summed = CHECKSUM_NONE;
	skb->encapsulation = 0;
	skb->ignore_df = joined;
	skb_clear_hash(skb);
	nf_reset_ct(skb);
}

int veil_open_checksum(struct sk_buff *skb, u8 protocol)
{
	unsigned int header, offset;

	switch (protocol) {
	case IPPROTO_TCP:
		header = sizeof(struct tcphdr);
		offset = offsetof(struct tcphdr, check);
		break;
	case IPPROTO_UDP:
		header = sizeof(struct udphdr);
		offset = offsetof(struct udphdr, check);
		break;
	default:
		return -EINVAL;
	}
	if (!pskb_may_pull(skb, skb_transport_offset(skb) + header) ||
	    !skb_partial_csum_set(skb, skb_transport_offset(skb), offset))
		return -EINVAL;
	return 0;
}

/* From here on skb is trimmed to the text, still behind its outer headers. */
static int veil_open_transport(const struct veil_net *vn, struct sk_buff *skb,
			       u8 flags)
{
	unsigned int hlen = skb_transport_offset(skb);
	unsigned int text = skb->len - hlen - VEIL_OPEN_HEAD;
	struct veil_trailer trailer;

	if (text < sizeof(trailer) ||
	    skb_copy_bits(skb, skb->len - sizeof(trailer), &trailer,
			  sizeof(trailer)) ||
	    trailer.pad_length > text - sizeof(trailer) ||
	    !veil_seal_next_header_ok(trailer.next_header))
		return -EINVAL;
	if (pskb_trim(skb, skb->len - sizeof(trailer) - trailer.pad_length))
		return -ENOMEM;

	veil_open_cut(skb, VEIL_OPEN_HEAD, hlen);
	skb_set_transport_header(skb, hlen);
	veil_open_scrub(vn, skb);
	if (skb->protocol == htons(ETH_P_IP)) {
		ip_hdr(skb)->protocol = trailer.next_header;
		ip_hdr(skb)->tot_len = htons(skb->len);
		ip_send_check(ip_hdr(skb));
	} else {
		ipv6_hdr(skb)->nexthdr = trailer.next_header;
		ipv6_hdr(skb)->payload_len = htons(skb->len - hlen);
	}
	if (flags & VEIL_DATA_CSUM_PARTIAL)
		return veil_open_checksum(skb, trailer.next_header);
	return 0;
}

static int veil_open_tunnel(struct veil_peer *peer, struct sk_buff *skb)
{
	int err = veil_tunnel_inner(peer, skb);

	if (err)
		return err;
	veil_open_scrub(peer->vn, skb);
	/* IPsec that brought the outer packet has no policy for the inner one, and
	 * in transport mode had routed it.
	 */
	secpath_reset(skb);
	skb_dst_drop(skb);
	return 0;
}

/* The other end has forgotten this session: so do we, before we send on into
 * nowhere.  What is protected stays so.
 */
static void veil_open_close(struct veil_session *session)
{
	struct veil_peer *peer = session->peer;
	struct veil_session *current_session;
	bool ends = false;

	spin_lock_bh(&peer->lock);
	current_session = rcu_dereference_protected(peer->current_session,
						    lockdep_is_held(&peer->lock));
	if (current_session == session) {
		ends = true;
		veil_session_kill(peer, &peer->current_session);
	} else if (rcu_access_pointer(peer->previous_session) == session) {
		/* Held back until the peer had confirmed a newer one, it ends
		 * nothing; but ours may be newer, and never have reached it.
		 */
		ends = !current_session || !READ_ONCE(current_session->opened);
		veil_session_kill(peer, &peer->previous_session);
	}
	if (ends)
		peer->closed = true;
	spin_unlock_bh(&peer->lock);
	if (ends)
		veil_peer_closed(peer);
	veil_timers_arm(peer);
}

/* What is not to be delivered to anybody else. */
static unsigned int veil_open_control(struct veil_request *request,
				      const struct veil_place *place)
{
	struct veil_session *session = request->session;
	u8 flags = request->header.flags;
	struct sk_buff *skb = request->skb;
	u8 token[VEIL_TOKEN_LEN];

	if (flags & VEIL_DATA_CLOSE)
		veil_open_close(session);
	if (request->text &&
	    !skb_copy_bits(skb, skb_transport_offset(skb) + VEIL_OPEN_HEAD,
			   token, sizeof(token)))
		veil_roam_token(session, place, flags, token);
	consume_skb(skb);
	return NF_STOLEN;
}

/* An authentic packet of text bytes. */
static unsigned int veil_open_deliver(struct veil_request *request,
				      unsigned int text)
{
	struct veil_session *session = request->session;
	struct sk_buff *skb = request->skb;
	struct veil_peer *peer = session->peer;
	u8 flags = request->header.flags;
	bool control = !text || flags & (VEIL_DATA_CHALLENGE | VEIL_DATA_ECHO);
	unsigned int len = control ? 0 : text;
	__be16 protocol = skb->protocol;
	struct veil_place place;
	bool newest;
	int err;

	/* The inner packet's, as veil_seal_plan() counted it. */
	if (!control && !(flags & VEIL_DATA_TUNNEL))
		len += skb_transport_offset(skb) - sizeof(struct veil_trailer);
	/* Whatever goes by what anybody can write comes before the counter is used up:
	 * the message as it was sent may be on its way.
	 */
	if (!control && flags & VEIL_DATA_TUNNEL && !veil_tunnel_ecn_fits(skb)) {
		veil_peer_drop(peer, skb, VEIL_DROP_bad_inner);
		return NF_STOLEN;
	}
	if (!veil_open_account(session, &request->header, len, &newest)) {
		veil_peer_drop(peer, skb, VEIL_DROP_replayed);
		return NF_STOLEN;
	}
	veil_timers_opened(peer, !control);
	veil_open_confirm(session);
	/* Where it came from matters to few. */
	if (control || READ_ONCE(peer->roaming)) {
		veil_open_place(skb, &place);
		if (newest)
			veil_roam_seen(session, &place);
	}
	if (control)
		return veil_open_control(request, &place);

	err = pskb_trim(skb, skb->len - VEIL_TAG_LEN);
	if (!err && flags & VEIL_DATA_TUNNEL)
		err = veil_open_tunnel(peer, skb);
	else if (!err)
		err = veil_open_transport(peer->vn, skb, flags);
	if (err) {
		veil_peer_drop(peer, skb,
			       veil_drop_error(err, VEIL_DROP_bad_inner));
		return NF_STOLEN;
	}
	if (flags & VEIL_DATA_TUNNEL || veil_open_bridged(skb))
		return veil_tunnel_deliver(peer->vn, skb, protocol);
	return NF_ACCEPT;
}

static unsigned int veil_open_finish(struct veil_request *request, int err)
{
	struct veil_session *session = request->session;
	struct veil_peer *peer = session->peer;

	if (!err)
		return veil_open_deliver(request, request->text);
	if (err != -EBADMSG) {
		veil_peer_drop(peer, request->skb, VEIL_DROP_crypto_failed);
		return NF_STOLEN;
	}
	veil_peer_drop(peer, request->skb, VEIL_DROP_not_authentic);
	if (veil_session_forged(session))
		veil_session_kill_all(peer);
	return NF_STOLEN;
}

/* The crypto API finished later: go on where the hook stopped. */
static void veil_open_async_done(veil_completion_data_t *data, int err)
{
	struct veil_request *request = veil_completion_context(data);
	struct net_device *dev = request->dev;

	if (err == -EINPROGRESS)
		return;
	veil_path_enter();
	if (veil_open_finish(request, err) == NF_ACCEPT)
		veil_hooks_continue(request->skb, &request->state);
	dev_put(dev);
	/* Last: with it may go the session, the peer and the namespace. */
	veil_request_free_late(request);
	veil_path_leave();
}

static unsigned int veil_open_submit(struct veil_request *request,
				     unsigned int aad_len)
{
	u16 lane = be16_to_cpu(request->header.lane);
	struct veil_session *session = request->session;
	struct aead_request *aead = &request->aead;
	struct net_device *dev = request->dev;
	unsigned int verdict;
	int err;

	aead_request_set_tfm(aead, session->rx);
	aead_request_set_callback(aead, 0, veil_open_async_done, request);
	aead_request_set_ad(aead, aad_len);
	aead_request_set_crypt(aead, request->sg, request->sg,
			       request->text + VEIL_TAG_LEN, request->nonce);
	/* For the case that it ends later. */
	dev_hold(dev);
	err = crypto_aead_decrypt(aead);
	if (err == -EINPROGRESS) {
		veil_request_hold(session, lane);
		return NF_STOLEN;
	}
	verdict = veil_open_finish(request, err);
	dev_put(dev);
	veil_request_free(request);
	return verdict;
}

/* Pieces of skb, all of them ours to write to.  Unlike esp_input() we take no
 * page for our own: who pulls the header of a clone gets a copy of that, and
 * shares the pages with a tap from then on without a trace (STACK A3).
 */
static int veil_open_own(struct sk_buff *skb)
{
	struct sk_buff *trailer;

	if (!veil_frags_readable(skb))
		return -EFAULT;
	if (!skb_cloned(skb) && !skb_is_nonlinear(skb))
		return 1;
	return skb_cow_data(skb, 0, &trailer);
}

static unsigned int veil_open_begin(struct veil_session *session,
				    struct sk_buff *skb,
				    const struct veil_data_header *header,
				    const struct nf_hook_state *state)
{
	unsigned int head = skb_transport_offset(skb) + VEIL_OPEN_HEAD;
	struct veil_request *request = NULL;
	struct veil_addr_pair addrs;
	unsigned int aad_len;
	int pieces;

	/* The socket that a program chose for the outer packet (bpf_sk_assign()) may
	 * be there for this RCU section only, and need not be of the inner packet's
	 * protocol.
	 */
	skb_orphan(skb);
	pieces = veil_open_own(skb);
	if (pieces > 0 && (!session->async || !skb_dst(skb) ||
			   skb_dst_force(skb)))
		request = veil_request_alloc(session, header, pieces);
	if (!request) {
		veil_peer_drop(session->peer, skb, VEIL_DROP_no_memory);
		return NF_STOLEN;
	}
	request->skb = skb;
	request->dev = skb->dev;
	request->state = *state;
	request->text = skb->len - head - VEIL_TAG_LEN;
	veil_addr_of(skb, &addrs);
	aad_len = veil_request_aad(request, &addrs);
	sg_set_buf(&request->sg[0], request->aad, aad_len);
	if (skb_to_sgvec(skb, &request->sg[1], head, skb->len - head) < 0) {
		veil_request_free(request);
		veil_peer_drop(session->peer, skb, VEIL_DROP_no_memory);
		return NF_STOLEN;
	}
	return veil_open_submit(request, aad_len);
}

unsigned int veil_open(struct veil_net *vn, struct veil_peer *peer,
		       struct sk_buff *skb, const struct nf_hook_state *state)
{
	unsigned int head = skb_transport_offset(skb) + VEIL_OPEN_HEAD;
	struct veil_session *session = NULL;
	struct veil_data_header header;
	enum veil_drop reason;

	if (skb->len < head + VEIL_TAG_LEN) {
		reason = VEIL_DROP_malformed;
	} else if (!pskb_may_pull(skb, head)) {
		reason = VEIL_DROP_no_memory;
	} else {
		memcpy(&header, skb->data + head - sizeof(header),
		       sizeof(header));
		session = veil_open_session(vn, peer, &header, &reason);
	}
	if (session)
		reason = veil_open_check(session, &header, skb->len - head);
	if (session)
		peer = session->peer;
	if (reason != VEIL_DROPS && peer) {
		veil_peer_drop(peer, skb, reason);
		/* It may have a session with whom we were before a reboot. */
		if (reason == VEIL_DROP_unknown_index)
			veil_handshake_unknown(peer);
		return NF_STOLEN;
	}
	if (reason != VEIL_DROPS) {
		veil_drop(vn, skb, reason);
		return NF_STOLEN;
	}
	return veil_open_begin(session, skb, &header, state);
}
