// SPDX-License-Identifier: GPL-2.0
/*
 * Policies: of which kind an address's is, and who protects it; the prefixes that
 * an administrator gave one.
 */
#include <linux/slab.h>

#include "addr.h"
#include "netlink.h"
#include "network.h"
#include "peer.h"
#include "policy.h"
#include "trial.h"
#include "weaken.h"

/* Of "acquire", in each namespace and second. */
#define VEIL_ACQUIRE_BURST	10

static bool veil_policy_longer(const struct veil_prefix_node *node,
			       const struct veil_prefix_node *other)
{
	return node && (!other || node->prefix.length > other->prefix.length);
}

/* Whether the address is ours, not a peer's by own, only before a step or after it. */
static bool veil_policy_unsettled(struct veil_net *vn,
				  const struct in6_addr *addr,
				  const struct veil_prefix_node *own,
				  const struct veil_prefix_node *local)
{
	unsigned int between, seen = 0;

	while (veil_policy_longer(local, own)) {
		between = veil_network_between(local);
		seen |= between;
		if (!between || seen == (VEIL_LOCAL_COMES | VEIL_LOCAL_GOES))
			return false;
		/* Not 0: it is longer than own. */
		local = veil_prefix_lookup_within(&vn->locals, addr,
						  local->prefix.length - 1);
	}
	return true;
}

/* What would be a peer's but for a network of ours that comes or goes, or NULL. */
static struct veil_prefix_node *
veil_policy_search(struct veil_net *vn, const struct in6_addr *addr,
		   unsigned int longest, struct veil_found *found)
{
	struct veil_prefix_node *own, *set = NULL, *local = NULL;
	struct veil_prefix_node *hidden = NULL;

	own = veil_prefix_lookup_within(&vn->addresses, addr, longest);
	/* Namespaces without policies, the usual case, pay for one look-up. */
	if (READ_ONCE(vn->policy_count))
		set = veil_prefix_lookup_within(&vn->policies, addr, longest);
	if (READ_ONCE(vn->local_count))
		local = veil_prefix_lookup_within(&vn->locals, addr, longest);
	/* The first address of a prefix says nothing of the others (0.0.0.0/0). */
	if (own && longest == VEIL_PREFIX_BITS &&
	    container_of(own, struct veil_address, node)->behind &&
	    !veil_network_routable(addr))
		own = NULL;
	/* In ours and in what is behind a peer: the longer one says where. */
	if (own && veil_policy_longer(local, own)) {
		if (veil_policy_unsettled(vn, addr, own, local))
			hidden = own;
		own = NULL;
	}
	found->own = own;
	found->set = set;
	return hidden;
}

/* What it means now. */
static void veil_policy_read(const struct veil_found *found,
			     struct veil_policy *policy)
{
	struct veil_prefix_node *own = found->own, *set = found->set;
	const struct veil_address *address;

	memset(policy, 0, sizeof(*policy));
	if (own) {
		address = container_of(own, struct veil_address, node);
		policy->peer = address->peer;
		policy->behind = address->behind;
		policy->kind = READ_ONCE(address->peer->policy);
	}
	if (set && (!own || set->prefix.length > own->prefix.length)) {
		policy->node = container_of(set, struct veil_policy_node, node);
		policy->kind = READ_ONCE(policy->node->kind);
	}
	if (policy->kind == NETVEIL_POLICY_PREFER && policy->peer &&
	    (READ_ONCE(policy->peer->confirmed) ||
	     (policy->node && READ_ONCE(policy->peer->held))))
		policy->kind = NETVEIL_POLICY_REQUIRE;
}

/* Amid a step nobody has the address, whatever else the step changes, and who comes to
 * have it only in between gets nothing of it.  But a longer bypass, which is seen only
 * if it held before or will after, holds either way.
 */
static void veil_policy_hold(const struct veil_prefix_node *hidden,
			     struct veil_policy *policy)
{
	if (policy->kind == NETVEIL_POLICY_BYPASS &&
	    policy->node->node.prefix.length > hidden->prefix.length)
		return;
	policy->node = NULL;
	policy->behind = true;
	policy->kind = NETVEIL_POLICY_REQUIRE;
}

/*
 * Each packet of a peer's is looked up three times, and the next one is for the
 * same address: each CPU remembers the last one.  It is written with softirqs off,
 * and so in one go for who reads it in process context; who is interrupted in the
 * middle sees that @writes has moved.  What was found holds as long as the
 * tables have not changed: nodes live on for a grace period after that.
 */

