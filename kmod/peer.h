/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Peers: who they are, where they are, their handshake and their sessions.
 *
 * A peer is freed by RCU after its last reference: the configuration holds
 * one, every session one, every queued work one.  The packet path holds none.
 */
#ifndef _VEIL_PEER_H
#define _VEIL_PEER_H

#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/ratelimit.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

#include "pair.h"
#include "policy.h"

struct veil_session;
struct veil_roamer;
struct veil_traceroutes;

/* A public key of a peer, in veil_net.by_key; freed by RCU. */
struct veil_key {
	struct rhash_head hash;
	struct rcu_head rcu;
	struct veil_peer *peer;		/* outlives this */
	u8 public[VEIL_KEY_LEN];
};

/* A pre-shared key, and what names it in an initiation; vn->lock. */
struct veil_psk {
	u8 key[VEIL_KEY_LEN];
	u8 id[VEIL_PSK_ID_LEN];
};

/* An address of a peer, or a prefix behind it, in veil_net.addresses; freed by
 * RCU.
 */
struct veil_address {
	struct veil_prefix_node node;
	bool behind;			/* a prefix: tunnel mode */
	struct veil_peer *peer;		/* outlives this */
	struct list_head list;		/* peer->addresses */
	struct veil_address *replaced;	/* of a leaving peer: takes its place
					 * again if the step is undone
					 */
	struct rcu_head rcu;
};

/* What a receiver index stands for; in veil_net.indexes, RCU. */
enum veil_index_kind {
	VEIL_INDEX_HANDSHAKE,		/* in struct veil_outstanding */
	VEIL_INDEX_SESSION,		/* in struct veil_session */
};

struct veil_index {
	struct rhash_head hash;
	u32 id;
	enum veil_index_kind kind;
	struct veil_peer *peer;
};

/* Sessions that are remembered when they have ended. */
#define VEIL_ENDED	4

/* What an ICMP error told of a path's MTU, until jiffies; 0 nothing. */
struct veil_path {
	u32 mtu;
	unsigned long until;
};

/* Where the outer packets of a session go from and to; IPv4 mapped. */
struct veil_place {
	struct in6_addr local;
	struct in6_addr remote;
	u16 port;
};

/* Our own outstanding initiation; peer->handshake_lock, freed by RCU. */
struct veil_outstanding {
	struct rcu_head rcu;
	struct veil_index index;	/* id 0: not in the table */
	u32 pair;			/* its id */
	struct veil_noise noise;
	struct veil_psk psks[VEIL_PSKS_MAX];	/* as offered */
	unsigned int psk_count;
	struct veil_offer offer;
	struct in6_addr remote;		/* where it went to */
	u16 port;
	unsigned long sent;		/* jiffies */
	int epoch;			/* veil_epoch then */
	u8 mac1[VEIL_MAC_LEN];		/* what a cookie reply answers */
	u8 theirs[VEIL_KEY_LEN];	/* and who makes it */
	bool cookie;			/* one was taken */
	bool mac2;			/* it bears one */
};

