/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The AEADs of the data path: transforms from the kernel crypto API, and which
 * of the two is faster on this machine (measured once, at load).
 */
#ifndef _VEIL_CIPHER_H
#define _VEIL_CIPHER_H

#include <crypto/aead.h>

#include "messages.h"

#define VEIL_NONCE_LEN	12

/* Measure; asks for the modules that implement them.  Process context. */
int veil_cipher_init(void);

/* The AEADs to offer when nothing is pinned, fastest first; returns how many. */
unsigned int veil_cipher_ranked(u8 aeads[VEIL_AEAD_MAX]);

/* A transform with its key set; may finish requests later.  Process context. */
struct crypto_aead *veil_cipher_alloc(enum veil_aead_id aead,
				      const u8 key[VEIL_KEY_LEN]);

/* Whether tfm answers at once, tried with a forgery, which costs no nonce.
 * Process context.
 */
bool veil_cipher_prompt(struct crypto_aead *tfm);

static inline bool veil_cipher_async(struct crypto_aead *tfm)
{
	return crypto_aead_alg(tfm)->base.cra_flags & CRYPTO_ALG_ASYNC;
}

/* lane (16 bits), 16 zero bits, counter (64 bits): unique under one key. */
static inline void veil_cipher_nonce(u8 nonce[VEIL_NONCE_LEN],
				     const struct veil_data_header *header)
{
	memcpy(nonce, &header->lane, 2);
	nonce[2] = 0;
	nonce[3] = 0;
	memcpy(nonce + 4, &header->counter, 8);
}

#endif /* _VEIL_CIPHER_H */
