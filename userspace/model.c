// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel tells: a namespace's state, its peers, its events, as plain
 * structs. An attribute that is unknown or of another size than this veil
 * knows is passed over.
 */
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "format.h"
#include "model.h"
#include "nl.h"

/* How often all is asked for while it keeps changing. */
#define TAKE_TRIES	20

/* Copies the payload if it is exactly as long as what it is for. */
static bool take(const struct nlattr *attr, void *to, size_t len)
{
	if (mnl_attr_get_payload_len(attr) != len)
		return false;
	memcpy(to, mnl_attr_get_payload(attr), len);
	return true;
}

static bool take_address(const struct nlattr *attr, struct address *address)
{
	uint16_t len = mnl_attr_get_payload_len(attr);

	if (len != 4 && len != sizeof(address->bytes))
		return false;
	address->len = (uint8_t)len;
	return take(attr, address->bytes, len);
}

bool model_take_prefix(const struct nlattr *attr, struct prefix *prefix)
{
	const uint8_t *bytes = mnl_attr_get_payload(attr);
	uint16_t len = mnl_attr_get_payload_len(attr) - 1;

	if (len != 4 && len != sizeof(prefix->address.bytes))
		return false;
	prefix->address.len = (uint8_t)len;
	memcpy(prefix->address.bytes, bytes, len);
	prefix->length = bytes[len];
	return prefix->length <= 8 * len;
}

static void add_local(const struct nlattr *attr, struct state *state)
{
	if (state->local_count < NETVEIL_LOCALS_MAX &&
	    model_take_prefix(attr, &state->locals[state->local_count]))
		state->local_count++;
}

/* The list with room for one more at its end. */
static void *grow(void *list, size_t count, size_t size)
{
	list = reallocarray(list, count + 1, size);
	if (!list)
		die_no_memory();
	return list;
}

static void add_drop(const struct nlattr *nest, struct state *state)
{
	struct drop *drop = &state->drops[state->drop_count];
	const struct nlattr *attr;
	bool named = false;

	if (state->drop_count == DROPS_MAX)
		return;
	mnl_attr_for_each_nested(attr, nest) {
		switch (mnl_attr_get_type(attr)) {
		case NETVEIL_DROP_A_REASON:
			named = mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0;
			if (named)
				strncpy(drop->reason, mnl_attr_get_str(attr),
					REASON_LEN - 1);
			break;
		case NETVEIL_DROP_A_COUNT:
			take(attr, &drop->count, sizeof(drop->count));
			break;
		}
	}
	state->drop_count += named;
}

static void take_aeads(const struct nlattr *attr, struct state *state)
{
	uint16_t len = mnl_attr_get_payload_len(attr);

	state->aead_count = len < AEADS_MAX ? len : AEADS_MAX;
	memcpy(state->aeads, mnl_attr_get_payload(attr), state->aead_count);
}

static void parse_state_attr(const struct nlattr *attr, struct state *state)
{
	switch (mnl_attr_get_type(attr)) {
	case NETVEIL_A_PUBLIC_KEY:
		state->has_key = take(attr, state->public_key,
				      NETVEIL_KEY_LEN);
		break;
	case NETVEIL_A_KEY_ORIGIN:
		take(attr, &state->origin, sizeof(state->origin));
		break;
	case NETVEIL_A_NEXT_PUBLIC_KEY:
		state->has_next_key = take(attr, state->next_key,
					   NETVEIL_KEY_LEN);
		break;
	case NETVEIL_A_NEXT_KEY_ORIGIN:
		take(attr, &state->next_origin, sizeof(state->next_origin));
		break;
	case NETVEIL_A_RETIRE:
		take(attr, &state->retire, sizeof(state->retire));
		break;
	case NETVEIL_A_LISTEN_PORT:
		take(attr, &state->listen_port, sizeof(state->listen_port));
		break;
	case NETVEIL_A_CIPHER:
		take(attr, &state->cipher, sizeof(state->cipher));
		break;
	case NETVEIL_A_AEADS:
		take_aeads(attr, state);
		break;
	case NETVEIL_A_CONFIRM:
		take(attr, &state->confirm, sizeof(state->confirm));
		break;
	case NETVEIL_A_PEERS:
		take(attr, &state->peers, sizeof(state->peers));
		break;
	case NETVEIL_A_DROP:
		add_drop(attr, state);
		break;
	case NETVEIL_A_RX_MARK:
		take(attr, &state->rx_mark, sizeof(state->rx_mark));
		break;
	case NETVEIL_A_RX_MASK:
		take(attr, &state->rx_mask, sizeof(state->rx_mask));
		break;
	case NETVEIL_A_GENERATION:
		take(attr, &state->generation, sizeof(state->generation));
		break;
	case NETVEIL_A_LOCAL:
		add_local(attr, state);
		break;
	}
}

