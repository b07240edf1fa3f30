// SPDX-License-Identifier: GPL-2.0
/*
 * Peers that roam, and where they are; see the header.
 */
#include <crypto/algapi.h>
#include <linux/jhash.h>
#include <linux/once.h>
#include <linux/random.h>
#include <linux/rculist.h>

#include "handshake.h"
#include "netlink.h"
#include "pair.h"
#include "pmtu.h"
#include "roam.h"
#include "seal.h"
#include "socket.h"
#include "unknown.h"

/* Seconds between challenges of one peer, so that copies of packets that come
 * from anywhere draw no more than these; and for how long one may be echoed.
 */
#define VEIL_ROAM_CHALLENGE	1
#define VEIL_ROAM_ECHO		5
/* Seconds for which an address has its place among those where a peer may be lost. */
#define VEIL_ROAM_MEET		8

/* By proven endpoints: no stranger has a say in how long a chain gets. */
static const struct rhashtable_params veil_roam_params = {
	.key_len = offsetofend(struct veil_endpoint, port),
	.key_offset = offsetof(struct veil_roamer, endpoint),
	.head_offset = offsetof(struct veil_roamer, place),
	.automatic_shrinking = true,
};

int veil_roam_init(struct rhltable *places)
{
	return rhltable_init(places, &veil_roam_params);
}

struct rhlist_head *veil_roam_at(struct veil_net *vn,
				 const struct in6_addr *address, u16 port)
{
	const struct veil_endpoint endpoint = {
		.address = *address,
		.port = port,
	};

	return rhltable_lookup(&vn->unknown->places, &endpoint,
			       veil_roam_params);
}

void veil_roam_place(struct veil_peer *peer)
{
	struct veil_roamer *roamer = peer->roamer;
	struct rhltable *places;

	lockdep_assert_held(&peer->lock);
	if (!roamer)
		return;
	if (roamer->placed && peer->roaming &&
	    roamer->endpoint.port == peer->port &&
	    ipv6_addr_equal(&roamer->endpoint.address, &peer->endpoint))
		return;
	places = &peer->vn->unknown->places;
	if (roamer->placed)
		rhltable_remove(places, &roamer->place, veil_roam_params);
	roamer->placed = false;
	if (!peer->roaming || ipv6_addr_any(&peer->endpoint))
		return;
	roamer->endpoint.address = peer->endpoint;
	roamer->endpoint.port = peer->port;
	/* Without memory it is as one that was not heard yet. */
	roamer->placed = !rhltable_insert(places, &roamer->place,
					  veil_roam_params);
}

int veil_roam_make(struct veil_peer *peer)
{
	struct veil_roamer *roamer;
	int err = veil_unknown_init(peer->vn);

	if (err || peer->roamer)
		return err;
	roamer = kzalloc(sizeof(*roamer), GFP_KERNEL_ACCOUNT);
	if (!roamer)
		return -ENOMEM;
	roamer->peer = peer;
	spin_lock_bh(&peer->lock);
	peer->roamer = roamer;
	spin_unlock_bh(&peer->lock);
	return 0;
}

void veil_roam_set(struct veil_peer *peer, bool roaming)
{
	struct veil_net *vn = peer->vn;

	if (roaming == peer->roaming)
		return;
	if (!roaming) {
		veil_roam_unlink(peer);
		/* It may be put into the list again. */
		synchronize_net();
		return;
	}
	/* The hook goes by its stamps alone; as in veil_rotate_pairs(). */
	if (veil_pairs_make(peer))
		veil_handshake_queue(peer);
	spin_lock_bh(&peer->lock);
	memset(&peer->endpoint, 0, sizeof(peer->endpoint));
	peer->roamer->heard = false;
	veil_roam_found(peer);
	spin_unlock_bh(&peer->lock);
	WRITE_ONCE(peer->roaming, true);
	list_add_tail_rcu(&peer->roamer->list, &vn->roamers);
	/* Pairs with veil_unknown_initiation(). */
	smp_store_release(&vn->roamer_count, vn->roamer_count + 1);
}

void veil_roam_unlink(struct veil_peer *peer)
{
	struct veil_net *vn = peer->vn;

	if (!peer->roaming)
		return;
	spin_lock_bh(&peer->lock);
	WRITE_ONCE(peer->roaming, false);
	veil_roam_place(peer);
	spin_unlock_bh(&peer->lock);
	WRITE_ONCE(vn->roamer_count, vn->roamer_count - 1);
	list_del_rcu(&peer->roamer->list);
}

