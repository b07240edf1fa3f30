/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Addresses: both families as IPv6 ones, IPv4 mapped (::ffff:a.b.c.d), and
 * whether one is this host's own.
 */
#ifndef _VEIL_ADDR_H
#define _VEIL_ADDR_H

#include <linux/inetdevice.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <net/addrconf.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/l3mdev.h>
#include <net/route.h>

struct veil_addr_pair {
	struct in6_addr source;
	struct in6_addr destination;
};

static inline bool veil_addr_is_v4(const struct in6_addr *addr)
{
	return ipv6_addr_v4mapped(addr);
}

static inline __be32 veil_addr_v4(const struct in6_addr *addr)
{
	return addr->s6_addr32[3];
}

/* Addresses of the packet at skb's network header. */
static inline void veil_addr_of(const struct sk_buff *skb,
				struct veil_addr_pair *addrs)
{
	if (skb->protocol == htons(ETH_P_IP)) {
		ipv6_addr_set_v4mapped(ip_hdr(skb)->saddr, &addrs->source);
		ipv6_addr_set_v4mapped(ip_hdr(skb)->daddr, &addrs->destination);
	} else {
		addrs->source = ipv6_hdr(skb)->saddr;
		addrs->destination = ipv6_hdr(skb)->daddr;
	}
}

/* The same, and where the packet's L4 header is: only for packets whose
 * headers were checked and pulled by the hook.
 */
static inline const void *veil_addr_parse(const struct sk_buff *skb,
					  struct veil_addr_pair *addrs)
{
	veil_addr_of(skb, addrs);
	if (skb->protocol == htons(ETH_P_IP))
		return (const u8 *)ip_hdr(skb) + ip_hdrlen(skb);
	return ipv6_hdr(skb) + 1;
}

static inline bool veil_addr_is_loopback(const struct in6_addr *addr)
{
	return veil_addr_is_v4(addr) ? ipv4_is_loopback(veil_addr_v4(addr)) :
				       ipv6_addr_loopback(addr);
}

/* Whether addr is ours, in the routing domain (VRF) of dev.  Under
 * rcu_read_lock().
 */
static inline bool veil_addr_is_local(struct net *net,
				      const struct net_device *dev,
				      const struct in6_addr *addr)
{
	if (veil_addr_is_v4(addr))
		return inet_addr_type_dev_table(net, dev, veil_addr_v4(addr)) ==
		       RTN_LOCAL;
	/* With ipv6.disable=1 there is no table of addresses at all. */
	return ipv6_mod_enabled() &&
	       ipv6_chk_addr_and_flags(net, addr, dev, true, 0,
				       IFA_F_TENTATIVE);
}

/* Whether skb, on its way out, came in from somewhere: IPv6 forwarding leaves
 * no flag, and what is made here has no input interface.
 */
static inline bool veil_addr_forwarded(const struct sk_buff *skb)
{
	return skb->skb_iif;
}

#endif /* _VEIL_ADDR_H */
