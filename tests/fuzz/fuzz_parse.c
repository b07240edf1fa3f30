// SPDX-License-Identifier: GPL-2.0
/*
 * What people write on veil's command line and in its files. What is accepted
 * reads the same again once it was printed.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "parse.h"

#define ASSERT(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

static void try_address(const char *text)
{
	struct address address, again;
	char printed[TEXT_LEN];

	if (parse_address(&address, text))
		return;
	format_address(printed, &address);
	ASSERT(!parse_address(&again, printed));
	ASSERT(address_equal(&address, &again));
}

static void try_endpoint(const char *text)
{
	struct endpoint endpoint;

	if (!parse_endpoint(&endpoint, text))
		ASSERT(endpoint.address.len == 4 || endpoint.address.len == 16);
}

static void try_key(const char *text)
{
	uint8_t key[NETVEIL_KEY_LEN];
	char printed[64];

	if (parse_key(key, text))
		return;
	sodium_bin2base64(printed, sizeof(printed), key, sizeof(key),
			  sodium_base64_VARIANT_ORIGINAL);
	ASSERT(strlen(text) == KEY_TEXT_LEN && !strcmp(printed, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	uint16_t port;
	uint8_t cipher;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	try_address(text);
	try_endpoint(text);
	try_key(text);
	if (!parse_port(&port, text))
		ASSERT(port && port <= LISTEN_PORT_MAX);
	parse_cipher(&cipher, text);
	free(text);
	return 0;
}
