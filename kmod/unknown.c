// SPDX-License-Identifier: GPL-2.0
/*
 * Initiations from unknown addresses; see the header.
 */
#include <crypto/algapi.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/random.h>

#include "addr.h"
#include "cookie.h"
#include "exchange.h"
#include "handshake.h"
#include "responder.h"
#include "roam.h"
#include "socket.h"
#include "unknown.h"

/* Messages that wait; an eighth of that is "under load". */
#define VEIL_UNKNOWN_MAX	256
/* Turns in a second, and after how many messages or how much time one ends: what
 * strangers can have us compute, whatever comes.  Of a slow CPU it is some 4 %.
 */
#define VEIL_UNKNOWN_TURNS	50
#define VEIL_UNKNOWN_BUDGET	10
#define VEIL_UNKNOWN_TIME	(500 * (u64)NSEC_PER_USEC)

/* Asked when a message comes and when it is handled: both may take a while. */
static bool veil_unknown_loaded(struct veil_unknown *unknown)
{
	unsigned long loaded = READ_ONCE(unknown->loaded);

	if (skb_queue_len_lockless(&unknown->queue) >= VEIL_UNKNOWN_MAX / 8) {
		WRITE_ONCE(unknown->loaded, (jiffies + HZ) | 1);
		return true;
	}
	return loaded && time_in_range_open(jiffies, loaded - HZ - 1, loaded);
}

static void veil_unknown_enqueue(struct veil_unknown *unknown,
				 struct sk_buff *skb)
{
	veil_unknown_loaded(unknown);
	if (skb_queue_len_lockless(&unknown->queue) >= VEIL_UNKNOWN_MAX) {
		veil_drop(unknown->vn, skb, VEIL_DROP_handshake_queue_full);
		return;
	}
	/* The worker wants its bytes alone. */
	skb_orphan(skb);
	skb_dst_drop(skb);
	skb_ext_reset(skb);
	skb->dev = NULL;
	skb_queue_tail(&unknown->queue, skb);
	queue_delayed_work(veil_queues_of(unknown->vn->net)->all,
			   &unknown->work, 0);
}

/* The roaming peer whose stamp msg bears, where there are few. */
static struct veil_peer *veil_unknown_stamped(struct veil_net *vn,
					      const struct veil_initiation *msg)
{
	struct veil_roamer *roamer;

	list_for_each_entry_rcu(roamer, &vn->roamers, list)
		if (veil_handshake_stamped(roamer->peer, msg))
			return roamer->peer;
	return NULL;
}

/* The same of those that were last heard where it comes from. */
static struct veil_peer *
veil_unknown_stamped_there(struct veil_net *vn, const struct sk_buff *skb,
			   const struct veil_initiation *msg)
{
	unsigned int tries = VEIL_STAMPS_MAX;
	struct rhlist_head *list, *place;
	struct veil_addr_pair addrs;
	struct veil_roamer *roamer;
	const struct udphdr *uh;

	uh = veil_addr_parse(skb, &addrs);
	list = veil_roam_at(vn, &addrs.source, ntohs(uh->source));
	rhl_for_each_entry_rcu(roamer, place, list, place) {
		if (veil_handshake_stamped(roamer->peer, msg))
			return roamer->peer;
		if (!--tries)
			break;
	}
	return NULL;
}

/* Nobody's stamp. */
static void veil_unknown_drop(struct veil_net *vn, struct veil_peer *peer,
			      struct sk_buff *skb)
{
	if (!peer)
		veil_drop(vn, skb, VEIL_DROP_stranger);
	else
		veil_peer_drop(peer, skb, READ_ONCE(peer->usable) ?
			       VEIL_DROP_bad_stamp : VEIL_DROP_no_key);
}

void veil_unknown_initiation(struct veil_net *vn, struct veil_peer *peer,
			     struct sk_buff *skb,
			     const struct veil_initiation *msg)
{
	struct veil_peer *roamer;
	bool few;

	if (!veil_handshake_well_formed(msg)) {
		veil_drop(vn, skb, VEIL_DROP_malformed);
		return;
	}
	/* Pairs with veil_roam_set(): whoever is counted has made vn->unknown. */
	few = smp_load_acquire(&vn->roamer_count) <= VEIL_STAMPS_MAX;
	roamer = few ? veil_unknown_stamped(vn, msg) :
		       veil_unknown_stamped_there(vn, skb, msg);
	if (roamer)
		veil_handshake_initiation(roamer, skb, msg);
	else if (few)
		veil_unknown_drop(vn, peer, skb);
	else
		veil_unknown_enqueue(vn->unknown, skb);
}

