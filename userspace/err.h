/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What veil says on stderr: one line a message, whatever is in it.
 */
#ifndef VEIL_ERR_H
#define VEIL_ERR_H

/* Exit codes: the request failed, or it was not understood. */
enum {
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
};

/* Where in a configuration file something stands. */
struct place {
	const char *file;	/* NULL: nowhere */
	unsigned int line, column;
};

/* Messages begin with this place, until it is NULL again. */
void err_place(const struct place *place);

/* "veil: MESSAGE". Returns EXIT_FAILED, so that a caller can return it. */
int err(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for a request that was not understood: returns EXIT_USAGE. */
int err_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "veil: warning: MESSAGE" */
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* No memory: says so and exits. */
void die_no_memory(void) __attribute__((noreturn));

#endif /* VEIL_ERR_H */
