// SPDX-License-Identifier: GPL-2.0
/*
 * Our UDP sockets, and sending what is not a sealed packet of somebody else:
 * handshakes and keepalives.
 */
#include <linux/workqueue.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/ip6_checksum.h>
#include <net/ip6_route.h>
#include <net/udp.h>

#include "compat.h"
#include "ipsec.h"
#include "mark.h"
#include "peer_address.h"
#include "socket.h"

/* Lets GRO join what comes for the port. */
static int veil_socket_gro(struct socket *sock)
{
	int on = 1;

	return sock->ops->setsockopt(sock, SOL_UDP, UDP_GRO,
				     KERNEL_SOCKPTR(&on), sizeof(on));
}

/* What the hook has not seen as for the port: behind extension headers, or from this
 * host itself.  Nobody would ever take it out of the socket's queue.
 */
static int veil_socket_receive(struct sock *sk, struct sk_buff *skb)
{
	veil_drop(veil_net(sock_net(sk)), skb, VEIL_DROP_stranger);
	return 0;
}

struct veil_socket_creation {
	struct work_struct work;
	struct net *net;
	int family;
	struct socket *sock;
	int err;
};

static void veil_socket_create_work(struct work_struct *work)
{
	struct veil_socket_creation *creation =
		container_of(work, struct veil_socket_creation, work);

	creation->err = sock_create_kern(creation->net, creation->family,
					 SOCK_DGRAM, IPPROTO_UDP,
					 &creation->sock);
}

/* A socket belongs to the control group that it was made in, whose programs judge
 * its packets: of veil's, which may be a unit with IPAddressDeny=any, no
 * handshake would leave.  A worker's is the root.
 */
static int veil_socket_create(struct net *net, int family,
			      struct socket **result)
{
	struct veil_socket_creation creation = {
		.net = net,
		.family = family,
	};

	INIT_WORK_ONSTACK(&creation.work, veil_socket_create_work);
	schedule_work(&creation.work);
	flush_work(&creation.work);
	destroy_work_on_stack(&creation.work);
	*result = creation.sock;
	return creation.err;
}

static int veil_socket_bind(struct net *net, bool ipv6, u16 port,
			    struct socket **result)
{
	struct sockaddr_in6 in6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(port),
	};
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
	};
	struct socket *sock;
	int err;

	err = veil_socket_create(net, ipv6 ? AF_INET6 : AF_INET, &sock);
	if (err)
		return err;
	udp_sk(sock->sk)->encap_rcv = veil_socket_receive;
	udp_sk(sock->sk)->encap_type = 1;	/* any will do */
	/* Outer packets obey the peer's path MTU, not the route's (STACK A2). */
	inet_sk(sock->sk)->pmtudisc = IP_PMTUDISC_PROBE;
	err = veil_socket_gro(sock);
	if (!err && ipv6) {
		sock->sk->sk_ipv6only = 1;
		err = veil_kernel_bind(sock, &in6, sizeof(in6));
	} else if (!err) {
		err = veil_kernel_bind(sock, &in, sizeof(in));
	}
	if (err) {
		sock_release(sock);
		return err;
	}
	*result = sock;
	return 0;
}

void veil_socket_release(struct socket *sock[2])
{
	int i;

	for (i = 0; i < 2; i++) {
		if (sock[i])
			sock_release(sock[i]);
		sock[i] = NULL;
	}
}

/* Packets on their way out find either the old ones or the new. */
void veil_socket_use(struct veil_net *vn, struct socket *sock[2])
{
	struct socket *old[2];
	int i;

	for (i = 0; i < 2; i++) {
		old[i] = vn->socket[i];
		vn->socket[i] = sock[i];
		rcu_assign_pointer(vn->sk[i], sock[i] ? sock[i]->sk : NULL);
	}
	if (!old[0])
		return;
	synchronize_net();
	veil_socket_release(old);
}

int veil_socket_open(struct veil_net *vn, u16 port, struct socket *sock[2],
		     struct netlink_ext_ack *extack)
{
	int err;

