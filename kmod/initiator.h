/* SPDX-License-Identifier: GPL-2.0 */
/* The initiator's half of a handshake.  Process context, vn->lock read and
 * peer->handshake_lock held.
 */
#ifndef _VEIL_INITIATOR_H
#define _VEIL_INITIATOR_H

#include "addr.h"
#include "peer.h"

/* Send a fresh initiation in place of the outstanding one. */
void veil_initiator_send(struct veil_peer *peer);
/* Handle the answer; why it was dropped, or VEIL_DROPS. */
enum veil_drop veil_initiator_handle(struct veil_peer *peer,
				     const struct veil_response *msg,
				     const struct in6_addr *source, u16 port);
/* Keep the cookie that the answer holds, and go on soon with it. */
enum veil_drop veil_initiator_cookie(struct veil_peer *peer,
				     const struct veil_cookie_reply *msg);
/* Wipe the outstanding initiation. */
void veil_initiator_clear(struct veil_peer *peer);

/* It, or NULL. */
static inline struct veil_outstanding *
veil_initiator_own(const struct veil_peer *peer)
{
	return rcu_dereference_protected(peer->initiation,
					 lockdep_is_held(&peer->handshake_lock));
}

/* Whether a response from there may answer it: where a peer that roams is, it has to show,
 * or who lets our initiation through from elsewhere could have all that we send.  Under
 * rcu_read_lock() or peer->handshake_lock.
 */
bool veil_initiator_from(const struct veil_peer *peer,
			 const struct in6_addr *source, u16 port);

/* Whether it is so old that a retry would have taken its place.  Any context. */
bool veil_initiator_stale(const struct veil_peer *peer);

#endif /* _VEIL_INITIATOR_H */
