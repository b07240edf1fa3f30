// SPDX-License-Identifier: GPL-2.0
/*
 * Configuration files: text to statements.
 *
 * A statement begins at the start of a line and goes on in lines that begin with
 * a blank. Words are separated by blanks; a word in double quotes may have blanks
 * in it. A # where a word could begin starts a comment. Pure.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"

#define BLANKS	" \t\r"

struct reader {
	struct conf *conf;
	char *next;
	char *line_start;
	const char *file;
	const char *folder;
	unsigned int line;
};

static void *grow(void *list, size_t count, size_t size)
{
	/* Doubled at powers of two, so that 10,000 peers take no time. */
	if (count & (count - 1))
		return list;
	list = reallocarray(list, count ? 2 * count : 1, size);
	if (!list)
		die_no_memory();
	return list;
}

static struct place place_of(const struct reader *reader, const char *at)
{
	return (struct place){ reader->file, reader->line,
			       (unsigned int)(at - reader->line_start) + 1 };
}

static int fault(const struct reader *reader, const char *at, const char *what)
{
	struct place place = place_of(reader, at);

	err_place(&place);
	return err_usage("%s", what);
}

static struct statement *begin_statement(struct reader *reader)
{
	struct conf *conf = reader->conf;
	struct statement *statement;

	conf->list = grow(conf->list, conf->count, sizeof(*conf->list));
	statement = &conf->list[conf->count++];
	memset(statement, 0, sizeof(*statement));
	statement->folder = reader->folder;
	return statement;
}

static void add_word(struct statement *statement, char *word,
		     struct place place)
{
	size_t count = (size_t)statement->count;

	statement->words = grow(statement->words, count,
				sizeof(*statement->words));
	statement->places = grow(statement->places, count,
				 sizeof(*statement->places));
	statement->words[count] = word;
	statement->places[count] = place;
	statement->count++;
}

/* The word that begins here; ends it with a zero and stands behind it. */
static int take_word(struct reader *reader, struct statement *statement)
{
	char *start = reader->next, *end;

	if (*start == '"') {
		end = strchr(start + 1, '"');
		if (!end)
			return fault(reader, start,
				     "the quotation that begins here does not end on its line");
		if (!strchr(BLANKS, end[1]))
			return fault(reader, end + 1,
				     "a blank is expected after a quotation");
		add_word(statement, start + 1, place_of(reader, start));
	} else {
		end = start + strcspn(start, BLANKS);
		add_word(statement, start, place_of(reader, start));
	}
	reader->next = *end ? end + 1 : end;
	*end = '\0';
	return 0;
}

/* line is without its newline. */
static int take_line(struct reader *reader, char *line)
{
	bool goes_on = *line && strchr(BLANKS, *line);
	struct conf *conf = reader->conf;
	int code = 0;

	reader->line_start = line;
	reader->next = line + strspn(line, BLANKS);
	if (!*reader->next || *reader->next == '#')
		return 0;
	if (!goes_on)
		begin_statement(reader);
	else if (!conf->count ||
		 conf->list[conf->count - 1].places[0].file != reader->file)
		return fault(reader, reader->next,
			     "this line goes on from none: a statement begins at the start of a line");
	while (!code && *reader->next && *reader->next != '#') {
		code = take_word(reader, &conf->list[conf->count - 1]);
		reader->next += strspn(reader->next, BLANKS);
	}
	return code;
}

char *conf_keep(struct conf *conf, char *text)
{
	if (!text)
		die_no_memory();
	conf->kept = grow(conf->kept, conf->kept_count, sizeof(*conf->kept));
	conf->kept[conf->kept_count++] = text;
	return text;
}

int conf_parse(struct conf *conf, char *text, const char *file,
	       const char *folder)
{
	struct reader reader = {
		.conf = conf, .file = file, .folder = folder,
	};
	char *line, *rest = text;
	int code = 0;

	conf_keep(conf, text);
	while (!code && (line = strsep(&rest, "\n"))) {
		reader.line++;
		code = take_line(&reader, line);
	}
	err_place(NULL);
	return code;
}

void conf_free(struct conf *conf)
{
	size_t i;

	for (i = 0; i < conf->count; i++) {
		free(conf->list[i].words);
		free(conf->list[i].places);
	}
	for (i = 0; i < conf->kept_count; i++)
		free(conf->kept[i]);
	free(conf->list);
	free(conf->kept);
	memset(conf, 0, sizeof(*conf));
}
