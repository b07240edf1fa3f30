/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sealing a TCP packet of many segments at once: they leave as one UDP packet of
 * as many segments, so that the stack is passed once.
 */
#ifndef _VEIL_SEAL_BATCH_H
#define _VEIL_SEAL_BATCH_H

#include "session.h"

/* Seal skb, a GSO packet whose segments fit their path, and send it; consumes it.
 * False: it is none for this way, and untouched.
 */
bool veil_seal_batch(struct veil_session *session, struct sk_buff *skb,
		     u16 lane);

#endif /* _VEIL_SEAL_BATCH_H */