	sock[0] = NULL;
	sock[1] = NULL;
	err = veil_socket_bind(vn->net, false, port, &sock[0]);
	if (!err) {
		err = veil_socket_bind(vn->net, true, port, &sock[1]);
		if (err == -EAFNOSUPPORT)
			err = 0;	/* booted with ipv6.disable=1 */
	}
	if (!err)
		return 0;
	veil_socket_release(sock);
	NL_SET_ERR_MSG_MOD(extack,
			   "cannot bind the listen port: does another program use this UDP port? (veil set listen-port N takes another)");
	return err;
}

void veil_socket_close(struct veil_net *vn)
{
	struct socket *none[2] = {};

	veil_socket_use(vn, none);
}

void veil_socket_udp_header(struct sk_buff *skb,
			    const struct veil_addr_pair *addrs,
			    u16 source_port, u16 port)
{
	struct udphdr *uh = udp_hdr(skb);
	unsigned int len = skb->len - skb_transport_offset(skb);

	uh->source = htons(source_port);
	uh->dest = htons(port);
	uh->len = htons(len);
	if (veil_addr_is_v4(&addrs->source))
		uh->check = ~udp_v4_check(len, veil_addr_v4(&addrs->source),
					  veil_addr_v4(&addrs->destination), 0);
	else
		uh->check = ~udp_v6_check(len, &addrs->source,
					  &addrs->destination, 0);
	skb->ip_summed = CHECKSUM_PARTIAL;
	skb->csum_start = skb_transport_header(skb) - skb->head;
	skb->csum_offset = offsetof(struct udphdr, check);
}

/* Whether both are where one host is heard; a peer that roams is in no table. */
static bool veil_socket_same(struct veil_net *vn, const struct in6_addr *one,
			     const struct in6_addr *other)
{
	const struct veil_peer *peer;

	if (ipv6_addr_equal(one, other))
		return true;
	peer = veil_peer_lookup(vn, one);
	return peer && peer == veil_peer_lookup(vn, other);
}

/* IPsec between the same two hosts goes inside of Netveil (STACK A6), whose packets it
 * would wrap in ESP that the other end takes from nobody: they take the route that
 * it found.  By a tunnel to another host they may be on their way.
 */
static struct dst_entry *veil_socket_outside(struct veil_net *vn,
					     struct dst_entry *dst,
					     const struct in6_addr *destination)
{
	struct in6_addr end = *destination;
	struct dst_entry *route;

	if (!dst->xfrm)
		return dst;
	veil_ipsec_end(dst, &end);
	if (!veil_socket_same(vn, &end, destination))
		return dst;
	route = dst_clone(((struct xfrm_dst *)dst)->route);
	dst_release(dst);
	return route;
}

/* A route for UDP from us, in a routing domain; source may be empty and is then
 * filled in.
 */
static struct dst_entry *veil_socket_dst4(struct veil_net *vn,
					  struct veil_addr_pair *addrs,
					  int domain, u16 source_port, u16 port)
{
	struct flowi4 fl4 = {
		.daddr = veil_addr_v4(&addrs->destination),
		.saddr = veil_addr_v4(&addrs->source),
		.flowi4_oif = domain,
		.flowi4_proto = IPPROTO_UDP,
		.fl4_sport = htons(source_port),
		.fl4_dport = htons(port),
	};
	struct rtable *rt;

	rt = ip_route_output_flow(vn->net, &fl4, NULL);
	if (IS_ERR(rt))
		return ERR_CAST(rt);
	/* Nothing goes to all, nor comes back to us: sources are forged. */
	if (rt->rt_flags & (RTCF_BROADCAST | RTCF_MULTICAST | RTCF_LOCAL)) {
		ip_rt_put(rt);
		return ERR_PTR(-EACCES);
	}
	ipv6_addr_set_v4mapped(fl4.saddr, &addrs->source);
	return &rt->dst;
}

