/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The primitives of the handshake, as noise.c and handshake.c call them.
 *
 * In the module kmod/crypto.c takes them from the kernel; in the native tests
 * tests/unit/crypto_openssl.c takes them from OpenSSL.
 *
 * Context: process, may sleep.  All return 0 or a negative errno; output is
 * undefined on error, and callers wipe it.  A hash may be written over a piece
 * that went into it.
 */
#ifndef _VEIL_CRYPTO_H
#define _VEIL_CRYPTO_H

#include "messages.h"

/* One piece of a message that is hashed without being put together first. */
struct veil_piece {
	const void *data;
	size_t len;
};

int veil_sha256(u8 out[VEIL_HASH_LEN], const struct veil_piece *pieces,
		unsigned int count);
int veil_hmac(u8 out[VEIL_HASH_LEN], const u8 *key, size_t key_len,
	      const struct veil_piece *pieces, unsigned int count);

/* -EKEYREJECTED when the shared secret is all zero (a low-order point). */
int veil_x25519(u8 secret[VEIL_KEY_LEN], const u8 private[VEIL_KEY_LEN],
		const u8 public[VEIL_KEY_LEN]);
int veil_x25519_public(u8 public[VEIL_KEY_LEN], const u8 private[VEIL_KEY_LEN]);

/* ChaCha20-Poly1305 as Noise uses it: nonce = 4 zero bytes, LE64(counter).
 * dst may equal src; dst of seal has room for len + VEIL_TAG_LEN, len of open
 * includes the tag.  open returns -EBADMSG on a wrong tag.
 */
int veil_noise_seal(u8 *dst, const u8 *src, size_t len, const u8 *ad,
		    size_t ad_len, u64 counter, const u8 key[VEIL_KEY_LEN]);
int veil_noise_open(u8 *dst, const u8 *src, size_t len, const u8 *ad,
		    size_t ad_len, u64 counter, const u8 key[VEIL_KEY_LEN]);

/* Module only: take the algorithms from the kernel, or say which is missing. */
int veil_crypto_init(void);
void veil_crypto_exit(void);

#endif /* _VEIL_CRYPTO_H */
