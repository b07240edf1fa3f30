// SPDX-License-Identifier: GPL-2.0
/*
 * A plan as one request to the kernel, and where a fault in it comes from.
 */
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "plan.h"
#include "refusal.h"

/* Room for a change beside its peer: two nests, the command, a flag. */
#define CHANGE_ROOM	64

/* Which bytes of the request stand for which statement. */
struct origin {
	uint32_t end;
	const struct statement *statement;
};

struct message {
	struct locator locator;		/* first */
	struct nlmsghdr *request;
	struct origin *origins;
	size_t count;
};

static void locate(const struct locator *locator, uint32_t offset,
		   const char *thing)
{
	const struct message *message = (const struct message *)locator;
	const struct statement *statement = NULL;
	size_t i;
	int n;

	for (i = 0; i < message->count && !statement; i++)
		if (offset < message->origins[i].end)
			statement = message->origins[i].statement;
	err_place(NULL);
	if (!statement || !offset)
		return;
	err_place(statement->places);
	for (n = 0; n < statement->count && *thing; n++)
		if (!strcmp(statement->words[n], thing))
			err_place(&statement->places[n]);
}

static void mark(struct message *message, const struct statement *statement)
{
	message->origins[message->count++] =
		(struct origin){ message->request->nlmsg_len, statement };
}

static void put_attrs(struct nlmsghdr *request, const void *attrs, size_t len)
{
	memcpy(mnl_nlmsg_get_payload_tail(request), attrs, len);
	request->nlmsg_len += (uint32_t)MNL_ALIGN(len);
}

static struct nlattr *begin(struct nlmsghdr *request, uint8_t command)
{
	struct nlattr *change = mnl_attr_nest_start(request, NETVEIL_A_CHANGE);

	mnl_attr_put_u8(request, NETVEIL_A_COMMAND, command);
	return change;
}

/* A peer by its key alone; the nest is left open. */
static struct nlattr *begin_peer(struct nlmsghdr *request,
				 const struct record *record)
{
	struct nlattr *peer = mnl_attr_nest_start(request, NETVEIL_A_PEER);

	mnl_attr_put(request, NETVEIL_PEER_A_PUBLIC_KEY, NETVEIL_KEY_LEN,
		     record->key);
	return peer;
}

static void put_prefix(struct nlmsghdr *request, const struct prefix *prefix)
{
	uint8_t bytes[sizeof(prefix->address.bytes) + 1];
	size_t len = prefix->address.len;

	memcpy(bytes, prefix->address.bytes, len);
	bytes[len] = prefix->length;
	mnl_attr_put(request, NETVEIL_A_PREFIX, len + 1, bytes);
}

static void put_removal(struct nlmsghdr *request, const struct record *record)
{
	struct nlattr *change = begin(request, NETVEIL_CMD_PEER_DEL);

	mnl_attr_nest_end(request, begin_peer(request, record));
	mnl_attr_nest_end(request, change);
}

static void put_addition(struct nlmsghdr *request, const struct record *record)
{
	struct nlattr *change = begin(request, NETVEIL_CMD_PEER_ADD);

	put_attrs(request, record->nest, record->nest->nla_len);
	mnl_attr_nest_end(request, change);
}

/* A secret from a keyring is there as its serial. */
static uint16_t value_attr(const struct value *value)
{
	const struct prop *prop = value->prop;

	return prop->serial && value->len == sizeof(int32_t) ? prop->serial :
							       prop->attr;
}

static void put_property(struct nlmsghdr *request, const struct record *record,
			 const struct prop *prop)
{
	const struct value *value;
	unsigned int n;

	for (n = 0; (value = record_value(record, prop, n)); n++)
		mnl_attr_put(request, value_attr(value), value->len,
			     value->data);
	if (!n)
		mnl_attr_put(request, prop->unset, 0, NULL);
}

static void put_settlement(struct nlmsghdr *request, const struct step *step)
{
	struct nlattr *change = begin(request, NETVEIL_CMD_PEER_SET);
	struct nlattr *peer = begin_peer(request, step->present);
	size_t i;

	for (i = 0; i < prop_count; i++)
		if (step_changes(step, &props[i]))
			put_property(request, step->wanted, &props[i]);
	mnl_attr_nest_end(request, peer);
	mnl_attr_nest_end(request, change);
}

static void put_policy(struct nlmsghdr *request, const struct step *step)
{
	struct nlattr *change;
	uint8_t command = !step->other ? NETVEIL_CMD_POLICY_DEL :
			  step->policy ? NETVEIL_CMD_POLICY_SET :
					 step->other->command;

	change = begin(request, command);
	if (step->other)
		put_attrs(request, step->other->attrs, step->other->len);
	else
		put_prefix(request, &step->policy->prefix);
	mnl_attr_nest_end(request, change);
}

static void put_step(struct message *message, const struct step *step)
{
	struct nlmsghdr *request = message->request;

	if (step->other || step->policy) {
		put_policy(request, step);
		mark(message, step->other ? step->other->statement : NULL);
		return;
	}
	if (step->present && (!step->wanted || step->anew))
		put_removal(request, step->present);
	mark(message, NULL);
	if (step->wanted && step->present && !step->anew)
		put_settlement(request, step);
	else if (step->wanted)
		put_addition(request, step->wanted);
	mark(message, step->wanted ? step->wanted->statement : NULL);
}

static size_t size_of(const struct plan *plan)
{
	size_t size = NL_REQUEST_SIZE, i;

	for (i = 0; i < plan->setting_count; i++)
		size += MNL_ALIGN(plan->settings[i].attr->nla_len);
	for (i = 0; i < plan->count; i++) {
		const struct step *step = &plan->steps[i];

		/* Defaults among the values are what makes it up to double. */
		size += 3 * CHANGE_ROOM + 64;
		if (step->wanted)
			size += 2U * step->wanted->nest->nla_len;
		if (step->other)
			size += step->other->len;
	}
	return size;
}

int plan_apply(const struct plan *plan, struct nl *nl, const char *what)
{
	struct message message = { .locator.locate = locate };
	size_t i, size = size_of(plan);
	void *buffer = calloc(1, size);
	int code;

	message.origins = calloc(2 * plan->count + plan->setting_count + 1,
				 sizeof(*message.origins));
	if (!buffer || !message.origins)
		die_no_memory();
	message.request = nl_request(nl, buffer, NETVEIL_CMD_APPLY, 0);
	mark(&message, NULL);
	for (i = 0; i < plan->setting_count; i++) {
		put_attrs(message.request, plan->settings[i].attr,
			  plan->settings[i].attr->nla_len);
		mark(&message, plan->settings[i].statement);
	}
	for (i = 0; i < plan->count; i++)
		put_step(&message, &plan->steps[i]);
	code = nl_apply(nl, message.request, &message.locator, what);
	err_place(NULL);
	free(buffer);
	free(message.origins);
	return code;
}
