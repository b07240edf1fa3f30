/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a peer is configured to be, as the values of netlink attributes, whether
 * a file asks for it or the kernel tells it: to compare both, and to write it as
 * the words that ask for it. Pure.
 */
#ifndef VEIL_PROPS_H
#define VEIL_PROPS_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "format.h"

enum prop_kind {
	PROP_ADDRESS,		/* repeated; its order matters */
	PROP_PREFIX,		/* repeated, in any order */
	PROP_ENDPOINT,
	PROP_PORT,		/* written with the endpoint */
	PROP_KEY,
	PROP_POLICY,
	PROP_ROAMING,
	PROP_KEEPALIVE,
	PROP_SECRET,		/* the kernel tells only that there is one */
};

struct prop {
	uint16_t attr;		/* enum netveil_peer_attr, in a request */
	uint16_t told;		/* the same in an answer */
	uint16_t unset;		/* flag that takes it back; 0: none does */
	const char *word;
	enum prop_kind kind;
	uint16_t serial;	/* as attr, by serial in the keyrings; 0: no */
};

struct value {
	const struct prop *prop;
	uint16_t len;
	const void *data;
};

struct statement;

/* The values point to what it was read from. */
struct record {
	uint8_t key[NETVEIL_KEY_LEN];
	const struct statement *statement;	/* NULL: the kernel told */
	const struct nlattr *nest;
	struct value *values;
	size_t count;
};

extern const struct prop props[];
extern const size_t prop_count;
extern const struct prop *const prop_next_key;
extern const struct prop *const prop_psk;
extern const struct prop *const prop_psk_next;

/* Reads a NETVEIL_A_PEER, and adds what is meant where nothing is said. */
void record_read(struct record *record, const struct nlattr *nest);
void record_free(struct record *record);
/* The n-th value of a property, or NULL. */
const struct value *record_value(const struct record *record,
				 const struct prop *prop, unsigned int n);
/* A secret is the same when both have one. */
bool record_same(const struct record *a, const struct record *b,
		 const struct prop *prop);
/* "address 10.9.0.2"; NULL for what is written with another, or is implied. */
const char *record_word(char text[2 * TEXT_LEN], const struct record *record,
			const struct prop *prop, unsigned int n);

#endif /* VEIL_PROPS_H */