static bool veil_policy_recall(const struct veil_net *vn,
			       struct veil_found *found)
{
	const struct veil_recent *recent = get_cpu_ptr(vn->recent);
	const struct veil_found *last = &recent->found;
	unsigned int writes = READ_ONCE(recent->writes);
	bool same;

	same = READ_ONCE(last->addr[1]) == found->addr[1] &&
	       READ_ONCE(last->addr[0]) == found->addr[0] &&
	       READ_ONCE(last->changes) == found->changes;
	found->own = READ_ONCE(last->own);
	found->set = READ_ONCE(last->set);
	same = same && READ_ONCE(recent->writes) == writes;
	put_cpu_ptr(vn->recent);
	return same;
}

/* A program's own packet comes by again at the fence, where softirqs are off. */
static void veil_policy_remember(const struct veil_net *vn,
				 const struct veil_found *found)
{
	struct veil_recent *recent;

	/* With PREEMPT_RT softirqs that are off can be preempted; and the number
	 * is to be one of 64 bits.
	 */
	if (IS_ENABLED(CONFIG_PREEMPT_RT) || !IS_ENABLED(CONFIG_64BIT) ||
	    !in_softirq() || in_hardirq())
		return;
	recent = this_cpu_ptr(vn->recent);
	WRITE_ONCE(recent->writes, recent->writes + 1);
	WRITE_ONCE(recent->found.addr[0], found->addr[0]);
	WRITE_ONCE(recent->found.addr[1], found->addr[1]);
	WRITE_ONCE(recent->found.changes, found->changes);
	WRITE_ONCE(recent->found.own, found->own);
	WRITE_ONCE(recent->found.set, found->set);
}

void veil_policy_lookup(struct veil_net *vn, const struct in6_addr *addr,
			struct veil_policy *policy)
{
	bool v4 = IS_ENABLED(CONFIG_64BIT) && veil_addr_is_v4(addr);
	struct veil_prefix_node *hidden;
	struct veil_found found;
	u64 word = 0;

	memcpy(found.addr, addr, sizeof(found.addr));
again:
	/* Before the search: what changes meanwhile changes the number. */
	found.changes = veil_policy_changes(vn);
	if (veil_policy_recall(vn, &found)) {
		veil_policy_read(&found, policy);
		return;
	}
	if (v4)
		word = veil_policy_word(veil_addr_v4(addr), found.changes);
	if (v4 && this_cpu_read(vn->recent->stranger) == word) {
		memset(policy, 0, sizeof(*policy));
		return;
	}
	hidden = veil_policy_search(vn, addr, VEIL_PREFIX_BITS, &found);
	/* What a step puts from one table into another was perhaps seen in neither:
	 * that it has left the one is read before that it had come into the other.
	 */
	smp_rmb();
	if (unlikely(found.changes != veil_policy_changes(vn)))
		goto again;
	veil_policy_read(&found, policy);
	if (unlikely(hidden))
		veil_policy_hold(hidden, policy);
	else if (v4 && !found.own && !found.set)
		this_cpu_write(vn->recent->stranger, word);
	else
		veil_policy_remember(vn, &found);
}

void veil_policy_lookup_prefix(struct veil_net *vn,
			       const struct veil_prefix *prefix,
			       struct veil_policy *policy)
{
	struct veil_found found;

	veil_policy_search(vn, &prefix->addr, prefix->length, &found);
	veil_policy_read(&found, policy);
}

enum netveil_policy veil_policy_stricter(struct veil_net *vn,
					 const struct veil_prefix *prefix,
					 enum netveil_policy kind)
{
	struct veil_policy policy;

	rcu_read_lock();
	veil_policy_lookup_prefix(vn, prefix, &policy);
	rcu_read_unlock();
	if (policy.kind == NETVEIL_POLICY_NONE)
		return kind;
	return min(kind, policy.kind);
}

/* The same for a new policy.  Not all within prefix is a peer's: a longer network may be
 * ours, and some addresses are in no network (veil_network_routable()).
 */
static enum netveil_policy veil_policy_held(struct veil_net *vn,
					    const struct veil_prefix *prefix,
					    enum netveil_policy kind)
{
	struct veil_prefix_node *around;

