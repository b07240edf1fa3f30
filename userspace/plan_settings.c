// SPDX-License-Identifier: GPL-2.0
/*
 * What of a namespace's settings has to change for them to be as configuration
 * files say.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "plan.h"

#define PORT_DEFAULT	51888

static void add_setting(struct plan *plan, const struct nlattr *attr,
			const struct statement *statement)
{
	plan->settings = reallocarray(plan->settings, plan->setting_count + 1,
				      sizeof(*plan->settings));
	if (!plan->settings)
		die_no_memory();
	plan->settings[plan->setting_count++] =
		(struct setting){ attr, statement };
}

static bool setting_same(const struct nlattr *attr, const struct state *state)
{
	const void *data = mnl_attr_get_payload(attr);
	uint8_t public[NETVEIL_KEY_LEN];

	switch (mnl_attr_get_type(attr)) {
	case NETVEIL_A_PRIVATE_KEY:
		return state->has_key && !crypto_scalarmult_base(public, data) &&
		       !memcmp(public, state->public_key, sizeof(public));
	case NETVEIL_A_NEXT_PRIVATE_KEY:
		return state->has_next_key &&
		       !crypto_scalarmult_base(public, data) &&
		       !memcmp(public, state->next_key, sizeof(public));
	case NETVEIL_A_LISTEN_PORT:
		return mnl_attr_get_u16(attr) == state->listen_port;
	case NETVEIL_A_CIPHER:
		return mnl_attr_get_u8(attr) == state->cipher;
	case NETVEIL_A_NO_NEXT:
		return !state->has_next_key;
	case NETVEIL_A_NO_LOCAL:
		return !state->local_count;
	default:
		return false;
	}
}

/* The kernel refuses them, but is not asked when it has them by now. */
static int refuse_same_keys(const struct batch *batch)
{
	const struct nlattr *keys[2] = { NULL }, *attr;
	const struct statement *statement = NULL;
	size_t i;

	for (i = 0; i < batch->count; i++) {
		const struct change *change = &batch->list[i];

		if (change->command != NETVEIL_CMD_SET)
			continue;
		mnl_attr_for_each_payload(change->attrs, change->len) {
			if (mnl_attr_get_type(attr) == NETVEIL_A_PRIVATE_KEY)
				keys[0] = attr;
			if (mnl_attr_get_type(attr) != NETVEIL_A_NEXT_PRIVATE_KEY)
				continue;
			keys[1] = attr;
			statement = change->statement;
		}
	}
	if (!keys[0] || !keys[1] ||
	    sodium_memcmp(mnl_attr_get_payload(keys[0]),
			  mnl_attr_get_payload(keys[1]), NETVEIL_KEY_LEN))
		return 0;
	err_place(statement->places);
	return err_usage("private-key and next-private-key are the same key: leave the next one out, or name another");
}

/* Whether the next key of the files is the current one by now. */
static bool key_promoted(const struct batch *batch, const struct state *state)
{
	uint8_t public[NETVEIL_KEY_LEN];
	const struct nlattr *attr;
	size_t i;

	for (i = 0; i < batch->count; i++) {
		const struct change *change = &batch->list[i];

		if (change->command != NETVEIL_CMD_SET || !state->has_key)
			continue;
		mnl_attr_for_each_payload(change->attrs, change->len)
			if (mnl_attr_get_type(attr) == NETVEIL_A_NEXT_PRIVATE_KEY &&
			    !crypto_scalarmult_base(public,
						    mnl_attr_get_payload(attr)) &&
			    !memcmp(public, state->public_key, sizeof(public)))
				return true;
	}
	return false;
}

bool plan_is_local(const struct nlattr *attr, const struct state *state)
{
	struct prefix prefix;
	unsigned int i;

	if (!model_take_prefix(attr, &prefix))
		return false;
	for (i = 0; i < state->local_count; i++)
		if (prefix_equal(&prefix, &state->locals[i]))
			return true;
	return false;
}

/* Whether the kernel has all local networks of a statement, and no others. */
static bool locals_same(const struct change *change, const struct state *state)
{
	const struct nlattr *attr;
	unsigned int count = 0;

	mnl_attr_for_each_payload(change->attrs, change->len) {
		if (mnl_attr_get_type(attr) != NETVEIL_A_LOCAL)
			continue;
		if (!plan_is_local(attr, state))
			return false;
		count++;
	}
	return count == state->local_count;
}

