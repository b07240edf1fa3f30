/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The way in: what comes from a peer's address, or for our port.
 */
#ifndef _VEIL_RX_H
#define _VEIL_RX_H

#include "hooks.h"
#include "peer.h"

/* Judge a packet at PRE_ROUTING; a netfilter verdict.  Softirq or process
 * context, under rcu_read_lock().
 */
unsigned int veil_rx(struct veil_net *vn, struct sk_buff *skb,
		     const struct nf_hook_state *state);

/* The same at LOCAL_IN, for what another hook made a packet for us. */
unsigned int veil_rx_local(struct veil_net *vn, struct sk_buff *skb,
			   const struct nf_hook_state *state);

/* And at FORWARD, for what is sent on to somebody else than it came for. */
unsigned int veil_rx_forward(struct veil_net *vn, struct sk_buff *skb);

/* Put an opened fragment to its others, which never meet any that came in clear;
 * whether skb is a whole packet now.  Otherwise it was consumed.
 */
bool veil_rx_gather_opened(struct veil_net *vn, struct sk_buff *skb);

/* Whether addr, where skb came in, is for one host.  Multicast and broadcast from
 * a peer are no business of ours (STACK B3).
 */
bool veil_rx_unicast(const struct veil_net *vn, const struct sk_buff *skb,
		     const struct in6_addr *addr);

/* Plaintext to or from a peer was dropped: say so, at most once a second. */
void veil_rx_plaintext(struct veil_peer *peer, struct sk_buff *skb,
		       enum veil_drop reason);

int veil_rx_init(void);
void veil_rx_exit(void);

#endif /* _VEIL_RX_H */
