/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One call shows a value in text or in JSON, whatever was asked for.
 *
 * Text: a heading, then "  label: value" lines, aligned. JSON: objects and
 * arrays with stable keys and raw values. Everything is printed at the end, so
 * that nothing is shown of what failed half-way.
 */
#ifndef VEIL_OUT_H
#define VEIL_OUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "words.h"

struct json_object;

#define OUT_DEPTH	6

enum color {
	COLOR_NONE,
	COLOR_BOLD,
	COLOR_GOOD,
	COLOR_WAIT,
	COLOR_BAD,
};

struct out {
	bool json;
	bool pretty;
	bool color;
	struct json_object *stack[OUT_DEPTH];
	unsigned int depth;
};

void out_begin(struct out *out, const struct env *env);
/* Prints JSON as one document; for text, sees to it that all was written. An
 * exit code.
 */
int out_end(struct out *out);

/* JSON only: opens a container (key NULL: in an array, or the outermost). */
void out_object(struct out *out, const char *key);
void out_array(struct out *out, const char *key);
void out_close(struct out *out);
/* JSON only: values; a NULL string is null. */
void out_json_string(struct out *out, const char *key, const char *value);
void out_json_number(struct out *out, const char *key, uint64_t value);
void out_json_bool(struct out *out, const char *key, bool value);

/* Text only. */
void out_text(const struct out *out, enum color color, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void out_gap(struct out *out);
void out_heading(struct out *out, const char *label, const char *value);
void out_line(struct out *out, const char *label, enum color color,
	      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* One line: when, what, who. */
void out_event(struct out *out, const char *when, enum color color,
	       const char *what, const char *who);

/* Both: the same string, or a number with its text. */
void out_string(struct out *out, const char *key, const char *label,
		enum color color, const char *value);
void out_number(struct out *out, const char *key, const char *label,
		uint64_t value, const char *text);

#endif /* VEIL_OUT_H */
