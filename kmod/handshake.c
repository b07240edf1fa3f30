// SPDX-License-Identifier: GPL-2.0
/*
 * Handshakes: when one starts, what of it the hook lets in, and the workers.
 * The messages themselves are in initiator.c and responder.c.
 *
 * The hook spends a SipHash for each pair of keys, one as a rule, on a message (its
 * stamp) and a table look-up on a response; all else is done here in process context.
 */
#include <crypto/algapi.h>
#include <linux/jiffies.h>
#include <linux/random.h>

#include "addr.h"
#include "handshake.h"
#include "initiator.h"
#include "keys.h"
#include "peer_address.h"
#include "responder.h"
#include "roam.h"
#include "timers.h"
#include "trace.h"

/* Messages that wait for the worker, of one kind: of a namespace, and of a peer,
 * so that none fills the queue for all.
 */
#define VEIL_HANDSHAKES_MAX	1024
#define VEIL_HANDSHAKES_PEER	8
/* Of these, as many may be cookie replies, which anybody can make who sees what they
 * answer: what the peer itself says finds room beside them.
 */
#define VEIL_HANDSHAKES_COOKIES	4
/* After so many the worker ends and begins anew, or who waits for works that were
 * queued before (veil_sessions_wiped()) would wait for the end of a flood.
 */
#define VEIL_HANDSHAKES_TURN	64
/* Initiations of one peer that are let in, a second. */
#define VEIL_HANDSHAKES_RATE	50

/* Whose message waits; holds a reference, since its address may not tell. */
struct veil_handshake_cb {
	struct veil_peer *peer;
	bool unjudged;	/* an initiation that came before its peer's pairs */
};

#define VEIL_HANDSHAKE_CB(skb)	((struct veil_handshake_cb *)(skb)->cb)

void veil_handshake_trace(struct veil_peer *peer, const char *step)
{
	if (!trace_veil_handshake_enabled())
		return;
	spin_lock_bh(&peer->lock);
	trace_veil_handshake(peer, step);
	spin_unlock_bh(&peer->lock);
}

void veil_handshake_queue(struct veil_peer *peer)
{
	/* The packet path holds no reference: it may meet a peer at its end. */
	if (!kref_get_unless_zero(&peer->refs))
		return;
	if (!queue_work(veil_queues_of(peer->vn->net)->peers,
			&peer->work))
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
		WRITE_ONCE(peer->handshake_next, when);
	spin_unlock_bh(&peer->lock);
	veil_timers_arm(peer);
}

void veil_handshake_start(struct veil_peer *peer)
{
	u64 now = get_jiffies_64();
	bool start = false;

	if (READ_ONCE(peer->handshaking) || !READ_ONCE(peer->usable) ||
	    READ_ONCE(peer->dead) || READ_ONCE(veil_asleep) ||
	    /* As if there were no peer. */
	    READ_ONCE(peer->policy) == NETVEIL_POLICY_BYPASS)
		return;

	spin_lock_bh(&peer->lock);
	/* One that roams, and was not heard yet, has to begin itself.  And the policy may
	 * have changed, and veil_handshake_cancel() been called.
	 */
	if (!peer->handshaking && !peer->dead &&
	    READ_ONCE(peer->policy) != NETVEIL_POLICY_BYPASS &&
	    veil_roam_reachable(peer) &&
	    now >= peer->last_initiation + VEIL_RETRY_TIME * HZ) {
		WRITE_ONCE(peer->handshaking, true);
		peer->handshake_started = jiffies;
		WRITE_ONCE(peer->attempts, 0);
		WRITE_ONCE(peer->handshake_next,
			   jiffies + veil_handshake_delay());
		peer->last_initiation = now;
		start = true;
	}
	spin_unlock_bh(&peer->lock);

	if (start) {
		veil_handshake_queue(peer);
		veil_timers_arm(peer);
	}
}

static bool veil_handshake_quiet(const struct veil_peer *peer)
{
	unsigned long last = READ_ONCE(peer->last_rx);

	/* As many jiffies as there are may have gone by since. */
	return !time_in_range_open(jiffies, last,
				   last + VEIL_STALE_QUIET_TIME * HZ);
}

