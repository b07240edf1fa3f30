/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ruleset of veil guard.
 */
#ifndef VEIL_RULESET_H
#define VEIL_RULESET_H

#include <stdbool.h>
#include <stdio.h>

/* Where it is for the boot, and the unit that loads it. */
#define GUARD_RULES	"/etc/netveil/guard.nft"
#define GUARD_UNIT	"/etc/systemd/system/netveil-guard.service"
#define GUARD_WANTED	"/etc/systemd/system/sysinit.target.wants"
#define GUARD_LINK	GUARD_WANTED "/netveil-guard.service"
#define GUARD_NFT	"/usr/sbin/nft"

struct state;
struct peers;
struct policies;

/* False: there is nothing to guard, and nothing was written. */
bool ruleset_write(FILE *to, const struct state *state,
		   const struct peers *peers, const struct policies *policies);

#endif /* VEIL_RULESET_H */
