/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Replay window of one lane: a ring of bits, as in RFC 6479, where a counter
 * always has the same place, so that nothing is ever shifted.  Only the places
 * of skipped counters are cleared: none for packets in order, and the window is
 * as wide as the ring.
 *
 * Pure; the caller holds the lane's lock for both calls.
 */
#ifndef _VEIL_REPLAY_H
#define _VEIL_REPLAY_H

#include <linux/types.h>
#include <linux/bitops.h>
#include "messages.h"

struct veil_window {
	u64 next;	/* one more than the highest counter seen */
	DECLARE_BITMAP(ring, VEIL_WINDOW_BITS);
};

/* Whether counter is new: cheap look before opening, decides nothing. */
bool veil_window_check(const struct veil_window *window, u64 counter);
/* After authentication: mark counter as seen; false if it was seen or is too old. */
bool veil_window_set(struct veil_window *window, u64 counter);

#endif /* _VEIL_REPLAY_H */