int model_parse_state(const struct nlmsghdr *answer, void *data)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, answer, sizeof(struct genlmsghdr))
		parse_state_attr(attr, data);
	return MNL_CB_OK;
}

static void take_u64(const struct nlattr *attr, uint64_t *to)
{
	take(attr, to, sizeof(*to));
}

static void parse_clear(const struct nlattr *attr, struct peer *peer)
{
	switch (mnl_attr_get_type(attr)) {
	case NETVEIL_PEER_A_POLICY:
		take(attr, &peer->policy, sizeof(peer->policy));
		break;
	case NETVEIL_PEER_A_CONFIRMED:
		peer->confirmed = true;
		break;
	case NETVEIL_PEER_A_CLEAR_RX_PACKETS:
		take_u64(attr, &peer->clear.rx_packets);
		break;
	case NETVEIL_PEER_A_CLEAR_TX_PACKETS:
		take_u64(attr, &peer->clear.tx_packets);
		break;
	case NETVEIL_PEER_A_CLEAR_LAST:
		take_u64(attr, &peer->clear.last);
		break;
	}
}

static void parse_counter(const struct nlattr *attr, struct peer *peer)
{
	switch (mnl_attr_get_type(attr)) {
	case NETVEIL_PEER_A_RX_BYTES:
		take(attr, &peer->rx_bytes, sizeof(peer->rx_bytes));
		break;
	case NETVEIL_PEER_A_TX_BYTES:
		take(attr, &peer->tx_bytes, sizeof(peer->tx_bytes));
		break;
	case NETVEIL_PEER_A_RX_PACKETS:
		take(attr, &peer->rx_packets, sizeof(peer->rx_packets));
		break;
	case NETVEIL_PEER_A_TX_PACKETS:
		take(attr, &peer->tx_packets, sizeof(peer->tx_packets));
		break;
	case NETVEIL_PEER_A_DROPS:
		take(attr, &peer->drops, sizeof(peer->drops));
		break;
	case NETVEIL_PEER_A_QUEUED:
		take(attr, &peer->queued, sizeof(peer->queued));
		break;
	}
}

static void parse_session(const struct nlattr *attr, struct peer *peer)
{
	switch (mnl_attr_get_type(attr)) {
	case NETVEIL_PEER_A_STATE:
		take(attr, &peer->state, sizeof(peer->state));
		break;
	case NETVEIL_PEER_A_LAST_HANDSHAKE:
		take(attr, &peer->last_handshake,
		     sizeof(peer->last_handshake));
		break;
	case NETVEIL_PEER_A_SESSION_AGE:
		peer->has_session = take(attr, &peer->session_age,
					 sizeof(peer->session_age));
		break;
	case NETVEIL_PEER_A_CIPHER:
		take(attr, &peer->cipher, sizeof(peer->cipher));
		break;
	}
}

static void add_address(const struct nlattr *attr, struct peer *peer)
{
	peer->addresses = grow(peer->addresses, peer->address_count,
			       sizeof(*peer->addresses));
	if (take_address(attr, &peer->addresses[peer->address_count]))
		peer->address_count++;
}

static void add_prefix(const struct nlattr *attr, struct peer *peer)
{
	peer->prefixes = grow(peer->prefixes, peer->prefix_count,
			      sizeof(*peer->prefixes));
	if (model_take_prefix(attr, &peer->prefixes[peer->prefix_count]))
		peer->prefix_count++;
}

