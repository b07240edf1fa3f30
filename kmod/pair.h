/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pairs: what one static key of ours and one of a peer's have in common.
 *
 * There is one pair for each peer, and up to four while keys are changed: either
 * end may have a current key and a next one.  The packet path reads the table
 * under rcu_read_lock(); who holds vn->lock may read it too.  It is written with
 * peer->lock and either vn->lock written, or, to fill empty places, vn->lock read
 * and peer->handshake_lock.
 */
#ifndef _VEIL_PAIR_H
#define _VEIL_PAIR_H

#include "keys.h"

struct veil_addr_pair;
struct veil_net;
struct veil_peer;

/* A pair's place in veil_peer.pairs; newer ones are larger. */
#define VEIL_PAIR_THEIR_NEXT	1
#define VEIL_PAIR_OUR_NEXT	2
#define VEIL_PAIRS		4

/* Addresses that are remembered of an initiation which came more than once. */
#define VEIL_PAIR_WAYS		8

/* No place. */
#define VEIL_PAIR_NONE		(-1)

/**
 * struct veil_pair - a pair of static keys
 * @rcu: wipes and frees it
 * @id: never zero, never used again: names it where it may be gone by now
 * @ss: X25519 of both
 * @in: stamps on the peer's initiations, and on our responses to them
 * @out: stamps on our initiations, and on its responses
 * @committed: ns, TAI64N of the peer's newest initiation that led to a confirmed
 *	session; peer->lock, as all below
 * @pending: ns, of its newest initiation, for VEIL_CONFIRM_TIMEOUT
 * @pending_until: jiffies
 * @ways: hashes of the addresses that this one came with, the first time and again
 * @way_count: of them
 */
struct veil_pair {
	struct rcu_head rcu;
	u32 id;
	u8 ss[VEIL_KEY_LEN];
	u8 in[VEIL_PAIR_KEY_LEN];
	u8 out[VEIL_PAIR_KEY_LEN];
	u64 committed;
	u64 pending;
	unsigned long pending_until;
	u32 ways[VEIL_PAIR_WAYS];
	u8 way_count;
};

/* The keys of a place.  vn->lock held. */
const struct veil_identity *veil_pair_ours(const struct veil_peer *peer,
					   int place);
const u8 *veil_pair_theirs(const struct veil_peer *peer, int place);

/* The place of the pair that stamped msg, or VEIL_PAIR_NONE: at most four
 * SipHashes.  Under rcu_read_lock() or vn->lock.
 */
int veil_pair_match(const struct veil_peer *peer,
		    const struct veil_initiation *msg);
/* Whether one of them stamped msg; context as above. */
bool veil_pair_answered(const struct veil_peer *peer,
			const struct veil_response *msg);
/* The place of the pair of this id.  Under peer->lock or vn->lock. */
int veil_pair_find(const struct veil_peer *peer, u32 id);
/* The place of the newest one, or VEIL_PAIR_NONE. */
int veil_pair_newest(const struct veil_peer *peer);
/* Under rcu_read_lock(), peer->lock or vn->lock. */
struct veil_pair *veil_pair_at(const struct veil_peer *peer, int place);

/* An initiation of time ns came in under the pair at place.  Takes note of its
 * time, so that one that is repeated does not reach the worker.  What to drop
 * it for; VEIL_DROPS to take it.  Under rcu_read_lock().
 */
enum veil_drop veil_pair_time(struct veil_peer *peer, int place, u64 ns,
			      const struct veil_addr_pair *addrs);
/* Whether the initiation of time ns under the pair of that id came with addrs as well.
 * peer->lock held.
 */
bool veil_pair_came(struct veil_peer *peer, u32 id, u64 ns,
		    const struct veil_addr_pair *addrs);
/* Its session was confirmed.  Under peer->lock. */
void veil_pair_commit(struct veil_peer *peer, u32 id, u64 ns);

/*
 * Process context, vn->lock written.
 */

/* Those of from whose keys peer has as well: they know what initiations came in.
 * peer is in no list yet.
 */
int veil_pairs_copy(struct veil_peer *peer, struct veil_peer *from);
/* Compute what is missing: all places for which both keys are there.  Or with
 * vn->lock read and peer->handshake_lock.
 */
int veil_pairs_make(struct veil_peer *peer);
/* Tell the packet path whether there is a pair, or one to be made. */
void veil_pairs_changed(struct veil_peer *peer);
/* Wipe those whose place has all bits of set and none of clear, and whatever is
 * not yet a session and was made under one of them.
 */
void veil_pairs_drop(struct veil_peer *peer, int set, int clear);
/* The next key of one end (a VEIL_PAIR_*_NEXT) is its current one from now on. */
void veil_pairs_promote(struct veil_peer *peer, int bit);

#endif /* _VEIL_PAIR_H */
