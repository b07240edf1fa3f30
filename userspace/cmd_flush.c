// SPDX-License-Identifier: GPL-2.0
/*
 * veil flush: no peers, no policies, no sessions, no identity, in one step. veil
 * confirm: the change that is on trial stays.
 */
#include "cmd.h"
#include "nl.h"

#include "../kmod/uapi/netveil.h"

static int ask(struct env *env, struct words *words, uint8_t command,
	       const char *what)
{
	char buffer[NL_REQUEST_SIZE];
	struct nl nl = {0};
	int code = words_end(words);

	if (!code)
		code = nl_open(&nl, env);
	if (!code)
		code = nl_call(&nl, nl_request(&nl, buffer, command, 0),
			       NULL, NULL, what);
	nl_close(&nl);
	return code;
}

int cmd_flush(struct env *env, struct words *words)
{
	return ask(env, words, NETVEIL_CMD_FLUSH, "flush");
}

int cmd_confirm(struct env *env, struct words *words)
{
	return ask(env, words, NETVEIL_CMD_CONFIRM, "confirm");
}
