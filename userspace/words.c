// SPDX-License-Identifier: GPL-2.0
/*
 * The command line as words: exact ones, or the start of one that is no
 * other's start, looked up in tables.
 */
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "words.h"

/* Options of one command, at most; a bit each tells which were given. */
#define OPTIONS_MAX	32

const char *words_next(struct words *words)
{
	if (!words->count)
		return NULL;
	words->count--;
	if (words->places)
		err_place(words->places++);
	return *words->list++;
}

int words_end(struct words *words)
{
	const char *word = words_next(words);

	return word ? err_usage("'%s' is one word too many", word) : 0;
}

/* Appends ", WORD", or "WORD" to what is empty; cuts what does not fit. */
static void list_add(char *list, size_t size, const char *word)
{
	size_t len = strlen(list);

	snprintf(list + len, size - len, "%s%s", len ? ", " : "", word);
}

static const struct command *command_exact(const struct command *table,
					   size_t count, const char *word)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (!strcmp(table[i].word, word))
			return &table[i];
	return NULL;
}

const struct command *command_find(const struct command *table, size_t count,
				   const char *word, const char *object,
				   bool whole)
{
	const struct command *found = command_exact(table, count, word);
	char fits[256] = "", all[256] = "";
	bool several = false;
	size_t i;

	if (found)
		return found;
	for (i = 0; i < count; i++) {
		list_add(all, sizeof(all), table[i].word);
		if (whole || !*word ||
		    strncmp(table[i].word, word, strlen(word)))
			continue;
		list_add(fits, sizeof(fits), table[i].word);
		several |= found && found->run != table[i].run;
		found = &table[i];
	}
	if (several)
		err("%s'%s' may mean any of: %s", object, word, fits);
	else if (!found)
		err("%s'%s' is no command; there are: %s", object, word, all);
	return several ? NULL : found;
}

int command_run(const struct command *table, size_t count, const char *object,
		struct env *env, struct words *words)
{
	const char *word = words_next(words);
	const struct command *command = table;

	if (word)
		command = command_find(table, count, word, object,
				       words->places);
	return command ? command->run(env, words) : EXIT_USAGE;
}

/* The option that word names, or NULL after saying why there is none. */
static const struct option *option_find(const struct option *table,
					size_t count, const char *word,
					bool whole)
{
	const struct option *found = NULL;
	char fits[256] = "", all[256] = "";
	unsigned int matches = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		if (!strcmp(table[i].word, word))
			return &table[i];
		list_add(all, sizeof(all), table[i].word);
		if (whole || !*word ||
		    strncmp(table[i].word, word, strlen(word)))
			continue;
		list_add(fits, sizeof(fits), table[i].word);
		found = &table[i];
		matches++;
	}
	if (matches > 1)
		err("'%s' may mean any of: %s", word, fits);
	else if (!matches)
		err("'%s' is not understood here; there are: %s", word, all);
	return matches == 1 ? found : NULL;
}

static int option_take(const struct option *option, struct words *words,
		       void *target)
{
	const char *value = NULL;

	if (option->value) {
		value = words_next(words);
		if (!value)
			return err_usage("'%s' wants %s after it", option->word,
					 option->value);
	}
	return option->take(target, value);
}

int options_take(const struct option *table, size_t count, struct words *words,
		 void *target)
{
	unsigned int given = 0, bit;
	const char *word;
	int code;

	if (count > OPTIONS_MAX)
		return err("more options than %d in one table", OPTIONS_MAX);
	while ((word = words_next(words))) {
		const struct option *option =
			option_find(table, count, word, words->places);

		if (!option)
			return EXIT_USAGE;
		bit = 1U << (option - table);
		if (given & bit && !option->repeats)
			return err_usage("'%s' is given twice", option->word);
		given |= bit;
		code = option_take(option, words, target);
		if (code)
			return code;
	}
	return 0;
}
