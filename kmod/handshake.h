/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Handshakes: initiations and responses as messages, and what they do to a
 * peer's sessions.  Noise itself is in noise.c.
 */
#ifndef _VEIL_HANDSHAKE_H
#define _VEIL_HANDSHAKE_H

#include "peer.h"

/* Begin a series of initiations, unless one is going on or the last one went
 * out less than VEIL_RETRY_TIME ago.  Any context but hard irq.
 */
void veil_handshake_start(struct veil_peer *peer);
/* The same for a peer from whose address data with an unknown index came.  From the
 * packet path.
 */
void veil_handshake_unknown(struct veil_peer *peer);
/* Time until the next initiation of a series, with jitter. */
unsigned long veil_handshake_delay(void);
/* Let the peer's worker send the next initiation, or wipe the outstanding one
 * when the series is over.  Any context.
 */
void veil_handshake_queue(struct veil_peer *peer);
/* The next initiation of the series that goes on is sent by then.  Any context. */
void veil_handshake_soon(struct veil_peer *peer, unsigned long when);
/* Forget the outstanding initiation.  Process context, vn->lock held. */
void veil_handshake_cancel(struct veil_peer *peer);

/* The tracepoint, for callers without peer->lock.  Any context. */
void veil_handshake_trace(struct veil_peer *peer, const char *step);

/* An initiation's clear header, and its stamp. */
bool veil_handshake_well_formed(const struct veil_initiation *msg);
bool veil_handshake_stamped(const struct veil_peer *peer,
			    const struct veil_initiation *msg);
/* Whether no stamp of peer can be told yet: the worker is to make its pairs. */
bool veil_handshake_unjudged(const struct veil_peer *peer);

/* From the hook, skb linear at its IP header and UDP length checked; consume
 * skb.  An initiation from an address of peer: drop at the cost of one SipHash
 * what peer has not sent just now.
 */
void veil_handshake_initiation(struct veil_peer *peer, struct sk_buff *skb,
			       const struct veil_initiation *msg);
void veil_handshake_response(struct veil_peer *peer, struct sk_buff *skb,
			     const struct veil_response *msg);
void veil_handshake_cookie(struct veil_peer *peer, struct sk_buff *skb,
			   const struct veil_cookie_reply *msg);

/* work_struct veil_net.handshake_work */
void veil_handshake_work(struct work_struct *work);
/* Drop what waits for it, at the end of a namespace. */
void veil_handshake_purge(struct veil_net *vn, struct sk_buff_head *queue);
/* work_struct veil_peer.work */
void veil_handshake_send_work(struct work_struct *work);

#endif /* _VEIL_HANDSHAKE_H */
