// SPDX-License-Identifier: GPL-2.0
/*
 * The responder: takes message 1, sends message 2.
 */
#include <crypto/algapi.h>
#include <linux/random.h>

#include "addr.h"
#include "exchange.h"
#include "handshake.h"
#include "initiator.h"
#include "keys.h"
#include "peer_address.h"
#include "responder.h"
#include "socket.h"
#include "timers.h"

/* What there is between the two messages. */
struct veil_answer {
	int place;		/* of the pair */
	const struct veil_psk *psk;	/* NULL: none */
	struct veil_noise noise;
	struct veil_offer offer;
	struct veil_response msg;
	enum veil_aead_id aead;
	u64 time;
	int epoch;
	struct veil_addr_pair back;	/* the way it came */
	struct veil_addr_pair said;	/* that of the offer */
	bool astray;		/* it came another way, and there may be no NAT */
	bool copied;		/* there is none */
};

int veil_responder_identify(const struct veil_identity *self,
			    const struct veil_initiation *msg,
			    u8 public_key[VEIL_KEY_LEN])
{
	const struct veil_piece prologue[] = {
		{ VEIL_LABEL_PROLOGUE, sizeof(VEIL_LABEL_PROLOGUE) - 1 },
		{ &msg->header, sizeof(msg->header) },
	};
	struct veil_noise noise;
	int err;

	err = veil_noise_read1_static(&noise, msg->noise, self, prologue,
				      ARRAY_SIZE(prologue));
	if (!err)
		memcpy(public_key, noise.s_remote, VEIL_KEY_LEN);
	veil_noise_wipe(&noise);
	return err;
}

static enum veil_drop veil_responder_open(struct veil_peer *peer,
					  const struct veil_initiation *msg,
					  struct veil_answer *answer)
{
	const struct veil_pair *pair = veil_pair_at(peer, answer->place);
	const struct veil_piece prologue[] = {
		{ VEIL_LABEL_PROLOGUE, sizeof(VEIL_LABEL_PROLOGUE) - 1 },
		{ &msg->header, sizeof(msg->header) },
	};

	if (veil_noise_read1_static(&answer->noise, msg->noise,
				    veil_pair_ours(peer, answer->place),
				    prologue, ARRAY_SIZE(prologue)))
		return VEIL_DROP_handshake_failed;
	if (crypto_memneq(answer->noise.s_remote,
			  veil_pair_theirs(peer, answer->place), VEIL_KEY_LEN))
		return VEIL_DROP_handshake_failed;
	if (veil_noise_read1_payload(&answer->noise, msg->noise, pair->ss,
				     &answer->offer, sizeof(answer->offer)))
		return VEIL_DROP_handshake_failed;
	if (answer->offer.lanes < 1 || answer->offer.lanes > VEIL_LANES_MAX ||
	    answer->offer.flags & ~VEIL_PAYLOAD_FLAGS)
		return VEIL_DROP_malformed;
	if (veil_tai64n_to_ns(&answer->time, &msg->header.time) ||
	    answer->time <= READ_ONCE(pair->committed))
		return VEIL_DROP_stale_initiation;
	return VEIL_DROPS;
}

/* Our psk of this id, the newer first; NULL if we have none. */
static const struct veil_psk *
veil_responder_find_psk(const struct veil_peer *peer,
			const u8 id[VEIL_PSK_ID_LEN])
{
	const struct veil_psk *psks[] = { peer->psk_next, peer->psk };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(psks); i++)
		if (psks[i] && !crypto_memneq(psks[i]->id, id, VEIL_PSK_ID_LEN))
			return psks[i];
	return NULL;
}

/* Each end has the other's next psk as its current one.  Were the initiator's order
 * the one that counts, two handshakes that cross would make each end change to what
 * the other forgets.
 */
static bool veil_responder_psks_opposed(const struct veil_peer *peer,
					const struct veil_offer *offer)
{
	return peer->psk && peer->psk_next &&
	       !crypto_memneq(offer->psk_id[0], peer->psk->id,
			      VEIL_PSK_ID_LEN) &&
	       !crypto_memneq(offer->psk_id[1], peer->psk_next->id,
			      VEIL_PSK_ID_LEN);
}

/* The newest psk that both have, named in message 2 by its place in the offer; of two
 * that are the newest of one end each, the one with the larger id.  With one
 * configured at either end there is no session without it; a next one alone is not
 * yet.
 */
static enum veil_drop veil_responder_psk(struct veil_peer *peer,
					 struct veil_answer *answer)
{
	const struct veil_offer *offer = &answer->offer;
	bool second = veil_responder_psks_opposed(peer, offer) &&
		      memcmp(offer->psk_id[1], offer->psk_id[0],
			     VEIL_PSK_ID_LEN) > 0;
	unsigned int i;

