// SPDX-License-Identifier: GPL-2.0
/*
 * Handshakes: when one starts, what of it the hook lets in, and the workers.
 * The messages themselves are in initiator.c and responder.c.
 *
 * The hook spends one SipHash on an initiation (its stamp) and a table look-up
 * on a response; all else is done here in process context.
 */
#include <crypto/algapi.h>
#include <linux/jiffies.h>
#include <linux/random.h>

#include "addr.h"
#include "handshake.h"
#include "initiator.h"
#include "keys.h"
#include "responder.h"
#include "timers.h"

/* Messages that wait for the worker, of one kind and namespace. */
#define VEIL_HANDSHAKES_MAX	1024

void veil_handshake_queue(struct veil_peer *peer)
{
	/* The packet path holds no reference: it may meet a peer at its end. */
	if (!kref_get_unless_zero(&peer->refs))
		return;
	if (!queue_work(veil_wq, &peer->work))
		veil_peer_put(peer);
}

/* Retry time with jitter, so that two ends do not stay in step. */
unsigned long veil_handshake_delay(void)
{
	return VEIL_RETRY_TIME * HZ + get_random_u32_below(HZ / 3 + 1);
}

void veil_handshake_soon(struct veil_peer *peer, unsigned long when)
{
	spin_lock_bh(&peer->lock);
	if (time_before(when, peer->handshake_next))
		peer->handshake_next = when;
	spin_unlock_bh(&peer->lock);
	veil_timers_arm(peer);
}

void veil_handshake_start(struct veil_peer *peer)
{
	unsigned long now = jiffies;
	bool start = false;

	if (READ_ONCE(peer->handshaking) || !READ_ONCE(peer->usable) ||
	    READ_ONCE(peer->dead) || READ_ONCE(veil_asleep) ||
	    /* As if there were no peer. */
	    READ_ONCE(peer->policy) == NETVEIL_POLICY_BYPASS)
		return;

	spin_lock_bh(&peer->lock);
	if (!peer->handshaking && !peer->dead &&
	    (!peer->last_initiation ||
	     time_after_eq(now, peer->last_initiation + VEIL_RETRY_TIME * HZ))) {
		WRITE_ONCE(peer->handshaking, true);
		peer->handshake_started = now;
		peer->attempts = 0;
		peer->handshake_next = now + veil_handshake_delay();
		peer->last_initiation = now | 1;
		start = true;
	}
	spin_unlock_bh(&peer->lock);

	if (start) {
		veil_handshake_queue(peer);
		veil_timers_arm(peer);
	}
}

/* An authentic initiation that is not newer than the last committed one: its
 * sender's clock went back, or someone repeats an old one.  We initiate then,
 * so that a clock that jumps locks nobody out.
 */
static void veil_handshake_stale(struct veil_peer *peer)
{
	if (time_after_eq(jiffies, READ_ONCE(peer->last_rx) +
			  VEIL_STALE_QUIET_TIME * HZ))
		veil_handshake_start(peer);
}

static enum veil_drop veil_handshake_filter(struct veil_peer *peer,
					    const struct veil_initiation *msg)
{
	int place;
	u64 ns;

	if (msg->header.version != VEIL_PROTOCOL_VERSION ||
	    msg->header.reserved[0] || msg->header.reserved[1])
		return VEIL_DROP_malformed;
	if (!READ_ONCE(peer->usable))
		return VEIL_DROP_no_key;
	place = veil_pair_match(peer, msg);
	if (place == VEIL_PAIR_NONE)
		return VEIL_DROP_bad_stamp;
	if (veil_tai64n_to_ns(&ns, &msg->header.time))
		return VEIL_DROP_malformed;
	return veil_pair_time(peer, place, ns);
}

static void veil_handshake_enqueue(struct veil_peer *peer,
				   struct sk_buff_head *queue,
				   struct sk_buff *skb)
{
	if (skb_queue_len_lockless(queue) >= VEIL_HANDSHAKES_MAX) {
		veil_peer_drop(peer, skb, VEIL_DROP_handshake_queue_full);
		return;
	}
	/* The worker wants its bytes alone. */
	skb_orphan(skb);
	skb_dst_drop(skb);
	skb_ext_reset(skb);
	skb->dev = NULL;
	skb_queue_tail(queue, skb);
	queue_work(veil_wq, &peer->vn->handshake_work);
}

