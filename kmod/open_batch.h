/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Opening what UDP GRO joined: TCP segments go on as one TCP GSO packet, as if
 * TCP's GRO had joined them.
 */
#ifndef _VEIL_OPEN_BATCH_H
#define _VEIL_OPEN_BATCH_H

#include "open.h"

/* skb: several messages from an address of peer to one of ours, joined by UDP GRO;
 * transport header set.  Opens what is data in transport mode, lets it go on
 * behind the hook, and leaves the rest in odd, each for itself and not judged yet.
 * False: it is none for this way, and untouched.
 */
bool veil_open_batch(struct veil_peer *peer, struct sk_buff *skb,
		     const struct nf_hook_state *state,
		     struct sk_buff_head *odd);

#endif /* _VEIL_OPEN_BATCH_H */
