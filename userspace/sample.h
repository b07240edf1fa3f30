/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counters at two moments, and what happened in between.
 */
#ifndef VEIL_SAMPLE_H
#define VEIL_SAMPLE_H

#include "format.h"
#include "model.h"

struct sample {
	struct state state;
	struct peers peers;
	double time;		/* seconds, of the monotonic clock */
};

struct rate {
	const struct peer *peer;
	double rx_bits, tx_bits;	/* a second */
	double rx_packets, tx_packets, drops;
};

int sample_take(struct sample *sample, struct nl *nl, const char *what);
void sample_free(struct sample *sample);

/* Of the peers of new, busiest first; a peer that is not in old has no rate yet.
 * To be freed.
 */
struct rate *rates_between(const struct sample *old, const struct sample *new);
/* Of all packets that were dropped, with or without a peer. */
double drops_between(const struct sample *old, const struct sample *new);

/* "1.25 Gbit/s" */
const char *format_bits(char text[TEXT_LEN], double bits);
/* "1.3 k/s" */
const char *format_rate(char text[TEXT_LEN], double rate);
/* "1h02m", "2m05s", "7s" */
const char *format_age(char text[TEXT_LEN], uint64_t seconds);

#endif /* VEIL_SAMPLE_H */
