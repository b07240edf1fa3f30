// SPDX-License-Identifier: GPL-2.0
/*
 * Peers: adding, changing and removing them.
 *
 * Removal: vn->lock is held for writing, so no handshake worker is at it.  The
 * addresses leave the table and @dead is set; packets that a hook judged before
 * that find no session or a dead peer after a grace period.  The timer is shut
 * down, sessions are unlinked (their workers wait for the crypto API), the queue
 * is purged, and the last reference frees the peer by RCU.
 */
#include <crypto/algapi.h>
#include <linux/slab.h>

#include "handshake.h"
#include "netlink.h"
#include "network.h"
#include "peer_address.h"
#include "peer_key.h"
#include "roam.h"
#include "session.h"
#include "timers.h"
#include "trial.h"
#include "tx.h"
#include "weaken.h"

/* Goodbyes of a peer that the log tells of, in ten seconds. */
#define VEIL_PEER_CLOSED_BURST	3

/* Of its own, since kmalloc() would round a peer up to the next power of two. */
static struct kmem_cache *veil_peer_cache;

int veil_peer_init(void)
{
	veil_peer_cache = KMEM_CACHE(veil_peer, 0);
	return veil_peer_cache ? 0 : -ENOMEM;
}

void veil_peer_exit(void)
{
	kmem_cache_destroy(veil_peer_cache);
}

static void veil_peer_free_rcu(struct rcu_head *rcu)
{
	struct veil_peer *peer = container_of(rcu, struct veil_peer, rcu);

	kfree(peer->key);
	kfree_sensitive(peer->traceroutes);
	kfree_sensitive(peer->roamer);
	memzero_explicit(peer, sizeof(*peer));
	kmem_cache_free(veil_peer_cache, peer);
}

static void veil_peer_release(struct kref *refs)
{
	struct veil_peer *peer = container_of(refs, struct veil_peer, refs);
	atomic_t *alive = &peer->vn->peers_alive;

	call_rcu(&peer->rcu, veil_peer_free_rcu);
	/* The namespace may go right after the decrement. */
	if (atomic_dec_and_test(alive))
		wake_up_var(alive);
}

void veil_peer_put(struct veil_peer *peer)
{
	kref_put(&peer->refs, veil_peer_release);
}

static void veil_peer_touch(struct veil_peer *peer)
{
	const struct veil_address *address;

	list_for_each_entry(address, &peer->addresses, list)
		veil_weaken_touch(peer->vn, &address->node.prefix);
	list_for_each_entry(address, &peer->prefixes, list)
		veil_weaken_touch_network(peer->vn, &address->node.prefix);
}

void veil_peer_reset(struct veil_peer *peer)
{
	veil_tx_close(peer);
	veil_session_kill_all(peer);
	veil_handshake_cancel(peer);
	veil_timers_arm(peer);
}

void veil_peer_let_go(struct veil_peer *peer)
{
	WRITE_ONCE(peer->held, false);
}

/* To what it was, or is to be. */
static void veil_peer_lower(struct veil_peer *peer, enum netveil_policy policy)
{
	if (peer->policy == policy)
		return;
	WRITE_ONCE(peer->policy, policy);
	/* What waits, or was begun, meanwhile. */
	if (policy == NETVEIL_POLICY_BYPASS)
		veil_peer_reset(peer);
}

static bool veil_peer_config_moves(const struct veil_peer_config *config)
{
	return config->address_count || config->prefix_count ||
	       config->no_prefix;
}

/* No address becomes weaker for a change that may be taken back, or is to make the peer
 * stricter as well: until that is put, or the new peer kept, all have the strictest
 * policy that any of those that are given has now, and the peer is held.
 */
