// SPDX-License-Identifier: GPL-2.0
/*
 * Sessions: making and wiping them, the slots, counters and limits.
 */
#include <linux/cpumask.h>
#include <linux/log2.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "cipher.h"
#include "pair.h"
#include "session.h"
#include "socket.h"
#include "trace.h"

u8 veil_session_lanes(void)
{
	return clamp_t(unsigned long, roundup_pow_of_two(num_possible_cpus()),
		       4, VEIL_LANES_MAX);
}

void veil_lane_release(struct veil_session *session, u16 lane)
{
	atomic_t *in_flight = &session->lanes[lane].in_flight;

	/* The session may be freed right after the decrement; the address
	 * alone wakes its worker.
	 */
	if (atomic_dec_and_test(in_flight))
		wake_up_var(in_flight);
}

struct veil_ends *veil_ends_alloc(struct veil_peer *peer,
				  const struct veil_place *place, int gone,
				  gfp_t gfp)
{
	struct veil_ends *ends = kzalloc(sizeof(*ends), gfp);

	if (!ends)
		return NULL;
	ends->place = *place;
	rcu_read_lock();
	ends->domain = veil_socket_domain(peer->vn->net, &place->local, gone);
	rcu_read_unlock();
	if (dst_cache_init(&ends->route, gfp | __GFP_NOWARN)) {
		kfree(ends);
		return NULL;
	}
	veil_peer_get(peer);
	ends->peer = peer;
	return ends;
}

static void veil_ends_free_rcu(struct rcu_head *rcu)
{
	struct veil_ends *ends = container_of(rcu, struct veil_ends, rcu);

	dst_cache_destroy(&ends->route);
	veil_peer_put(ends->peer);
	kfree(ends);
}

void veil_ends_free(struct veil_ends *ends)
{
	call_rcu(&ends->rcu, veil_ends_free_rcu);
}

static void veil_session_free(struct veil_session *session)
{
	if (!IS_ERR_OR_NULL(session->tx))
		crypto_free_aead(session->tx);
	if (!IS_ERR_OR_NULL(session->rx))
		crypto_free_aead(session->rx);
	veil_ends_free(rcu_dereference_protected(session->ends, true));
	if (session->said)
		veil_ends_free(session->said);
	veil_peer_put(session->peer);
	kvfree(session);
}

/* A grace period after the session was unlinked: no reader is left, but
 * requests may be under way.
 */
static void veil_session_destroy(struct work_struct *work)
{
	struct veil_session *session =
		container_of(to_rcu_work(work), struct veil_session, destroy);
	unsigned int lanes = max(session->tx_lanes, session->rx_lanes);
	unsigned int i;

	for (i = 0; i < lanes; i++) {
		atomic_t *in_flight = &session->lanes[i].in_flight;

		wait_var_event(in_flight, !atomic_read(in_flight));
	}
	veil_session_free(session);
}

struct veil_session *
veil_session_create(const struct veil_session_params *params)
{
	u8 rx_lanes = veil_session_lanes();
	unsigned int lanes = max(params->tx_lanes, rx_lanes);
	struct veil_session *session;
	struct veil_ends *ends;
	unsigned int i;

	session = kvzalloc(struct_size(session, lanes, lanes), GFP_KERNEL);
	if (!session)
		return ERR_PTR(-ENOMEM);
	ends = veil_ends_alloc(params->peer, &params->place, 0, GFP_KERNEL);
	if (ends && params->said)
		session->said = veil_ends_alloc(params->peer, params->said, 0,
						GFP_KERNEL);
	if (!ends || (params->said && !session->said)) {
		if (ends)
			veil_ends_free(ends);
		kvfree(session);
		return ERR_PTR(-ENOMEM);
	}
	RCU_INIT_POINTER(session->ends, ends);
	for (i = 0; i < lanes; i++)
		spin_lock_init(&session->lanes[i].rx_lock);
	INIT_RCU_WORK(&session->destroy, veil_session_destroy);
	veil_peer_get(params->peer);
	session->peer = params->peer;
	session->index.peer = params->peer;
	session->index.kind = VEIL_INDEX_HANDSHAKE;
	session->aead = params->aead;
	session->initiator = params->initiator;
	session->transport = params->transport;
	session->tx_lanes = params->tx_lanes;
	session->rx_lanes = rx_lanes;
	session->remote = params->remote;
	session->pair = params->pair;
	session->rotates = params->rotates;
	if (params->psk)
		memcpy(session->psk_id, params->psk->id, VEIL_PSK_ID_LEN);
	session->time = params->time;
	session->epoch = params->epoch;
	session->moves = params->moves;
	session->born = ktime_get_coarse_boottime_ns();
	return session;
}

