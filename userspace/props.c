// SPDX-License-Identifier: GPL-2.0
/*
 * What a peer is configured to be, as the values of netlink attributes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "names.h"
#include "props.h"
#include "words.h"

#define PORT_DEFAULT	51888

enum {
	ADDRESS, PREFIX, ENDPOINT, PORT, ROAMING, KEEPALIVE, PSK, PSK_NEXT,
	NEXT_KEY, POLICY,
};

const struct prop props[] = {
	[ADDRESS] = { NETVEIL_PEER_A_ADDRESS, NETVEIL_PEER_A_ADDRESS, 0,
		      "address", PROP_ADDRESS },
	[PREFIX] = { NETVEIL_PEER_A_PREFIX, NETVEIL_PEER_A_PREFIX,
		     NETVEIL_PEER_A_NO_PREFIX, "prefix", PROP_PREFIX },
	[ENDPOINT] = { NETVEIL_PEER_A_ENDPOINT, NETVEIL_PEER_A_ENDPOINT, 0,
		       "endpoint", PROP_ENDPOINT },
	[PORT] = { NETVEIL_PEER_A_ENDPOINT_PORT, NETVEIL_PEER_A_ENDPOINT_PORT,
		   0, "endpoint", PROP_PORT },
	[ROAMING] = { NETVEIL_PEER_A_ROAMING, NETVEIL_PEER_A_ROAMING, 0,
		      "roaming", PROP_ROAMING },
	[KEEPALIVE] = { NETVEIL_PEER_A_KEEPALIVE, NETVEIL_PEER_A_KEEPALIVE, 0,
			"keepalive", PROP_KEEPALIVE },
	[PSK] = { NETVEIL_PEER_A_PSK, NETVEIL_PEER_A_HAS_PSK,
		  NETVEIL_PEER_A_NO_PSK, "psk", PROP_SECRET,
		  NETVEIL_PEER_A_PSK_SERIAL },
	[PSK_NEXT] = { NETVEIL_PEER_A_PSK_NEXT, NETVEIL_PEER_A_HAS_PSK_NEXT,
		       NETVEIL_PEER_A_NO_PSK_NEXT, "psk-next", PROP_SECRET,
		       NETVEIL_PEER_A_PSK_NEXT_SERIAL },
	[NEXT_KEY] = { NETVEIL_PEER_A_NEXT_KEY, NETVEIL_PEER_A_NEXT_KEY,
		       NETVEIL_PEER_A_NO_NEXT_KEY, "next-key", PROP_KEY },
	[POLICY] = { NETVEIL_PEER_A_POLICY, NETVEIL_PEER_A_POLICY, 0, "policy",
		     PROP_POLICY },
};

const size_t prop_count = ARRAY_LEN(props);
const struct prop *const prop_next_key = &props[NEXT_KEY];
const struct prop *const prop_psk = &props[PSK];
const struct prop *const prop_psk_next = &props[PSK_NEXT];

static const struct prop *prop_find(uint16_t attr)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(props); i++)
		if (props[i].attr == attr || props[i].told == attr ||
		    (props[i].serial && props[i].serial == attr))
			return &props[i];
	return NULL;
}

static void add(struct record *record, const struct prop *prop,
		const void *data, uint16_t len)
{
	record->values = reallocarray(record->values, record->count + 1,
				      sizeof(*record->values));
	if (!record->values)
		die_no_memory();
	record->values[record->count++] = (struct value){ prop, len, data };
}

static bool roams(const struct record *record)
{
	const struct value *value = record_value(record, &props[ROAMING], 0);

	return value && *(const uint8_t *)value->data;
}

/* Of a peer that roams it tells where it is, and is nothing that is configured. */
static void drop_endpoint(struct record *record)
{
	size_t i, kept = 0;

	for (i = 0; i < record->count; i++)
		if (record->values[i].prop != &props[ENDPOINT] &&
		    record->values[i].prop != &props[PORT])
			record->values[kept++] = record->values[i];
	record->count = kept;
}

static void add_default_endpoint(struct record *record)
{
	static const uint16_t port = PORT_DEFAULT;
	const struct value *first = record_value(record, &props[ADDRESS], 0);

	if (first && !record_value(record, &props[ENDPOINT], 0))
		add(record, &props[ENDPOINT], first->data, first->len);
	if (!record_value(record, &props[PORT], 0))
		add(record, &props[PORT], &port, sizeof(port));
}

static void add_defaults(struct record *record)
{
	static const uint8_t policy = NETVEIL_POLICY_REQUIRE;
	static const uint16_t never;
	static const uint8_t no;

	if (roams(record))
		drop_endpoint(record);
	else
		add_default_endpoint(record);
	if (!record_value(record, &props[ROAMING], 0))
		add(record, &props[ROAMING], &no, sizeof(no));
	if (!record_value(record, &props[KEEPALIVE], 0))
		add(record, &props[KEEPALIVE], &never, sizeof(never));
	if (!record_value(record, &props[POLICY], 0))
		add(record, &props[POLICY], &policy, sizeof(policy));
}