static void veil_peer_raise(struct veil_peer *peer,
			    const struct veil_peer_config *config)
{
	struct veil_prefix prefix = { .length = VEIL_PREFIX_BITS };
	enum netveil_policy kind = peer->policy;
	unsigned int i;

	if (!veil_peer_config_moves(config))
		return;
	if (config->policy)
		kind = min_t(enum netveil_policy, kind, config->policy);
	for (i = 0; i < config->address_count; i++) {
		prefix.addr = config->addresses[i];
		kind = veil_policy_stricter(peer->vn, &prefix, kind);
	}
	for (i = 0; i < config->prefix_count; i++)
		kind = veil_policy_stricter(peer->vn, &config->prefixes[i],
					    kind);
	veil_peer_touch(peer);
	WRITE_ONCE(peer->held, true);
	WRITE_ONCE(peer->policy, kind);
}

void veil_peer_free(struct veil_peer *peer, struct veil_peer_change *change)
{
	bool found = !list_empty(&change->addresses) ||
		     !list_empty(&change->prefixes);

	veil_peer_free_keys(peer, &change->keys);
	veil_address_del_all(&change->addresses);
	veil_address_del_all(&change->prefixes);
	/* Who has found one is done with it. */
	if (found)
		synchronize_net();
	veil_peer_lower(peer, change->policy);
	veil_peer_let_go(peer);
}

int veil_peer_make(struct veil_peer *peer,
		   const struct veil_peer_config *config,
		   struct veil_peer_change *change)
{
	int err;

	memset(change, 0, sizeof(*change));
	INIT_LIST_HEAD(&change->addresses);
	INIT_LIST_HEAD(&change->prefixes);
	change->policy = peer->policy;
	veil_peer_raise(peer, config);
	err = veil_peer_make_keys(peer, config, &change->keys);
	if (!err)
		err = veil_peer_make_addresses(peer, config,
					       &change->addresses);
	if (!err)
		err = veil_network_make(peer, config, &change->prefixes);
	if (!err && config->roaming)
		err = veil_roam_make(peer);
	if (err)
		veil_peer_free(peer, change);
	return err;
}

static void veil_peer_put_made(struct veil_peer *peer,
			       const struct veil_peer_config *config,
			       struct veil_peer_change *change)
{
	veil_peer_put_keys(peer, config, &change->keys);
	veil_peer_put_addresses(peer, config, &change->addresses);
	veil_network_put(peer, config);
}

/*
 * Adding, changing, removing
 */

void veil_peer_restart(struct veil_peer *peer)
{
	veil_session_kill_all(peer);
	veil_handshake_cancel(peer);
	veil_timers_arm(peer);
	veil_handshake_start(peer);
}

/* A handshake at once, under the newest keys; what there is stays. */
void veil_peer_renew(struct veil_peer *peer)
{
	WRITE_ONCE(peer->renew_until, jiffies + VEIL_RENEW_TIME * HZ);
	veil_handshake_cancel(peer);
	veil_timers_arm(peer);
	veil_handshake_start(peer);
}

static bool veil_peer_has_address(const struct veil_peer_config *config,
				  const struct in6_addr *addr)
{
	unsigned int i;

	for (i = 0; i < config->address_count; i++)
		if (ipv6_addr_equal(addr, &config->addresses[i]))
			return true;
	return false;
}

static int veil_peer_check(struct veil_net *vn, const struct veil_peer *peer,
			   const struct veil_peer_config *config,
			   struct netlink_ext_ack *extack)
{
	unsigned int i;
	int err;

	for (i = 0; i < config->address_count; i++) {
		err = veil_peer_check_address(vn, &config->addresses[i],
					      extack);
		if (err)
			return err;
	}
	return veil_peer_check_keys(vn, peer, config, extack);
}

/* Whether it roams was decided before: its addresses tell nothing then.
 * turned: it did not, or did, until now.
 */
