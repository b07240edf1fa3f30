/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Opening: a data packet becomes the inner packet, on the same skb.
 */
#ifndef _VEIL_OPEN_H
#define _VEIL_OPEN_H

#include <linux/ipv6.h>
#include <net/ip.h>

#include "hooks.h"
#include "peer.h"

/* skb: a whole data packet from an address of peer to one of ours, its UDP
 * header checked, transport header set.  Returns a netfilter verdict: accepted,
 * it is the inner packet; otherwise skb was consumed.
 */
unsigned int veil_open(struct veil_peer *peer, struct sk_buff *skb,
		       const struct nf_hook_state *state);

/* Opened packets bear this in the flags of IPCB or IP6CB, whose own end below
 * it, from PRE_ROUTING to LOCAL_IN or FORWARD: what comes there with a peer's
 * source and without it, nobody has judged.
 */
#define VEIL_OPENED	BIT(15)

static inline bool veil_opened(const struct sk_buff *skb)
{
	return (skb->protocol == htons(ETH_P_IP) ? IPCB(skb)->flags :
		IP6CB(skb)->flags) & VEIL_OPENED;
}

#endif /* _VEIL_OPEN_H */
