// SPDX-License-Identifier: GPL-2.0
/*
 * The way out: which session seals, or the queue; keepalives.
 */
#include <linux/bpf-cgroup.h>
#include <linux/delay.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/sizes.h>
#include <net/sock.h>

#include "addr.h"
#include "compat.h"
#include "handshake.h"
#include "netlink.h"
#include "pmtu.h"
#include "policy.h"
#include "session.h"
#include "socket.h"
#include "timers.h"
#include "seal.h"
#include "tunnel.h"
#include "tx.h"

/* Packets that wait for a session, of one peer, and the memory that they take: of
 * GSO packets so many would be 8 MiB, and anybody may have peers in a namespace of
 * his own, whose forwarded packets are charged to nobody.
 */
#define VEIL_QUEUE_MAX	128
#define VEIL_QUEUE_SIZE	SZ_1M
/* Seconds that one waits: a connection's holds its socket, and that its namespace. */
#define VEIL_QUEUE_AGE	10

/* Of a packet that waits, behind IP's part of skb->cb. */
struct veil_queue_cb {
	union {
		struct inet_skb_parm ipv4;
		struct inet6_skb_parm ipv6;
	};
	unsigned long since;	/* jiffies */
	bool from_socket;	/* skb->sk sent it, and no tunnel device */
};

#define VEIL_QUEUE_CB(skb)	((struct veil_queue_cb *)(skb)->cb)

static struct veil_session *veil_tx_session(struct veil_peer *peer)
{
	struct veil_session *session = rcu_dereference(peer->current_session);

	return session && !veil_session_expired(session) ? session : NULL;
}

/* The packet that has waited longest; peer->queue.lock is held. */
static struct sk_buff *veil_tx_dequeue(struct veil_peer *peer)
{
	struct sk_buff *skb = __skb_dequeue(&peer->queue);

	if (skb)
		peer->queue_size -= skb->truesize;
	return skb;
}

/* Whether one more of so much memory is too many; a first one never is. */
static bool veil_tx_queue_full(const struct veil_peer *peer, unsigned int size)
{
	unsigned int len = skb_queue_len(&peer->queue);

	return len >= VEIL_QUEUE_MAX ||
	       (len && peer->queue_size + size > VEIL_QUEUE_SIZE);
}

/* The control group's programs see what the application sent.  As in IP output, sk
 * is who sent this packet: a tunnel device's own or none, for what it made of another
 * one, which they saw, and whose socket skb->sk still is.
 */
static bool veil_tx_permitted(struct sock *sk, struct sk_buff *skb)
{
	int err = BPF_CGROUP_RUN_PROG_INET_EGRESS(sk, skb);

	return !err || err == NET_XMIT_CN;
}

/* Their way, when they leave, is not any socket's. */
static bool veil_tx_bound(const struct sock *sk)
{
#ifdef CONFIG_XFRM
	if (rcu_access_pointer(sk->sk_policy[XFRM_POLICY_OUT]))
		return true;
#endif
	return READ_ONCE(sk->sk_bound_dev_if);
}

/* A socket goes on to send to others meanwhile, unless it is a connection's: those that
 * wait do not use up what it may have under way.
 */
static bool veil_tx_let_go(struct sock *sk, struct sk_buff *skb)
{
	const struct sock *owner = skb->sk;

	if (!owner || !sk_fullsock(owner) || sk_is_tcp(owner) ||
	    veil_tx_bound(owner))
		return true;
	if (!veil_tx_permitted(sk, skb))
		return false;
	skb_orphan(skb);
	return true;
}

/* The oldest go when there are too many: what waits longest is what its
 * sender has most likely sent again.
 */
static void veil_tx_queue(struct veil_peer *peer, struct sock *sk,
			  struct sk_buff *skb)
{
	struct sk_buff_head old;

	BUILD_BUG_ON(sizeof(struct veil_queue_cb) > sizeof(skb->cb));

	if (!READ_ONCE(peer->usable)) {
		veil_peer_drop(peer, skb, VEIL_DROP_no_key);
		return;
	}
	if (!skb_dst_force(skb)) {
		veil_peer_drop(peer, skb, VEIL_DROP_no_route);
		return;
	}
	if (!veil_tx_let_go(sk, skb)) {
		veil_peer_drop(peer, skb, VEIL_DROP_cgroup);
		return;
	}