static void parse_config(const struct nlattr *attr, struct peer *peer)
{
	switch (mnl_attr_get_type(attr)) {
	case NETVEIL_PEER_A_PUBLIC_KEY:
		take(attr, peer->public_key, NETVEIL_KEY_LEN);
		break;
	case NETVEIL_PEER_A_ADDRESS:
		add_address(attr, peer);
		break;
	case NETVEIL_PEER_A_PREFIX:
		add_prefix(attr, peer);
		break;
	case NETVEIL_PEER_A_ENDPOINT:
		take_address(attr, &peer->endpoint.address);
		break;
	case NETVEIL_PEER_A_ENDPOINT_PORT:
		take(attr, &peer->endpoint.port, sizeof(peer->endpoint.port));
		break;
	case NETVEIL_PEER_A_NEXT_KEY:
		peer->has_next_key = take(attr, peer->next_key,
					  NETVEIL_KEY_LEN);
		break;
	case NETVEIL_PEER_A_HAS_PSK:
		peer->has_psk = true;
		break;
	case NETVEIL_PEER_A_HAS_PSK_NEXT:
		peer->has_psk_next = true;
		break;
	case NETVEIL_PEER_A_ON_NEXT:
		peer->on_next = true;
		break;
	case NETVEIL_PEER_A_ROAMING:
		take(attr, &peer->roaming, sizeof(peer->roaming));
		break;
	case NETVEIL_PEER_A_KEEPALIVE:
		take(attr, &peer->keepalive, sizeof(peer->keepalive));
		break;
	case NETVEIL_PEER_A_MTU:
		take(attr, &peer->mtu, sizeof(peer->mtu));
		break;
	}
}

static struct peer *add_peer(struct peers *peers)
{
	peers->list = grow(peers->list, peers->count, sizeof(*peers->list));
	memset(&peers->list[peers->count], 0, sizeof(*peers->list));
	return &peers->list[peers->count++];
}

static void parse_peer(const struct nlattr *nest, struct peer *peer)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest) {
		parse_config(attr, peer);
		parse_session(attr, peer);
		parse_counter(attr, peer);
		parse_clear(attr, peer);
	}
}

int model_parse_peer(const struct nlmsghdr *answer, void *data)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, answer, sizeof(struct genlmsghdr))
		if (mnl_attr_get_type(attr) == NETVEIL_A_PEER)
			parse_peer(attr, add_peer(data));
	return MNL_CB_OK;
}

static int get_state(struct nl *nl, struct state *state, const char *what)
{
	char buffer[NL_REQUEST_SIZE];

	memset(state, 0, sizeof(*state));
	return nl_call(nl, nl_request(nl, buffer, NETVEIL_CMD_GET, 0),
		       model_parse_state, state, what);
}

int model_take(struct nl *nl, struct state *state, struct policies *policies,
	       mnl_cb_t parse, void (*forget)(void *data), void *peers,
	       const char *what)
{
	int code = get_state(nl, state, what), tries;
	uint32_t generation;

	for (tries = 0; !code && tries < TAKE_TRIES; tries++) {
		forget(peers);
		model_free_policies(policies);
		generation = state->generation;
		code = nl_dump(nl, NETVEIL_CMD_PEER_GET, parse, forget, peers,
			       what);
		if (!code)
			code = nl_dump(nl, NETVEIL_CMD_POLICY_GET,
				       model_parse_policy, model_free_policies,
				       policies, what);
		if (!code)
			code = get_state(nl, state, what);
		if (!code && state->generation == generation)
			return 0;
	}
	if (!code)
		code = err("%s: the configuration keeps changing: try again",
			   what);
	return code;
}

int model_get_everything(struct nl *nl, struct everything *all,
			 const char *what)
{
	return model_take(nl, &all->state, &all->policies, model_parse_peer,
			  model_free_peers, &all->peers, what);
}

int model_get(struct nl *nl, struct state *state, struct peers *peers,
	      const char *what)
{
	int code = get_state(nl, state, what);

	if (!code)
		code = nl_dump(nl, NETVEIL_CMD_PEER_GET, model_parse_peer,
			       model_free_peers, peers, what);
	return code;
}

static bool is_named(const struct peer *peer, const char *word,
		     const struct address *address)
{
	char key[TEXT_LEN];
	unsigned int i;

	for (i = 0; address && i < peer->address_count; i++)
		if (address_equal(&peer->addresses[i], address))
			return true;
	format_key(key, peer->public_key);
	return !address && *word && !strncmp(key, word, strlen(word));
}

/* The gateway for address: who has the longest prefix that covers it. */
static const struct peer *find_gateway(const struct peers *peers,
				       const struct address *address)
{
	const struct peer *found = NULL;
	unsigned int i, best = 0;
	size_t p;

	for (p = 0; p < peers->count; p++) {
		const struct peer *peer = &peers->list[p];

		for (i = 0; i < peer->prefix_count; i++) {
			const struct prefix *prefix = &peer->prefixes[i];

			if (prefix_covers(prefix, address) &&
			    (!found || prefix->length > best)) {
				found = peer;
				best = prefix->length;
			}
		}
	}
	return found;
}

