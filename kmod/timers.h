/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Time: what happens to a peer when nothing else happens.
 *
 * The packet path only notes when something was sent or opened; one timer for
 * each peer looks at these notes at least once a second while the peer has a
 * session, a handshake or packets waiting, and sleeps otherwise.
 */
#ifndef _VEIL_TIMERS_H
#define _VEIL_TIMERS_H

#include <linux/jiffies.h>

#include "peer.h"

void veil_timers_init(struct veil_peer *peer);
/* Something began that the timer must look after.  Any context. */
void veil_timers_arm(struct veil_peer *peer);
/* No tick runs after this.  Process context. */
void veil_timers_stop(struct veil_peer *peer);

/* A packet with data was sealed / any packet was sealed / opened. */
static inline void veil_timers_sent(struct veil_peer *peer, bool data)
{
	unsigned long now = jiffies;

	if (READ_ONCE(peer->rx_unanswered))
		WRITE_ONCE(peer->rx_unanswered, 0);
	if (READ_ONCE(peer->last_tx) != now)
		WRITE_ONCE(peer->last_tx, now);
	if (!data)
		return;
	if (READ_ONCE(peer->last_tx_data) != now)
		WRITE_ONCE(peer->last_tx_data, now);
	if (!READ_ONCE(peer->tx_unanswered))
		WRITE_ONCE(peer->tx_unanswered, now | 1);
}

static inline void veil_timers_opened(struct veil_peer *peer, bool data)
{
	unsigned long now = jiffies;

	if (READ_ONCE(peer->tx_unanswered))
		WRITE_ONCE(peer->tx_unanswered, 0);
	if (READ_ONCE(peer->last_rx) != now)
		WRITE_ONCE(peer->last_rx, now);
	if (data && !READ_ONCE(peer->rx_unanswered))
		WRITE_ONCE(peer->rx_unanswered, now | 1);
}

#endif /* _VEIL_TIMERS_H */
