// SPDX-License-Identifier: GPL-2.0
/*
 * veil flush: no peers, no sessions, no identity, in one step.
 */
#include "cmd.h"
#include "nl.h"

#include "../kmod/uapi/netveil.h"

int cmd_flush(struct env *env, struct words *words)
{
	char buffer[NL_REQUEST_SIZE];
	struct nl nl = {0};
	int code = words_end(words);

	if (!code)
		code = nl_open(&nl, env);
	if (!code)
		code = nl_call(&nl, nl_request(&nl, buffer, NETVEIL_CMD_FLUSH, 0),
			       NULL, NULL, "flush");
	nl_close(&nl);
	return code;
}