const struct peer *model_find(const struct peers *peers, const char *word,
			      const char *what)
{
	const struct peer *found = NULL;
	struct address address;
	bool is_address = !parse_address(&address, word);
	size_t i;

	for (i = 0; i < peers->count; i++) {
		const struct peer *peer = &peers->list[i];

		if (!is_named(peer, word, is_address ? &address : NULL))
			continue;
		if (found) {
			err("%s: '%s' begins the keys of several peers: write more of it",
			    what, word);
			return NULL;
		}
		found = peer;
	}
	if (!found && is_address)
		found = find_gateway(peers, &address);
	if (!found)
		err("%s: %s: no such peer: give its key, the start of its key, or one of its addresses",
		    what, word);
	return found;
}

void model_free_peers(void *data)
{
	struct peers *peers = data;
	size_t i;

	for (i = 0; i < peers->count; i++) {
		free(peers->list[i].addresses);
		free(peers->list[i].prefixes);
	}
	free(peers->list);
	memset(peers, 0, sizeof(*peers));
}

static void parse_policy_attr(const struct nlattr *attr, struct policy *policy)
{
	switch (mnl_attr_get_type(attr)) {
	case NETVEIL_A_PREFIX:
		model_take_prefix(attr, &policy->prefix);
		break;
	case NETVEIL_A_POLICY:
		take(attr, &policy->kind, sizeof(policy->kind));
		break;
	case NETVEIL_A_CLEAR_RX_PACKETS:
		take_u64(attr, &policy->clear.rx_packets);
		break;
	case NETVEIL_A_CLEAR_TX_PACKETS:
		take_u64(attr, &policy->clear.tx_packets);
		break;
	case NETVEIL_A_CLEAR_LAST:
		take_u64(attr, &policy->clear.last);
		break;
	case NETVEIL_A_DROPS:
		take_u64(attr, &policy->drops);
		break;
	}
}

int model_parse_policy(const struct nlmsghdr *answer, void *data)
{
	struct policies *policies = data;
	const struct nlattr *attr;
	struct policy *policy;

	policies->list = grow(policies->list, policies->count, sizeof(*policy));
	policy = &policies->list[policies->count++];
	memset(policy, 0, sizeof(*policy));
	mnl_attr_for_each(attr, answer, sizeof(struct genlmsghdr))
		parse_policy_attr(attr, policy);
	return MNL_CB_OK;
}

void model_free_policies(void *data)
{
	struct policies *policies = data;

	free(policies->list);
	memset(policies, 0, sizeof(*policies));
}

static void parse_event_peer(const struct nlattr *nest, struct event *event)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
		if (mnl_attr_get_type(attr) == NETVEIL_PEER_A_PUBLIC_KEY)
			event->has_key = take(attr, event->public_key,
					      NETVEIL_KEY_LEN);
}

static void parse_event_attr(const struct nlattr *attr, struct event *event)
{
	switch (mnl_attr_get_type(attr)) {
	case NETVEIL_A_EVENT:
		take(attr, &event->kind, sizeof(event->kind));
		break;
	case NETVEIL_A_PEER:
		parse_event_peer(attr, event);
		break;
	case NETVEIL_A_ADDRESS:
		take_address(attr, &event->address);
		break;
	case NETVEIL_A_PREFIX:
		event->has_prefix = model_take_prefix(attr,
						      &event->prefix);
		break;
	case NETVEIL_A_POLICY:
		take(attr, &event->policy, sizeof(event->policy));
		break;
	case NETVEIL_A_REASON:
		if (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			strncpy(event->reason, mnl_attr_get_str(attr),
				REASON_LEN - 1);
		break;
	}
}

bool model_parse_event(const struct nlmsghdr *message, struct event *event)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;

	memset(event, 0, sizeof(*event));
	if (mnl_nlmsg_get_payload_len(message) < sizeof(*genl) ||
	    genl->cmd != NETVEIL_CMD_EVENT)
		return false;
	mnl_attr_for_each(attr, message, sizeof(*genl))
		parse_event_attr(attr, event);
	return true;
}
