// SPDX-License-Identifier: GPL-2.0
/*
 * MTU arithmetic of both modes.
 */
#include "mtu.h"

#include <linux/limits.h>
#include <linux/minmax.h>
#include "messages.h"

#define VEIL_IPV4_LEN	20
#define VEIL_IPV6_LEN	40

/* Loopback and others say more, but a length field of IP or UDP ends there. */
static unsigned int veil_mtu_less(unsigned int outer_mtu, unsigned int overhead)
{
	outer_mtu = min_t(unsigned int, outer_mtu, U16_MAX);
	if (outer_mtu < overhead + VEIL_IPV4_LEN)
		return 0;
	return outer_mtu - overhead;
}

unsigned int veil_mtu_transport(unsigned int outer_mtu)
{
	return veil_mtu_less(outer_mtu, VEIL_TRANSPORT_OVERHEAD);
}

unsigned int veil_mtu_tunnel(unsigned int outer_mtu, bool outer_ipv6)
{
	unsigned int ip = outer_ipv6 ? VEIL_IPV6_LEN : VEIL_IPV4_LEN;

	return veil_mtu_less(outer_mtu, ip + VEIL_TUNNEL_OVERHEAD);
}

unsigned int veil_mtu_lower(unsigned int current_mtu, unsigned int reported,
			    bool ipv6)
{
	unsigned int least = ipv6 ? VEIL_MTU_MIN_V6 : VEIL_MTU_MIN_V4;

	return min(current_mtu, max(reported, least));
}
