// SPDX-License-Identifier: GPL-2.0
/*
 * veil peer show: one peer, or all of them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cmd.h"
#include "err.h"
#include "format.h"
#include "model.h"
#include "names.h"
#include "nl.h"
#include "out.h"

static void show_addresses(struct out *out, const struct peer *peer)
{
	char text[TEXT_LEN];
	unsigned int i;

	out_array(out, "addresses");
	for (i = 0; i < peer->address_count; i++) {
		format_address(text, &peer->addresses[i]);
		out_string(out, NULL, i ? "" : "address", COLOR_NONE, text);
	}
	out_close(out);
}

static void show_prefixes(struct out *out, const struct peer *peer)
{
	char text[TEXT_LEN];
	unsigned int i;

	out_array(out, "prefixes");
	for (i = 0; i < peer->prefix_count; i++) {
		format_prefix(text, &peer->prefixes[i]);
		out_string(out, NULL, i ? "" : "prefix", COLOR_NONE, text);
	}
	out_close(out);
}

static void show_endpoint(struct out *out, const struct endpoint *endpoint)
{
	char text[TEXT_LEN];

	if (!endpoint->address.len) {
		out_json_string(out, "endpoint", NULL);
		out_line(out, "endpoint", COLOR_WAIT,
			 "not known until the peer is heard");
		return;
	}
	out_object(out, "endpoint");
	out_json_string(out, "address",
			format_address(text, &endpoint->address));
	out_json_number(out, "port", endpoint->port);
	out_close(out);
	out_line(out, "endpoint", COLOR_NONE, "%s",
		 format_endpoint(text, endpoint));
}

static void show_roaming(struct out *out, const struct peer *peer)
{
	out_json_bool(out, "roaming", peer->roaming);
	if (peer->roaming)
		out_line(out, "roaming", COLOR_NONE, "yes");
	out_json_number(out, "keepalive", peer->keepalive);
	if (peer->keepalive)
		out_line(out, "keepalive", COLOR_NONE, "every %u s",
			 peer->keepalive);
}

static enum color state_color(uint8_t state)
{
	switch (state) {
	case NETVEIL_STATE_UP:
		return COLOR_GOOD;
	case NETVEIL_STATE_HANDSHAKE:
		return COLOR_WAIT;
	default:
		return COLOR_NONE;
	}
}

static void show_session(struct out *out, const struct peer *peer)
{
	const char *cipher = name_of(cipher_names, CIPHER_NAMES, peer->cipher);
	char text[TEXT_LEN];

	out_string(out, "state", "state", state_color(peer->state),
		   name_of(state_names, STATE_NAMES, peer->state));
	out_string(out, "cipher", "cipher", COLOR_NONE,
		   peer->has_session ? cipher : NULL);
	if (peer->has_session)
		out_json_number(out, "session_age_ms", peer->session_age);
	else
		out_json_string(out, "session_age_ms", NULL);
	if (peer->last_handshake) {
		format_ago(text, peer->last_handshake, (uint64_t)time(NULL));
		out_number(out, "last_handshake", "last handshake",
			   peer->last_handshake, text);
	} else {
		out_json_string(out, "last_handshake", NULL);
		out_line(out, "last handshake", COLOR_NONE, "never");
	}
}

static void show_policy(struct out *out, const struct peer *peer)
{
	const char *name = name_of(policy_names, POLICY_NAMES, peer->policy);

	out_json_string(out, "policy", name);
	out_json_bool(out, "confirmed", peer->confirmed);
	if (peer->policy == NETVEIL_POLICY_BYPASS)
		out_line(out, "policy", COLOR_BAD,
			 "bypass: everything passes in clear");
	else if (peer->policy != NETVEIL_POLICY_PREFER)
		out_line(out, "policy", COLOR_NONE, "%s", name);
	else if (peer->confirmed)
		out_line(out, "policy", COLOR_GOOD,
			 "prefer: nothing passes in clear since the first session");
	else
		out_line(out, "policy", COLOR_WAIT,
			 "prefer: until the first session safe from passive taps only");
	show_clear(out, &peer->clear);
}

static void show_direction(struct out *out, const char *label, uint64_t bytes,
			   uint64_t packets)
{
	char size[TEXT_LEN], count[TEXT_LEN];

	out_line(out, label, COLOR_NONE, "%s in %s", format_bytes(size, bytes),
		 format_packets(count, packets));
}

static void show_traffic(struct out *out, const struct peer *peer)
{
	out_json_number(out, "rx_bytes", peer->rx_bytes);
	out_json_number(out, "rx_packets", peer->rx_packets);
	out_json_number(out, "tx_bytes", peer->tx_bytes);
	out_json_number(out, "tx_packets", peer->tx_packets);
	show_direction(out, "received", peer->rx_bytes, peer->rx_packets);
	show_direction(out, "sent", peer->tx_bytes, peer->tx_packets);
}

static void show_trouble(struct out *out, const struct peer *peer)
{
	char text[TEXT_LEN];

	out_json_number(out, "queued", peer->queued);
	out_json_number(out, "drops", peer->drops);
	out_json_number(out, "mtu", peer->mtu);
	if (peer->queued)
		out_line(out, "waiting", COLOR_WAIT, "%s",
			 format_packets(text, peer->queued));
	if (peer->drops)
		out_line(out, "dropped", COLOR_BAD, "%s",
			 format_packets(text, peer->drops));
	if (peer->mtu)
		out_line(out, "path mtu", COLOR_NONE, "%" PRIu32, peer->mtu);
}

static void show_keys(struct out *out, const struct peer *peer)
{
	char text[TEXT_LEN];

	format_key(text, peer->next_key);
	out_json_string(out, "next_key", peer->has_next_key ? text : NULL);
	out_json_bool(out, "psk", peer->has_psk);
	out_json_bool(out, "psk_next", peer->has_psk_next);
	out_json_bool(out, "on_our_next_key", peer->on_next);
	if (peer->has_next_key)
		out_line(out, "next key", COLOR_WAIT, "%s", text);
	out_line(out, "psk", COLOR_NONE, "%s%s", peer->has_psk ? "yes" : "no",
		 peer->has_psk_next ? ", and a next one" : "");
	if (peer->on_next)
		out_line(out, "our key", COLOR_GOOD,
			 "the next one: it needs the old one no more");
}

void show_peer(struct out *out, const struct peer *peer)
{
	char text[TEXT_LEN];

	format_key(text, peer->public_key);
	out_object(out, NULL);
	out_json_string(out, "public_key", text);
	out_heading(out, "peer", text);
	show_addresses(out, peer);
	show_prefixes(out, peer);
	show_endpoint(out, &peer->endpoint);
	show_roaming(out, peer);
	show_keys(out, peer);
	show_policy(out, peer);
	show_session(out, peer);
	show_traffic(out, peer);
	show_trouble(out, peer);
	out_close(out);
}

static int print_peers(struct env *env, const struct peers *peers)
{
	struct out out;
	size_t i;

	out_begin(&out, env);
	out_array(&out, NULL);
	for (i = 0; i < peers->count; i++) {
		if (i)
			out_gap(&out);
		show_peer(&out, &peers->list[i]);
	}
	out_close(&out);
	return out_end(&out);
}

int cmd_peer_show(struct env *env, struct words *words)
{
	const char *word = words_next(words);
	struct peers all = {0}, one = {0};
	struct nl nl = {0};
	int code = words_end(words);

	if (!code)
		code = nl_open(&nl, env);
	if (!code)
		code = nl_dump(&nl, NETVEIL_CMD_PEER_GET, model_parse_peer,
			       model_free_peers, &all, "peer show");
	nl_close(&nl);
	if (!code && word) {
		one.list = (struct peer *)model_find(&all, word, "peer show");
		one.count = 1;
		code = one.list ? 0 : EXIT_FAILED;
	}
	if (!code)
		code = print_peers(env, word ? &one : &all);
	model_free_peers(&all);
	return code;
}
