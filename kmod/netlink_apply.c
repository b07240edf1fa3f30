// SPDX-License-Identifier: GPL-2.0
/*
 * Many changes as one step, for configuration files: all or nothing, and nothing
 * unprotected in between.
 *
 * Under vn->lock, first everything is read and checked.  Then what is new is added,
 * what protects first, and for now no weaker than what held before; it takes over
 * addresses, networks and keys from what leaves.  What known peers get is made as well,
 * beside them.  That can be undone, and is if memory runs out: nothing was in clear
 * meanwhile.  Then comes what cannot fail any more: changes, then what is removed, what
 * protects last, and at the end what is new becomes as weak as it is to be.  A grace
 * period lies before the changes and before the end: no look-up that has missed what is
 * stricter finds what is weaker.  What is in a network of ours that comes or goes, and
 * in a shorter one of a peer's, is dropped all the while.
 */
#include <linux/sched.h>
#include <linux/sort.h>
#include <net/genetlink.h>

#include "flows.h"
#include "netlink_peer.h"
#include "network.h"
#include "session.h"
#include "trial.h"
#include "weaken.h"

struct veil_nl_change {
	struct nlattr *attr;		/* NETVEIL_A_CHANGE, in the request */
	struct veil_peer *peer;		/* added, set or leaving */
	struct veil_nl_set *set;	/* of one that is set */
	bool done;			/* a policy was added */
	u8 command;
};

/* vn->lock written. */
struct veil_nl_step {
	struct veil_net *vn;
	struct genl_info *info;
	struct veil_nl_change *changes;
	size_t count;
};

static const struct nla_policy veil_nl_change_policy[] = {
	[NETVEIL_A_PEER]	= NLA_POLICY_NESTED(veil_peer_set_policy),
	[NETVEIL_A_PREFIX]	= NLA_POLICY_RANGE(NLA_BINARY, 5, 17),
	[NETVEIL_A_POLICY]	= NLA_POLICY_RANGE(NLA_U8, NETVEIL_POLICY_REQUIRE,
						   NETVEIL_POLICY_BYPASS),
	[NETVEIL_A_COMMAND]	= { .type = NLA_U8 },
};

const struct nla_policy veil_nl_apply_request[NETVEIL_A_MAX + 1] = {
	VEIL_NL_SET_POLICY,
	[NETVEIL_A_CHANGE]	= NLA_POLICY_NESTED(veil_nl_change_policy),
};

/* A change as if it were a request of its own. */
struct veil_nl_part {
	struct genl_info info;
	struct genlmsghdr header;
	struct nlattr *attrs[NETVEIL_A_MAX + 1];
};

/* Of a peer's change and a prefix's neither may bring what the other takes. */
static int veil_nl_check_kind(struct veil_nl_part *part,
			      struct netlink_ext_ack *extack)
{
	struct nlattr *peer = part->attrs[NETVEIL_A_PEER];

	if (!peer || (!part->attrs[NETVEIL_A_PREFIX] &&
		      !part->attrs[NETVEIL_A_POLICY]))
		return 0;
	NL_SET_ERR_MSG_ATTR(extack, peer,
			    "a change is of a peer or of a prefix, not of both");
	return -EINVAL;
}

static int veil_nl_get_part(struct veil_nl_step *step,
			    struct veil_nl_change *change,
			    struct veil_nl_part *part)
{
	struct netlink_ext_ack *extack = step->info->extack;
	int err;

	memset(part->attrs, 0, sizeof(part->attrs));
	err = nla_parse_nested(part->attrs,
			       ARRAY_SIZE(veil_nl_change_policy) - 1,
			       change->attr, veil_nl_change_policy, extack);
	if (err)
		return err;
	if (!part->attrs[NETVEIL_A_COMMAND]) {
		NL_SET_ERR_MSG_ATTR(extack, change->attr,
				    "a change wants its command");
		return -EINVAL;
	}
	err = veil_nl_check_kind(part, extack);
	if (err)
		return err;
	change->command = nla_get_u8(part->attrs[NETVEIL_A_COMMAND]);
	part->info = *step->info;
	part->info.attrs = part->attrs;
	part->info.genlhdr = &part->header;
	part->header = *step->info->genlhdr;
	part->header.cmd = change->command;
	cond_resched();
	return 0;
}

