// SPDX-License-Identifier: GPL-2.0
/*
 * Networks: prefixes behind peers, and our own.
 */
#include <linux/slab.h>

#include "addr.h"
#include "network.h"
#include "peer_address.h"
#include "policy.h"
#include "weaken.h"

bool veil_network_routable(const struct in6_addr *addr)
{
	__be32 v4;

	if (veil_addr_is_v4(addr)) {
		v4 = veil_addr_v4(addr);
		return !ipv4_is_multicast(v4) && !ipv4_is_lbcast(v4) &&
		       !ipv4_is_loopback(v4) && !ipv4_is_zeronet(v4) &&
		       !ipv4_is_linklocal_169(v4);
	}
	return ipv6_addr_type(addr) & IPV6_ADDR_UNICAST &&
	       !(ipv6_addr_type(addr) & (IPV6_ADDR_LINKLOCAL |
					 IPV6_ADDR_LOOPBACK));
}

bool veil_network_behind(struct veil_net *vn, const struct in6_addr *addr)
{
	struct veil_prefix_node *node;

	/* /128 is left out: a host has no network behind itself. */
	node = veil_prefix_lookup_within(&vn->addresses, addr,
					 VEIL_PREFIX_BITS - 1);
	return node;
}

bool veil_network_local(struct veil_net *vn, const struct in6_addr *addr)
{
	return READ_ONCE(vn->local_count) &&
	       veil_prefix_lookup(&vn->locals, addr);
}

/* Longer prefixes win, so only equal ones are in each other's way. */
static int veil_network_refuse_equal(struct veil_net *vn,
				     const struct veil_prefix *prefix,
				     struct netlink_ext_ack *extack)
{
	if (veil_policy_stays(vn, prefix)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "prefix has a policy of its own: veil policy del removes it, and veil sync replaces it without a gap");
		return -EADDRINUSE;
	}
	return 0;
}

static int veil_network_check_form(const struct veil_prefix *prefix,
				   struct netlink_ext_ack *extack)
{
	static const struct in6_addr any_v4 = {
		.s6_addr = { [10] = 0xff, [11] = 0xff }
	};

	if (!veil_prefix_is_network(prefix)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "prefix has bits set behind its length");
		return -EINVAL;
	}
	/* These two are all unicast ones: see veil_network_routable(). */
	if (!prefix->length || (ipv6_addr_equal(&prefix->addr, &any_v4) &&
				prefix->length == 96))
		return 0;
	if (!veil_network_routable(&prefix->addr)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "prefix is no unicast network that packets are routed to");
		return -EINVAL;
	}
	return 0;
}

static struct veil_address *veil_network_find(struct veil_net *vn,
					      const struct veil_prefix *prefix)
{
	struct veil_prefix_node *node = veil_prefix_find(&vn->addresses, prefix);

	return node ? container_of(node, struct veil_address, node) : NULL;
}

static struct veil_local *veil_network_find_local(struct veil_net *vn,
						  const struct veil_prefix *prefix)
{
	struct veil_prefix_node *node = veil_prefix_find(&vn->locals, prefix);

	return node ? container_of(node, struct veil_local, node) : NULL;
}

int veil_network_check(struct veil_net *vn, const u8 *public_key,
		       const struct veil_prefix *prefix,
		       struct netlink_ext_ack *extack)
{
	struct veil_address *address;
	struct veil_local *local;
	int err;

	err = veil_network_check_form(prefix, extack);
	if (!err)
		err = veil_network_refuse_equal(vn, prefix, extack);
	if (err)
		return err;
	local = veil_network_find_local(vn, prefix);
	if (local && !local->leaving) {
		NL_SET_ERR_MSG_MOD(extack,
				   "prefix is a local one: veil set no-local forgets those");
		return -EADDRINUSE;
	}
	address = veil_network_find(vn, prefix);
	if (!address || address->peer->leaving)
		return 0;
	if (address->behind && !memcmp(address->peer->public_key, public_key,
				       VEIL_KEY_LEN))
		return 0;
	NL_SET_ERR_MSG_MOD(extack,
			   "prefix belongs to another peer, or is this one's own address: veil peer show tells");
	return -EADDRINUSE;
}

int veil_network_check_local(struct veil_net *vn,
			     const struct veil_prefix *prefix,
			     struct netlink_ext_ack *extack)
{
	const struct veil_address *address;
	int err = veil_network_check_form(prefix, extack);

	if (!err)
		err = veil_network_refuse_equal(vn, prefix, extack);
	address = veil_network_find(vn, prefix);
	if (!err && address && !address->peer->leaving) {
		NL_SET_ERR_MSG_MOD(extack,
				   "prefix is a peer's: veil peer show tells whose");
		err = -EADDRINUSE;
	}
	return err;
}

int veil_network_make(struct veil_peer *peer,
		      const struct veil_peer_config *config,
		      struct list_head *new)
{
	struct veil_address *address;
	unsigned int i;
	int err = 0;

