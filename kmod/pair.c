// SPDX-License-Identifier: GPL-2.0
/*
 * Pairs of static keys: making and wiping them, finding the one that an
 * initiation was made under.
 */
#include <crypto/algapi.h>
#include <linux/jhash.h>
#include <linux/slab.h>

#include "addr.h"
#include "handshake.h"
#include "initiator.h"
#include "pair.h"
#include "session.h"

static atomic_t veil_pair_ids = ATOMIC_INIT(0);

const struct veil_identity *veil_pair_ours(const struct veil_peer *peer,
					   int place)
{
	const struct veil_net *vn = peer->vn;

	lockdep_assert_held(&vn->lock);
	return place & VEIL_PAIR_OUR_NEXT ? &vn->next_identity : &vn->identity;
}

const u8 *veil_pair_theirs(const struct veil_peer *peer, int place)
{
	lockdep_assert_held(&peer->vn->lock);
	return place & VEIL_PAIR_THEIR_NEXT ? peer->next_key->public :
					      peer->public_key;
}

struct veil_pair *veil_pair_at(const struct veil_peer *peer, int place)
{
	return rcu_dereference_check(peer->pairs[place],
				     lockdep_is_held(&peer->lock) ||
				     lockdep_is_held(&peer->vn->lock));
}

static bool veil_pair_stamped(u64 stamp, __be64 theirs)
{
	__be64 ours = cpu_to_be64(stamp);

	return !crypto_memneq(&ours, &theirs, sizeof(ours));
}

int veil_pair_match(const struct veil_peer *peer,
		    const struct veil_initiation *msg)
{
	const struct veil_pair *pair;
	int place;

	for (place = VEIL_PAIRS - 1; place >= 0; place--) {
		pair = veil_pair_at(peer, place);
		if (pair && veil_pair_stamped(veil_stamp(pair->in, msg),
					      msg->stamp))
			return place;
	}
	return VEIL_PAIR_NONE;
}

bool veil_pair_answered(const struct veil_peer *peer,
			const struct veil_response *msg)
{
	const struct veil_pair *pair;
	int place;

	for (place = VEIL_PAIRS - 1; place >= 0; place--) {
		pair = veil_pair_at(peer, place);
		if (pair && veil_pair_stamped(veil_response_stamp(pair->out, msg),
					      msg->stamp))
			return true;
	}
	return false;
}

int veil_pair_find(const struct veil_peer *peer, u32 id)
{
	const struct veil_pair *pair;
	int place;

	for (place = 0; place < VEIL_PAIRS; place++) {
		pair = veil_pair_at(peer, place);
		if (pair && pair->id == id)
			return place;
	}
	return VEIL_PAIR_NONE;
}

int veil_pair_newest(const struct veil_peer *peer)
{
	int place = VEIL_PAIRS - 1;

	while (place >= 0 && !rcu_access_pointer(peer->pairs[place]))
		place--;
	return place;
}

static u32 veil_pair_way(const struct veil_addr_pair *addrs)
{
	return jhash(addrs, sizeof(*addrs), 0);
}

static bool veil_pair_has_way(const struct veil_pair *pair, u32 way)
{
	unsigned int i;

	for (i = 0; i < pair->way_count; i++)
		if (pair->ways[i] == way)
			return true;
	return false;
}

/* The first few; every host has many loopback addresses, and nobody is there. */
static void veil_pair_note_way(struct veil_pair *pair,
			       const struct veil_addr_pair *addrs)
{
	u32 way = veil_pair_way(addrs);

	if (pair->way_count < VEIL_PAIR_WAYS &&
	    !veil_addr_is_loopback(&addrs->destination) &&
	    !veil_pair_has_way(pair, way))
		pair->ways[pair->way_count++] = way;
}

