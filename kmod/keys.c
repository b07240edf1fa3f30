// SPDX-License-Identifier: GPL-2.0
/*
 * What Netveil derives around Noise; PROTOCOL.md has each formula.
 */
#include "keys.h"

#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/math64.h>
#include <linux/siphash.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <asm/byteorder.h>

/* TAI64's 1970, with the ten leap seconds of that time and none since. */
#define VEIL_TAI64_EPOCH	0x400000000000000aULL

#define VEIL_LABEL(text)	{ text, sizeof(text) - 1 }

static int veil_keys_hmac(u8 *out, size_t out_len, const u8 key[VEIL_KEY_LEN],
			  const struct veil_piece *pieces, unsigned int count)
{
	u8 mac[VEIL_HASH_LEN];
	int err;

	err = veil_hmac(mac, key, VEIL_KEY_LEN, pieces, count);
	if (!err)
		memcpy(out, mac, out_len);
	memzero_explicit(mac, sizeof(mac));
	return err;
}

/* Little endian, canonical or not; the highest bit is ignored. */
static const u8 veil_weak_keys[][VEIL_KEY_LEN] = {
	/* 0 */
	{ 0 },
	/* 1 */
	{ 1 },
	/* of order 8 */
	{ 0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae,
	  0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
	  0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd,
	  0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00 },
	{ 0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24,
	  0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
	  0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86,
	  0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57 },
	/* p - 1, p, p + 1, for p = 2^255 - 19 */
	{ 0xec, [1 ... 30] = 0xff, 0x7f },
	{ 0xed, [1 ... 30] = 0xff, 0x7f },
	{ 0xee, [1 ... 30] = 0xff, 0x7f },
};

bool veil_key_is_weak(const u8 public[VEIL_KEY_LEN])
{
	u8 key[VEIL_KEY_LEN];
	unsigned int i;

	memcpy(key, public, sizeof(key));
	key[VEIL_KEY_LEN - 1] &= 0x7f;
	for (i = 0; i < sizeof(veil_weak_keys) / VEIL_KEY_LEN; i++)
		if (!memcmp(key, veil_weak_keys[i], sizeof(key)))
			return true;
	return false;
}

int veil_pair_key(u8 key[VEIL_PAIR_KEY_LEN], const u8 ss[VEIL_KEY_LEN],
		  const u8 initiator[VEIL_KEY_LEN],
		  const u8 responder[VEIL_KEY_LEN])
{
	const struct veil_piece pieces[] = {
		VEIL_LABEL(VEIL_LABEL_PAIR),
		{ initiator, VEIL_KEY_LEN },
		{ responder, VEIL_KEY_LEN },
	};

	return veil_keys_hmac(key, VEIL_PAIR_KEY_LEN, ss, pieces, 3);
}

static u64 veil_keys_siphash(const u8 key[VEIL_PAIR_KEY_LEN], const void *input,
			     size_t len)
{
	siphash_key_t sip;
	__le64 words[2];
	u64 stamp;

	memcpy(words, key, sizeof(words));
	sip.key[0] = le64_to_cpu(words[0]);
	sip.key[1] = le64_to_cpu(words[1]);
	stamp = siphash(input, len, &sip);
	memzero_explicit(words, sizeof(words));
	memzero_explicit(&sip, sizeof(sip));
	return stamp;
}

u64 veil_stamp(const u8 key[VEIL_PAIR_KEY_LEN],
	       const struct veil_initiation *msg)
{
	struct {
		struct veil_initiation_header header;
		u8 noise[sizeof(msg->noise)];
	} __packed input;

	input.header = msg->header;
	memcpy(input.noise, msg->noise, sizeof(input.noise));
	return veil_keys_siphash(key, &input, sizeof(input));
}

u64 veil_response_stamp(const u8 key[VEIL_PAIR_KEY_LEN],
			const struct veil_response *msg)
{
	return veil_keys_siphash(key, msg, offsetof(struct veil_response, stamp));
}

