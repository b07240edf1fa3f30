/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel tells: a namespace's state, its peers, its events, as plain
 * structs.
 */
#ifndef VEIL_MODEL_H
#define VEIL_MODEL_H

#include <libmnl/libmnl.h>

#include "parse.h"

#define AEADS_MAX	8
#define DROPS_MAX	128
#define REASON_LEN	48

/* What passed in clear. */
struct clear {
	uint64_t rx_packets, tx_packets;
	uint64_t last;		/* of rx, seconds since 1970; 0: never */
};

struct peer {
	uint8_t public_key[NETVEIL_KEY_LEN];
	struct address *addresses;
	unsigned int address_count;
	struct prefix *prefixes;
	unsigned int prefix_count;
	struct endpoint endpoint;
	bool has_next_key;
	uint8_t next_key[NETVEIL_KEY_LEN];
	bool has_psk;
	bool has_psk_next;
	bool on_next;		/* its last session was under our next key */
	uint8_t roaming;
	uint16_t keepalive;	/* seconds, 0: none */
	bool has_session;	/* session_age and cipher are known */
	uint8_t state;
	uint8_t cipher;
	uint64_t last_handshake;	/* 0: never */
	uint64_t session_age;
	uint64_t rx_bytes, tx_bytes;
	uint64_t rx_packets, tx_packets;
	uint64_t drops;
	uint32_t queued;
	uint32_t mtu;
	uint8_t policy;
	bool confirmed;
	struct clear clear;
};

struct peers {
	struct peer *list;
	size_t count;
};

struct policy {
	struct prefix prefix;
	uint8_t kind;
	struct clear clear;
	uint64_t drops;
};

struct policies {
	struct policy *list;
	size_t count;
};

struct drop {
	char reason[REASON_LEN];
	uint64_t count;
};

struct state {
	bool has_key;
	uint8_t public_key[NETVEIL_KEY_LEN];
	uint8_t origin;
	bool has_next_key;
	uint8_t next_key[NETVEIL_KEY_LEN];
	uint8_t next_origin;
	uint32_t retire;	/* seconds; 0: no date is set */
	uint16_t listen_port;
	uint8_t cipher;
	uint8_t aeads[AEADS_MAX];	/* fastest first */
	unsigned int aead_count;
	uint32_t peers;
	uint32_t confirm;	/* seconds left of a trial; 0: none */
	struct drop drops[DROPS_MAX];
	unsigned int drop_count;
	struct prefix locals[NETVEIL_LOCALS_MAX];
	unsigned int local_count;
	uint32_t rx_mark, rx_mask;
	uint32_t generation;	/* of the configuration */
};

/* All that a namespace has. */
struct everything {
	struct state state;
	struct peers peers;
	struct policies policies;
};

/* What it concerns, as far as that is given. */
struct event {
	uint8_t kind;
	bool has_key;
	uint8_t public_key[NETVEIL_KEY_LEN];
	struct address address;		/* len 0: none */
	bool has_prefix;
	struct prefix prefix;
	uint8_t policy;
	char reason[REASON_LEN];	/* empty: none */
};

/* For nl_call() and nl_listen(), with the struct of that name as data. */
int model_parse_state(const struct nlmsghdr *answer, void *state);
/* A NETVEIL_A_PREFIX, NETVEIL_A_LOCAL or NETVEIL_PEER_A_PREFIX; false if it is none. */
bool model_take_prefix(const struct nlattr *attr, struct prefix *prefix);
/* Adds the message's peer to struct peers. */
int model_parse_peer(const struct nlmsghdr *answer, void *peers);

/* Adds the message's policy to struct policies. */
int model_parse_policy(const struct nlmsghdr *answer, void *policies);

/* For a callback of its own; false if the message is no event. */
bool model_parse_event(const struct nlmsghdr *message, struct event *event);

struct nl;

/* All that there is, of one configuration, however long it takes: the peers by parse
 * and forget, as of nl_dump(). what names the request in messages. An exit code.
 */
int model_take(struct nl *nl, struct state *state, struct policies *policies,
	       mnl_cb_t parse, void (*forget)(void *data), void *peers,
	       const char *what);
/* The same, as plain structs. */
int model_get_everything(struct nl *nl, struct everything *all,
			 const char *what);
/* The state and the peers alone, which a change may part. */
int model_get(struct nl *nl, struct state *state, struct peers *peers,
	      const char *what);
/* The one that word names: its key, the start of its key, one of its addresses,
 * or one behind it. NULL after saying why there is none.
 */
const struct peer *model_find(const struct peers *peers, const char *word,
			      const char *what);

/* For nl_dump(), with struct peers or struct policies as data. */
void model_free_peers(void *peers);
void model_free_policies(void *policies);

#endif /* VEIL_MODEL_H */
