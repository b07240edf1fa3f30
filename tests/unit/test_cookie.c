// SPDX-License-Identifier: GPL-2.0
/*
 * Cookies: for whom one holds, and replies that were altered.
 */
#include "cookie.h"

#include <errno.h>
#include <string.h>

#include "ktap.h"

static const u8 secret[VEIL_KEY_LEN] = { 1, 2, 3 };
static const u8 sender[VEIL_KEY_LEN] = { 4, 5, 6 };
static const u8 mac1[VEIL_MAC_LEN] = { 7, 8, 9 };
static const u8 ipv4[VEIL_ADDR_LEN] = { [10] = 0xff, 0xff, 10, 9, 0, 1 };
static const u8 ipv6[VEIL_ADDR_LEN] = { 0xfd, 9, [15] = 1 };

static bool same_cookie(const u8 *address, u16 port, const u8 *other, u16 there)
{
	u8 one[VEIL_COOKIE_LEN], two[VEIL_COOKIE_LEN];

	EXPECT(!veil_cookie(one, secret, address, port));
	EXPECT(!veil_cookie(two, secret, other, there));
	return !memcmp(one, two, sizeof(one));
}

static void test_holder(void)
{
	u8 near[VEIL_ADDR_LEN], one[VEIL_COOKIE_LEN], two[VEIL_COOKIE_LEN];
	u8 later[VEIL_KEY_LEN] = { 2 };
	unsigned int i;

	EXPECT(same_cookie(ipv4, 51888, ipv4, 51888));
	EXPECT(!same_cookie(ipv4, 51888, ipv4, 51889));
	EXPECT(!same_cookie(ipv4, 51888, ipv4, 51888 ^ 0x100));
	EXPECT(!same_cookie(ipv4, 51888, ipv6, 51888));
	for (i = 0; i < VEIL_ADDR_LEN; i++) {
		memcpy(near, ipv6, sizeof(near));
		near[i] ^= 1;
		EXPECT(!same_cookie(ipv6, 1, near, 1));
	}
	EXPECT(!veil_cookie(one, secret, ipv4, 1));
	EXPECT(!veil_cookie(two, later, ipv4, 1));
	EXPECT(memcmp(one, two, sizeof(one)));
}

static void make(struct veil_cookie_reply *reply, u8 *cookie)
{
	memset(reply, 0, sizeof(*reply));
	reply->type = VEIL_MSG_COOKIE;
	memset(reply->salt, 0x5a, sizeof(reply->salt));
	EXPECT(!veil_cookie(cookie, secret, ipv4, VEIL_PORT));
	EXPECT(!veil_cookie_seal(reply, sender, mac1, cookie));
}

static void test_altered(void)
{
	const size_t salt = offsetof(struct veil_cookie_reply, salt);
	u8 cookie[VEIL_COOKIE_LEN], opened[VEIL_COOKIE_LEN];
	struct veil_cookie_reply reply;
	size_t place;

	make(&reply, cookie);
	EXPECT(!veil_cookie_open(opened, &reply, sender, mac1));
	EXPECT(!memcmp(opened, cookie, sizeof(cookie)));
	for (place = salt; place < sizeof(reply); place++) {
		((u8 *)&reply)[place] ^= 0x80;
		EXPECT(veil_cookie_open(opened, &reply, sender, mac1) ==
		       -EBADMSG);
		((u8 *)&reply)[place] ^= 0x80;
	}
	EXPECT(veil_cookie_open(opened, &reply, secret, mac1) == -EBADMSG);
	EXPECT(veil_cookie_open(opened, &reply, sender, ipv4) == -EBADMSG);
}

static void test_lengths(void)
{
	EXPECT(sizeof(struct veil_cookie_reply) == 72);
	/* What a forged source gets is less than what was spent on it. */
	EXPECT(sizeof(struct veil_cookie_reply) <
	       sizeof(struct veil_initiation));
}

static void test_mac2(void)
{
	u8 cookie[VEIL_COOKIE_LEN] = { 1 }, msg[192] = { 2 };
	u8 one[VEIL_MAC_LEN], two[VEIL_MAC_LEN];

	EXPECT(!veil_mac2(one, cookie, msg, sizeof(msg)));
	msg[191] ^= 1;
	EXPECT(!veil_mac2(two, cookie, msg, sizeof(msg)));
	EXPECT(memcmp(one, two, sizeof(one)));
	msg[191] ^= 1;
	cookie[15] ^= 1;
	EXPECT(!veil_mac2(two, cookie, msg, sizeof(msg)));
	EXPECT(memcmp(one, two, sizeof(one)));
}

static const struct ktap_case cases[] = {
	{ "a cookie is one address's and port's", test_holder },
	{ "a reply that was altered, or is for another message", test_altered },
	{ "a reply is shorter than what it answers", test_lengths },
	{ "mac2 is of the message and the cookie", test_mac2 },
};

int main(void)
{
	return ktap_run(cases, sizeof(cases) / sizeof(*cases));
}