	for (i = 0; i < config->prefix_count && !err; i++) {
		address = veil_network_find(peer->vn, &config->prefixes[i]);
		if (!address || address->peer->leaving)
			err = veil_address_add(peer, &config->prefixes[i],
					       true, new);
		else if (address->peer != peer || !address->behind)
			err = -EADDRINUSE;	/* by one of the same request */
	}
	return err;
}

void veil_network_put(struct veil_peer *peer,
		      const struct veil_peer_config *config)
{
	struct veil_address *address;
	LIST_HEAD(wanted);
	unsigned int i;

	if (!config->prefix_count && !config->no_prefix)
		return;
	for (i = 0; i < config->prefix_count; i++) {
		address = veil_network_find(peer->vn, &config->prefixes[i]);
		list_move_tail(&address->list, &wanted);
	}
	veil_address_del_all(&peer->prefixes);
	list_splice_tail(&wanted, &peer->prefixes);
}

static void veil_network_del_local(struct veil_net *vn,
				   struct veil_local *local)
{
	veil_prefix_remove(&vn->locals, &local->node);
	list_del(&local->list);
	WRITE_ONCE(vn->local_count, vn->local_count - 1);
	kfree_rcu(local, rcu);
}

static int veil_network_make_local(struct veil_net *vn,
				   const struct veil_prefix *prefix)
{
	struct veil_local *local;
	int err;

	local = kzalloc(sizeof(*local), GFP_KERNEL_ACCOUNT);
	if (!local)
		return -ENOMEM;
	local->node.prefix = *prefix;
	local->between = VEIL_LOCAL_COMES;
	/* As in veil_policy_add(). */
	WRITE_ONCE(vn->local_count, vn->local_count + 1);
	err = veil_prefix_insert(&vn->locals, &local->node);
	if (err) {
		WRITE_ONCE(vn->local_count, vn->local_count - 1);
		kfree(local);
		return err;
	}
	list_add_tail(&local->list, &vn->local_list);
	return 0;
}

void veil_network_leave_locals(struct veil_net *vn,
			       const struct veil_prefix *prefixes,
			       unsigned int count)
{
	struct veil_local *local;
	unsigned int i;

	list_for_each_entry(local, &vn->local_list, list)
		local->leaving = true;
	for (i = 0; i < count; i++) {
		local = veil_network_find_local(vn, &prefixes[i]);
		if (local)
			local->leaving = false;
	}
	/* Before those around them: what holds within is not what holds there. */
	list_for_each_entry(local, &vn->local_list, list)
		if (local->leaving)
			veil_weaken_touch(vn, &local->node.prefix);
	/* What is ours is not behind a peer any more. */
	for (i = 0; i < count; i++)
		if (!veil_network_find_local(vn, &prefixes[i]))
			veil_weaken_touch_network(vn, &prefixes[i]);
}

void veil_network_stay_locals(struct veil_net *vn)
{
	struct veil_local *local;

	list_for_each_entry(local, &vn->local_list, list)
		local->leaving = false;
}

int veil_network_make_locals(struct veil_net *vn,
			     const struct veil_prefix *prefixes,
			     unsigned int count)
{
	struct veil_local *local, *next;
	bool any = false;
	unsigned int i;
	int err = 0;

	veil_network_leave_locals(vn, prefixes, count);
	for (i = 0; i < count && !err; i++) {
		local = veil_network_find_local(vn, &prefixes[i]);
		if (local)	/* in the order they are given */
			list_move_tail(&local->list, &vn->local_list);
		else
			err = veil_network_make_local(vn, &prefixes[i]);
	}
	list_for_each_entry_safe(local, next, &vn->local_list, list) {
		if (!err && local->leaving)
			WRITE_ONCE(local->between, VEIL_LOCAL_GOES);
		any |= local->between;
		if (err && local->between)
			veil_network_del_local(vn, local);
	}
	if (err) {
		veil_network_stay_locals(vn);
	} else if (any) {
		veil_prefix_changed(&vn->locals);
		/* Who has looked an address up before is done with it. */
		synchronize_net();
	}
	return err;
}

void veil_network_put_locals(struct veil_net *vn)
{
	struct veil_local *local, *next;

	/* Those that go are in front: an address that stays ours by another is. */
	list_for_each_entry_safe_reverse(local, next, &vn->local_list, list) {
		if (local->leaving)
			veil_network_del_local(vn, local);
		else	/* Pairs with the barrier in veil_policy_lookup(). */
			smp_store_release(&local->between, 0);
	}
}

int veil_networks_init(struct veil_net *vn)
{
	INIT_LIST_HEAD(&vn->local_list);
	return veil_prefix_init(&vn->locals);
}

static void veil_network_release(struct veil_prefix_node *node)
{
	kfree(container_of(node, struct veil_local, node));
}

/* No packet path is left. */
void veil_networks_exit(struct veil_net *vn)
{
	veil_prefix_destroy(&vn->locals, veil_network_release);
}
