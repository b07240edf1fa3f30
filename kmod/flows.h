/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Flow tables: forwarded connections that are handed from device to device,
 * past our hooks (STACK A4).
 */
#ifndef _VEIL_FLOWS_H
#define _VEIL_FLOWS_H

#include <linux/if_arp.h>
#include <linux/netfilter.h>

#include "net.h"

/* Whether this kernel has a flow table in use.  They work by ingress hooks,
 * which need not be those of the devices that a forwarded packet names: with a
 * VLAN or a bridge they are the ports'.
 */
static inline bool veil_flows_possible(void)
{
#ifdef CONFIG_JUMP_LABEL
	return static_key_false(&nf_hooks_needed[NFPROTO_NETDEV][NF_NETDEV_INGRESS]);
#else
	return true;
#endif
}

/* Since 6.19 a flow table wraps and unwraps what goes by such a device, and knows the
 * inner addresses alone.
 */
static inline bool veil_flows_wraps(const struct net_device *dev)
{
	return dev->type == ARPHRD_TUNNEL || dev->type == ARPHRD_TUNNEL6 ||
	       dev->type == ARPHRD_SIT;
}

/* Keep the flow table's hands off a packet while it passes the forward chains;
 * -ENOMEM.  Softirq, as veil_flows_release().
 */
int veil_flows_hold(struct sk_buff *skb);
void veil_flows_release(struct sk_buff *skb);

/* After any change by which addresses may have become protected: forwarded
 * connections with them leave the flow tables.  Process context; may sleep.
 */
void veil_flows_end(struct veil_net *vn);

#endif /* _VEIL_FLOWS_H */
