/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What passes in clear (PROTOCOL section 5), and what hides its destination.
 */
#ifndef _VEIL_EXEMPT_H
#define _VEIL_EXEMPT_H

#include <linux/skbuff.h>
#include <linux/in6.h>

/* Neighbour discovery and MLD, by the exact rule, in either direction; offset:
 * of the IP header.
 */
bool veil_exempt_neighbour(const struct sk_buff *skb, unsigned int offset);

/* Neighbour discovery and MLD as the stack takes them: skb is IPv6, and any headers
 * may come before.
 */
bool veil_exempt_discovery(const struct sk_buff *skb);

/* A walk over what sends a packet elsewhere than its destination says: begins as
 * zeros.
 */
struct veil_final {
	struct in6_addr addr;	/* what was found last */
	unsigned int offset;	/* where to go on, and for IPv6 with what */
	u8 type;
};

/* The last stop of the next IPv4 source route or IPv6 routing header with one still
 * to be visited: there, the packet goes by the one behind it.
 */
bool veil_exempt_final(const struct sk_buff *skb, struct veil_final *final);

#endif /* _VEIL_EXEMPT_H */
