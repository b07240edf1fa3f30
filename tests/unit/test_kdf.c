// SPDX-License-Identifier: GPL-2.0
/*
 * Derived keys and codes beside OpenSSL's one-shot HMAC, SHA-256 and HKDF, over
 * bytes put together here as PROTOCOL.md says.
 */
#include "keys.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/sha.h>
#include <string.h>

#include "ktap.h"

#define ROUNDS	50

/* An input that grows part by part. */
struct input {
	u8 data[512];
	size_t len;
};

static void add(struct input *input, const void *part, size_t len)
{
	memcpy(input->data + input->len, part, len);
	input->len += len;
}

static void add_text(struct input *input, const char *text)
{
	add(input, text, strlen(text));
}

static void expected_hmac(u8 out[32], const u8 *key, const struct input *input)
{
	unsigned int len;

	EXPECT(HMAC(EVP_sha256(), key, 32, input->data, input->len, out, &len));
}

static void test_pair_key(void)
{
	u8 ss[32], s_i[32], s_r[32], expected[32], key[16], back[16];
	int i;

	for (i = 0; i < ROUNDS; i++) {
		struct input input = {};

		ktap_random_bytes(ss, sizeof(ss));
		ktap_random_bytes(s_i, sizeof(s_i));
		ktap_random_bytes(s_r, sizeof(s_r));
		add_text(&input, "netveil v1 pair");
		add(&input, s_i, 32);
		add(&input, s_r, 32);
		expected_hmac(expected, ss, &input);
		EXPECT(!veil_pair_key(key, ss, s_i, s_r));
		EXPECT(!memcmp(key, expected, 16));
		EXPECT(!veil_pair_key(back, ss, s_r, s_i));
		EXPECT(memcmp(key, back, 16));
	}
}

static void test_psk_id(void)
{
	u8 psk[32], expected[32], id[8];
	int i;

	for (i = 0; i < ROUNDS; i++) {
		struct input input = {};

		ktap_random_bytes(psk, sizeof(psk));
		add_text(&input, "netveil v1 psk id");
		expected_hmac(expected, psk, &input);
		EXPECT(!veil_psk_id(id, psk));
		EXPECT(!memcmp(id, expected, 8));
	}
}

static void test_mac1(void)
{
	u8 receiver[32], key[32], expected[32], mac[16];
	int i;

	for (i = 0; i < ROUNDS; i++) {
		struct input hashed = {}, message = {};

		ktap_random_bytes(receiver, sizeof(receiver));
		add_text(&hashed, "netveil v1 mac1");
		add(&hashed, receiver, 32);
		SHA256(hashed.data, hashed.len, key);
		message.len = ktap_random_below(sizeof(message.data));
		ktap_random_bytes(message.data, message.len);
		expected_hmac(expected, key, &message);
		EXPECT(!veil_mac1(mac, receiver, message.data, message.len));
		EXPECT(!memcmp(mac, expected, 16));
	}
}

static struct input data_info(u8 aead, const u8 header[8], const u8 h[32])
{
	struct input info = {};

	add_text(&info, "netveil v1 data");
	add(&info, &aead, 1);
	add(&info, header, 8);
	add(&info, h, 32);
	return info;
}

/* The formula's last byte 0x01 makes it HKDF-Expand of RFC 5869, one block. */
static void expected_expand(u8 out[32], u8 prk[32], struct input *info)
{
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 6),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, prk, 32),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, info->data,
					info->len),
		OSSL_PARAM_END,
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);

	EXPECT(EVP_KDF_derive(ctx, out, 32, params) > 0);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

static void test_data_key(void)
{
	u8 split[32], h[32], expected[32], key[32];
	struct veil_response_header header;
	struct input info;
	u8 aead;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		aead = 1 + i % 2;
		ktap_random_bytes(split, sizeof(split));
		ktap_random_bytes(&header, sizeof(header));
		ktap_random_bytes(h, sizeof(h));
		info = data_info(aead, (const u8 *)&header, h);
		EXPECT(!veil_data_key(key, split, aead, &header, h));
		expected_expand(expected, split, &info);
		EXPECT(!memcmp(key, expected, 32));
		add(&info, "\x01", 1);
		expected_hmac(expected, split, &info);
		EXPECT(!memcmp(key, expected, 32));
	}
}

/* Each part of the input has its effect. */
static void test_data_key_binds(void)
{
	struct veil_response_header header = {};
	u8 split[32] = {}, h[32] = {}, key[32], other[32];
	size_t i;

	EXPECT(!veil_data_key(key, split, 1, &header, h));
	EXPECT(!veil_data_key(other, split, 2, &header, h));
	EXPECT(memcmp(key, other, 32));
	for (i = 0; i < sizeof(header); i++) {
		((u8 *)&header)[i] ^= 1;
		EXPECT(!veil_data_key(other, split, 1, &header, h));
		EXPECT(memcmp(key, other, 32));
		((u8 *)&header)[i] ^= 1;
	}
	h[31] ^= 1;
	EXPECT(!veil_data_key(other, split, 1, &header, h));
	EXPECT(memcmp(key, other, 32));
}

static const struct ktap_case cases[] = {
	{ "pair key", test_pair_key },
	{ "psk id", test_psk_id },
	{ "mac1", test_mac1 },
	{ "data key", test_data_key },
	{ "what a data key binds", test_data_key_binds },
};

int main(void)
{
	return ktap_run(cases, sizeof(cases) / sizeof(*cases));
}
