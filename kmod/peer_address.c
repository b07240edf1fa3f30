// SPDX-License-Identifier: GPL-2.0
/*
 * The addresses of peers, and the table in which they and the prefixes behind
 * peers are.
 */
#include <linux/slab.h>

#include "addr.h"
#include "peer_address.h"
#include "policy.h"
#include "weaken.h"

struct veil_peer *veil_peer_lookup(struct veil_net *vn,
				   const struct in6_addr *addr)
{
	struct veil_prefix_node *node = veil_prefix_lookup(&vn->addresses, addr);
	const struct veil_address *address;

	if (!node)
		return NULL;
	address = container_of(node, struct veil_address, node);
	return address->behind ? NULL : address->peer;
}

/* What a request can be wrong by itself was refused there (netlink_config.c), and what
 * another peer has (netlink_peer.c).  A VRF's own address is found by its devices alone.
 */
int veil_peer_check_address(struct veil_net *vn, const struct in6_addr *addr,
			    struct netlink_ext_ack *extack)
{
	const struct veil_prefix prefix = {
		.addr = *addr,
		.length = VEIL_PREFIX_BITS,
	};
	struct net_device *dev;
	bool local = false;

	if (veil_policy_stays(vn, &prefix)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "an address has a policy of its own, where the peer's shall hold: veil policy del removes it, and veil sync replaces it without a gap");
		return -EADDRINUSE;
	}
	rcu_read_lock();
	for_each_netdev_rcu(vn->net, dev)
		local |= veil_addr_is_local(vn->net, dev, addr);
	rcu_read_unlock();
	if (local) {
		NL_SET_ERR_MSG_MOD(extack,
				   "an address is this host's own: give the peer's");
		return -EINVAL;
	}
	return 0;
}

/* A leaving peer's address gets its new owner without being nobody's in
 * between.
 */
static int veil_address_take_over(struct veil_prefix_table *table,
				  struct veil_address *new)
{
	struct veil_prefix_node *node = veil_prefix_find(table,
							 &new->node.prefix);
	struct veil_address *old = container_of(node, struct veil_address,
						node);
	int err;

	if (!node || !old->peer->leaving)
		return -EADDRINUSE;
	err = veil_prefix_replace(table, &old->node, &new->node);
	if (!err)
		new->replaced = old;
	return err;
}

static int veil_address_insert(struct veil_address *address)
{
	struct veil_prefix_table *table = &address->peer->vn->addresses;
	int err;

	/* Checked before; but a step may have added one since. */
	if (veil_policy_stays(address->peer->vn, &address->node.prefix))
		return -EADDRINUSE;
	veil_weaken_touch_network(address->peer->vn, &address->node.prefix);
	err = veil_prefix_insert(table, &address->node);
	return err == -EEXIST ? veil_address_take_over(table, address) : err;
}

static void veil_address_remove(struct veil_address *address)
{
	struct veil_prefix_table *table = &address->peer->vn->addresses;

	veil_weaken_touch_network(address->peer->vn, &address->node.prefix);
	if (address->replaced)
		veil_prefix_replace(table, &address->node,
				    &address->replaced->node);
	else
		veil_prefix_remove(table, &address->node);
}

int veil_address_add(struct veil_peer *peer, const struct veil_prefix *prefix,
		     bool behind, struct list_head *list)
{
	struct veil_address *address;
	int err;

	address = kzalloc(sizeof(*address), GFP_KERNEL_ACCOUNT);
	if (!address)
		return -ENOMEM;
	address->peer = peer;
	address->behind = behind;
	address->node.prefix = *prefix;
	err = veil_address_insert(address);
	if (err) {
		kfree(address);
		return err;
	}
	list_add_tail(&address->list, list);
	peer->prefix_count += behind;
	return 0;
}

static void veil_address_del(struct veil_address *address)
{
	veil_address_remove(address);
	list_del(&address->list);
	address->peer->prefix_count -= address->behind;
	kfree_rcu(address, rcu);
}

void veil_address_del_length(struct list_head *list, unsigned int length)
{
	struct veil_address *address, *next;

	list_for_each_entry_safe(address, next, list, list)
		if (address->node.prefix.length == length)
			veil_address_del(address);
}

void veil_address_del_all(struct list_head *list)
{
	struct veil_address *address, *next;

	list_for_each_entry_safe(address, next, list, list)
		veil_address_del(address);
}

struct veil_address *veil_address_find(struct list_head *list,
				       const struct in6_addr *addr)
{
	struct veil_address *address;

	list_for_each_entry(address, list, list)
		if (ipv6_addr_equal(&address->node.prefix.addr, addr))
			return address;
	return NULL;
}

int veil_peer_make_addresses(struct veil_peer *peer,
			     const struct veil_peer_config *config,
			     struct list_head *new)
{
	struct veil_prefix prefix = { .length = VEIL_PREFIX_BITS };
	unsigned int i;
	int err = 0;

	for (i = 0; i < config->address_count && !err; i++) {
		prefix.addr = config->addresses[i];
		if (!veil_address_find(&peer->addresses, &prefix.addr))
			err = veil_address_add(peer, &prefix, false, new);
	}
	return err;
}

void veil_peer_put_addresses(struct veil_peer *peer,
			     const struct veil_peer_config *config,
			     struct list_head *new)
{
	struct veil_address *address;
	LIST_HEAD(wanted);
	unsigned int i;

	if (!config->address_count)
		return;
	list_splice_tail(new, &peer->addresses);
	for (i = 0; i < config->address_count; i++) {
		address = veil_address_find(&peer->addresses,
					    &config->addresses[i]);
		list_move_tail(&address->list, &wanted);
	}
	veil_address_del_all(&peer->addresses);
	list_splice_tail(&wanted, &peer->addresses);
}
