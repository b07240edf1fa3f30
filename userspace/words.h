/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The command line as words: exact ones, or the start of one that is no
 * other's start, looked up in tables.
 */
#ifndef VEIL_WORDS_H
#define VEIL_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#define ARRAY_LEN(array)	(sizeof(array) / sizeof((array)[0]))

struct place;

struct words {
	int count;
	char **list;
	const struct place *places;	/* in a file: of each; then no word may
					 * be cut short
					 */
};

/* The next word, or NULL at the end. */
const char *words_next(struct words *words);
/* Says so and returns EXIT_USAGE if a word is left, else 0. */
int words_end(struct words *words);

/* Global options. */
struct env {
	bool json;
	bool pretty;
	const char *netns;	/* NULL: the one veil was started in */
	struct batch *batch;	/* requests are collected, not sent */
};

struct command {
	const char *word;
	int (*run)(struct env *env, struct words *words);
	const char *usage;	/* what follows the word */
	const char *help;	/* NULL: another word for the one before */
};

/* The command that word names, or NULL after saying why there is none. */
const struct command *command_find(const struct command *table, size_t count,
				   const char *word, const char *object,
				   bool whole);
/* Runs the command that the next word names; without one, the first. */
int command_run(const struct command *table, size_t count, const char *object,
		struct env *env, struct words *words);

/* A word and its value in the rest of a command: "listen-port 51888". */
struct option {
	const char *word;
	const char *value;	/* what follows, for messages; NULL: nothing */
	bool repeats;
	/* Returns an exit code, after saying what is wrong if it is not 0. */
	int (*take)(void *target, const char *value);
};

/* Takes options until the words end. Returns an exit code. */
int options_take(const struct option *table, size_t count, struct words *words,
		 void *target);

#endif /* VEIL_WORDS_H */
