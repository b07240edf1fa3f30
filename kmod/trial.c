// SPDX-License-Identifier: GPL-2.0
/*
 * Changes on trial: see trial.h.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/slab.h>

#include "flows.h"
#include "netlink.h"
#include "peer.h"
#include "policy.h"
#include "trial.h"
#include "weaken.h"

bool veil_trial_refuses(const struct veil_net *vn,
			struct netlink_ext_ack *extack)
{
	if (!vn->on_trial)
		return false;
	NL_SET_ERR_MSG_MOD(extack,
			   "a change is on trial: veil confirm keeps it, else wait until it is undone (veil show tells when)");
	return true;
}

void veil_trial_note_prefix(struct veil_net *vn, struct veil_trial *trial,
			    const struct veil_prefix *prefix)
{
	const struct veil_policy_node *node = veil_policy_find(vn, prefix);

	memset(trial, 0, sizeof(*trial));
	trial->prefix = *prefix;
	trial->policy = node ? node->kind : NETVEIL_POLICY_NONE;
}

void veil_trial_note_peer(struct veil_net *vn, struct veil_trial *trial,
			  const u8 public_key[VEIL_KEY_LEN])
{
	const struct veil_peer *peer = veil_peer_find(vn, public_key);

	memset(trial, 0, sizeof(*trial));
	trial->is_peer = true;
	memcpy(trial->public_key, public_key, VEIL_KEY_LEN);
	if (!peer)
		return;
	trial->policy = peer->policy;
	trial->confirmed = peer->confirmed;
}

void veil_trial_begin(struct veil_net *vn, const struct veil_trial *trial,
		      u32 seconds)
{
	*vn->trial = *trial;
	vn->on_trial = true;
	vn->trial_end = jiffies + seconds * HZ;
	mod_delayed_work(veil_queues_of(vn->net)->all, &vn->trial_work,
			 seconds * HZ);
}

int veil_trial_confirm(struct veil_net *vn, struct netlink_ext_ack *extack)
{
	if (!vn->on_trial) {
		NL_SET_ERR_MSG_MOD(extack,
				   "nothing is on trial: it was confirmed or undone before");
		return -ENOENT;
	}
	vn->on_trial = false;
	cancel_delayed_work(&vn->trial_work);
	return 0;
}

void veil_trial_rekeyed(struct veil_net *vn, const u8 old[VEIL_KEY_LEN],
			const u8 new[VEIL_KEY_LEN])
{
	if (vn->on_trial && vn->trial->is_peer &&
	    !memcmp(vn->trial->public_key, old, VEIL_KEY_LEN))
		memcpy(vn->trial->public_key, new, VEIL_KEY_LEN);
}

u32 veil_trial_left(const struct veil_net *vn)
{
	if (!vn->on_trial)
		return 0;
	return max_t(long, vn->trial_end - jiffies, 0) / HZ + 1;
}

static int veil_trial_undo_peer(struct veil_net *vn,
				const struct veil_trial *trial)
{
	struct veil_peer *peer = veil_peer_find(vn, trial->public_key);

	if (!peer)
		return -ENOENT;
	if (trial->policy != NETVEIL_POLICY_NONE)
		veil_peer_restore_policy(peer, trial->policy,
					 trial->confirmed);
	else
		veil_peer_remove(peer);
	return 0;
}

static int veil_trial_undo_prefix(struct veil_net *vn,
				  const struct veil_trial *trial)
{
	if (trial->policy == NETVEIL_POLICY_NONE)
		return veil_policy_del(vn, &trial->prefix, NULL);
	if (veil_policy_find(vn, &trial->prefix))
		return veil_policy_set(vn, &trial->prefix, trial->policy, NULL);
	return veil_policy_add(vn, &trial->prefix, trial->policy, NULL);
}

static void veil_trial_work(struct work_struct *work)
{
	struct veil_net *vn = container_of(to_delayed_work(work),
					   struct veil_net, trial_work);
	const struct veil_trial *trial = vn->trial;
	struct veil_event event = {
		.kind = NETVEIL_EVENT_CONFIRM_EXPIRED,
	};
	char where[VEIL_NET_WHERE];
	int err;

	down_write(&vn->lock);
	/* Confirmed, flushed or begun anew while this waited for the lock? */
	if (!vn->on_trial || time_before(jiffies, vn->trial_end)) {
		up_write(&vn->lock);
		return;
	}
	vn->on_trial = false;
	if (trial->is_peer)
		event.public_key = trial->public_key;
	else
		event.prefix = &trial->prefix;
	veil_weaken_begin(vn, "confirm-expired");
	err = trial->is_peer ? veil_trial_undo_peer(vn, trial) :
			       veil_trial_undo_prefix(vn, trial);
	veil_weaken_end(vn);
	veil_netlink_tell(vn, &event);
	up_write(&vn->lock);
	veil_flows_end(vn);
	if (!veil_net_may_log(vn, where))
		return;
	if (err)
		pr_err("a change on trial%s was not confirmed, and cannot be undone (%d): it stays\n",
		       where, err);
	else
		pr_notice("a change on trial%s was not confirmed, and is undone\n",
			  where);
}

int veil_trial_init(struct veil_net *vn)
{
	INIT_DELAYED_WORK(&vn->trial_work, veil_trial_work);
	vn->trial = kzalloc(sizeof(*vn->trial), GFP_KERNEL_ACCOUNT);
	return vn->trial ? 0 : -ENOMEM;
}

void veil_trial_exit(struct veil_net *vn)
{
	cancel_delayed_work_sync(&vn->trial_work);
	kfree(vn->trial);
}
