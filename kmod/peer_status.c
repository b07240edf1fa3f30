// SPDX-License-Identifier: GPL-2.0
/*
 * What people are told of a peer: sums over its sessions, and their state.
 */
#include <linux/jiffies.h>

#include "peer.h"
#include "session.h"

static void veil_peer_status_add(const struct veil_session *session,
				 struct veil_peer_status *status)
{
	unsigned int lanes, i;

	if (!session)
		return;
	lanes = max(session->tx_lanes, session->rx_lanes);
	for (i = 0; i < lanes; i++) {
		const struct veil_lane *lane = &session->lanes[i];

		status->tx_packets += atomic64_read(&lane->tx_counter);
		status->tx_bytes += atomic64_read(&lane->tx_bytes);
		status->rx_packets += READ_ONCE(lane->rx_packets);
		status->rx_bytes += READ_ONCE(lane->rx_bytes);
	}
	status->tx_packets -= atomic_read(&session->keepalives);
}

/* The lower of both families, of what is still believed; 0 if nothing is. */
static u32 veil_peer_path_mtu(const struct veil_peer *peer)
{
	u32 mtu = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(peer->paths); i++) {
		u32 known = READ_ONCE(peer->paths[i].mtu);

		if (known && time_before(jiffies,
					 READ_ONCE(peer->paths[i].until)))
			mtu = min_not_zero(mtu, known);
	}
	return mtu;
}

void veil_peer_status(struct veil_peer *peer, struct veil_peer_status *status)
{
	const struct veil_session *session;

	memset(status, 0, sizeof(*status));
	spin_lock_bh(&peer->lock);
	session = rcu_dereference_protected(peer->current_session,
					    lockdep_is_held(&peer->lock));
	status->state = session ? NETVEIL_STATE_UP :
			peer->handshaking ? NETVEIL_STATE_HANDSHAKE :
			NETVEIL_STATE_NONE;
	if (session) {
		status->cipher = session->aead;
		status->session_age_ms =
			div_u64(veil_session_age(session), NSEC_PER_MSEC);
	}
	status->last_handshake = peer->last_handshake;
	status->rx_bytes = peer->rx_bytes;
	status->tx_bytes = peer->tx_bytes;
	status->rx_packets = peer->rx_packets;
	status->tx_packets = peer->tx_packets;
	veil_peer_status_add(session, status);
	veil_peer_status_add(rcu_dereference_protected(peer->previous_session,
						       lockdep_is_held(&peer->lock)),
			     status);
	veil_peer_status_add(rcu_dereference_protected(peer->next_session,
						       lockdep_is_held(&peer->lock)),
			     status);
	spin_unlock_bh(&peer->lock);
	status->drops = atomic64_read(&peer->drops);
	status->queued = skb_queue_len_lockless(&peer->queue);
	status->mtu = veil_peer_path_mtu(peer);
}
