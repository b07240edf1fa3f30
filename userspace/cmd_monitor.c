// SPDX-License-Identifier: GPL-2.0
/*
 * veil monitor: events as they happen, a line or a JSON object each.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cmd.h"
#include "format.h"
#include "model.h"
#include "names.h"
#include "nl.h"
#include "out.h"

static enum color event_color(uint8_t kind)
{
	switch (kind) {
	case NETVEIL_EVENT_SESSION_UP:
		return COLOR_GOOD;
	case NETVEIL_EVENT_PLAINTEXT:
	case NETVEIL_EVENT_WEAKENED:
	case NETVEIL_EVENT_PEER_REMOVED:
		return COLOR_BAD;
	case NETVEIL_EVENT_ACQUIRE:
		return COLOR_WAIT;
	default:
		return COLOR_NONE;
	}
}

/* Appends " WORD", or WORD to what is empty. */
static void add_word(char *line, size_t size, const char *word)
{
	size_t len = strlen(line);

	snprintf(line + len, size - len, "%s%s", len ? " " : "", word);
}

/* Whom or what it concerns, in one line; the same to JSON. */
static void tell_subject(struct out *out, const struct event *event, char *line,
			 size_t size)
{
	char text[TEXT_LEN];

	if (event->has_key)
		add_word(line, size, format_key(text, event->public_key));
	out_json_string(out, "public_key", event->has_key ? text : NULL);
	if (event->address.len) {
		format_address(text, &event->address);
		add_word(line, size, text);
		out_json_string(out, "address", text);
	}
	if (event->has_prefix) {
		format_prefix(text, &event->prefix);
		add_word(line, size, text);
		out_json_string(out, "prefix", text);
	}
	if (event->policy) {
		const char *name = name_of(policy_names, POLICY_NAMES,
					   event->policy);

		add_word(line, size, name);
		out_json_string(out, "policy", name);
	}
	if (*event->reason) {
		add_word(line, size, event->reason);
		out_json_string(out, "reason", event->reason);
	}
}

static int print_event(struct env *env, const struct event *event)
{
	const char *name = name_of(event_names, EVENT_NAMES, event->kind);
	char subject[4 * TEXT_LEN] = "", clock[TEXT_LEN];
	time_t now = time(NULL);
	struct out out;
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%Y-%m-%d %H:%M:%S", &tm);
	out_begin(&out, env);
	out_object(&out, NULL);
	out_json_number(&out, "time", (uint64_t)now);
	out_json_string(&out, "event", name);
	tell_subject(&out, event, subject, sizeof(subject));
	out_event(&out, clock, event_color(event->kind), name, subject);
	out_close(&out);
	return out_end(&out);
}

/* Whoever reads us may go: then so do we. */
static int on_event(const struct nlmsghdr *message, void *env)
{
	struct event event;

	if (!model_parse_event(message, &event))
		return MNL_CB_OK;
	return print_event(env, &event) ? MNL_CB_ERROR : MNL_CB_OK;
}

int cmd_monitor(struct env *env, struct words *words)
{
	struct nl nl = {0};
	int code = words_end(words);

	if (!code)
		code = nl_open(&nl, env);
	if (!code)
		code = nl_listen(&nl, on_event, env);
	nl_close(&nl);
	return code;
}