static void veil_peer_set_endpoint(struct veil_peer *peer,
				   const struct veil_peer_config *config,
				   bool turned)
{
	const struct veil_address *first =
		list_first_entry_or_null(&peer->addresses, struct veil_address,
					 list);

	spin_lock_bh(&peer->lock);
	if (config->has_endpoint)
		peer->endpoint = config->endpoint;
	else if (!peer->roaming && first &&
		 (config->address_count || turned))
		peer->endpoint = first->node.prefix.addr;
	if (config->port)
		WRITE_ONCE(peer->port, config->port);
	else if (turned != (peer->roaming && config->has_endpoint))
		/* What NAT made of it goes with the endpoint that had it. */
		WRITE_ONCE(peer->port, VEIL_PORT);
	veil_roam_place(peer);
	spin_unlock_bh(&peer->lock);
	if (config->has_keepalive) {
		WRITE_ONCE(peer->keepalive, config->keepalive);
		veil_timers_arm(peer);
	}
}

/* Where handshakes go: an address of the peer's, if it does not roam. */
static int veil_peer_check_endpoint(const struct veil_peer_config *config,
				    bool roaming, bool known,
				    struct netlink_ext_ack *extack)
{
	if (!config->has_endpoint || roaming || known)
		return 0;
	NL_SET_ERR_MSG_MOD(extack,
			   "the endpoint must be one of the peer's addresses, if the peer does not roam");
	return -EINVAL;
}

/*
 * Policy
 */

/* "prefer" is an operator's word: it means both forms again, also when it was
 * said before.  Whether the peer's sessions have to end for it.  NONE: as before.
 */
static bool veil_peer_set_policy(struct veil_peer *peer,
				 enum netveil_policy before,
				 enum netveil_policy policy)
{
	bool ends = policy != NETVEIL_POLICY_REQUIRE ||
		    before == NETVEIL_POLICY_BYPASS;

	if (policy == NETVEIL_POLICY_NONE ||
	    (policy == before && policy != NETVEIL_POLICY_PREFER)) {
		veil_peer_lower(peer, before);
		return false;
	}
	veil_peer_touch(peer);
	if (ends) {
		/* The other end, where it prefers as well, does so again. */
		veil_tx_close(peer);
		veil_session_kill_all(peer);
	}
	spin_lock_bh(&peer->lock);
	if (policy == NETVEIL_POLICY_PREFER)
		WRITE_ONCE(peer->confirmed, false);
	spin_unlock_bh(&peer->lock);
	WRITE_ONCE(peer->policy, policy);
	return ends;
}

void veil_peer_restore_policy(struct veil_peer *peer, enum netveil_policy policy,
			      bool confirmed)
{
	bool bypass = policy == NETVEIL_POLICY_BYPASS ||
		      peer->policy == NETVEIL_POLICY_BYPASS;

	veil_peer_touch(peer);
	spin_lock_bh(&peer->lock);
	WRITE_ONCE(peer->confirmed, peer->confirmed || confirmed);
	spin_unlock_bh(&peer->lock);
	WRITE_ONCE(peer->policy, policy);
	if (bypass)
		veil_peer_restart(peer);
}

static void veil_peer_closed_work(struct work_struct *work)
{
	struct veil_peer *peer = container_of(work, struct veil_peer,
					      closed_work);
	struct veil_net *vn = peer->vn;

	down_write(&vn->lock);
	if (!peer->dead) {
		veil_weaken_begin(vn, "closed");
		veil_weaken_rarely(vn, &peer->closed_limit);
		veil_peer_touch(peer);
		spin_lock_bh(&peer->lock);
		if (peer->closed)
			WRITE_ONCE(peer->confirmed, false);
		peer->closed = false;
		spin_unlock_bh(&peer->lock);
		veil_weaken_end(vn);
	}
	up_write(&vn->lock);
	veil_peer_put(peer);
}

void veil_peer_closed(struct veil_peer *peer)
{
	/* The packet path holds no reference: it may meet a peer at its end. */
	if (!kref_get_unless_zero(&peer->refs))
		return;
	if (!queue_work(veil_queues_of(peer->vn->net)->all,
			&peer->closed_work))
		veil_peer_put(peer);
}

