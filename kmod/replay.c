// SPDX-License-Identifier: GPL-2.0
/*
 * Which counters of a lane were seen: a ring of one bit a counter.
 */
#include "replay.h"

#include <linux/bitmap.h>
#include <linux/limits.h>
#include <linux/minmax.h>

/* Puts the places of the counters that were skipped back to "not seen". */
static void veil_window_forget(struct veil_window *window, u64 skipped)
{
	unsigned int start = window->next % VEIL_WINDOW_BITS;
	unsigned int first;

	if (skipped >= VEIL_WINDOW_BITS) {
		bitmap_zero(window->ring, VEIL_WINDOW_BITS);
		return;
	}
	first = min_t(unsigned int, skipped, VEIL_WINDOW_BITS - start);
	bitmap_clear(window->ring, start, first);
	bitmap_clear(window->ring, 0, skipped - first);
}

bool veil_window_check(const struct veil_window *window, u64 counter)
{
	/* next could not tell that the last counter of all was seen. */
	if (counter == U64_MAX)
		return false;
	if (counter >= window->next)
		return true;
	if (window->next - counter > VEIL_WINDOW_BITS)
		return false;
	return !test_bit(counter % VEIL_WINDOW_BITS, window->ring);
}

bool veil_window_set(struct veil_window *window, u64 counter)
{
	if (!veil_window_check(window, counter))
		return false;
	if (counter >= window->next) {
		if (counter > window->next)
			veil_window_forget(window, counter - window->next);
		window->next = counter + 1;
	}
	__set_bit(counter % VEIL_WINDOW_BITS, window->ring);
	return true;
}
