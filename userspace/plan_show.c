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

static void show_setting(struct out *out, const struct setting *setting,
			 const struct state *state)
{
	char key[TEXT_LEN] = "(none)", was[2 * TEXT_LEN], is[2 * TEXT_LEN];
	const char *word = "setting";

	switch (mnl_attr_get_type(setting->attr)) {
	case NETVEIL_A_LISTEN_PORT:
		word = "listen-port";
		snprintf(was, sizeof(was), "set listen-port %u",
			 state->listen_port);
		snprintf(is, sizeof(is), "set listen-port %u",
			 mnl_attr_get_u16(setting->attr));
		break;
	case NETVEIL_A_CIPHER:
		word = "cipher";
		snprintf(was, sizeof(was), "set cipher %s",
			 name_of(cipher_names, CIPHER_NAMES, state->cipher));
		snprintf(is, sizeof(is), "set cipher %s",
			 name_of(cipher_names, CIPHER_NAMES,
				 mnl_attr_get_u8(setting->attr)));
		break;
	case NETVEIL_A_PRIVATE_KEY:
		word = "private-key";
		if (state->has_key)
			format_key(key, state->public_key);
		snprintf(was, sizeof(was), "set private-key, whose public key is %s",
			 key);
		snprintf(is, sizeof(is), "set private-key %s",
			 word_after(setting->statement, "private-key"));
		break;
	default:
		return;
	}
	out_json_string(out, NULL, word);
	line_begin(out, GOES, was);
	out_text(out, COLOR_NONE, "\n");
	line_begin(out, COMES, is);
	out_text(out, COLOR_NONE, "\n");
}

bool plan_differs(const struct plan *plan)
{
	size_t i;

	for (i = 0; i < plan->count; i++)
		if (step_differs(&plan->steps[i]))
			return true;
	return plan->setting_count;
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
		show_setting(&out, &plan->settings[i], &present->state);
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
