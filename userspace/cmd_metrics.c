// SPDX-License-Identifier: GPL-2.0
/*
 * veil metrics: for Prometheus, in its text format, which node_exporter's
 * textfile collector takes, or in OpenMetrics.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "err.h"
#include "format.h"
#include "guard_counts.h"
#include "model.h"
#include "names.h"
#include "nl.h"

struct metric {
	const char *name;	/* a counter's ends with _total */
	const char *help;
	/* Whether there is a value, for one peer. */
	bool (*value)(const struct peer *peer, uint64_t *value);
};

static bool peer_up(const struct peer *peer, uint64_t *value)
{
	*value = peer->state == NETVEIL_STATE_UP;
	return true;
}

/* Idle peers have no session either. */
static bool peer_pending(const struct peer *peer, uint64_t *value)
{
	*value = peer->state == NETVEIL_STATE_HANDSHAKE;
	return true;
}

static bool peer_handshake(const struct peer *peer, uint64_t *value)
{
	*value = peer->last_handshake;
	return peer->last_handshake;
}

static bool peer_age(const struct peer *peer, uint64_t *value)
{
	*value = peer->session_age / 1000;
	return peer->has_session;
}

static bool peer_rx_bytes(const struct peer *peer, uint64_t *value)
{
	*value = peer->rx_bytes;
	return true;
}

static bool peer_tx_bytes(const struct peer *peer, uint64_t *value)
{
	*value = peer->tx_bytes;
	return true;
}

static bool peer_rx_packets(const struct peer *peer, uint64_t *value)
{
	*value = peer->rx_packets;
	return true;
}

static bool peer_tx_packets(const struct peer *peer, uint64_t *value)
{
	*value = peer->tx_packets;
	return true;
}

static bool peer_drops(const struct peer *peer, uint64_t *value)
{
	*value = peer->drops;
	return true;
}

static bool peer_clear_rx(const struct peer *peer, uint64_t *value)
{
	*value = peer->clear.rx_packets;
	return true;
}

static bool peer_clear_tx(const struct peer *peer, uint64_t *value)
{
	*value = peer->clear.tx_packets;
	return true;
}

/* Nothing passes in clear from now on. */
static bool peer_protected(const struct peer *peer, uint64_t *value)
{
	*value = peer->policy == NETVEIL_POLICY_REQUIRE ||
		 (peer->policy == NETVEIL_POLICY_PREFER && peer->confirmed);
	return true;
}

static bool peer_queued(const struct peer *peer, uint64_t *value)
{
	*value = peer->queued;
	return true;
}

static bool peer_mtu(const struct peer *peer, uint64_t *value)
{
	*value = peer->mtu;
	return peer->mtu;
}

static const struct metric metrics[] = {
	{ "netveil_peer_up", "Whether there is a confirmed session.", peer_up },
	{ "netveil_peer_handshake_pending",
	  "Whether a session is wanted and there is none.", peer_pending },
	{ "netveil_peer_last_handshake_timestamp_seconds",
	  "When the newest session was confirmed.", peer_handshake },
	{ "netveil_peer_session_age_seconds", "Age of the session.", peer_age },
	{ "netveil_peer_received_bytes_total",
	  "Bytes of plaintext packets delivered.", peer_rx_bytes },
	{ "netveil_peer_sent_bytes_total",
	  "Bytes of plaintext packets sealed.", peer_tx_bytes },
	{ "netveil_peer_received_packets_total",
	  "Plaintext packets delivered.", peer_rx_packets },
	{ "netveil_peer_sent_packets_total",
	  "Plaintext packets sealed.", peer_tx_packets },
	{ "netveil_peer_dropped_packets_total",
	  "Packets to or from the peer that were dropped.", peer_drops },
	{ "netveil_peer_protected",
	  "Whether all traffic with the peer is encrypted or dropped.",
	  peer_protected },
	{ "netveil_peer_clear_received_packets_total",
	  "Packets that prefer let in in clear.", peer_clear_rx },
	{ "netveil_peer_clear_sent_packets_total",
	  "Packets that prefer let out in clear.", peer_clear_tx },
	{ "netveil_peer_queued_packets",
	  "Packets that wait for a session.", peer_queued },
	{ "netveil_peer_path_mtu_bytes",
	  "Path MTU of outer packets that a router has told.", peer_mtu },
};

/* OpenMetrics names a counter's family without the suffix of its samples. */
static void put_family(const char *name, const char *help, bool open)
{
	static const char suffix[] = "_total";
	size_t len = strlen(name);
	bool counter = len > sizeof(suffix) &&
		       !strcmp(name + len + 1 - sizeof(suffix), suffix);

	if (counter && open)
		len -= sizeof(suffix) - 1;
	printf("# HELP %.*s %s\n# TYPE %.*s %s\n", (int)len, name, help,
	       (int)len, name, counter ? "counter" : "gauge");
}

