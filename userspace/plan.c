// SPDX-License-Identifier: GPL-2.0
/*
 * What has to change for the kernel to be as configuration files say.
 */
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "err.h"
#include "plan.h"

/* What is there */

static int add_present(const struct nlmsghdr *answer, void *data)
{
	struct present *present = data;
	const struct nlattr *attr;
	struct nlattr *copy;

	mnl_attr_for_each(attr, answer, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attr) != NETVEIL_A_PEER)
			continue;
		present->peers = reallocarray(present->peers,
					      present->count + 1,
					      sizeof(*present->peers));
		copy = malloc(MNL_ALIGN(attr->nla_len));
		if (!present->peers || !copy)
			die_no_memory();
		memcpy(copy, attr, attr->nla_len);
		memset(&present->peers[present->count], 0,
		       sizeof(*present->peers));
		record_read(&present->peers[present->count++], copy);
	}
	return MNL_CB_OK;
}

static void forget_peers(void *data)
{
	struct present *present = data;
	size_t i;

	for (i = 0; i < present->count; i++) {
		free((void *)(uintptr_t)present->peers[i].nest);
		record_free(&present->peers[i]);
	}
	free(present->peers);
	present->peers = NULL;
	present->count = 0;
}

int present_get(struct present *present, struct nl *nl, const char *what)
{
	return model_take(nl, &present->state, &present->policies, add_present,
			  forget_peers, present, what);
}

void present_free(struct present *present)
{
	forget_peers(present);
	model_free_policies(&present->policies);
}

/* Peers */

static int compare_keys(const void *a, const void *b)
{
	const struct record *const *one = a, *const *other = b;

	return memcmp((*one)->key, (*other)->key, NETVEIL_KEY_LEN);
}

/* Sorted by key, to be searched. */
static const struct record **index_of(const struct record *list, size_t count)
{
	const struct record **index = calloc(count + 1, sizeof(*index));
	size_t i;

	if (!index)
		die_no_memory();
	for (i = 0; i < count; i++)
		index[i] = &list[i];
	qsort(index, count, sizeof(*index), compare_keys);
	return index;
}

static const struct record *search(const struct record **index, size_t count,
				   const struct record *record)
{
	const struct record **found;

	found = bsearch(&record, index, count, sizeof(*index), compare_keys);
	return found ? *found : NULL;
}

static struct step *add_step(struct plan *plan)
{
	plan->steps = reallocarray(plan->steps, plan->count + 1,
				   sizeof(*plan->steps));
	if (!plan->steps)
		die_no_memory();
	memset(&plan->steps[plan->count], 0, sizeof(*plan->steps));
	return &plan->steps[plan->count++];
}

static void read_wanted(struct plan *plan, const struct batch *batch)
{
	const struct nlattr *attr;
	size_t i;

	plan->wanted = calloc(batch->count + 1, sizeof(*plan->wanted));
	if (!plan->wanted)
		die_no_memory();
	for (i = 0; i < batch->count; i++) {
		const struct change *change = &batch->list[i];
		struct record *record = &plan->wanted[plan->wanted_count];

		if (change->command != NETVEIL_CMD_PEER_ADD)
			continue;
		mnl_attr_for_each_payload(change->attrs, change->len)
			if (mnl_attr_get_type(attr) == NETVEIL_A_PEER)
				record_read(record, attr);
		record->statement = change->statement;
		plan->wanted_count++;
	}
}

static int refuse_twice(const struct record *a, const struct record *b)
{
	const struct place *one = a->statement->places;
	const struct place *other = b->statement->places;
	bool swap = one->file == other->file && one->line > other->line;
	char text[TEXT_LEN];

	if (swap)
		return refuse_twice(b, a);
	err_place(other);
	return err_usage("the peer %s is given already at %s:%u",
			 format_key(text, a->key), one->file, one->line);
}

/* The kernel refuses both, but may have made one of them by now. */
static int refuse_next(const struct record *record, const struct record *other)
{
	const struct place *place = other->statement->places;

	err_place(record->statement->places);
	return err_usage("this key is the next one of the peer at %s:%u: one statement is to go",
			 place->file, place->line);
}