static struct dst_entry *veil_socket_dst6(struct veil_net *vn,
					  struct veil_addr_pair *addrs,
					  int domain, u16 source_port, u16 port)
{
	struct flowi6 fl6 = {
		.daddr = addrs->destination,
		.saddr = addrs->source,
		.flowi6_oif = domain,
		.flowi6_proto = IPPROTO_UDP,
		.fl6_sport = htons(source_port),
		.fl6_dport = htons(port),
	};
	struct dst_entry *dst;

	if (ipv6_addr_is_multicast(&addrs->destination))
		return ERR_PTR(-EACCES);
	dst = ip6_dst_lookup_flow(vn->net, veil_socket_sk(vn, true), &fl6,
				  NULL);
	if (IS_ERR(dst))
		return dst;
	if (((struct rt6_info *)dst)->rt6i_flags & (RTF_LOCAL | RTF_ANYCAST)) {
		dst_release(dst);
		return ERR_PTR(-EACCES);
	}
	addrs->source = fl6.saddr;
	return dst;
}

struct dst_entry *veil_socket_dst(struct veil_net *vn,
				  struct veil_addr_pair *addrs,
				  int domain, u16 source_port, u16 port)
{
	struct dst_entry *dst;

	if (veil_addr_is_v4(&addrs->destination))
		dst = veil_socket_dst4(vn, addrs, domain, source_port, port);
	else if (IS_ENABLED(CONFIG_IPV6) && rcu_access_pointer(vn->sk[1]))
		dst = veil_socket_dst6(vn, addrs, domain, source_port, port);
	else
		dst = ERR_PTR(-EAFNOSUPPORT);
	if (IS_ERR(dst))
		return dst;
	dst = veil_socket_outside(vn, dst, &addrs->destination);
	/* Our own address by now, an unreachable route, or one by IPsec that has no
	 * keys yet: without a word that drops all, or keeps it until it has (tunnelled
	 * packets too).
	 */
	if (dst->error || dst->flags & DST_XFRM_QUEUE ||
	    READ_ONCE(veil_dst_dev(dst)->flags) & IFF_LOOPBACK) {
		dst_release(dst);
		return ERR_PTR(-ENETUNREACH);
	}
	return dst;
}

static int veil_socket_domain4(struct net *net, const struct in6_addr *addr,
			       int gone)
{
	struct net_device *dev = __ip_dev_find(net, veil_addr_v4(addr), false);

	return dev ? l3mdev_master_ifindex_rcu(dev) : gone;
}

/* IPv6 finds an address only when asked for it in its domain. */
static bool veil_socket_is_ours6(struct net *net, const struct in6_addr *addr,
				 const struct net_device *domain)
{
	return ipv6_chk_addr_and_flags(net, addr, domain, true, 0,
				       IFA_F_TENTATIVE);
}

static int veil_socket_domain6(struct net *net, const struct in6_addr *addr,
			       int gone)
{
	struct net_device *dev;

	/* With ipv6.disable=1 there is no table of addresses at all. */
	if (ipv6_addr_any(addr) || !ipv6_mod_enabled())
		return gone;
	dev = gone ? dev_get_by_index_rcu(net, gone) : NULL;
	if (dev && veil_socket_is_ours6(net, addr, dev))
		return gone;
	if (veil_socket_is_ours6(net, addr, NULL))
		return 0;
	for_each_netdev_rcu(net, dev) {
		if (netif_is_l3_master(dev) &&
		    veil_socket_is_ours6(net, addr, dev))
			return dev->ifindex;
	}
	return gone;
}

int veil_socket_domain(struct net *net, const struct in6_addr *addr, int gone)
{
	if (veil_addr_is_v4(addr))
		return veil_socket_domain4(net, addr, gone);
	return veil_socket_domain6(net, addr, gone);
}