int veil_psk_id(u8 id[VEIL_PSK_ID_LEN], const u8 psk[VEIL_KEY_LEN])
{
	static const struct veil_piece label = VEIL_LABEL(VEIL_LABEL_PSK_ID);

	return veil_keys_hmac(id, VEIL_PSK_ID_LEN, psk, &label, 1);
}

int veil_mac1(u8 mac[VEIL_MAC_LEN], const u8 receiver[VEIL_KEY_LEN],
	      const void *msg, size_t len)
{
	const struct veil_piece pieces[] = {
		VEIL_LABEL(VEIL_LABEL_MAC1),
		{ receiver, VEIL_KEY_LEN },
	};
	const struct veil_piece message = { msg, len };
	u8 key[VEIL_HASH_LEN];
	int err;

	err = veil_sha256(key, pieces, 2);
	if (err)
		return err;
	return veil_keys_hmac(mac, VEIL_MAC_LEN, key, &message, 1);
}

int veil_data_key(u8 key[VEIL_KEY_LEN], const u8 split[VEIL_KEY_LEN],
		  enum veil_aead_id aead,
		  const struct veil_response_header *header,
		  const u8 h[VEIL_HASH_LEN])
{
	const u8 id = aead, end = 0x01;
	const struct veil_piece pieces[] = {
		VEIL_LABEL(VEIL_LABEL_DATA),
		{ &id, 1 },
		{ header, sizeof(*header) },
		{ h, VEIL_HASH_LEN },
		{ &end, 1 },
	};

	return veil_keys_hmac(key, VEIL_KEY_LEN, split, pieces, 5);
}

/* Place of an AEAD in a list, or VEIL_AEAD_MAX if the list lacks it. */
static unsigned int veil_aead_rank(const u8 list[VEIL_AEAD_MAX], u8 aead)
{
	unsigned int i;

	for (i = 0; i < VEIL_AEAD_MAX && list[i] != VEIL_AEAD_NONE; i++)
		if (list[i] == aead)
			return i;
	return VEIL_AEAD_MAX;
}

enum veil_aead_id veil_choose_aead(const u8 ours[VEIL_AEAD_MAX],
				   const u8 theirs[VEIL_AEAD_MAX])
{
	enum veil_aead_id best = VEIL_AEAD_NONE;
	unsigned int least = 2 * VEIL_AEAD_MAX;
	u8 aead;

	/* From AES-256-GCM upwards: a later one has to be better, not equal. */
	for (aead = VEIL_AEAD_AES_256_GCM; aead <= VEIL_AEAD_MAX; aead++) {
		unsigned int mine = veil_aead_rank(ours, aead);
		unsigned int yours = veil_aead_rank(theirs, aead);

		if (mine == VEIL_AEAD_MAX || yours == VEIL_AEAD_MAX)
			continue;
		if (mine + yours < least) {
			least = mine + yours;
			best = aead;
		}
	}
	return best;
}

void veil_tai64n_from_ns(struct veil_tai64n *time, u64 ns)
{
	u64 seconds;
	u32 rest;

	seconds = div_u64_rem(ns, NSEC_PER_SEC, &rest);
	time->seconds = cpu_to_be64(VEIL_TAI64_EPOCH + seconds);
	time->nanoseconds = cpu_to_be32(rest);
}

int veil_tai64n_to_ns(u64 *ns, const struct veil_tai64n *time)
{
	/* Before 1970 this wraps, and is out of range as well. */
	u64 seconds = be64_to_cpu(time->seconds) - VEIL_TAI64_EPOCH;
	u32 rest = be32_to_cpu(time->nanoseconds);

	/* The last second that fits only in part is left out. */
	if (seconds >= U64_MAX / NSEC_PER_SEC || rest >= NSEC_PER_SEC)
		return -ERANGE;
	*ns = seconds * NSEC_PER_SEC + rest;
	return 0;
}
