// SPDX-License-Identifier: GPL-2.0
/*
 * The stable names of what netveil.h numbers, in text and in JSON alike.
 */
#include <string.h>

#include "../kmod/uapi/netveil.h"
#include "names.h"

const char *const cipher_names[CIPHER_NAMES] = {
	[NETVEIL_CIPHER_AUTO]			= "auto",
	[NETVEIL_CIPHER_AES_256_GCM]		= "aes-256-gcm",
	[NETVEIL_CIPHER_CHACHA20_POLY1305]	= "chacha20-poly1305",
};

const char *const state_names[STATE_NAMES] = {
	[NETVEIL_STATE_NONE]		= "none",
	[NETVEIL_STATE_HANDSHAKE]	= "handshake",
	[NETVEIL_STATE_UP]		= "up",
};

const char *const origin_names[ORIGIN_NAMES] = {
	[NETVEIL_KEY_NONE]	= "none",
	[NETVEIL_KEY_KERNEL]	= "kernel",
	[NETVEIL_KEY_USER]	= "user",
	[NETVEIL_KEY_KEYRING]	= "keyring",
};

const char *const event_names[EVENT_NAMES] = {
	[NETVEIL_EVENT_UNSPEC]		= "unspecified",
	[NETVEIL_EVENT_PEER_ADDED]	= "peer-added",
	[NETVEIL_EVENT_PEER_REMOVED]	= "peer-removed",
	[NETVEIL_EVENT_SESSION_UP]	= "session-up",
	[NETVEIL_EVENT_SESSION_DOWN]	= "session-down",
	[NETVEIL_EVENT_PLAINTEXT]	= "plaintext",
	[NETVEIL_EVENT_WEAKENED]	= "weakened",
	[NETVEIL_EVENT_PEER_REKEYED]	= "peer-rekeyed",
	[NETVEIL_EVENT_PSK_CHANGED]	= "psk-changed",
	[NETVEIL_EVENT_ACQUIRE]		= "acquire",
	[NETVEIL_EVENT_POLICY_ADDED]	= "policy-added",
	[NETVEIL_EVENT_POLICY_REMOVED]	= "policy-removed",
	[NETVEIL_EVENT_CONFIRM_EXPIRED]	= "confirm-expired",
	[NETVEIL_EVENT_MOVED]		= "moved",
};

const char *const policy_names[POLICY_NAMES] = {
	[NETVEIL_POLICY_NONE]		= "none",
	[NETVEIL_POLICY_REQUIRE]	= "require",
	[NETVEIL_POLICY_PREFER]		= "prefer",
	[NETVEIL_POLICY_BYPASS]		= "bypass",
};

const char *name_of(const char *const *names, size_t count, unsigned int value)
{
	return value < count ? names[value] : "unknown";
}

int name_find(const char *const *names, size_t count, const char *name)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return (int)i;
	return -1;
}