static struct veil_peer *veil_peer_alloc(struct veil_net *vn)
{
	struct veil_peer *peer = kmem_cache_zalloc(veil_peer_cache,
						   GFP_KERNEL_ACCOUNT);

	if (!peer)
		return NULL;
	kref_init(&peer->refs);
	peer->vn = vn;
	INIT_LIST_HEAD(&peer->addresses);
	INIT_LIST_HEAD(&peer->prefixes);
	peer->port = VEIL_PORT;
	mutex_init(&peer->handshake_lock);
	spin_lock_init(&peer->lock);
	skb_queue_head_init(&peer->queue);
	INIT_WORK(&peer->work, veil_handshake_send_work);
	INIT_WORK(&peer->closed_work, veil_peer_closed_work);
	ratelimit_state_init(&peer->closed_limit, 10 * HZ,
			     VEIL_PEER_CLOSED_BURST);
	veil_timers_init(peer);
	peer->renew_until = jiffies;
	peer->last_rx = jiffies - VEIL_STALE_QUIET_TIME * HZ;
	atomic_inc(&vn->peers_alive);
	return peer;
}

/* See the top of this file. */
static void veil_peer_unlink(struct veil_peer *peer)
{
	veil_address_del_all(&peer->addresses);
	veil_address_del_all(&peer->prefixes);
	veil_roam_unlink(peer);
	spin_lock_bh(&peer->lock);
	WRITE_ONCE(peer->dead, true);
	spin_unlock_bh(&peer->lock);
	veil_tx_close(peer);
	veil_handshake_cancel(peer);
	veil_timers_stop(peer);
	veil_session_kill_all(peer);
	veil_peer_forget_keys(peer);
	/* Pairs with veil_tx_queue(). */
	smp_mb();
	veil_tx_purge(peer, VEIL_DROP_policy_changed);
	veil_peer_put(peer);
}

/* All that a new peer has, which is in no list yet; known: it takes over from
 * that one, or NULL.
 */
static int veil_peer_fill(struct veil_peer *peer,
			  const struct veil_peer_config *config,
			  struct veil_peer *known)
{
	struct veil_peer_change change;
	int err;

	err = veil_peer_set_key(peer, config->public_key);
	if (!err)
		err = veil_peer_make(peer, config, &change);
	if (err)
		return err;
	veil_peer_put_made(peer, config, &change);
	if (known)
		err = veil_pairs_copy(peer, known);
	if (err)
		return err;
	veil_pairs_changed(peer);
	veil_roam_set(peer, config->roaming);
	veil_peer_set_endpoint(peer, config, config->roaming);
	return 0;
}

/* A peer that leaves in the same step makes room for one of its key. */
static int veil_peer_check_unknown(struct veil_net *vn, const u8 *public_key,
				   struct netlink_ext_ack *extack)
{
	struct veil_peer *known = veil_peer_find(vn, public_key);

	if (!known || veil_peer_makes_room(known))
		return 0;
	NL_SET_ERR_MSG_MOD(extack,
			   "this peer is known already: veil peer set changes it");
	return -EEXIST;
}

int veil_peer_check_add(struct veil_net *vn,
			const struct veil_peer_config *config,
			struct netlink_ext_ack *extack)
{
	int err;

	if (veil_trial_refuses(vn, extack))
		return -EBUSY;
	if (!config->address_count &&
	    !(config->roaming && config->prefix_count)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "a new peer needs an address, or one that roams a prefix");
		return -EINVAL;
	}
	err = veil_peer_check_unknown(vn, config->public_key, extack);
	if (!err)
		err = veil_peer_check_endpoint(config, config->roaming,
					       veil_peer_has_address(config,
								     &config->endpoint),
					       extack);
	if (!err)
		err = veil_peer_check(vn, NULL, config, extack);
	return err ?: veil_peer_check_key(vn, config->public_key, extack);
}

/* A peer that is made anew, since its addresses change, is the same host: its
 * clock goes on, and plaintext is as unwelcome as it was.
 */
