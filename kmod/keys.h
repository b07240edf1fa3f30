/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Keys that Netveil derives around Noise (PROTOCOL.md): data keys, pair keys,
 * psk ids, mac1 and the stamp.  Pure, on top of crypto.h.
 *
 * Context: process, may sleep, but for the stamps, which run anywhere.
 */
#ifndef _VEIL_KEYS_H
#define _VEIL_KEYS_H

#include "noise.h"

/* A point of low order (RFC 7748, 6.1): X25519 of it and any private key is zero. */
bool veil_key_is_weak(const u8 public[VEIL_KEY_LEN]);

/* K_pair of one direction: initiator's and responder's static public keys. */
int veil_pair_key(u8 key[VEIL_PAIR_KEY_LEN], const u8 ss[VEIL_KEY_LEN],
		  const u8 initiator[VEIL_KEY_LEN],
		  const u8 responder[VEIL_KEY_LEN]);

/* SipHash-2-4 over the clear header and the Noise message of an initiation: all
 * of it, or who alters a byte of a copy would have the worker refuse it, and the
 * genuine one dropped as repeated.
 */
u64 veil_stamp(const u8 key[VEIL_PAIR_KEY_LEN],
	       const struct veil_initiation *msg);
/* The same over a response up to there: only the peer's own are queued.  key: of the
 * initiation; that one's input is longer.
 */
u64 veil_response_stamp(const u8 key[VEIL_PAIR_KEY_LEN],
			const struct veil_response *msg);

int veil_psk_id(u8 id[VEIL_PSK_ID_LEN], const u8 psk[VEIL_KEY_LEN]);

/* mac1 of the len bytes before it, for the owner of the public key. */
int veil_mac1(u8 mac[VEIL_MAC_LEN], const u8 receiver[VEIL_KEY_LEN],
	      const void *msg, size_t len);

/* Data key of the direction whose Split output is split. */
int veil_data_key(u8 key[VEIL_KEY_LEN], const u8 split[VEIL_KEY_LEN],
		  enum veil_aead_id aead,
		  const struct veil_response_header *header,
		  const u8 h[VEIL_HASH_LEN]);

/* The AEAD with the lowest sum of ranks in both lists (fastest first, 0 ends
 * a list); a tie goes to AES-256-GCM; VEIL_AEAD_NONE if nothing is in both.
 */
enum veil_aead_id veil_choose_aead(const u8 ours[VEIL_AEAD_MAX],
				   const u8 theirs[VEIL_AEAD_MAX]);

/* A sender's or receiver's clock as one number that orders like TAI64N. */
void veil_tai64n_from_ns(struct veil_tai64n *time, u64 ns);
/* -ERANGE for a time outside 1970 to 2554, or nanoseconds of 10^9 and more. */
int veil_tai64n_to_ns(u64 *ns, const struct veil_tai64n *time);

#endif /* _VEIL_KEYS_H */
