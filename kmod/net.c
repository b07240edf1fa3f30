// SPDX-License-Identifier: GPL-2.0
/*
 * One network namespace: its identity and settings, its beginning and end.
 *
 * End (STACK A9): pre_exit marks it as dying, so that the hooks drop all they
 * judge, and empties the queues; exit, after the devices are gone, takes the
 * peers and then the hooks away.
 */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "cipher.h"
#include "fence.h"
#include "handshake.h"
#include "hooks.h"
#include "network.h"
#include "peer.h"
#include "policy.h"
#include "rotate.h"
#include "session.h"
#include "socket.h"
#include "timers.h"
#include "trial.h"
#include "tx.h"
#include "unknown.h"
#include "weaken.h"

/* Lines in ten seconds about all namespaces that users without privilege may have
 * made.
 */
#define VEIL_NET_BURST	16

static DEFINE_RATELIMIT_STATE(veil_net_limit, 10 * HZ, VEIL_NET_BURST);

unsigned int veil_net_id;
atomic_t veil_epoch = ATOMIC_INIT(0);
bool veil_asleep;

/* All namespaces, under a lock of our own: net_rwsem is taken under RTNL by
 * others, and RTNL under vn->lock by us.
 */
static LIST_HEAD(veil_nets);
static DEFINE_MUTEX(veil_nets_lock);

bool veil_net_may_log(const struct veil_net *vn, char where[VEIL_NET_WHERE])
{
	where[0] = '\0';
	if (!net_eq(vn->net, &init_net))
		snprintf(where, VEIL_NET_WHERE, " in network namespace %u",
			 vn->net->ns.inum);
	return vn->net->user_ns == &init_user_ns ||
	       __ratelimit(&veil_net_limit);
}

int veil_net_activate(struct veil_net *vn, struct netlink_ext_ack *extack)
{
	struct socket *sock[2];
	int err;

	if (vn->active)
		return 0;
	/* While something is protected the module stays: rmmod says "in use", and
	 * veil flush is the way out.
	 */
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	err = veil_socket_open(vn, vn->port, sock, extack);
	if (err)
		goto err_module;
	veil_socket_use(vn, sock);
	err = veil_hooks_register(vn);
	if (err)
		goto err_sockets;
	err = veil_fence_up(vn);
	if (err)
		goto err_hooks;
	vn->active = true;
	return 0;

err_hooks:
	veil_hooks_unregister(vn);
err_sockets:
	veil_socket_close(vn);
	NL_SET_ERR_MSG_MOD(extack, "cannot register the netfilter hooks");
err_module:
	module_put(THIS_MODULE);
	return err;
}

void veil_net_settle(struct veil_net *vn)
{
	if (!vn->active || vn->peer_count || vn->policy_count)
		return;
	vn->active = false;
	veil_fence_down(vn);
	veil_hooks_unregister(vn);
	veil_socket_close(vn);
	/* Hooks may still run, with what the caller frees next. */
	synchronize_net();
	module_put(THIS_MODULE);
}

int veil_net_open_port(struct veil_net *vn, u16 port, struct socket *sock[2],
		       struct netlink_ext_ack *extack)
{
	if (!vn->active || port == vn->port)
		return 0;
	return veil_socket_open(vn, port, sock, extack);
}

void veil_net_set_port(struct veil_net *vn, u16 port, struct socket *sock[2])
{
	struct veil_peer *peer;

	if (port == vn->port)
		return;
	if (vn->active)
		veil_socket_use(vn, sock);
	WRITE_ONCE(vn->port, port);
	/* The others send to the old one until they are told. */
	list_for_each_entry(peer, &vn->peers, list)
		veil_peer_restart(peer);
}

void veil_net_set_cipher(struct veil_net *vn, enum netveil_cipher cipher)
{
	struct veil_peer *peer;

	if (cipher == vn->cipher)
		return;
	vn->cipher = cipher;
	list_for_each_entry(peer, &vn->peers, list)
		veil_peer_restart(peer);
}

unsigned int veil_net_aeads(const struct veil_net *vn, u8 aeads[VEIL_AEAD_MAX])
{
	if (vn->cipher == NETVEIL_CIPHER_AUTO)
		return veil_cipher_ranked(aeads);
	memset(aeads, 0, VEIL_AEAD_MAX);
	aeads[0] = vn->cipher;
	return 1;
}

void veil_net_flush(struct veil_net *vn)
{
	struct veil_peer *peer, *next;

	/* What was on trial is gone with the rest. */
	vn->on_trial = false;
	veil_weaken_begin(vn, "flush");
	list_for_each_entry(peer, &vn->peers, list)
		peer->leaving = true;
	veil_peer_take_addresses(vn);
	list_for_each_entry_safe(peer, next, &vn->peers, list) {
		veil_peer_remove(peer);
		cond_resched();
	}
	veil_policy_flush(vn);
	veil_weaken_end(vn);
	veil_unknown_forget(vn);
	veil_rotate_forget(vn);
}

static void veil_net_forget_sessions(struct veil_net *vn)
{
	struct veil_peer *peer;

	down_read(&vn->lock);
	list_for_each_entry(peer, &vn->peers, list) {
		/* At once; and again, when the worker has left: it shares the
		 * lock with us and may install one in between.
		 */
		veil_session_kill_all(peer);
		veil_handshake_cancel(peer);
		veil_session_kill_all(peer);
		veil_timers_arm(peer);
	}
	veil_unknown_forget(vn);
	up_read(&vn->lock);
}