	for (i = second; i < VEIL_PSKS_MAX; i++) {
		answer->psk = veil_responder_find_psk(peer, offer->psk_id[i]);
		if (!answer->psk)
			continue;
		answer->msg.header.psk_choice = i + 1;
		return VEIL_DROPS;
	}
	return peer->psk ||
	       memchr_inv(answer->offer.psk_id, 0,
			  sizeof(answer->offer.psk_id)) ?
		VEIL_DROP_psk_mismatch : VEIL_DROPS;
}

static enum veil_drop veil_responder_aead(struct veil_peer *peer,
					  struct veil_answer *answer)
{
	u8 ours[VEIL_AEAD_MAX];

	veil_net_aeads(peer->vn, ours);
	answer->aead = veil_choose_aead(ours, answer->offer.aead);
	return answer->aead ? VEIL_DROPS : VEIL_DROP_no_common_cipher;
}

/* Whether the addresses that the initiator used are those that we see. */
static bool veil_responder_no_nat(const struct veil_offer *offer,
				  const struct veil_addr_pair *addrs)
{
	return !memcmp(offer->source, &addrs->source, VEIL_ADDR_LEN) &&
	       !memcmp(offer->destination, &addrs->destination, VEIL_ADDR_LEN);
}

/* What came another way than the initiator says went through NAT, or is a copy that
 * somebody has sent ahead so that the answer gets lost.  If the other way is one between
 * addresses of the peer's and of ours, the answer goes by both.
 */
static void veil_responder_ways(struct veil_peer *peer,
				const struct veil_addr_pair *addrs,
				struct veil_answer *answer)
{
	struct veil_addr_pair *said = &answer->said;

	answer->back.source = addrs->destination;
	answer->back.destination = addrs->source;
	memcpy(&said->source, answer->offer.destination, VEIL_ADDR_LEN);
	memcpy(&said->destination, answer->offer.source, VEIL_ADDR_LEN);
	if (peer->roaming || veil_responder_no_nat(&answer->offer, addrs) ||
	    veil_addr_is_v4(&said->source) !=
	    veil_addr_is_v4(&said->destination))
		return;
	rcu_read_lock();
	answer->astray = veil_peer_lookup(peer->vn, &said->destination) == peer &&
			 veil_socket_domain(peer->vn->net, &said->source,
					    -1) >= 0;
	rcu_read_unlock();
	/* NAT does not change the family, nor send anything to loopback. */
	answer->copied = answer->astray &&
			 (veil_addr_is_v4(&said->source) !=
			  veil_addr_is_v4(&addrs->destination) ||
			  veil_addr_is_loopback(&addrs->destination));
}

static struct veil_session *
veil_responder_session(struct veil_peer *peer,
		       const struct veil_initiation *msg,
		       const struct veil_answer *answer,
		       const struct veil_addr_pair *addrs, u16 port)
{
	const struct veil_addr_pair *way = answer->copied ? &answer->said :
							    &answer->back;
	const struct veil_place said = {
		.local = answer->said.source,
		.remote = answer->said.destination,
		.port = port,
	};
	bool moves = answer->offer.flags & VEIL_PAYLOAD_ROAMS;
	struct veil_session_params params = {
		.peer = peer,
		.aead = answer->aead,
		.moves = moves,
		.transport = !moves && !peer->roaming &&
			     veil_responder_no_nat(&answer->offer, addrs),
		.tx_lanes = answer->offer.lanes,
		.remote = msg->header.sender,
		.pair = veil_pair_at(peer, answer->place)->id,
		.psk = answer->psk,
		.rotates = veil_exchange_rotates(peer, answer->place,
						 answer->psk),
		.time = answer->time,
		.epoch = answer->epoch,
		.place = {
			.local = way->source,
			.remote = way->destination,
			.port = port,
		},
		.said = answer->astray && !answer->copied ? &said : NULL,
	};
	struct veil_session *session = veil_session_create(&params);
	int err;

	if (IS_ERR(session))
		return session;
	err = veil_index_insert(peer->vn, &session->index);
	if (err) {
		veil_session_discard(session);
		return ERR_PTR(err);
	}
	return session;
}

static int veil_responder_write(struct veil_peer *peer,
				struct veil_session *session,
				struct veil_answer *answer)
{
	static const u8 no_psk[VEIL_KEY_LEN];
	const struct veil_pair *pair = veil_pair_at(peer, answer->place);
	struct veil_response *msg = &answer->msg;
	struct veil_choice choice = {
		.aead = answer->aead,
		.lanes = session->rx_lanes,
		.flags = veil_exchange_flags(peer),
		.sender = cpu_to_be32(session->index.id),
	};
	u8 e_private[VEIL_KEY_LEN];
	int err;

	memcpy(choice.source, &answer->back.source, VEIL_ADDR_LEN);
	memcpy(choice.destination, &answer->back.destination, VEIL_ADDR_LEN);
	msg->header.type = VEIL_MSG_RESPONSE;
	msg->header.version = VEIL_PROTOCOL_VERSION;
	msg->header.receiver = session->remote;

