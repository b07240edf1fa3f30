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

/* Let peer roam, or no longer; vn->lock written.  Its sessions have ended or end
 * next.
 */
int veil_roam_set(struct veil_peer *peer, bool roaming);
/* It is removed. */
void veil_roam_unlink(struct veil_peer *peer);

/* peer takes over from known, and is where that one was heard, unless it was given
 * another place.  vn->lock written.
 */
void veil_roam_inherit(struct veil_peer *peer, struct veil_peer *known);

/* Where handshakes to peer go; -ENOENT when that is not known. */
int veil_roam_endpoint(struct veil_peer *peer, struct in6_addr *address,
		       u16 *port);

/* All below: under rcu_read_lock(), from the packet path.  place: where a packet
 * came from, and to.
 *
 * session was confirmed: its handshake has proven where peer is.
 */
void veil_roam_confirmed(struct veil_session *session);
/* A packet opened, the newest of its lane. */
void veil_roam_seen(struct veil_session *session,
		    const struct veil_place *place);
/* A challenge (of the other end's: it goes back the way it came) or an echo of
 * ours opened.
 */
void veil_roam_token(struct veil_session *session,
		     const struct veil_place *place, u8 flags,
		     const u8 token[VEIL_TOKEN_LEN]);

/* The ends to send from and to now: if we roam, our own is what the route has. */
struct veil_ends *veil_roam_ends(struct veil_session *session);

#endif /* _VEIL_ROAM_H */
