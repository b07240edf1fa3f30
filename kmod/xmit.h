/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The last step out: a sealed packet to its device.
 */
#ifndef _VEIL_XMIT_H
#define _VEIL_XMIT_H

#include "peer.h"

/* Hand a whole outer packet, with its route, to the device, in fragments if it
 * is too long for its path; consumes it.  Under rcu_read_lock(), BH off.
 */
void veil_xmit(struct veil_peer *peer, struct sk_buff *skb);

#endif /* _VEIL_XMIT_H */