static int veil_nl_check_leaving(struct veil_nl_step *step,
				 struct veil_nl_change *change,
				 struct veil_nl_part *part)
{
	struct veil_peer *peer;
	int err = veil_nl_name_peer(step->vn, &part->info, &peer);

	if (err)
		return err;
	if (peer->leaving) {
		NL_SET_ERR_MSG_ATTR(part->info.extack, change->attr,
				    "a peer is removed twice");
		return -EINVAL;
	}
	peer->leaving = true;
	change->peer = peer;
	return 0;
}

/* A set peer's new addresses could not be given back: it is removed and added. */
static int veil_nl_check_known(struct veil_nl_step *step,
			       struct veil_nl_change *change,
			       struct veil_nl_part *part)
{
	struct nlattr *peer = part->attrs[NETVEIL_A_PEER];
	struct nlattr *address = NULL;
	int err;

	if (peer)
		address = nla_find_nested(peer, NETVEIL_PEER_A_ADDRESS) ?:
			  nla_find_nested(peer, NETVEIL_PEER_A_PREFIX) ?:
			  nla_find_nested(peer, NETVEIL_PEER_A_NO_PREFIX);
	if (address) {
		NL_SET_ERR_MSG_ATTR(part->info.extack, address,
				    "addresses and prefixes are not set in such a step: remove the peer and add it");
		return -EOPNOTSUPP;
	}
	err = veil_nl_change_peer(step->vn, &part->info, &change->peer,
				  VEIL_NL_CHECK);
	if (err)
		return err;
	if (change->peer->leaving) {
		NL_SET_ERR_MSG_ATTR(part->info.extack, change->attr,
				    "a peer is set and removed");
		return -EINVAL;
	}
	/* Each is checked against what there is before the step. */
	if (change->peer->changing) {
		NL_SET_ERR_MSG_ATTR(part->info.extack, change->attr,
				    "a peer is set twice: say all of it at once");
		return -EINVAL;
	}
	change->peer->changing = true;
	return 0;
}

static int veil_nl_check_part(struct veil_nl_step *step,
			      struct veil_nl_change *change,
			      struct veil_nl_part *part, bool leaving)
{
	bool leaves = change->command == NETVEIL_CMD_PEER_DEL ||
		      change->command == NETVEIL_CMD_POLICY_DEL;
	struct veil_peer *none = NULL;

	if (leaving != leaves)
		return 0;
	switch (change->command) {
	case NETVEIL_CMD_PEER_DEL:
		return veil_nl_check_leaving(step, change, part);
	case NETVEIL_CMD_PEER_SET:
		return veil_nl_check_known(step, change, part);
	case NETVEIL_CMD_PEER_ADD:
		return veil_nl_change_peer(step->vn, &part->info, &none,
					   VEIL_NL_CHECK);
	case NETVEIL_CMD_POLICY_ADD:
	case NETVEIL_CMD_POLICY_SET:
	case NETVEIL_CMD_POLICY_DEL:
		return veil_nl_policy_step(step->vn, &part->info,
					   VEIL_NL_CHECK);
	default:
		NL_SET_ERR_MSG_ATTR(part->info.extack, change->attr,
				    "this command cannot be part of a step");
		return -EOPNOTSUPP;
	}
}

/* Those that leave are known before what may take over from them. */
static int veil_nl_check_step(struct veil_nl_step *step, bool leaving)
{
	struct veil_nl_part part;
	size_t i;
	int err = 0;

	for (i = 0; i < step->count && !err; i++) {
		err = veil_nl_get_part(step, &step->changes[i], &part);
		if (!err)
			err = veil_nl_check_part(step, &step->changes[i], &part,
						 leaving);
	}
	return err;
}

static size_t veil_nl_list_key(const struct nlattr *peer, int type,
			       const u8 **keys)
{
	const struct nlattr *key = nla_find_nested(peer, type);

	if (!key)
		return 0;
	*keys = nla_data(key);
	return 1;
}

