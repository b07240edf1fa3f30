// SPDX-License-Identifier: GPL-2.0
/*
 * crypto.h and the kernel's siphash() from OpenSSL 3, for programs that run
 * Netveil's pure parts in user space.
 */
#include "crypto.h"

#include <asm/byteorder.h>
#include <errno.h>
#include <linux/siphash.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#define IV_LEN	12

int veil_sha256(u8 out[VEIL_HASH_LEN], const struct veil_piece *pieces,
		unsigned int count)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned int i;
	bool good;

	good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
	for (i = 0; i < count; i++)
		good = good && EVP_DigestUpdate(ctx, pieces[i].data,
						pieces[i].len);
	good = good && EVP_DigestFinal_ex(ctx, out, NULL);
	EVP_MD_CTX_free(ctx);
	return good ? 0 : -EIO;
}

/* One MAC of any kind. */
static int veil_openssl_mac(const char *name, const OSSL_PARAM *params,
			    u8 *out, size_t out_len,
			    const u8 *key, size_t key_len,
			    const struct veil_piece *pieces, unsigned int count)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, name, NULL);
	EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
	unsigned int i;
	size_t len;
	bool good;

	good = ctx && EVP_MAC_init(ctx, key, key_len, params);
	for (i = 0; i < count; i++)
		good = good && (!pieces[i].len ||
				EVP_MAC_update(ctx, pieces[i].data,
					       pieces[i].len));
	good = good && EVP_MAC_final(ctx, out, &len, out_len) && len == out_len;
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
	return good ? 0 : -EIO;
}

int veil_hmac(u8 out[VEIL_HASH_LEN], const u8 *key, size_t key_len,
	      const struct veil_piece *pieces, unsigned int count)
{
	static char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest,
				       sizeof(digest) - 1),
		OSSL_PARAM_END,
	};

	return veil_openssl_mac("HMAC", params, out, VEIL_HASH_LEN, key,
				key_len, pieces, count);
}

u64 siphash(const void *data, size_t len, const siphash_key_t *key)
{
	const __le64 raw[2] = {
		cpu_to_le64(key->key[0]), cpu_to_le64(key->key[1]),
	};
	const struct veil_piece piece = { data, len };
	size_t size = sizeof(u64);
	const OSSL_PARAM params[] = {
		OSSL_PARAM_size_t(OSSL_MAC_PARAM_SIZE, &size),
		OSSL_PARAM_END,
	};
	__le64 out;

	if (veil_openssl_mac("SIPHASH", params, (u8 *)&out, sizeof(out),
			     (const u8 *)raw, sizeof(raw), &piece, 1))
		return 0;
	return le64_to_cpu(out);
}

static EVP_PKEY *veil_openssl_private(const u8 private[VEIL_KEY_LEN])
{
	return EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private,
					    VEIL_KEY_LEN);
}

int veil_x25519(u8 secret[VEIL_KEY_LEN], const u8 private[VEIL_KEY_LEN],
		const u8 public[VEIL_KEY_LEN])
{
	static const u8 zero[VEIL_KEY_LEN];
	EVP_PKEY *ours = veil_openssl_private(private);
	EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL,
						       public, VEIL_KEY_LEN);
	EVP_PKEY_CTX *ctx = ours ? EVP_PKEY_CTX_new(ours, NULL) : NULL;
	size_t len = VEIL_KEY_LEN;
	int err = -EIO;

	if (ctx && theirs && EVP_PKEY_derive_init(ctx) > 0 &&
	    EVP_PKEY_derive_set_peer(ctx, theirs) > 0) {
		/* OpenSSL fails here when the secret is zero; later ones may not. */
		memset(secret, 0, VEIL_KEY_LEN);
		if (EVP_PKEY_derive(ctx, secret, &len) > 0 &&
		    CRYPTO_memcmp(secret, zero, VEIL_KEY_LEN))
			err = 0;
		else
			err = -EKEYREJECTED;
	}
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(theirs);
	EVP_PKEY_free(ours);
	return err;
}

int veil_x25519_public(u8 public[VEIL_KEY_LEN], const u8 private[VEIL_KEY_LEN])
{
	EVP_PKEY *key = veil_openssl_private(private);
	size_t len = VEIL_KEY_LEN;
	bool good;

	good = key && EVP_PKEY_get_raw_public_key(key, public, &len) > 0;
	EVP_PKEY_free(key);
	return good ? 0 : -EIO;
}

static EVP_CIPHER_CTX *veil_openssl_aead(bool seal, const u8 *ad, size_t ad_len,
					 u64 counter,
					 const u8 key[VEIL_KEY_LEN])
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	const __le64 nonce = cpu_to_le64(counter);
	u8 iv[IV_LEN] = {};
	int len;

	memcpy(iv + IV_LEN - sizeof(nonce), &nonce, sizeof(nonce));
	if (ctx && EVP_CipherInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key,
				     iv, seal) > 0 &&
	    (!ad_len || EVP_CipherUpdate(ctx, NULL, &len, ad, ad_len) > 0))
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

/* The text without the tag, to the end of the message. */
static bool veil_openssl_crypt(EVP_CIPHER_CTX *ctx, u8 *dst, const u8 *src,
			       size_t len)
{
	u8 none[VEIL_TAG_LEN];
	int done;

	return (!len || EVP_CipherUpdate(ctx, dst, &done, src, len) > 0) &&
	       EVP_CipherFinal_ex(ctx, none, &done) > 0;
}

int veil_noise_seal(u8 *dst, const u8 *src, size_t len, const u8 *ad,
		    size_t ad_len, u64 counter, const u8 key[VEIL_KEY_LEN])
{
	EVP_CIPHER_CTX *ctx = veil_openssl_aead(true, ad, ad_len, counter, key);
	bool good;

	good = ctx && veil_openssl_crypt(ctx, dst, src, len) &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, VEIL_TAG_LEN,
				   dst + len) > 0;
	EVP_CIPHER_CTX_free(ctx);
	return good ? 0 : -EIO;
}

int veil_noise_open(u8 *dst, const u8 *src, size_t len, const u8 *ad,
		    size_t ad_len, u64 counter, const u8 key[VEIL_KEY_LEN])
{
	EVP_CIPHER_CTX *ctx;
	u8 tag[VEIL_TAG_LEN];
	int err = -EIO;

	if (len < VEIL_TAG_LEN)
		return -EBADMSG;
	len -= VEIL_TAG_LEN;
	memcpy(tag, src + len, VEIL_TAG_LEN);
	ctx = veil_openssl_aead(false, ad, ad_len, counter, key);
	if (ctx && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG,
				       VEIL_TAG_LEN, tag) > 0)
		err = veil_openssl_crypt(ctx, dst, src, len) ? 0 : -EBADMSG;
	EVP_CIPHER_CTX_free(ctx);
	return err;
}