	get_random_bytes(e_private, sizeof(e_private));
	err = veil_noise_write2(&answer->noise, msg->noise,
				answer->psk ? answer->psk->key : no_psk,
				e_private, &choice, sizeof(choice));
	memzero_explicit(e_private, sizeof(e_private));
	if (!err)
		err = veil_exchange_keys(session, &answer->noise, &msg->header);
	if (!err)
		err = veil_mac1(msg->mac1,
				veil_pair_theirs(peer, answer->place), msg,
				offsetof(struct veil_response, mac1));
	msg->stamp = cpu_to_be64(veil_response_stamp(pair->in, msg));
	return err;
}

/* Both initiated at once: the end with the larger key stays initiator, so that
 * there is one session after one round trip.  Keys are those of the initiators
 * in the two messages, which both ends know, whichever they have beside them.
 */
static bool veil_responder_stays_initiator(const struct veil_peer *peer,
					   int theirs)
{
	const struct veil_outstanding *own = veil_initiator_own(peer);
	int ours = own ? veil_pair_find(peer, own->pair) : VEIL_PAIR_NONE;

	return ours != VEIL_PAIR_NONE &&
	       memcmp(veil_pair_ours(peer, ours)->public,
		      veil_pair_theirs(peer, theirs), VEIL_KEY_LEN) > 0;
}

/* It ignores the other's then, but only while its own is fresh and the first of
 * its series: else the other end has not got it, or takes it for stale (PROTOCOL
 * section 2, Time), and only the other's can succeed.
 */
static bool veil_responder_crossed(const struct veil_peer *peer, int place)
{
	return veil_responder_stays_initiator(peer, place) &&
	       READ_ONCE(peer->attempts) <= 1 &&
	       time_before(jiffies, veil_initiator_own(peer)->sent + HZ / 2);
}

static enum veil_drop veil_responder_answer(struct veil_peer *peer,
					    const struct veil_initiation *msg,
					    const struct veil_addr_pair *addrs,
					    u16 port,
					    struct veil_answer *answer)
{
	struct veil_session *session;
	enum veil_drop reason;

	reason = veil_responder_open(peer, msg, answer);
	if (reason == VEIL_DROPS)
		reason = veil_responder_psk(peer, answer);
	if (reason == VEIL_DROPS)
		reason = veil_responder_aead(peer, answer);
	if (reason != VEIL_DROPS)
		return reason;

	veil_handshake_trace(peer, "initiation-received");
	veil_responder_ways(peer, addrs, answer);
	session = veil_responder_session(peer, msg, answer, addrs, port);
	if (IS_ERR(session))
		return VEIL_DROP_no_memory;
	if (veil_responder_write(peer, session, answer)) {
		veil_session_discard(session);
		return VEIL_DROP_handshake_failed;
	}
	/* Until the session is confirmed msg may be an old one of which nothing came, that
	 * somebody repeats: our own initiations go on, or who has a few recordings could
	 * keep two hosts from each other.
	 */
	veil_exchange_install(peer, session);
	veil_handshake_trace(peer, "response-sent");
	veil_socket_send(peer->vn, &answer->back, port, &answer->msg,
			 sizeof(answer->msg));
	if (answer->astray)
		veil_socket_send(peer->vn, &answer->said, port, &answer->msg,
				 sizeof(answer->msg));
	return VEIL_DROPS;
}

enum veil_drop veil_responder_handle(struct veil_peer *peer,
				     const struct veil_initiation *msg,
				     const struct veil_addr_pair *addrs,
				     u16 port)
{
	int place = veil_pair_match(peer, msg);
	struct veil_answer *answer;
	enum veil_drop reason;

	if (!peer->usable || peer->dead)
		return VEIL_DROP_no_key;
	/* Under the old key or psk it would be forgotten within a moment, while the
	 * other end seals under it; and there is a session, just confirmed.
	 */
	if (READ_ONCE(peer->rotate))
		return VEIL_DROP_crossed_initiation;
	/* A pair may have gone since the hook. */
	if (place == VEIL_PAIR_NONE)
		return VEIL_DROP_bad_stamp;
	if (veil_responder_crossed(peer, place)) {
		/* Had the other end got ours, it would answer at once. */
		veil_handshake_soon(peer, veil_initiator_own(peer)->sent + HZ);
		return VEIL_DROP_crossed_initiation;
	}

	answer = kzalloc(sizeof(*answer), GFP_KERNEL);
	if (!answer)
		return VEIL_DROP_no_memory;
	answer->place = place;
	answer->epoch = atomic_read(&veil_epoch);
	reason = veil_responder_answer(peer, msg, addrs, port, answer);
	kfree_sensitive(answer);
	return reason;
}