/* What peers will be known by that are not yet: at most two keys of each change. */
static size_t veil_nl_list_keys(struct veil_nl_step *step, const u8 **keys)
{
	struct veil_nl_part part;
	struct nlattr *peer;
	size_t i, count = 0;

	for (i = 0; i < step->count; i++) {
		u8 command = step->changes[i].command;

		if (command != NETVEIL_CMD_PEER_ADD &&
		    command != NETVEIL_CMD_PEER_SET)
			continue;
		if (veil_nl_get_part(step, &step->changes[i], &part))
			continue;	/* never: it was read before */
		peer = part.attrs[NETVEIL_A_PEER];
		if (command == NETVEIL_CMD_PEER_ADD)
			count += veil_nl_list_key(peer,
						  NETVEIL_PEER_A_PUBLIC_KEY,
						  &keys[count]);
		count += veil_nl_list_key(peer, NETVEIL_PEER_A_NEXT_KEY,
					  &keys[count]);
	}
	return count;
}

static int veil_nl_compare_keys(const void *one, const void *other)
{
	return memcmp(*(const u8 **)one, *(const u8 **)other, VEIL_KEY_LEN);
}

/* Each change was checked against what there is; this is among themselves. */
static int veil_nl_check_keys(struct veil_nl_step *step)
{
	size_t i, count;
	const u8 **keys;
	int err = 0;

	keys = kvmalloc_array(step->count, 2 * sizeof(*keys),
			      GFP_KERNEL_ACCOUNT);
	if (!keys)
		return -ENOMEM;
	count = veil_nl_list_keys(step, keys);
	sort(keys, count, sizeof(*keys), veil_nl_compare_keys, NULL);
	for (i = 1; i < count && !err; i++) {
		if (veil_nl_compare_keys(&keys[i - 1], &keys[i]))
			continue;
		NL_SET_ERR_MSG_MOD(step->info->extack,
				   "a key is given to two peers");
		err = -EEXIST;
	}
	kvfree(keys);
	return err;
}

/* The policy that a change brings. */
static u8 veil_nl_kind(const struct veil_nl_part *part)
{
	const struct nlattr *peer = part->attrs[NETVEIL_A_PEER];
	const struct nlattr *kind;

	kind = peer ? nla_find_nested(peer, NETVEIL_PEER_A_POLICY) :
		      part->attrs[NETVEIL_A_POLICY];
	return kind ? nla_get_u8(kind) : NETVEIL_POLICY_REQUIRE;
}

/* What is new, if it is of this kind. */
static int veil_nl_add_one(struct veil_nl_step *step,
			   struct veil_nl_change *change, u8 kind)
{
	struct veil_nl_part part;
	int err = veil_nl_get_part(step, change, &part);

	if (err || veil_nl_kind(&part) != kind)
		return err;
	if (change->command == NETVEIL_CMD_PEER_ADD)
		return veil_nl_change_peer(step->vn, &part.info, &change->peer,
					   VEIL_NL_MAKE);
	err = veil_nl_policy_step(step->vn, &part.info, VEIL_NL_MAKE);
	change->done = !err;
	return err;
}

/* The stricter kinds first: a shorter prefix of a weaker kind would hold for the
 * longer one's addresses until that is there.
 */
static int veil_nl_add(struct veil_nl_step *step)
{
	u8 kind, command;
	int err = 0;
	size_t i;

	for (kind = NETVEIL_POLICY_REQUIRE; kind <= NETVEIL_POLICY_BYPASS;
	     kind++) {
		for (i = 0; i < step->count && !err; i++) {
			command = step->changes[i].command;
			if (command == NETVEIL_CMD_PEER_ADD ||
			    command == NETVEIL_CMD_POLICY_ADD)
				err = veil_nl_add_one(step, &step->changes[i],
						      kind);
		}
	}
	return err;
}

static int veil_nl_make_sets(struct veil_nl_step *step)
{
	struct veil_nl_change *change;
	struct veil_nl_part part;
	size_t i;
	int err = 0;

	for (i = 0; i < step->count && !err; i++) {
		change = &step->changes[i];
		if (change->command != NETVEIL_CMD_PEER_SET)
			continue;
		err = veil_nl_get_part(step, change, &part);
		if (!err)
			err = veil_nl_make_set(&part.info, change->peer,
					       &change->set);
	}
	return err;
}

