/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a packet on the wire is to those who are protected: sealed, exempt or in
 * clear.
 */
#ifndef VEIL_WATCH_H
#define VEIL_WATCH_H

#include <stddef.h>

#include "parse.h"

struct peers;
struct policies;

enum seen {
	SEEN_SEALED,	/* a Netveil message, or a later fragment of UDP */
	SEEN_EXEMPT,	/* neighbour discovery */
	SEEN_CLEAR,
	SEEN_KINDS,
};

struct tally {
	uint64_t packets;
	uint64_t bytes;
};

/* A prefix that has a policy, the longest one of an address counts. */
struct watched {
	struct prefix prefix;
	bool open;		/* not to be protected */
	bool has_key;
	uint8_t public_key[NETVEIL_KEY_LEN];
	uint16_t port;		/* the peer listens on; 0: no peer */
	struct tally seen[2][SEEN_KINDS];	/* sent, received */
};

struct watch {
	struct watched *list;
	size_t count;
	uint16_t port;		/* we listen on */
	/* IPv4 datagrams whose first fragment was in clear or sealed. */
	struct {
		uint8_t key[11];
		bool sealed;
	} first[256];
};

void watch_add(struct watch *watch, const struct peers *peers,
	       const struct policies *policies, uint16_t port);
/* An IP packet of this Ethernet type, as it was captured. */
void watch_packet(struct watch *watch, uint16_t type, const uint8_t *packet,
		  size_t len);
void watch_free(struct watch *watch);

#endif /* VEIL_WATCH_H */
