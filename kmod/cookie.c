// SPDX-License-Identifier: GPL-2.0
/*
 * What a cookie is, and how it travels; PROTOCOL.md has each formula.
 */
#include "cookie.h"

#include <linux/errno.h>
#include <linux/string.h>

#define VEIL_LABEL(text)	{ text, sizeof(text) - 1 }

static int veil_cookie_hmac(u8 *out, size_t out_len, const u8 *key,
			    size_t key_len, const void *data, size_t len)
{
	const struct veil_piece piece = { data, len };
	u8 mac[VEIL_HASH_LEN];
	int err;

	err = veil_hmac(mac, key, key_len, &piece, 1);
	if (!err)
		memcpy(out, mac, out_len);
	memzero_explicit(mac, sizeof(mac));
	return err;
}

int veil_mac2(u8 mac[VEIL_MAC_LEN], const u8 cookie[VEIL_COOKIE_LEN],
	      const void *msg, size_t len)
{
	return veil_cookie_hmac(mac, VEIL_MAC_LEN, cookie, VEIL_COOKIE_LEN,
				msg, len);
}

int veil_cookie(u8 cookie[VEIL_COOKIE_LEN], const u8 secret[VEIL_KEY_LEN],
		const u8 address[VEIL_ADDR_LEN], u16 port)
{
	static const u8 mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool ipv4 = !memcmp(address, mapped, sizeof(mapped));
	unsigned int skip = ipv4 ? sizeof(mapped) : 0;
	u8 input[1 + VEIL_ADDR_LEN + 2];
	unsigned int len = 0;

	input[len++] = ipv4 ? 4 : 6;
	memcpy(input + len, address + skip, VEIL_ADDR_LEN - skip);
	len += VEIL_ADDR_LEN - skip;
	input[len++] = port >> 8;
	input[len++] = port;
	return veil_cookie_hmac(cookie, VEIL_COOKIE_LEN, secret, VEIL_KEY_LEN,
				input, len);
}

static int veil_cookie_key(u8 key[VEIL_KEY_LEN], const u8 sender[VEIL_KEY_LEN],
			   const u8 salt[VEIL_SALT_LEN])
{
	const struct veil_piece pieces[] = {
		VEIL_LABEL(VEIL_LABEL_COOKIE),
		{ sender, VEIL_KEY_LEN },
	};
	int err;

	err = veil_sha256(key, pieces, 2);
	if (err)
		return err;
	return veil_cookie_hmac(key, VEIL_KEY_LEN, key, VEIL_KEY_LEN, salt,
				VEIL_SALT_LEN);
}

/* The key serves once, so the nonce may be zero: that is Noise's first. */
int veil_cookie_seal(struct veil_cookie_reply *reply,
		     const u8 self[VEIL_KEY_LEN], const u8 mac1[VEIL_MAC_LEN],
		     const u8 cookie[VEIL_COOKIE_LEN])
{
	u8 key[VEIL_KEY_LEN];
	int err;

	err = veil_cookie_key(key, self, reply->salt);
	if (err)
		return err;
	return veil_noise_seal(reply->cookie, cookie, VEIL_COOKIE_LEN, mac1,
			       VEIL_MAC_LEN, 0, key);
}

int veil_cookie_open(u8 cookie[VEIL_COOKIE_LEN],
		     const struct veil_cookie_reply *reply,
		     const u8 sender[VEIL_KEY_LEN],
		     const u8 mac1[VEIL_MAC_LEN])
{
	u8 key[VEIL_KEY_LEN];
	int err;

	err = veil_cookie_key(key, sender, reply->salt);
	if (err)
		return err;
	return veil_noise_open(cookie, reply->cookie, sizeof(reply->cookie),
			       mac1, VEIL_MAC_LEN, 0, key);
}
