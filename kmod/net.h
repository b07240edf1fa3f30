/* SPDX-License-Identifier: GPL-2.0 */
/*
 * State of one network namespace, and the lock order of the whole module:
 *
 *   list of namespaces (mutex in net.c)
 *   veil_net.lock (rw_semaphore: configuration; handshake workers read it)
 *     peer->handshake_lock (mutex: Noise state and its index)
 *       peer->lock (spinlock, BH off: session slots and pending time)
 *       peer->queue.lock, lane->lock, net->handshakes' locks (BH off, leaves)
 *
 * The packet path takes none of the first two: it runs under rcu_read_lock().
 */
#ifndef _VEIL_NET_H
#define _VEIL_NET_H

#include <linux/list.h>
#include <linux/net.h>
#include <linux/netfilter.h>
#include <linux/ratelimit.h>
#include <linux/rhashtable.h>
#include <linux/rwsem.h>
#include <linux/skbuff.h>
#include <linux/tracepoint-defs.h>
#include <linux/user_namespace.h>
#include <linux/workqueue.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>

#include "drops.h"
#include "noise.h"
#include "prefix.h"
#include "uapi/netveil.h"

struct netlink_ext_ack;
struct veil_trial;
struct veil_unknown;

/**
 * struct veil_found - an address, and what the tables have of it
 * @addr: the address
 * @changes: how often they had changed before they were searched
 * @own: of &veil_net.addresses, or NULL
 * @set: of &veil_net.policies, or NULL
 */
struct veil_found {
	u64 addr[2];
	unsigned long changes;
	struct veil_prefix_node *own;
	struct veil_prefix_node *set;
};

/**
 * struct veil_recent - what a CPU remembers of its last packets, to save searches
 * @stranger: see veil_policy_word()
 * @own: see own.h
 * @writes: to @found, see policy.c
 * @found: of the last address that was searched for, and is no stranger's
 */
struct veil_recent {
	u64 stranger;
	u64 own;
	unsigned int writes;
	struct veil_found found;
};

/**
 * struct veil_net - one namespace
 * @net: the namespace; outlives this
 * @all: in the list of all namespaces
 * @lock: the configuration: all below down to @generation.  Written by netlink
 *	and namespace exit, read by the handshake worker.
 * @peers: all peers, in the order they were added
 * @by_key: the same by public key; RCU
 * @peer_count: how many
 * @generation: changes with the configuration, for what is told in several
 *	messages, or by several requests
 * @identity: the static key pair; valid if @origin is not NETVEIL_KEY_NONE
 * @origin: enum netveil_key_origin
 * @next_identity: what will take its place; valid if @next_origin is not
 *	NETVEIL_KEY_NONE
 * @next_origin: "
 * @retire_at: CLOCK_BOOTTIME seconds, when it does so by itself; 0 never
 * @cipher: what the administrator wants, enum netveil_cipher
 * @port: our UDP port; read without the lock on the packet path
 * @active: hooks, fence and sockets are there: from the first peer or policy on
 * @dying: the namespace goes; the hooks drop everything they judge
 * @rx_mark: bits of skb->mark that opened packets get; read by the packet path
 * @rx_mask: where they are, cleared on all others; 0 none
 * @addresses: of peers, and prefixes behind them: struct veil_address; RCU
 * @policies: of prefixes: struct veil_policy_node; RCU
 * @policy_list: the same, as they were given
 * @recent: what each CPU remembers of its last packets
 * @policy_count: how many; read without the lock by the packet path
 * @acquire: how often who has no peer is told
 * @touched: struct veil_touched, during a change of policy
 * @touched_list: the same
 * @weaken_depth: changes within changes
 * @weaken_reason: of the outermost
 * @weaken_limit: how often that is logged, or NULL
 * @trial: what is restored unless it is confirmed, while @on_trial
 * @on_trial: whether something is
 * @trial_end: jiffies
 * @trial_work: restores it
 * @locals: networks of ours: struct veil_local; RCU
 * @local_list: the same, as they were given
 * @local_count: how many; read without the lock by the packet path
 * @indexes: struct veil_index by id; RCU
 * @socket: hold the port; IPv4, IPv6 (NULL without IPv6)
 * @sk: the same for the packet path, to own what we send; RCU
 * @fenced: devices get a fence; under RTNL
 * @hooks: netfilter hooks
 * @fences: struct veil_fence, one for each device; under RTNL
 * @initiations: from peers with a right stamp, for @handshake_work
 * @responses: to our own initiations; served first
 * @roamers: struct veil_roamer of the peers that roam; RCU
 * @roamer_count: how many; read without the lock by the packet path
 * @unknown: initiations from unknown addresses; there from the first of these on
 * @handshake_work: takes both queues in process context
 * @rotate_work: veil_rotate_work()
 * @drops: counters
 * @peers_alive: peers not yet freed, removed ones included; zero ends exit
 */
