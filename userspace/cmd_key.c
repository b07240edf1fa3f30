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

static int refuse_replacing(const struct state *state)
{
	char text[TEXT_LEN];

	return err("key generate: this host already has the key %s, by which its peers know it; to replace it: veil key generate force",
		   format_key(text, state->public_key));
}

/* A second "key generate" by mistake would lock out every peer. */
static int check_replacing(struct nl *nl)
{
	char buffer[NL_REQUEST_SIZE];
	struct state state = {0};
	int code;

	code = nl_call(nl, nl_request(nl, buffer, NETVEIL_CMD_GET, 0),
		       model_parse_state, &state, "key generate");
	if (!code && state.has_key)
		code = refuse_replacing(&state);
	return code;
}

static int generate(struct nl *nl, struct state *state)
{
	struct nlmsghdr *request;
	char buffer[NL_REQUEST_SIZE];
	int code;

	request = nl_request(nl, buffer, NETVEIL_CMD_SET, 0);
	mnl_attr_put(request, NETVEIL_A_GENERATE, 0, NULL);
	code = nl_call(nl, request, model_parse_state, state, "key generate");
	if (!code && !state->has_key)
		code = err("key generate: the kernel did not tell the public key");
	return code;
}

static int take_force(void *target, const char *value)
{
	(void)value;
	*(bool *)target = true;
	return 0;
}

static int key_generate(struct env *env, struct words *words)
{
	static const struct option options[] = {
		{ "force", NULL, false, take_force },
	};
	struct state state = {0};
	bool force = false;
	struct nl nl = {0};
	int code;

	code = options_take(options, ARRAY_LEN(options), words, &force);
	if (!code)
		code = nl_open(&nl, env);
	if (!code && !force)
		code = check_replacing(&nl);
	if (!code)
		code = generate(&nl, &state);
	if (!code)
		code = print_public(env, state.public_key);
	nl_close(&nl);
	return code;
}

int cmd_key(struct env *env, struct words *words)
{
	static const struct command commands[] = {
		{ "generate", key_generate, "[force]", "" },
	};

	if (!words->count)
		return err_usage("key: say what to do with it: veil key generate");
	return command_run(commands, ARRAY_LEN(commands), "key: ", env, words);
}
