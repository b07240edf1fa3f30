// SPDX-License-Identifier: GPL-2.0
/*
 * A plan for people and programs: what goes (-), what comes (+).
 */
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "names.h"
#include "out.h"
#include "plan.h"

enum side { GOES, COMES };

static void line_begin(const struct out *out, enum side side, const char *text)
{
	out_text(out, side == COMES ? COLOR_GOOD : COLOR_BAD, "%c %s",
		 side == COMES ? '+' : '-', text);
}

/* The word after option in a statement: a file's name, which alone is told of a
 * secret.
 */
static const char *word_after(const struct statement *statement,
			      const char *option)
{
	int i;

	for (i = 0; statement && i + 1 < statement->count; i++)
		if (!strcmp(statement->words[i], option))
			return statement->words[i + 1];
	return "(one that only the kernel knows)";
}

static const char *value_word(char text[2 * TEXT_LEN],
			      const struct record *record,
			      const struct prop *prop, unsigned int n)
{
	if (prop->kind != PROP_SECRET || !record_value(record, prop, n))
		return record_word(text, record, prop, n);
	snprintf(text, 2 * TEXT_LEN, "%s %s", prop->word,
		 word_after(record->statement, prop->word));
	return text;
}

/* A peer that goes or comes as a whole. */
static void show_whole(struct out *out, enum side side,
		       const struct record *record)
{
	char text[2 * TEXT_LEN], key[TEXT_LEN];
	const char *word;
	unsigned int n;
	size_t i;

	snprintf(text, sizeof(text), "peer add %s",
		 format_key(key, record->key));
	line_begin(out, side, text);
	for (i = 0; i < prop_count; i++)
		for (n = 0; record_value(record, &props[i], n); n++) {
			word = value_word(text, record, &props[i], n);
			if (word)
				out_text(out, COLOR_NONE, " %s", word);
		}
	out_text(out, COLOR_NONE, "\n");
}

static void show_values(struct out *out, enum side side,
			const struct record *record, const struct prop *prop)
{
	char text[2 * TEXT_LEN];
	const char *word;
	unsigned int n;

	for (n = 0; record_value(record, prop, n); n++) {
		word = value_word(text, record, prop, n);
		if (!word)
			continue;
		line_begin(out, side, "        ");
		out_text(out, COLOR_NONE, "%s\n", word);
	}
}

static bool prop_differs(const struct step *step, const struct prop *prop)
{
	return step_changes(step, prop) &&
	       !record_same(step->wanted, step->present, prop) &&
	       !(step->promoted && (prop->kind == PROP_KEY ||
				    prop->kind == PROP_SECRET));
}

static bool step_differs(const struct step *step)
{
	size_t i;

	if (step->other || step->policy || !step->wanted || !step->present)
		return true;
	for (i = 0; i < prop_count; i++)
		if (prop_differs(step, &props[i]))
			return true;
	return false;
}

static void show_changed(struct out *out, const struct step *step)
{
	char key[TEXT_LEN];
	size_t i;

	out_text(out, COLOR_NONE, "  peer add %s\n",
		 format_key(key, step->wanted->key));
	out_array(out, "properties");
	for (i = 0; i < prop_count; i++) {
		if (!prop_differs(step, &props[i]))
			continue;
		out_json_string(out, NULL, props[i].word);
		show_values(out, GOES, step->present, &props[i]);
		show_values(out, COMES, step->wanted, &props[i]);
	}
	out_close(out);
}

static void show_policy(struct out *out, const struct step *step)
{
	const struct statement *statement =
		step->other ? step->other->statement : NULL;
	char prefix[TEXT_LEN], text[2 * TEXT_LEN];
	int i;

	if (!step->other && !step->policy)
		return;
	out_object(out, NULL);
	out_json_string(out, "change", !step->other ? "remove" :
			step->policy ? "set" : "add");
	if (step->policy) {
		format_prefix(prefix, &step->policy->prefix);
		snprintf(text, sizeof(text), "policy add %s %s\n", prefix,
			 name_of(policy_names, POLICY_NAMES,
				 step->policy->kind));
		line_begin(out, GOES, text);
	}
	out_json_string(out, "prefix", step->policy ? prefix :
			statement->words[2]);
	for (i = 0; statement && i < statement->count; i++)
		out_text(out, i ? COLOR_NONE : COLOR_GOOD, "%s%s",
			 i ? " " : "+ ", statement->words[i]);
	if (statement)
		out_text(out, COLOR_NONE, "\n");
	out_close(out);
}

