// SPDX-License-Identifier: GPL-2.0
/*
 * veil policy: what may pass between this host and prefixes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "batch.h"
#include "cmd.h"
#include "err.h"
#include "format.h"
#include "model.h"
#include "names.h"
#include "nl.h"
#include "out.h"

struct policy_change {
	uint8_t command;
	struct prefix prefix;
	uint8_t policy;		/* 0: none is given */
	bool force;
	uint32_t confirm;	/* seconds; 0: for good */
};

static const char what_for[] = "policy";

/*
 * Showing
 */

void show_clear(struct out *out, const struct clear *clear)
{
	char packets[TEXT_LEN], ago[TEXT_LEN];

	out_json_number(out, "clear_rx_packets", clear->rx_packets);
	out_json_number(out, "clear_tx_packets", clear->tx_packets);
	if (clear->last)
		out_json_number(out, "clear_last", clear->last);
	else
		out_json_string(out, "clear_last", NULL);
	if (clear->rx_packets)
		out_line(out, "received in clear", COLOR_WAIT,
			 "%s, the last %s",
			 format_packets(packets, clear->rx_packets),
			 format_ago(ago, clear->last, (uint64_t)time(NULL)));
	if (clear->tx_packets)
		out_line(out, "sent in clear", COLOR_WAIT, "%s",
			 format_packets(packets, clear->tx_packets));
}

static void show_policy(struct out *out, const struct policy *policy)
{
	char text[TEXT_LEN];

	out_object(out, NULL);
	format_prefix(text, &policy->prefix);
	out_json_string(out, "prefix", text);
	out_heading(out, "prefix", text);
	out_string(out, "policy", "policy", COLOR_NONE,
		   name_of(policy_names, POLICY_NAMES, policy->kind));
	show_clear(out, &policy->clear);
	out_json_number(out, "drops", policy->drops);
	if (policy->drops)
		out_line(out, "dropped", COLOR_BAD, "%s to or from who is no peer",
			 format_packets(text, policy->drops));
	out_close(out);
}

static void show_list(struct out *out, const char *key,
		      const struct policies *policies)
{
	size_t i;

	out_array(out, key);
	for (i = 0; i < policies->count; i++) {
		if (i)
			out_gap(out);
		show_policy(out, &policies->list[i]);
	}
	out_close(out);
}

void show_policies(struct out *out, const struct policies *policies)
{
	show_list(out, "policies", policies);
}

int take_policies(struct nl *nl, struct policies *policies)
{
	return nl_dump(nl, NETVEIL_CMD_POLICY_GET, model_parse_policy,
		       model_free_policies, policies, "policy show");
}

static int policy_show(struct env *env, struct words *words)
{
	struct policies policies = {0};
	struct nl nl = {0};
	struct out out;
	int code = words_end(words);

	if (!code)
		code = nl_open(&nl, env);
	if (!code)
		code = take_policies(&nl, &policies);
	nl_close(&nl);
	if (!code) {
		out_begin(&out, env);
		show_list(&out, NULL, &policies);
		code = out_end(&out);
	}
	model_free_policies(&policies);
	return code;
}

/*
 * Changing
 */

static const struct policy *find_policy(const struct policies *policies,
					const struct prefix *prefix)
{
	size_t i;

	for (i = 0; i < policies->count; i++) {
		const struct policy *policy = &policies->list[i];

		if (policy->prefix.length == prefix->length &&
		    address_equal(&policy->prefix.address, &prefix->address))
			return policy;
	}
	return NULL;
}

/* Who is preferred and speaks plaintext would be cut off. */
static int check_clear(struct nl *nl, const struct policy_change *change)
{
	char packets[TEXT_LEN], text[TEXT_LEN], ago[TEXT_LEN];
	struct policies policies = {0};
	const struct policy *policy;
	int code;

	if (change->command != NETVEIL_CMD_POLICY_SET || change->force ||
	    change->confirm || change->policy != NETVEIL_POLICY_REQUIRE)
		return 0;
	code = take_policies(nl, &policies);
	policy = code ? NULL : find_policy(&policies, &change->prefix);
	if (policy && policy->clear.last)
		code = err("%s: hosts in %s that are no peers speak plaintext (%s, the last %s): they would be cut off; 'force' or 'confirm SECONDS' does it",
			   what_for, format_prefix(text, &change->prefix),
			   format_packets(packets, policy->clear.rx_packets),
			   format_ago(ago, policy->clear.last,
				      (uint64_t)time(NULL)));
	model_free_policies(&policies);
	return code;
}