bool step_changes(const struct step *step, const struct prop *prop)
{
	if (!step->wanted || !step->present)
		return true;
	if (prop->kind == PROP_KEY && step->promoted)
		return false;
	/* It is where it says, if it roams. */
	if (prop->kind == PROP_ENDPOINT || prop->kind == PROP_PORT)
		return record_value(step->wanted, prop, 0) &&
		       !record_same(step->wanted, step->present, prop);
	/* A secret may have changed as well. */
	if (prop->kind == PROP_SECRET && record_value(step->wanted, prop, 0))
		return true;
	return !record_same(step->wanted, step->present, prop);
}

/* Nothing is done if nothing differs. */
static int plan_known(struct plan *plan, const struct record *wanted,
		      const struct record *present, bool promoted)
{
	struct step step = {
		.wanted = wanted, .present = present, .promoted = promoted,
	};
	bool changes = false;
	char key[TEXT_LEN];
	size_t i;

	for (i = 0; i < prop_count; i++) {
		const struct prop *prop = &props[i];

		if (!step_changes(&step, prop))
			continue;
		changes = true;
		if (prop->kind == PROP_ADDRESS || prop->kind == PROP_PREFIX ||
		    (!record_value(wanted, prop, 0) && !prop->unset))
			step.anew = true;
	}
	if (step.anew && promoted) {
		err_place(wanted->statement->places);
		return err_usage("this peer has the next key %s by now: write that one here before its addresses are changed",
				 format_key(key, present->key));
	}
	if (changes)
		*add_step(plan) = step;
	return 0;
}

/* The peer that the kernel knows by what is the next key of wanted. */
static const struct record *search_next(const struct record **index,
					size_t count,
					const struct record *wanted)
{
	const struct value *next = record_value(wanted, prop_next_key, 0);
	struct record named = {0};

	if (!next)
		return NULL;
	memcpy(named.key, next->data, sizeof(named.key));
	return search(index, count, &named);
}

static int refuse_doubles(const struct plan *plan,
			  const struct record **wanted)
{
	const struct record *named;
	size_t i;

	for (i = 1; i < plan->wanted_count; i++)
		if (!compare_keys(&wanted[i - 1], &wanted[i]))
			return refuse_twice(wanted[i - 1], wanted[i]);
	for (i = 0; i < plan->wanted_count; i++) {
		named = search_next(wanted, plan->wanted_count, wanted[i]);
		if (named && named != wanted[i])
			return refuse_next(named, wanted[i]);
	}
	return 0;
}

static int plan_wanted(struct plan *plan, const struct record **there,
		       const struct present *present, bool *used)
{
	const struct record *found, *next;
	int code = 0;
	size_t i;

	for (i = 0; i < plan->wanted_count && !code; i++) {
		const struct record *wanted = &plan->wanted[i];

		found = search(there, present->count, wanted);
		next = found ? NULL :
		       search_next(there, present->count, wanted);
		if (!found && !next) {
			add_step(plan)->wanted = wanted;
			continue;
		}
		code = plan_known(plan, wanted, found ? found : next, next);
		used[(found ? found : next) - present->peers] = true;
	}
	return code;
}

static int plan_peers(struct plan *plan, const struct present *present,
		      bool whole)
{
	const struct record **wanted = index_of(plan->wanted,
						plan->wanted_count);
	const struct record **there = index_of(present->peers, present->count);
	bool *used = calloc(present->count + 1, sizeof(*used));
	size_t i;
	int code;

	if (!used)
		die_no_memory();
	code = refuse_doubles(plan, wanted);
	if (!code)
		code = plan_wanted(plan, there, present, used);
	for (i = 0; i < present->count && whole; i++)
		if (!used[i])
			add_step(plan)->present = &present->peers[i];
	free(used);
	free(wanted);
	free(there);
	return code;
}

/* Policies */

