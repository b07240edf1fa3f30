// SPDX-License-Identifier: GPL-2.0
/*
 * Values as people read them.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "words.h"

const char *format_key(char text[TEXT_LEN], const uint8_t key[NETVEIL_KEY_LEN])
{
	return sodium_bin2base64(text, TEXT_LEN, key, NETVEIL_KEY_LEN,
				 sodium_base64_VARIANT_ORIGINAL);
}

const char *format_address(char text[TEXT_LEN], const struct address *address)
{
	int family = address->len == 4 ? AF_INET : AF_INET6;

	return inet_ntop(family, address->bytes, text, TEXT_LEN);
}

const char *format_prefix(char text[TEXT_LEN], const struct prefix *prefix)
{
	size_t len;

	format_address(text, &prefix->address);
	len = strlen(text);
	if (prefix->length < 8u * prefix->address.len)
		snprintf(text + len, TEXT_LEN - len, "/%u", prefix->length);
	return text;
}

const char *format_endpoint(char text[TEXT_LEN],
			    const struct endpoint *endpoint)
{
	bool ipv6 = endpoint->address.len != 4;
	char address[INET6_ADDRSTRLEN];

	inet_ntop(ipv6 ? AF_INET6 : AF_INET, endpoint->address.bytes, address,
		  sizeof(address));
	snprintf(text, TEXT_LEN, "%s%s%s:%u", ipv6 ? "[" : "", address,
		 ipv6 ? "]" : "", endpoint->port);
	return text;
}

const char *format_bytes(char text[TEXT_LEN], uint64_t bytes)
{
	static const char *const units[] = {
		"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"
	};
	double value = (double)bytes / 1024;
	unsigned int unit = 0;

	if (bytes < 1024) {
		snprintf(text, TEXT_LEN, "%" PRIu64 " B", bytes);
		return text;
	}
	while (value >= 1024 && unit + 1 < ARRAY_LEN(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(text, TEXT_LEN, "%.2f %s", value, units[unit]);
	return text;
}

const char *format_packets(char text[TEXT_LEN], uint64_t packets)
{
	snprintf(text, TEXT_LEN, "%" PRIu64 " packet%s", packets,
		 packets == 1 ? "" : "s");
	return text;
}

/* The largest unit that fits, and the next smaller one if it is not zero. */
const char *format_ago(char text[TEXT_LEN], uint64_t then, uint64_t now)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = {
		{ "day", 86400 }, { "hour", 3600 }, { "minute", 60 },
		{ "second", 1 },
	};
	uint64_t left = now - then, count, rest;
	unsigned int i = 0;
	int len;

	if (then > now) {
		snprintf(text, TEXT_LEN, "in the future: the clock was set back");
		return text;
	}
	while (i + 1 < ARRAY_LEN(units) && left < units[i].seconds)
		i++;
	count = left / units[i].seconds;
	left %= units[i].seconds;
	len = snprintf(text, TEXT_LEN, "%" PRIu64 " %s%s", count,
		       units[i].name, count == 1 ? "" : "s");
	rest = i + 1 < ARRAY_LEN(units) ? left / units[i + 1].seconds : 0;
	if (rest)
		len += snprintf(text + len, TEXT_LEN - (size_t)len,
				", %" PRIu64 " %s%s", rest, units[i + 1].name,
				rest == 1 ? "" : "s");
	snprintf(text + len, TEXT_LEN - (size_t)len, " ago");
	return text;
}
