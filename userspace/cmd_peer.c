// SPDX-License-Identifier: GPL-2.0
/*
 * veil peer add, set, del: who is protected, and where.
 */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "batch.h"
#include "cmd.h"
#include "err.h"
#include "format.h"
#include "model.h"
#include "nl.h"
#include "parse.h"
#include "secret.h"

struct config {
	uint8_t public_key[NETVEIL_KEY_LEN];
	struct address addresses[NETVEIL_ADDRESSES_MAX];
	unsigned int address_count;
	struct prefix prefixes[NETVEIL_PREFIXES_MAX];
	unsigned int prefix_count;
	bool no_prefix;
	struct endpoint endpoint;	/* address.len 0: not given */
	bool has_roaming;
	bool roaming;
	bool has_keepalive;
	uint16_t keepalive;		/* seconds, 0: none */
	struct secret psk;
	bool no_psk;
	bool force;
	uint32_t confirm;	/* 0: for good */
	uint8_t policy;		/* 0: not given */
	struct secret psk_next;
	bool no_psk_next;
	bool has_next_key;
	bool no_next_key;
	uint8_t next_key[NETVEIL_KEY_LEN];
};

static bool has_address(const struct config *config,
			const struct address *address)
{
	unsigned int i;

	for (i = 0; i < config->address_count; i++)
		if (address_equal(&config->addresses[i], address))
			return true;
	return false;
}

static int take_address(void *target, const char *value)
{
	struct config *config = target;
	struct address address;
	const char *reason = parse_address(&address, value);

	if (reason)
		return err_usage("address '%s': %s", value, reason);
	if (has_address(config, &address))
		return err_usage("address '%s' is given twice", value);
	if (config->address_count == NETVEIL_ADDRESSES_MAX)
		return err_usage("address '%s': a peer has at most %d addresses",
				 value, NETVEIL_ADDRESSES_MAX);
	config->addresses[config->address_count++] = address;
	return 0;
}

static int take_prefix(void *target, const char *value)
{
	struct config *config = target;
	struct prefix prefix;
	const char *reason = parse_prefix(&prefix, value);
	unsigned int i;

	if (reason)
		return err_usage("prefix '%s': %s", value, reason);
	for (i = 0; i < config->prefix_count; i++)
		if (prefix_equal(&config->prefixes[i], &prefix))
			return err_usage("prefix '%s' is given twice", value);
	if (config->prefix_count == NETVEIL_PREFIXES_MAX)
		return err_usage("prefix '%s': a peer has at most %d prefixes",
				 value, NETVEIL_PREFIXES_MAX);
	config->prefixes[config->prefix_count++] = prefix;
	return 0;
}

static int take_no_prefix(void *target, const char *value)
{
	struct config *config = target;

	(void)value;
	config->no_prefix = true;
	return 0;
}

static int take_endpoint(void *target, const char *value)
{
	struct config *config = target;
	const char *reason = parse_endpoint(&config->endpoint, value);

	return reason ? err_usage("endpoint '%s': %s", value, reason) : 0;
}

static int take_roaming(void *target, const char *value)
{
	struct config *config = target;

	(void)value;
	if (config->has_roaming && !config->roaming)
		return err_usage("roaming and no-roaming exclude each other");
	config->has_roaming = true;
	config->roaming = true;
	return 0;
}

static int take_no_roaming(void *target, const char *value)
{
	struct config *config = target;

	(void)value;
	if (config->has_roaming && config->roaming)
		return err_usage("roaming and no-roaming exclude each other");
	config->has_roaming = true;
	return 0;
}

static int take_keepalive(void *target, const char *value)
{
	struct config *config = target;
	const char *reason = parse_keepalive(&config->keepalive, value);

	config->has_keepalive = true;
	return reason ? err_usage("keepalive '%s': %s", value, reason) : 0;
}

static int take_psk(void *target, const char *value)
{
	struct config *config = target;

	return secret_take(&config->psk, value, "psk");
}

static int take_no_psk(void *target, const char *value)
{
	struct config *config = target;

	(void)value;
	config->no_psk = true;
	return 0;
}

static int take_policy(void *target, const char *value)
{
	struct config *config = target;
	const char *reason = parse_policy(&config->policy, value);

	return reason ? err_usage("policy '%s': %s", value, reason) : 0;
}

static int take_confirm(void *target, const char *value)
{
	struct config *config = target;
	const char *reason = parse_seconds(&config->confirm, value);

	if (!reason && config->confirm > CONFIRM_MAX)
		reason = "a trial lasts a day at most: 86400";
	return reason ? err_usage("confirm '%s': %s", value, reason) : 0;
}

static int take_psk_next(void *target, const char *value)
{
	struct config *config = target;

	return secret_take(&config->psk_next, value, "psk-next");
}

static int take_no_psk_next(void *target, const char *value)
{
	struct config *config = target;

	(void)value;
	config->no_psk_next = true;
	return 0;
}

