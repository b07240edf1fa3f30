/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where IPsec takes what goes by a route.
 */
#ifndef _VEIL_IPSEC_H
#define _VEIL_IPSEC_H

#include <net/xfrm.h>

/* end: who a packet is for, and then whom the outermost of its tunnels leads to, if
 * IPsec has some by dst.  The caller holds dst, or is under rcu_read_lock().
 */
static inline void veil_ipsec_end(const struct dst_entry *dst,
				  struct in6_addr *end)
{
	for (; dst && dst->xfrm; dst = xfrm_dst_child(dst)) {
		const struct xfrm_state *state = dst->xfrm;

		if (state->props.mode == XFRM_MODE_TRANSPORT)
			continue;
		if (state->props.family == AF_INET)
			ipv6_addr_set_v4mapped(state->id.daddr.a4, end);
		else
			*end = state->id.daddr.in6;
	}
}

#endif /* _VEIL_IPSEC_H */