/* The cookie of a sender, with a secret that is not too old. */
static int veil_unknown_cookie(struct veil_unknown *unknown,
			       u8 cookie[VEIL_COOKIE_LEN],
			       const struct in6_addr *address, u16 port)
{
	u64 now = get_jiffies_64();
	int err;

	mutex_lock(&unknown->lock);
	if (!unknown->secret_born ||
	    now >= unknown->secret_born + VEIL_COOKIE_TIME * HZ) {
		get_random_bytes(unknown->secret, sizeof(unknown->secret));
		unknown->secret_born = now;
	}
	err = veil_cookie(cookie, unknown->secret, address->s6_addr, port);
	mutex_unlock(&unknown->lock);
	return err;
}

static bool veil_unknown_mac2_ok(const struct veil_initiation *msg,
				 const u8 cookie[VEIL_COOKIE_LEN])
{
	u8 mac2[VEIL_MAC_LEN];

	/* Zero is "I have no cookie". */
	if (!memchr_inv(msg->macs.mac2, 0, VEIL_MAC_LEN))
		return false;
	if (veil_mac2(mac2, cookie, msg,
		      offsetof(struct veil_initiation, macs.mac2)))
		return false;
	return !crypto_memneq(mac2, msg->macs.mac2, sizeof(mac2));
}

static void veil_unknown_reply(struct veil_net *vn,
			       const struct veil_identity *self,
			       const struct veil_initiation *msg,
			       const struct veil_addr_pair *addrs, u16 port,
			       const u8 cookie[VEIL_COOKIE_LEN])
{
	const struct veil_addr_pair back = {
		.source = addrs->destination,
		.destination = addrs->source,
	};
	struct veil_cookie_reply reply = {
		.type = VEIL_MSG_COOKIE,
		.receiver = msg->header.sender,
	};

	get_random_bytes(reply.salt, sizeof(reply.salt));
	if (veil_cookie_seal(&reply, self->public, msg->macs.mac1,
			     cookie))
		return;
	veil_socket_send(vn, &back, port, &reply, sizeof(reply));
}

/* Whether its sender gets what goes to its address; asks it to show that, if not. */
static bool veil_unknown_proven(struct veil_unknown *unknown,
				const struct veil_identity *self,
				const struct veil_initiation *msg,
				const struct veil_addr_pair *addrs, u16 port)
{
	u8 cookie[VEIL_COOKIE_LEN];
	bool proven;

	if (veil_unknown_cookie(unknown, cookie, &addrs->source, port))
		return false;
	proven = veil_unknown_mac2_ok(msg, cookie);
	if (!proven)
		veil_unknown_reply(unknown->vn, self, msg, addrs, port, cookie);
	memzero_explicit(cookie, sizeof(cookie));
	return proven;
}

static bool veil_unknown_for(const struct veil_identity *self, u8 origin,
			     const struct veil_initiation *msg)
{
	return origin != NETVEIL_KEY_NONE &&
	       veil_exchange_mac1_ok(self->public, msg,
				     offsetof(struct veil_initiation, macs));
}

/* Which of our keys msg was made for, by its mac1; NULL if none. */
static const struct veil_identity *
veil_unknown_ours(const struct veil_net *vn, const struct veil_initiation *msg)
{
	if (veil_unknown_for(&vn->identity, vn->origin, msg))
		return &vn->identity;
	if (veil_unknown_for(&vn->next_identity, vn->next_origin, msg))
		return &vn->next_identity;
	return NULL;
}

/* What to drop msg for; VEIL_DROPS to spend X25519 on it. */
static enum veil_drop veil_unknown_check(struct veil_unknown *unknown,
					 const struct veil_identity *self,
					 const struct veil_initiation *msg,
					 const struct veil_addr_pair *addrs,
					 u16 port)
{
	u64 now = ktime_get_coarse_boottime_ns();

	if (!self)
		return VEIL_DROP_bad_mac1;
	if (!veil_unknown_loaded(unknown) &&
	    veil_ratelimit_take(&unknown->claimed, addrs->source.s6_addr, now))
		return VEIL_DROPS;
	if (!veil_unknown_proven(unknown, self, msg, addrs, port))
		return VEIL_DROP_no_cookie;
	if (!veil_ratelimit_take(&unknown->proven, addrs->source.s6_addr, now))
		return VEIL_DROP_rate_limited;
	return VEIL_DROPS;
}

