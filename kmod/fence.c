// SPDX-License-Identifier: GPL-2.0
/*
 * The second fence, at the netdev egress hook of every device but loopback.
 *
 * It knows sealed packets by their look: UDP with a data header that names a
 * session of that peer's, which lives or has ended lately; their fragments, and
 * handshakes, by the mark that they were given (mark.h).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/etherdevice.h>
#include <linux/if_arp.h>
#include <linux/if_infiniband.h>
#include <linux/if_vlan.h>
#include <linux/mpls.h>
#include <linux/netdevice.h>
#include <linux/netfilter_netdev.h>
#include <linux/rtnetlink.h>
#include <net/ip.h>
#include <net/mpls.h>

#include "addr.h"
#include "exempt.h"
#include "fence.h"
#include "mark.h"
#include "network.h"
#include "policy.h"
#include "rx.h"
#include "session.h"
#include "socket.h"

/* One device's hook; veil_net.fences, under RTNL.  Freed by RCU: who lists hooks
 * (nfnetlink_hook) may still be at it.
 */
struct veil_fence {
	struct list_head list;
	struct nf_hook_ops ops;
	struct rcu_head rcu;
};

/* 0 behind the frame's end. */
static u8 veil_fence_version(const struct sk_buff *skb, unsigned int offset)
{
	u8 *version, buffer;

	version = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
	return version ? *version >> 4 : 0;
}

/* Whether frames are IP packets, of the version that they begin with: of tun, and of
 * serial lines.
 */
static bool veil_fence_bare(const struct net_device *dev)
{
	switch (dev->type) {
	case ARPHRD_NONE:
	case ARPHRD_RAWIP:
	case ARPHRD_SLIP:
	case ARPHRD_CSLIP:
	case ARPHRD_SLIP6:
	case ARPHRD_CSLIP6:
	case ARPHRD_ADAPT:
	case ARPHRD_RAWHDLC:
		return true;
	default:
		return false;
	}
}

/* Where the frame's payload begins, and its type.  A packet socket may say
 * anything in skb->protocol: believe what is on the wire.
 */
static __be16 veil_fence_payload(const struct sk_buff *skb,
				 unsigned int *offset)
{
	struct ethhdr *eth, buffer;
	__be16 *protocol, protocol_buffer;
	u8 version;

	/* The destination, by which IPoIB will ask for a path, then its own header. */
	if (skb->dev->type == ARPHRD_INFINIBAND) {
		protocol = skb_header_pointer(skb, INFINIBAND_ALEN,
					      sizeof(protocol_buffer),
					      &protocol_buffer);
		*offset = INFINIBAND_ALEN + 4;
		return protocol ? *protocol : 0;
	}
	if (skb->dev->type != ARPHRD_ETHER) {
		*offset = skb_network_offset(skb);
		version = veil_fence_version(skb, *offset);
		if (veil_fence_bare(skb->dev) &&
		    (version == 4 || version == 6))
			return htons(ETH_P_IP);
		return skb->protocol;
	}
	*offset = sizeof(*eth);
	eth = skb_header_pointer(skb, 0, sizeof(buffer), &buffer);
	return eth ? eth->h_proto : 0;
}

/* Behind VLAN tags and MPLS labels: which IP version, where; 0 if neither. */
static u8 veil_fence_find_ip(const struct sk_buff *skb, unsigned int *offset)
{
	__be16 protocol = veil_fence_payload(skb, offset);
	struct vlan_hdr *vlan, vlan_buffer;
	__be32 *label, label_buffer;

	while (eth_type_vlan(protocol)) {
		vlan = skb_header_pointer(skb, *offset, sizeof(vlan_buffer),
					  &vlan_buffer);
		if (!vlan)
			return 0;
		protocol = vlan->h_vlan_encapsulated_proto;
		*offset += sizeof(*vlan);
	}
	while (eth_p_mpls(protocol)) {
		label = skb_header_pointer(skb, *offset, sizeof(label_buffer),
					   &label_buffer);
		if (!label)
			return 0;
		*offset += sizeof(*label);
		if (*label & htonl(MPLS_LS_S_MASK))
			protocol = htons(ETH_P_IP);	/* or IPv6: look */
	}
	if (protocol != htons(ETH_P_IP) && protocol != htons(ETH_P_IPV6))
		return 0;
	return veil_fence_version(skb, *offset);
}