	kind = veil_policy_stricter(vn, prefix, kind);
	rcu_read_lock();
	around = veil_prefix_lookup_within(&vn->policies, &prefix->addr,
					   prefix->length);
	if (around)
		kind = min_t(enum netveil_policy, kind,
			     container_of(around, struct veil_policy_node,
					  node)->kind);
	rcu_read_unlock();
	return kind;
}

void veil_policy_passed(const struct veil_policy *policy, bool in)
{
	struct veil_clear *clear = policy->peer ? &policy->peer->clear :
						  &policy->node->clear;

	if (!in) {
		atomic64_inc(&clear->tx);
		return;
	}
	atomic64_inc(&clear->rx);
	WRITE_ONCE(clear->last, ktime_get_real_seconds());
}

void veil_policy_no_peer(struct veil_net *vn, const struct veil_policy *policy,
			 const struct in6_addr *addr, struct sk_buff *skb)
{
	if (!policy->node) {	/* veil_policy_hold() */
		veil_drop(vn, skb, VEIL_DROP_policy_changed);
		return;
	}
	atomic64_inc(&policy->node->drops);
	if (__ratelimit(&vn->acquire)) {
		const struct veil_event event = {
			.kind = NETVEIL_EVENT_ACQUIRE,
			.address = addr,
		};

		veil_netlink_tell(vn, &event);
	}
	veil_drop(vn, skb, VEIL_DROP_no_peer);
}

/*
 * The table
 */

struct veil_policy_node *veil_policy_find(struct veil_net *vn,
					  const struct veil_prefix *prefix)
{
	struct veil_prefix_node *node;

	rcu_read_lock();
	node = veil_prefix_find(&vn->policies, prefix);
	rcu_read_unlock();
	return node ? container_of(node, struct veil_policy_node, node) : NULL;
}

bool veil_policy_stays(struct veil_net *vn, const struct veil_prefix *prefix)
{
	const struct veil_policy_node *node = veil_policy_find(vn, prefix);

	return node && !node->leaving;
}

int veil_policy_claim(struct veil_net *vn, const struct veil_prefix *prefix)
{
	struct veil_policy_node *node = veil_policy_find(vn, prefix);

	if (node->changing)
		return -EALREADY;
	node->changing = true;
	return 0;
}

void veil_policy_leave(struct veil_net *vn, const struct veil_prefix *prefix)
{
	veil_policy_find(vn, prefix)->leaving = true;
}

void veil_policy_stay(struct veil_net *vn, const struct veil_prefix *prefix)
{
	struct veil_policy_node *node = veil_policy_find(vn, prefix);

	if (!node)
		return;
	node->leaving = false;
	node->changing = false;
}

static void veil_policy_tell(struct veil_net *vn, enum netveil_event kind,
			     const struct veil_policy_node *node)
{
	const struct veil_event event = {
		.kind = kind,
		.prefix = &node->node.prefix,
		.policy = node->kind,
	};

	veil_netlink_tell(vn, &event);
}

static int veil_policy_check_new(struct veil_net *vn,
				 const struct veil_prefix *prefix,
				 struct netlink_ext_ack *extack)
{
	struct veil_prefix_node *own;

	if (veil_trial_refuses(vn, extack))
		return -EBUSY;
	if (veil_policy_find(vn, prefix)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "this prefix has a policy already: veil policy set changes it");
		return -EEXIST;
	}
	rcu_read_lock();
	own = veil_prefix_find(&vn->addresses, prefix);
	rcu_read_unlock();
	if (own && !container_of(own, struct veil_address, node)->peer->leaving) {
		NL_SET_ERR_MSG_MOD(extack,
				   "this prefix is a peer's, whose own policy holds for it: veil peer set PUBKEY policy changes that");
		return -EADDRINUSE;
	}
	return 0;
}

int veil_policy_check(struct veil_net *vn, const struct veil_prefix *prefix,
		      bool new, struct netlink_ext_ack *extack)
{
	if (new)
		return veil_policy_check_new(vn, prefix, extack);
	if (veil_policy_find(vn, prefix))
		return 0;
	NL_SET_ERR_MSG_MOD(extack,
			   "this prefix has no policy: veil policy show lists those that have");
	return -ENOENT;
}

int veil_policy_add_held(struct veil_net *vn, const struct veil_prefix *prefix,
			 enum netveil_policy kind,
			 struct netlink_ext_ack *extack)
{
	struct veil_policy_node *node;
	int err = veil_policy_check_new(vn, prefix, extack);