/**
 * struct veil_peer - a host that we share sessions with
 * @refs: see above
 * @rcu: frees it
 * @vn: its namespace; waits for us in its exit (peers_alive)
 * @list: veil_net.peers
 * @key: who it is
 * @public_key: the same for who reads it under RCU: @key's
 * @next_key: who it may be as well, and is alone from the first session on that
 *	was confirmed under it; vn->lock; NULL if there is none, as the three below
 * @addresses: struct veil_address, the first is the default endpoint; vn->lock
 * @prefixes: struct veil_address of the networks behind it; vn->lock
 * @prefix_count: how many
 * @endpoint: the address that handshakes go to, all zero if it roams and was not
 *	heard yet; vn->lock and, as it moves, lock
 * @port: its listen port, or what NAT made of it; read without a lock by the
 *	packet path
 * @roaming: its address is whatever it was last proven to be (roam.h)
 * @roamer: what it has for that, from when it first roamed to its end, or NULL
 * @keepalive: seconds, or 0; read without a lock
 * @policy: enum netveil_policy, of what is its own; read without a lock
 * @wanted: what that becomes when the peer is kept; vn->lock
 * @held: a change adds or removes it, makes it prefer or gives it addresses, and has
 *	not ended: "prefer" within a network behind it, where there was or will be
 *	another session, is as "require"; read without a lock
 * @confirmed: a session was, and since then "prefer" is as "require"; lock,
 *	read without
 * @closed: it said goodbye to the session that @confirmed came from; lock
 * @closed_work: takes note of that; holds a reference while queued
 * @closed_limit: how often that is logged: it may say goodbye as often as it likes
 * @clear: what passed in clear
 * @psk: the pre-shared key; vn->lock
 * @psk_next: what takes its place with the first session confirmed under it
 * @pairs: of its static keys and ours, see pair.h
 * @usable: there is a pair, or the worker is to make one; read by the packet path
 * @proven: id of the pair of the last confirmed session
 * @renew_until: jiffies; until then, handshakes try to get under the newest keys
 * @rotate: a session was confirmed under a next key or psk, for veil_rotate_work()
 * @dead: removed; no new work, sessions or packets
 * @leaving: removed at the end of the step, or the flush, that holds vn->lock: its
 *	addresses and its key may be taken over
 * @changing: set by the step that holds vn->lock
 * @succeeded: leaving, and another peer has taken over its key
 * @handshake_lock: @initiation and the making of sessions
 * @initiation: ours, NULL while none is outstanding; handshake_lock
 * @time_sent: ns, TAI64N of our last initiation; handshake_lock
 * @cookie: what it gave us for mac2; handshake_lock
 * @cookie_until: jiffies | 1; 0 for none; handshake_lock
 * @lock: the slots, @time_*, BH off
 * @current: seals; opens
 * @previous: opens what is still under way
 * @next: made as responder and not yet confirmed: opens, never seals
 * @ended: what the last ended sessions that may have sealed named the peer by, for
 *	the fence; 0 none; lock, read without.  A peer of another key at the same
 *	address has not these: what was still on its way there is dropped
 * @ended_next: which of these is overwritten next; lock
 * @rate_since: jiffies_64; of the second in which @rate_count initiations came; lock
 * @rate_count: "
 * @initiations: messages that wait for the worker
 * @responses: "
 * @queue: packets that wait for a session
 * @queue_size: truesize of what is in @queue; queue.lock
 * @work: sends an initiation; holds a reference while queued
 * @timer: runs veil_timers_tick() at least once a second while something is
 *	going on
 * @handshake_started: jiffies; of a series of initiations, until give-up
 * @handshake_next: jiffies; when to send the next
 * @announced: listeners were told that there is a session; lock
 * @handshaking: a series is going on
 * @attempts: initiations sent in this series; counted by the worker, and set to 0
 *	by who begins one: a lost count repeats an attempt, a lost 0 skips some
 * @last_initiation: jiffies_64, for it may be long ago; of the last one sent, 0
 *	never; lock
 * @rx_unanswered: jiffies | 1; data came and nothing was sent since; or 0
 * @tx_unanswered: jiffies | 1; data was sent and nothing opened since; or 0
 * @last_rx: jiffies of the last packet opened
 * @last_tx_data: jiffies of the last data packet sealed
 * @last_tx: jiffies of the last packet sealed, but for challenges and echoes: these
 *	may go where it is not
 * @paths: MTU of outer packets, IPv4 and IPv6
 * @traceroutes: what traceroute sent to it (traceroute.c), or NULL
 * @drops: packets from or to it that were dropped
 * @rx_bytes: of ended sessions, as the three below; lock
 * @tx_bytes: "
 * @rx_packets: "
 * @tx_packets: "
 * @last_handshake: seconds since 1970 of the last confirmed session; lock
 * @last_event: jiffies of the last plaintext event
 */
struct veil_peer {
	struct kref refs;
	struct rcu_head rcu;
	struct veil_net *vn;
	struct list_head list;
	struct veil_key *key;
	const u8 *public_key;
	struct veil_key *next_key;
	struct list_head addresses;
	struct list_head prefixes;
	u32 prefix_count;
	struct in6_addr endpoint;
	u16 port;
	bool roaming;
	struct veil_roamer *roamer;
	u16 keepalive;
	u8 policy;
	u8 wanted;
	bool held;
	bool confirmed;
	bool closed;
	struct work_struct closed_work;
	struct ratelimit_state closed_limit;
	struct veil_clear clear;
	struct veil_psk *psk;
	struct veil_psk *psk_next;
	struct veil_pair __rcu *pairs[VEIL_PAIRS];
	u32 proven;
	unsigned long renew_until;
	bool usable;
	bool rotate;
	bool dead;
	bool leaving;
	bool changing;
	bool succeeded;