/* An authentic initiation that is not newer than the last committed one: its
 * sender's clock went back, or someone repeats an old one.  We initiate then,
 * so that a clock that jumps locks nobody out.
 */
static void veil_handshake_stale(struct veil_peer *peer,
				 const struct in6_addr *source, u16 port)
{
	if (!veil_handshake_quiet(peer))
		return;
	veil_roam_lost(peer, source, port);
	veil_handshake_start(peer);
}

void veil_handshake_unknown(struct veil_peer *peer)
{
	/* Anybody can say that of it; a session that is heard tells otherwise. */
	if (!rcu_access_pointer(peer->current_session) ||
	    veil_handshake_quiet(peer))
		veil_handshake_start(peer);
}

/* With right keys one may make as many right stamps as one likes. */
static bool veil_handshake_rate(struct veil_peer *peer)
{
	u64 now = get_jiffies_64();
	bool within;

	spin_lock_bh(&peer->lock);
	if (now >= peer->rate_since + HZ) {
		peer->rate_since = now;
		peer->rate_count = 0;
	}
	within = peer->rate_count++ < VEIL_HANDSHAKES_RATE;
	spin_unlock_bh(&peer->lock);
	return within;
}

bool veil_handshake_well_formed(const struct veil_initiation *msg)
{
	return msg->header.version == VEIL_PROTOCOL_VERSION &&
	       !msg->header.reserved[0] && !msg->header.reserved[1];
}

bool veil_handshake_stamped(const struct veil_peer *peer,
			    const struct veil_initiation *msg)
{
	return READ_ONCE(peer->usable) &&
	       /* As if there were no peer. */
	       READ_ONCE(peer->policy) != NETVEIL_POLICY_BYPASS &&
	       veil_pair_match(peer, msg) != VEIL_PAIR_NONE;
}

bool veil_handshake_unjudged(const struct veil_peer *peer)
{
	return READ_ONCE(peer->usable) &&
	       veil_pair_newest(peer) == VEIL_PAIR_NONE;
}

static enum veil_drop veil_handshake_filter(struct veil_peer *peer,
					    const struct veil_initiation *msg,
					    const struct veil_addr_pair *addrs)
{
	enum veil_drop verdict;
	int place;
	u64 ns;

	if (!veil_handshake_well_formed(msg))
		return VEIL_DROP_malformed;
	if (!READ_ONCE(peer->usable))
		return VEIL_DROP_no_key;
	place = veil_pair_match(peer, msg);
	if (place == VEIL_PAIR_NONE)
		return VEIL_DROP_bad_stamp;
	if (veil_tai64n_to_ns(&ns, &msg->header.time))
		return VEIL_DROP_malformed;
	verdict = veil_pair_time(peer, place, ns, addrs);
	if (verdict == VEIL_DROPS && !veil_handshake_rate(peer))
		verdict = VEIL_DROP_rate_limited;
	return verdict;
}

static enum veil_drop veil_handshake_admit(struct veil_peer *peer,
					   struct sk_buff_head *queue,
					   atomic_t *waiting, int most)
{
	int now = atomic_read(waiting);

	if (skb_queue_len_lockless(queue) >= VEIL_HANDSHAKES_MAX)
		return VEIL_DROP_handshake_queue_full;
	do {
		if (now >= most)
			return VEIL_DROP_handshake_queue_full;
	} while (!atomic_try_cmpxchg(waiting, &now, now + 1));
	/* The packet path holds none: it may meet a peer at its end. */
	if (kref_get_unless_zero(&peer->refs))
		return VEIL_DROPS;
	atomic_dec(waiting);
	return VEIL_DROP_policy_changed;
}

static void veil_handshake_enqueue(struct veil_peer *peer,
				   struct sk_buff_head *queue,
				   atomic_t *waiting, int most,
				   struct sk_buff *skb)
{
	enum veil_drop reason = veil_handshake_admit(peer, queue, waiting,
						     most);