void record_read(struct record *record, const struct nlattr *nest)
{
	const struct nlattr *attr;

	record->nest = nest;
	mnl_attr_for_each_nested(attr, nest) {
		const struct prop *prop = prop_find(mnl_attr_get_type(attr));
		uint16_t len = mnl_attr_get_payload_len(attr);

		if (prop)
			add(record, prop, mnl_attr_get_payload(attr), len);
		else if (mnl_attr_get_type(attr) == NETVEIL_PEER_A_PUBLIC_KEY &&
			 len == NETVEIL_KEY_LEN)
			memcpy(record->key, mnl_attr_get_payload(attr), len);
	}
	add_defaults(record);
}

void record_free(struct record *record)
{
	free(record->values);
}

const struct value *record_value(const struct record *record,
				 const struct prop *prop, unsigned int n)
{
	size_t i;

	for (i = 0; i < record->count; i++)
		if (record->values[i].prop == prop && !n--)
			return &record->values[i];
	return NULL;
}

static bool value_same(const struct value *a, const struct value *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

/* Each of a's values is one of b's. */
static bool record_within(const struct record *a, const struct record *b,
			  const struct prop *prop)
{
	const struct value *one, *other = NULL;
	unsigned int n, m;

	for (n = 0; (one = record_value(a, prop, n)); n++) {
		for (m = 0; (other = record_value(b, prop, m)); m++)
			if (value_same(one, other))
				break;
		if (!other)
			return false;
	}
	return true;
}

bool record_same(const struct record *a, const struct record *b,
		 const struct prop *prop)
{
	unsigned int n;

	if (prop->kind == PROP_PREFIX)
		return record_within(a, b, prop) && record_within(b, a, prop);
	for (n = 0;; n++) {
		const struct value *one = record_value(a, prop, n);
		const struct value *other = record_value(b, prop, n);

		if (!one || !other)
			return one == other;
		if (prop->kind == PROP_SECRET)
			continue;
		if (!value_same(one, other))
			return false;
	}
}

static const char *format_value(char text[TEXT_LEN], const struct value *value)
{
	struct address address = { .len = (uint8_t)value->len };

	memcpy(address.bytes, value->data, value->len);
	return format_address(text, &address);
}

static const char *prefix_word(char text[2 * TEXT_LEN],
			       const struct value *value)
{
	const uint8_t *bytes = value->data;
	struct prefix prefix = { .address.len = (uint8_t)(value->len - 1) };
	char name[TEXT_LEN];

	memcpy(prefix.address.bytes, bytes, value->len - 1u);
	prefix.length = bytes[value->len - 1];
	snprintf(text, 2 * TEXT_LEN, "prefix %s", format_prefix(name, &prefix));
	return text;
}

/* The first address at the usual port needs no saying. */
static const char *endpoint_word(char text[2 * TEXT_LEN],
				 const struct record *record)
{
	const struct value *where = record_value(record, &props[ENDPOINT], 0);
	const struct value *first = record_value(record, &props[ADDRESS], 0);
	const struct value *port = record_value(record, &props[PORT], 0);
	struct endpoint endpoint = {0};
	char name[TEXT_LEN];

	memcpy(&endpoint.port, port->data, sizeof(endpoint.port));
	if (!where || (endpoint.port == PORT_DEFAULT && first &&
		       first->len == where->len &&
		       !memcmp(first->data, where->data, where->len)))
		return NULL;
	endpoint.address.len = (uint8_t)where->len;
	memcpy(endpoint.address.bytes, where->data, where->len);
	snprintf(text, 2 * TEXT_LEN, "endpoint %s",
		 format_endpoint(name, &endpoint));
	return text;
}

static const char *keepalive_word(char text[2 * TEXT_LEN],
				  const struct value *value)
{
	uint16_t seconds;

	memcpy(&seconds, value->data, sizeof(seconds));
	if (!seconds)
		return NULL;
	snprintf(text, 2 * TEXT_LEN, "keepalive %u", seconds);
	return text;
}

/* What is required anyway needs no saying. */
static const char *policy_word(char text[2 * TEXT_LEN],
			       const struct value *value)
{
	uint8_t kind = *(const uint8_t *)value->data;

	if (kind == NETVEIL_POLICY_REQUIRE)
		return NULL;
	snprintf(text, 2 * TEXT_LEN, "policy %s",
		 name_of(policy_names, POLICY_NAMES, kind));
	return text;
}

const char *record_word(char text[2 * TEXT_LEN], const struct record *record,
			const struct prop *prop, unsigned int n)
{
	const struct value *value = record_value(record, prop, n);
	char name[TEXT_LEN];

	if (!value)
		return NULL;
	switch (prop->kind) {
	case PROP_ADDRESS:
		snprintf(text, 2 * TEXT_LEN, "%s %s", prop->word,
			 format_value(name, value));
		return text;
	case PROP_PREFIX:
		return prefix_word(text, value);
	case PROP_ENDPOINT:
		return endpoint_word(text, record);
	case PROP_POLICY:
		return policy_word(text, value);
	case PROP_ROAMING:
		return roams(record) ? prop->word : NULL;
	case PROP_KEEPALIVE:
		return keepalive_word(text, value);
	case PROP_KEY:
		snprintf(text, 2 * TEXT_LEN, "%s %s", prop->word,
			 format_key(name, value->data));
		return text;
	default:
		return NULL;
	}
}
