/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What people write, read: keys, addresses, endpoints, ports, ciphers.
 *
 * Pure: no input or output. Every parser returns NULL, or the reason why the
 * text is refused, to be put after the text itself; the result is then
 * undefined.
 */
#ifndef VEIL_PARSE_H
#define VEIL_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "../kmod/uapi/netveil.h"

/* A key as text: base64 of NETVEIL_KEY_LEN bytes, without the final zero. */
#define KEY_TEXT_LEN		44
/* Lanes use the 63 ports after the listen port. */
#define LISTEN_PORT_MAX		65472
/* Seconds of a trial. */
#define CONFIRM_MAX		86400
#define KEEPALIVE_MAX		65535	/* seconds */

struct address {
	uint8_t len;		/* 4 or 16; 0: none */
	uint8_t bytes[16];
};

struct prefix {
	struct address address;
	uint8_t length;
};

struct endpoint {
	struct address address;
	uint16_t port;		/* 0: not given */
};

const char *parse_key(uint8_t key[NETVEIL_KEY_LEN], const char *text);
const char *parse_port(uint16_t *port, const char *text);
/* Of a key in the keyrings: a number, also 0x...; 0 if it is none. */
int32_t parse_serial(const char *text);
/* From 1 to a year. */
const char *parse_seconds(uint32_t *seconds, const char *text);
/* Seconds of a keepalive; off is 0. */
const char *parse_keepalive(uint16_t *seconds, const char *text);
const char *parse_cipher(uint8_t *cipher, const char *text);
/* One host that can be a peer: no name, no prefix, no group. */
const char *parse_address(struct address *address, const char *text);
/* ADDR/LENGTH, or ADDR alone for one host; no bit is set behind the length. */
const char *parse_prefix(struct prefix *prefix, const char *text);
/* require, prefer or bypass, in full. */
const char *parse_policy(uint8_t *policy, const char *text);
/* ADDR, ADDR:PORT for IPv4, [ADDR]:PORT for IPv6. */
const char *parse_endpoint(struct endpoint *endpoint, const char *text);

/* VALUE/MASK, as ip rule and iptables write marks; the value is in the mask. */
const char *parse_mark(uint32_t *mark, uint32_t *mask, const char *text);

bool key_is_zero(const uint8_t key[NETVEIL_KEY_LEN]);
bool address_equal(const struct address *a, const struct address *b);
/* As memcmp(3) */
int prefix_compare(const struct prefix *a, const struct prefix *b);
bool prefix_equal(const struct prefix *a, const struct prefix *b);
bool prefix_covers(const struct prefix *prefix, const struct address *address);

#endif /* VEIL_PARSE_H */
