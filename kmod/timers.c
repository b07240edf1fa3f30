// SPDX-License-Identifier: GPL-2.0
/*
 * Time: expiry, rekeying, retries, keepalives (PROTOCOL sections 2 and 7).
 */
#include "compat.h"
#include "handshake.h"
#include "initiator.h"
#include "netlink.h"
#include "roam.h"
#include "session.h"
#include "timers.h"
#include "trace.h"
#include "tx.h"

/* What a tick found to do, outside peer->lock. */
struct veil_tick {
	bool start;		/* a handshake */
	bool retry;		/* the next initiation of the series */
	bool give_up;		/* the series */
	bool wipe;		/* an initiation that outlived its series */
	bool keepalive;
	bool flush;		/* the queue: there is a session */
	bool down;		/* the last session ended */
	bool again;		/* something is still going on */
};

/* jiffies stamps with bit 0 set, 0 for never */
static bool veil_elapsed(unsigned long since, unsigned int seconds)
{
	return since && time_after_eq(jiffies, since + seconds * HZ);
}

static bool veil_lately(unsigned long when)
{
	return time_before(jiffies, when + 2 * HZ);
}

static u64 veil_age_seconds(const struct veil_session *session)
{
	return div_u64(veil_session_age(session), NSEC_PER_SEC);
}

static void veil_tick_expire(struct veil_peer *peer,
			     struct veil_session __rcu **slot,
			     unsigned int limit)
{
	struct veil_session *session =
		rcu_dereference_protected(*slot, lockdep_is_held(&peer->lock));

	if (session && veil_age_seconds(session) >= limit)
		veil_session_kill(peer, slot);
}

/* Whose task it is to renew.  Of two handshakes that crossed each end may seal under
 * the other's: then both think that it is theirs, for as long as there are both.
 */
static bool veil_tick_renews(const struct veil_peer *peer,
			     const struct veil_session *session)
{
	const struct veil_session *previous =
		rcu_dereference_protected(peer->previous_session,
					  lockdep_is_held(&peer->lock));

	return session->initiator || (previous && previous->initiator);
}

/* The initiator renews in time; whoever meets a limit of volume does as well. */
static bool veil_tick_rekey(const struct veil_peer *peer,
			    const struct veil_session *session)
{
	u64 age = veil_age_seconds(session);

	if (READ_ONCE(session->rekey))
		return true;
	if (!veil_tick_renews(peer, session))
		return false;
	/* With keepalives there is always somebody who may want to be heard. */
	return (age >= VEIL_REKEY_AFTER_TIME &&
		(READ_ONCE(peer->keepalive) ||
		 veil_lately(READ_ONCE(peer->last_tx_data)))) ||
	       (age >= VEIL_REKEY_RECEIVING_TIME &&
		veil_lately(READ_ONCE(peer->last_rx)));
}

/* The configuration was given next keys lately, and they are not in use yet: the
 * other end may have got them since we tried, or our try was lost.
 */
static bool veil_tick_renew(const struct veil_peer *peer,
			    const struct veil_session *session)
{
	unsigned long until = READ_ONCE(peer->renew_until);

	return time_in_range_open(jiffies, until - VEIL_RENEW_TIME * HZ,
				  until) &&
	       (READ_ONCE(peer->psk_next) ||
		veil_pair_find(peer, session->pair) != veil_pair_newest(peer));
}

/* The initiator has to be heard before the responder may send: at once, and
 * again after 1, 2 and 4 s.
 */
static bool veil_tick_confirm(struct veil_session *session)
{
	if (!session->initiator || READ_ONCE(session->opened) ||
	    session->confirm_tries > 2 ||
	    veil_age_seconds(session) < 1u << session->confirm_tries)
		return false;
	session->confirm_tries++;
	return true;
}

/* So that NAT on the way does not forget us. */
static bool veil_tick_mapping(const struct veil_peer *peer)
{
	u16 seconds = READ_ONCE(peer->keepalive);

	return seconds && time_after_eq(jiffies, READ_ONCE(peer->last_tx) +
					seconds * HZ);
}

static void veil_tick_session(struct veil_peer *peer, struct veil_tick *tick,
			      struct veil_session *session)
{
	bool silent = veil_elapsed(READ_ONCE(peer->tx_unanswered),
				   VEIL_DEAD_TIME);
	bool rekey = veil_tick_rekey(peer, session);

