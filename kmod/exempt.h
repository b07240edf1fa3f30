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

/* The last stop of an IPv4 source route or IPv6 routing header, if there is one
 * still to be visited.
 */
bool veil_exempt_final(const struct sk_buff *skb, struct in6_addr *final);

#endif /* _VEIL_EXEMPT_H */
