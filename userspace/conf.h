/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Configuration files: text to statements, the words of which are those of the
 * command line, and where each word stands. netveil.conf(5) has the grammar.
 */
#ifndef VEIL_CONF_H
#define VEIL_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

#define CONF_FOLDER	"/etc/netveil"

struct statement {
	int count;
	char **words;
	struct place *places;
	const char *folder;	/* what file names in it are relative to */
};

struct conf {
	struct statement *list;
	size_t count;
	char **kept;		/* what statements point to */
	size_t kept_count;
};

/*
 * Adds the statements of text, which is taken over, as those of file. An exit
 * code, after saying where what is wrong.
 */
int conf_parse(struct conf *conf, char *text, const char *file,
	       const char *folder);
/* The same for a file, "-", or a folder's *.conf; NULL: CONF_FOLDER. Refuses
 * files that others than their owner and root can change.
 */
int conf_read(struct conf *conf, const char *path);
/* The same, and nothing if nothing is there. */
int conf_read_known(struct conf *conf, const char *path);
/* Whether path is one of several *.conf in CONF_FOLDER, which are loaded together. */
bool conf_is_beside(const char *path);
/* Takes text over, to be freed with conf. */
char *conf_keep(struct conf *conf, char *text);
void conf_free(struct conf *conf);

#endif /* VEIL_CONF_H */
