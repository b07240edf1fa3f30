/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whether what arrives is for this host itself, and what leaves is from it.  That search
 * of the routing tables costs more than all else that is judged of a packet, and most
 * packets are for or from the same address.  So each CPU remembers the last IPv4 one
 * that was ours, in veil_recent.own: one word with the number of changes that the tables
 * had seen before they were searched.  Cached routes are held to that number as well; but
 * as it need not move when a route goes that nobody had seen yet, nothing is remembered
 * for longer than a second.  "Ours" is the stricter answer for what arrives; what leaves
 * is sealed either way.
 */
#ifndef _VEIL_OWN_H
#define _VEIL_OWN_H

#include "addr.h"
#include "net.h"

static inline u64 veil_own_word(const struct net *net,
				const struct in6_addr *addr)
{
	/* Both only grow, so that no sum comes twice. */
	u32 now = rt_genid_ipv4(net) + jiffies / HZ;

	return (u64)(__force u32)veil_addr_v4(addr) << 32 | now;
}

/* A VRF has a table of its own; the word is read whole on 64 bits only. */
static inline bool veil_own_remembers(const struct net_device *dev,
				      const struct in6_addr *addr)
{
	return IS_ENABLED(CONFIG_64BIT) && veil_addr_is_v4(addr) &&
	       !netif_is_l3_master(dev) && !netif_is_l3_slave(dev);
}

/**
 * veil_own_address() - is this address ours?
 * @vn: the namespace
 * @dev: where the packet came in, or leaves: says which VRF's addresses count
 * @addr: the packet's destination, or source
 *
 * Context: any, under rcu_read_lock().
 */
static inline bool veil_own_address(struct veil_net *vn,
				    const struct net_device *dev,
				    const struct in6_addr *addr)
{
	u64 word;

	if (!veil_own_remembers(dev, addr))
		return veil_addr_is_local(vn->net, dev, addr);
	word = veil_own_word(vn->net, addr);
	if (this_cpu_read(vn->recent->own) == word)
		return true;
	/* Not to be searched before the word was made. */
	smp_rmb();
	if (!veil_addr_is_local(vn->net, dev, addr))
		return false;
	this_cpu_write(vn->recent->own, word);
	return true;
}

#endif /* _VEIL_OWN_H */
