// SPDX-License-Identifier: GPL-2.0
/*
 * The initiator: sends message 1, takes message 2.
 */
#include <crypto/algapi.h>
#include <linux/random.h>

#include "cipher.h"
#include "cookie.h"
#include "exchange.h"
#include "handshake.h"
#include "initiator.h"
#include "keys.h"
#include "roam.h"
#include "session.h"
#include "socket.h"
#include "timers.h"
#include "tx.h"

void veil_initiator_clear(struct veil_peer *peer)
{
	struct veil_outstanding *own = veil_initiator_own(peer);

	if (!own)
		return;
	RCU_INIT_POINTER(peer->initiation, NULL);
	if (own->index.id)
		veil_index_remove(peer->vn, &own->index);
	veil_noise_wipe(&own->noise);
	memzero_explicit(own->psks, sizeof(own->psks));
	kfree_rcu(own, rcu);
}

bool veil_initiator_stale(const struct veil_peer *peer)
{
	const struct veil_outstanding *own;
	bool stale;

	rcu_read_lock();
	own = rcu_dereference(peer->initiation);
	stale = own && time_after_eq(jiffies,
				     own->sent + VEIL_RETRY_TIME * HZ);
	rcu_read_unlock();
	return stale;
}

/* What an initiation is made under. */
struct veil_initiator_way {
	int place;	/* of the pair */
	bool bare;	/* without the next psk, where there is no other */
	bool last;	/* of the round */
};

/* The pairs in the order in which they are tried; how many.  Newest first, so
 * that keys change as soon as both ends know them; but what worked last comes
 * first when there is no session to fall back on.
 */
static int veil_initiator_places(const struct veil_peer *peer,
				 int places[VEIL_PAIRS])
{
	int proven = VEIL_PAIR_NONE, place, count = 0;

	if (!rcu_access_pointer(peer->current_session))
		proven = veil_pair_find(peer, READ_ONCE(peer->proven));
	if (proven != VEIL_PAIR_NONE)
		places[count++] = proven;
	for (place = VEIL_PAIRS - 1; place >= 0; place--)
		if (place != proven && rcu_access_pointer(peer->pairs[place]))
			places[count++] = place;
	return count;
}

/* The attempts of a series go round all that the other end may know.  A psk that
 * is the first one to be is left out in every other: a configured one never is.
 */
static void veil_initiator_choose(const struct veil_peer *peer,
				  struct veil_initiator_way *way)
{
	int psks = peer->psk_next && !peer->psk ? 2 : 1;
	int places[VEIL_PAIRS];
	int count, attempt;

	count = veil_initiator_places(peer, places) * psks;
	attempt = READ_ONCE(peer->attempts) % count;
	way->place = places[attempt / psks];
	way->bare = attempt % psks;
	way->last = attempt == count - 1;
}

/* A sender's clock never stands still nor goes back while it runs. */
static u64 veil_initiator_time(struct veil_peer *peer)
{
	u64 now = ktime_get_real_ns() & ~(u64)(VEIL_TICK_NS - 1);

	peer->time_sent = max(now, peer->time_sent + VEIL_TICK_NS);
	return peer->time_sent;
}

static void veil_initiator_offer_psk(struct veil_outstanding *own,
				     const struct veil_psk *psk)
{
	if (!psk)
		return;
	own->psks[own->psk_count] = *psk;
	memcpy(own->offer.psk_id[own->psk_count], psk->id, VEIL_PSK_ID_LEN);
	own->psk_count++;
}

static void veil_initiator_offer(struct veil_peer *peer, bool bare,
				 const struct veil_addr_pair *addrs)
{
	struct veil_outstanding *own = veil_initiator_own(peer);

	veil_net_aeads(peer->vn, own->offer.aead);
	own->offer.lanes = veil_session_lanes();
	own->offer.flags = veil_exchange_flags(peer);
	memcpy(own->offer.source, &addrs->source, VEIL_ADDR_LEN);
	memcpy(own->offer.destination, &addrs->destination, VEIL_ADDR_LEN);
	if (!bare)
		veil_initiator_offer_psk(own, peer->psk_next);
	veil_initiator_offer_psk(own, peer->psk);
}

