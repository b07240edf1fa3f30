// SPDX-License-Identifier: GPL-2.0
/*
 * What veil says on stderr: one line a message, whatever is in it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "err.h"

/* An argument that is quoted back must not add lines or move the cursor. */
static void one_line(char *text)
{
	unsigned char *c;

	for (c = (unsigned char *)text; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
}

static struct place here;

void err_place(const struct place *place)
{
	here = place ? *place : (struct place){ .file = NULL };
}

static void say(const char *kind, const char *format, va_list args)
{
	char text[1024], file[256];

	vsnprintf(text, sizeof(text), format, args);
	one_line(text);
	if (!here.file) {
		fprintf(stderr, "veil: %s%s\n", kind, text);
		return;
	}
	snprintf(file, sizeof(file), "%s", here.file);
	one_line(file);
	fprintf(stderr, "veil: %s:%u:%u: %s%s\n", file, here.line, here.column,
		kind, text);
}

int err(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("", format, args);
	va_end(args);
	return EXIT_FAILED;
}

int err_usage(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("", format, args);
	va_end(args);
	return EXIT_USAGE;
}

void warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("warning: ", format, args);
	va_end(args);
}

void die_no_memory(void)
{
	err("out of memory");
	exit(EXIT_FAILED);
}
