// SPDX-License-Identifier: GPL-2.0
/*
 * Token buckets: a burst, a rate, and who shares one.
 */
#include "ratelimit.h"

#include <linux/time64.h>
#include <string.h>

#include "ktap.h"

#define SECOND	NSEC_PER_SEC

static struct veil_ratelimit limit;

static void v4(u8 out[VEIL_ADDR_LEN], u32 host)
{
	memset(out, 0, VEIL_ADDR_LEN);
	out[10] = 0xff;
	out[11] = 0xff;
	out[12] = host >> 24;
	out[13] = host >> 16;
	out[14] = host >> 8;
	out[15] = host;
}

static void reset(void)
{
	memset(&limit, 0, sizeof(limit));
	limit.key.key[0] = 0x1234;
}

/* How many of count messages at once pass. */
static unsigned int passed(const u8 *address, unsigned int count, u64 ns)
{
	unsigned int sum = 0;

	while (count--)
		sum += veil_ratelimit_take(&limit, address, ns);
	return sum;
}

static void test_burst(void)
{
	u8 address[VEIL_ADDR_LEN];

	reset();
	v4(address, 0x0a090001);
	EXPECT(passed(address, 100, SECOND) == VEIL_BUCKET_BURST);
	/* It fills again, and no further than that. */
	EXPECT(passed(address, 100, 10 * SECOND) == VEIL_BUCKET_BURST);
	EXPECT(passed(address, 100, 10 * SECOND + 1) == 0);
}

static void test_rate(void)
{
	u8 address[VEIL_ADDR_LEN];
	unsigned int sum = 0, ms;

	reset();
	v4(address, 0x0a090001);
	for (ms = 0; ms < 10000; ms++)
		sum += passed(address, 1, SECOND + ms * 1000000ULL);
	EXPECT(sum >= 10 * VEIL_BUCKET_RATE);
	EXPECT(sum <= 10 * VEIL_BUCKET_RATE + VEIL_BUCKET_BURST);
	/* What was refused costs nothing: two more after the time of two. */
	reset();
	EXPECT(passed(address, 100, SECOND) == VEIL_BUCKET_BURST);
	EXPECT(passed(address, 100, SECOND + 2 * (SECOND / VEIL_BUCKET_RATE)) ==
	       2);
}

static void test_networks(void)
{
	u8 one[VEIL_ADDR_LEN] = { 0xfd, 9, [15] = 1 };
	u8 same[VEIL_ADDR_LEN] = { 0xfd, 9, [8] = 7, [15] = 2 };
	u8 other[VEIL_ADDR_LEN] = { 0xfd, 9, [7] = 1, [15] = 1 };
	u8 host[VEIL_ADDR_LEN];
	unsigned int left = 0, i;

	reset();
	EXPECT(passed(one, 100, SECOND) == VEIL_BUCKET_BURST);
	EXPECT(passed(same, 100, SECOND) == 0);
	EXPECT(passed(other, 100, SECOND) == VEIL_BUCKET_BURST);
	/* IPv4 by the address, and few of them share a bucket by chance. */
	for (i = 0; i < 64; i++) {
		v4(host, 0x0a090000 + i);
		left += passed(host, 100, SECOND);
	}
	EXPECT(left > 50 * VEIL_BUCKET_BURST);
}

static void test_bounded(void)
{
	u8 host[VEIL_ADDR_LEN];
	unsigned int sum = 0, i;

	reset();
	for (i = 0; i < 1 << 20; i++) {
		v4(host, i * 2654435761u);
		sum += veil_ratelimit_take(&limit, host, SECOND);
	}
	EXPECT(sum <= VEIL_BUCKETS * VEIL_BUCKET_BURST);
}

static const struct ktap_case cases[] = {
	{ "a burst, and no more", test_burst },
	{ "the rate over ten seconds", test_rate },
	{ "a /64 shares a bucket, a /32 has its own", test_networks },
	{ "a million sources get no more than the table gives", test_bounded },
};

int main(void)
{
	return ktap_run(cases, sizeof(cases) / sizeof(*cases));
}
