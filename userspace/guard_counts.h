/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the ruleset of veil guard has dropped, and whether it is there.
 */
#ifndef VEIL_GUARD_COUNTS_H
#define VEIL_GUARD_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

#define GUARD_TABLE	"netveil_guard"

struct guard_counts {
	bool loaded;
	uint64_t plaintext_in, plaintext_out;
};

/* Of the namespace that the process is in. An exit code; what names the request. */
int guard_counts(struct guard_counts *counts, const char *what);
/* Says, if the ruleset is loaded there, that what is about to change is in it as it was. */
void guard_warn(const char *what);

#endif /* VEIL_GUARD_COUNTS_H */