void veil_roam_inherit(struct veil_peer *peer, struct veil_peer *known)
{
	struct in6_addr address;
	bool heard;
	u16 port;

	if (!peer->roaming || !known->roaming)
		return;
	spin_lock_bh(&known->lock);
	address = known->endpoint;
	port = known->port;
	heard = known->roamer->heard;
	spin_unlock_bh(&known->lock);
	if (ipv6_addr_any(&address))
		return;
	spin_lock_bh(&peer->lock);
	if (heard || ipv6_addr_any(&peer->endpoint)) {
		peer->endpoint = address;
		WRITE_ONCE(peer->port, port);
		peer->roamer->heard = heard;
		veil_roam_place(peer);
	}
	spin_unlock_bh(&peer->lock);
}

int veil_roam_endpoint(struct veil_peer *peer, struct in6_addr *address,
		       u16 *port)
{
	spin_lock_bh(&peer->lock);
	*address = peer->endpoint;
	*port = peer->port;
	spin_unlock_bh(&peer->lock);
	return ipv6_addr_any(address) ? -ENOENT : 0;
}

/* One of the places where it was lost, at random; NULL: it was nowhere. */
static const struct veil_endpoint *
veil_roam_any_lost(const struct veil_peer *peer)
{
	const struct veil_endpoint *lost = peer->roamer->lost;
	const struct veil_endpoint *found = NULL;
	unsigned int i, count = 0;

	lockdep_assert_held(&peer->lock);
	for (i = 0; i < VEIL_ROAM_LOST; i++)
		if (lost[i].port && !get_random_u32_below(++count))
			found = &lost[i];
	return found;
}

bool veil_roam_reachable(const struct veil_peer *peer)
{
	lockdep_assert_held(&peer->lock);
	return !ipv6_addr_any(&peer->endpoint) ||
	       (peer->roaming && veil_roam_any_lost(peer));
}

int veil_roam_target(struct veil_peer *peer, struct in6_addr *address,
		     u16 *port)
{
	int err = veil_roam_endpoint(peer, address, port);
	const struct veil_endpoint *lost;

	/* At random: pairs of keys take turns already. */
	if (!READ_ONCE(peer->roaming) ||
	    (!err && (!READ_ONCE(peer->attempts) || get_random_u32_below(2))))
		return err;
	spin_lock_bh(&peer->lock);
	lost = veil_roam_any_lost(peer);
	if (lost) {
		*address = lost->address;
		*port = lost->port;
		err = 0;
	}
	spin_unlock_bh(&peer->lock);
	return err;
}

void veil_roam_lost(struct veil_peer *peer, const struct in6_addr *address,
		    u16 port)
{
	static u32 seed __read_mostly;
	/* Of IPv6 as much as one network has. */
	unsigned int words = veil_addr_is_v4(address) ? 4 : 2;
	struct veil_endpoint *lost;
	u32 hash;

	if (!READ_ONCE(peer->roaming))
		return;
	get_random_once(&seed, sizeof(seed));
	/* Two that meet do so for a while only. */
	hash = jhash2((__force const u32 *)address->s6_addr32, words,
		      seed + jiffies / (VEIL_ROAM_MEET * HZ));
	spin_lock_bh(&peer->lock);
	lost = &peer->roamer->lost[hash % VEIL_ROAM_LOST];
	lost->address = *address;
	lost->port = port;
	spin_unlock_bh(&peer->lock);
}

void veil_roam_found(struct veil_peer *peer)
{
	lockdep_assert_held(&peer->lock);
	if (peer->roamer)
		memset(peer->roamer->lost, 0, sizeof(peer->roamer->lost));
}

static bool veil_roam_same(const struct veil_place *one,
			   const struct veil_place *other)
{
	return one->port == other->port &&
	       ipv6_addr_equal(&one->remote, &other->remote) &&
	       ipv6_addr_equal(&one->local, &other->local);
}

static void veil_roam_settle(struct veil_peer *peer,
			     const struct veil_place *place)
{
	lockdep_assert_held(&peer->lock);
	peer->roamer->challenge.sent = 0;
	if (peer->port != place->port ||
	    !ipv6_addr_equal(&peer->endpoint, &place->remote)) {
		peer->endpoint = place->remote;
		WRITE_ONCE(peer->port, place->port);
		veil_pmtu_forget(peer);
	}
	peer->roamer->heard = true;
	veil_roam_found(peer);
	veil_roam_place(peer);
}

/* Nothing is sealed under the others, nor is an end moved by them. */
static bool veil_roam_current(const struct veil_session *session)
{
	return rcu_access_pointer(session->peer->current_session) == session;
}

void veil_roam_confirmed(struct veil_session *session)
{
	struct veil_peer *peer = session->peer;

	if (!READ_ONCE(peer->roaming))
		return;
	spin_lock_bh(&peer->lock);
	if (veil_roam_current(session))
		veil_roam_settle(peer, &rcu_dereference(session->ends)->place);
	spin_unlock_bh(&peer->lock);
}