	VEIL_QUEUE_CB(skb)->since = jiffies;
	VEIL_QUEUE_CB(skb)->from_socket =
		skb->sk && sk && sk_to_full_sk(sk) == skb_to_full_sk(skb);
	/* It finds its way anew when it leaves; the device may go before. */
	skb->dev = NULL;
	__skb_queue_head_init(&old);
	spin_lock(&peer->queue.lock);
	while (veil_tx_queue_full(peer, skb->truesize))
		__skb_queue_tail(&old, veil_tx_dequeue(peer));
	__skb_queue_tail(&peer->queue, skb);
	peer->queue_size += skb->truesize;
	spin_unlock(&peer->queue.lock);
	while ((skb = __skb_dequeue(&old)))
		veil_peer_drop(peer, skb, VEIL_DROP_queue_full);

	/* Removal purges the queue after it set this. */
	smp_mb();
	if (READ_ONCE(peer->dead)) {
		veil_tx_purge(peer, VEIL_DROP_policy_changed);
		return;
	}
	veil_handshake_start(peer);
	veil_timers_arm(peer);
}

/* kTLS or PSP for a device that does it leave the text clear until the device.
 * As in sk_validate_xmit_skb(), for a device that does not.
 */
static struct sk_buff *veil_tx_validate(struct sk_buff *skb)
{
#ifdef CONFIG_SOCK_VALIDATE_XMIT
	struct sock *sk = skb->sk;

	if (sk && sk_fullsock(sk) && sk->sk_validate_xmit_skb)
		return sk->sk_validate_xmit_skb(sk, dev_net(skb->dev)->loopback_dev,
						skb);
	if (skb->decrypted) {
		kfree_skb(skb);
		return NULL;
	}
#endif
	return skb;
}

/* The device, or who stands in for it, would take the outer packet for that TCP
 * of its socket's, and encrypt in the midst of it.
 */
static void veil_tx_validated(struct sk_buff *skb)
{
#ifdef CONFIG_SOCK_VALIDATE_XMIT
	struct sock *sk = skb->sk;

	if (sk && sk_fullsock(sk) && sk->sk_validate_xmit_skb)
		skb_orphan(skb);
	skb->decrypted = 0;
#endif
}

/* The policy may have changed since the hook: in the queue of a program, in
 * ours.  What was protected then does not leave unprotected now.
 */
static struct veil_peer *veil_tx_peer(struct veil_net *vn, struct sk_buff *skb,
				      bool *between)
{
	struct veil_addr_pair addrs;
	struct veil_policy policy;

	veil_addr_of(skb, &addrs);
	veil_policy_lookup(vn, &addrs.destination, &policy);
	*between = veil_tunnel_between(vn, skb, &policy, &addrs);
	return veil_policy_clear(&policy) ? NULL : policy.peer;
}

/* A fragment of what veil_tx_fragment() has. */
static int veil_tx_piece(struct net *net, struct sock *sk, struct sk_buff *skb)
{
	struct veil_net *vn = veil_net(net);
	struct veil_session *session = NULL;
	struct veil_peer *peer;
	bool between;

	peer = veil_tx_peer(vn, skb, &between);
	if (peer)
		session = veil_tx_session(peer);
	if (session)
		veil_seal(session, skb, between);
	else
		veil_drop(vn, skb, VEIL_DROP_policy_changed);
	return 0;
}

static void veil_tx_fragment(struct veil_peer *peer, struct sk_buff *skb,
			     unsigned int size)
{
	struct net *net = peer->vn->net;
	int err;

	/* Of a route's MTU anything goes, and some kernels would never end. */
	if (skb->protocol == htons(ETH_P_IP) && size < ip_hdrlen(skb) + 8) {
		veil_peer_drop(peer, skb, VEIL_DROP_too_big);
		return;
	}
	/* What cuts it knows the Internet's checksum alone, not SCTP's. */
	if (skb->ip_summed == CHECKSUM_PARTIAL &&
	    skb_csum_hwoffload_help(skb, 0)) {
		veil_peer_drop(peer, skb, VEIL_DROP_no_memory);
		return;
	}
	skb->ignore_df = 1;
	if (skb->protocol == htons(ETH_P_IP)) {
		IPCB(skb)->frag_max_size = size;
		err = ip_do_fragment(net, skb->sk, skb, veil_tx_piece);
	} else {
		IP6CB(skb)->frag_max_size = size;
		err = veil_ip6_fragment(net, skb->sk, skb, veil_tx_piece);
	}
	if (err) {
		veil_drop_count(peer->vn, VEIL_DROP_no_memory);
		atomic64_inc(&peer->drops);
	}
}