	if (err)
		return err;
	node = kzalloc(sizeof(*node), GFP_KERNEL_ACCOUNT);
	if (!node)
		return -ENOMEM;
	node->node.prefix = *prefix;
	node->kind = veil_policy_held(vn, prefix, kind);
	node->wanted = kind;
	err = veil_net_activate(vn, extack);
	if (err)
		goto err_node;
	veil_weaken_touch_policy(vn, prefix);
	/* Before it is there: who finds none of it remembers that. */
	WRITE_ONCE(vn->policy_count, vn->policy_count + 1);
	err = veil_prefix_insert(&vn->policies, &node->node);
	if (!err) {
		list_add_tail(&node->list, &vn->policy_list);
		return 0;
	}
	WRITE_ONCE(vn->policy_count, vn->policy_count - 1);
	veil_net_settle(vn);
err_node:
	kfree(node);
	return err;
}

void veil_policy_keep(struct veil_net *vn, const struct veil_prefix *prefix)
{
	struct veil_policy_node *node = veil_policy_find(vn, prefix);

	WRITE_ONCE(node->kind, node->wanted);
	node->wanted = NETVEIL_POLICY_NONE;
	veil_policy_tell(vn, NETVEIL_EVENT_POLICY_ADDED, node);
}

int veil_policy_add(struct veil_net *vn, const struct veil_prefix *prefix,
		    enum netveil_policy kind, struct netlink_ext_ack *extack)
{
	int err;

	veil_weaken_begin(vn, "policy-added");
	err = veil_policy_add_held(vn, prefix, kind, extack);
	if (!err)
		veil_policy_keep(vn, prefix);
	veil_weaken_end(vn);
	return err;
}

int veil_policy_set(struct veil_net *vn, const struct veil_prefix *prefix,
		    enum netveil_policy kind, struct netlink_ext_ack *extack)
{
	struct veil_policy_node *node = veil_policy_find(vn, prefix);

	if (veil_trial_refuses(vn, extack))
		return -EBUSY;
	if (!node) {
		NL_SET_ERR_MSG_MOD(extack,
				   "this prefix has no policy: veil policy add gives it one");
		return -ENOENT;
	}
	veil_weaken_begin(vn, "policy-changed");
	veil_weaken_touch_policy(vn, prefix);
	WRITE_ONCE(node->kind, kind);
	node->changing = false;
	veil_policy_tell(vn, NETVEIL_EVENT_POLICY_ADDED, node);
	veil_weaken_end(vn);
	return 0;
}

static void veil_policy_remove(struct veil_net *vn,
			       struct veil_policy_node *node)
{
	veil_weaken_touch_policy(vn, &node->node.prefix);
	veil_prefix_remove(&vn->policies, &node->node);
	list_del(&node->list);
	WRITE_ONCE(vn->policy_count, vn->policy_count - 1);
	if (node->wanted == NETVEIL_POLICY_NONE)
		veil_policy_tell(vn, NETVEIL_EVENT_POLICY_REMOVED, node);
	kfree_rcu(node, rcu);
}

int veil_policy_del(struct veil_net *vn, const struct veil_prefix *prefix,
		    struct netlink_ext_ack *extack)
{
	struct veil_policy_node *node = veil_policy_find(vn, prefix);

	if (veil_trial_refuses(vn, extack))
		return -EBUSY;
	if (!node) {
		NL_SET_ERR_MSG_MOD(extack,
				   "this prefix has no policy: veil policy show lists those that have");
		return -ENOENT;
	}
	veil_weaken_begin(vn, "policy-removed");
	veil_policy_remove(vn, node);
	veil_weaken_end(vn);
	veil_net_settle(vn);
	return 0;
}

void veil_policy_flush(struct veil_net *vn)
{
	struct veil_policy_node *node, *next;

	list_for_each_entry_safe(node, next, &vn->policy_list, list)
		veil_policy_remove(vn, node);
	veil_net_settle(vn);
}

int veil_policies_init(struct veil_net *vn)
{
	INIT_LIST_HEAD(&vn->policy_list);
	ratelimit_state_init(&vn->acquire, HZ, VEIL_ACQUIRE_BURST);
	ratelimit_set_flags(&vn->acquire, RATELIMIT_MSG_ON_RELEASE);
	return veil_prefix_init(&vn->policies);
}

static void veil_policies_left(struct veil_prefix_node *node)
{
	WARN_ON_ONCE(1);
}

void veil_policies_exit(struct veil_net *vn)
{
	veil_prefix_destroy(&vn->policies, veil_policies_left);
}
