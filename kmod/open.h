/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Opening: a data packet becomes the inner packet, on the same skb.
 */
#ifndef _VEIL_OPEN_H
#define _VEIL_OPEN_H

#include "hooks.h"
#include "peer.h"

/* skb: a whole data packet from an address of peer to one of ours, its UDP
 * header checked, transport header set.  Returns a netfilter verdict: accepted,
 * it is the inner packet; otherwise skb was consumed.
 */
unsigned int veil_open(struct veil_peer *peer, struct sk_buff *skb,
		       const struct nf_hook_state *state);

#endif /* _VEIL_OPEN_H */