static int veil_initiator_macs(struct veil_peer *peer, const u8 *theirs,
			       struct veil_initiation *msg)
{
	struct veil_outstanding *own = veil_initiator_own(peer);
	int err;

	err = veil_mac1(msg->macs.mac1, theirs, msg,
			offsetof(struct veil_initiation, macs.mac1));
	if (err)
		return err;
	memcpy(own->mac1, msg->macs.mac1, VEIL_MAC_LEN);
	memcpy(own->theirs, theirs, VEIL_KEY_LEN);
	if (!peer->cookie_until || time_after(jiffies, peer->cookie_until))
		return 0;
	own->mac2 = true;
	return veil_mac2(msg->macs.mac2, peer->cookie, msg,
			 offsetof(struct veil_initiation, macs.mac2));
}

static int veil_initiator_write(struct veil_peer *peer, int place,
				struct veil_initiation *msg)
{
	const struct veil_pair *pair = veil_pair_at(peer, place);
	const u8 *theirs = veil_pair_theirs(peer, place);
	struct veil_outstanding *own = veil_initiator_own(peer);
	const struct veil_piece prologue[] = {
		{ VEIL_LABEL_PROLOGUE, sizeof(VEIL_LABEL_PROLOGUE) - 1 },
		{ &msg->header, sizeof(msg->header) },
	};
	u8 e_private[VEIL_KEY_LEN];
	int err;

	memset(msg, 0, sizeof(*msg));
	msg->header.type = VEIL_MSG_INITIATION;
	msg->header.version = VEIL_PROTOCOL_VERSION;
	msg->header.sender = cpu_to_be32(own->index.id);
	veil_tai64n_from_ns(&msg->header.time, veil_initiator_time(peer));

	get_random_bytes(e_private, sizeof(e_private));
	err = veil_noise_write1(&own->noise, msg->noise,
				veil_pair_ours(peer, place), theirs, pair->ss,
				e_private, prologue, ARRAY_SIZE(prologue),
				&own->offer, sizeof(own->offer));
	memzero_explicit(e_private, sizeof(e_private));
	if (err)
		return err;
	msg->stamp = cpu_to_be64(veil_stamp(pair->out, msg));
	return veil_initiator_macs(peer, theirs, msg);
}

/* In which routing domain the peer is: where the session is, or who waits for one. */
static int veil_initiator_domain(struct veil_peer *peer)
{
	struct in6_addr waiting = {};
	struct veil_session *session;
	struct veil_ends *ends;
	int domain;

	rcu_read_lock();
	session = rcu_dereference(peer->current_session);
	if (session) {
		ends = rcu_dereference(session->ends);
		domain = veil_socket_domain(peer->vn->net, &ends->place.local,
					    ends->domain);
	} else {
		veil_tx_waiting_source(peer, &waiting);
		domain = veil_socket_domain(peer->vn->net, &waiting, 0);
	}
	rcu_read_unlock();
	return domain;
}

/* A new one, its index in the table; NULL for want of memory.  Being a worker's it is
 * charged to nobody; but a peer, which is charged for, has one at most.
 */
static struct veil_outstanding *
veil_initiator_begin(struct veil_peer *peer, const struct in6_addr *remote,
		     u16 port)
{
	struct veil_outstanding *own = kzalloc(sizeof(*own), GFP_KERNEL);

	if (!own)
		return NULL;
	own->epoch = atomic_read(&veil_epoch);
	own->sent = jiffies;
	own->index.kind = VEIL_INDEX_HANDSHAKE;
	own->index.peer = peer;
	own->remote = *remote;
	own->port = port;
	if (veil_index_insert(peer->vn, &own->index)) {
		kfree(own);
		return NULL;
	}
	rcu_assign_pointer(peer->initiation, own);
	return own;
}