static void put_prefix(struct nlmsghdr *request, const struct prefix *prefix)
{
	uint8_t bytes[sizeof(prefix->address.bytes) + 1];
	size_t len = prefix->address.len;

	memcpy(bytes, prefix->address.bytes, len);
	bytes[len] = prefix->length;
	mnl_attr_put(request, NETVEIL_A_PREFIX, len + 1, bytes);
}

static int request_change(struct env *env, const struct policy_change *change)
{
	struct nlmsghdr *request;
	char buffer[NL_REQUEST_SIZE];
	struct nl nl;
	int code = nl_open(&nl, env);

	if (!code)
		code = check_clear(&nl, change);
	if (!code) {
		request = nl_request(&nl, buffer, change->command, 0);
		put_prefix(request, &change->prefix);
		if (change->policy)
			mnl_attr_put_u8(request, NETVEIL_A_POLICY,
					change->policy);
		if (change->confirm)
			mnl_attr_put_u32(request, NETVEIL_A_CONFIRM,
					 change->confirm);
		code = nl_call(&nl, request, NULL, NULL, what_for);
	}
	nl_close(&nl);
	return code;
}

static int take_force(void *target, const char *value)
{
	struct policy_change *change = target;

	(void)value;
	change->force = true;
	return 0;
}

static int take_confirm(void *target, const char *value)
{
	struct policy_change *change = target;
	const char *reason = parse_seconds(&change->confirm, value);

	if (!reason && change->confirm > CONFIRM_MAX)
		reason = "a trial lasts a day at most: 86400";
	return reason ? err_usage("confirm '%s': %s", value, reason) : 0;
}

/* Only set has something to force. */
static const struct option options[] = {
	{ "confirm", "seconds", false, take_confirm },
	{ "force", NULL, false, take_force },
};

static int take_prefix(struct policy_change *change, struct words *words)
{
	const char *word = words_next(words);
	const char *reason;

	if (!word)
		return err_usage("policy: say for which prefix: ADDR/LENGTH");
	reason = parse_prefix(&change->prefix, word);
	return reason ? err_usage("policy: prefix '%s': %s", word, reason) : 0;
}

static int take_kind(struct policy_change *change, struct words *words)
{
	const char *word = words_next(words);
	const char *reason;

	if (!word)
		return err_usage("policy: say which: require, prefer or bypass");
	reason = parse_policy(&change->policy, word);
	return reason ? err_usage("policy '%s': %s", word, reason) : 0;
}

static int policy_change(struct env *env, struct words *words, uint8_t command)
{
	struct policy_change change = { .command = command };
	int code = take_prefix(&change, words);

	if (!code && command != NETVEIL_CMD_POLICY_DEL)
		code = take_kind(&change, words);
	if (!code)
		code = options_take(options,
				    1 + (command == NETVEIL_CMD_POLICY_SET),
				    words, &change);
	if (!code)
		code = batch_refuse_trial(env->batch, change.confirm, what_for);
	return code ? code : request_change(env, &change);
}

int cmd_policy_add(struct env *env, struct words *words)
{
	return policy_change(env, words, NETVEIL_CMD_POLICY_ADD);
}

static int policy_set(struct env *env, struct words *words)
{
	return policy_change(env, words, NETVEIL_CMD_POLICY_SET);
}

static int policy_del(struct env *env, struct words *words)
{
	return policy_change(env, words, NETVEIL_CMD_POLICY_DEL);
}

int cmd_policy(struct env *env, struct words *words)
{
	static const struct command commands[] = {
		{ "show", policy_show, "", "" },
		{ "add", cmd_policy_add, "", "" },
		{ "set", policy_set, "", "" },
		{ "del", policy_del, "", "" },
		{ "delete", policy_del, "", "" },
	};

	return command_run(commands, ARRAY_LEN(commands), "policy: ", env,
			   words);
}