/* Whether change adds one, and which. */
static bool policy_read(struct policy *policy, const struct change *change)
{
	const struct nlattr *attr;

	memset(policy, 0, sizeof(*policy));
	if (change->command != NETVEIL_CMD_POLICY_ADD)
		return false;
	mnl_attr_for_each_payload(change->attrs, change->len) {
		if (mnl_attr_get_type(attr) == NETVEIL_A_POLICY)
			policy->kind = mnl_attr_get_u8(attr);
		if (mnl_attr_get_type(attr) == NETVEIL_A_PREFIX)
			model_take_prefix(attr, &policy->prefix);
	}
	return true;
}

/* The kernel is asked to add it, or to change the one that it has. */
static void plan_policy(struct plan *plan, const struct change *change,
			const struct policy *wanted,
			const struct policies *present)
{
	struct step *step;
	size_t i;

	for (i = 0; i < present->count; i++)
		if (prefix_equal(&wanted->prefix, &present->list[i].prefix))
			break;
	if (i < present->count && wanted->kind == present->list[i].kind)
		return;
	step = add_step(plan);
	step->other = change;
	if (i < present->count)
		step->policy = &present->list[i];
}

struct wanted_policy {
	struct policy policy;
	const struct change *change;
};

static int compare_prefixes(const void *a, const void *b)
{
	const struct wanted_policy *one = a, *other = b;

	return prefix_compare(&one->policy.prefix, &other->policy.prefix);
}

/* Of each prefix in the order of the files. */
static int compare_policies(const void *a, const void *b)
{
	const struct wanted_policy *one = a, *other = b;
	int order = compare_prefixes(a, b);

	return order ? order : one->change < other->change ? -1 : 1;
}

/* All that the files have, sorted, to be searched. */
static struct wanted_policy *policies_of(const struct batch *batch,
					 size_t *count)
{
	struct wanted_policy *list = calloc(batch->count + 1, sizeof(*list));
	size_t i;

	if (!list)
		die_no_memory();
	*count = 0;
	for (i = 0; i < batch->count; i++) {
		if (!policy_read(&list[*count].policy, &batch->list[i]))
			continue;
		list[(*count)++].change = &batch->list[i];
	}
	qsort(list, *count, sizeof(*list), compare_policies);
	return list;
}

static int refuse_policy_twice(const struct wanted_policy *policy,
			       const struct wanted_policy *before)
{
	const struct place *place = before->change->statement->places;
	char text[TEXT_LEN];

	err_place(policy->change->statement->places);
	return err_usage("the policy for %s is given already at %s:%u",
			 format_prefix(text, &policy->policy.prefix),
			 place->file, place->line);
}

static int plan_policies(struct plan *plan, const struct batch *batch,
			 const struct policies *present, bool whole)
{
	struct wanted_policy wanted, *list;
	size_t count, i;
	int code = 0;

	list = policies_of(batch, &count);
	for (i = 1; i < count && !code; i++)
		if (!compare_prefixes(&list[i - 1], &list[i]))
			code = refuse_policy_twice(&list[i], &list[i - 1]);
	for (i = 0; i < batch->count && !code; i++)
		if (policy_read(&wanted.policy, &batch->list[i]))
			plan_policy(plan, &batch->list[i], &wanted.policy,
				    present);
	for (i = 0; i < present->count && whole && !code; i++) {
		wanted.policy = present->list[i];
		if (!bsearch(&wanted, list, count, sizeof(*list),
			     compare_prefixes))
			add_step(plan)->policy = &present->list[i];
	}
	free(list);
	return code;
}

int plan_make(struct plan *plan, const struct batch *batch,
	      const struct present *present, bool whole)
{
	int code;

	read_wanted(plan, batch);
	code = plan_peers(plan, present, whole);
	if (!code)
		code = plan_settings(plan, batch, &present->state, whole);
	if (!code)
		code = plan_policies(plan, batch, &present->policies, whole);
	err_place(NULL);
	return code;
}

void plan_free(struct plan *plan)
{
	size_t i;

	for (i = 0; i < plan->wanted_count; i++)
		record_free(&plan->wanted[i]);
	free(plan->wanted);
	free(plan->steps);
	free(plan->settings);
	memset(plan, 0, sizeof(*plan));
}