/* Put into their places, or freed, if they were made. */
static void veil_nl_end_sets(struct veil_nl_step *step, bool put)
{
	struct veil_nl_change *change;
	size_t i;

	for (i = 0; i < step->count; i++) {
		change = &step->changes[i];
		if (change->command == NETVEIL_CMD_PEER_SET && change->peer)
			change->peer->changing = false;
		if (!change->set)
			continue;
		if (put)
			veil_peer_put_change(change->peer, &change->set->config,
					     &change->set->change);
		else
			veil_peer_free(change->peer, &change->set->change);
		kfree_sensitive(change->set);
		change->set = NULL;
		cond_resched();
	}
}

/* Those that become require, or the others. */
static void veil_nl_set_policies(struct veil_nl_step *step, bool require)
{
	struct veil_nl_change *change;
	struct veil_nl_part part;
	size_t i;

	for (i = 0; i < step->count; i++) {
		change = &step->changes[i];
		if (change->command == NETVEIL_CMD_POLICY_SET &&
		    !veil_nl_get_part(step, change, &part) &&
		    (veil_nl_kind(&part) == NETVEIL_POLICY_REQUIRE) == require)
			veil_nl_policy_step(step->vn, &part.info, VEIL_NL_MAKE);
	}
}

/* What was added, if it is of this kind. */
static void veil_nl_take_back(struct veil_nl_step *step,
			      struct veil_nl_change *change, u8 kind)
{
	struct veil_nl_part part;

	if (change->command == NETVEIL_CMD_PEER_ADD && change->peer &&
	    change->peer->wanted == kind) {
		veil_peer_forget(change->peer);
		change->peer = NULL;
	}
	if (change->done && !veil_nl_get_part(step, change, &part) &&
	    veil_nl_kind(&part) == kind)
		veil_nl_policy_step(step->vn, &part.info, VEIL_NL_UNDO);
	cond_resched();
}

static void veil_nl_stay_one(struct veil_nl_step *step,
			     struct veil_nl_change *change)
{
	struct veil_nl_part part;

	if (change->command == NETVEIL_CMD_PEER_DEL && change->peer) {
		change->peer->leaving = false;
		change->peer->succeeded = false;
	}
	if ((change->command == NETVEIL_CMD_POLICY_DEL ||
	     change->command == NETVEIL_CMD_POLICY_SET) &&
	    !veil_nl_get_part(step, change, &part))
		veil_nl_policy_step(step->vn, &part.info, VEIL_NL_UNDO);
}

static void veil_nl_undo(struct veil_nl_step *step)
{
	size_t i;
	u8 kind;

	veil_nl_end_sets(step, false);
	/* As it came. */
	for (kind = NETVEIL_POLICY_BYPASS; kind; kind--)
		for (i = step->count; i--;)
			veil_nl_take_back(step, &step->changes[i], kind);
	for (i = 0; i < step->count; i++)
		veil_nl_stay_one(step, &step->changes[i]);
	veil_network_stay_locals(step->vn);
}

/* Those that leave, and those whose sessions end because they prefer again: before the
 * step and after it what is preferred within their networks may be protected.
 */
static void veil_nl_hold_peers(struct veil_nl_step *step)
{
	struct veil_nl_change *change;
	size_t i;

	for (i = 0; i < step->count; i++) {
		change = &step->changes[i];
		if (change->command == NETVEIL_CMD_PEER_DEL ||
		    (change->set &&
		     change->set->config.policy == NETVEIL_POLICY_PREFER))
			veil_peer_hold(change->peer);
		cond_resched();
	}
}

static void veil_nl_remove_policies(struct veil_nl_step *step, u8 kind)
{
	struct veil_nl_change *change;
	struct veil_nl_part part;
	size_t i;

	for (i = 0; i < step->count; i++) {
		change = &step->changes[i];
		if (change->command == NETVEIL_CMD_POLICY_DEL &&
		    !veil_nl_get_part(step, change, &part) &&
		    veil_nl_policy_is(step->vn, &part.info, kind))
			veil_nl_policy_step(step->vn, &part.info, VEIL_NL_MAKE);
	}
}

static void veil_nl_remove_peers(struct veil_nl_step *step)
{
	size_t i;

	for (i = 0; i < step->count; i++) {
		if (step->changes[i].command == NETVEIL_CMD_PEER_DEL)
			veil_peer_remove(step->changes[i].peer);
		cond_resched();
	}
}

