/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Peers that roam (PROTOCOL section 8.6): an authentic packet from a new place
 * makes us send a challenge there, and only its echo from there moves the peer's
 * endpoint.  Until then the old one serves.
 *
 * The moving end needs no challenge: who it talks to stays where it is.
 */
#ifndef _VEIL_ROAM_H
#define _VEIL_ROAM_H

#include "addr.h"
#include "session.h"

/* What a peer that roams has to echo from there; peer->lock. */
struct veil_challenge {
	struct veil_place place;
	u8 token[VEIL_TOKEN_LEN];
	unsigned long sent;		/* jiffies | 1; 0: nothing to echo */
};

/* An address and a port of a peer's; a key, up to its last member. */
struct veil_endpoint {
	struct in6_addr address;
	u16 port;
};

/* Places where a peer may be lost; a power of two. */
#define VEIL_ROAM_LOST	8

/**
 * struct veil_roamer - what a peer has that roams or has roamed
 * @peer: whose; freed with it, behind RCU
 * @list: veil_net.roamers, while it roams
 * @place: veil_unknown.places, while @placed
 * @placed: it is there, by @endpoint; peer->lock
 * @heard: where the peer is has been heard since it roams; "
 * @endpoint: copy of the peer's; "
 * @challenge: of a place where it may be now; "
 * @lost: where its stale initiations came from, as after its clock went back and it has
 *	moved; port 0: nowhere. Each at a place that its address chooses, so that no other
 *	address can keep the peer's out; "
 */
struct veil_roamer {
	struct veil_peer *peer;
	struct list_head list;
	struct rhlist_head place;
	bool placed;
	bool heard;
	struct veil_endpoint endpoint;
	struct veil_challenge challenge;
	struct veil_endpoint lost[VEIL_ROAM_LOST];
};

int veil_roam_init(struct rhltable *places);

/* What peer needs to roam; vn->lock written, as below. */
int veil_roam_make(struct veil_peer *peer);
/* Let peer roam, with that, or no longer.  Its sessions have ended or end next. */
void veil_roam_set(struct veil_peer *peer, bool roaming);
/* It is removed. */
void veil_roam_unlink(struct veil_peer *peer);
/* Its endpoint was set; peer->lock held. */
void veil_roam_place(struct veil_peer *peer);

/* Those whose endpoint this is, where some peer roams: struct veil_roamer's place.
 * Who walks along it makes sure that what was found there is meant, for they move.
 * Under rcu_read_lock().
 */
struct rhlist_head *veil_roam_at(struct veil_net *vn,
				 const struct in6_addr *address, u16 port);

/* peer takes over from known, and is where that one was heard, if it was: the place
 * that a file has given it may be one of long ago.  vn->lock written.
 */
void veil_roam_inherit(struct veil_peer *peer, struct veil_peer *known);

/* Where peer is, as far as is known; -ENOENT when it is not. */
int veil_roam_endpoint(struct veil_peer *peer, struct in6_addr *address,
		       u16 *port);
/* Whether there is any place to send one to; peer->lock held. */
bool veil_roam_reachable(const struct veil_peer *peer);
/* Where the next initiation goes.  After the first of a series it may be where peer was
 * lost, which somebody who repeats an old initiation can choose: now and then only.
 */
int veil_roam_target(struct veil_peer *peer, struct in6_addr *address,
		     u16 *port);
/* A stale initiation of peer's came from there, with nothing heard of it. */
void veil_roam_lost(struct veil_peer *peer, const struct in6_addr *address,
		    u16 port);
/* The search is over; peer->lock held. */
void veil_roam_found(struct veil_peer *peer);

/* All below: under rcu_read_lock(), from the packet path.  place: where a packet
 * came from, and to.
 *
 * session was confirmed: its handshake has proven where peer is.
 */
void veil_roam_confirmed(struct veil_session *session);
/* A packet opened, the newest of its lane. */
void veil_roam_seen(struct veil_session *session,
		    const struct veil_place *place);
/* A challenge (of the other end's: the echo goes to where that is known to be, as the
 * way that the challenge came is anybody's to write) or an echo of ours opened.
 */
void veil_roam_token(struct veil_session *session,
		     const struct veil_place *place, u8 flags,
		     const u8 token[VEIL_TOKEN_LEN]);

/* The ends to send from and to now: if we roam, our own is what the route has. */
struct veil_ends *veil_roam_ends(struct veil_session *session);

#endif /* _VEIL_ROAM_H */