/* Addresses and, where it is UDP and no later fragment, the L4 offset. */
static bool veil_fence_parse(const struct sk_buff *skb, u8 version,
			     unsigned int offset, struct veil_addr_pair *addrs,
			     unsigned int *l4)
{
	struct ipv6hdr *ip6h, buffer6;
	struct iphdr *iph, buffer4;

	*l4 = 0;
	if (version == 4) {
		iph = skb_header_pointer(skb, offset, sizeof(buffer4),
					 &buffer4);
		if (!iph)
			return false;
		ipv6_addr_set_v4mapped(iph->saddr, &addrs->source);
		ipv6_addr_set_v4mapped(iph->daddr, &addrs->destination);
		if (iph->protocol == IPPROTO_UDP &&
		    !(iph->frag_off & htons(IP_OFFSET)))
			*l4 = offset + iph->ihl * 4;
		return true;
	}
	ip6h = skb_header_pointer(skb, offset, sizeof(buffer6), &buffer6);
	if (version != 6 || !ip6h)
		return false;
	addrs->source = ip6h->saddr;
	addrs->destination = ip6h->daddr;
	if (ip6h->nexthdr == IPPROTO_UDP)
		*l4 = offset + sizeof(*ip6h);
	return true;
}

/* To which port says nothing: the peer may have got another since. */
static bool veil_fence_sealed(struct veil_peer *peer, const struct sk_buff *skb,
			      unsigned int l4)
{
	struct veil_data_header *header, buffer;

	if (veil_marked(skb, VEIL_MARK_SEALED))
		return true;
	/* Of a peer that was removed since nothing is known any more. */
	if (!peer || !l4)
		return false;
	header = skb_header_pointer(skb, l4 + VEIL_UDP_LEN, sizeof(buffer),
				    &buffer);
	return header && header->type == VEIL_MSG_DATA &&
	       veil_session_sealed(peer, header->receiver);
}

/* Whether this host sent the frame, and no bridge passed it on. */
static bool veil_fence_routed(const struct sk_buff *skb)
{
	const struct net_device *upper;
	struct ethhdr *eth, buffer;

	if (skb->dev->type != ARPHRD_ETHER)
		return true;
	eth = skb_header_pointer(skb, 0, sizeof(buffer), &buffer);
	if (!eth || ether_addr_equal(eth->h_source, skb->dev->dev_addr))
		return true;
	upper = netdev_master_upper_dev_get_rcu((struct net_device *)skb->dev);
	return upper && ether_addr_equal(eth->h_source, upper->dev_addr);
}

/* As veil_hooks_ours(), for what did not come by there. */
static bool veil_fence_ours(struct veil_net *vn, const struct sk_buff *skb,
			    const struct veil_addr_pair *addrs,
			    const struct veil_policy *policy)
{
	if (policy->behind &&
	    !veil_rx_unicast(vn, skb, &addrs->destination))
		return false;
	if (veil_addr_is_local(vn->net, skb->dev, &addrs->source))
		return true;
	if (!policy->behind && !veil_network_local(vn, &addrs->source) &&
	    !veil_network_behind(vn, &addrs->destination))
		return false;
	return veil_fence_routed(skb);
}

static noinline unsigned int veil_fence_judge(struct veil_net *vn,
					      struct sk_buff *skb)
{
	struct veil_addr_pair addrs;
	struct veil_policy policy;
	unsigned int offset, l4;
	u8 version;

	version = veil_fence_find_ip(skb, &offset);
	if (!version || !veil_fence_parse(skb, version, offset, &addrs, &l4))
		return NF_ACCEPT;
	veil_policy_lookup(vn, &addrs.destination, &policy);
	if (policy.kind != NETVEIL_POLICY_REQUIRE)
		return NF_ACCEPT;
	/* By owner, where IPsec made a security path of its own of our mark.
	 * What needs the routing table comes last.
	 */
	if (veil_fence_sealed(policy.peer, skb, l4) ||
	    veil_socket_owns(vn, skb->sk) ||
	    veil_exempt_neighbour(skb, offset) ||
	    !veil_fence_ours(vn, skb, &addrs, &policy))
		return NF_ACCEPT;
	if (policy.peer)
		veil_rx_plaintext(policy.peer, skb, VEIL_DROP_plaintext_out);
	else
		veil_policy_no_peer(vn, &policy, &addrs.destination, skb);
	return NF_STOLEN;
}

static unsigned int veil_fence_hook(void *priv, struct sk_buff *skb,
				    const struct nf_hook_state *state)
{
	const struct ethhdr *eth = (void *)skb->data;
	const struct iphdr *iph = (void *)(eth + 1);

	/* The usual case, in short. */
	if (skb->dev->type == ARPHRD_ETHER &&
	    skb_headlen(skb) >= sizeof(*eth) + sizeof(*iph) &&
	    eth->h_proto == htons(ETH_P_IP) && iph->version == 4 &&
	    veil_policy_stranger(priv, iph->daddr))
		return NF_ACCEPT;
	return veil_fence_judge(priv, skb);
}

