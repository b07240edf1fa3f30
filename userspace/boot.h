/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the next boot of this host would do for what is protected now, for veil
 * check.
 */
#ifndef VEIL_BOOT_H
#define VEIL_BOOT_H

#include <stdbool.h>

#define BOOT_TEXT_LEN	512

struct env;
struct everything;

/* WRONG: what was set up does not work, or what was never set up is needed. */
enum result { GOOD, DOUBTFUL, WRONG };

/* Whether netveil.service is to do anything. */
bool boot_is_set_up(void);
/* Whether it would configure what there is. */
enum result boot_service(char text[BOOT_TEXT_LEN], struct env *env,
			 const struct everything *all);
/* Whether the ruleset of veil guard would hold that shut meanwhile, and without it. */
enum result boot_guard(char text[BOOT_TEXT_LEN], const struct everything *all);
/* Whether each kernel that is installed has a module; guarded: by the above. */
enum result boot_kernels(char text[BOOT_TEXT_LEN], bool guarded);

#endif /* VEIL_BOOT_H */