/* A mark and its mask go together. */
static bool mark_same(const struct change *change, const struct state *state)
{
	const struct nlattr *attr;

	mnl_attr_for_each_payload(change->attrs, change->len) {
		if (mnl_attr_get_type(attr) == NETVEIL_A_RX_MARK &&
		    mnl_attr_get_u32(attr) != state->rx_mark)
			return false;
		if (mnl_attr_get_type(attr) == NETVEIL_A_RX_MASK &&
		    mnl_attr_get_u32(attr) != state->rx_mask)
			return false;
	}
	return true;
}

static int refuse_setting_twice(const struct statement *statement)
{
	err_place(statement->places);
	return err_usage("something that is set here is set before already");
}

#define BIT(type)	(1ULL << (type))
#define KEYS		(BIT(NETVEIL_A_PRIVATE_KEY) | \
			 BIT(NETVEIL_A_PRIVATE_KEY_SERIAL) | \
			 BIT(NETVEIL_A_NEXT_PRIVATE_KEY) | \
			 BIT(NETVEIL_A_NEXT_PRIVATE_KEY_SERIAL))
#define MARK		(BIT(NETVEIL_A_RX_MARK) | BIT(NETVEIL_A_RX_MASK))

static int plan_change(struct plan *plan, const struct change *change,
		       const struct state *state, bool promoted,
		       uint64_t *given)
{
	uint64_t same = 0, before = *given;
	const struct nlattr *attr;

	if (promoted)
		same |= KEYS;
	if (locals_same(change, state))
		same |= BIT(NETVEIL_A_LOCAL);
	if (mark_same(change, state))
		same |= MARK;
	mnl_attr_for_each_payload(change->attrs, change->len) {
		uint64_t bit = BIT(mnl_attr_get_type(attr));

		if (before & bit)
			return refuse_setting_twice(change->statement);
		*given |= bit;
		if (!(same & bit) && !setting_same(attr, state))
			add_setting(plan, attr, change->statement);
	}
	return 0;
}

static void add_no_mark(struct plan *plan, struct nlattr *attr)
{
	attr->nla_type = NETVEIL_A_RX_MARK;
	attr->nla_len = MNL_ATTR_HDRLEN + sizeof(uint32_t);
	add_setting(plan, attr, NULL);
	attr = mnl_attr_next(attr);
	attr->nla_type = NETVEIL_A_RX_MASK;
	attr->nla_len = MNL_ATTR_HDRLEN + sizeof(uint32_t);
	add_setting(plan, attr, NULL);
}

/* What a whole configuration does not mention. The key stays: it may have been
 * made in the kernel.
 */
static void plan_defaults(struct plan *plan, const struct state *state,
			  uint64_t given)
{
	struct nlattr *attr = (struct nlattr *)plan->defaults;
	uint16_t port = PORT_DEFAULT;

	if (!(given & BIT(NETVEIL_A_LISTEN_PORT)) &&
	    state->listen_port != port) {
		attr->nla_type = NETVEIL_A_LISTEN_PORT;
		attr->nla_len = MNL_ATTR_HDRLEN + sizeof(port);
		memcpy(mnl_attr_get_payload(attr), &port, sizeof(port));
		add_setting(plan, attr, NULL);
		attr = mnl_attr_next(attr);
	}
	if (!(given & BIT(NETVEIL_A_CIPHER)) &&
	    state->cipher != NETVEIL_CIPHER_AUTO) {
		attr->nla_type = NETVEIL_A_CIPHER;
		attr->nla_len = MNL_ATTR_HDRLEN + sizeof(uint8_t);
		add_setting(plan, attr, NULL);
		attr = mnl_attr_next(attr);
	}
	if (!(given & (BIT(NETVEIL_A_LOCAL) | BIT(NETVEIL_A_NO_LOCAL))) &&
	    state->local_count) {
		attr->nla_type = NETVEIL_A_NO_LOCAL;
		attr->nla_len = MNL_ATTR_HDRLEN;
		add_setting(plan, attr, NULL);
		attr = mnl_attr_next(attr);
	}
	if (!(given & BIT(NETVEIL_A_RX_MASK)) && state->rx_mask)
		add_no_mark(plan, attr);
}

int plan_settings(struct plan *plan, const struct batch *batch,
		  const struct state *state, bool whole)
{
	bool promoted = key_promoted(batch, state);
	int code = refuse_same_keys(batch);
	uint64_t given = 0;
	size_t i;

	for (i = 0; i < batch->count && !code; i++)
		if (batch->list[i].command == NETVEIL_CMD_SET)
			code = plan_change(plan, &batch->list[i], state,
					   promoted, &given);
	if (!code && whole)
		plan_defaults(plan, state, given);
	return code;
}