static void put_peers(const struct metric *metric, const struct peers *peers,
		      bool open)
{
	char key[TEXT_LEN], address[TEXT_LEN];
	uint64_t value;
	size_t i;

	put_family(metric->name, metric->help, open);
	for (i = 0; i < peers->count; i++) {
		const struct peer *peer = &peers->list[i];

		if (!metric->value(peer, &value))
			continue;
		*address = '\0';
		if (peer->address_count)
			format_address(address, &peer->addresses[0]);
		printf("%s{public_key=\"%s\",address=\"%s\"} %" PRIu64 "\n",
		       metric->name, format_key(key, peer->public_key), address,
		       value);
	}
}

static void put_policy(const char *name, const struct policy *policy,
		       uint64_t value)
{
	char prefix[TEXT_LEN];

	printf("%s{prefix=\"%s\",policy=\"%s\"} %" PRIu64 "\n", name,
	       format_prefix(prefix, &policy->prefix),
	       name_of(policy_names, POLICY_NAMES, policy->kind), value);
}

static void put_policies(const struct policies *policies, bool open)
{
	static const char received[] =
		"netveil_policy_clear_received_packets_total";
	static const char sent[] = "netveil_policy_clear_sent_packets_total";
	static const char dropped[] = "netveil_policy_dropped_packets_total";
	size_t i;

	put_family(received, "Packets that prefer let in in clear.", open);
	for (i = 0; i < policies->count; i++)
		put_policy(received, &policies->list[i],
			   policies->list[i].clear.rx_packets);
	put_family(sent, "Packets that prefer let out in clear.", open);
	for (i = 0; i < policies->count; i++)
		put_policy(sent, &policies->list[i],
			   policies->list[i].clear.tx_packets);
	put_family(dropped, "Packets that the policy dropped.", open);
	for (i = 0; i < policies->count; i++)
		put_policy(dropped, &policies->list[i],
			   policies->list[i].drops);
}

static void put_state(const struct state *state, bool open)
{
	char key[TEXT_LEN] = "";
	unsigned int i;

	if (state->has_key)
		format_key(key, state->public_key);
	put_family("netveil_info", "This host; always 1.", open);
	printf("netveil_info{public_key=\"%s\",key_origin=\"%s\",cipher=\"%s\"} 1\n",
	       key, name_of(origin_names, ORIGIN_NAMES, state->origin),
	       name_of(cipher_names, CIPHER_NAMES, state->cipher));
	put_family("netveil_peers", "Number of peers.", open);
	printf("netveil_peers %u\n", state->peers);
	put_family("netveil_dropped_packets_total",
		   "Packets dropped, by reason.", open);
	for (i = 0; i < state->drop_count; i++)
		printf("netveil_dropped_packets_total{reason=\"%s\"} %" PRIu64 "\n",
		       state->drops[i].reason, state->drops[i].count);
}

static void put_guard(const struct guard_counts *guard, bool open)
{
	static const char name[] = "netveil_guard_dropped_packets_total";

	put_family(name, "Packets dropped by the ruleset of veil guard.", open);
	if (guard->loaded)
		printf("%s{reason=\"plaintext_in\"} %" PRIu64 "\n"
		       "%s{reason=\"plaintext_out\"} %" PRIu64 "\n",
		       name, guard->plaintext_in, name, guard->plaintext_out);
}

static int put_all(const struct state *state, const struct guard_counts *guard,
		   const struct peers *peers,
		   const struct policies *policies, bool open)
{
	size_t i;

	put_state(state, open);
	put_guard(guard, open);
	for (i = 0; i < ARRAY_LEN(metrics); i++)
		put_peers(&metrics[i], peers, open);
	put_policies(policies, open);
	if (open)
		puts("# EOF");
	if (fflush(stdout) || ferror(stdout))
		return err("metrics: cannot write: %s", strerror(errno));
	return 0;
}

static int take_open(void *target, const char *value)
{
	(void)value;
	*(bool *)target = true;
	return 0;
}

static const struct option metrics_options[] = {
	{ "openmetrics", NULL, false, take_open },
};

int cmd_metrics(struct env *env, struct words *words)
{
	struct guard_counts guard = {0};
	struct everything all = {0};
	struct nl nl = {0};
	bool open = false;
	int code;

	code = options_take(metrics_options, ARRAY_LEN(metrics_options), words,
			    &open);
	if (!code)
		code = nl_open(&nl, env);
	if (!code)
		code = model_get_everything(&nl, &all, "metrics");
	nl_close(&nl);
	if (!code)
		code = guard_counts(&guard, "metrics");
	if (!code)
		code = put_all(&all.state, &guard, &all.peers, &all.policies,
			       open);
	free_everything(&all);
	return code;
}