static void veil_peer_inherit(struct veil_peer *peer, struct veil_peer *known)
{
	known->succeeded = true;
	if (READ_ONCE(known->confirmed))
		WRITE_ONCE(peer->confirmed, true);
	peer->time_sent = known->time_sent;
	veil_roam_inherit(peer, known);
}

struct veil_peer *veil_peer_add(struct veil_net *vn,
				const struct veil_peer_config *config,
				struct netlink_ext_ack *extack)
{
	struct veil_peer *peer, *known;
	int err;

	/* Another of the same step may have come first. */
	err = veil_peer_check_unknown(vn, config->public_key, extack);
	if (!err)
		err = veil_net_activate(vn, extack);
	if (err)
		return ERR_PTR(err);

	known = veil_peer_find(vn, config->public_key);
	peer = veil_peer_alloc(vn);
	if (peer) {
		peer->wanted = config->policy ?: NETVEIL_POLICY_REQUIRE;
		peer->policy = peer->wanted;
		peer->held = true;
	}
	/* Before its addresses can be found. */
	if (peer && known) {
		peer->confirmed = READ_ONCE(known->confirmed);
		veil_session_inherit(peer, known);
	}
	err = peer ? veil_peer_fill(peer, config, known) : -ENOMEM;
	if (err == -EADDRINUSE)
		NL_SET_ERR_MSG_MOD(extack,
				   "an address is given to two peers, or to a peer and a policy");
	if (err) {
		if (peer)
			veil_peer_unlink(peer);
		veil_net_settle(vn);
		return ERR_PTR(err);
	}
	if (known)
		veil_peer_inherit(peer, known);
	list_add_tail(&peer->list, &vn->peers);
	vn->peer_count++;
	veil_handshake_start(peer);
	/* Its pairs are made by the worker, also when no handshake starts: who adds
	 * thousands of peers does not wait for as many X25519.
	 */
	if (!READ_ONCE(peer->handshaking))
		veil_handshake_queue(peer);
	return peer;
}

void veil_peer_hold(struct veil_peer *peer)
{
	/* Before: what is only held was not protected. */
	veil_peer_touch(peer);
	WRITE_ONCE(peer->held, true);
	/* What was preferred within may be its own for a while. */
	if (peer->policy == NETVEIL_POLICY_BYPASS)
		WRITE_ONCE(peer->policy, NETVEIL_POLICY_PREFER);
}

void veil_peer_keep(struct veil_peer *peer)
{
	struct veil_address *address;

	list_for_each_entry(address, &peer->addresses, list)
		address->replaced = NULL;
	list_for_each_entry(address, &peer->prefixes, list)
		address->replaced = NULL;
	veil_peer_let_go(peer);
	veil_peer_lower(peer, peer->wanted);
	veil_netlink_event(peer->vn, NETVEIL_EVENT_PEER_ADDED,
			   peer->public_key);
}

static bool veil_peer_config_turns(const struct veil_peer *peer,
				   const struct veil_peer_config *config)
{
	return config->has_roaming && config->roaming != peer->roaming;
}

/* Whether sessions must not outlive the change. */
static bool veil_peer_config_ends(const struct veil_peer *peer,
				  const struct veil_peer_config *config)
{
	return config->address_count || config->has_endpoint || config->port ||
	       !veil_peer_same_psk(peer, config) ||
	       veil_peer_config_turns(peer, config);
}

/* Whether it brings keys that the next handshake should be under. */
static bool veil_peer_config_renews(const struct veil_peer_config *config)
{
	return config->has_psk_next || config->no_psk_next ||
	       config->has_next_key || config->no_next_key;
}

int veil_peer_check_set(struct veil_peer *peer,
			const struct veil_peer_config *config,
			struct netlink_ext_ack *extack)
{
	bool known;
	int err;

