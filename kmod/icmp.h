/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ICMP errors of routers about our outer packets.
 */
#ifndef _VEIL_ICMP_H
#define _VEIL_ICMP_H

#include "addr.h"
#include "net.h"

/* A packet in clear: judge it if it is an ICMP error about a packet to a peer or
 * into a network behind one, to us or through us.  local: it is for us, if not by its
 * destination, which says so otherwise.  A netfilter verdict; under rcu_read_lock().
 */
unsigned int veil_icmp(struct veil_net *vn, struct sk_buff *skb,
		       const struct veil_addr_pair *addrs, bool local);

#endif /* _VEIL_ICMP_H */
