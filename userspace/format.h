/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Values as people read them. Pure: no input or output, no clock.
 */
#ifndef VEIL_FORMAT_H
#define VEIL_FORMAT_H

#include <stdint.h>

#include "parse.h"

/* Long enough for any of them. */
#define TEXT_LEN	80

/* All write into text and return it. */
const char *format_key(char text[TEXT_LEN], const uint8_t key[NETVEIL_KEY_LEN]);
const char *format_address(char text[TEXT_LEN], const struct address *address);
/* Without its length if it is of one host. */
const char *format_prefix(char text[TEXT_LEN], const struct prefix *prefix);
const char *format_endpoint(char text[TEXT_LEN],
			    const struct endpoint *endpoint);
/* "312 B", "1.46 KiB" */
const char *format_bytes(char text[TEXT_LEN], uint64_t bytes);
/* "1 packet", "312 packets" */
const char *format_packets(char text[TEXT_LEN], uint64_t packets);
/* "2 minutes, 5 seconds ago"; both times in seconds since 1970. */
const char *format_ago(char text[TEXT_LEN], uint64_t then, uint64_t now);

#endif /* VEIL_FORMAT_H */
