// SPDX-License-Identifier: GPL-2.0
/*
 * The generic netlink family of uapi/netveil.h: its operations, a namespace's
 * own state, events.  What SET changes is in netlink_set.c, peers in
 * netlink_peer.c.
 *
 * Every request takes vn->lock once, around all that it does.  Answers are
 * allocated before anything changes.
 */
#include <net/genetlink.h>

#include "flows.h"
#include "netlink.h"
#include "netlink_peer.h"
#include "network.h"
#include "rotate.h"
#include "session.h"
#include "trial.h"
#include "weaken.h"

/* The last lane's port is a port still. */
#define VEIL_PORT_MAX	(U16_MAX - (VEIL_LANES_MAX - 1))
/* Longest name of a drop reason, with its zero. */
#define VEIL_REASON_LEN	32

/* Whether the family's groups are ours; read under rcu_read_lock(). */
static bool veil_netlink_ready;

/* Not const, since 6.1's policies do not take it so. */
struct netlink_range_validation veil_nl_port_range = {
	.min = 1,
	.max = VEIL_PORT_MAX,
};

struct netlink_range_validation veil_nl_confirm_range = {
	.min = 1,
	.max = 86400,
};

static const struct nla_policy veil_set_policy[] = { VEIL_NL_SET_POLICY };

/* Answers */

struct sk_buff *veil_nl_new_reply(struct genl_info *info, size_t size,
				  void **header)
{
	struct sk_buff *skb = genlmsg_new(size, GFP_KERNEL);

	if (!skb)
		return NULL;
	*header = genlmsg_put_reply(skb, info, &veil_genl_family, 0,
				    info->genlhdr->cmd);
	if (*header)
		return skb;
	nlmsg_free(skb);
	return NULL;
}

int veil_nl_send_reply(struct genl_info *info, struct sk_buff *skb,
		       void *header, int err)
{
	if (WARN_ON_ONCE(err)) {
		nlmsg_free(skb);
		return err;
	}
	genlmsg_end(skb, header);
	return genlmsg_reply(skb, info);
}

/* The namespace's own state */

static int veil_nl_put_drop(struct sk_buff *skb, const struct veil_net *vn,
			    enum veil_drop reason)
{
	struct nlattr *nest = nla_nest_start(skb, NETVEIL_A_DROP);