	struct mutex handshake_lock;	/* see above, as all of these */
	struct veil_outstanding __rcu *initiation;
	u64 time_sent;
	u8 cookie[VEIL_COOKIE_LEN];
	unsigned long cookie_until;

	spinlock_t lock;		/* slots and times, see above */
	struct veil_session __rcu *current_session;
	struct veil_session __rcu *previous_session;
	struct veil_session __rcu *next_session;
	__be32 ended[VEIL_ENDED];
	u8 ended_next;
	u64 rate_since;
	unsigned int rate_count;

	atomic_t initiations;
	atomic_t responses;

	struct sk_buff_head queue;
	unsigned int queue_size;
	struct work_struct work;
	struct timer_list timer;
	unsigned long handshake_started;
	unsigned long handshake_next;
	bool announced;
	bool handshaking;
	unsigned int attempts;
	u64 last_initiation;
	unsigned long rx_unanswered;
	unsigned long tx_unanswered;
	unsigned long last_rx;
	unsigned long last_tx_data;
	unsigned long last_tx;
	struct veil_path paths[2];
	struct veil_traceroutes *traceroutes;

	atomic64_t drops;
	u64 rx_bytes;
	u64 tx_bytes;
	u64 rx_packets;
	u64 tx_packets;
	u64 last_handshake;
	unsigned long last_event;
};

/**
 * struct veil_peer_config - what netlink gives for a peer
 * @public_key: names it
 * @address_count: 0 leaves them as they are (SET)
 * @prefix_count: 0 leaves them as they are (SET)
 * @no_prefix: forget them
 * @has_endpoint: @endpoint is given
 * @endpoint: one of the addresses
 * @port: its listen port; 0 leaves it, or the default for a new peer
 * @policy: of what is its own; NETVEIL_POLICY_NONE leaves it, or "require" for
 *	a new peer
 * @confirm: on trial, for so many seconds; 0: for good
 * @has_roaming: @roaming is given
 * @roaming: it may be anywhere
 * @has_keepalive: @keepalive is given
 * @keepalive: seconds; 0 none
 * @has_psk: @psk is given
 * @no_psk: forget the psk
 * @psk: pre-shared key; the caller wipes it
 * @has_psk_next: @psk_next is given
 * @no_psk_next: forget the next psk
 * @psk_next: the next one; the caller wipes it
 * @has_next_key: @next_key is given
 * @no_next_key: forget the next key
 * @next_key: by which it is known as well
 * @addresses: IPv4 ones mapped into IPv6 (::ffff:a.b.c.d); these and @prefixes are
 *	last, so that who keeps many can keep what is before them (netlink_peer.c)
 * @prefixes: networks behind it
 */
struct veil_peer_config {
	u8 public_key[VEIL_KEY_LEN];
	unsigned int address_count;
	unsigned int prefix_count;
	bool no_prefix;
	bool has_endpoint;
	struct in6_addr endpoint;
	u16 port;
	u8 policy;
	u32 confirm;
	bool has_roaming;
	bool roaming;
	bool has_keepalive;
	u16 keepalive;
	bool has_psk;
	bool no_psk;
	u8 psk[VEIL_KEY_LEN];
	bool has_psk_next;
	bool no_psk_next;
	u8 psk_next[VEIL_KEY_LEN];
	bool has_next_key;
	bool no_next_key;
	u8 next_key[VEIL_KEY_LEN];
	struct in6_addr addresses[NETVEIL_ADDRESSES_MAX];
	struct veil_prefix prefixes[NETVEIL_PREFIXES_MAX];
};

/* Keys that a peer gets. */
struct veil_peer_keys {
	struct veil_psk *psk;		/* NULL: none is given, as of the others */
	struct veil_psk *psk_next;
	struct veil_key *next_key;	/* in veil_net.by_key already */
};

/* What a change takes memory for: made before anything is changed, and either put
 * into its place or freed.
 */
struct veil_peer_change {
	struct veil_peer_keys keys;
	struct list_head addresses;	/* new ones, which are found already */
	struct list_head prefixes;	/* " */
	u8 policy;			/* the peer's, before and if it is freed */
};

/* A snapshot for netlink; times as in the uapi header. */
struct veil_peer_status {
	u8 state;
	u8 cipher;
	u64 last_handshake;
	u64 session_age_ms;
	u64 rx_bytes, tx_bytes, rx_packets, tx_packets;
	u64 drops;
	u32 queued;
	u32 mtu;
};

/*
 * For netlink: process context, vn->lock held for writing; what can be refused
 * is, with extack text, and then nothing has changed.  A change is checked
 * before it is made, under the same lock: then several can be made as one step.
 */
