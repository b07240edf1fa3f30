// SPDX-License-Identifier: GPL-2.0
/*
 * The keys that peers are known by, and their psks.
 *
 * A peer may have a next key and a next psk beside its current ones.  Both
 * serve until a session is confirmed under the next one: that proves that the
 * other end has it, and it takes the place of the current one, which is refused
 * from then on.  The packet path sees the confirmation and leaves the change to
 * veil_rotate_work().
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <crypto/algapi.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "handshake.h"
#include "netlink.h"
#include "peer_key.h"
#include "roam.h"
#include "rotate.h"
#include "session.h"
#include "trial.h"

static const struct rhashtable_params veil_by_key_params = {
	.key_len = VEIL_KEY_LEN,
	.key_offset = offsetof(struct veil_key, public),
	.head_offset = offsetof(struct veil_key, hash),
	.automatic_shrinking = true,
};

int veil_peers_init(struct veil_net *vn)
{
	INIT_LIST_HEAD(&vn->peers);
	return rhashtable_init(&vn->by_key, &veil_by_key_params);
}

struct veil_peer *veil_peer_find(struct veil_net *vn,
				 const u8 public_key[VEIL_KEY_LEN])
{
	struct veil_key *key = rhashtable_lookup_fast(&vn->by_key, public_key,
						      veil_by_key_params);

	return key ? key->peer : NULL;
}

int veil_peer_check_key(struct veil_net *vn, const u8 public_key[VEIL_KEY_LEN],
			struct netlink_ext_ack *extack)
{
	struct veil_peer *known;

	if (veil_rotate_is_own(vn, public_key)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "this is the host's own public key: give the peer's");
		return -EINVAL;
	}
	known = veil_peer_find(vn, public_key);
	if (known && !veil_peer_makes_room(known)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "a peer has this key already: veil peer show tells which");
		return -EEXIST;
	}
	if (veil_key_is_weak(public_key)) {
		NL_SET_ERR_MSG_MOD(extack, "this is no valid public key");
		return -EKEYREJECTED;
	}
	return 0;
}

static bool veil_peer_key_equal(const struct veil_key *key,
				const u8 public_key[VEIL_KEY_LEN])
{
	return key && !memcmp(key->public, public_key, VEIL_KEY_LEN);
}

int veil_peer_check_keys(struct veil_net *vn, const struct veil_peer *peer,
			 const struct veil_peer_config *config,
			 struct netlink_ext_ack *extack)
{
	if (!config->has_next_key ||
	    (peer && veil_peer_key_equal(peer->next_key, config->next_key)))
		return 0;
	if (!memcmp(config->next_key, config->public_key, VEIL_KEY_LEN)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "the next key is the peer's present one");
		return -EINVAL;
	}
	return veil_peer_check_key(vn, config->next_key, extack);
}

/*
 * The table of keys
 */

static struct veil_key *veil_peer_add_key(struct veil_peer *peer,
					  const u8 public_key[VEIL_KEY_LEN])
{
	struct veil_peer *known = veil_peer_find(peer->vn, public_key);
	struct veil_key *key;
	int err;

	/* Checked before; but a step has more than one change. */
	if (veil_rotate_is_own(peer->vn, public_key) ||
	    (known && !veil_peer_makes_room(known)))
		return ERR_PTR(-EEXIST);
	key = kzalloc(sizeof(*key), GFP_KERNEL_ACCOUNT);
	if (!key)
		return ERR_PTR(-ENOMEM);
	key->peer = peer;
	memcpy(key->public, public_key, VEIL_KEY_LEN);
	err = rhashtable_insert_fast(&peer->vn->by_key, &key->hash,
				     veil_by_key_params);
	if (!err)
		return key;
	kfree(key);
	return ERR_PTR(err);
}

static void veil_peer_unhash_key(struct veil_peer *peer, struct veil_key *key)
{
	rhashtable_remove_fast(&peer->vn->by_key, &key->hash,
			       veil_by_key_params);
}

int veil_peer_set_key(struct veil_peer *peer, const u8 public_key[VEIL_KEY_LEN])
{
	struct veil_key *key = veil_peer_add_key(peer, public_key);

	if (IS_ERR(key))
		return PTR_ERR(key);
	peer->key = key;
	peer->public_key = key->public;
	return 0;
}

static void veil_peer_drop_next_key(struct veil_peer *peer)
{
	struct veil_key *key = peer->next_key;

	if (!key)
		return;
	veil_pairs_drop(peer, VEIL_PAIR_THEIR_NEXT, 0);
	peer->next_key = NULL;
	veil_peer_unhash_key(peer, key);
	kfree_rcu(key, rcu);
}

/* *key is NULL if it is the peer's next one already. */
static int veil_peer_make_next_key(struct veil_peer *peer,
				   const u8 public_key[VEIL_KEY_LEN],
				   struct veil_key **key)
{
	struct veil_key *made;

