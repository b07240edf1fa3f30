/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sessions: the keys of one handshake, their lanes and their limits.
 *
 * A session sits in one of its peer's three slots and in the index table.
 * Who finds it there under rcu_read_lock() may use it until the end of that
 * section; a request that the crypto API finishes later holds its lane
 * (veil_lane.in_flight), from within that section on.  veil_session_kill()
 * unlinks it; after a grace period a worker waits for the lanes and wipes and
 * frees everything.
 */
#ifndef _VEIL_SESSION_H
#define _VEIL_SESSION_H

#include <crypto/aead.h>
#include <linux/timekeeping.h>
#include <net/dst_cache.h>

#include "peer.h"
#include "replay.h"

/**
 * struct veil_lane - one lane in both directions
 * @tx_counter: next counter to send with; never given back
 * @tx_bytes: sealed so far, for the volume limit and statistics
 * @rx_lock: the four below
 * @window: counters seen
 * @rx_packets: delivered
 * @rx_bytes: opened, for the limit and statistics
 * @in_flight: requests that the crypto API has not finished
 *
 * Flows hash to lanes, so CPUs seldom meet here (RFC 9611's idea).
 */
struct veil_lane {
	atomic64_t tx_counter;
	atomic64_t tx_bytes;
	spinlock_t rx_lock ____cacheline_aligned_in_smp;
	struct veil_window window;
	u64 rx_packets;
	u64 rx_bytes;
	atomic_t in_flight ____cacheline_aligned_in_smp;
};

/* A session's outer addresses; RCU: replaced as a whole when an end moves. */
struct veil_ends {
	struct veil_peer *peer;		/* a reference */
	struct veil_place place;
	int domain;			/* of our own one (veil_socket_domain()) */
	struct dst_cache route;		/* between the two, in tunnel mode */
	struct rcu_head rcu;
};

/**
 * struct veil_session - keys that both ends agreed on
 * @index: by which the peer names us; in veil_net.indexes
 * @remote: by which we name the peer
 * @pair: id of the pair of static keys that it was made under
 * @psk_id: of the psk that went into it, zeros for none
 * @peer: holds a reference
 * @aead: enum veil_aead_id
 * @initiator: we began the handshake
 * @transport: the initiation came with the addresses that it left with: no NAT
 * @rekey: volume or forgeries ask for a new handshake
 * @opened: something opened under it
 * @rotates: it was made under a next key or psk
 * @epoch: veil_epoch when its handshake began
 * @born: CLOCK_BOOTTIME ns, of Split
 * @time: TAI64N as ns of the initiation, committed with its confirmation
 * @tx: transform to seal with
 * @rx: transform to open with
 * @request_size: of an aead_request of either
 * @async: a transform may finish later
 * @prompt: it seldom does: both answered at once when they were tried
 * @tx_lanes: the peer receives on so many
 * @rx_lanes: we receive on so many
 * @moves: the other end lets us roam
 * @ends: addresses that the handshake used, or where both ends are since; changed
 *	under the peer's lock
 * @said: what the offer names, where its message came with other addresses: @ends from
 *	the confirmation on if it came with these, too; or NULL; peer->lock
 * @keepalives: counters taken by keepalives
 * @forgeries: packets that did not authenticate
 * @confirm_tries: keepalives sent by the initiator until something opens
 * @destroy: frees it
 * @lanes: max of @tx_lanes and @rx_lanes
 */
struct veil_session {
	struct veil_index index;
	__be32 remote;
	u32 pair;
	u8 psk_id[VEIL_PSK_ID_LEN];
	struct veil_peer *peer;
	u8 aead;
	bool initiator;
	bool transport;
	bool rekey;
	bool opened;
	bool rotates;
	int epoch;
	u64 born;
	u64 time;
	struct crypto_aead *tx;
	struct crypto_aead *rx;
	unsigned int request_size;
	bool async;
	bool prompt;
	u8 tx_lanes;
	u8 rx_lanes;
	bool moves;
	struct veil_ends __rcu *ends;
	struct veil_ends *said;
	atomic_t keepalives;
	atomic64_t forgeries;
	u8 confirm_tries;
	struct rcu_work destroy;
	struct veil_lane lanes[];
};

