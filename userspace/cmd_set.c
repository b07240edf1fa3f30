// SPDX-License-Identifier: GPL-2.0
/*
 * veil set: the identity, the port, the cipher and the networks of this network
 * namespace.
 */
#include <string.h>

#include "cmd.h"
#include "err.h"
#include "guard_counts.h"
#include "nl.h"
#include "parse.h"
#include "secret.h"

struct settings {
	struct secret key;
	struct secret next_key;
	bool no_next_key;
	bool has_cipher;
	uint8_t cipher;
	uint16_t port;		/* 0: not given */
	struct prefix locals[NETVEIL_LOCALS_MAX];
	unsigned int local_count;
	bool no_local;
	bool has_mark;
	uint32_t mark, mask;	/* both 0: none */
};

static int take_key(void *target, const char *value)
{
	struct settings *settings = target;

	return secret_take(&settings->key, value, "private-key");
}

static int take_next_key(void *target, const char *value)
{
	struct settings *settings = target;

	return secret_take(&settings->next_key, value, "next-private-key");
}

static int take_no_next_key(void *target, const char *value)
{
	struct settings *settings = target;

	(void)value;
	settings->no_next_key = true;
	return 0;
}

static int take_port(void *target, const char *value)
{
	struct settings *settings = target;
	const char *reason = parse_port(&settings->port, value);

	return reason ? err_usage("listen-port '%s': %s", value, reason) : 0;
}

static int take_cipher(void *target, const char *value)
{
	struct settings *settings = target;
	const char *reason = parse_cipher(&settings->cipher, value);

	settings->has_cipher = true;
	return reason ? err_usage("cipher '%s': %s", value, reason) : 0;
}

static int take_local(void *target, const char *value)
{
	struct settings *settings = target;
	struct prefix prefix;
	const char *reason = parse_prefix(&prefix, value);

	if (reason)
		return err_usage("local '%s': %s", value, reason);
	if (settings->local_count == NETVEIL_LOCALS_MAX)
		return err_usage("local '%s': there may be %d at most", value,
				 NETVEIL_LOCALS_MAX);
	settings->locals[settings->local_count++] = prefix;
	return 0;
}

static int take_no_local(void *target, const char *value)
{
	struct settings *settings = target;

	(void)value;
	settings->no_local = true;
	return 0;
}

static int take_mark(void *target, const char *value)
{
	struct settings *settings = target;
	const char *reason = parse_mark(&settings->mark, &settings->mask,
					value);

	settings->has_mark = true;
	return reason ? err_usage("rx-mark '%s': %s", value, reason) : 0;
}

static int take_no_mark(void *target, const char *value)
{
	struct settings *settings = target;

	(void)value;
	if (settings->has_mark)
		return err_usage("rx-mark and no-rx-mark exclude each other");
	settings->has_mark = true;
	return 0;
}

static const struct option options[] = {
	{ "private-key", "a file with the key", false, take_key },
	{ "next-private-key", "a file with the key", false, take_next_key },
	{ "no-next-private-key", NULL, false, take_no_next_key },
	{ "listen-port", "a port", false, take_port },
	{ "cipher", "auto, aes-256-gcm or chacha20-poly1305", false,
	  take_cipher },
	{ "local", "a network of ours, ADDR/LENGTH", true, take_local },
	{ "no-local", NULL, false, take_no_local },
	{ "rx-mark", "VALUE/MASK", false, take_mark },
	{ "no-rx-mark", NULL, false, take_no_mark },
};

static int apply(struct env *env, const struct settings *settings)
{
	struct nlmsghdr *request;
	char buffer[NL_REQUEST_SIZE];
	unsigned int i;
	struct nl nl;
	int code = nl_open(&nl, env);

	if (!code) {
		request = nl_request(&nl, buffer, NETVEIL_CMD_SET, 0);
		secret_put(request, NETVEIL_A_PRIVATE_KEY,
			   NETVEIL_A_PRIVATE_KEY_SERIAL, &settings->key);
		secret_put(request, NETVEIL_A_NEXT_PRIVATE_KEY,
			   NETVEIL_A_NEXT_PRIVATE_KEY_SERIAL,
			   &settings->next_key);
		if (settings->no_next_key)
			mnl_attr_put(request, NETVEIL_A_NO_NEXT, 0, NULL);
		if (settings->port)
			mnl_attr_put_u16(request, NETVEIL_A_LISTEN_PORT,
					 settings->port);
		if (settings->has_cipher)
			mnl_attr_put_u8(request, NETVEIL_A_CIPHER,
					settings->cipher);
		for (i = 0; i < settings->local_count; i++)
			nl_put_prefix(request, NETVEIL_A_LOCAL,
				      &settings->locals[i]);
		if (settings->no_local)
			mnl_attr_put(request, NETVEIL_A_NO_LOCAL, 0, NULL);
		if (settings->has_mark) {
			mnl_attr_put_u32(request, NETVEIL_A_RX_MARK,
					 settings->mark);
			mnl_attr_put_u32(request, NETVEIL_A_RX_MASK,
					 settings->mask);
		}
		/* Before: this may be the last that arrives. */
		if (!env->batch && (settings->port || settings->no_local ||
				    settings->local_count))
			guard_warn("set");
		code = nl_call(&nl, request, NULL, NULL, "set");
	}
	nl_close(&nl);
	return code;
}

int cmd_set(struct env *env, struct words *words)
{
	struct settings settings = {0};
	int code;

	if (!words->count)
		return err_usage("set: say what: private-key FILE, next-private-key FILE, no-next-private-key, listen-port N, cipher NAME, local NETWORK, no-local, rx-mark VALUE/MASK, no-rx-mark");
	code = options_take(options, ARRAY_LEN(options), words, &settings);
	if (!code)
		code = apply(env, &settings);
	explicit_bzero(&settings, sizeof(settings));
	return code;
}