	if (!nest ||
	    nla_put_string(skb, NETVEIL_DROP_A_REASON,
			   veil_drop_names[reason]) ||
	    nla_put_u64_64bit(skb, NETVEIL_DROP_A_COUNT,
			      veil_drops_sum(vn->drops, reason),
			      NETVEIL_DROP_A_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int veil_nl_put_drops(struct sk_buff *skb, const struct veil_net *vn)
{
	unsigned int reason;
	int err = 0;

	for (reason = 0; reason < VEIL_DROPS && !err; reason++)
		err = veil_nl_put_drop(skb, vn, reason);
	return err;
}

static size_t veil_nl_state_size(void)
{
	size_t drop = nla_total_size(0) + nla_total_size(VEIL_REASON_LEN) +
		      nla_total_size_64bit(sizeof(u64));

	return nla_total_size(NETVEIL_KEY_LEN) +
	       nla_total_size(NETVEIL_KEY_LEN) +	/* the next one */
	       2 * nla_total_size(sizeof(u8)) +		/* origins */
	       nla_total_size(sizeof(u32)) +		/* retire */
	       nla_total_size(sizeof(u16)) +		/* port */
	       nla_total_size(sizeof(u8)) +		/* cipher */
	       nla_total_size(VEIL_AEAD_MAX) +
	       4 * nla_total_size(sizeof(u32)) +	/* peers, confirm, mark */
	       nla_total_size(sizeof(u32)) +		/* generation */
	       NETVEIL_LOCALS_MAX *
	       nla_total_size(sizeof(struct in6_addr) + 1) +
	       VEIL_DROPS * drop;
}

static int veil_nl_put_next(struct sk_buff *skb, const struct veil_net *vn)
{
	u32 deadline = veil_rotate_deadline(vn);

	if (vn->next_origin == NETVEIL_KEY_NONE)
		return 0;
	if (nla_put(skb, NETVEIL_A_NEXT_PUBLIC_KEY, NETVEIL_KEY_LEN,
		    vn->next_identity.public) ||
	    nla_put_u8(skb, NETVEIL_A_NEXT_KEY_ORIGIN, vn->next_origin) ||
	    (deadline && nla_put_u32(skb, NETVEIL_A_RETIRE, deadline)))
		return -EMSGSIZE;
	return 0;
}

static int veil_nl_put_state(struct sk_buff *skb, const struct veil_net *vn)
{
	u8 aeads[VEIL_AEAD_MAX];
	unsigned int count = veil_net_aeads(vn, aeads);
	const struct veil_local *local;

	if (vn->origin != NETVEIL_KEY_NONE &&
	    nla_put(skb, NETVEIL_A_PUBLIC_KEY, NETVEIL_KEY_LEN,
		    vn->identity.public))
		return -EMSGSIZE;
	if (nla_put_u8(skb, NETVEIL_A_KEY_ORIGIN, vn->origin) ||
	    nla_put_u16(skb, NETVEIL_A_LISTEN_PORT, vn->port) ||
	    nla_put_u8(skb, NETVEIL_A_CIPHER, vn->cipher) ||
	    nla_put(skb, NETVEIL_A_AEADS, count, aeads) ||
	    nla_put_u32(skb, NETVEIL_A_PEERS, vn->peer_count) ||
	    nla_put_u32(skb, NETVEIL_A_RX_MARK, vn->rx_mark) ||
	    nla_put_u32(skb, NETVEIL_A_RX_MASK, vn->rx_mask) ||
	    nla_put_u32(skb, NETVEIL_A_GENERATION, vn->generation) ||
	    veil_nl_put_next(skb, vn))
		return -EMSGSIZE;
	if (vn->on_trial &&
	    nla_put_u32(skb, NETVEIL_A_CONFIRM, veil_trial_left(vn)))
		return -EMSGSIZE;
	list_for_each_entry(local, &vn->local_list, list)
		if (veil_nl_put_prefix(skb, NETVEIL_A_LOCAL,
				       &local->node.prefix))
			return -EMSGSIZE;
	return veil_nl_put_drops(skb, vn);
}

static int veil_nl_get_doit(struct sk_buff *request, struct genl_info *info)
{
	struct veil_net *vn = veil_net(genl_info_net(info));
	struct sk_buff *skb;
	void *header;
	int err;

	skb = veil_nl_new_reply(info, veil_nl_state_size(), &header);
	if (!skb)
		return -ENOMEM;
	down_read(&vn->lock);
	err = veil_nl_put_state(skb, vn);
	up_read(&vn->lock);
	return veil_nl_send_reply(info, skb, header, err);
}

static int veil_nl_set_and_reply(struct genl_info *info)
{
	struct veil_net *vn = veil_net(genl_info_net(info));
	struct sk_buff *skb;
	void *header;
	int err;

	err = veil_nl_check_set(info);
	if (err)
		return err;
	skb = veil_nl_new_reply(info, veil_nl_state_size(), &header);
	if (!skb)
		return -ENOMEM;
	down_write(&vn->lock);
	/* Nothing else of what is set here can weaken anything. */
	veil_weaken_begin(vn, "local-changed");
	err = veil_nl_set(vn, info);
	if (!err)
		veil_network_put_locals(vn);
	veil_weaken_end(vn);
	if (err) {
		up_write(&vn->lock);
		nlmsg_free(skb);
		return err;
	}
	err = veil_nl_put_state(skb, vn);
	up_write(&vn->lock);
	/* A network that is ours no longer may be behind a peer. */
	veil_flows_end(vn);
	return veil_nl_send_reply(info, skb, header, err);
}

static int veil_nl_set_doit(struct sk_buff *request, struct genl_info *info)
{
	int err = veil_nl_set_and_reply(info);

	veil_nl_wipe_secrets(info);
	return err;
}

static int veil_nl_flush_doit(struct sk_buff *request, struct genl_info *info)
{
	struct veil_net *vn = veil_net(genl_info_net(info));

	down_write(&vn->lock);
	veil_net_flush(vn);
	up_write(&vn->lock);
	veil_sessions_wiped(vn->net);
	return 0;
}

/* Events */

static int veil_nl_put_event_peer(struct sk_buff *skb,
				  const u8 public_key[VEIL_KEY_LEN])
{
	struct nlattr *nest = nla_nest_start(skb, NETVEIL_A_PEER);

	if (!nest || nla_put(skb, NETVEIL_PEER_A_PUBLIC_KEY, NETVEIL_KEY_LEN,
			     public_key))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static int veil_nl_put_event(struct sk_buff *skb,
			     const struct veil_event *event)
{
	void *header = genlmsg_put(skb, 0, 0, &veil_genl_family, 0,
				   NETVEIL_CMD_EVENT);

	if (!header || nla_put_u8(skb, NETVEIL_A_EVENT, event->kind))
		return -EMSGSIZE;
	if (event->public_key && veil_nl_put_event_peer(skb, event->public_key))
		return -EMSGSIZE;
	if (event->address &&
	    veil_nl_put_address(skb, NETVEIL_A_ADDRESS, event->address))
		return -EMSGSIZE;
	if (event->prefix &&
	    veil_nl_put_prefix(skb, NETVEIL_A_PREFIX, event->prefix))
		return -EMSGSIZE;
	if (event->policy && nla_put_u8(skb, NETVEIL_A_POLICY, event->policy))
		return -EMSGSIZE;
	if (event->reason &&
	    nla_put_string(skb, NETVEIL_A_REASON, event->reason))
		return -EMSGSIZE;
	genlmsg_end(skb, header);
	return 0;
}

static void veil_nl_send_event(struct net *net, const struct veil_event *event)
{
	size_t size = 2 * nla_total_size(sizeof(u8)) + nla_total_size(0) +
		      nla_total_size(NETVEIL_KEY_LEN) +
		      nla_total_size(sizeof(struct in6_addr)) +
		      nla_total_size(sizeof(struct in6_addr) + 1) +
		      nla_total_size(VEIL_REASON_LEN);
	struct sk_buff *skb = genlmsg_new(size, GFP_ATOMIC);

	if (!skb)
		return;
	if (WARN_ON_ONCE(veil_nl_put_event(skb, event))) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_multicast_netns(&veil_genl_family, net, skb, 0, 0, GFP_ATOMIC);
}

void veil_netlink_tell(struct veil_net *vn, const struct veil_event *event)
{
	rcu_read_lock();
	if (READ_ONCE(veil_netlink_ready) &&
	    genl_has_listeners(&veil_genl_family, vn->net, 0))
		veil_nl_send_event(vn->net, event);
	rcu_read_unlock();
}

void veil_netlink_event(struct veil_net *vn, enum netveil_event event,
			const u8 public_key[VEIL_KEY_LEN])
{
	const struct veil_event told = {
		.kind = event,
		.public_key = public_key,
	};

	veil_netlink_tell(vn, &told);
}

/* The family */

/* An operation without a policy refuses every attribute. */
static const struct genl_ops veil_genl_ops[] = {
	{
		.cmd = NETVEIL_CMD_GET,
		.flags = GENL_UNS_ADMIN_PERM,
		.doit = veil_nl_get_doit,
	}, {
		.cmd = NETVEIL_CMD_SET,
		.flags = GENL_UNS_ADMIN_PERM,
		.doit = veil_nl_set_doit,
		.policy = veil_set_policy,
		.maxattr = ARRAY_SIZE(veil_set_policy) - 1,
	}, {
		.cmd = NETVEIL_CMD_PEER_GET,
		.flags = GENL_UNS_ADMIN_PERM,
		.doit = veil_nl_peer_get_doit,
		.start = veil_nl_peer_get_start,
		.dumpit = veil_nl_peer_get_dumpit,
		.policy = veil_nl_key_request,
		.maxattr = ARRAY_SIZE(veil_nl_key_request) - 1,
	}, {
		.cmd = NETVEIL_CMD_PEER_ADD,
		.flags = GENL_UNS_ADMIN_PERM,
		.doit = veil_nl_peer_add_doit,
		.policy = veil_nl_add_request,
		.maxattr = ARRAY_SIZE(veil_nl_add_request) - 1,
	}, {
		.cmd = NETVEIL_CMD_PEER_SET,
		.flags = GENL_UNS_ADMIN_PERM,
		.doit = veil_nl_peer_set_doit,
		.policy = veil_nl_change_request,
		.maxattr = ARRAY_SIZE(veil_nl_change_request) - 1,
	}, {
		.cmd = NETVEIL_CMD_PEER_DEL,
		.flags = GENL_UNS_ADMIN_PERM,
		.doit = veil_nl_peer_del_doit,
		.policy = veil_nl_key_request,
		.maxattr = ARRAY_SIZE(veil_nl_key_request) - 1,
	}, {
		.cmd = NETVEIL_CMD_SESSION_RESET,
		.flags = GENL_UNS_ADMIN_PERM,
		.doit = veil_nl_session_reset_doit,
		.policy = veil_nl_key_request,
		.maxattr = ARRAY_SIZE(veil_nl_key_request) - 1,
	}, {
		.cmd = NETVEIL_CMD_FLUSH,
		.flags = GENL_UNS_ADMIN_PERM,
		.doit = veil_nl_flush_doit,
	}, {
		.cmd = NETVEIL_CMD_APPLY,
		.flags = GENL_UNS_ADMIN_PERM,
		.doit = veil_nl_apply_doit,
		.policy = veil_nl_apply_request,
		.maxattr = ARRAY_SIZE(veil_nl_apply_request) - 1,
	}, {
		.cmd = NETVEIL_CMD_POLICY_GET,
		.flags = GENL_UNS_ADMIN_PERM,
		.dumpit = veil_nl_policy_get_dumpit,
	}, {
		.cmd = NETVEIL_CMD_POLICY_ADD,
		.flags = GENL_UNS_ADMIN_PERM,
		.doit = veil_nl_policy_change_doit,
		.policy = veil_nl_policy_request,
		.maxattr = ARRAY_SIZE(veil_nl_policy_request) - 1,
	}, {
		.cmd = NETVEIL_CMD_POLICY_SET,
		.flags = GENL_UNS_ADMIN_PERM,
		.doit = veil_nl_policy_change_doit,
		.policy = veil_nl_policy_request,
		.maxattr = ARRAY_SIZE(veil_nl_policy_request) - 1,
	}, {
		.cmd = NETVEIL_CMD_POLICY_DEL,
		.flags = GENL_UNS_ADMIN_PERM,
		.doit = veil_nl_policy_change_doit,
		.policy = veil_nl_policy_request,
		.maxattr = ARRAY_SIZE(veil_nl_policy_request) - 1,
	}, {
		.cmd = NETVEIL_CMD_CONFIRM,
		.flags = GENL_UNS_ADMIN_PERM,
		.doit = veil_nl_confirm_doit,
	},
};

static const struct genl_multicast_group veil_genl_groups[] = {
	{
		.name = NETVEIL_EVENTS_NAME,
		.flags = GENL_MCAST_CAP_NET_ADMIN,
	},
};

struct genl_family veil_genl_family __ro_after_init = {
	.name = NETVEIL_FAMILY_NAME,
	.version = NETVEIL_FAMILY_VERSION,
	.netnsok = true,
	/* vn->lock is enough, and all other families would wait for X25519 of
	 * thousands of peers, or for works: also those of other namespaces.
	 */
	.parallel_ops = true,
	.module = THIS_MODULE,
	.ops = veil_genl_ops,
	.n_ops = ARRAY_SIZE(veil_genl_ops),
	.mcgrps = veil_genl_groups,
	.n_mcgrps = ARRAY_SIZE(veil_genl_groups),
};

int veil_netlink_init(void)
{
	int err = genl_register_family(&veil_genl_family);

	if (!err)
		WRITE_ONCE(veil_netlink_ready, true);
	return err;
}

void veil_netlink_exit(void)
{
	WRITE_ONCE(veil_netlink_ready, false);
	/* Whoever saw it true has sent his event, before the number of our
	 * group may become another family's.
	 */
	synchronize_rcu();
	genl_unregister_family(&veil_genl_family);
}

MODULE_ALIAS_GENL_FAMILY(NETVEIL_FAMILY_NAME);