int veil_session_set_keys(struct veil_session *session,
			  const u8 tx_key[VEIL_KEY_LEN],
			  const u8 rx_key[VEIL_KEY_LEN])
{
	session->tx = veil_cipher_alloc(session->aead, tx_key);
	if (IS_ERR(session->tx))
		return PTR_ERR(session->tx);
	session->rx = veil_cipher_alloc(session->aead, rx_key);
	if (IS_ERR(session->rx))
		return PTR_ERR(session->rx);

	session->request_size = sizeof(struct aead_request) +
		max(crypto_aead_reqsize(session->tx),
		    crypto_aead_reqsize(session->rx));
	session->async = veil_cipher_async(session->tx) ||
			 veil_cipher_async(session->rx);
	session->born = ktime_get_coarse_boottime_ns();
	session->prompt = veil_cipher_prompt(session->tx) &&
			  veil_cipher_prompt(session->rx);
	/* Pairs with veil_index_lookup(): who sees the kind sees the keys. */
	smp_store_release(&session->index.kind, VEIL_INDEX_SESSION);
	return 0;
}

void veil_session_discard(struct veil_session *session)
{
	if (session->index.id)
		veil_index_remove(session->peer->vn, &session->index);
	queue_rcu_work(veil_queues_of(session->peer->vn->net)->all,
		       &session->destroy);
}

/* Its numbers live on in the peer. */
static void veil_session_fold(struct veil_peer *peer,
			      struct veil_session *session)
{
	unsigned int lanes = max(session->tx_lanes, session->rx_lanes);
	unsigned int i;

	for (i = 0; i < lanes; i++) {
		struct veil_lane *lane = &session->lanes[i];

		peer->tx_packets += atomic64_read(&lane->tx_counter);
		peer->tx_bytes += atomic64_read(&lane->tx_bytes);
		spin_lock(&lane->rx_lock);
		peer->rx_packets += lane->rx_packets;
		peer->rx_bytes += lane->rx_bytes;
		spin_unlock(&lane->rx_lock);
	}
	peer->tx_packets -= atomic_read(&session->keepalives);
}

/* Packets may wait for a neighbour, or in another CPU's hands. */
static void veil_session_remember(struct veil_peer *peer, __be32 remote)
{
	WRITE_ONCE(peer->ended[peer->ended_next++ % VEIL_ENDED], remote);
	/* Pairs with veil_session_sealed(): before the slot is another's. */
	smp_wmb();
}

static bool veil_session_is(const struct veil_session *session,
			    __be32 receiver)
{
	return session && session->remote == receiver;
}

bool veil_session_sealed(const struct veil_peer *peer, __be32 receiver)
{
	unsigned int i;

	if (veil_session_is(rcu_dereference(peer->current_session), receiver))
		return true;
	/* It may have been current, is previous, or remembered: in this order.
	 * Pairs with veil_session_remember() and with what publishes a slot.
	 */
	smp_rmb();
	if (veil_session_is(rcu_dereference(peer->previous_session), receiver))
		return true;
	/* The same. */
	smp_rmb();
	for (i = 0; i < VEIL_ENDED; i++)
		if (receiver && READ_ONCE(peer->ended[i]) == receiver)
			return true;
	return false;
}

void veil_session_kill(struct veil_peer *peer,
		       struct veil_session __rcu **slot)
{
	struct veil_session *session =
		rcu_dereference_protected(*slot, lockdep_is_held(&peer->lock));

	if (!session)
		return;
	trace_veil_session_ended(session);
	if (slot != &peer->next_session)
		veil_session_remember(peer, session->remote);
	RCU_INIT_POINTER(*slot, NULL);
	veil_index_remove(peer->vn, &session->index);
	veil_session_fold(peer, session);
	queue_rcu_work(veil_queues_of(session->peer->vn->net)->all,
		       &session->destroy);
}

static struct veil_session *veil_session_slot(struct veil_peer *peer,
					      struct veil_session __rcu *slot)
{
	return rcu_dereference_protected(slot, lockdep_is_held(&peer->lock));
}

/* session becomes the one to seal with; the current one stays for what is
 * still under way.
 */
static void veil_session_make_current(struct veil_peer *peer,
				      struct veil_session *session)
{
	veil_session_kill(peer, &peer->previous_session);
	rcu_assign_pointer(peer->previous_session,
			   veil_session_slot(peer, peer->current_session));
	rcu_assign_pointer(peer->current_session, session);
	peer->last_handshake = ktime_get_real_seconds();
}

void veil_session_install(struct veil_peer *peer, struct veil_session *session)
{
	lockdep_assert_held(&peer->lock);
	if (session->initiator) {
		veil_session_make_current(peer, session);
		return;
	}
	veil_session_kill(peer, &peer->next_session);
	rcu_assign_pointer(peer->next_session, session);
}

void veil_session_settle(struct veil_peer *peer, struct veil_session *session)
{
	struct veil_ends *said = session->said, *old;
	struct veil_addr_pair addrs;

	lockdep_assert_held(&peer->lock);
	if (!said)
		return;
	addrs.source = said->place.remote;
	addrs.destination = said->place.local;
	if (!veil_pair_came(peer, session->pair, session->time, &addrs))
		return;
	old = rcu_replace_pointer(session->ends, said,
				  lockdep_is_held(&peer->lock));
	session->said = NULL;
	veil_ends_free(old);
}

