// SPDX-License-Identifier: GPL-2.0
/*
 * Telling when protection ends: see weaken.h.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/audit.h>
#include <linux/slab.h>

#include "addr.h"
#include "netlink.h"
#include "network.h"
#include "peer.h"
#include "policy.h"
#include "weaken.h"

/* Lines of one change in the kernel's log. */
#define VEIL_WEAKEN_LINES	16
/* An IPv6 address, a slash, a length, and a zero. */
#define VEIL_WEAKEN_TEXT	52

/* A prefix that this change touches; in veil_net.touched. */
struct veil_touched {
	struct veil_prefix_node node;
	struct list_head list;
	struct rcu_head rcu;
	bool required;			/* before it */
	bool ours;			/* before it, a local network */
	bool has_peer;
	u8 public_key[VEIL_KEY_LEN];	/* who protected it */
};

void veil_weaken_begin(struct veil_net *vn, const char *reason)
{
	lockdep_assert_held_write(&vn->lock);
	if (!vn->weaken_depth++)
		vn->weaken_reason = reason;
}

void veil_weaken_rarely(struct veil_net *vn, struct ratelimit_state *limit)
{
	lockdep_assert_held_write(&vn->lock);
	vn->weaken_limit = limit;
}

static bool veil_weaken_ours(struct veil_net *vn,
			     const struct veil_prefix *prefix)
{
	return veil_prefix_lookup_within(&vn->locals, &prefix->addr,
					 prefix->length);
}

/* What held for prefix before this change.  Of a shorter prefix that it touched
 * already only that note is true; a longer one that it left alone goes before.
 */
static void veil_weaken_before(struct veil_net *vn, struct veil_touched *touched)
{
	const struct veil_prefix *prefix = &touched->node.prefix;
	struct veil_prefix_node *noted, *own, *set;
	struct veil_policy policy;
	int longest = -1;

	rcu_read_lock();
	touched->ours = veil_weaken_ours(vn, prefix);
	noted = veil_prefix_lookup_within(&vn->touched, &prefix->addr,
					  prefix->length);
	own = veil_prefix_lookup_within(&vn->addresses, &prefix->addr,
					prefix->length);
	set = veil_prefix_lookup_within(&vn->policies, &prefix->addr,
					prefix->length);
	if (own)
		longest = own->prefix.length;
	if (set)
		longest = max_t(int, longest, set->prefix.length);
	if (noted && (int)noted->prefix.length >= longest) {
		touched->required = container_of(noted, struct veil_touched,
						 node)->required;
	} else {
		veil_policy_lookup_prefix(vn, prefix, &policy);
		touched->required = policy.kind == NETVEIL_POLICY_REQUIRE;
		touched->has_peer = policy.peer;
		if (policy.peer)
			memcpy(touched->public_key, policy.peer->public_key,
			       VEIL_KEY_LEN);
	}
	rcu_read_unlock();
}