void veil_initiator_send(struct veil_peer *peer)
{
	struct veil_outstanding *own;
	struct veil_initiator_way way;
	struct veil_addr_pair addrs;
	struct veil_initiation msg;
	struct in6_addr remote;
	u16 port;

	veil_initiator_clear(peer);
	if (veil_roam_target(peer, &remote, &port))
		return;
	if (veil_socket_route(peer->vn, &remote, veil_initiator_domain(peer),
			      &addrs)) {
		/* The next one may go elsewhere. */
		if (READ_ONCE(peer->roaming))
			WRITE_ONCE(peer->attempts, peer->attempts + 1);
		return;
	}
	own = veil_initiator_begin(peer, &remote, port);
	if (!own) {
		veil_drop_count(peer->vn, VEIL_DROP_no_memory);
		return;
	}
	veil_initiator_choose(peer, &way);
	own->pair = veil_pair_at(peer, way.place)->id;
	veil_initiator_offer(peer, way.bare, &addrs);
	if (veil_initiator_write(peer, way.place, &msg)) {
		veil_initiator_clear(peer);
		veil_drop_count(peer->vn, VEIL_DROP_handshake_failed);
		return;
	}
	WRITE_ONCE(peer->attempts, peer->attempts + 1);
	if (!way.last)
		veil_handshake_soon(peer, own->sent + HZ);
	veil_handshake_trace(peer, "initiation-sent");
	veil_socket_send(peer->vn, &addrs, own->port, &msg, sizeof(msg));
}

enum veil_drop veil_initiator_cookie(struct veil_peer *peer,
				     const struct veil_cookie_reply *msg)
{
	struct veil_outstanding *own = veil_initiator_own(peer);
	u8 cookie[VEIL_COOKIE_LEN];

	if (!own || own->index.id != be32_to_cpu(msg->receiver) || own->cookie)
		return VEIL_DROP_unexpected_response;
	if (veil_cookie_open(cookie, msg, own->theirs, own->mac1))
		return VEIL_DROP_handshake_failed;
	own->cookie = true;
	memcpy(peer->cookie, cookie, sizeof(cookie));
	peer->cookie_until = (jiffies + VEIL_COOKIE_TIME * HZ) | 1;
	memzero_explicit(cookie, sizeof(cookie));
	/* Who knows the peer's public key can make cookie replies: were each of them a
	 * reason to begin anew, no response by a slower path would ever be in time.
	 */
	if (!own->mac2)
		veil_handshake_soon(peer, own->sent + HZ);
	return VEIL_DROPS;
}

static bool veil_initiator_offered(const struct veil_offer *offer, u8 aead)
{
	return aead && (offer->aead[0] == aead || offer->aead[1] == aead);
}

/* The one that the responder chose; NULL for none, which fits if none was
 * offered.
 */
static const struct veil_psk *
veil_initiator_psk(const struct veil_outstanding *own,
		   const struct veil_response *msg)
{
	return msg->header.psk_choice ? &own->psks[msg->header.psk_choice - 1] :
					NULL;
}

static enum veil_drop veil_initiator_open(struct veil_peer *peer,
					  const struct veil_identity *self,
					  const struct veil_response *msg,
					  struct veil_choice *choice)
{
	static const u8 no_psk[VEIL_KEY_LEN];
	struct veil_outstanding *own = veil_initiator_own(peer);
	const struct veil_psk *psk = veil_initiator_psk(own, msg);

	if (msg->header.psk_choice > own->psk_count ||
	    (own->psk_count && !psk))
		return VEIL_DROP_psk_mismatch;
	if (veil_noise_read2(&own->noise, msg->noise, self,
			     psk ? psk->key : no_psk, choice, sizeof(*choice)))
		return VEIL_DROP_handshake_failed;
	if (!veil_initiator_offered(&own->offer, choice->aead))
		return VEIL_DROP_no_common_cipher;
	if (choice->lanes < 1 || choice->lanes > VEIL_LANES_MAX ||
	    choice->flags & ~VEIL_PAYLOAD_FLAGS || choice->reserved ||
	    !choice->sender)
		return VEIL_DROP_malformed;
	return VEIL_DROPS;
}

