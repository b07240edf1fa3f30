/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Path MTU.  Inner and outer packets share their route, so its MTU is the inner
 * one; the outer one belongs to the peer (STACK A2).
 */
#ifndef _VEIL_PMTU_H
#define _VEIL_PMTU_H

#include <net/dst.h>

#include "session.h"

/* MTU of the path that skb's outer packet takes. */
static inline unsigned int veil_pmtu_outer(const struct veil_peer *peer,
					   const struct sk_buff *skb)
{
	const struct veil_path *path =
		&peer->paths[skb->protocol == htons(ETH_P_IPV6)];
	unsigned int mtu = READ_ONCE(skb_dst(skb)->dev->mtu);
	unsigned int known = READ_ONCE(path->mtu);

	/* Paths change: what was learned is good for ten minutes, as in IP. */
	if (known && time_before(jiffies, READ_ONCE(path->until)))
		return min(mtu, known);
	return mtu;
}

/* From the hook: 0 if skb can go, whole, cut or in outer fragments.  Else its
 * sender was told, and -EMSGSIZE.
 */
int veil_pmtu_check(struct veil_peer *peer, struct sk_buff *skb);

/* Before sealing: make TCP segments small enough.  -ENOMEM. */
int veil_pmtu_fit(struct veil_session *session, struct sk_buff *skb);

#endif /* _VEIL_PMTU_H */
