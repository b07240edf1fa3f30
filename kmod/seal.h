/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sealing: an inner packet becomes one outer packet for each of its segments.
 *
 * Under rcu_read_lock() with bottom halves off.
 */
#ifndef _VEIL_SEAL_H
#define _VEIL_SEAL_H

#include "session.h"

/* How a packet is carried. */
enum veil_mode {
	VEIL_TRANSPORT,		/* its IP header stays */
	VEIL_TUNNEL_HOSTS,	/* whole, between the addresses that it has */
	VEIL_TUNNEL,		/* whole, from end to end of the session */
};

/* Seal skb and send it, maybe later; consumes it.  between: see
 * veil_tunnel_between().
 */
void veil_seal(struct veil_session *session, struct sk_buff *skb, bool between);
/* The same for an empty text to where the handshake was; flags: VEIL_DATA_CLOSE
 * or 0.
 */
void veil_seal_keepalive(struct veil_session *session, u8 flags);
/* The same to place, with a token of VEIL_TOKEN_LEN bytes as text, or NULL. */
void veil_seal_control(struct veil_session *session,
		       const struct veil_place *place, u8 flags,
		       const u8 *token);

/* Outer headers are at skb's data, the UDP header behind hlen bytes: forget what
 * skb was before.
 */
void veil_seal_reset(struct sk_buff *skb, unsigned int hlen);
/* The socket that pays for skb pays for outer from now on (STACK B4). */
void veil_seal_move_owner(struct sk_buff *outer, struct sk_buff *skb);
/* Or for outer as well. */
void veil_seal_share_owner(struct sk_buff *outer, const struct sk_buff *skb);

/* Whether the outer packet goes where the session is, not where skb goes. */
static inline bool veil_seal_tunnels(const struct veil_session *session,
				     bool between)
{
	return between || !session->transport;
}

enum veil_mode veil_seal_mode(const struct veil_session *session,
			      const struct sk_buff *skb, bool between);

/* Whether protocol may follow the IP header of a transport packet. */
bool veil_seal_next_header_ok(u8 protocol);

void veil_seal_init(void);

#endif /* _VEIL_SEAL_H */
