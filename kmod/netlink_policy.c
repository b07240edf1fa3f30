// SPDX-License-Identifier: GPL-2.0
/*
 * The operations on policies of prefixes: dump, add, set and remove; confirming a
 * change on trial.
 */
#include <net/genetlink.h>
#include <net/sock.h>

#include "flows.h"
#include "netlink_peer.h"
#include "trial.h"

const struct nla_policy veil_nl_policy_request[NETVEIL_A_CONFIRM + 1] = {
	[NETVEIL_A_PREFIX] = NLA_POLICY_RANGE(NLA_BINARY, 5, 17),
	[NETVEIL_A_POLICY] = NLA_POLICY_RANGE(NLA_U8, NETVEIL_POLICY_REQUIRE,
					      NETVEIL_POLICY_BYPASS),
	[NETVEIL_A_CONFIRM] =
		NLA_POLICY_FULL_RANGE(NLA_U32, &veil_nl_confirm_range),
};

static int veil_nl_put_u64(struct sk_buff *skb, int type, u64 value)
{
	return nla_put_u64_64bit(skb, type, value, NETVEIL_A_PAD);
}

static int veil_nl_put_policy(struct sk_buff *skb,
			      const struct veil_policy_node *node)
{
	u64 last = READ_ONCE(node->clear.last);

	if (veil_nl_put_prefix(skb, NETVEIL_A_PREFIX, &node->node.prefix) ||
	    nla_put_u8(skb, NETVEIL_A_POLICY, node->kind) ||
	    veil_nl_put_u64(skb, NETVEIL_A_CLEAR_RX_PACKETS,
			    atomic64_read(&node->clear.rx)) ||
	    veil_nl_put_u64(skb, NETVEIL_A_CLEAR_TX_PACKETS,
			    atomic64_read(&node->clear.tx)) ||
	    veil_nl_put_u64(skb, NETVEIL_A_DROPS, atomic64_read(&node->drops)))
		return -EMSGSIZE;
	return last ? veil_nl_put_u64(skb, NETVEIL_A_CLEAR_LAST, last) : 0;
}

static int veil_nl_dump_policy(struct sk_buff *skb, struct netlink_callback *cb,
			       const struct veil_policy_node *node)
{
	void *header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				   cb->nlh->nlmsg_seq, &veil_genl_family,
				   NLM_F_MULTI, NETVEIL_CMD_POLICY_GET);

	if (!header)
		return -EMSGSIZE;
	genl_dump_check_consistent(cb, header);
	if (veil_nl_put_policy(skb, node)) {
		genlmsg_cancel(skb, header);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return 0;
}

/* As veil_nl_peer_get_dumpit(). */
int veil_nl_policy_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct veil_net *vn = veil_net(sock_net(skb->sk));
	unsigned long told = cb->args[0], place = 0;
	const struct veil_policy_node *node;

	down_read(&vn->lock);
	cb->seq = vn->generation;
	list_for_each_entry(node, &vn->policy_list, list) {
		if (place++ < told)
			continue;
		if (veil_nl_dump_policy(skb, cb, node))
			break;
		cb->args[0]++;
	}
	up_read(&vn->lock);
	return skb->len;
}

static int veil_nl_parse_policy(struct genl_info *info,
				struct veil_prefix *prefix)
{
	struct nlattr *attr = info->attrs[NETVEIL_A_PREFIX];
	bool wants = info->genlhdr->cmd != NETVEIL_CMD_POLICY_DEL;
	int err;

	if (GENL_REQ_ATTR_CHECK(info, NETVEIL_A_PREFIX)) {
		GENL_SET_ERR_MSG(info, "no prefix is given");
		return -EINVAL;
	}
	if (wants && GENL_REQ_ATTR_CHECK(info, NETVEIL_A_POLICY)) {
		GENL_SET_ERR_MSG(info,
				 "say which policy: require, prefer or bypass");
		return -EINVAL;
	}
	err = veil_nl_get_prefix(prefix, attr, info->extack);
	if (!err && !veil_prefix_is_network(prefix)) {
		NL_SET_ERR_MSG_ATTR(info->extack, attr,
				    "bits are set behind the prefix's length");
		err = -EINVAL;
	}
	return err;
}

