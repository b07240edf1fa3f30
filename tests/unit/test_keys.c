// SPDX-License-Identifier: GPL-2.0
/*
 * The stamp, the choice of an AEAD, and TAI64N time.
 */
#include "keys.h"

#include <asm/byteorder.h>
#include <errno.h>
#include <linux/siphash.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "ktap.h"
#include "low_order.h"

#define GCM	VEIL_AEAD_AES_256_GCM
#define CHACHA	VEIL_AEAD_CHACHA20_POLY1305
#define NONE	VEIL_AEAD_NONE

/* Appendix A of the SipHash paper: the bytes 0, 1, 2, ... as key and input. */
static void test_siphash_paper(void)
{
	const siphash_key_t key = {
		{ 0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL }
	};
	u8 input[15];
	unsigned int i;

	for (i = 0; i < sizeof(input); i++)
		input[i] = i;
	EXPECT(siphash(input, sizeof(input), &key) == 0xa129ca6149be45e5ULL);
	EXPECT(siphash(input, 0, &key) == 0x726fdb47dd0e0e31ULL);
}

/* From OpenSSL directly, over bytes put together by their offsets. */
static u64 expected_stamp(const u8 *key, const u8 *message)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	size_t size = 8, len = 0;
	const OSSL_PARAM params[] = {
		OSSL_PARAM_size_t(OSSL_MAC_PARAM_SIZE, &size),
		OSSL_PARAM_END,
	};
	u8 input[20 + 148], out[8] = {};
	u64 stamp = 0;
	int i;

	memcpy(input, message, 20);
	memcpy(input + 20, message + 28, 148);
	EXPECT(EVP_MAC_init(ctx, key, 16, params));
	EXPECT(EVP_MAC_update(ctx, input, sizeof(input)));
	EXPECT(EVP_MAC_final(ctx, out, &len, sizeof(out)));
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
	for (i = 7; i >= 0; i--)
		stamp = stamp << 8 | out[i];
	return stamp;
}

static void test_stamp(void)
{
	u8 key[VEIL_PAIR_KEY_LEN];
	struct veil_initiation msg;
	int i;

	for (i = 0; i < 100; i++) {
		ktap_random_bytes(key, sizeof(key));
		ktap_random_bytes(&msg, sizeof(msg));
		EXPECT(veil_stamp(key, &msg) ==
		       expected_stamp(key, (const u8 *)&msg));
	}
}

/* It covers the clear header and the Noise message, and nothing behind them. */
static void test_stamp_covers(void)
{
	u8 key[VEIL_PAIR_KEY_LEN] = { 1, 2, 3 };
	u8 raw[sizeof(struct veil_initiation)] = {};
	const struct veil_initiation *msg = (const void *)raw;
	u64 stamp = veil_stamp(key, msg);
	size_t i;

	for (i = 0; i < sizeof(raw); i++) {
		bool covered = i < 20 || (i >= 28 && i < 176);

		raw[i] ^= 0x40;
		EXPECT((veil_stamp(key, msg) != stamp) == covered);
		raw[i] ^= 0x40;
	}
	for (i = 0; i < sizeof(key); i++) {
		key[i] ^= 1;
		EXPECT(veil_stamp(key, msg) != stamp);
		key[i] ^= 1;
	}
}

static void test_choose_aead(void)
{
	static const struct {
		u8 ours[VEIL_AEAD_MAX], theirs[VEIL_AEAD_MAX], chosen;
	} table[] = {
		{ { GCM, CHACHA }, { GCM, CHACHA }, GCM },
		{ { CHACHA, GCM }, { CHACHA, GCM }, CHACHA },
		/* a tie */
		{ { GCM, CHACHA }, { CHACHA, GCM }, GCM },
		{ { CHACHA, GCM }, { GCM, CHACHA }, GCM },
		/* pinned, or GCM not offered, by one end */
		{ { GCM }, { GCM, CHACHA }, GCM },
		{ { GCM }, { CHACHA, GCM }, GCM },
		{ { CHACHA }, { GCM, CHACHA }, CHACHA },
		{ { CHACHA }, { CHACHA, GCM }, CHACHA },
		{ { GCM, CHACHA }, { GCM }, GCM },
		{ { CHACHA, GCM }, { GCM }, GCM },
		{ { GCM, CHACHA }, { CHACHA }, CHACHA },
		{ { CHACHA, GCM }, { CHACHA }, CHACHA },
		/* by both */
		{ { GCM }, { GCM }, GCM },
		{ { CHACHA }, { CHACHA }, CHACHA },
		/* nothing in common */
		{ { GCM }, { CHACHA }, NONE },
		{ { CHACHA }, { GCM }, NONE },
		{ { NONE }, { GCM, CHACHA }, NONE },
		{ { GCM, CHACHA }, { NONE }, NONE },
		{ { NONE }, { NONE }, NONE },
		/* 0 ends a list */
		{ { GCM, CHACHA }, { NONE, GCM }, NONE },
		{ { NONE, CHACHA }, { GCM, CHACHA }, NONE },
		/* twice the same, and ids of another time */
		{ { GCM, CHACHA }, { CHACHA, CHACHA }, CHACHA },
		{ { GCM, CHACHA }, { 3, CHACHA }, CHACHA },
		{ { GCM, CHACHA }, { 255, 3 }, NONE },
		{ { 3, GCM }, { 3, CHACHA }, NONE },
	};
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		EXPECT(veil_choose_aead(table[i].ours, table[i].theirs) ==
		       table[i].chosen);
}

