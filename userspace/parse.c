// SPDX-License-Identifier: GPL-2.0
/*
 * What people write, read: keys, addresses, endpoints, ports, ciphers.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "parse.h"

/* libsodium's coders take the same time for every key.  Its decoder takes some
 * bytes above 127 for characters of base64, so what comes out is written again
 * and compared.
 */
const char *parse_key(uint8_t key[NETVEIL_KEY_LEN], const char *text)
{
	char again[KEY_TEXT_LEN + 1];
	const char *end;
	size_t len;
	bool same;

	if (strlen(text) != KEY_TEXT_LEN)
		return "a key is 44 characters of base64, as 'veil pubkey' prints it";
	if (sodium_base642bin(key, NETVEIL_KEY_LEN, text, KEY_TEXT_LEN, NULL,
			      &len, &end, sodium_base64_VARIANT_ORIGINAL) ||
	    len != NETVEIL_KEY_LEN || end != text + KEY_TEXT_LEN)
		return "not a key: 44 characters, but no base64 of 32 bytes";
	sodium_bin2base64(again, sizeof(again), key, NETVEIL_KEY_LEN,
			  sodium_base64_VARIANT_ORIGINAL);
	same = !sodium_memcmp(again, text, KEY_TEXT_LEN);
	sodium_memzero(again, sizeof(again));
	return same ? NULL :
	       "not a key: 44 characters, but not all of them base64";
}

bool key_is_zero(const uint8_t key[NETVEIL_KEY_LEN])
{
	return sodium_is_zero(key, NETVEIL_KEY_LEN);
}

/* Plain decimal: no sign, no space, no other base. 0 if it is none, or more than
 * max, which has at most 8 digits.
 */
static uint32_t parse_number(const char *text, uint32_t max)
{
	size_t len = strspn(text, "0123456789");
	uint32_t value = 0;
	size_t i;

	if (!len || len > 8 || text[len])
		return 0;
	for (i = 0; i < len; i++)
		value = value * 10 + (uint32_t)(text[i] - '0');
	return value <= max ? value : 0;
}

const char *parse_port(uint16_t *port, const char *text)
{
	*port = (uint16_t)parse_number(text, LISTEN_PORT_MAX);
	return *port ? NULL : "a port is a number from 1 to 65472";
}

int32_t parse_serial(const char *text)
{
	bool hex = !strncmp(text, "0x", 2);
	char *end;
	long value;

	if (!text[strspn(text, "0123456789")] || hex) {
		errno = 0;
		value = strtol(text, &end, hex ? 16 : 10);
		if (!errno && !*end && value > 0 && value <= INT32_MAX)
			return (int32_t)value;
	}
	return 0;
}

const char *parse_seconds(uint32_t *seconds, const char *text)
{
	*seconds = parse_number(text, 366 * 24 * 3600);
	return *seconds ? NULL : "a number of seconds, at least 1 and at most a year";
}

const char *parse_keepalive(uint16_t *seconds, const char *text)
{
	*seconds = (uint16_t)parse_number(text, KEEPALIVE_MAX);
	if (*seconds || !strcmp(text, "off"))
		return NULL;
	return "a keepalive is 1 to 65535 seconds, or off";
}

const char *parse_cipher(uint8_t *cipher, const char *text)
{
	int value = name_find(cipher_names, CIPHER_NAMES, text);

	if (value < 0)
		return "a cipher is auto, aes-256-gcm or chacha20-poly1305";
	*cipher = (uint8_t)value;
	return NULL;
}

static const char *check_ipv4(const uint8_t bytes[4])
{
	if (!memcmp(bytes, "\0\0\0\0", 4))
		return "the unspecified address is nobody's";
	if (bytes[0] == 127)
		return "a loopback address is this host itself";
	if (bytes[0] >= 224 && bytes[0] < 240)
		return "a multicast address is no single host";
	if (!memcmp(bytes, "\xff\xff\xff\xff", 4))
		return "the broadcast address is no single host";
	return NULL;
}

static const char *check_ipv6(const struct in6_addr *addr)
{
	if (IN6_IS_ADDR_UNSPECIFIED(addr))
		return "the unspecified address is nobody's";
	if (IN6_IS_ADDR_LOOPBACK(addr))
		return "a loopback address is this host itself";
	if (IN6_IS_ADDR_MULTICAST(addr))
		return "a multicast address is no single host";
	if (IN6_IS_ADDR_V4MAPPED(addr))
		return "write an IPv4-mapped address as IPv4";
	if (IN6_IS_ADDR_LINKLOCAL(addr))
		return "a link-local address means another host on every interface";
	return NULL;
}

const char *parse_address(struct address *address, const char *text)
{
	struct in6_addr ipv6;

	memset(address, 0, sizeof(*address));
	if (strchr(text, '/'))
		return "a prefix; peers are given by single addresses";
	if (inet_pton(AF_INET, text, address->bytes) == 1) {
		address->len = 4;
		return check_ipv4(address->bytes);
	}
	if (inet_pton(AF_INET6, text, &ipv6) != 1)
		return "not an IPv4 or IPv6 address (names are not resolved)";
	memcpy(address->bytes, &ipv6, sizeof(ipv6));
	address->len = sizeof(ipv6);
	return check_ipv6(&ipv6);
}

