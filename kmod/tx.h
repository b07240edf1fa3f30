/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The way out: from POST_ROUTING to a sealed packet on the device.
 *
 * All of this runs under rcu_read_lock() with bottom halves off, in process or
 * softirq context.
 */
#ifndef _VEIL_TX_H
#define _VEIL_TX_H

#include "peer.h"

struct sock;

/* A packet that the hook found to be protected.  Consumes skb; it leaves sealed or
 * not at all.  Under the rcu_read_lock() that peer was found under.  sk: who sent it,
 * of the hook's state.  between: see veil_tunnel_between().
 */
void veil_tx(struct veil_peer *peer, struct sock *sk, struct sk_buff *skb,
	     bool between);
/* okfn after the remaining hooks of POST_ROUTING: the same, when
 * some time may have gone by.
 */
int veil_tx_output(struct net *net, struct sock *sk, struct sk_buff *skb);
/* Under "prefer": whether packets for peer are to be sealed.  Otherwise they pass
 * in clear, and a handshake begins.
 */
bool veil_tx_prefers(struct veil_peer *peer);
/* An empty packet, also to confirm a session. */
void veil_tx_keepalive(struct veil_peer *peer);
/* Say goodbye: an empty packet with VEIL_DATA_CLOSE.  Process context; returns
 * when it is sent, also if the AEAD takes its time.
 */
void veil_tx_close(struct veil_peer *peer);
/* The queue goes out, if there is a session. */
void veil_tx_flush(struct veil_peer *peer);
/* Source address of the packet that has waited longest, if one waits. */
void veil_tx_waiting_source(struct veil_peer *peer, struct in6_addr *source);
/* Drop what has waited too long. */
void veil_tx_expire(struct veil_peer *peer);
void veil_tx_purge(struct veil_peer *peer, enum veil_drop reason);
/* We may seal under a new session: say so, and send what waited. */
void veil_tx_session_up(struct veil_peer *peer);

#endif /* _VEIL_TX_H */