int veil_socket_route(struct veil_net *vn, const struct in6_addr *destination,
		      int domain, struct veil_addr_pair *addrs)
{
	struct dst_entry *dst;

	memset(&addrs->source, 0, sizeof(addrs->source));
	addrs->destination = *destination;
	rcu_read_lock();
	dst = veil_socket_dst(vn, addrs, domain, vn->port, vn->port);
	rcu_read_unlock();
	if (IS_ERR(dst)) {
		veil_drop_count(vn, VEIL_DROP_no_route);
		return PTR_ERR(dst);
	}
	dst_release(dst);
	return 0;
}

static int veil_socket_out4(struct veil_net *vn, struct sk_buff *skb,
			    const struct veil_addr_pair *addrs)
{
	struct iphdr *iph = skb_push(skb, sizeof(*iph));

	skb_reset_network_header(skb);
	skb->protocol = htons(ETH_P_IP);
	memset(iph, 0, sizeof(*iph));
	iph->version = 4;
	iph->ihl = sizeof(*iph) / 4;
	iph->ttl = ip4_dst_hoplimit(skb_dst(skb));
	iph->protocol = IPPROTO_UDP;
	iph->saddr = veil_addr_v4(&addrs->source);
	iph->daddr = veil_addr_v4(&addrs->destination);
	ip_select_ident(vn->net, skb, NULL);
	return ip_local_out(vn->net, skb->sk, skb);
}

static int veil_socket_out6(struct veil_net *vn, struct sk_buff *skb,
			    const struct veil_addr_pair *addrs)
{
	struct ipv6hdr *ip6h = skb_push(skb, sizeof(*ip6h));

	skb_reset_network_header(skb);
	skb->protocol = htons(ETH_P_IPV6);
	ip6_flow_hdr(ip6h, 0, 0);
	ip6h->hop_limit = veil_ip6_hoplimit(skb_dst(skb));
	ip6h->nexthdr = IPPROTO_UDP;
	ip6h->saddr = addrs->source;
	ip6h->daddr = addrs->destination;
	return ip6_local_out(vn->net, skb->sk, skb);
}

int veil_socket_xmit(struct veil_net *vn, const struct veil_addr_pair *addrs,
		     int gone, u16 source_port, u16 port, struct sk_buff *skb)
{
	bool ipv6 = !veil_addr_is_v4(&addrs->destination);
	struct veil_addr_pair route = *addrs;
	struct dst_entry *dst;
	struct sock *sk;
	int err;

	veil_path_enter();
	sk = veil_socket_sk(vn, ipv6);
	dst = sk ? veil_socket_dst(vn, &route,
				   veil_socket_domain(vn->net, &addrs->source,
						      gone),
				   source_port, port) : ERR_PTR(-EAFNOSUPPORT);
	if (IS_ERR(dst)) {
		veil_drop(vn, skb, VEIL_DROP_no_route);
		veil_path_leave();
		return PTR_ERR(dst);
	}
	skb_dst_set(skb, dst);
	if (veil_mark(skb, VEIL_MARK_SEALED)) {
		veil_drop(vn, skb, VEIL_DROP_no_memory);
		veil_path_leave();
		return -ENOMEM;
	}
	/* The hooks know it by its owner. */
	skb_set_owner_w(skb, sk);
	nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
	__skb_push(skb, sizeof(struct udphdr));
	skb_reset_transport_header(skb);
	veil_socket_udp_header(skb, addrs, source_port, port);
	err = ipv6 ? veil_socket_out6(vn, skb, addrs) :
		     veil_socket_out4(vn, skb, addrs);
	veil_path_leave();
	return err;
}

void veil_socket_send(struct veil_net *vn, const struct veil_addr_pair *addrs,
		      u16 port, const void *msg, size_t len)
{
	struct sk_buff *skb = alloc_skb(VEIL_SOCKET_HEADROOM + len, GFP_ATOMIC);

	if (!skb) {
		veil_drop_count(vn, VEIL_DROP_no_memory);
		return;
	}
	skb_reserve(skb, VEIL_SOCKET_HEADROOM);
	skb_put_data(skb, msg, len);
	veil_socket_xmit(vn, addrs, 0, vn->port, port, skb);
}
