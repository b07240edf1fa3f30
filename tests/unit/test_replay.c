// SPDX-License-Identifier: GPL-2.0
/*
 * The replay window: its edges, and long random runs beside a naive model.
 */
#include "replay.h"

#include <string.h>

#include "ktap.h"

#define W	((u64)VEIL_WINDOW_BITS)
#define LAST	(~0ULL - 1)	/* the highest counter that is ever taken */

static void test_in_order(void)
{
	struct veil_window window = {};
	u64 i;

	for (i = 0; i < 5 * W; i++) {
		EXPECT(veil_window_check(&window, i));
		EXPECT(veil_window_set(&window, i));
		EXPECT(!veil_window_check(&window, i));
		EXPECT(!veil_window_set(&window, i));
	}
}

static void test_backwards(void)
{
	struct veil_window window = {};
	u64 i;

	EXPECT(W >= 8192);
	for (i = W; i-- > 0;)
		EXPECT(veil_window_set(&window, i));
	for (i = 0; i < W; i++)
		EXPECT(!veil_window_set(&window, i));
	EXPECT(veil_window_set(&window, W));
}

static void test_edge_of_window(void)
{
	struct veil_window window = {};

	EXPECT(veil_window_set(&window, W + 99));
	EXPECT(!veil_window_check(&window, 99));
	EXPECT(veil_window_check(&window, 100));
	EXPECT(!veil_window_set(&window, 99));
	EXPECT(veil_window_set(&window, 100));
	EXPECT(!veil_window_set(&window, 100));
	EXPECT(veil_window_set(&window, W + 100));
	EXPECT(!veil_window_set(&window, 100));
	EXPECT(veil_window_set(&window, 101));
}

/* Skipped places that held a mark of the round before are free again. */
static void check_jump(u64 jump)
{
	struct veil_window window = {};
	u64 i, top, oldest;

	for (i = 0; i < W; i++)
		EXPECT(veil_window_set(&window, i));
	top = W - 1 + jump;
	EXPECT(veil_window_set(&window, top));
	oldest = top - W + 1;
	for (i = oldest; i < top; i++)
		EXPECT(veil_window_check(&window, i) == (i >= W));
	EXPECT(!veil_window_check(&window, oldest - 1));
}

static void test_jumps(void)
{
	u64 jump;

	for (jump = 1; jump <= 2 * W + 1; jump++)
		check_jump(jump);
	check_jump(1ULL << 32);
	check_jump(1ULL << 60);
}

static void test_check_changes_nothing(void)
{
	struct veil_window window = {}, before;

	EXPECT(veil_window_set(&window, 7));
	before = window;
	EXPECT(veil_window_check(&window, 1ULL << 40));
	EXPECT(!veil_window_check(&window, 7));
	EXPECT(!veil_window_set(&window, 7));
	EXPECT(!memcmp(&window, &before, sizeof(window)));
}

static void test_end_of_counters(void)
{
	struct veil_window window = {};
	u64 i;

	EXPECT(!veil_window_set(&window, LAST + 1));
	EXPECT(veil_window_set(&window, LAST - 10));
	EXPECT(!veil_window_set(&window, LAST + 1));
	for (i = LAST - 9; i <= LAST; i++)
		EXPECT(veil_window_set(&window, i));
	for (i = LAST - 10; i <= LAST; i++)
		EXPECT(!veil_window_set(&window, i));
	EXPECT(!veil_window_set(&window, LAST + 1));
	EXPECT(!veil_window_set(&window, 0));
	EXPECT(veil_window_set(&window, LAST - W + 1));
	EXPECT(!veil_window_set(&window, LAST - W));
}

/* The model: every counter of a range from base on that was ever seen. */
#define RANGE	(64 * VEIL_WINDOW_BITS)

static bool seen[RANGE];
static u64 highest;
static bool any;

static bool model_set(u64 counter, u64 base)
{
	if (any && counter <= highest &&
	    (highest - counter >= W || seen[counter - base]))
		return false;
	seen[counter - base] = true;
	if (!any || counter > highest)
		highest = counter;
	any = true;
	return true;
}

/* Mostly near the highest, sometimes anywhere up to a window away. */
static u64 pick(u64 base)
{
	u64 at = any ? highest - base : 0;
	u64 spread = ktap_random_below(8) ? 64 : 3 * W;
	u64 low = at > spread ? at - spread : 0;
	u64 high = at + ktap_random_below(ktap_random_below(50) ? 3 : spread);

	if (high >= RANGE)
		high = RANGE - 1;
	return base + low + ktap_random_below(high - low + 1);
}

static void check_random(u64 base)
{
	struct veil_window window = {};
	u64 counter;
	int i;

	memset(seen, 0, sizeof(seen));
	any = false;
	for (i = 0; i < 300000; i++) {
		counter = pick(base);
		if (ktap_random_below(2)) {
			bool fresh = model_set(counter, base);

			EXPECT(veil_window_check(&window, counter) == fresh);
			EXPECT(veil_window_set(&window, counter) == fresh);
		} else {
			bool old = any && counter <= highest &&
				   (highest - counter >= W ||
				    seen[counter - base]);

			EXPECT(veil_window_check(&window, counter) == !old);
		}
	}
	EXPECT(highest - base > 10 * W);
}

static void test_random(void)
{
	check_random(0);
	check_random(1ULL << 32);
}

static void test_random_near_end(void)
{
	check_random(LAST - RANGE + 1);
}

static const struct ktap_case cases[] = {
	{ "in order", test_in_order },
	{ "a whole window backwards", test_backwards },
	{ "edge of the window", test_edge_of_window },
	{ "jumps of every length", test_jumps },
	{ "a look changes nothing", test_check_changes_nothing },
	{ "the last counters", test_end_of_counters },
	{ "random, beside a model", test_random },
	{ "random near 2^64, beside a model", test_random_near_end },
};

int main(void)
{
	return ktap_run(cases, sizeof(cases) / sizeof(*cases));
}
