// SPDX-License-Identifier: GPL-2.0
/*
 * The replay window beside a list of what it has taken: nothing is taken twice,
 * nothing below the window, and all else is.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

#define ASSERT(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

#define TAKEN_MAX	4096

struct model {
	u64 taken[TAKEN_MAX];
	size_t count;
	u64 top;
};

static bool is_fresh(const struct model *model, u64 counter)
{
	size_t i;

	if (model->count && counter <= model->top &&
	    model->top - counter >= VEIL_WINDOW_BITS)
		return false;
	for (i = 0; i < model->count; i++)
		if (model->taken[i] == counter)
			return false;
	return true;
}

static void take(struct model *model, u64 counter)
{
	model->taken[model->count++] = counter;
	if (counter > model->top)
		model->top = counter;
}

/* Three bytes: a step from the highest counter so far, or now and then far. */
static u64 next_counter(const struct model *model, const u8 *data)
{
	int64_t step = (int16_t)(data[1] | data[2] << 8) / 2;
	u64 counter = model->top + step;

	if (data[0] & 2)
		counter = model->top + ((u64)data[1] << (data[2] % 56));
	if (step < 0 && (u64)-step > model->top)
		counter = 0;
	/* The highest of all is never sent (volume limits). */
	return counter == ~0ULL ? 0 : counter;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct model model;
	struct veil_window window = {};
	size_t i;

	memset(&model, 0, sizeof(model));
	for (i = 0; i + 3 <= size && model.count < TAKEN_MAX; i += 3) {
		u64 counter = next_counter(&model, data + i);
		bool fresh = is_fresh(&model, counter);

		ASSERT(veil_window_check(&window, counter) == fresh);
		if (data[i] & 1)
			continue;
		ASSERT(veil_window_set(&window, counter) == fresh);
		if (fresh)
			take(&model, counter);
	}
	return 0;
}