/* What a handshake gives to a session, but for the keys. */
struct veil_session_params {
	struct veil_peer *peer;
	enum veil_aead_id aead;
	bool initiator;
	bool transport;
	u8 tx_lanes;
	__be32 remote;
	u32 pair;
	const struct veil_psk *psk;	/* NULL: none */
	bool rotates;
	u64 time;
	int epoch;	/* from before our ephemeral key was made */
	bool moves;
	struct veil_place place;
	const struct veil_place *said;	/* or NULL */
};

/* Keeps peer, and so the namespace whose routes it has, until it is freed.  gone:
 * the domain if our address is not ours by now.
 */
struct veil_ends *veil_ends_alloc(struct veil_peer *peer,
				  const struct veil_place *place, int gone,
				  gfp_t gfp);
/* No reader finds it any more, but some may have it still. */
void veil_ends_free(struct veil_ends *ends);

/* Receive lanes that we announce. */
u8 veil_session_lanes(void);

/* Allocate, without keys and not in the index table.  Its index goes there as
 * VEIL_INDEX_HANDSHAKE, since the keys depend on it, and becomes
 * VEIL_INDEX_SESSION with them.  Process context.
 */
struct veil_session *
veil_session_create(const struct veil_session_params *params);
int veil_session_set_keys(struct veil_session *session,
			  const u8 tx_key[VEIL_KEY_LEN],
			  const u8 rx_key[VEIL_KEY_LEN]);
/* Free one that was never in a slot; takes it out of the index table. */
void veil_session_discard(struct veil_session *session);

/* Peer->lock held by the callers of these four: put a new session into its
 * slot, move the slots up, empty them.
 */
void veil_session_install(struct veil_peer *peer, struct veil_session *session);
bool veil_session_promote(struct veil_peer *peer, struct veil_session *session);
/* It is confirmed: its ends are what was said, if that has shown to be so. */
void veil_session_settle(struct veil_peer *peer, struct veil_session *session);
void veil_session_kill(struct veil_peer *peer,
		       struct veil_session __rcu **slot);

/* Kill what was made under keys that are gone and is not confirmed: next, and
 * current where we began.  A previous one like that seals nothing, and what was on
 * its way under it still opens.  Whether there is no current one now because of that.
 */
bool veil_session_cut(struct veil_peer *peer,
		      bool (*gone)(const struct veil_peer *peer,
				   const struct veil_session *session));

/* peer takes over from known: what that one has sealed may be on its way. */
void veil_session_inherit(struct veil_peer *peer, struct veil_peer *known);
/* Whether a packet to receiver was sealed by peer, also if the session has ended
 * since.  Under rcu_read_lock().
 */
bool veil_session_sealed(const struct veil_peer *peer, __be32 receiver);

/* Kill all sessions of a peer.  Any context, takes peer->lock. */
void veil_session_kill_all(struct veil_peer *peer);

/* Wait until the keys of all that was killed in net before are wiped, and secrets
 * that wait for a grace period as well.  Process context, without vn->lock.
 */
void veil_sessions_wiped(const struct net *net);

/* In ns.  The coarse clock may go back within a tick, when it is adjusted. */
static inline u64 veil_session_age(const struct veil_session *session)
{
	return max_t(s64, ktime_get_coarse_boottime_ns() - session->born, 0);
}

static inline bool veil_session_expired(const struct veil_session *session)
{
	return session->epoch != atomic_read(&veil_epoch) ||
	       veil_session_age(session) >=
	       VEIL_REJECT_AFTER_TIME * (u64)NSEC_PER_SEC;
}

/* n counters of lane, from *counter on, to seal len bytes with; -EKEYEXPIRED at
 * the limit.  Sets session->rekey when it is time for new keys.
 */
int veil_session_take(struct veil_session *session, u16 lane, size_t len,
		      unsigned int n, u64 *counter);
/* Whether the receiver still takes counter and len more bytes on lane. */
bool veil_session_may_open(struct veil_session *session, u16 lane, u64 counter,
			   size_t len);
/* Count a forgery; true when the session has to go. */
bool veil_session_forged(struct veil_session *session);

/* End of a request that finished later. */
void veil_lane_release(struct veil_session *session, u16 lane);

#endif /* _VEIL_SESSION_H */