static int take_next_key(void *target, const char *value)
{
	struct config *config = target;
	const char *reason = parse_key(config->next_key, value);

	config->has_next_key = true;
	return reason ? err_usage("next-key '%s': %s", value, reason) : 0;
}

static int take_no_next_key(void *target, const char *value)
{
	struct config *config = target;

	(void)value;
	config->no_next_key = true;
	return 0;
}

static int take_force(void *target, const char *value)
{
	struct config *config = target;

	(void)value;
	config->force = true;
	return 0;
}

/* A new peer has nothing to forget, nor to force: it takes all but the last
 * six.
 */
#define FORGETTING	6
static const struct option options[] = {
	{ "address", "an IPv4 or IPv6 address", true, take_address },
	{ "prefix", "a network, ADDR/LENGTH", true, take_prefix },
	{ "endpoint", "ADDR, ADDR:PORT or [V6ADDR]:PORT", false,
	  take_endpoint },
	{ "psk", "a file with the key", false, take_psk },
	{ "psk-next", "a file with the key", false, take_psk_next },
	{ "next-key", "a public key", false, take_next_key },
	{ "roaming", NULL, false, take_roaming },
	{ "keepalive", "seconds, or off", false, take_keepalive },
	{ "policy", "require, prefer or bypass", false, take_policy },
	{ "confirm", "seconds", false, take_confirm },
	{ "no-psk", NULL, false, take_no_psk },
	{ "no-psk-next", NULL, false, take_no_psk_next },
	{ "no-next-key", NULL, false, take_no_next_key },
	{ "no-prefix", NULL, false, take_no_prefix },
	{ "no-roaming", NULL, false, take_no_roaming },
	{ "force", NULL, false, take_force },
};

static int take_public_key(uint8_t key[NETVEIL_KEY_LEN], struct words *words,
			   const char *what)
{
	const char *word = words_next(words);
	const char *reason;

	if (!word)
		return err_usage("%s: say which peer: its public key comes first",
				 what);
	reason = parse_key(key, word);
	if (reason)
		return err_usage("%s: public key '%s': %s", what, word, reason);
	if (key_is_zero(key))
		return err_usage("%s: a public key of zeros is nobody's", what);
	return 0;
}

static int check_config(const struct config *config, const char *what)
{
	char text[TEXT_LEN];

	if (config->psk.given && config->no_psk)
		return err_usage("%s: psk and no-psk exclude each other", what);
	if (config->psk_next.given && config->no_psk_next)
		return err_usage("%s: psk-next and no-psk-next exclude each other",
				 what);
	if (config->has_next_key && config->no_next_key)
		return err_usage("%s: next-key and no-next-key exclude each other",
				 what);
	if (config->prefix_count && config->no_prefix)
		return err_usage("%s: prefix and no-prefix exclude each other",
				 what);
	/* Without any, the peer's present ones count, and the kernel knows. */
	if (!config->address_count || !config->endpoint.address.len ||
	    config->roaming ||
	    has_address(config, &config->endpoint.address))
		return 0;
	return err_usage("%s: endpoint %s is none of the peer's addresses: give it as an address too",
			 what, format_address(text, &config->endpoint.address));
}

static void put_address(struct nlmsghdr *request, uint16_t type,
			const struct address *address)
{
	if (address->len)
		mnl_attr_put(request, type, address->len, address->bytes);
}

static void put_next(struct nlmsghdr *request, const struct config *config)
{
	secret_put(request, NETVEIL_PEER_A_PSK_NEXT,
		   NETVEIL_PEER_A_PSK_NEXT_SERIAL, &config->psk_next);
	if (config->no_psk_next)
		mnl_attr_put(request, NETVEIL_PEER_A_NO_PSK_NEXT, 0, NULL);
	if (config->has_next_key)
		mnl_attr_put(request, NETVEIL_PEER_A_NEXT_KEY, NETVEIL_KEY_LEN,
			     config->next_key);
	if (config->no_next_key)
		mnl_attr_put(request, NETVEIL_PEER_A_NO_NEXT_KEY, 0, NULL);
}

static void put_config(struct nlmsghdr *request, const struct config *config)
{
	struct nlattr *nest = mnl_attr_nest_start(request, NETVEIL_A_PEER);
	unsigned int i;

	mnl_attr_put(request, NETVEIL_PEER_A_PUBLIC_KEY, NETVEIL_KEY_LEN,
		     config->public_key);
	for (i = 0; i < config->address_count; i++)
		put_address(request, NETVEIL_PEER_A_ADDRESS,
			    &config->addresses[i]);
	for (i = 0; i < config->prefix_count; i++)
		nl_put_prefix(request, NETVEIL_PEER_A_PREFIX,
			      &config->prefixes[i]);
	if (config->no_prefix)
		mnl_attr_put(request, NETVEIL_PEER_A_NO_PREFIX, 0, NULL);
	put_address(request, NETVEIL_PEER_A_ENDPOINT,
		    &config->endpoint.address);
	if (config->endpoint.port)
		mnl_attr_put_u16(request, NETVEIL_PEER_A_ENDPOINT_PORT,
				 config->endpoint.port);
	if (config->has_roaming)
		mnl_attr_put_u8(request, NETVEIL_PEER_A_ROAMING,
				config->roaming);
	if (config->has_keepalive)
		mnl_attr_put_u16(request, NETVEIL_PEER_A_KEEPALIVE,
				 config->keepalive);
	secret_put(request, NETVEIL_PEER_A_PSK, NETVEIL_PEER_A_PSK_SERIAL,
		   &config->psk);
	if (config->no_psk)
		mnl_attr_put(request, NETVEIL_PEER_A_NO_PSK, 0, NULL);
	put_next(request, config);
	if (config->policy)
		mnl_attr_put_u8(request, NETVEIL_PEER_A_POLICY, config->policy);
	mnl_attr_nest_end(request, nest);
	if (config->confirm)
		mnl_attr_put_u32(request, NETVEIL_A_CONFIRM, config->confirm);
}

