/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Noise_IKpsk2_25519_ChaChaPoly_SHA256 on byte buffers: no sockets, no clock,
 * no allocation; randomness is passed in.  Messages 1 and 2, then split.
 *
 *   <- s
 *   -> e, es, s, ss
 *   <- e, ee, se, psk
 *
 * Context: process, may sleep (crypto.h).  Callers serialise access to a
 * struct veil_noise and wipe it (veil_noise_wipe) when they drop it.
 */
#ifndef _VEIL_NOISE_H
#define _VEIL_NOISE_H

#include "crypto.h"

/* Pieces that a prologue may come in. */
#define VEIL_NOISE_PROLOGUE_MAX	2

/* A static key pair. */
struct veil_identity {
	u8 private[VEIL_KEY_LEN];
	u8 public[VEIL_KEY_LEN];
};

/* Symmetric state, own ephemeral key and what is known of the other end. */
struct veil_noise {
	u8 h[VEIL_HASH_LEN];
	u8 ck[VEIL_HASH_LEN];
	u8 k[VEIL_KEY_LEN];
	u64 n;
	u8 e_private[VEIL_KEY_LEN];
	u8 e_remote[VEIL_KEY_LEN];
	u8 s_remote[VEIL_KEY_LEN];
};

/* The result: keys of both directions and the handshake hash. */
struct veil_noise_keys {
	u8 initiator[VEIL_KEY_LEN];	/* initiator to responder */
	u8 responder[VEIL_KEY_LEN];	/* responder to initiator */
	u8 h[VEIL_HASH_LEN];
};

/* Initiator: write message 1 of VEIL_NOISE1_LEN(payload_len) bytes to msg.
 * ss is the static-static secret, precomputed by the caller and checked there.
 */
int veil_noise_write1(struct veil_noise *noise, u8 *msg,
		      const struct veil_identity *self,
		      const u8 remote[VEIL_KEY_LEN], const u8 ss[VEIL_KEY_LEN],
		      const u8 e_private[VEIL_KEY_LEN],
		      const struct veil_piece *prologue, unsigned int count,
		      const void *payload, size_t payload_len);

/* Responder: read message 1 up to the initiator's static key, which is then in
 * noise->s_remote, so that the caller can find the peer and its ss ...
 */
int veil_noise_read1_static(struct veil_noise *noise, const u8 *msg,
			    const struct veil_identity *self,
			    const struct veil_piece *prologue,
			    unsigned int count);
/* ... and then the payload (payload_len without the tag). */
int veil_noise_read1_payload(struct veil_noise *noise, const u8 *msg,
			     const u8 ss[VEIL_KEY_LEN],
			     void *payload, size_t payload_len);

/* Responder: write message 2 of VEIL_NOISE2_LEN(payload_len) bytes to msg. */
int veil_noise_write2(struct veil_noise *noise, u8 *msg,
		      const u8 psk[VEIL_KEY_LEN],
		      const u8 e_private[VEIL_KEY_LEN],
		      const void *payload, size_t payload_len);

/* Initiator: read message 2.  Leaves *noise unchanged on error, so that a
 * forged response does not spoil the outstanding handshake.
 */
int veil_noise_read2(struct veil_noise *noise, const u8 *msg,
		     const struct veil_identity *self,
		     const u8 psk[VEIL_KEY_LEN],
		     void *payload, size_t payload_len);

/* Both, after message 2: take the keys out and wipe *noise. */
int veil_noise_split(struct veil_noise *noise, struct veil_noise_keys *keys);

void veil_noise_wipe(struct veil_noise *noise);

#endif /* _VEIL_NOISE_H */