	if (reason != VEIL_DROPS) {
		veil_peer_drop(peer, skb, reason);
		return;
	}
	/* The worker wants its bytes alone. */
	skb_orphan(skb);
	skb_dst_drop(skb);
	skb_ext_reset(skb);
	skb->dev = NULL;
	VEIL_HANDSHAKE_CB(skb)->peer = peer;
	skb_queue_tail(queue, skb);
	queue_work(veil_queues_of(peer->vn->net)->all,
		   &peer->vn->handshake_work);
}

/* The next message of a queue, and whose it is: the caller has its reference. */
static struct sk_buff *veil_handshake_dequeue(struct veil_net *vn,
					      struct sk_buff_head *queue,
					      struct veil_peer **peer)
{
	struct sk_buff *skb = skb_dequeue(queue);

	if (!skb)
		return NULL;
	*peer = VEIL_HANDSHAKE_CB(skb)->peer;
	atomic_dec(queue == &vn->initiations ? &(*peer)->initiations :
					       &(*peer)->responses);
	return skb;
}

void veil_handshake_initiation(struct veil_peer *peer, struct sk_buff *skb,
			       const struct veil_initiation *msg)
{
	bool unjudged = veil_handshake_unjudged(peer);
	enum veil_drop reason = VEIL_DROPS;
	struct veil_addr_pair addrs;
	const struct udphdr *uh = veil_addr_parse(skb, &addrs);
	u16 port = ntohs(uh->source);

	/* The peer was added a moment ago.  The first message that the worker
	 * takes has it make the pairs, so that X25519 runs once for all of them.
	 */
	if (!unjudged)
		reason = veil_handshake_filter(peer, msg, &addrs);
	if (reason == VEIL_DROPS) {
		VEIL_HANDSHAKE_CB(skb)->unjudged = unjudged;
		veil_handshake_enqueue(peer, &peer->vn->initiations,
				       &peer->initiations, VEIL_HANDSHAKES_PEER,
				       skb);
		return;
	}
	veil_peer_drop(peer, skb, reason);
	if (reason == VEIL_DROP_stale_initiation)
		veil_handshake_stale(peer, &addrs.source, port);
}

/* Whether an initiation of ours waits for it. */
static bool veil_handshake_awaited(struct veil_peer *peer, __be32 receiver)
{
	struct veil_index *index = veil_index_lookup(peer->vn,
						     be32_to_cpu(receiver));

	return index && READ_ONCE(index->kind) == VEIL_INDEX_HANDSHAKE &&
	       index->peer == peer;
}

void veil_handshake_response(struct veil_peer *peer, struct sk_buff *skb,
			     const struct veil_response *msg)
{
	struct veil_addr_pair addrs;
	const struct udphdr *uh = veil_addr_parse(skb, &addrs);

	if (msg->header.version != VEIL_PROTOCOL_VERSION ||
	    msg->header.psk_choice > VEIL_PSKS_MAX || msg->header.reserved ||
	    memchr_inv(msg->reserved, 0, sizeof(msg->reserved)))
		veil_peer_drop(peer, skb, VEIL_DROP_malformed);
	else if (!veil_handshake_awaited(peer, msg->header.receiver) ||
		 !veil_initiator_from(peer, &addrs.source, ntohs(uh->source)))
		veil_peer_drop(peer, skb, VEIL_DROP_unexpected_response);
	else if (!veil_pair_answered(peer, msg))
		veil_peer_drop(peer, skb, VEIL_DROP_bad_stamp);
	else
		veil_handshake_enqueue(peer, &peer->vn->responses,
				       &peer->responses, VEIL_HANDSHAKES_PEER,
				       skb);
}

void veil_handshake_cookie(struct veil_peer *peer, struct sk_buff *skb,
			   const struct veil_cookie_reply *msg)
{
	if (memchr_inv(msg->reserved, 0, sizeof(msg->reserved)))
		veil_peer_drop(peer, skb, VEIL_DROP_malformed);
	else if (!veil_handshake_awaited(peer, msg->receiver))
		veil_peer_drop(peer, skb, VEIL_DROP_unexpected_response);
	else
		veil_handshake_enqueue(peer, &peer->vn->responses,
				       &peer->responses,
				       VEIL_HANDSHAKES_COOKIES, skb);
}

