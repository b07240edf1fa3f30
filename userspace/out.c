// SPDX-License-Identifier: GPL-2.0
/*
 * One call shows a value in text or in JSON, whatever was asked for.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "err.h"
#include "out.h"

/* Of the longest label, a drop reason, and a space. */
#define LABEL_WIDTH	22

static bool wants_color(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(no && *no) && term && strcmp(term, "dumb") &&
	       isatty(STDOUT_FILENO);
}

void out_begin(struct out *out, const struct env *env)
{
	memset(out, 0, sizeof(*out));
	out->json = env->json;
	out->pretty = env->pretty;
	out->color = !env->json && wants_color();
}

static const char *color_start(const struct out *out, enum color color)
{
	static const char *const codes[] = {
		[COLOR_NONE] = "",
		[COLOR_BOLD] = "\033[1m",
		[COLOR_GOOD] = "\033[32m",
		[COLOR_WAIT] = "\033[33m",
		[COLOR_BAD] = "\033[31m",
	};

	return out->color ? codes[color] : "";
}

static const char *color_stop(const struct out *out, enum color color)
{
	return out->color && color != COLOR_NONE ? "\033[0m" : "";
}

static void print_json(struct out *out)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE;
	const char *text;

	if (!out->stack[0])
		return;
	flags |= out->pretty ? JSON_C_TO_STRING_PRETTY : JSON_C_TO_STRING_PLAIN;
	text = json_object_to_json_string_ext(out->stack[0], flags);
	if (!text)
		die_no_memory();
	puts(text);
	json_object_put(out->stack[0]);
	out->stack[0] = NULL;
}

int out_end(struct out *out)
{
	print_json(out);
	if (fflush(stdout) || ferror(stdout))
		return err("cannot write the answer: %s", strerror(errno));
	return 0;
}

/* Takes value over. */
static void put(struct out *out, const char *key, struct json_object *value)
{
	struct json_object *parent;
	int failed;

	if (!out->depth) {
		out->stack[0] = value;
		return;
	}
	parent = out->stack[out->depth - 1];
	if (key)
		failed = json_object_object_add(parent, key, value);
	else
		failed = json_object_array_add(parent, value);
	if (failed)
		die_no_memory();
}

static void open_container(struct out *out, const char *key,
			   struct json_object *container)
{
	if (!container || out->depth == OUT_DEPTH)
		die_no_memory();
	put(out, key, container);
	out->stack[out->depth++] = container;
}

void out_object(struct out *out, const char *key)
{
	if (out->json)
		open_container(out, key, json_object_new_object());
}

void out_array(struct out *out, const char *key)
{
	if (out->json)
		open_container(out, key, json_object_new_array());
}

void out_close(struct out *out)
{
	if (out->json)
		out->depth--;
}

void out_json_string(struct out *out, const char *key, const char *value)
{
	struct json_object *string = NULL;

	if (!out->json)
		return;
	if (value) {
		string = json_object_new_string(value);
		if (!string)
			die_no_memory();
	}
	put(out, key, string);
}

void out_json_number(struct out *out, const char *key, uint64_t value)
{
	struct json_object *number;

	if (!out->json)
		return;
	number = json_object_new_uint64(value);
	if (!number)
		die_no_memory();
	put(out, key, number);
}

void out_json_bool(struct out *out, const char *key, bool value)
{
	struct json_object *boolean;

	if (!out->json)
		return;
	boolean = json_object_new_boolean(value);
	if (!boolean)
		die_no_memory();
	put(out, key, boolean);
}

void out_text(const struct out *out, enum color color, const char *format, ...)
{
	va_list args;

	if (out->json)
		return;
	fputs(color_start(out, color), stdout);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	fputs(color_stop(out, color), stdout);
}

void out_gap(struct out *out)
{
	if (!out->json)
		putchar('\n');
}

void out_event(struct out *out, const char *when, enum color color,
	       const char *what, const char *who)
{
	if (!out->json)
		printf("%s %s%s%s %s\n", when, color_start(out, color), what,
		       color_stop(out, color), who);
}

void out_heading(struct out *out, const char *label, const char *value)
{
	if (out->json)
		return;
	printf("%s%s%s%s%s\n", color_start(out, COLOR_BOLD), label,
	       *value ? ": " : "", color_stop(out, COLOR_BOLD), value);
}

void out_line(struct out *out, const char *label, enum color color,
	      const char *format, ...)
{
	size_t len = strlen(label);
	va_list args;

	if (out->json)
		return;
	printf("  %s%s%*s%s", label, *label ? ":" : " ",
	       len < LABEL_WIDTH ? (int)(LABEL_WIDTH - len) : 1, "",
	       color_start(out, color));
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("%s\n", color_stop(out, color));
}

void out_string(struct out *out, const char *key, const char *label,
		enum color color, const char *value)
{
	out_json_string(out, key, value);
	if (value)
		out_line(out, label, color, "%s", value);
}

void out_number(struct out *out, const char *key, const char *label,
		uint64_t value, const char *text)
{
	out_json_number(out, key, value);
	out_line(out, label, COLOR_NONE, "%s", text);
}
