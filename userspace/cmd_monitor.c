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
	default:
		return COLOR_NONE;
	}
}

static int print_event(struct env *env, const struct event *event)
{
	const char *name = name_of(event_names, EVENT_NAMES, event->kind);
	char key[TEXT_LEN], clock[TEXT_LEN];
	time_t now = time(NULL);
	struct out out;
	struct tm tm;

	format_key(key, event->public_key);
	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%Y-%m-%d %H:%M:%S", &tm);
	out_begin(&out, env);
	out_object(&out, NULL);
	out_json_number(&out, "time", (uint64_t)now);
	out_json_string(&out, "event", name);
	out_json_string(&out, "public_key", event->has_key ? key : NULL);
	out_event(&out, clock, event_color(event->kind), name,
		  event->has_key ? key : "");
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