	if (veil_trial_refuses(peer->vn, extack))
		return -EBUSY;
	if (config->confirm && (config->prefix_count || config->no_prefix ||
				config->has_keepalive ||
				veil_peer_config_ends(peer, config) ||
				veil_peer_config_renews(config))) {
		NL_SET_ERR_MSG_MOD(extack,
				   "of a known peer only its policy can be changed on trial");
		return -EOPNOTSUPP;
	}
	if (config->address_count)
		known = veil_peer_has_address(config, &config->endpoint);
	else
		known = veil_address_find(&peer->addresses, &config->endpoint);
	if (config->has_roaming && !config->roaming &&
	    !config->address_count && list_empty(&peer->addresses)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "a peer that does not roam needs an address: give it as well");
		return -EINVAL;
	}
	if (config->no_prefix && !config->address_count &&
	    list_empty(&peer->addresses)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "nothing would be left of this peer, which has no address: veil peer del removes it");
		return -EINVAL;
	}
	err = veil_peer_check_endpoint(config, config->has_roaming ?
				       config->roaming : peer->roaming,
				       known, extack);
	return err ?: veil_peer_check(peer->vn, peer, config, extack);
}

static bool veil_peer_config_empty(const struct veil_peer *peer,
				   const struct veil_peer_config *config)
{
	return !config->address_count && !config->has_endpoint &&
	       !config->port && !config->policy && !config->prefix_count &&
	       !config->no_prefix && !config->has_roaming &&
	       !config->has_keepalive && veil_peer_same_keys(peer, config);
}

void veil_peer_put_change(struct veil_peer *peer,
			  const struct veil_peer_config *config,
			  struct veil_peer_change *change)
{
	bool ends = veil_peer_config_ends(peer, config);
	bool turned = veil_peer_config_turns(peer, config);
	bool moves = veil_peer_config_moves(config);

	if (veil_peer_config_empty(peer, config)) {
		veil_peer_free(peer, change);
		return;
	}
	veil_peer_put_made(peer, config, change);
	/* Who has found addresses that the peer has no longer is done with them. */
	if (moves && (config->policy || peer->policy != change->policy))
		synchronize_net();
	if (turned)
		veil_roam_set(peer, config->roaming);
	if (veil_peer_set_policy(peer, change->policy, config->policy))
		ends = true;
	if (moves)
		veil_peer_let_go(peer);
	/* First, for they can move the endpoint. */
	if (ends)
		veil_session_kill_all(peer);
	veil_peer_set_endpoint(peer, config, turned);
	if (ends)
		veil_peer_restart(peer);
	else if (veil_peer_config_renews(config))
		veil_peer_renew(peer);
}

int veil_peer_set(struct veil_peer *peer, const struct veil_peer_config *config)
{
	struct veil_peer_change change;
	int err;

	veil_weaken_begin(peer->vn, "peer-changed");
	err = veil_peer_make(peer, config, &change);
	if (!err)
		veil_peer_put_change(peer, config, &change);
	veil_weaken_end(peer->vn);
	return err;
}

void veil_peer_forget(struct veil_peer *peer)
{
	struct veil_net *vn = peer->vn;

	list_del(&peer->list);
	vn->peer_count--;
	veil_weaken_begin(vn, "peer-removed");
	veil_peer_unlink(peer);
	veil_weaken_end(vn);
	veil_net_settle(vn);
}

void veil_peer_take_addresses(struct veil_net *vn)
{
	struct veil_peer *peer;
	unsigned int length;

	for (length = 0; length <= VEIL_PREFIX_BITS; length++) {
		if (!vn->addresses.used[length])
			continue;
		list_for_each_entry(peer, &vn->peers, list) {
			cond_resched();
			if (!peer->leaving)
				continue;
			veil_address_del_length(&peer->addresses, length);
			veil_address_del_length(&peer->prefixes, length);
		}
	}
}

void veil_peer_remove(struct veil_peer *peer)
{
	struct veil_net *vn = peer->vn;

	if (!peer->succeeded)
		veil_netlink_event(vn, NETVEIL_EVENT_PEER_REMOVED,
				   peer->public_key);
	veil_peer_forget(peer);
}