static void show_step(struct out *out, const struct step *step)
{
	const struct record *record = step->wanted ? step->wanted :
				      step->present;
	char key[TEXT_LEN];

	if (!record || !step_differs(step))
		return;
	out_object(out, NULL);
	out_json_string(out, "change", !step->wanted ? "remove" :
			!step->present ? "add" : "set");
	out_json_string(out, "public_key", format_key(key, record->key));
	if (step->wanted && step->present)
		show_changed(out, step);
	else
		show_whole(out, step->wanted ? COMES : GOES, record);
	out_close(out);
}

/* was or is may be empty: there was, or will be, nothing of it. */
static void show_lines(struct out *out, const char *was, const char *is)
{
	if (*was) {
		line_begin(out, GOES, was);
		out_text(out, COLOR_NONE, "\n");
	}
	if (*is) {
		line_begin(out, COMES, is);
		out_text(out, COLOR_NONE, "\n");
	}
}

static void show_identity(struct out *out, const struct setting *setting,
			  const char *word, const uint8_t *public)
{
	char was[2 * TEXT_LEN] = "", is[2 * TEXT_LEN] = "", key[TEXT_LEN];

	out_json_string(out, NULL, word);
	if (public)
		snprintf(was, sizeof(was), "set %s, whose public key is %s",
			 word, format_key(key, public));
	if (mnl_attr_get_type(setting->attr) != NETVEIL_A_NO_NEXT)
		snprintf(is, sizeof(is), "set %s %s", word,
			 word_after(setting->statement, word));
	show_lines(out, was, is);
}

static void show_mark(struct out *out, const struct setting *mark,
		      const struct setting *mask, const struct state *state)
{
	char was[2 * TEXT_LEN] = "", is[2 * TEXT_LEN] = "";

	out_json_string(out, NULL, "rx-mark");
	if (state->rx_mask)
		snprintf(was, sizeof(was), "set rx-mark 0x%x/0x%x",
			 state->rx_mark, state->rx_mask);
	if (mnl_attr_get_u32(mask->attr))
		snprintf(is, sizeof(is), "set rx-mark 0x%x/0x%x",
			 mnl_attr_get_u32(mark->attr),
			 mnl_attr_get_u32(mask->attr));
	show_lines(out, was, is);
}

static const struct setting *find_setting(const struct plan *plan,
					  uint16_t type)
{
	size_t i;

	for (i = 0; i < plan->setting_count; i++)
		if (mnl_attr_get_type(plan->settings[i].attr) == type)
			return &plan->settings[i];
	return NULL;
}

static bool stays_local(const struct plan *plan, const struct prefix *local)
{
	struct prefix prefix;
	size_t i;

	for (i = 0; i < plan->setting_count; i++)
		if (mnl_attr_get_type(plan->settings[i].attr) ==
			    NETVEIL_A_LOCAL &&
		    model_take_prefix(plan->settings[i].attr, &prefix) &&
		    prefix_equal(&prefix, local))
			return true;
	return false;
}

static void show_local(struct out *out, enum side side,
		       const struct prefix *prefix)
{
	char text[TEXT_LEN];

	line_begin(out, side, "set local ");
	out_text(out, COLOR_NONE, "%s\n", format_prefix(text, prefix));
}

/* All networks of this host are one setting. */
static void show_locals(struct out *out, const struct plan *plan,
			const struct state *state)
{
	struct prefix prefix;
	size_t i;

	if (!find_setting(plan, NETVEIL_A_LOCAL) &&
	    !find_setting(plan, NETVEIL_A_NO_LOCAL))
		return;
	out_json_string(out, NULL, "local");
	for (i = 0; i < state->local_count; i++)
		if (!stays_local(plan, &state->locals[i]))
			show_local(out, GOES, &state->locals[i]);
	for (i = 0; i < plan->setting_count; i++)
		if (mnl_attr_get_type(plan->settings[i].attr) ==
			    NETVEIL_A_LOCAL &&
		    !plan_is_local(plan->settings[i].attr, state) &&
		    model_take_prefix(plan->settings[i].attr, &prefix))
			show_local(out, COMES, &prefix);
}

