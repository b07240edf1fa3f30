/* SPDX-License-Identifier: GPL-2.0 */
/* The responder's half of a handshake.  Process context, vn->lock read and
 * peer->handshake_lock held.
 */
#ifndef _VEIL_RESPONDER_H
#define _VEIL_RESPONDER_H

#include "addr.h"
#include "peer.h"

/* Answer an initiation, to that port; why it was dropped, or VEIL_DROPS. */
enum veil_drop veil_responder_handle(struct veil_peer *peer,
				     const struct veil_initiation *msg,
				     const struct veil_addr_pair *addrs,
				     u16 port);

/* Who an initiation to self says it is from, at the price of X25519. */
int veil_responder_identify(const struct veil_identity *self,
			    const struct veil_initiation *msg,
			    u8 public_key[VEIL_KEY_LEN]);

#endif /* _VEIL_RESPONDER_H */