void veil_nets_forget_sessions(void)
{
	struct veil_net *vn;
	unsigned int i;

	mutex_lock(&veil_nets_lock);
	list_for_each_entry(vn, &veil_nets, all)
		veil_net_forget_sessions(vn);
	mutex_unlock(&veil_nets_lock);
	/* As veil_sessions_wiped(), for all. */
	rcu_barrier();
	for (i = 0; i < ARRAY_SIZE(veil_queues); i++)
		flush_workqueue(veil_queues[i].all);
}

/* What came from a keyring was kept away from the disk as well. */
static bool veil_net_kernel_only(u8 origin)
{
	return origin == NETVEIL_KEY_KERNEL || origin == NETVEIL_KEY_KEYRING;
}

bool veil_nets_kernel_identity(void)
{
	struct veil_net *vn;
	bool found = false;

	mutex_lock(&veil_nets_lock);
	list_for_each_entry(vn, &veil_nets, all)
		found |= veil_net_kernel_only(vn->origin) ||
			 veil_net_kernel_only(vn->next_origin);
	mutex_unlock(&veil_nets_lock);
	return found;
}

static void veil_net_release_address(struct veil_prefix_node *node)
{
	WARN_ON_ONCE(1);
}

static int __net_init veil_net_init(struct net *net)
{
	struct veil_net *vn = veil_net(net);
	int err = -ENOMEM;

	vn->net = net;
	vn->port = VEIL_PORT;
	init_rwsem(&vn->lock);
	INIT_LIST_HEAD(&vn->fences);
	INIT_LIST_HEAD(&vn->roamers);
	skb_queue_head_init(&vn->initiations);
	skb_queue_head_init(&vn->responses);
	INIT_WORK(&vn->handshake_work, veil_handshake_work);
	INIT_DELAYED_WORK(&vn->rotate_work, veil_rotate_work);
	vn->drops = alloc_percpu_gfp(struct veil_drops, GFP_KERNEL_ACCOUNT);
	if (!vn->drops)
		return err;
	/* Zero: 0.0.0.0, of which empty tables say nothing indeed. */
	vn->recent = alloc_percpu_gfp(struct veil_recent, GFP_KERNEL_ACCOUNT);
	if (!vn->recent)
		goto err_drops;
	err = veil_peers_init(vn);
	if (err)
		goto err_recent;
	err = veil_prefix_init(&vn->addresses);
	if (err)
		goto err_peers;
	err = veil_policies_init(vn);
	if (err)
		goto err_addresses;
	err = veil_weaken_init(vn);
	if (err)
		goto err_policies;
	err = veil_trial_init(vn);
	if (err)
		goto err_weaken;
	err = veil_networks_init(vn);
	if (err)
		goto err_trial;
	err = veil_indexes_init(vn);
	if (err)
		goto err_networks;
	mutex_lock(&veil_nets_lock);
	list_add_tail(&vn->all, &veil_nets);
	mutex_unlock(&veil_nets_lock);
	return 0;

err_networks:
	veil_networks_exit(vn);
err_trial:
	veil_trial_exit(vn);
err_weaken:
	veil_weaken_exit(vn);
err_policies:
	veil_policies_exit(vn);
err_addresses:
	veil_prefix_destroy(&vn->addresses, veil_net_release_address);
err_peers:
	rhashtable_destroy(&vn->by_key);
err_recent:
	free_percpu(vn->recent);
err_drops:
	free_percpu(vn->drops);
	return err;
}

static void __net_exit veil_net_pre_exit(struct net *net)
{
	struct veil_net *vn = veil_net(net);
	struct veil_peer *peer;

	down_write(&vn->lock);
	WRITE_ONCE(vn->dying, true);
	/* Namespaces without peers end at no cost. */
	if (vn->active)
		synchronize_net();
	list_for_each_entry(peer, &vn->peers, list) {
		veil_handshake_cancel(peer);
		veil_timers_stop(peer);
		veil_session_kill_all(peer);
		veil_tx_purge(peer, VEIL_DROP_namespace_exit);
	}
	/* Our sockets belong to the namespace's own end. */
	veil_socket_close(vn);
	up_write(&vn->lock);
}

static void __net_exit veil_net_exit(struct net *net)
{
	struct veil_net *vn = veil_net(net);

	mutex_lock(&veil_nets_lock);
	list_del(&vn->all);
	mutex_unlock(&veil_nets_lock);
	down_write(&vn->lock);
	veil_net_flush(vn);
	up_write(&vn->lock);
	/* Nothing is on trial any more, for veil_rotate_work() neither. */
	veil_trial_exit(vn);

	/* No hook feeds them any more; the first feeds the second. */
	veil_unknown_exit(vn);
	cancel_work_sync(&vn->handshake_work);
	veil_handshake_purge(vn, &vn->initiations);
	veil_handshake_purge(vn, &vn->responses);
	/* Peers wait for their sessions, these for the crypto API. */
	wait_var_event(&vn->peers_alive, !atomic_read(&vn->peers_alive));
	cancel_delayed_work_sync(&vn->rotate_work);
	rhashtable_destroy(&vn->indexes);
	veil_networks_exit(vn);
	veil_weaken_exit(vn);
	veil_policies_exit(vn);
	veil_prefix_destroy(&vn->addresses, veil_net_release_address);
	rhashtable_destroy(&vn->by_key);
	free_percpu(vn->recent);
	free_percpu(vn->drops);
}

static struct pernet_operations veil_net_ops = {
	.init = veil_net_init,
	.pre_exit = veil_net_pre_exit,
	.exit = veil_net_exit,
	.id = &veil_net_id,
	.size = sizeof(struct veil_net),
};

int veil_nets_init(void)
{
	return register_pernet_subsys(&veil_net_ops);
}

void veil_nets_exit(void)
{
	unregister_pernet_subsys(&veil_net_ops);
}