void veil_handshake_initiation(struct veil_peer *peer, struct sk_buff *skb,
			       const struct veil_initiation *msg)
{
	enum veil_drop reason = veil_handshake_filter(peer, msg);

	if (reason == VEIL_DROPS) {
		veil_handshake_enqueue(peer, &peer->vn->initiations, skb);
		return;
	}
	veil_peer_drop(peer, skb, reason);
	if (reason == VEIL_DROP_stale_initiation)
		veil_handshake_stale(peer);
}

void veil_handshake_response(struct veil_peer *peer, struct sk_buff *skb,
			     const struct veil_response *msg)
{
	struct veil_index *index;

	if (msg->header.version != VEIL_PROTOCOL_VERSION ||
	    msg->header.psk_choice > VEIL_PSKS_MAX || msg->header.reserved) {
		veil_peer_drop(peer, skb, VEIL_DROP_malformed);
		return;
	}
	index = veil_index_lookup(peer->vn, be32_to_cpu(msg->header.receiver));
	if (!index || index->kind != VEIL_INDEX_HANDSHAKE ||
	    index->peer != peer) {
		veil_peer_drop(peer, skb, VEIL_DROP_unexpected_response);
		return;
	}
	veil_handshake_enqueue(peer, &peer->vn->responses, skb);
}

/* One message of the queues; the peers stay while vn->lock is held. */
static void veil_handshake_handle(struct veil_net *vn, struct sk_buff *skb)
{
	struct veil_addr_pair addrs;
	enum veil_drop reason;
	struct veil_peer *peer;
	const void *msg;

	msg = veil_addr_parse(skb, &addrs) + sizeof(struct udphdr);
	rcu_read_lock();
	peer = veil_peer_lookup(vn, &addrs.source);
	rcu_read_unlock();
	if (!peer) {
		veil_drop(vn, skb, VEIL_DROP_policy_changed);
		return;
	}

	mutex_lock(&peer->handshake_lock);
	if (READ_ONCE(veil_asleep))
		reason = VEIL_DROP_handshake_failed;
	else if (*(const u8 *)msg == VEIL_MSG_INITIATION)
		reason = veil_responder_handle(peer, msg, &addrs);
	else
		reason = veil_initiator_handle(peer, msg, &addrs);
	mutex_unlock(&peer->handshake_lock);

	if (reason == VEIL_DROPS)
		consume_skb(skb);
	else
		veil_peer_drop(peer, skb, reason);
}

void veil_handshake_work(struct work_struct *work)
{
	struct veil_net *vn = container_of(work, struct veil_net,
					   handshake_work);
	unsigned int served = 0;
	struct sk_buff *skb;

	wait_for_random_bytes();

	/* Responses first, but not only: they can be forged more cheaply. */
	while ((skb = served++ % 8 ? skb_dequeue(&vn->responses) :
				     skb_dequeue(&vn->initiations)) ||
	       (skb = skb_dequeue(&vn->responses)) ||
	       (skb = skb_dequeue(&vn->initiations))) {
		down_read(&vn->lock);
		veil_handshake_handle(vn, skb);
		up_read(&vn->lock);
		cond_resched();
	}
}

void veil_handshake_send_work(struct work_struct *work)
{
	struct veil_peer *peer = container_of(work, struct veil_peer, work);

	/* No ephemeral key before the generator is seeded. */
	wait_for_random_bytes();

	down_read(&peer->vn->lock);
	mutex_lock(&peer->handshake_lock);
	if (READ_ONCE(peer->handshaking) && peer->usable && !peer->dead &&
	    !READ_ONCE(veil_asleep))
		veil_initiator_send(peer);
	else
		veil_initiator_clear(peer);
	mutex_unlock(&peer->handshake_lock);
	up_read(&peer->vn->lock);
	veil_peer_put(peer);
}

void veil_handshake_cancel(struct veil_peer *peer)
{
	spin_lock_bh(&peer->lock);
	WRITE_ONCE(peer->handshaking, false);
	peer->last_initiation = 0;
	spin_unlock_bh(&peer->lock);

	mutex_lock(&peer->handshake_lock);
	veil_initiator_clear(peer);
	mutex_unlock(&peer->handshake_lock);
}