/* vn->lock is held. */
static void veil_unknown_handle(struct veil_unknown *unknown,
				struct sk_buff *skb)
{
	const struct veil_initiation *msg;
	const struct veil_identity *self;
	struct veil_net *vn = unknown->vn;
	struct veil_addr_pair addrs;
	const struct udphdr *uh;
	enum veil_drop reason;
	struct veil_peer *peer;
	u8 key[VEIL_KEY_LEN];

	uh = veil_addr_parse(skb, &addrs);
	msg = (const void *)(uh + 1);
	self = veil_unknown_ours(vn, msg);
	reason = veil_unknown_check(unknown, self, msg, &addrs,
				    ntohs(uh->source));
	if (reason != VEIL_DROPS) {
		veil_drop(vn, skb, reason);
		return;
	}
	peer = veil_responder_identify(self, msg, key) ? NULL :
	       veil_peer_find(vn, key);
	if (!peer || !peer->roaming || peer->policy == NETVEIL_POLICY_BYPASS) {
		veil_drop(vn, skb, VEIL_DROP_stranger);
		return;
	}
	/* From here on as from an address of the peer: stamp, time, its share. */
	rcu_read_lock();
	veil_handshake_initiation(peer, skb, msg);
	rcu_read_unlock();
}

static void veil_unknown_work(struct work_struct *work)
{
	struct veil_unknown *unknown =
		container_of(to_delayed_work(work), struct veil_unknown, work);
	unsigned int budget = VEIL_UNKNOWN_BUDGET;
	struct veil_net *vn = unknown->vn;
	u64 now = get_jiffies_64();
	struct sk_buff *skb;
	u64 end;

	wait_for_random_bytes();

	/* The hook may have queued it before its turn. */
	if (now < unknown->turn)
		budget = 0;
	else
		unknown->turn = now + HZ / VEIL_UNKNOWN_TURNS;
	end = ktime_get_ns() + VEIL_UNKNOWN_TIME;
	while (budget && (skb = skb_dequeue(&unknown->queue))) {
		down_read(&vn->lock);
		veil_unknown_handle(unknown, skb);
		up_read(&vn->lock);
		budget = ktime_get_ns() < end ? budget - 1 : 0;
		cond_resched();
	}
	if (!skb_queue_empty_lockless(&unknown->queue))
		queue_delayed_work(veil_queues_of(vn->net)->all,
				   &unknown->work,
				   max_t(s64, unknown->turn - get_jiffies_64(), 0));
}

int veil_unknown_init(struct veil_net *vn)
{
	struct veil_unknown *unknown;
	int err;

	if (vn->unknown)
		return 0;
	unknown = kvzalloc(sizeof(*unknown), GFP_KERNEL_ACCOUNT);
	if (!unknown)
		return -ENOMEM;
	err = veil_roam_init(&unknown->places);
	if (err) {
		kvfree(unknown);
		return err;
	}
	unknown->vn = vn;
	skb_queue_head_init(&unknown->queue);
	INIT_DELAYED_WORK(&unknown->work, veil_unknown_work);
	mutex_init(&unknown->lock);
	get_random_bytes(&unknown->claimed.key, sizeof(unknown->claimed.key));
	get_random_bytes(&unknown->proven.key, sizeof(unknown->proven.key));
	unknown->turn = get_jiffies_64();
	vn->unknown = unknown;
	return 0;
}

void veil_unknown_forget(struct veil_net *vn)
{
	struct veil_unknown *unknown = vn->unknown;

	if (!unknown)
		return;
	mutex_lock(&unknown->lock);
	memzero_explicit(unknown->secret, sizeof(unknown->secret));
	unknown->secret_born = 0;
	mutex_unlock(&unknown->lock);
}

void veil_unknown_exit(struct veil_net *vn)
{
	struct veil_unknown *unknown = vn->unknown;

	if (!unknown)
		return;
	cancel_delayed_work_sync(&unknown->work);
	skb_queue_purge(&unknown->queue);
	/* All roaming peers are gone. */
	rhltable_destroy(&unknown->places);
	memzero_explicit(unknown->secret, sizeof(unknown->secret));
	kvfree(unknown);
	vn->unknown = NULL;
}