static bool veil_fence_has(const struct veil_net *vn,
			   const struct net_device *dev)
{
	const struct veil_fence *fence;

	list_for_each_entry(fence, &vn->fences, list)
		if (fence->ops.dev == dev)
			return true;
	return false;
}

static int veil_fence_add(struct veil_net *vn, struct net_device *dev)
{
	struct veil_fence *fence;
	int err;

	ASSERT_RTNL();
	/* What a VRF device sends comes by again at the real one. */
	if (dev->flags & IFF_LOOPBACK || netif_is_l3_master(dev) ||
	    veil_fence_has(vn, dev))
		return 0;
	fence = kzalloc(sizeof(*fence), GFP_KERNEL_ACCOUNT);
	if (!fence)
		return -ENOMEM;
	fence->ops.hook = veil_fence_hook;
	fence->ops.priv = vn;
	fence->ops.dev = dev;
	fence->ops.pf = NFPROTO_NETDEV;
	fence->ops.hooknum = NF_NETDEV_EGRESS;
	/* Last, behind rules that may change the packet. */
	fence->ops.priority = INT_MAX;
	err = nf_register_net_hook(vn->net, &fence->ops);
	if (err) {
		kfree(fence);
		return err;
	}
	list_add(&fence->list, &vn->fences);
	return 0;
}

static void veil_fence_remove(struct veil_net *vn, struct net_device *dev)
{
	struct veil_fence *fence, *next;

	ASSERT_RTNL();
	list_for_each_entry_safe(fence, next, &vn->fences, list) {
		if (dev && fence->ops.dev != dev)
			continue;
		list_del(&fence->list);
		nf_unregister_net_hook(vn->net, &fence->ops);
		kfree_rcu(fence, rcu);
	}
}

int veil_fence_up(struct veil_net *vn)
{
	struct net_device *dev;
	int err = 0;

	rtnl_lock();
	vn->fenced = true;
	for_each_netdev(vn->net, dev) {
		err = veil_fence_add(vn, dev);
		if (err)
			break;
	}
	if (err) {
		vn->fenced = false;
		veil_fence_remove(vn, NULL);
	}
	rtnl_unlock();
	return err;
}

void veil_fence_down(struct veil_net *vn)
{
	rtnl_lock();
	vn->fenced = false;
	veil_fence_remove(vn, NULL);
	rtnl_unlock();
}

/* A device that cannot be fenced does not come; but one that is moved here from
 * another namespace cannot be refused.  It is down then, and does not come up
 * before it has its hook.
 */
static int veil_fence_arrives(struct veil_net *vn, struct net_device *dev)
{
	int err = veil_fence_add(vn, dev);
	char where[VEIL_NET_WHERE];

	if (err && veil_net_may_log(vn, where))
		pr_warn("%s%s: no memory for the hook that keeps plaintext in; the device stays down until \"ip link set %s up\" finds some\n",
			dev->name, where, dev->name);
	return err;
}

static int veil_fence_comes_up(struct veil_net *vn, struct net_device *dev,
			       struct netlink_ext_ack *extack)
{
	int err = veil_fence_add(vn, dev);

	if (err)
		NL_SET_ERR_MSG_MOD(extack,
				   "no memory for the hook that keeps plaintext in, without which no device comes up: try again");
	return err;
}

static int veil_fence_event(struct notifier_block *block, unsigned long event,
			    void *ptr)
{
	struct net_device *dev = netdev_notifier_info_to_dev(ptr);
	struct veil_net *vn = veil_net(dev_net(dev));

	if (!vn->fenced)
		return NOTIFY_DONE;
	switch (event) {
	case NETDEV_REGISTER:
		return notifier_from_errno(veil_fence_arrives(vn, dev));
	case NETDEV_PRE_UP:
		return notifier_from_errno(veil_fence_comes_up(vn, dev,
				netdev_notifier_info_to_extack(ptr)));
	case NETDEV_UNREGISTER:
		veil_fence_remove(vn, dev);
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block veil_fence_notifier = {
	.notifier_call = veil_fence_event,
};

int veil_fence_init(void)
{
	return register_netdevice_notifier(&veil_fence_notifier);
}

void veil_fence_exit(void)
{
	unregister_netdevice_notifier(&veil_fence_notifier);
}