bool veil_pair_came(struct veil_peer *peer, u32 id, u64 ns,
		    const struct veil_addr_pair *addrs)
{
	int place = veil_pair_find(peer, id);
	const struct veil_pair *pair;

	lockdep_assert_held(&peer->lock);
	if (place == VEIL_PAIR_NONE)
		return false;
	pair = veil_pair_at(peer, place);
	/* So many are copies, and whichever came behind them is not known. */
	return pair->pending == ns &&
	       (pair->way_count == VEIL_PAIR_WAYS ||
		veil_pair_has_way(pair, veil_pair_way(addrs)));
}

enum veil_drop veil_pair_time(struct veil_peer *peer, int place, u64 ns,
			      const struct veil_addr_pair *addrs)
{
	enum veil_drop verdict = VEIL_DROPS;
	struct veil_pair *pair;
	u64 pending;

	spin_lock_bh(&peer->lock);
	pair = veil_pair_at(peer, place);
	pending = pair && time_before(jiffies, pair->pending_until) ?
		  pair->pending : 0;
	if (!pair) {
		verdict = VEIL_DROP_bad_stamp;
	} else if (ns <= pair->committed || ns < pending) {
		verdict = VEIL_DROP_stale_initiation;
	} else if (ns == pending) {
		verdict = VEIL_DROP_repeated_initiation;
		veil_pair_note_way(pair, addrs);
	} else {
		pair->pending = ns;
		pair->way_count = 0;
		veil_pair_note_way(pair, addrs);
		pair->pending_until = jiffies + VEIL_CONFIRM_TIMEOUT * HZ;
	}
	spin_unlock_bh(&peer->lock);
	return verdict;
}

void veil_pair_commit(struct veil_peer *peer, u32 id, u64 ns)
{
	int place = veil_pair_find(peer, id);
	struct veil_pair *pair;

	lockdep_assert_held(&peer->lock);
	if (place == VEIL_PAIR_NONE)
		return;
	pair = veil_pair_at(peer, place);
	WRITE_ONCE(pair->committed, max(pair->committed, ns));
}

static void veil_pair_free(struct rcu_head *rcu)
{
	kfree_sensitive(container_of(rcu, struct veil_pair, rcu));
}

/* pair takes the place of what is there. */
static void veil_pair_put(struct veil_peer *peer, int place,
			  struct veil_pair *pair)
{
	struct veil_pair *old = veil_pair_at(peer, place);

	lockdep_assert_held(&peer->lock);
	rcu_assign_pointer(peer->pairs[place], pair);
	if (old)
		call_rcu(&old->rcu, veil_pair_free);
}

static struct veil_pair *veil_pair_make(const struct veil_identity *ours,
					const u8 theirs[VEIL_KEY_LEN])
{
	struct veil_pair *pair = kzalloc(sizeof(*pair), GFP_KERNEL_ACCOUNT);
	int err;

	if (!pair)
		return ERR_PTR(-ENOMEM);
	pair->id = atomic_inc_return(&veil_pair_ids) ?: 1;
	err = veil_x25519(pair->ss, ours->private, theirs);
	if (!err)
		err = veil_pair_key(pair->in, pair->ss, theirs, ours->public);
	if (!err)
		err = veil_pair_key(pair->out, pair->ss, ours->public, theirs);
	if (!err)
		return pair;
	kfree_sensitive(pair);
	return ERR_PTR(err);
}

static bool veil_pair_wanted(const struct veil_peer *peer, int place)
{
	const struct veil_net *vn = peer->vn;
	u8 origin = place & VEIL_PAIR_OUR_NEXT ? vn->next_origin : vn->origin;

	return origin != NETVEIL_KEY_NONE &&
	       (!(place & VEIL_PAIR_THEIR_NEXT) || peer->next_key) &&
	       !rcu_access_pointer(peer->pairs[place]);
}

void veil_pairs_changed(struct veil_peer *peer)
{
	bool usable = false;
	int place;

	for (place = 0; place < VEIL_PAIRS; place++)
		usable |= rcu_access_pointer(peer->pairs[place]) ||
			  veil_pair_wanted(peer, place);
	WRITE_ONCE(peer->usable, usable);
}

