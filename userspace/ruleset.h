/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ruleset of veil guard.
 */
#ifndef VEIL_RULESET_H
#define VEIL_RULESET_H

#include <stdbool.h>
#include <stdio.h>

struct state;
struct peers;
struct policies;

/* False: there is nothing to guard, and nothing was written. */
bool ruleset_write(FILE *to, const struct state *state,
		   const struct peers *peers, const struct policies *policies);

#endif /* VEIL_RULESET_H */
