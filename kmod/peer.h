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
#include <linux/spinlock.h>
#include <linux/timer.h>

#include "net.h"

struct veil_session;

/* An address of a peer, or a prefix behind it, in veil_net.addresses; freed by
 * RCU.
 */
struct veil_address {
	struct veil_prefix_node node;
	bool behind;			/* a prefix: tunnel mode */
	struct veil_peer *peer;		/* outlives this */
	struct list_head list;		/* peer->addresses */
	struct rcu_head rcu;
};

/* What a receiver index stands for; in veil_net.indexes, RCU. */
enum veil_index_kind {
	VEIL_INDEX_HANDSHAKE,		/* in peer->initiation */
	VEIL_INDEX_SESSION,		/* in struct veil_session */
};

struct veil_index {
	struct rhash_head hash;
	u32 id;
	enum veil_index_kind kind;
	struct veil_peer *peer;
};

/* What an ICMP error told of a path's MTU, until jiffies; 0 nothing. */
struct veil_path {
	u32 mtu;
	unsigned long until;
};

/* Our own outstanding initiation; peer->handshake_lock. */
struct veil_outstanding {
	struct veil_index index;	/* in the table while active */
	bool active;
	struct veil_noise noise;
	u8 psk[VEIL_KEY_LEN];
	bool has_psk;
	struct veil_offer offer;
	unsigned long sent;		/* jiffies */
	int epoch;			/* veil_epoch then */
};

/**
 * struct veil_peer - a host that we share sessions with
 * @refs: see above
 * @rcu: frees it
 * @vn: its namespace; waits for us in its exit (peers_alive)
 * @list: veil_net.peers
 * @hash: veil_net.by_key
 * @public_key: who it is; never changes
 * @addresses: struct veil_address, the first is the default endpoint; vn->lock
 * @address_count: how many
 * @endpoint: the address that handshakes go to; vn->lock
 * @port: its listen port; read without a lock by the packet path
 * @policy: enum netveil_policy, of what is its own; read without a lock
 * @confirmed: a session was, and since then "prefer" is as "require"; lock,
 *	read without
 * @psk: the pre-shared key if @has_psk; vn->lock
 * @has_psk: whether there is one
 * @psk_id: what names it in an initiation
 * @ss: X25519 of both static keys if @usable; vn->lock
 * @usable: we have an identity and @ss and the pair keys are right; read by the
 *	packet path
 * @pair_in: stamps on what it sends to us
 * @pair_out: stamps on what we send to it
 * @dead: removed; no new work, sessions or packets
 * @handshake_lock: @initiation and the making of sessions
 * @initiation: ours
 * @time_sent: ns, TAI64N of our last initiation; handshake_lock
 * @lock: the slots, @time_*, BH off
 * @current: seals; opens
 * @previous: opens what is still under way
 * @next: made as responder and not yet confirmed: opens, never seals
 * @time_committed: ns, of its newest initiation that led to a confirmed session
 * @time_pending: ns, of its newest initiation, for VEIL_CONFIRM_TIMEOUT
 * @pending_until: jiffies
 * @queue: packets that wait for a session
 * @work: sends an initiation; holds a reference while queued
 * @timer: runs veil_timers_tick() at least once a second while something is
 *	going on
 * @handshake_started: jiffies; of a series of initiations, until give-up
 * @handshake_next: jiffies; when to send the next
 * @announced: listeners were told that there is a session; lock
 * @handshaking: a series is going on
 * @attempts: initiations sent in this series; handshake_lock
 * @last_initiation: jiffies; of the last one sent, 0 never
 * @rx_unanswered: jiffies | 1; data came and nothing was sent since; or 0
 * @tx_unanswered: jiffies | 1; data was sent and nothing opened since; or 0
 * @last_rx: jiffies of the last packet opened
 * @last_tx_data: jiffies of the last data packet sealed
 * @paths: MTU of outer packets, IPv4 and IPv6
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
	struct rhash_head hash;
	u8 public_key[VEIL_KEY_LEN];
	struct list_head addresses;
	u32 address_count;
	struct in6_addr endpoint;
	u16 port;
	u8 policy;
	bool confirmed;
	u8 psk[VEIL_KEY_LEN];
	bool has_psk;
	u8 psk_id[VEIL_PSK_ID_LEN];
	u8 ss[VEIL_KEY_LEN];
	bool usable;
	u8 pair_in[VEIL_PAIR_KEY_LEN];
	u8 pair_out[VEIL_PAIR_KEY_LEN];
	bool dead;

	struct mutex handshake_lock;	/* see above, as all of these */
	struct veil_outstanding initiation;
	u64 time_sent;

	spinlock_t lock;		/* slots and times, see above */
	struct veil_session __rcu *current_session;
	struct veil_session __rcu *previous_session;
	struct veil_session __rcu *next_session;
	u64 time_committed;
	u64 time_pending;
	unsigned long pending_until;

	struct sk_buff_head queue;
	struct work_struct work;
	struct timer_list timer;
	unsigned long handshake_started;
	unsigned long handshake_next;
	bool announced;
	bool handshaking;
	unsigned int attempts;
	unsigned long last_initiation;
	unsigned long rx_unanswered;
	unsigned long tx_unanswered;
	unsigned long last_rx;
	unsigned long last_tx_data;
	struct veil_path paths[2];

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
 * @addresses: IPv4 ones mapped into IPv6 (::ffff:a.b.c.d)
 * @address_count: 0 leaves them as they are (SET)
 * @has_endpoint: @endpoint is given
 * @endpoint: one of the addresses
 * @port: its listen port; 0 leaves it, or the default for a new peer
 * @has_psk: @psk is given
 * @no_psk: forget the psk
 * @psk: pre-shared key; the caller wipes it
 */
struct veil_peer_config {
	u8 public_key[VEIL_KEY_LEN];
	struct in6_addr addresses[NETVEIL_ADDRESSES_MAX];
	unsigned int address_count;
	bool has_endpoint;
	struct in6_addr endpoint;
	u16 port;
	bool has_psk;
	bool no_psk;
	u8 psk[VEIL_KEY_LEN];
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
 * For netlink.c: process context, vn->lock held: for writing by the first
 * three, which refuse with extack text and then change nothing.
 */
int veil_peer_add(struct veil_net *vn, const struct veil_peer_config *config,
		  struct netlink_ext_ack *extack);
int veil_peer_set(struct veil_peer *peer, const struct veil_peer_config *config,
		  struct netlink_ext_ack *extack);
void veil_peer_remove(struct veil_peer *peer);
struct veil_peer *veil_peer_find(struct veil_net *vn,
				 const u8 public_key[VEIL_KEY_LEN]);
void veil_peer_status(struct veil_peer *peer, struct veil_peer_status *status);

void veil_peer_put(struct veil_peer *peer);

static inline void veil_peer_get(struct veil_peer *peer)
{
	kref_get(&peer->refs);
}

/* The peer whose own address addr is, or NULL.  Under rcu_read_lock().  What
 * may pass is another question: policy.h
 */
struct veil_peer *veil_peer_lookup(struct veil_net *vn,
				   const struct in6_addr *addr);

/* Compute @ss, pair keys and usable after a change of our identity; process
 * context, vn->lock written.  End its sessions.
 */
int veil_peer_rekey_static(struct veil_peer *peer);

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
