/* SPDX-License-Identifier: GPL-2.0 */
/* What both halves of a handshake share.  Process context, vn->lock read and
 * peer->handshake_lock held.
 */
#ifndef _VEIL_EXCHANGE_H
#define _VEIL_EXCHANGE_H

#include "session.h"

/* Whether mac1, which follows the len bytes at msg, is right for the owner of
 * the public key.
 */
bool veil_exchange_mac1_ok(const u8 public_key[VEIL_KEY_LEN], const void *msg,
			   size_t len);
/* Whether a session of the pair at place, with psk, would rotate keys. */
bool veil_exchange_rotates(const struct veil_peer *peer, int place,
			   const struct veil_psk *psk);
/* Flags for the other end's payload. */
u8 veil_exchange_flags(const struct veil_peer *peer);
/* Split, derive the data keys and set them.  Wipes noise. */
int veil_exchange_keys(struct veil_session *session, struct veil_noise *noise,
		       const struct veil_response_header *header);
/* Put the session into its slot and go on with what waited for it. */
void veil_exchange_install(struct veil_peer *peer,
			   struct veil_session *session);

#endif /* _VEIL_EXCHANGE_H */
