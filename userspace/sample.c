// SPDX-License-Identifier: GPL-2.0
/*
 * Counters at two moments, and what happened in between.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "err.h"
#include "sample.h"
#include "words.h"

int sample_take(struct sample *sample, struct nl *nl, const char *what)
{
	struct timespec now;

	memset(sample, 0, sizeof(*sample));
	clock_gettime(CLOCK_MONOTONIC, &now);
	sample->time = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	return model_get(nl, &sample->state, &sample->peers, what);
}

void sample_free(struct sample *sample)
{
	model_free_peers(&sample->peers);
}

static int compare_keys(const void *a, const void *b)
{
	const struct peer *one = a, *other = b;

	return memcmp(one->public_key, other->public_key, NETVEIL_KEY_LEN);
}

static int compare_load(const void *a, const void *b)
{
	const struct rate *one = a, *other = b;
	double x = one->rx_bits + one->tx_bits;
	double y = other->rx_bits + other->tx_bits;

	if (x != y)
		return x < y ? 1 : -1;
	return compare_keys(one->peer, other->peer);
}

/* A peer that was removed and added counts from zero again. */
static double per_second(uint64_t old, uint64_t new, double seconds)
{
	return new < old || seconds <= 0 ? 0 : (double)(new - old) / seconds;
}

static void set_rate(struct rate *rate, const struct peer *old, double seconds)
{
	const struct peer *new = rate->peer;

	rate->rx_bits = 8 * per_second(old->rx_bytes, new->rx_bytes, seconds);
	rate->tx_bits = 8 * per_second(old->tx_bytes, new->tx_bytes, seconds);
	rate->rx_packets = per_second(old->rx_packets, new->rx_packets,
				      seconds);
	rate->tx_packets = per_second(old->tx_packets, new->tx_packets,
				      seconds);
	rate->drops = per_second(old->drops, new->drops, seconds);
}

struct rate *rates_between(const struct sample *old, const struct sample *new)
{
	struct rate *rates = calloc(new->peers.count + 1, sizeof(*rates));
	size_t i;

	if (!rates)
		die_no_memory();
	qsort(old->peers.list, old->peers.count, sizeof(*old->peers.list),
	      compare_keys);
	for (i = 0; i < new->peers.count; i++) {
		const struct peer *before;

		rates[i].peer = &new->peers.list[i];
		before = old->peers.count ?
			 bsearch(rates[i].peer, old->peers.list,
				 old->peers.count, sizeof(*before),
				 compare_keys) : NULL;
		if (before)
			set_rate(&rates[i], before, new->time - old->time);
	}
	qsort(rates, new->peers.count, sizeof(*rates), compare_load);
	return rates;
}

static uint64_t all_drops(const struct state *state)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < state->drop_count; i++)
		sum += state->drops[i].count;
	return sum;
}

double drops_between(const struct sample *old, const struct sample *new)
{
	return per_second(all_drops(&old->state), all_drops(&new->state),
			  new->time - old->time);
}

static const char *format_scaled(char text[TEXT_LEN], double value,
				 const char *unit)
{
	static const char *const prefixes[] = { "", "k", "M", "G", "T" };
	unsigned int i = 0;

	while (value >= 1000 && i + 1 < ARRAY_LEN(prefixes)) {
		value /= 1000;
		i++;
	}
	/* Less than one a second is not none. */
	snprintf(text, TEXT_LEN, "%.*f %s%s", (value < 10 && i) ||
		 (value > 0 && value < 1) ? 2 : value < 100 && i ? 1 : 0,
		 value, prefixes[i], unit);
	return text;
}

const char *format_bits(char text[TEXT_LEN], double bits)
{
	return format_scaled(text, bits, "bit/s");
}

const char *format_rate(char text[TEXT_LEN], double rate)
{
	return format_scaled(text, rate, "/s");
}

const char *format_age(char text[TEXT_LEN], uint64_t seconds)
{
	if (seconds >= 3600)
		snprintf(text, TEXT_LEN, "%" PRIu64 "h%02um", seconds / 3600,
			 (unsigned int)(seconds / 60 % 60));
	else if (seconds >= 60)
		snprintf(text, TEXT_LEN, "%um%02us",
			 (unsigned int)(seconds / 60),
			 (unsigned int)(seconds % 60));
	else
		snprintf(text, TEXT_LEN, "%us", (unsigned int)seconds);
	return text;
}
