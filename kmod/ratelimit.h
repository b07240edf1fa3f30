/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A token bucket for every /32 or /64, in a table that never grows: networks
 * share a bucket where a secret hash puts them into the same place.
 *
 * Pure; the caller gives the time and serialises the calls.
 */
#ifndef _VEIL_RATELIMIT_H
#define _VEIL_RATELIMIT_H

#include <linux/siphash.h>
#include <linux/types.h>
#include "messages.h"

#define VEIL_BUCKETS		1024
/* Messages a second of one network, and how many may come at once. */
#define VEIL_BUCKET_RATE	20
#define VEIL_BUCKET_BURST	5

/**
 * struct veil_ratelimit - see above
 * @key: random; fixed once set
 * @due: of each bucket, ns: when it will be full again (GCRA's theoretical
 *	arrival time)
 */
struct veil_ratelimit {
	siphash_key_t key;
	u64 due[VEIL_BUCKETS];
};

/* Whether one more message from address (IPv4 mapped) is within the limit now;
 * ns: of a clock that does not go back.
 */
bool veil_ratelimit_take(struct veil_ratelimit *limit,
			 const u8 address[VEIL_ADDR_LEN], u64 ns);

#endif /* _VEIL_RATELIMIT_H */