static bool clear_behind(const struct prefix *prefix)
{
	unsigned int bit;

	for (bit = prefix->length; bit < 8u * prefix->address.len; bit++)
		if (prefix->address.bytes[bit / 8] >> (7 - bit % 8) & 1)
			return false;
	return true;
}

static const char *parse_length(struct prefix *prefix, const char *text)
{
	unsigned int all = 8u * prefix->address.len, value = 0;
	size_t len = strspn(text, "0123456789"), i;

	for (i = 0; i < len && i < 3; i++)
		value = 10 * value + (unsigned int)(text[i] - '0');
	if (!len || len > 3 || text[len] || value > all)
		return all == 32 ? "the length of an IPv4 prefix is 0 to 32" :
				   "the length of an IPv6 prefix is 0 to 128";
	prefix->length = (uint8_t)value;
	if (!clear_behind(prefix))
		return "bits are set behind the prefix's length";
	return NULL;
}

const char *parse_prefix(struct prefix *prefix, const char *text)
{
	static const char reason[] =
		"not a prefix: write ADDR/LENGTH, or ADDR for one host";
	const char *slash = strchr(text, '/');
	char copy[INET6_ADDRSTRLEN];
	size_t len = slash ? (size_t)(slash - text) : strlen(text);

	memset(prefix, 0, sizeof(*prefix));
	if (len >= sizeof(copy))
		return reason;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (inet_pton(AF_INET, copy, prefix->address.bytes) == 1)
		prefix->address.len = 4;
	else if (inet_pton(AF_INET6, copy, prefix->address.bytes) == 1)
		prefix->address.len = sizeof(prefix->address.bytes);
	else
		return reason;
	if (slash)
		return parse_length(prefix, slash + 1);
	prefix->length = (uint8_t)(8u * prefix->address.len);
	return NULL;
}

const char *parse_policy(uint8_t *policy, const char *text)
{
	int value = name_find(policy_names, POLICY_NAMES, text);

	if (value <= NETVEIL_POLICY_NONE)
		return "a policy is require, prefer or bypass";
	*policy = (uint8_t)value;
	return NULL;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
}

int prefix_compare(const struct prefix *a, const struct prefix *b)
{
	int order = a->address.len - b->address.len;

	if (!order)
		order = memcmp(a->address.bytes, b->address.bytes,
			       a->address.len);
	return order ? order : a->length - b->length;
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return !prefix_compare(a, b);
}

/* A number of 32 bits, decimal or with 0x; what follows it, or NULL. */
static const char *parse_u32(uint32_t *value, const char *text)
{
	unsigned long long number;
	char *end;

	if (!strchr("0123456789", *text) || !*text)
		return NULL;
	errno = 0;
	number = strtoull(text, &end, 0);
	if (errno || number > UINT32_MAX)
		return NULL;
	*value = (uint32_t)number;
	return end;
}

const char *parse_mark(uint32_t *mark, uint32_t *mask, const char *text)
{
	const char *end = parse_u32(mark, text);

	if (!end || *end != '/')
		return "write a mark as VALUE/MASK, such as 0x1/0x1";
	end = parse_u32(mask, end + 1);
	if (!end || *end)
		return "write a mark as VALUE/MASK, such as 0x1/0x1";
	if (!*mark || *mark & ~*mask)
		return "the value must not be 0, nor have bits that are not in the mask";
	return NULL;
}

/* Cuts text into host and port (NULL: none); false if brackets are wrong. */
static bool split_endpoint(char *text, char **host, char **port)
{
	char *colon = strchr(text, ':');

	*host = text;
	*port = NULL;
	if (text[0] == '[') {
		char *end = strchr(text, ']');

		if (!end || (end[1] && end[1] != ':'))
			return false;
		*host = text + 1;
		*port = end[1] ? end + 2 : NULL;
		*end = '\0';
		return strchr(*host, ':');
	}
	if (colon && !strchr(colon + 1, ':')) {
		*colon = '\0';
		*port = colon + 1;
	}
	return true;
}

const char *parse_endpoint(struct endpoint *endpoint, const char *text)
{
	/* The longest IPv6 address, two brackets, a colon, five digits. */
	char copy[INET6_ADDRSTRLEN + 8];
	char *host, *port;
	const char *reason;

	endpoint->port = 0;
	if (strlen(text) >= sizeof(copy))
		return "too long for an endpoint: write ADDR, ADDR:PORT or [V6ADDR]:PORT";
	strcpy(copy, text);
	if (!split_endpoint(copy, &host, &port))
		return "an IPv6 endpoint with a port is written [V6ADDR]:PORT";
	reason = parse_address(&endpoint->address, host);
	if (reason || !port)
		return reason;
	return parse_port(&endpoint->port, port);
}

bool prefix_covers(const struct prefix *prefix, const struct address *address)
{
	unsigned int whole = prefix->length / 8, bits = prefix->length % 8;
	uint8_t mask = (uint8_t)(0xff << (8 - bits));

	if (prefix->address.len != address->len ||
	    memcmp(prefix->address.bytes, address->bytes, whole))
		return false;
	return !bits || !((prefix->address.bytes[whole] ^
			   address->bytes[whole]) & mask);
}
