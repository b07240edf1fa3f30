/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Differences between kernels, 6.1 to 7.3; the only place for them.  Kbuild
 * probes the headers for what each has (VEIL_HAVE_*): distributions backport,
 * so version numbers lie.
 */
#ifndef _VEIL_COMPAT_H
#define _VEIL_COMPAT_H

#include <linux/crypto.h>
#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/timer.h>
#include <net/dst.h>
#include <net/dst_cache.h>
#include <net/inet_sock.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/ipv6.h>
#ifdef VEIL_HAVE_NET_GSO_H
#include <net/gso.h>
#endif
#ifdef VEIL_HAVE_IPV6_STUB
#include <net/ipv6_stubs.h>
#endif

#ifndef timer_container_of
#define timer_container_of(var, callback_timer, timer_fieldname) \
	from_timer(var, callback_timer, timer_fieldname)
#endif

/* Completion of a crypto request: before 6.3 with the request. */
#ifdef VEIL_HAVE_CRYPTO_COMPLETION_DATA
typedef void veil_completion_data_t;
static inline void *veil_completion_context(veil_completion_data_t *data)
{
	return data;
}
#else
typedef struct crypto_async_request veil_completion_data_t;
static inline void *veil_completion_context(veil_completion_data_t *data)
{
	return data->data;
}
#endif

/* Since 6.19 flow tables wrap and unwrap IP tunnels. */
#ifdef VEIL_HAVE_DEV_PATH_TUN
#define VEIL_FLOWS_WRAP		true
#else
#define VEIL_FLOWS_WRAP		false
#endif

/* Where there is AccECN (RFC 9768), CWR may be a bit of a counter: GRO joins only what
 * has the same, and all segments of such a GSO packet have it.  0: in the first alone.
 */
#ifdef VEIL_HAVE_GSO_ACCECN
#define VEIL_GSO_ACCECN		SKB_GSO_TCP_ACCECN
#else
#define VEIL_GSO_ACCECN		0
#endif

/* 7.x: fragments may be a device's memory. */
static inline bool veil_frags_readable(const struct sk_buff *skb)
{
#ifdef VEIL_HAVE_FRAGS_READABLE
	return skb_frags_readable(skb);
#else
	return true;
#endif
}

/* Before 7.x a TCP segment of more than 64 KiB (BIG TCP) has hop-by-hop options
 * while it is in the host: without them it is like any other.
 */
static inline int veil_ip6_unjumbo(struct sk_buff *skb)
{
#ifdef VEIL_HAVE_HOPOPT_JUMBO
	int nexthdr = ipv6_has_hopopt_jumbo(skb);

	if (!nexthdr)
		return 0;
	if (skb_cow_head(skb, 0))
		return -ENOMEM;
	memmove(skb->data + sizeof(struct hop_jumbo_hdr), skb->data,
		sizeof(struct ipv6hdr));
	__skb_pull(skb, sizeof(struct hop_jumbo_hdr));
	skb_reset_network_header(skb);
	ipv6_hdr(skb)->nexthdr = nexthdr;
#endif
	return 0;
}

#ifdef VEIL_HAVE_SOCKADDR_UNSIZED
#define veil_kernel_bind(sock, addr, len) \
	kernel_bind(sock, (struct sockaddr_unsized *)(addr), len)
#else
#define veil_kernel_bind(sock, addr, len) \
	kernel_bind(sock, (struct sockaddr *)(addr), len)
#endif

static inline int
veil_ip6_fragment(struct net *net, struct sock *sk, struct sk_buff *skb,
		  int (*output)(struct net *, struct sock *, struct sk_buff *))
{
#ifdef VEIL_HAVE_IPV6_STUB
	return ipv6_stub->ipv6_fragment(net, sk, skb, output);
#else
	return ip6_fragment(net, sk, skb, output);
#endif
}

/* Where a route leads: another device from one moment to the next, when that goes
 * away.  Under rcu_read_lock(), as long as the device is to be there.
 */
static inline struct net_device *veil_dst_dev(const struct dst_entry *dst)
{
#ifdef VEIL_HAVE_DST_DEV_RCU
	return dst_dev_rcu(dst);
#else
	return READ_ONCE(dst->dev);
#endif
}

/* A kernel without IPv6 lacks these, and no route comes here. */
static inline int veil_ip6_hoplimit(struct dst_entry *dst)
{
	return IS_ENABLED(CONFIG_IPV6) ? ip6_dst_hoplimit(dst) : 0;
}

static inline void veil_dst_cache_set_ip6(struct dst_cache *cache,
					  struct dst_entry *dst,
					  const struct in6_addr *source)
{
#if IS_ENABLED(CONFIG_IPV6)
	dst_cache_set_ip6(cache, dst, source);
#endif
}

/* Whether sk, a TCP or UDP socket, is to hear of errors about what it sends.  What it
 * sends by IPv4 may be IPv6 by now, which a tunnel made of it.
 */
static inline bool veil_sk_recverr(const struct sock *sk, bool ipv6)
{
	if (ipv6)
#ifdef VEIL_HAVE_INET_RECVERR6
		return inet6_test_bit(RECVERR6, sk);
#else
		return inet6_sk(sk) && inet6_sk(sk)->recverr;
#endif
#ifdef VEIL_HAVE_INET_RECVERR
	return inet_test_bit(RECVERR, sk);
#else
	return inet_sk(sk)->recverr;
#endif
}

#endif /* _VEIL_COMPAT_H */