/* Without a longer prefix the weaker policies would hold for its addresses until they go
 * as well: they are first, and those that require protect until the end.
 */
static void veil_nl_finish(struct veil_nl_step *step)
{
	veil_nl_remove_policies(step, NETVEIL_POLICY_BYPASS);
	veil_nl_remove_policies(step, NETVEIL_POLICY_PREFER);
	veil_peer_take_addresses(step->vn);
	veil_nl_remove_peers(step);
	veil_nl_remove_policies(step, NETVEIL_POLICY_REQUIRE);
}

/* What was added is as weak as it is to be, now that all the rest is done. */
static void veil_nl_keep(struct veil_nl_step *step)
{
	struct veil_nl_change *change;
	struct veil_nl_part part;
	size_t i;

	for (i = 0; i < step->count; i++) {
		change = &step->changes[i];
		if (change->command == NETVEIL_CMD_PEER_ADD)
			veil_peer_keep(change->peer);
		if (change->command == NETVEIL_CMD_PEER_SET)
			veil_peer_let_go(change->peer);
		if (change->done && !veil_nl_get_part(step, change, &part))
			veil_nl_policy_keep(step->vn, &part.info);
		cond_resched();
	}
}

/* Whether something of the namespace itself is set. */
static bool veil_nl_sets(const struct genl_info *info)
{
	int type;

	for (type = 0; type <= NETVEIL_A_MAX; type++)
		if (info->attrs[type] && type != NETVEIL_A_CHANGE)
			return true;
	return false;
}

static int veil_nl_make_step(struct veil_nl_step *step)
{
	bool sets = veil_nl_sets(step->info);
	int err = sets ? veil_nl_check_set(step->info) : 0;

	if (!err && veil_trial_refuses(step->vn, step->info->extack))
		err = -EBUSY;
	if (!err && sets)
		err = veil_nl_leave_locals(step->vn, step->info);
	if (!err)
		err = veil_nl_check_step(step, true);
	if (!err)
		err = veil_nl_check_step(step, false);
	if (!err)
		err = veil_nl_check_keys(step);
	if (!err)
		err = veil_nl_add(step);
	if (!err)
		err = veil_nl_make_sets(step);
	if (!err && sets)
		err = veil_nl_set(step->vn, step->info);
	if (err) {
		veil_nl_undo(step);
		return err;
	}
	/* "Prefer" on a peer weakens what is preferred within its networks. */
	veil_nl_set_policies(step, true);
	veil_nl_hold_peers(step);
	synchronize_net();
	veil_nl_end_sets(step, true);
	veil_nl_set_policies(step, false);
	veil_nl_finish(step);
	synchronize_net();
	veil_nl_keep(step);
	veil_network_put_locals(step->vn);
	return 0;
}

static size_t veil_nl_list_changes(struct genl_info *info,
				   struct veil_nl_change *changes)
{
	struct nlattr *attr;
	size_t count = 0;
	int left;

	nla_for_each_attr(attr, genlmsg_data(info->genlhdr),
			  genlmsg_len(info->genlhdr), left) {
		if (nla_type(attr) != NETVEIL_A_CHANGE)
			continue;
		if (changes)
			changes[count].attr = attr;
		count++;
	}
	return count;
}

static int veil_nl_apply(struct genl_info *info)
{
	struct veil_nl_step step = {
		.vn = veil_net(genl_info_net(info)),
		.info = info,
		.count = veil_nl_list_changes(info, NULL),
	};
	int err;

	step.changes = kvcalloc(step.count, sizeof(*step.changes),
				GFP_KERNEL_ACCOUNT);
	if (!step.changes && step.count)
		return -ENOMEM;
	veil_nl_list_changes(info, step.changes);
	down_write(&step.vn->lock);
	veil_weaken_begin(step.vn, "applied");
	err = veil_nl_make_step(&step);
	veil_weaken_end(step.vn);
	up_write(&step.vn->lock);
	kvfree(step.changes);
	/* As after one change. */
	veil_flows_end(step.vn);
	veil_sessions_wiped(step.vn->net);
	return err;
}

int veil_nl_apply_doit(struct sk_buff *request, struct genl_info *info)
{
	int err = veil_nl_apply(info);

	veil_nl_wipe_secrets(info);
	return err;
}
