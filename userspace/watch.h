/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a packet on the wire is to those who are protected: sealed, exempt or in
 * clear.
 */
#ifndef VEIL_WATCH_H
#define VEIL_WATCH_H

#include <stddef.h>

#include "own.h"
#include "parse.h"

struct sockaddr_ll;
struct state;
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

/* A prefix that has a policy, the longest one of an address counts; or one of
 * ours, in which none is behind a peer.
 */
struct watched {
	struct prefix prefix;
	bool open;		/* not to be protected */
	bool local;
	bool behind;		/* behind a peer, not its own address */
	bool within;		/* a prefix behind a peer covers it */
	bool has_key;
	uint8_t public_key[NETVEIL_KEY_LEN];
	struct address endpoint;	/* of the peer */
	uint16_t port;		/* the peer listens on; 0: no peer */
	struct tally seen[2][SEEN_KINDS];	/* sent, received */
};

struct watch {
	struct watched *list;
	size_t count;
	size_t protected;	/* of these */
	uint16_t port;		/* we listen on */
	struct own own;
	/* IPv4 datagrams whose first fragment was in clear or sealed. */
	struct {
		uint8_t key[11];
		bool sealed;
	} first[256];
};

void watch_add(struct watch *watch, const struct state *state,
	       const struct peers *peers, const struct policies *policies);
/* Peers are where these say, from now on; they are sorted for that. */
void watch_move(struct watch *watch, struct peers *peers);
/* What was captured, from the network header on. False, and not counted yet, if it
 * is a message to where no peer is known to be, unless that is certain.
 */
bool watch_packet(struct watch *watch, const struct sockaddr_ll *from,
		  const uint8_t *packet, size_t len, bool certain);
void watch_free(struct watch *watch);

#endif /* VEIL_WATCH_H */