/* Both ends see the two lists the other way round, and must agree. */
static void test_choice_is_symmetric(void)
{
	u8 a[VEIL_AEAD_MAX], b[VEIL_AEAD_MAX];
	unsigned int i;

	for (i = 0; i < 256; i++) {
		a[0] = i & 3;
		a[1] = i >> 2 & 3;
		b[0] = i >> 4 & 3;
		b[1] = i >> 6 & 3;
		EXPECT(veil_choose_aead(a, b) == veil_choose_aead(b, a));
	}
}

static void check_time(u64 ns, const u8 wire[12])
{
	struct veil_tai64n time;
	u64 back = ~ns;

	veil_tai64n_from_ns(&time, ns);
	EXPECT(!memcmp(&time, wire, 12));
	EXPECT(!veil_tai64n_to_ns(&back, &time));
	EXPECT(back == ns);
}

static void test_tai64n(void)
{
	check_time(0, (const u8 *)"\x40\0\0\0\0\0\0\x0a\0\0\0\0");
	check_time(999999999, (const u8 *)"\x40\0\0\0\0\0\0\x0a\x3b\x9a\xc9\xff");
	check_time(1000000000, (const u8 *)"\x40\0\0\0\0\0\0\x0b\0\0\0\0");
	/* 2026-11-22 12:00:00 UTC and 123456789 ns */
	check_time(1795348800123456789ULL,
		   (const u8 *)"\x40\0\0\0\x6b\x02\xd9\x4a\x07\x5b\xcd\x15");
}

static void test_tai64n_order(void)
{
	struct veil_tai64n earlier, later;
	u64 ns = 0;
	int i;

	for (i = 0; i < 10000; i++) {
		veil_tai64n_from_ns(&earlier, ns);
		ns += 1 + ktap_random() * (u64)ktap_random_below(300000);
		veil_tai64n_from_ns(&later, ns);
		EXPECT(memcmp(&earlier, &later, sizeof(later)) < 0);
	}
}

static int range(u64 seconds, u32 nanoseconds, u64 *ns)
{
	const struct veil_tai64n time = {
		cpu_to_be64(seconds), cpu_to_be32(nanoseconds)
	};

	return veil_tai64n_to_ns(ns, &time);
}

static void test_tai64n_range(void)
{
	const u64 epoch = 0x400000000000000aULL;
	const u64 end = 18446744073ULL;	/* 2^64 ns, in seconds */
	u64 ns;

	EXPECT(!range(epoch, 0, &ns) && !ns);
	EXPECT(range(epoch - 1, 999999999, &ns) == -ERANGE);
	EXPECT(range(0, 0, &ns) == -ERANGE);
	EXPECT(range(~0ULL, 0, &ns) == -ERANGE);
	EXPECT(range(epoch, 1000000000, &ns) == -ERANGE);
	EXPECT(range(epoch, ~0U, &ns) == -ERANGE);
	EXPECT(!range(epoch + end - 1, 999999999, &ns));
	EXPECT(ns == (end - 1) * 1000000000 + 999999999);
	EXPECT(range(epoch + end, 0, &ns) == -ERANGE);
	EXPECT(range(epoch + end, 999999999, &ns) == -ERANGE);
}

/* X25519's own word on whether it makes anything of a key. */
static bool makes_zero(const u8 key[VEIL_KEY_LEN])
{
	static const u8 private[VEIL_KEY_LEN] = { 8, 7, 6, 5, 4, 3, 2, 1 };
	u8 secret[VEIL_KEY_LEN];

	return veil_x25519(secret, private, key) == -EKEYREJECTED;
}

/* The points of low order, and all that are a bit away. */
static void test_weak_keys(void)
{
	u8 key[VEIL_KEY_LEN];
	unsigned int bit;
	size_t i;

	for (i = 0; i < LOW_ORDERS; i++) {
		low_order_point(key, i);
		EXPECT(veil_key_is_weak(key) && makes_zero(key));
		for (bit = 0; bit < 8 * VEIL_KEY_LEN; bit++) {
			key[bit / 8] ^= 1 << bit % 8;
			EXPECT(veil_key_is_weak(key) == makes_zero(key));
			key[bit / 8] ^= 1 << bit % 8;
		}
	}
}

static const struct ktap_case cases[] = {
	{ "points of low order, and what is next to them", test_weak_keys },
	{ "SipHash-2-4 of the paper", test_siphash_paper },
	{ "stamp, beside OpenSSL", test_stamp },
	{ "what the stamp covers", test_stamp_covers },
	{ "choice of an AEAD", test_choose_aead },
	{ "both ends choose the same", test_choice_is_symmetric },
	{ "TAI64N there and back", test_tai64n },
	{ "TAI64N orders as bytes", test_tai64n_order },
	{ "TAI64N out of range", test_tai64n_range },
};

int main(void)
{
	return ktap_run(cases, sizeof(cases) / sizeof(*cases));
}
