// SPDX-License-Identifier: GPL-2.0
/*
 * Token buckets by the generic cell rate algorithm: a bucket is one time.
 */
#include "ratelimit.h"

#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/time64.h>

#define VEIL_BUCKET_NS	(NSEC_PER_SEC / VEIL_BUCKET_RATE)

bool veil_ratelimit_take(struct veil_ratelimit *limit,
			 const u8 address[VEIL_ADDR_LEN], u64 ns)
{
	static const u8 mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool ipv4 = !memcmp(address, mapped, sizeof(mapped));
	u64 *due;

	due = &limit->due[siphash(address, ipv4 ? VEIL_ADDR_LEN : 8,
				  &limit->key) % VEIL_BUCKETS];
	if (*due > ns + (VEIL_BUCKET_BURST - 1) * VEIL_BUCKET_NS)
		return false;
	*due = max(*due, ns) + VEIL_BUCKET_NS;
	return true;
}