int veil_peer_check_add(struct veil_net *vn,
			const struct veil_peer_config *config,
			struct netlink_ext_ack *extack);
/* Protects the addresses of config from now on; an ERR_PTR has changed nothing.
 * Nobody is told before veil_peer_keep(), nor is anything weaker than it was, and
 * until then veil_peer_forget() takes it back.  Within veil_weaken_begin().
 */
struct veil_peer *veil_peer_add(struct veil_net *vn,
				const struct veil_peer_config *config,
				struct netlink_ext_ack *extack);
void veil_peer_keep(struct veil_peer *peer);
void veil_peer_forget(struct veil_peer *peer);
int veil_peer_check_set(struct veil_peer *peer,
			const struct veil_peer_config *config,
			struct netlink_ext_ack *extack);
/* What it takes for that is made, and an error changes nothing; then it is put, which
 * cannot fail, or freed.
 */
int veil_peer_make(struct veil_peer *peer,
		   const struct veil_peer_config *config,
		   struct veil_peer_change *change);
void veil_peer_free(struct veil_peer *peer, struct veil_peer_change *change);
void veil_peer_put_change(struct veil_peer *peer,
			  const struct veil_peer_config *config,
			  struct veil_peer_change *change);
/* Both at once. */
int veil_peer_set(struct veil_peer *peer,
		  const struct veil_peer_config *config);
void veil_peer_remove(struct veil_peer *peer);
/* What "prefer" means within its networks is as of one that is new, until it is let go
 * or removed.  One that bypasses prefers instead: it has no session to prefer.
 */
void veil_peer_hold(struct veil_peer *peer);
void veil_peer_let_go(struct veil_peer *peer);
/* From all that are leaving, who are removed next; the wider ones first: nobody gets
 * what is another's until that one goes as well.
 */
void veil_peer_take_addresses(struct veil_net *vn);
/* The peer that has this key, as its current or its next one. */
struct veil_peer *veil_peer_find(struct veil_net *vn,
				 const u8 public_key[VEIL_KEY_LEN]);
void veil_peer_status(struct veil_peer *peer, struct veil_peer_status *status);

/* The memory of peers; exit when RCU has freed the last one. */
int veil_peer_init(void);
void veil_peer_exit(void);

void veil_peer_put(struct veil_peer *peer);

/* For one of its key, in the step in which it leaves.  vn->lock. */
static inline bool veil_peer_makes_room(const struct veil_peer *peer)
{
	return peer->leaving && !peer->succeeded;
}

static inline void veil_peer_get(struct veil_peer *peer)
{
	kref_get(&peer->refs);
}

/* What an undo of its policy restores; confirmed also if it is by now.  Process
 * context, vn->lock written.
 */
void veil_peer_restore_policy(struct veil_peer *peer, enum netveil_policy policy,
			      bool confirmed);

/* Something opened under a session that is new to this: from now on "prefer" is
 * as "require".  Peer->lock held.
 */
static inline void veil_peer_confirm(struct veil_peer *peer)
{
	WRITE_ONCE(peer->confirmed, true);
	peer->closed = false;
}

/* It said goodbye: after this "prefer" means both forms again.  Any context. */
void veil_peer_closed(struct veil_peer *peer);

/* End its sessions and begin anew, after a change that they must not outlive.
 * Process context, vn->lock written.
 */
void veil_peer_restart(struct veil_peer *peer);
/* Forget its sessions, and tell it so. */
void veil_peer_reset(struct veil_peer *peer);
/* Let a handshake under its newest keys begin at once; its sessions stay. */
void veil_peer_renew(struct veil_peer *peer);

/* As veil_drop(), and count it for the peer as well. */
void veil_peer_drop(struct veil_peer *peer, struct sk_buff *skb,
		    enum veil_drop reason);

int veil_peers_init(struct veil_net *vn);
int veil_indexes_init(struct veil_net *vn);
/* Put index into the table under a fresh random id.  BH may be on. */
int veil_index_insert(struct veil_net *vn, struct veil_index *index);
/* new takes the place and the id of old, which is in the table. */
int veil_index_replace(struct veil_net *vn, struct veil_index *old,
		       struct veil_index *new);
void veil_index_remove(struct veil_net *vn, struct veil_index *index);
/* Under rcu_read_lock(). */
struct veil_index *veil_index_lookup(struct veil_net *vn, u32 id);

#endif /* _VEIL_PEER_H */