/* Whether a challenge is due for this place; it is noted then. */
static bool veil_roam_challenge(struct veil_peer *peer,
				const struct veil_place *place,
				u8 token[VEIL_TOKEN_LEN])
{
	struct veil_challenge *challenge;
	unsigned long now = jiffies | 1;
	bool due;

	spin_lock_bh(&peer->lock);
	challenge = &peer->roamer->challenge;
	due = !challenge->sent ||
	      !time_in_range_open(now, challenge->sent, challenge->sent +
				  VEIL_ROAM_CHALLENGE * HZ);
	if (due) {
		get_random_bytes(token, VEIL_TOKEN_LEN);
		challenge->place = *place;
		challenge->sent = now;
		memcpy(challenge->token, token, VEIL_TOKEN_LEN);
	}
	spin_unlock_bh(&peer->lock);
	return due;
}

void veil_roam_seen(struct veil_session *session,
		    const struct veil_place *place)
{
	struct veil_peer *peer = session->peer;
	u8 token[VEIL_TOKEN_LEN];

	if (!READ_ONCE(peer->roaming) ||
	    veil_roam_same(&rcu_dereference(session->ends)->place, place) ||
	    !veil_roam_current(session))
		return;
	if (veil_roam_challenge(peer, place, token))
		veil_seal_control(session, place, VEIL_DATA_CHALLENGE, token);
}

/* Whether this is the echo of what was sent there. */
static bool veil_roam_proven(const struct veil_challenge *challenge,
			     const struct veil_place *place,
			     const u8 token[VEIL_TOKEN_LEN])
{
	return challenge->sent &&
	       time_before(jiffies, challenge->sent + VEIL_ROAM_ECHO * HZ) &&
	       veil_roam_same(&challenge->place, place) &&
	       !crypto_memneq(challenge->token, token, VEIL_TOKEN_LEN);
}

static void veil_roam_move(struct veil_session *session,
			   const struct veil_place *place,
			   const u8 token[VEIL_TOKEN_LEN])
{
	struct veil_peer *peer = session->peer;
	struct veil_ends *ends, *old = NULL;

	/* Without memory it stays where it was, and is challenged again. */
	ends = veil_ends_alloc(peer, place,
			       rcu_dereference(session->ends)->domain,
			       GFP_ATOMIC);
	if (!ends)
		return;
	spin_lock_bh(&peer->lock);
	if (veil_roam_current(session) &&
	    veil_roam_proven(&peer->roamer->challenge, place, token)) {
		veil_roam_settle(peer, place);
		old = rcu_replace_pointer(session->ends, ends,
					  lockdep_is_held(&peer->lock));
	}
	spin_unlock_bh(&peer->lock);
	if (!old) {
		veil_ends_free(ends);
		return;
	}
	veil_ends_free(old);
	/* The path begins elsewhere, where only our own address is another. */
	veil_pmtu_forget(peer);
	veil_netlink_event(peer->vn, NETVEIL_EVENT_MOVED,
			   READ_ONCE(peer->public_key));
}

void veil_roam_token(struct veil_session *session,
		     const struct veil_place *place, u8 flags,
		     const u8 token[VEIL_TOKEN_LEN])
{
	if (!veil_roam_current(session))
		return;
	if (flags & VEIL_DATA_CHALLENGE)
		veil_seal_control(session, &veil_roam_ends(session)->place,
				  VEIL_DATA_ECHO, token);
	else if (READ_ONCE(session->peer->roaming))
		veil_roam_move(session, place, token);
}

struct veil_ends *veil_roam_ends(struct veil_session *session)
{
	struct veil_ends *ends = rcu_dereference(session->ends);
	struct veil_place place = ends->place;
	struct veil_peer *peer = session->peer;
	struct veil_addr_pair addrs = { .destination = place.remote };
	struct veil_ends *moved, *now;
	struct dst_entry *dst;
	int domain;

	if (!session->moves)
		return ends;
	domain = veil_socket_domain(peer->vn->net, &place.local, ends->domain);
	dst = veil_socket_dst(peer->vn, &addrs, domain,
			      READ_ONCE(peer->vn->port), place.port);
	if (IS_ERR(dst))
		return ends;
	dst_release(dst);
	if (ipv6_addr_equal(&addrs.source, &place.local))
		return ends;
	place.local = addrs.source;
	moved = veil_ends_alloc(peer, &place, domain, GFP_ATOMIC);
	if (!moved)
		return ends;
	spin_lock_bh(&peer->lock);
	now = rcu_dereference_protected(session->ends,
					lockdep_is_held(&peer->lock));
	/* The other end may have moved, or another CPU noticed this, meanwhile. */
	if (now == ends)
		rcu_assign_pointer(session->ends, moved);
	spin_unlock_bh(&peer->lock);
	if (now != ends) {
		veil_ends_free(moved);
		return now;
	}
	/* A reader may have it still, and so may the caller. */
	veil_ends_free(ends);
	return moved;
}
