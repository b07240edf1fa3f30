/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A test program is a table of cases; ktap_run() runs them all and prints one
 * KTAP line for each, after the lines that say what was not as expected.
 */
#ifndef _VEIL_TEST_KTAP_H
#define _VEIL_TEST_KTAP_H

#include <stdbool.h>
#include <stddef.h>

struct ktap_case {
	const char *name;
	void (*run)(void);
};

/* The exit code of the program: 0 if every case passed. */
int ktap_run(const struct ktap_case *cases, size_t count);

/* Marks the running case as failed; the first ones also say where. */
void ktap_fail(const char *file, int line, const char *what);

/* The same numbers in every run: a failure repeats. */
unsigned int ktap_random(void);
/* From 0 to below the end. */
unsigned int ktap_random_below(unsigned int end);
void ktap_random_bytes(void *data, size_t len);

#define EXPECT(condition) \
	do { \
		if (!(condition)) \
			ktap_fail(__FILE__, __LINE__, #condition); \
	} while (0)

#endif