static int veil_nl_change_policy(struct veil_net *vn, struct genl_info *info,
				 const struct veil_prefix *prefix)
{
	struct nlattr *policy = info->attrs[NETVEIL_A_POLICY];

	switch (info->genlhdr->cmd) {
	case NETVEIL_CMD_POLICY_ADD:
		return veil_policy_add(vn, prefix, nla_get_u8(policy),
				       info->extack);
	case NETVEIL_CMD_POLICY_SET:
		return veil_policy_set(vn, prefix, nla_get_u8(policy),
				       info->extack);
	}
	return veil_policy_del(vn, prefix, info->extack);
}

void veil_nl_policy_keep(struct veil_net *vn, struct genl_info *info)
{
	struct veil_prefix prefix;

	if (!veil_nl_parse_policy(info, &prefix))
		veil_policy_keep(vn, &prefix);
}

bool veil_nl_policy_is(struct veil_net *vn, struct genl_info *info, u8 kind)
{
	const struct veil_policy_node *node = NULL;
	struct veil_prefix prefix;

	if (!veil_nl_parse_policy(info, &prefix))
		node = veil_policy_find(vn, &prefix);
	return node && node->kind == kind;
}

/* One that leaves is in nobody's way any more, and is not changed besides. */
static int veil_nl_check_policy(struct veil_net *vn, struct genl_info *info,
				const struct veil_prefix *prefix)
{
	u8 command = info->genlhdr->cmd;
	bool new = command == NETVEIL_CMD_POLICY_ADD;
	int err = veil_policy_check(vn, prefix, new, info->extack);

	if (err || new)
		return err;
	if (!veil_policy_stays(vn, prefix)) {
		NL_SET_ERR_MSG(info->extack,
			       "a policy is removed twice, or set and removed");
		return -EINVAL;
	}
	if (command == NETVEIL_CMD_POLICY_DEL) {
		veil_policy_leave(vn, prefix);
		return 0;
	}
	if (!veil_policy_claim(vn, prefix))
		return 0;
	NL_SET_ERR_MSG(info->extack, "a policy is set twice");
	return -EINVAL;
}

static int veil_nl_undo_policy(struct veil_net *vn, struct genl_info *info,
			       const struct veil_prefix *prefix)
{
	if (info->genlhdr->cmd == NETVEIL_CMD_POLICY_ADD)
		return veil_policy_del(vn, prefix, info->extack);
	veil_policy_stay(vn, prefix);
	return 0;
}

int veil_nl_policy_step(struct veil_net *vn, struct genl_info *info,
			unsigned int stages)
{
	bool new = info->genlhdr->cmd == NETVEIL_CMD_POLICY_ADD;
	struct nlattr *policy = info->attrs[NETVEIL_A_POLICY];
	struct veil_prefix prefix;
	int err;

	err = veil_nl_parse_policy(info, &prefix);
	if (err)
		return err;
	if (stages & VEIL_NL_CHECK)
		err = veil_nl_check_policy(vn, info, &prefix);
	if (!err && stages & VEIL_NL_MAKE)
		err = new ? veil_policy_add_held(vn, &prefix,
						 nla_get_u8(policy),
						 info->extack) :
			    veil_nl_change_policy(vn, info, &prefix);
	if (!err && stages & VEIL_NL_UNDO)
		err = veil_nl_undo_policy(vn, info, &prefix);
	if (err && info->extack && !info->extack->bad_attr)
		NL_SET_BAD_ATTR(info->extack, info->attrs[NETVEIL_A_PREFIX]);
	return err;
}

int veil_nl_policy_change_doit(struct sk_buff *request, struct genl_info *info)
{
	struct nlattr *confirm = info->attrs[NETVEIL_A_CONFIRM];
	struct veil_net *vn = veil_net(genl_info_net(info));
	struct veil_prefix prefix;
	struct veil_trial trial;
	int err;

	err = veil_nl_parse_policy(info, &prefix);
	if (err)
		return err;
	down_write(&vn->lock);
	veil_trial_note_prefix(vn, &trial, &prefix);
	err = veil_nl_change_policy(vn, info, &prefix);
	if (!err && confirm)
		veil_trial_begin(vn, &trial, nla_get_u32(confirm));
	up_write(&vn->lock);
	if (!err)
		veil_flows_end(vn);
	if (err && info->extack && !info->extack->bad_attr)
		NL_SET_BAD_ATTR(info->extack, info->attrs[NETVEIL_A_PREFIX]);
	return err;
}

int veil_nl_confirm_doit(struct sk_buff *request, struct genl_info *info)
{
	struct veil_net *vn = veil_net(genl_info_net(info));
	int err;

	down_write(&vn->lock);
	err = veil_trial_confirm(vn, info->extack);
	up_write(&vn->lock);
	return err;
}