	if (veil_peer_key_equal(peer->next_key, public_key))
		return 0;
	made = veil_peer_add_key(peer, public_key);
	if (IS_ERR(made))
		return PTR_ERR(made);
	*key = made;
	return 0;
}

static void veil_peer_put_next_key(struct veil_peer *peer, struct veil_key *key)
{
	veil_peer_drop_next_key(peer);
	peer->next_key = key;
	/* As in veil_rotate_pairs(). */
	if (veil_pairs_make(peer))
		veil_handshake_queue(peer);
}

/*
 * Psks
 */

/* NULL if none is given. */
static int veil_peer_make_psk(struct veil_psk **psk, bool given,
			      const u8 key[VEIL_KEY_LEN])
{
	int err;

	*psk = NULL;
	if (!given)
		return 0;
	*psk = kzalloc(sizeof(**psk), GFP_KERNEL_ACCOUNT);
	if (!*psk)
		return -ENOMEM;
	memcpy((*psk)->key, key, VEIL_KEY_LEN);
	err = veil_psk_id((*psk)->id, key);
	if (!err)
		return 0;
	kfree_sensitive(*psk);
	*psk = NULL;
	return err;
}

/* psk, if any, takes the place of what is there; without one, clear empties it. */
static void veil_peer_put_psk(struct veil_psk **place, struct veil_psk *psk,
			      bool clear)
{
	if (!psk && !clear)
		return;
	kfree_sensitive(*place);
	/* Timers ask whether there is one. */
	WRITE_ONCE(*place, psk);
}

static bool veil_psk_is(const struct veil_psk *psk,
			const u8 id[VEIL_PSK_ID_LEN])
{
	return psk && !crypto_memneq(psk->id, id, VEIL_PSK_ID_LEN);
}

static bool veil_psk_equal(const struct veil_psk *psk,
			   const u8 key[VEIL_KEY_LEN])
{
	return psk && !crypto_memneq(psk->key, key, VEIL_KEY_LEN);
}

void veil_peer_know_psk(const struct veil_peer *peer,
			struct veil_peer_config *config)
{
	if (!config->has_psk_next || peer->psk_next ||
	    !veil_psk_equal(peer->psk, config->psk_next))
		return;
	memcpy(config->psk, config->psk_next, VEIL_KEY_LEN);
	config->has_psk = true;
	config->no_psk = false;
	config->has_psk_next = false;
}

bool veil_peer_same_psk(const struct veil_peer *peer,
			const struct veil_peer_config *config)
{
	if (config->no_psk)
		return !peer->psk;
	return !config->has_psk || veil_psk_equal(peer->psk, config->psk);
}

bool veil_peer_same_keys(const struct veil_peer *peer,
			 const struct veil_peer_config *config)
{
	const u8 *next = config->next_key;

	if (config->no_next_key && peer->next_key)
		return false;
	if (config->has_next_key && !veil_peer_key_equal(peer->next_key, next) &&
	    !veil_peer_key_equal(peer->key, next))
		return false;
	if (config->no_psk_next && peer->psk_next)
		return false;
	if (config->has_psk_next &&
	    !veil_psk_equal(peer->psk_next, config->psk_next))
		return false;
	return veil_peer_same_psk(peer, config);
}

/* Whether a session may be made with the psk of this id, zeros being none. */
static bool veil_peer_knows_psk(const struct veil_peer *peer,
				const u8 id[VEIL_PSK_ID_LEN])
{
	static const u8 none[VEIL_PSK_ID_LEN];

	return veil_psk_is(peer->psk, id) || veil_psk_is(peer->psk_next, id) ||
	       (!peer->psk && !memcmp(id, none, sizeof(none)));
}

static bool veil_peer_psk_gone(const struct veil_peer *peer,
			       const struct veil_session *session)
{
	return !veil_peer_knows_psk(peer, session->psk_id);
}

/* Handshakes that were under way with a psk that is no more. */
static void veil_peer_cut_psk(struct veil_peer *peer)
{
	veil_session_cut(peer, veil_peer_psk_gone);
	veil_handshake_cancel(peer);
}

int veil_peer_make_keys(struct veil_peer *peer,
			const struct veil_peer_config *config,
			struct veil_peer_keys *keys)
{
	int err;

	err = veil_peer_make_psk(&keys->psk, config->has_psk, config->psk);
	if (!err)
		err = veil_peer_make_psk(&keys->psk_next, config->has_psk_next,
					 config->psk_next);
	if (!err && config->has_next_key)
		err = veil_peer_make_next_key(peer, config->next_key,
					      &keys->next_key);
	return err;
}

