// SPDX-License-Identifier: GPL-2.0
/*
 * Running test cases and saying how they went.
 */
#include "ktap.h"

#include <stdint.h>
#include <stdio.h>

#define KTAP_FAILURES_SHOWN	5

static unsigned int ktap_failures;

int ktap_run(const struct ktap_case *cases, size_t count)
{
	bool good = true;
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n1..%zu\n", count);
	for (i = 0; i < count; i++) {
		ktap_failures = 0;
		cases[i].run();
		printf("%s %zu %s\n", ktap_failures ? "not ok" : "ok", i + 1,
		       cases[i].name);
		good &= !ktap_failures;
	}
	return good ? 0 : 1;
}

void ktap_fail(const char *file, int line, const char *what)
{
	if (ktap_failures++ < KTAP_FAILURES_SHOWN)
		printf("# %s:%d: expected %s\n", file, line, what);
}

/* xorshift64* */
unsigned int ktap_random(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15;

	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (state * 0x2545f4914f6cdd1d) >> 32;
}

unsigned int ktap_random_below(unsigned int end)
{
	return ktap_random() % end;
}

void ktap_random_bytes(void *data, size_t len)
{
	unsigned char *byte = data;

	while (len--)
		*byte++ = ktap_random();
}
