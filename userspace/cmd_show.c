// SPDX-License-Identifier: GPL-2.0
/*
 * veil show: all that there is to know about this network namespace.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "format.h"
#include "model.h"
#include "names.h"
#include "nl.h"
#include "out.h"

/* One line that says whether anything is protected. */
static void show_summary(struct out *out, const struct state *state,
			 const struct peers *peers)
{
	size_t up = 0, i;

	for (i = 0; i < peers->count; i++)
		up += peers->list[i].state == NETVEIL_STATE_UP;
	out_heading(out, "netveil", "");
	if (!peers->count)
		out_line(out, "state", COLOR_WAIT,
			 "no peers: nothing is encrypted");
	else if (!state->has_key)
		out_line(out, "state", COLOR_BAD,
			 "no key: all traffic with peers is dropped");
	else
		out_line(out, "state", up ? COLOR_GOOD : COLOR_WAIT,
			 "%zu of %zu peers up", up, peers->count);
}

static void show_trial(struct out *out, const struct state *state)
{
	if (!state->confirm) {
		out_json_string(out, "confirm", NULL);
		return;
	}
	out_json_number(out, "confirm", state->confirm);
	out_line(out, "on trial", COLOR_WAIT,
		 "undone in %" PRIu32 " s unless 'veil confirm' comes before",
		 state->confirm);
}

static void show_key(struct out *out, const struct state *state)
{
	const char *origin = name_of(origin_names, ORIGIN_NAMES, state->origin);
	char text[TEXT_LEN];

	format_key(text, state->public_key);
	out_json_string(out, "public_key", state->has_key ? text : NULL);
	out_json_string(out, "key_origin", origin);
	if (!state->has_key)
		out_line(out, "public key", COLOR_BAD,
			 "none: make one with 'veil key generate'");
	else
		out_line(out, "public key", COLOR_NONE, "%s%s", text,
			 state->origin == NETVEIL_KEY_KERNEL ?
			 " (only in the kernel)" : "");
}

static void show_next_key(struct out *out, const struct state *state)
{
	const char *origin = name_of(origin_names, ORIGIN_NAMES,
				     state->next_origin);
	char text[TEXT_LEN];

	format_key(text, state->next_key);
	out_json_string(out, "next_public_key",
			state->has_next_key ? text : NULL);
	out_json_string(out, "next_key_origin", origin);
	out_json_number(out, "retire", state->retire);
	if (state->has_next_key)
		out_line(out, "next key", COLOR_WAIT, "%s%s", text,
			 state->next_origin == NETVEIL_KEY_KERNEL ?
			 " (only in the kernel)" : "");
	if (state->retire)
		out_line(out, "old key goes", COLOR_WAIT, "in %" PRIu32 " s",
			 state->retire);
}

static void show_cipher(struct out *out, const struct state *state)
{
	char list[TEXT_LEN] = "";
	size_t len = 0;
	unsigned int i;

	out_json_string(out, "cipher",
			name_of(cipher_names, CIPHER_NAMES, state->cipher));
	out_array(out, "aeads");
	for (i = 0; i < state->aead_count; i++) {
		const char *name = name_of(cipher_names, CIPHER_NAMES,
					   state->aeads[i]);

		out_json_string(out, NULL, name);
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len,
						"%s%s", i ? ", " : "", name);
	}
	out_close(out);
	if (state->cipher == NETVEIL_CIPHER_AUTO)
		out_line(out, "cipher", COLOR_NONE, "auto (fastest first: %s)",
			 list);
	else
		out_line(out, "cipher", COLOR_NONE, "%s",
			 name_of(cipher_names, CIPHER_NAMES, state->cipher));
}

static void show_locals(struct out *out, const struct state *state)
{
	char text[TEXT_LEN];
	unsigned int i;

	out_array(out, "local");
	for (i = 0; i < state->local_count; i++) {
		format_prefix(text, &state->locals[i]);
		out_string(out, NULL, i ? "" : "local", COLOR_NONE, text);
	}
	out_close(out);
}

static void show_mark(struct out *out, const struct state *state)
{
	char text[TEXT_LEN];

	if (!state->rx_mask) {
		out_json_string(out, "rx_mark", NULL);
		return;
	}
	snprintf(text, sizeof(text), "0x%" PRIx32 "/0x%" PRIx32,
		 state->rx_mark, state->rx_mask);
	out_string(out, "rx_mark", "rx mark", COLOR_NONE, text);
}

static void show_peers(struct out *out, const struct peers *peers)
{
	size_t i;

	out_array(out, "peers");
	for (i = 0; i < peers->count; i++) {
		out_gap(out);
		show_peer(out, &peers->list[i]);
	}
	out_close(out);
}

/* All reasons in JSON, those that happened in text. */
static void show_drops(struct out *out, const struct state *state)
{
	bool headed = false;
	unsigned int i;

	out_object(out, "drops");
	for (i = 0; i < state->drop_count; i++) {
		const struct drop *drop = &state->drops[i];

		out_json_number(out, drop->reason, drop->count);
		if (!drop->count)
			continue;
		if (!headed) {
			out_gap(out);
			out_heading(out, "dropped packets, by reason", "");
		}
		headed = true;
		out_line(out, drop->reason, COLOR_NONE, "%" PRIu64,
			 drop->count);
	}
	out_close(out);
}

static int print_all(struct env *env, const struct state *state,
		     const struct peers *peers, const struct policies *policies)
{
	char port[TEXT_LEN];
	struct out out;

	snprintf(port, sizeof(port), "%u (UDP)", state->listen_port);
	out_begin(&out, env);
	out_object(&out, NULL);
	show_summary(&out, state, peers);
	show_trial(&out, state);
	show_key(&out, state);
	show_next_key(&out, state);
	out_number(&out, "listen_port", "listen port", state->listen_port,
		   port);
	show_cipher(&out, state);
	show_locals(&out, state);
	show_mark(&out, state);
	show_peers(&out, peers);
	if (policies->count)
		out_gap(&out);
	show_policies(&out, policies);
	show_drops(&out, state);
	out_close(&out);
	return out_end(&out);
}

int take_everything(struct env *env, struct everything *all, const char *what)
{
	struct nl nl = {0};
	int code = nl_open(&nl, env);

	if (!code)
		code = model_get_everything(&nl, all, what);
	nl_close(&nl);
	return code;
}

void free_everything(struct everything *all)
{
	model_free_policies(&all->policies);
	model_free_peers(&all->peers);
}

int cmd_show(struct env *env, struct words *words)
{
	struct everything all = {0};
	int code;

	if (words->count)
		return cmd_peer_show(env, words);
	code = take_everything(env, &all, "show");
	if (!code)
		code = print_all(env, &all.state, &all.peers, &all.policies);
	free_everything(&all);
	return code;
}
