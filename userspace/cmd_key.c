// SPDX-License-Identifier: GPL-2.0
/*
 * Keys: genkey, genpsk and pubkey make and print them here; "key generate" has
 * the kernel make one that never leaves it.
 */
#include <sodium.h>
#include <string.h>

#include "cmd.h"
#include "err.h"
#include "format.h"
#include "keyfile.h"
#include "model.h"
#include "nl.h"
#include "out.h"
#include "parse.h"

static int generate_and_print(void (*adjust)(uint8_t key[NETVEIL_KEY_LEN]))
{
	uint8_t key[NETVEIL_KEY_LEN];
	int code;

	randombytes_buf(key, sizeof(key));
	if (adjust)
		adjust(key);
	code = keyfile_print(key);
	explicit_bzero(key, sizeof(key));
	return code;
}

/* As X25519 uses it: so that a key has one text only. */
static void clamp(uint8_t key[NETVEIL_KEY_LEN])
{
	key[0] &= 248;
	key[31] = (uint8_t)((key[31] & 127) | 64);
}

int cmd_genkey(struct env *env, struct words *words)
{
	int code = words_end(words);

	(void)env;
	return code ? code : generate_and_print(clamp);
}

int cmd_genpsk(struct env *env, struct words *words)
{
	int code = words_end(words);

	(void)env;
	return code ? code : generate_and_print(NULL);
}

static int print_public(struct env *env, const uint8_t key[NETVEIL_KEY_LEN])
{
	char text[TEXT_LEN];
	struct out out;

	format_key(text, key);
	out_begin(&out, env);
	out_object(&out, NULL);
	out_json_string(&out, "public_key", text);
	out_close(&out);
	if (!out.json)
		puts(text);
	return out_end(&out);
}

int cmd_pubkey(struct env *env, struct words *words)
{
	uint8_t private[NETVEIL_KEY_LEN], public[NETVEIL_KEY_LEN];
	int code = words_end(words);

	if (!code)
		code = keyfile_read(private, "-", "pubkey");
	if (!code && crypto_scalarmult_base(public, private))
		code = err("pubkey: the private key has no public key");
	if (!code)
		code = print_public(env, public);
	explicit_bzero(private, sizeof(private));
	return code;
}

struct key_words {
	bool force;
	bool next;
	uint32_t after;		/* seconds */
};

static int refuse_replacing(const struct state *state, bool next)
{
	char text[TEXT_LEN];

	if (next)
		return err("key generate next: there is already the next key %s; peers that use it (veil peer show) would be cut off: to make it the current one: veil key retire; to replace it all the same: veil key generate next force",
			   format_key(text, state->next_key));
	return err("key generate: this host already has the key %s, by which its peers know it; to change it while they talk: veil key generate next; to replace it at once: veil key generate force",
		   format_key(text, state->public_key));
}

/* A second "key generate" by mistake would lock out every peer. */
static int check_replacing(struct nl *nl, bool next)
{
	char buffer[NL_REQUEST_SIZE];
	struct state state = {0};
	int code;

	code = nl_call(nl, nl_request(nl, buffer, NETVEIL_CMD_GET, 0),
		       model_parse_state, &state, "key generate");
	if (!code && (next ? state.has_next_key : state.has_key))
		code = refuse_replacing(&state, next);
	return code;
}

static int generate(struct nl *nl, struct state *state,
		    const struct key_words *given)
{
	bool next = given->next;
	struct nlmsghdr *request;
	char buffer[NL_REQUEST_SIZE];
	int code;

	request = nl_request(nl, buffer, NETVEIL_CMD_SET, 0);
	mnl_attr_put(request, next ? NETVEIL_A_GENERATE_NEXT :
				     NETVEIL_A_GENERATE, 0, NULL);
	if (next && given->force)
		mnl_attr_put(request, NETVEIL_A_FORCE, 0, NULL);
	code = nl_call(nl, request, model_parse_state, state, "key generate");
	if (!code && !(next ? state->has_next_key : state->has_key))
		code = err("key generate: the kernel did not tell the public key");
	return code;
}

static int take_force(void *target, const char *value)
{
	(void)value;
	((struct key_words *)target)->force = true;
	return 0;
}

static int take_next(void *target, const char *value)
{
	(void)value;
	((struct key_words *)target)->next = true;
	return 0;
}

static int take_after(void *target, const char *value)
{
	const char *reason = parse_seconds(&((struct key_words *)target)->after,
					   value);

	return reason ? err_usage("after '%s': %s", value, reason) : 0;
}

static int key_generate(struct env *env, struct words *words)
{
	static const struct option options[] = {
		{ "next", NULL, false, take_next },
		{ "force", NULL, false, take_force },
	};
	struct key_words given = {0};
	struct state state = {0};
	struct nl nl = {0};
	int code;

	code = options_take(options, ARRAY_LEN(options), words, &given);
	if (!code)
		code = nl_open(&nl, env);
	if (!code && !given.force)
		code = check_replacing(&nl, given.next);
	if (!code)
		code = generate(&nl, &state, &given);
	if (!code)
		code = print_public(env, given.next ? state.next_key :
						      state.public_key);
	nl_close(&nl);
	return code;
}

static int retire(struct nl *nl, const struct key_words *given)
{
	struct nlmsghdr *request;
	char buffer[NL_REQUEST_SIZE];

	request = nl_request(nl, buffer, NETVEIL_CMD_SET, 0);
	mnl_attr_put_u32(request, NETVEIL_A_RETIRE, given->after);
	if (given->force)
		mnl_attr_put(request, NETVEIL_A_FORCE, 0, NULL);
	return nl_call(nl, request, NULL, NULL, "key retire");
}

static int key_retire(struct env *env, struct words *words)
{
	static const struct option options[] = {
		{ "after", "a number of seconds", false, take_after },
		{ "force", NULL, false, take_force },
	};
	struct key_words given = {0};
	struct nl nl = {0};
	int code;

	code = options_take(options, ARRAY_LEN(options), words, &given);
	if (!code)
		code = nl_open(&nl, env);
	if (!code)
		code = retire(&nl, &given);
	nl_close(&nl);
	return code;
}

int cmd_key(struct env *env, struct words *words)
{
	static const struct command commands[] = {
		{ "generate", key_generate, "[next] [force]", "" },
		{ "retire", key_retire, "[after SECONDS] [force]", "" },
	};

	if (!words->count)
		return err_usage("key: say what to do with it: veil key generate, veil key retire");
	return command_run(commands, ARRAY_LEN(commands), "key: ", env, words);
}