void veil_peer_free_keys(struct veil_peer *peer, struct veil_peer_keys *keys)
{
	kfree_sensitive(keys->psk);
	kfree_sensitive(keys->psk_next);
	if (!keys->next_key)
		return;
	veil_peer_unhash_key(peer, keys->next_key);
	kfree_rcu(keys->next_key, rcu);
}

void veil_peer_put_keys(struct veil_peer *peer,
			const struct veil_peer_config *config,
			const struct veil_peer_keys *keys)
{
	if (keys->next_key)
		veil_peer_put_next_key(peer, keys->next_key);
	veil_peer_put_psk(&peer->psk, keys->psk, config->no_psk);
	veil_peer_put_psk(&peer->psk_next, keys->psk_next, config->no_psk_next);
	veil_peer_cut_psk(peer);
	if (config->no_next_key)
		veil_peer_drop_next_key(peer);
}

void veil_peer_forget_keys(struct veil_peer *peer)
{
	veil_peer_drop_next_key(peer);
	veil_pairs_drop(peer, 0, 0);
	veil_peer_put_psk(&peer->psk, NULL, true);
	veil_peer_put_psk(&peer->psk_next, NULL, true);
	/* Freed with the peer, since all who know it read it. */
	if (peer->key)
		veil_peer_unhash_key(peer, peer->key);
}

/*
 * Rotation
 */

void veil_peer_confirmed(struct veil_session *session)
{
	struct veil_peer *peer = session->peer;

	WRITE_ONCE(peer->proven, session->pair);
	if (!session->rotates)
		return;
	WRITE_ONCE(peer->rotate, true);
	veil_rotate_soon(peer->vn);
}

static void veil_peer_promote_key(struct veil_peer *peer)
{
	struct veil_key *old = peer->key;
	char where[VEIL_NET_WHERE];
	struct in6_addr endpoint;
	u16 port;

	veil_netlink_event(peer->vn, NETVEIL_EVENT_PEER_REKEYED,
			   peer->next_key->public);
	veil_roam_endpoint(peer, &endpoint, &port);
	if (veil_net_may_log(peer->vn, where))
		pr_notice("the peer at %pI6c%s has changed to its next key: the one before is refused\n",
			  &endpoint, where);
	peer->key = peer->next_key;
	WRITE_ONCE(peer->public_key, peer->key->public);
	peer->next_key = NULL;
	veil_trial_rekeyed(peer->vn, old->public, peer->key->public);
	veil_pairs_promote(peer, VEIL_PAIR_THEIR_NEXT);
	veil_peer_unhash_key(peer, old);
	kfree_rcu(old, rcu);
	peer->vn->generation++;
}

static void veil_peer_promote_psk(struct veil_peer *peer)
{
	char where[VEIL_NET_WHERE];
	struct in6_addr endpoint;
	u16 port;

	veil_roam_endpoint(peer, &endpoint, &port);
	if (veil_net_may_log(peer->vn, where))
		pr_notice("the peer at %pI6c%s has the next psk: the one before is wiped\n",
			  &endpoint, where);
	veil_peer_put_psk(&peer->psk, peer->psk_next, true);
	WRITE_ONCE(peer->psk_next, NULL);
	peer->vn->generation++;
	veil_peer_cut_psk(peer);
	veil_netlink_event(peer->vn, NETVEIL_EVENT_PSK_CHANGED,
			   peer->public_key);
}

/* Sessions that were confirmed, whichever slot they have by now. */
static void veil_peer_look(struct veil_peer *peer,
			   struct veil_session __rcu *slot, bool *key,
			   bool *psk)
{
	const struct veil_session *session =
		rcu_dereference_protected(slot, lockdep_is_held(&peer->lock));
	int place;

	if (!session || !READ_ONCE(session->opened))
		return;
	place = veil_pair_find(peer, session->pair);
	*key |= place != VEIL_PAIR_NONE && place & VEIL_PAIR_THEIR_NEXT;
	*psk |= veil_psk_is(peer->psk_next, session->psk_id);
}

bool veil_peer_on_next(const struct veil_peer *peer)
{
	int place = veil_pair_find(peer, READ_ONCE(peer->proven));

	return place != VEIL_PAIR_NONE && place & VEIL_PAIR_OUR_NEXT;
}

void veil_peer_rotate(struct veil_peer *peer)
{
	bool key = false, psk = false;

	if (!READ_ONCE(peer->rotate))
		return;
	WRITE_ONCE(peer->rotate, false);
	spin_lock_bh(&peer->lock);
	veil_peer_look(peer, peer->current_session, &key, &psk);
	veil_peer_look(peer, peer->previous_session, &key, &psk);
	spin_unlock_bh(&peer->lock);
	if (key)
		veil_peer_promote_key(peer);
	if (psk)
		veil_peer_promote_psk(peer);
}
