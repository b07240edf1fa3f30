/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Our own identities: the current one, the next one, and how the next takes the
 * current one's place.  Process context, vn->lock written if nothing else is said.
 */
#ifndef _VEIL_ROTATE_H
#define _VEIL_ROTATE_H

#include "net.h"

/* Complete this private key, or one made now if it is NULL; refuses a peer's, and
 * the other one that we are to have, if that is not NULL.
 */
int veil_rotate_make(struct veil_net *vn, const u8 *private,
		     const struct veil_identity *other,
		     struct veil_identity *identity,
		     struct netlink_ext_ack *extack);
/* Take it; origin: enum netveil_key_origin.  Ends all sessions and starts new
 * handshakes.  If it was the next one there is none from then on.
 */
void veil_rotate_set(struct veil_net *vn, const struct veil_identity *identity,
		     u8 origin);
/* Take it as the next one: peers may know us by either. */
void veil_rotate_set_next(struct veil_net *vn,
			  const struct veil_identity *identity, u8 origin);
/* Wipe the next one. */
void veil_rotate_drop_next(struct veil_net *vn);
/* That is refused while a peer is known to refuse the current one, if not forced. */
int veil_rotate_may_drop_next(struct veil_net *vn, bool force,
			      struct netlink_ext_ack *extack);
/* Whether this public key is our next one. */
bool veil_rotate_is_next(const struct veil_net *vn,
			 const u8 public_key[VEIL_KEY_LEN]);
/* Retiring is refused without a next one and, if it is to be now and is not forced,
 * while there is a peer that has had no session under it.
 */
int veil_rotate_may_retire(struct veil_net *vn, u32 seconds, bool force,
			   struct netlink_ext_ack *extack);
/* Wipe the current one, now or in so many seconds, and go on with the next. */
void veil_rotate_retire(struct veil_net *vn, u32 seconds);
/* Wipe both. */
void veil_rotate_forget(struct veil_net *vn);

/* Seconds until the current one is wiped; 0: no date is set. */
u32 veil_rotate_deadline(const struct veil_net *vn);
/* Whether this public key is one of ours.  vn->lock held. */
bool veil_rotate_is_own(const struct veil_net *vn,
			const u8 public_key[VEIL_KEY_LEN]);

/* Let veil_rotate_work() look at peers.  Any context. */
void veil_rotate_soon(struct veil_net *vn);
/* work_struct veil_net.rotate_work.work */
void veil_rotate_work(struct work_struct *work);

#endif /* _VEIL_ROTATE_H */