/* Whether it changes for certain: nobody but the kernel can read a keyring, and a next
 * key may have become the current one.
 */
static bool setting_differs(const struct plan *plan,
			    const struct setting *setting,
			    const struct state *state)
{
	switch (mnl_attr_get_type(setting->attr)) {
	case NETVEIL_A_PRIVATE_KEY:
		return state->has_next_key ||
		       state->origin != NETVEIL_KEY_KEYRING ||
		       !find_setting(plan, NETVEIL_A_NEXT_PRIVATE_KEY_SERIAL);
	case NETVEIL_A_PRIVATE_KEY_SERIAL:
		return state->origin != NETVEIL_KEY_KEYRING;
	case NETVEIL_A_NEXT_PRIVATE_KEY_SERIAL:
		return state->next_origin != NETVEIL_KEY_KEYRING &&
		       (state->has_next_key ||
			state->origin != NETVEIL_KEY_KEYRING);
	default:
		return true;
	}
}

static void show_setting(struct out *out, const struct plan *plan,
			 const struct setting *setting,
			 const struct state *state)
{
	char was[2 * TEXT_LEN], is[2 * TEXT_LEN];

	if (!setting_differs(plan, setting, state))
		return;
	switch (mnl_attr_get_type(setting->attr)) {
	case NETVEIL_A_LISTEN_PORT:
		out_json_string(out, NULL, "listen-port");
		snprintf(was, sizeof(was), "set listen-port %u",
			 state->listen_port);
		snprintf(is, sizeof(is), "set listen-port %u",
			 mnl_attr_get_u16(setting->attr));
		show_lines(out, was, is);
		break;
	case NETVEIL_A_CIPHER:
		out_json_string(out, NULL, "cipher");
		snprintf(was, sizeof(was), "set cipher %s",
			 name_of(cipher_names, CIPHER_NAMES, state->cipher));
		snprintf(is, sizeof(is), "set cipher %s",
			 name_of(cipher_names, CIPHER_NAMES,
				 mnl_attr_get_u8(setting->attr)));
		show_lines(out, was, is);
		break;
	case NETVEIL_A_PRIVATE_KEY:
	case NETVEIL_A_PRIVATE_KEY_SERIAL:
		show_identity(out, setting, "private-key",
			      state->has_key ? state->public_key : NULL);
		break;
	case NETVEIL_A_NEXT_PRIVATE_KEY:
	case NETVEIL_A_NEXT_PRIVATE_KEY_SERIAL:
	case NETVEIL_A_NO_NEXT:
		show_identity(out, setting, "next-private-key",
			      state->has_next_key ? state->next_key : NULL);
		break;
	case NETVEIL_A_RX_MARK:
		show_mark(out, setting,
			  find_setting(plan, NETVEIL_A_RX_MASK), state);
		break;
	default:
		break;
	}
}

bool plan_differs(const struct plan *plan, const struct state *state)
{
	size_t i;

	for (i = 0; i < plan->count; i++)
		if (step_differs(&plan->steps[i]))
			return true;
	for (i = 0; i < plan->setting_count; i++)
		if (setting_differs(plan, &plan->settings[i], state))
			return true;
	return false;
}

int show_plan(struct env *env, const struct plan *plan,
	      const struct present *present)
{
	struct out out;
	size_t i;

	out_begin(&out, env);
	out_object(&out, NULL);
	out_array(&out, "settings");
	for (i = 0; i < plan->setting_count; i++)
		show_setting(&out, plan, &plan->settings[i], &present->state);
	show_locals(&out, plan, &present->state);
	out_close(&out);
	out_array(&out, "peers");
	for (i = 0; i < plan->count; i++)
		show_step(&out, &plan->steps[i]);
	out_close(&out);
	out_array(&out, "policies");
	for (i = 0; i < plan->count; i++)
		show_policy(&out, &plan->steps[i]);
	out_close(&out);
	out_close(&out);
	return out_end(&out);
}