/* A preferred peer with whom there never was a session would be cut off. */
static int check_clear(struct nl *nl, const struct config *config,
		       const char *what)
{
	char buffer[NL_REQUEST_SIZE], key[TEXT_LEN], ago[TEXT_LEN];
	struct peers peers = {0};
	struct nlmsghdr *request;
	struct config asked = {0};
	const struct peer *peer;
	int code;

	if (config->force || config->confirm ||
	    config->policy != NETVEIL_POLICY_REQUIRE)
		return 0;
	memcpy(asked.public_key, config->public_key, NETVEIL_KEY_LEN);
	request = nl_request(nl, buffer, NETVEIL_CMD_PEER_GET, 0);
	put_config(request, &asked);
	code = nl_call(nl, request, model_parse_peer, &peers, what);
	peer = peers.list;
	if (!code && peers.count && peer->policy == NETVEIL_POLICY_PREFER &&
	    !peer->confirmed && peer->clear.last) {
		format_ago(ago, peer->clear.last, (uint64_t)time(NULL));
		code = err("%s: %s speaks plaintext (%" PRIu64 " packets, the last %s) and had no session yet: it would be cut off; 'force' or 'confirm SECONDS' does it",
			   what, format_key(key, config->public_key),
			   peer->clear.rx_packets, ago);
	}
	model_free_peers(&peers);
	return code;
}

static int request_peer(struct env *env, uint8_t command,
			const struct config *config, const char *what)
{
	struct nlmsghdr *request;
	char buffer[NL_REQUEST_SIZE];
	struct nl nl;
	int code = nl_open(&nl, env);

	if (!code && command == NETVEIL_CMD_PEER_SET)
		code = check_clear(&nl, config, what);
	if (!code) {
		request = nl_request(&nl, buffer, command, 0);
		put_config(request, config);
		code = nl_call(&nl, request, NULL, NULL, what);
	}
	nl_close(&nl);
	return code;
}

static int configure(struct env *env, struct words *words, uint8_t command,
		     size_t option_count, const char *what)
{
	struct config config = {0};
	int code;

	code = take_public_key(config.public_key, words, what);
	if (!code)
		code = options_take(options, option_count, words, &config);
	if (!code)
		code = check_config(&config, what);
	if (!code)
		code = batch_refuse_trial(env->batch, config.confirm, what);
	if (!code && command == NETVEIL_CMD_PEER_ADD && !config.address_count &&
	    !(config.roaming && config.prefix_count))
		code = err_usage("%s: say where the peer is: address ADDR",
				 what);
	if (!code)
		code = request_peer(env, command, &config, what);
	explicit_bzero(&config, sizeof(config));
	return code;
}

int cmd_peer_add(struct env *env, struct words *words)
{
	return configure(env, words, NETVEIL_CMD_PEER_ADD,
			 ARRAY_LEN(options) - FORGETTING, "peer add");
}

static int peer_set(struct env *env, struct words *words)
{
	if (words->count == 1)
		return err_usage("peer set: say what: address ADDR, prefix NETWORK, no-prefix, endpoint ADDR[:PORT], psk FILE, no-psk, psk-next FILE, no-psk-next, next-key PUBKEY, no-next-key, policy NAME, roaming, no-roaming, keepalive SECONDS");
	return configure(env, words, NETVEIL_CMD_PEER_SET, ARRAY_LEN(options),
			 "peer set");
}

static int peer_del(struct env *env, struct words *words)
{
	struct config config = {0};
	int code;

	code = take_public_key(config.public_key, words, "peer del");
	if (!code)
		code = words_end(words);
	if (!code)
		code = request_peer(env, NETVEIL_CMD_PEER_DEL, &config,
				    "peer del");
	return code;
}

int cmd_peer(struct env *env, struct words *words)
{
	static const struct command commands[] = {
		{ "show", cmd_peer_show, "[PUBKEY]", "" },
		{ "add", cmd_peer_add, "", "" },
		{ "set", peer_set, "", "" },
		{ "del", peer_del, "PUBKEY", "" },
		{ "delete", peer_del, "PUBKEY", "" },
	};

	return command_run(commands, ARRAY_LEN(commands), "peer: ", env, words);
}