	if (rekey)
		trace_veil_handshake(peer, "rekey");
	tick->start = silent || rekey || veil_tick_renew(peer, session);
	tick->keepalive = veil_tick_confirm(session) ||
			  veil_elapsed(READ_ONCE(peer->rx_unanswered),
				       VEIL_KEEPALIVE_TIME) ||
			  veil_tick_mapping(peer);
	tick->flush = !skb_queue_empty_lockless(&peer->queue);
}

static void veil_tick_handshake(struct veil_peer *peer, struct veil_tick *tick)
{
	unsigned long now = jiffies;

	if (!peer->handshaking) {
		tick->wipe = veil_initiator_stale(peer);
		return;
	}
	if (time_after_eq(now, peer->handshake_started +
			  VEIL_GIVE_UP_TIME * HZ)) {
		WRITE_ONCE(peer->handshaking, false);
		WRITE_ONCE(peer->tx_unanswered, 0);
		veil_roam_found(peer);
		tick->give_up = true;
	} else if (time_after_eq(now, peer->handshake_next)) {
		WRITE_ONCE(peer->handshake_next,
			   now + veil_handshake_delay());
		peer->last_initiation = get_jiffies_64();
		tick->retry = true;
	}
}

static void veil_tick_look(struct veil_peer *peer, struct veil_tick *tick)
{
	struct veil_session *current_session;

	veil_tick_expire(peer, &peer->next_session, VEIL_CONFIRM_TIMEOUT);
	veil_tick_expire(peer, &peer->current_session, VEIL_REJECT_AFTER_TIME);
	veil_tick_expire(peer, &peer->previous_session, VEIL_REJECT_AFTER_TIME);

	current_session = rcu_dereference_protected(peer->current_session,
						    lockdep_is_held(&peer->lock));
	tick->down = peer->announced && !current_session;
	if (tick->down)
		peer->announced = false;
	if (current_session)
		veil_tick_session(peer, tick, current_session);
	else
		tick->start = READ_ONCE(peer->keepalive) ||
			      !skb_queue_empty_lockless(&peer->queue);
	veil_tick_handshake(peer, tick);
	tick->again = current_session || peer->handshaking ||
		      rcu_access_pointer(peer->next_session) ||
		      rcu_access_pointer(peer->previous_session) ||
		      rcu_access_pointer(peer->initiation) ||
		      READ_ONCE(peer->keepalive) ||
		      (tick->start && !tick->give_up);
}

static void veil_timers_tick(struct timer_list *timer)
{
	struct veil_peer *peer = timer_container_of(peer, timer, timer);
	struct veil_tick tick = {};

	spin_lock(&peer->lock);
	if (!peer->dead)
		veil_tick_look(peer, &tick);
	spin_unlock(&peer->lock);

	if (tick.down)
		veil_netlink_event(peer->vn, NETVEIL_EVENT_SESSION_DOWN,
				   READ_ONCE(peer->public_key));
	if (tick.give_up)
		veil_handshake_trace(peer, "gave-up");
	if (tick.give_up)
		veil_tx_purge(peer, VEIL_DROP_no_session);
	else
		veil_tx_expire(peer);
	if (tick.give_up || tick.retry || tick.wipe)
		veil_handshake_queue(peer);
	else if (tick.start)
		veil_handshake_start(peer);
	if (tick.keepalive)
		veil_tx_keepalive(peer);
	if (tick.flush)
		veil_tx_flush(peer);
	if (tick.again)
		veil_timers_arm(peer);
}

/* Retries carry a jitter below a second: do not wait for the next second. */
void veil_timers_arm(struct veil_peer *peer)
{
	unsigned long next = jiffies + HZ;

	if (READ_ONCE(peer->handshaking) &&
	    time_before(READ_ONCE(peer->handshake_next), next))
		next = READ_ONCE(peer->handshake_next);
	timer_reduce(&peer->timer, next);
}

void veil_timers_init(struct veil_peer *peer)
{
	timer_setup(&peer->timer, veil_timers_tick, 0);
}

void veil_timers_stop(struct veil_peer *peer)
{
	timer_shutdown_sync(&peer->timer);
}