int veil_pairs_make(struct veil_peer *peer)
{
	struct veil_pair *pair;
	int place, err = 0;

	for (place = 0; place < VEIL_PAIRS && !err; place++) {
		if (!veil_pair_wanted(peer, place))
			continue;
		pair = veil_pair_make(veil_pair_ours(peer, place),
				      veil_pair_theirs(peer, place));
		if (IS_ERR(pair)) {
			err = PTR_ERR(pair);
			break;
		}
		spin_lock_bh(&peer->lock);
		veil_pair_put(peer, place, pair);
		spin_unlock_bh(&peer->lock);
	}
	veil_pairs_changed(peer);
	return err;
}

/* The pair of from that has the keys of this place of peer. */
static const struct veil_pair *veil_pair_shared(const struct veil_peer *peer,
						int place,
						const struct veil_peer *from)
{
	static const int others[] = { 0, VEIL_PAIR_THEIR_NEXT };
	const struct veil_pair *pair;
	unsigned int i;

	if (place & VEIL_PAIR_THEIR_NEXT && !peer->next_key)
		return NULL;
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		/* What was its next key may be the current one now. */
		pair = veil_pair_at(from, place ^ others[i]);
		if (pair && !memcmp(veil_pair_theirs(peer, place),
				    veil_pair_theirs(from, place ^ others[i]),
				    VEIL_KEY_LEN))
			return pair;
	}
	return NULL;
}

int veil_pairs_copy(struct veil_peer *peer, struct veil_peer *from)
{
	const struct veil_pair *known;
	struct veil_pair *pair;
	int place;

	for (place = 0; place < VEIL_PAIRS; place++) {
		known = veil_pair_shared(peer, place, from);
		if (!known)
			continue;
		pair = kmalloc(sizeof(*pair), GFP_KERNEL_ACCOUNT);
		if (!pair)
			return -ENOMEM;
		/* Its sessions are confirmed meanwhile. */
		spin_lock_bh(&from->lock);
		*pair = *known;
		spin_unlock_bh(&from->lock);
		pair->id = atomic_inc_return(&veil_pair_ids) ?: 1;
		if (READ_ONCE(from->proven) == known->id)
			WRITE_ONCE(peer->proven, pair->id);
		spin_lock_bh(&peer->lock);
		veil_pair_put(peer, place, pair);
		spin_unlock_bh(&peer->lock);
	}
	return 0;
}

static bool veil_pair_gone(const struct veil_peer *peer,
			   const struct veil_session *session)
{
	return veil_pair_find(peer, session->pair) == VEIL_PAIR_NONE;
}

/* Handshakes that were under way under a pair that is no more. */
static void veil_pairs_cut(struct veil_peer *peer)
{
	const struct veil_outstanding *own;
	bool stale;

	/* Without a current one the next is begun at once, not 5 s after the last. */
	stale = veil_session_cut(peer, veil_pair_gone);
	mutex_lock(&peer->handshake_lock);
	own = veil_initiator_own(peer);
	stale |= own && veil_pair_find(peer, own->pair) == VEIL_PAIR_NONE;
	mutex_unlock(&peer->handshake_lock);
	if (stale)
		veil_handshake_cancel(peer);
}

void veil_pairs_drop(struct veil_peer *peer, int set, int clear)
{
	int place;

	spin_lock_bh(&peer->lock);
	for (place = 0; place < VEIL_PAIRS; place++)
		if ((place & set) == set && !(place & clear))
			veil_pair_put(peer, place, NULL);
	spin_unlock_bh(&peer->lock);
	veil_pairs_changed(peer);
	veil_pairs_cut(peer);
}

void veil_pairs_promote(struct veil_peer *peer, int bit)
{
	struct veil_pair *next;
	int place;

	spin_lock_bh(&peer->lock);
	for (place = 0; place < VEIL_PAIRS; place++) {
		if (place & bit)
			continue;
		next = veil_pair_at(peer, place | bit);
		RCU_INIT_POINTER(peer->pairs[place | bit], NULL);
		veil_pair_put(peer, place, next);
	}
	spin_unlock_bh(&peer->lock);
	veil_pairs_changed(peer);
	veil_pairs_cut(peer);
}
