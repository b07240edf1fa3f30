/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tunnel mode: a whole packet inside, between the two ends of the session or
 * between networks behind them; inner and outer family may differ.
 *
 * Under rcu_read_lock().
 */
#ifndef _VEIL_TUNNEL_H
#define _VEIL_TUNNEL_H

#include <net/dst.h>

#include "addr.h"
#include "drops.h"
#include "policy.h"
#include "session.h"

struct nf_hook_state;

/* Whether a packet to policy's peer is not one between the two hosts themselves:
 * it goes from one end of the session to the other, whatever its own addresses.
 */
bool veil_tunnel_between(struct veil_net *vn, const struct sk_buff *skb,
			 const struct veil_policy *policy,
			 const struct veil_addr_pair *addrs);

/* Route of outer packets from end to end of session, with a reference; NULL if
 * there is none.  place: where these ends are now.
 */
struct dst_entry *veil_tunnel_route(struct veil_session *session,
				    struct veil_place *place);

/* What an outer IP header says; dsfield as the inner packet's, df as well where it
 * is IPv4.
 */
struct veil_tunnel_header {
	const struct veil_addr_pair *addrs;
	u32 flow_label;
	__be16 df;
	u8 dsfield;
};

/* Write it to outer's network header; outer has its route. */
void veil_tunnel_header(struct sk_buff *outer,
			const struct veil_tunnel_header *header);

/* Whether the inner packet, opened behind the outer headers, may have come with their
 * ECN (RFC 6040).
 */
bool veil_tunnel_ecn_fits(const struct sk_buff *skb);
/* What an opened text holds, at skb->data; outer_protocol: of the packet that it
 * was in.  Trims skb to the inner packet and sets its protocol.
 */
int veil_tunnel_inner(struct veil_peer *peer, struct sk_buff *skb);
/* The packet that veil_tunnel_inner() took goes on, or any that a bridge's hook
 * opened: a netfilter verdict.
 */
unsigned int veil_tunnel_deliver(struct veil_net *vn, struct sk_buff *skb,
				 __be16 outer_protocol);

/* Consumes skb, which is received again by its device, or dropped.  sealed: for the
 * firewall's mark.  Under rcu_read_lock().
 */
void veil_tunnel_begin_anew(struct veil_net *vn, struct sk_buff *skb,
			    bool sealed);

/* At PRE_ROUTING: whether it began anew, in this namespace.  Takes our mark off, and
 * flags it as opened.
 */
bool veil_tunnel_returned(const struct veil_net *vn, struct sk_buff *skb);

int veil_tunnel_init(void);
void veil_tunnel_exit(void);

#endif /* _VEIL_TUNNEL_H */
