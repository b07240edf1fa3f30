// SPDX-License-Identifier: GPL-2.0
/*
 * veil session reset: session keys are forgotten, at once.
 */
#include "cmd.h"
#include "err.h"
#include "nl.h"
#include "parse.h"

static int reset(struct nl *nl, const uint8_t *key)
{
	struct nlmsghdr *request;
	char buffer[NL_REQUEST_SIZE];
	struct nlattr *nest;

	request = nl_request(nl, buffer, NETVEIL_CMD_SESSION_RESET, 0);
	if (key) {
		nest = mnl_attr_nest_start(request, NETVEIL_A_PEER);
		mnl_attr_put(request, NETVEIL_PEER_A_PUBLIC_KEY,
			     NETVEIL_KEY_LEN, key);
		mnl_attr_nest_end(request, nest);
	}
	return nl_call(nl, request, NULL, NULL, "session reset");
}

static int session_reset(struct env *env, struct words *words)
{
	const char *word = words_next(words);
	uint8_t key[NETVEIL_KEY_LEN];
	const char *reason = word ? parse_key(key, word) : NULL;
	int code = words_end(words);
	struct nl nl = {0};

	if (reason)
		return err_usage("session reset: public key '%s': %s", word,
				 reason);
	if (!code)
		code = nl_open(&nl, env);
	if (!code)
		code = reset(&nl, word ? key : NULL);
	nl_close(&nl);
	return code;
}

int cmd_session(struct env *env, struct words *words)
{
	static const struct command commands[] = {
		{ "reset", session_reset, "[PUBKEY]", "" },
	};

	if (!words->count)
		return err_usage("session: say what to do: veil session reset");
	return command_run(commands, ARRAY_LEN(commands), "session: ", env,
			   words);
}