/* Whether our initiation came with the addresses that it left with: what the responder
 * went by.  The addresses of the response say nothing, as anybody may have sent a copy
 * of it from elsewhere, and both ends have to come to the same answer.
 */
static bool veil_initiator_no_nat(const struct veil_offer *offer,
				  const struct veil_choice *choice)
{
	return !memcmp(choice->source, offer->destination, VEIL_ADDR_LEN) &&
	       !memcmp(choice->destination, offer->source, VEIL_ADDR_LEN);
}

/* The session takes over the index that the initiation had. */
static struct veil_session *
veil_initiator_session(struct veil_peer *peer, int place,
		       const struct veil_response *msg,
		       const struct veil_choice *choice)
{
	struct veil_outstanding *own = veil_initiator_own(peer);
	const struct veil_psk *psk = veil_initiator_psk(own, msg);
	bool moves = choice->flags & VEIL_PAYLOAD_ROAMS;
	struct veil_session_params params = {
		.peer = peer,
		.aead = choice->aead,
		.initiator = true,
		.moves = moves,
		.transport = !moves && !peer->roaming &&
			     veil_initiator_no_nat(&own->offer, choice),
		.tx_lanes = choice->lanes,
		.remote = choice->sender,
		.pair = own->pair,
		.psk = psk,
		.rotates = veil_exchange_rotates(peer, place, psk),
		.epoch = own->epoch,
		/* Where it hears us: one that roams has shown it. */
		.place = { .remote = own->remote, .port = own->port },
	};
	struct veil_session *session;
	int err;

	memcpy(&params.place.local, own->offer.source, VEIL_ADDR_LEN);
	session = veil_session_create(&params);
	if (IS_ERR(session))
		return session;
	err = veil_index_replace(peer->vn, &own->index, &session->index);
	if (!err)
		err = veil_exchange_keys(session, &own->noise, &msg->header);
	if (err) {
		veil_session_discard(session);
		return ERR_PTR(err);
	}
	return session;
}

bool veil_initiator_from(const struct veil_peer *peer,
			 const struct in6_addr *source, u16 port)
{
	const struct veil_outstanding *own =
		rcu_dereference_check(peer->initiation,
				      lockdep_is_held(&peer->handshake_lock));

	return !READ_ONCE(peer->roaming) ||
	       (own && port == own->port &&
		ipv6_addr_equal(source, &own->remote));
}

enum veil_drop veil_initiator_handle(struct veil_peer *peer,
				     const struct veil_response *msg,
				     const struct in6_addr *source, u16 port)
{
	struct veil_outstanding *own = veil_initiator_own(peer);
	const struct veil_identity *self;
	struct veil_session *session;
	struct veil_choice choice;
	enum veil_drop reason;
	int place;

	if (!own || own->index.id != be32_to_cpu(msg->header.receiver) ||
	    !veil_initiator_from(peer, source, port))
		return VEIL_DROP_unexpected_response;
	place = veil_pair_find(peer, own->pair);
	if (place == VEIL_PAIR_NONE)
		return VEIL_DROP_unexpected_response;
	self = veil_pair_ours(peer, place);
	if (!veil_exchange_mac1_ok(self->public, msg,
				   offsetof(struct veil_response, mac1)))
		return VEIL_DROP_handshake_failed;
	reason = veil_initiator_open(peer, self, msg, &choice);
	if (reason == VEIL_DROP_handshake_failed ||
	    reason == VEIL_DROP_psk_mismatch)
		return reason;

	/* It is the peer's, and Noise has moved on: whatever happens now ends
	 * this initiation.
	 */
	veil_handshake_trace(peer, "response-received");
	session = reason == VEIL_DROPS ?
		  veil_initiator_session(peer, place, msg, &choice) :
		  NULL;
	veil_initiator_clear(peer);
	if (!session)
		return reason;
	if (IS_ERR(session))
		return VEIL_DROP_no_memory;

	veil_exchange_install(peer, session);
	return VEIL_DROPS;
}
