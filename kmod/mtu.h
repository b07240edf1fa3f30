/* SPDX-License-Identifier: GPL-2.0 */
/*
 * MTU arithmetic: what fits into an outer packet, and what a sender of inner
 * packets has to be told.  Pure.
 */
#ifndef _VEIL_MTU_H
#define _VEIL_MTU_H

#include <linux/types.h>

/* The least outer path MTU that an ICMP error may set (RFC 8200; RFC 791 hosts). */
#define VEIL_MTU_MIN_V4		576
#define VEIL_MTU_MIN_V6		1280

/* Largest inner packet whose sealed form fits an outer MTU, in transport mode
 * (one IP header on the wire) and in tunnel mode (outer header of the same or
 * the other family before the whole inner packet); 0 if none fits.
 */
unsigned int veil_mtu_transport(unsigned int outer_mtu);
unsigned int veil_mtu_tunnel(unsigned int outer_mtu, bool outer_ipv6);

/* What an ICMP "too big" makes of the outer MTU: clamped to the family's least
 * and never raised above the current one.
 */
unsigned int veil_mtu_lower(unsigned int current_mtu, unsigned int reported,
			    bool ipv6);

#endif /* _VEIL_MTU_H */