/* A program or a rule may have cut the packet, or written another length into its
 * header (NFQUEUE, nftables): the kernel does not hold it to what it had checked.
 */
static enum veil_drop veil_tx_check(struct sk_buff *skb)
{
	unsigned int hlen = sizeof(struct ipv6hdr);

	if (skb->protocol == htons(ETH_P_IP)) {
		if (skb->len < sizeof(struct iphdr))
			return VEIL_DROP_unprotectable;
		hlen = ip_hdrlen(skb);
		if (hlen < sizeof(struct iphdr))
			return VEIL_DROP_unprotectable;
	}
	if (skb->len < hlen)
		return VEIL_DROP_unprotectable;
	if (!pskb_may_pull(skb, hlen))
		return VEIL_DROP_no_memory;
	/* By our tables its source is an IPv4 host, and it is no packet of that. */
	return skb->protocol == htons(ETH_P_IP) ||
	       !veil_addr_is_v4(&ipv6_hdr(skb)->saddr) ?
	       VEIL_DROPS : VEIL_DROP_unprotectable;
}

static void veil_tx_packet(struct veil_peer *peer, struct sock *sk,
			   struct sk_buff *skb, bool between)
{
	struct veil_session *session = veil_tx_session(peer);
	enum veil_drop reason = veil_tx_check(skb);
	unsigned int size;

	if (reason != VEIL_DROPS) {
		veil_peer_drop(peer, skb, reason);
		return;
	}
	if (!session) {
		veil_tx_queue(peer, sk, skb);
		return;
	}
	skb = veil_tx_validate(skb);
	if (!skb) {
		veil_drop_count(peer->vn, VEIL_DROP_unprotectable);
		atomic64_inc(&peer->drops);
		return;
	}
	if (!veil_tx_permitted(sk, skb)) {
		veil_peer_drop(peer, skb, VEIL_DROP_cgroup);
		return;
	}
	veil_tx_validated(skb);
	size = veil_pmtu_fragments(session, skb, between);
	if (size)
		veil_tx_fragment(peer, skb, size);
	else
		veil_seal(session, skb, between);
}

/* As initiator we seal before the other end was heard, which expects it; if it
 * stays silent beyond the last try to reach it, what we seal does not.
 */
#define VEIL_TX_UNHEARD	(10 * (u64)NSEC_PER_SEC)

bool veil_tx_prefers(struct veil_peer *peer)
{
	struct veil_session *session = veil_tx_session(peer);

	if (session && (READ_ONCE(session->opened) ||
			veil_session_age(session) < VEIL_TX_UNHEARD))
		return true;
	veil_handshake_start(peer);
	return false;
}

void veil_tx(struct veil_peer *peer, struct sock *sk, struct sk_buff *skb,
	     bool between)
{
	veil_path_enter();
	/* It was confirmed; the outer packet is untracked. */
	nf_reset_ct(skb);
	veil_tx_packet(peer, sk, skb, between);
	veil_path_leave();
}

int veil_tx_output(struct net *net, struct sock *sk, struct sk_buff *skb)
{
	struct veil_net *vn = veil_net(net);
	struct veil_peer *peer;
	bool between;

	/* See veil_hooks_seal(). */
	skb->pkt_type = PACKET_HOST;
	veil_path_enter();
	peer = veil_tx_peer(vn, skb, &between);
	if (peer)
		veil_tx(peer, sk, skb, between);
	else
		veil_drop(vn, skb, VEIL_DROP_policy_changed);
	veil_path_leave();
	return 0;
}

static int veil_tx_reroute(struct net *net, struct sk_buff *skb)
{
	struct dst_entry *dst = skb_dst(skb);
	int err = 0;

	if (READ_ONCE(dst->obsolete) && !dst->ops->check(dst, 0)) {
		if (skb->protocol == htons(ETH_P_IP))
			err = ip_route_me_harder(net, skb->sk, skb, RTN_UNSPEC);
		else if (IS_ENABLED(CONFIG_IPV6))
			err = ip6_route_me_harder(net, skb->sk, skb);
	}
	if (err)
		return err;	/* and maybe no route at all */
	skb->dev = veil_dst_dev(skb_dst(skb));
	/* Its hooks were passed without IPsec. */
	return skb_dst(skb)->xfrm ? -ENETUNREACH : 0;
}

