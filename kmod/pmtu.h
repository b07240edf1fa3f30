/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Path MTU.  Inner and outer packets share their route, so its MTU is the inner
 * one; the outer one belongs to the peer (STACK A2).
 */
#ifndef _VEIL_PMTU_H
#define _VEIL_PMTU_H

#include <net/dst.h>
#include <net/lwtunnel.h>

#include "compat.h"
#include "seal.h"

/* MTU of the path that outer packets take by dst: not dst's own, which anybody's ICMP
 * errors lower, unless IPsec is to take its part of it.
 */
static inline unsigned int veil_pmtu_path(const struct veil_peer *peer,
					  const struct dst_entry *dst,
					  bool ipv6)
{
	const struct veil_path *path = &peer->paths[ipv6];
	unsigned int mtu = READ_ONCE(veil_dst_dev(dst)->mtu);
	unsigned int known = READ_ONCE(path->mtu);

	mtu -= lwtunnel_headroom(dst->lwtstate, mtu);
	if (unlikely(dst_xfrm(dst)))
		mtu = min(mtu, dst_mtu(dst));
	/* Paths change: what was learned is good for ten minutes, as in IP. */
	if (known && time_before(jiffies, READ_ONCE(path->until)))
		return min(mtu, known);
	return mtu;
}

/* The same for an outer packet. */
static inline unsigned int veil_pmtu_outer(const struct veil_peer *peer,
					   const struct sk_buff *outer)
{
	return veil_pmtu_path(peer, skb_dst(outer),
			      outer->protocol == htons(ETH_P_IPV6));
}

/* The peer is elsewhere: what was learned of another path's MTU is not this one's. */
static inline void veil_pmtu_forget(struct veil_peer *peer)
{
	WRITE_ONCE(peer->paths[0].mtu, 0);
	WRITE_ONCE(peer->paths[1].mtu, 0);
}

/* From the hook: 0 if skb can go, whole, cut or in outer fragments.  Else its
 * sender was told, and -EMSGSIZE; or its route has ended: -ENETUNREACH.  between:
 * see veil_tunnel_between().
 */
int veil_pmtu_check(struct veil_peer *peer, struct sk_buff *skb, bool between);

/* Before sealing: to which size skb is fragmented inside of the tunnel; 0 if it
 * is not.
 */
unsigned int veil_pmtu_fragments(struct veil_session *session,
				 const struct sk_buff *skb, bool between);

/* Before sealing: make TCP segments small enough.  -ENOMEM. */
int veil_pmtu_fit(struct veil_session *session, struct sk_buff *skb,
		  enum veil_mode mode);

#endif /* _VEIL_PMTU_H */
