// SPDX-License-Identifier: GPL-2.0
/*
 * Prints how many thousand ticks a second this machine's time stamp counter
 * makes. Each end is the best of many readings: a busy machine may take the CPU
 * away between the two clocks.
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

struct moment {
	unsigned long long ticks;
	long long ns;
};

static struct moment now(void)
{
	unsigned long long before, after, best = -1ULL;
	struct moment moment = { 0 };
	struct timespec t;
	int i;

	for (i = 0; i < 1000; i++) {
		before = __rdtsc();
		clock_gettime(CLOCK_MONOTONIC_RAW, &t);
		after = __rdtsc();
		if (after - before >= best)
			continue;
		best = after - before;
		moment.ticks = before + best / 2;
		moment.ns = t.tv_sec * 1000000000LL + t.tv_nsec;
	}
	return moment;
}

int main(void)
{
	struct moment from, to;

	from = now();
	usleep(300000);
	to = now();
	printf("%.0f\n", (to.ticks - from.ticks) * 1e6 / (to.ns - from.ns));
	return 0;
}