static enum veil_drop veil_handshake_judge(struct veil_peer *peer,
					   const struct veil_initiation *msg,
					   const struct veil_addr_pair *addrs)
{
	return veil_pairs_make(peer) ? VEIL_DROP_no_memory :
				       veil_handshake_filter(peer, msg, addrs);
}

/* Whether peer may be there: its addresses may have changed while a message from
 * one of them waited.
 */
static bool veil_handshake_from(struct veil_peer *peer,
				const struct in6_addr *source)
{
	bool from;

	rcu_read_lock();
	from = peer->roaming || veil_peer_lookup(peer->vn, source) == peer;
	rcu_read_unlock();
	return from;
}

static enum veil_drop veil_handshake_message(struct veil_peer *peer,
					     const struct sk_buff *skb,
					     const void *msg,
					     const struct veil_addr_pair *addrs,
					     u16 port)
{
	enum veil_drop reason = VEIL_DROPS;

	lockdep_assert_held(&peer->handshake_lock);
	if (READ_ONCE(veil_asleep))
		return VEIL_DROP_handshake_failed;
	if (peer->dead || peer->policy == NETVEIL_POLICY_BYPASS ||
	    !veil_handshake_from(peer, &addrs->source))
		return VEIL_DROP_policy_changed;
	switch (*(const u8 *)msg) {
	case VEIL_MSG_INITIATION:
		if (VEIL_HANDSHAKE_CB(skb)->unjudged)
			reason = veil_handshake_judge(peer, msg, addrs);
		if (reason != VEIL_DROPS)
			return reason;
		return veil_responder_handle(peer, msg, addrs, port);
	case VEIL_MSG_RESPONSE:
		return veil_initiator_handle(peer, msg, &addrs->source, port);
	default:
		return veil_initiator_cookie(peer, msg);
	}
}

/* One message of the queues; vn->lock is held. */
static void veil_handshake_handle(struct veil_peer *peer, struct sk_buff *skb)
{
	struct veil_addr_pair addrs;
	const struct udphdr *uh;
	enum veil_drop reason;
	u16 port;

	uh = veil_addr_parse(skb, &addrs);
	port = peer->roaming ? ntohs(uh->source) : peer->port;
	mutex_lock(&peer->handshake_lock);
	reason = veil_handshake_message(peer, skb, uh + 1, &addrs, port);
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
	struct sk_buff_head *first, *second;
	unsigned int served = 0;
	struct veil_peer *peer;
	struct sk_buff *skb;

	wait_for_random_bytes();

	while (served < VEIL_HANDSHAKES_TURN) {
		/* Responses first, but not only: cookie replies, which are
		 * among them, can be forged more cheaply.
		 */
		first = served++ % 8 ? &vn->responses : &vn->initiations;
		second = first == &vn->responses ? &vn->initiations :
						   &vn->responses;
		skb = veil_handshake_dequeue(vn, first, &peer) ?:
		      veil_handshake_dequeue(vn, second, &peer);
		if (!skb)
			return;
		down_read(&vn->lock);
		veil_handshake_handle(peer, skb);
		up_read(&vn->lock);
		veil_peer_put(peer);
		cond_resched();
	}
	queue_work(veil_queues_of(vn->net)->all, work);
}

void veil_handshake_purge(struct veil_net *vn, struct sk_buff_head *queue)
{
	struct veil_peer *peer;
	struct sk_buff *skb;

	while ((skb = veil_handshake_dequeue(vn, queue, &peer))) {
		veil_peer_drop(peer, skb, VEIL_DROP_namespace_exit);
		veil_peer_put(peer);
	}
}

void veil_handshake_send_work(struct work_struct *work)
{
	struct veil_peer *peer = container_of(work, struct veil_peer, work);

	/* No ephemeral key before the generator is seeded. */
	wait_for_random_bytes();

	down_read(&peer->vn->lock);
	mutex_lock(&peer->handshake_lock);
	if (!peer->dead && !READ_ONCE(veil_asleep) && !veil_pairs_make(peer) &&
	    READ_ONCE(peer->handshaking) && peer->usable)
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
	peer->cookie_until = 0;
	memzero_explicit(peer->cookie, sizeof(peer->cookie));
	mutex_unlock(&peer->handshake_lock);
}