struct veil_net {
	struct net *net;
	struct list_head all;
	struct rw_semaphore lock;
	struct list_head peers;
	struct rhashtable by_key;
	u32 peer_count;
	u32 generation;
	struct veil_identity identity;
	u8 origin;
	struct veil_identity next_identity;
	u8 next_origin;
	time64_t retire_at;
	u8 cipher;
	u16 port;
	bool active;
	bool dying;
	u32 rx_mark;
	u32 rx_mask;
	struct veil_prefix_table addresses;
	struct veil_prefix_table policies;
	struct list_head policy_list;
	struct veil_recent __percpu *recent;
	u32 policy_count;
	struct ratelimit_state acquire;
	struct veil_prefix_table touched;
	struct list_head touched_list;
	unsigned int weaken_depth;
	const char *weaken_reason;
	struct ratelimit_state *weaken_limit;
	struct veil_trial *trial;
	bool on_trial;
	unsigned long trial_end;
	struct delayed_work trial_work;
	struct veil_prefix_table locals;
	struct list_head local_list;
	u32 local_count;
	struct rhashtable indexes;
	struct socket *socket[2];
	struct sock __rcu *sk[2];
	bool fenced;
	struct nf_hook_ops hooks[12];
	struct list_head fences;
	struct sk_buff_head initiations;
	struct sk_buff_head responses;
	struct list_head roamers;
	u32 roamer_count;
	struct veil_unknown *unknown;
	struct work_struct handshake_work;
	struct delayed_work rotate_work;
	struct veil_drops __percpu *drops;
	atomic_t peers_alive;
};

extern unsigned int veil_net_id;

/**
 * struct veil_queues - where works are queued
 * @all: but those in
 * @peers: peers' own works: no more than a CPU each, or thousands of peers that are
 *	added at once would have hundreds of threads wait for vn->lock
 */
struct veil_queues {
	struct workqueue_struct *all;
	struct workqueue_struct *peers;
};

/* Of the host's namespaces, and of those that users made: any number of peers there,
 * and locks that they hold for long, hold up only each other.
 */
extern struct veil_queues veil_queues[2];

static inline const struct veil_queues *veil_queues_of(const struct net *net)
{
	return &veil_queues[net->user_ns != &init_user_ns];
}

static inline struct veil_net *veil_net(const struct net *net)
{
	return net_generic(net, veil_net_id);
}

/* What the packet path runs under, wherever it was entered from. */
static inline void veil_path_enter(void)
{
	local_bh_disable();
	rcu_read_lock();
}

static inline void veil_path_leave(void)
{
	rcu_read_unlock();
	local_bh_enable();
}

DECLARE_TRACEPOINT(veil_drop);
void veil_drop_trace(struct veil_net *vn, enum veil_drop reason);

static inline void veil_drop_count(struct veil_net *vn, enum veil_drop reason)
{
	this_cpu_inc(vn->drops->count[reason]);
	if (tracepoint_enabled(veil_drop))
		veil_drop_trace(vn, reason);
}

/* " in network namespace 4026531840", with its zero. */
#define VEIL_NET_WHERE	36

/* Whether the kernel's log may have a line about vn now: namespaces that users
 * without privilege may have made share a few.  where: which namespace it is;
 * nothing of the first one.  Process context.
 */
bool veil_net_may_log(const struct veil_net *vn, char where[VEIL_NET_WHERE]);

/* Free skb and count why.  Any context. */
void veil_drop(struct veil_net *vn, struct sk_buff *skb, enum veil_drop reason);

/*
 * Configuration, for netlink.c: process context, vn->lock held for writing.
 * All refuse with extack text and then change nothing.
 */

/* The sockets of port, where another one's are in use: for veil_net_set_port(), which
 * cannot fail, or for veil_socket_release().
 */
int veil_net_open_port(struct veil_net *vn, u16 port, struct socket *sock[2],
		       struct netlink_ext_ack *extack);
void veil_net_set_port(struct veil_net *vn, u16 port, struct socket *sock[2]);
void veil_net_set_cipher(struct veil_net *vn, enum netveil_cipher cipher);
/* What is offered to peers now, fastest first; returns how many. */
unsigned int veil_net_aeads(const struct veil_net *vn, u8 aeads[VEIL_AEAD_MAX]);
/* Remove all peers, policies, sessions and the identity; hooks and sockets go
 * too.
 */
void veil_net_flush(struct veil_net *vn);

/* Sessions of an earlier epoch are dead at once, in all namespaces: a VM was
 * forked, and its twin counts on with the same keys.
 */
extern atomic_t veil_epoch;

/* No new sessions from now on: their keys would go into a suspended image. */
extern bool veil_asleep;

/* Forget sessions and handshakes of all namespaces, but not peers; their keys are
 * wiped on return.  Process context.
 */
void veil_nets_forget_sessions(void);
/* Whether some identity is in the kernel only: made there, or in a keyring. */
bool veil_nets_kernel_identity(void);

int veil_nets_init(void);
void veil_nets_exit(void);

/* Hooks, fence and sockets come with the first peer or policy, and go when
 * there is neither any more.
 */
int veil_net_activate(struct veil_net *vn, struct netlink_ext_ack *extack);
void veil_net_settle(struct veil_net *vn);

#endif /* _VEIL_NET_H */