void veil_weaken_touch(struct veil_net *vn, const struct veil_prefix *prefix)
{
	struct veil_touched *touched;
	struct veil_prefix_node *known;
	char where[VEIL_NET_WHERE];

	rcu_read_lock();
	known = veil_prefix_find(&vn->touched, prefix);
	rcu_read_unlock();
	if (known)
		return;
	touched = kzalloc(sizeof(*touched), GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
	touched->node.prefix = *prefix;
	veil_weaken_before(vn, touched);
	if (veil_prefix_insert(&vn->touched, &touched->node)) {
		/* Out of memory: say too much rather than nothing. */
		if (veil_net_may_log(vn, where))
			pr_warn("out of memory: whether %pI6c/%u is weakened%s is not known\n",
				&prefix->addr, prefix->length, where);
		kfree(touched);
		return;
	}
	list_add_tail(&touched->list, &vn->touched_list);
}

static bool veil_weaken_within(const struct veil_prefix *inner,
			       const struct veil_prefix *outer)
{
	return inner->length > outer->length &&
	       veil_addr_is_v4(&inner->addr) == veil_addr_is_v4(&outer->addr) &&
	       ipv6_prefix_equal(&inner->addr, &outer->addr, outer->length);
}

void veil_weaken_touch_network(struct veil_net *vn,
			       const struct veil_prefix *prefix)
{
	const struct veil_policy_node *node;

	veil_weaken_touch(vn, prefix);
	if (prefix->length == VEIL_PREFIX_BITS)
		return;
	cond_resched();
	list_for_each_entry(node, &vn->policy_list, list) {
		if (node->kind == NETVEIL_POLICY_PREFER &&
		    veil_weaken_within(&node->node.prefix, prefix))
			veil_weaken_touch(vn, &node->node.prefix);
	}
}

void veil_weaken_touch_policy(struct veil_net *vn,
			      const struct veil_prefix *prefix)
{
	const struct veil_prefix *ours;
	struct veil_local *local;
	bool own;

	/* First, for the note of a shorter prefix would hold for them as well. */
	list_for_each_entry(local, &vn->local_list, list) {
		cond_resched();
		ours = &local->node.prefix;
		if (!veil_weaken_within(ours, prefix))
			continue;
		rcu_read_lock();
		own = veil_prefix_lookup_within(&vn->addresses, &ours->addr,
						ours->length);
		rcu_read_unlock();
		if (own)
			veil_weaken_touch(vn, ours);
	}
	veil_weaken_touch(vn, prefix);
}

/* Whether longer prefixes share out all of prefix's addresses among them, so
 * that its own kind is nobody's.
 */
struct veil_weaken_cover {
	const struct veil_prefix *prefix;
	u32 parts[VEIL_PREFIX_BITS + 1];	/* of each length, disjoint */
};

static void veil_weaken_count(struct veil_net *vn,
			      struct veil_weaken_cover *cover,
			      const struct veil_prefix *part)
{
	struct veil_prefix_node *own, *set;

	if (!veil_weaken_within(part, cover->prefix))
		return;
	/* Only the outermost ones. */
	own = veil_prefix_lookup_within(&vn->addresses, &part->addr,
					part->length - 1);
	set = veil_prefix_lookup_within(&vn->policies, &part->addr,
					part->length - 1);
	if ((own && own->prefix.length > cover->prefix->length) ||
	    (set && set->prefix.length > cover->prefix->length))
		return;
	cover->parts[part->length]++;
}

static bool veil_weaken_complete(const struct veil_weaken_cover *cover)
{
	unsigned int length;
	u32 parts = 0;

	/* Two halves of a prefix are one of its length; an odd one is alone. */
	for (length = VEIL_PREFIX_BITS; length > cover->prefix->length;
	     length--) {
		parts += cover->parts[length];
		if (parts % 2)
			return false;
		parts /= 2;
	}
	return parts;
}

static bool veil_weaken_covered(struct veil_net *vn,
				const struct veil_prefix *prefix)
{
	struct veil_weaken_cover *cover;
	struct veil_policy_node *node;
	struct veil_address *address;
	struct veil_peer *peer;
	bool complete;

	if (prefix->length == VEIL_PREFIX_BITS)
		return false;
	cover = kzalloc(sizeof(*cover), GFP_KERNEL);
	if (!cover)
		return false;
	cover->prefix = prefix;
	rcu_read_lock();
	list_for_each_entry(node, &vn->policy_list, list)
		veil_weaken_count(vn, cover, &node->node.prefix);
	list_for_each_entry(peer, &vn->peers, list) {
		list_for_each_entry(address, &peer->addresses, list)
			veil_weaken_count(vn, cover, &address->node.prefix);
		list_for_each_entry(address, &peer->prefixes, list)
			veil_weaken_count(vn, cover, &address->node.prefix);
	}
	rcu_read_unlock();
	complete = veil_weaken_complete(cover);
	kfree(cover);
	return complete;
}

/* Whether longer networks of ours share out all of prefix's addresses. */
static bool veil_weaken_split(struct veil_net *vn,
			      const struct veil_prefix *prefix)
{
	struct veil_weaken_cover *cover;
	struct veil_prefix_node *outer;
	const struct veil_prefix *part;
	struct veil_local *local;
	bool complete;

	cover = kzalloc(sizeof(*cover), GFP_KERNEL);
	if (!cover)
		return false;
	cover->prefix = prefix;
	rcu_read_lock();
	list_for_each_entry(local, &vn->local_list, list) {
		part = &local->node.prefix;
		if (!veil_weaken_within(part, prefix))
			continue;
		outer = veil_prefix_lookup_within(&vn->locals, &part->addr,
						  part->length - 1);
		if (!outer || outer->prefix.length <= prefix->length)
			cover->parts[part->length]++;
	}
	rcu_read_unlock();
	complete = veil_weaken_complete(cover);
	kfree(cover);
	return complete;
}

static void veil_weaken_print(char text[VEIL_WEAKEN_TEXT],
			      const struct veil_prefix *prefix)
{
	unsigned int all = 128, length = prefix->length;
	int len;

	if (veil_addr_is_v4(&prefix->addr) && length >= 96) {
		all = 32;
		length -= 96;
		len = snprintf(text, VEIL_WEAKEN_TEXT, "%pI4",
			       &prefix->addr.s6_addr32[3]);
	} else {
		len = snprintf(text, VEIL_WEAKEN_TEXT, "%pI6c", &prefix->addr);
	}
	if (length < all)
		snprintf(text + len, VEIL_WEAKEN_TEXT - len, "/%u", length);
}

static void veil_weaken_audit(const struct veil_net *vn, const char *text)
{
	struct audit_buffer *buffer;

	buffer = audit_log_start(audit_context(), GFP_KERNEL,
				 AUDIT_KERNEL_OTHER);
	if (!buffer)
		return;
	audit_log_format(buffer, "module=netveil op=weakened reason=%s prefix=%s",
			 vn->weaken_reason, text);
	audit_log_format(buffer, " netns=%u pid=%d uid=%u auid=%u",
			 vn->net->ns.inum, task_tgid_nr(current),
			 from_kuid(&init_user_ns, current_uid()),
			 from_kuid(&init_user_ns, audit_get_loginuid(current)));
	audit_log_end(buffer);
}

/* lost: how many were told of before, of this change. */
static void veil_weaken_tell(struct veil_net *vn,
			     const struct veil_touched *touched, bool log,
			     unsigned int lost)
{
	const struct veil_event event = {
		.kind = NETVEIL_EVENT_WEAKENED,
		.public_key = touched->has_peer ? touched->public_key : NULL,
		.prefix = &touched->node.prefix,
		.reason = vn->weaken_reason,
	};
	char text[VEIL_WEAKEN_TEXT], where[VEIL_NET_WHERE];

	veil_netlink_tell(vn, &event);
	if (!log || !veil_net_may_log(vn, where))
		return;
	veil_weaken_print(text, &touched->node.prefix);
	if (lost < VEIL_WEAKEN_LINES)
		pr_notice("%s is no longer protected%s: %s\n", text, where,
			  vn->weaken_reason);
	veil_weaken_audit(vn, text);
}

/* Whether there is anybody with whom a local network's traffic is protected. */
static bool veil_weaken_anybody(struct veil_net *vn)
{
	struct veil_policy_node *node;
	struct veil_peer *peer;

	list_for_each_entry(node, &vn->policy_list, list) {
		if (node->kind == NETVEIL_POLICY_REQUIRE)
			return true;
	}
	list_for_each_entry(peer, &vn->peers, list) {
		if (peer->policy == NETVEIL_POLICY_REQUIRE ||
		    (peer->policy == NETVEIL_POLICY_PREFER &&
		     READ_ONCE(peer->confirmed)))
			return true;
	}
	return false;
}

/* What was required and is not, whole or in parts.  And of a network that was ours
 * and is not, what it exchanges with peers' own addresses: that is in clear again
 * (veil_hooks_ours()), unless a peer has it behind itself, whatever a policy says.
 */
static bool veil_weaken_lost(struct veil_net *vn,
			     const struct veil_touched *touched)
{
	const struct veil_prefix *prefix = &touched->node.prefix;
	struct veil_policy policy;
	bool required, ours;

	if (!touched->required && !touched->ours)
		return false;
	rcu_read_lock();
	veil_policy_lookup_prefix(vn, prefix, &policy);
	ours = veil_weaken_ours(vn, prefix);
	rcu_read_unlock();
	required = policy.kind == NETVEIL_POLICY_REQUIRE;
	if (touched->required && !required && !veil_weaken_covered(vn, prefix))
		return true;
	return touched->ours && !ours && !(required && policy.peer) &&
	       veil_weaken_anybody(vn) && !veil_weaken_split(vn, prefix);
}

void veil_weaken_end(struct veil_net *vn)
{
	struct veil_touched *touched, *next;
	unsigned int lost = 0;
	bool log = true;

	if (--vn->weaken_depth)
		return;
	/* Whatever is asked to change comes by here; and sessions that end, which a peer
	 * can have do so all the time.
	 */
	if (!vn->weaken_limit)
		vn->generation++;
	list_for_each_entry_safe(touched, next, &vn->touched_list, list) {
		cond_resched();
		/* With the namespace goes what there was to protect. */
		if (!READ_ONCE(vn->dying) && veil_weaken_lost(vn, touched)) {
			if (!lost && vn->weaken_limit)
				log = __ratelimit(vn->weaken_limit);
			veil_weaken_tell(vn, touched, log, lost++);
		}
		veil_prefix_remove(&vn->touched, &touched->node);
		list_del(&touched->list);
		kfree_rcu(touched, rcu);
	}
	vn->weaken_limit = NULL;
	if (log && lost > VEIL_WEAKEN_LINES &&
	    vn->net->user_ns == &init_user_ns)
		pr_notice("and %u more are no longer protected: %s\n",
			  lost - VEIL_WEAKEN_LINES, vn->weaken_reason);
}

int veil_weaken_init(struct veil_net *vn)
{
	INIT_LIST_HEAD(&vn->touched_list);
	return veil_prefix_init(&vn->touched);
}

static void veil_weaken_left(struct veil_prefix_node *node)
{
	WARN_ON_ONCE(1);
}

void veil_weaken_exit(struct veil_net *vn)
{
	veil_prefix_destroy(&vn->touched, veil_weaken_left);
}
