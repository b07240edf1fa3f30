/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Our UDP sockets: they hold the listen port, and packets that they own are our
 * handshakes and keepalives, which the hooks let pass (PROTOCOL section 5).
 * The hook takes what comes for the port: whatever gets here is dropped.
 */
#ifndef _VEIL_SOCKET_H
#define _VEIL_SOCKET_H

#include <net/udp.h>

#include "addr.h"
#include "net.h"

/* Bind port in IPv4 and, if there is that, in IPv6: for veil_socket_use(), which
 * cannot fail, or for veil_socket_release().  vn->lock written.
 */
int veil_socket_open(struct veil_net *vn, u16 port, struct socket *sock[2],
		     struct netlink_ext_ack *extack);
/* From now on these are ours, in place of others. */
void veil_socket_use(struct veil_net *vn, struct socket *sock[2]);
void veil_socket_release(struct socket *sock[2]);
void veil_socket_close(struct veil_net *vn);

/* Under rcu_read_lock(). */
static inline struct sock *veil_socket_sk(const struct veil_net *vn, bool ipv6)
{
	return rcu_dereference(vn->sk[ipv6]);
}

static inline bool veil_socket_owns(const struct veil_net *vn,
				    const struct sock *sk)
{
	return sk && (sk == rcu_access_pointer(vn->sk[0]) ||
		      sk == rcu_access_pointer(vn->sk[1]));
}

/* A route for UDP between addrs in a routing domain, with a reference, or an error;
 * an empty source is filled in.  Under rcu_read_lock().
 */
struct dst_entry *veil_socket_dst(struct veil_net *vn,
				  struct veil_addr_pair *addrs,
				  int domain, u16 source_port, u16 port);
/* The routing domain (VRF device) of an address of ours; 0 for none, and gone for
 * one that is not ours, by now.  Under rcu_read_lock().
 */
int veil_socket_domain(struct net *net, const struct in6_addr *addr, int gone);
/* The addresses that a packet to destination would have, sent in a routing domain.
 * Any context.
 */
int veil_socket_route(struct veil_net *vn, const struct in6_addr *destination,
		      int domain, struct veil_addr_pair *addrs);
/* Send a handshake message to port.  Any context. */
void veil_socket_send(struct veil_net *vn, const struct veil_addr_pair *addrs,
		      u16 port, const void *msg, size_t len);
/* Room for all headers below UDP's payload. */
#define VEIL_SOCKET_HEADROOM	(LL_MAX_HEADER + sizeof(struct ipv6hdr) + \
				 sizeof(struct udphdr))
/* Put UDP and IP headers before skb's data and send it; in the domain gone if
 * its source is not ours by now.  Consumes skb.
 */
int veil_socket_xmit(struct veil_net *vn, const struct veil_addr_pair *addrs,
		     int gone, u16 source_port, u16 port, struct sk_buff *skb);

/* Fill the UDP header at skb's transport header; the checksum is left to the
 * device: it is never zero (STACK B8).
 */
void veil_socket_udp_header(struct sk_buff *skb,
			    const struct veil_addr_pair *addrs,
			    u16 source_port, u16 port);

#endif /* _VEIL_SOCKET_H */