/* Something opened under session.  If it was the unconfirmed next one, it is
 * confirmed: from now on we seal under it.  True if that was so.
 */
bool veil_session_promote(struct veil_peer *peer, struct veil_session *session)
{
	lockdep_assert_held(&peer->lock);
	if (veil_session_slot(peer, peer->next_session) != session)
		return false;
	RCU_INIT_POINTER(peer->next_session, NULL);
	veil_session_make_current(peer, session);
	veil_pair_commit(peer, session->pair, session->time);
	return true;
}

void veil_session_inherit(struct veil_peer *peer, struct veil_peer *known)
{
	struct veil_session *current_session, *previous_session, *next_session;

	spin_lock_bh(&known->lock);
	memcpy(peer->ended, known->ended, sizeof(peer->ended));
	peer->ended_next = known->ended_next;
	previous_session = veil_session_slot(known, known->previous_session);
	current_session = veil_session_slot(known, known->current_session);
	next_session = veil_session_slot(known, known->next_session);
	/* It may yet become current: a confirmation takes no vn->lock. */
	if (next_session)
		veil_session_remember(peer, next_session->remote);
	if (previous_session)
		veil_session_remember(peer, previous_session->remote);
	if (current_session)
		veil_session_remember(peer, current_session->remote);
	spin_unlock_bh(&known->lock);
}

bool veil_session_cut(struct veil_peer *peer,
		      bool (*gone)(const struct veil_peer *peer,
				   const struct veil_session *session))
{
	const struct veil_session *session;
	bool cut;

	spin_lock_bh(&peer->lock);
	session = veil_session_slot(peer, peer->next_session);
	if (session && gone(peer, session))
		veil_session_kill(peer, &peer->next_session);
	session = veil_session_slot(peer, peer->current_session);
	cut = session && !READ_ONCE(session->opened) && gone(peer, session);
	if (cut)
		veil_session_kill(peer, &peer->current_session);
	spin_unlock_bh(&peer->lock);
	return cut;
}

void veil_session_kill_all(struct veil_peer *peer)
{
	spin_lock_bh(&peer->lock);
	veil_session_kill(peer, &peer->next_session);
	veil_session_kill(peer, &peer->current_session);
	veil_session_kill(peer, &peer->previous_session);
	spin_unlock_bh(&peer->lock);
}

void veil_sessions_wiped(const struct net *net)
{
	/* queue_rcu_work() has queued its works after this. */
	rcu_barrier();
	flush_workqueue(veil_queues_of(net)->all);
}

/* The volume of a key is shared out evenly over its lanes, so that no counter
 * is common to them (STACK C4): a session whose flows all hash to one lane
 * rekeys earlier than it must.
 */
static bool veil_limit_passed(const struct veil_session *session, u64 packets,
			      u64 bytes, u64 max_bytes, u64 max_packets,
			      unsigned int lanes)
{
	if (session->aead == VEIL_AEAD_AES_256_GCM)
		return bytes >= div_u64(max_bytes, lanes);
	return packets >= div_u64(max_packets, lanes);
}

int veil_session_take(struct veil_session *session, u16 lane, size_t len,
		      unsigned int n, u64 *counter)
{
	struct veil_lane *l = &session->lanes[lane];
	u64 bytes = atomic64_add_return(len, &l->tx_bytes);
	u64 packet = atomic64_fetch_add(n, &l->tx_counter);
	u64 last = packet + n - 1;

	if (veil_limit_passed(session, last, bytes, VEIL_GCM_REJECT_BYTES,
			      VEIL_CHACHA_REJECT_PACKETS, session->tx_lanes))
		return -EKEYEXPIRED;
	if (unlikely(veil_limit_passed(session, last, bytes,
				       VEIL_GCM_REKEY_BYTES,
				       VEIL_CHACHA_REKEY_PACKETS,
				       session->tx_lanes)))
		WRITE_ONCE(session->rekey, true);
	*counter = packet;
	return 0;
}

bool veil_session_may_open(struct veil_session *session, u16 lane, u64 counter,
			   size_t len)
{
	u64 bytes = READ_ONCE(session->lanes[lane].rx_bytes) + len;

	return !veil_limit_passed(session, counter, bytes,
				  VEIL_GCM_REJECT_BYTES,
				  VEIL_CHACHA_REJECT_PACKETS,
				  session->rx_lanes);
}

bool veil_session_forged(struct veil_session *session)
{
	u64 limit = session->aead == VEIL_AEAD_AES_256_GCM ?
		VEIL_GCM_FORGERIES : VEIL_CHACHA_FORGERIES;
	u64 count = atomic64_inc_return(&session->forgeries);

	if (count >= limit / 2)
		WRITE_ONCE(session->rekey, true);
	return count >= limit;
}