void veil_tx_flush(struct veil_peer *peer)
{
	struct veil_net *vn = peer->vn;
	struct sk_buff_head queue;
	struct sk_buff *skb;
	struct sock *sk;
	bool between;

	if (skb_queue_empty_lockless(&peer->queue))
		return;
	__skb_queue_head_init(&queue);
	veil_path_enter();
	if (veil_tx_session(peer)) {
		spin_lock(&peer->queue.lock);
		skb_queue_splice_init(&peer->queue, &queue);
		peer->queue_size = 0;
		spin_unlock(&peer->queue.lock);
	}
	while ((skb = __skb_dequeue(&queue))) {
		sk = VEIL_QUEUE_CB(skb)->from_socket ? skb->sk : NULL;
		if (veil_tx_peer(vn, skb, &between) != peer)
			veil_peer_drop(peer, skb, VEIL_DROP_policy_changed);
		else if (veil_tx_reroute(vn->net, skb))
			veil_peer_drop(peer, skb, VEIL_DROP_no_route);
		else
			veil_tx_packet(peer, sk, skb, between);
	}
	veil_path_leave();
}

void veil_tx_waiting_source(struct veil_peer *peer, struct in6_addr *source)
{
	struct veil_addr_pair addrs;
	struct sk_buff *skb;

	spin_lock_bh(&peer->queue.lock);
	skb = skb_peek(&peer->queue);
	if (skb) {
		veil_addr_of(skb, &addrs);
		*source = addrs.source;
	}
	spin_unlock_bh(&peer->queue.lock);
}

void veil_tx_expire(struct veil_peer *peer)
{
	struct sk_buff *skb;

	for (;;) {
		spin_lock_bh(&peer->queue.lock);
		skb = skb_peek(&peer->queue);
		if (skb && time_after_eq(jiffies, VEIL_QUEUE_CB(skb)->since +
					 VEIL_QUEUE_AGE * HZ))
			veil_tx_dequeue(peer);
		else
			skb = NULL;
		spin_unlock_bh(&peer->queue.lock);
		if (!skb)
			return;
		veil_peer_drop(peer, skb, VEIL_DROP_no_session);
	}
}

void veil_tx_purge(struct veil_peer *peer, enum veil_drop reason)
{
	struct sk_buff *skb;

	for (;;) {
		spin_lock_bh(&peer->queue.lock);
		skb = veil_tx_dequeue(peer);
		spin_unlock_bh(&peer->queue.lock);
		if (!skb)
			return;
		veil_peer_drop(peer, skb, reason);
	}
}

void veil_tx_keepalive(struct veil_peer *peer)
{
	struct veil_session *session;

	veil_path_enter();
	session = veil_tx_session(peer);
	if (session)
		veil_seal_keepalive(session, 0);
	veil_path_leave();
}

/* Returns session where there may be something to wait for, else NULL. */
static struct veil_session *veil_tx_close_session(struct veil_session *session)
{
	if (!session || veil_session_expired(session))
		return NULL;
	/* Keeps the session, where requests can be under way at all. */
	if (session->async)
		atomic_inc(&session->lanes[0].in_flight);
	veil_seal_keepalive(session, VEIL_DATA_CLOSE);
	return session->async ? session : NULL;
}

void veil_tx_close(struct veil_peer *peer)
{
	struct veil_session *sessions[2];
	int tries = 100;
	unsigned int i;

	veil_path_enter();
	sessions[0] = veil_tx_close_session(rcu_dereference(peer->current_session));
	/* Of two that crossed the other end may use this one. */
	sessions[1] = veil_tx_close_session(rcu_dereference(peer->previous_session));
	veil_path_leave();
	for (i = 0; i < ARRAY_SIZE(sessions); i++) {
		if (!sessions[i])
			continue;
		while (tries-- > 0 &&
		       atomic_read(&sessions[i]->lanes[0].in_flight) > 1)
			usleep_range(1000, 2000);
		veil_lane_release(sessions[i], 0);
	}
}

void veil_tx_session_up(struct veil_peer *peer)
{
	bool first;

	spin_lock_bh(&peer->lock);
	first = !peer->announced;
	peer->announced = true;
	spin_unlock_bh(&peer->lock);
	if (first)
		veil_netlink_event(peer->vn, NETVEIL_EVENT_SESSION_UP,
				   READ_ONCE(peer->public_key));
	if (skb_queue_empty_lockless(&peer->queue))
		veil_tx_keepalive(peer);
	else
		veil_tx_flush(peer);
}
