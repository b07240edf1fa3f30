// SPDX-License-Identifier: GPL-2.0
/*
 * The Noise handshake IKpsk2, as revision 34 of the Noise specification has it.
 *
 * The names of the functions are the specification's: MixKey, MixHash,
 * MixKeyAndHash, EncryptAndHash, DecryptAndHash, Split.
 */
#include "noise.h"

#include <linux/errno.h>
#include <linux/string.h>

/* Where the parts of message 1 and 2 begin; e comes first in both. */
#define VEIL_NOISE_S		VEIL_KEY_LEN
#define VEIL_NOISE_S_LEN	(VEIL_KEY_LEN + VEIL_TAG_LEN)
#define VEIL_NOISE_PAYLOAD1	(VEIL_NOISE_S + VEIL_NOISE_S_LEN)
#define VEIL_NOISE_PAYLOAD2	VEIL_KEY_LEN

static int veil_noise_hkdf(u8 out[][VEIL_HASH_LEN], u8 count,
			   const u8 ck[VEIL_HASH_LEN], const u8 *input,
			   size_t len)
{
	const struct veil_piece material = { input, len };
	u8 temp[VEIL_HASH_LEN];
	int err;
	u8 i;

	err = veil_hmac(temp, ck, VEIL_HASH_LEN, &material, 1);
	for (i = 1; !err && i <= count; i++) {
		const struct veil_piece pieces[] = {
			{ i > 1 ? out[i - 2] : NULL, i > 1 ? VEIL_HASH_LEN : 0 },
			{ &i, 1 },
		};

		err = veil_hmac(out[i - 1], temp, sizeof(temp), pieces, 2);
	}
	memzero_explicit(temp, sizeof(temp));
	return err;
}

static int veil_noise_mix_hash(struct veil_noise *noise, const void *data,
			       size_t len)
{
	const struct veil_piece pieces[] = {
		{ noise->h, VEIL_HASH_LEN },
		{ data, len },
	};

	return veil_sha256(noise->h, pieces, 2);
}

static int veil_noise_mix_key(struct veil_noise *noise,
			      const u8 input[VEIL_KEY_LEN])
{
	u8 out[2][VEIL_HASH_LEN];
	int err;

	err = veil_noise_hkdf(out, 2, noise->ck, input, VEIL_KEY_LEN);
	if (!err) {
		memcpy(noise->ck, out[0], VEIL_HASH_LEN);
		memcpy(noise->k, out[1], VEIL_KEY_LEN);
		noise->n = 0;
	}
	memzero_explicit(out, sizeof(out));
	return err;
}

static int veil_noise_mix_key_and_hash(struct veil_noise *noise,
				       const u8 psk[VEIL_KEY_LEN])
{
	u8 out[3][VEIL_HASH_LEN];
	int err;

	err = veil_noise_hkdf(out, 3, noise->ck, psk, VEIL_KEY_LEN);
	if (!err) {
		memcpy(noise->ck, out[0], VEIL_HASH_LEN);
		memcpy(noise->k, out[2], VEIL_KEY_LEN);
		noise->n = 0;
		err = veil_noise_mix_hash(noise, out[1], VEIL_HASH_LEN);
	}
	memzero_explicit(out, sizeof(out));
	return err;
}

static int veil_noise_mix_dh(struct veil_noise *noise,
			     const u8 private[VEIL_KEY_LEN],
			     const u8 public[VEIL_KEY_LEN])
{
	u8 secret[VEIL_KEY_LEN];
	int err;

	err = veil_x25519(secret, private, public);
	if (!err)
		err = veil_noise_mix_key(noise, secret);
	memzero_explicit(secret, sizeof(secret));
	return err;
}

/* Token e of either end: the handshake has a psk, so the key is mixed as well. */
static int veil_noise_mix_ephemeral(struct veil_noise *noise,
				    const u8 public[VEIL_KEY_LEN])
{
	int err;

	err = veil_noise_mix_hash(noise, public, VEIL_KEY_LEN);
	if (err)
		return err;
	return veil_noise_mix_key(noise, public);
}

static int veil_noise_encrypt(struct veil_noise *noise, u8 *dst,
			      const void *src, size_t len)
{
	int err;

	err = veil_noise_seal(dst, src, len, noise->h, VEIL_HASH_LEN,
			      noise->n, noise->k);
	if (err)
		return err;
	noise->n++;
	return veil_noise_mix_hash(noise, dst, len + VEIL_TAG_LEN);
}

/* len is that of the plaintext. */
static int veil_noise_decrypt(struct veil_noise *noise, void *dst,
			      const u8 *src, size_t len)
{
	int err;

	err = veil_noise_open(dst, src, len + VEIL_TAG_LEN, noise->h,
			      VEIL_HASH_LEN, noise->n, noise->k);
	if (err)
		return err;
	noise->n++;
	return veil_noise_mix_hash(noise, src, len + VEIL_TAG_LEN);
}

static int veil_noise_mix_prologue(struct veil_noise *noise,
				   const struct veil_piece *prologue,
				   unsigned int count)
{
	struct veil_piece pieces[1 + VEIL_NOISE_PROLOGUE_MAX] = {
		{ noise->h, VEIL_HASH_LEN },
	};
	unsigned int i;

	if (count > VEIL_NOISE_PROLOGUE_MAX)
		return -EINVAL;
	for (i = 0; i < count; i++)
		pieces[1 + i] = prologue[i];
	return veil_sha256(noise->h, pieces, 1 + count);
}

/* Protocol name, prologue, and the responder's key, known beforehand. */
static int veil_noise_start(struct veil_noise *noise,
			    const u8 responder[VEIL_KEY_LEN],
			    const struct veil_piece *prologue,
			    unsigned int count)
{
	static const struct veil_piece name = {
		VEIL_NOISE_NAME, sizeof(VEIL_NOISE_NAME) - 1
	};
	int err;

	memset(noise, 0, sizeof(*noise));
	err = veil_sha256(noise->h, &name, 1);
	if (err)
		return err;
	memcpy(noise->ck, noise->h, VEIL_HASH_LEN);
	err = veil_noise_mix_prologue(noise, prologue, count);
	if (err)
		return err;
	return veil_noise_mix_hash(noise, responder, VEIL_KEY_LEN);
}

/* Token e of our own, with a key that the caller made. */
static int veil_noise_write_ephemeral(struct veil_noise *noise,
				      u8 public[VEIL_KEY_LEN],
				      const u8 e_private[VEIL_KEY_LEN])
{
	int err;

	memcpy(noise->e_private, e_private, VEIL_KEY_LEN);
	err = veil_x25519_public(public, e_private);
	if (err)
		return err;
	return veil_noise_mix_ephemeral(noise, public);
}

static int veil_noise_read_ephemeral(struct veil_noise *noise,
				     const u8 public[VEIL_KEY_LEN])
{
	memcpy(noise->e_remote, public, VEIL_KEY_LEN);
	return veil_noise_mix_ephemeral(noise, public);
}

int veil_noise_write1(struct veil_noise *noise, u8 *msg,
		      const struct veil_identity *self,
		      const u8 remote[VEIL_KEY_LEN], const u8 ss[VEIL_KEY_LEN],
		      const u8 e_private[VEIL_KEY_LEN],
		      const struct veil_piece *prologue, unsigned int count,
		      const void *payload, size_t payload_len)
{
	int err;

	err = veil_noise_start(noise, remote, prologue, count);
	if (err)
		return err;
	memcpy(noise->s_remote, remote, VEIL_KEY_LEN);
	err = veil_noise_write_ephemeral(noise, msg, e_private);
	if (err)
		return err;
	err = veil_noise_mix_dh(noise, e_private, remote);
	if (err)
		return err;
	err = veil_noise_encrypt(noise, msg + VEIL_NOISE_S, self->public,
				 VEIL_KEY_LEN);
	if (err)
		return err;
	err = veil_noise_mix_key(noise, ss);
	if (err)
		return err;
	return veil_noise_encrypt(noise, msg + VEIL_NOISE_PAYLOAD1, payload,
				  payload_len);
}

int veil_noise_read1_static(struct veil_noise *noise, const u8 *msg,
			    const struct veil_identity *self,
			    const struct veil_piece *prologue,
			    unsigned int count)
{
	int err;

	err = veil_noise_start(noise, self->public, prologue, count);
	if (err)
		return err;
	err = veil_noise_read_ephemeral(noise, msg);
	if (err)
		return err;
	err = veil_noise_mix_dh(noise, self->private, noise->e_remote);
	if (err)
		return err;
	return veil_noise_decrypt(noise, noise->s_remote, msg + VEIL_NOISE_S,
				  VEIL_KEY_LEN);
}

int veil_noise_read1_payload(struct veil_noise *noise, const u8 *msg,
			     const u8 ss[VEIL_KEY_LEN],
			     void *payload, size_t payload_len)
{
	int err;

	err = veil_noise_mix_key(noise, ss);
	if (err)
		return err;
	return veil_noise_decrypt(noise, payload, msg + VEIL_NOISE_PAYLOAD1,
				  payload_len);
}

int veil_noise_write2(struct veil_noise *noise, u8 *msg,
		      const u8 psk[VEIL_KEY_LEN],
		      const u8 e_private[VEIL_KEY_LEN],
		      const void *payload, size_t payload_len)
{
	int err;

	err = veil_noise_write_ephemeral(noise, msg, e_private);
	if (err)
		return err;
	err = veil_noise_mix_dh(noise, e_private, noise->e_remote);
	if (err)
		return err;
	err = veil_noise_mix_dh(noise, e_private, noise->s_remote);
	if (err)
		return err;
	err = veil_noise_mix_key_and_hash(noise, psk);
	if (err)
		return err;
	return veil_noise_encrypt(noise, msg + VEIL_NOISE_PAYLOAD2, payload,
				  payload_len);
}

static int veil_noise_try_read2(struct veil_noise *noise, const u8 *msg,
				const struct veil_identity *self,
				const u8 psk[VEIL_KEY_LEN],
				void *payload, size_t payload_len)
{
	int err;

	err = veil_noise_read_ephemeral(noise, msg);
	if (err)
		return err;
	err = veil_noise_mix_dh(noise, noise->e_private, noise->e_remote);
	if (err)
		return err;
	err = veil_noise_mix_dh(noise, self->private, noise->e_remote);
	if (err)
		return err;
	err = veil_noise_mix_key_and_hash(noise, psk);
	if (err)
		return err;
	return veil_noise_decrypt(noise, payload, msg + VEIL_NOISE_PAYLOAD2,
				  payload_len);
}

int veil_noise_read2(struct veil_noise *noise, const u8 *msg,
		     const struct veil_identity *self,
		     const u8 psk[VEIL_KEY_LEN],
		     void *payload, size_t payload_len)
{
	struct veil_noise copy = *noise;
	int err;

	err = veil_noise_try_read2(&copy, msg, self, psk, payload, payload_len);
	if (!err)
		*noise = copy;
	veil_noise_wipe(&copy);
	return err;
}

int veil_noise_split(struct veil_noise *noise, struct veil_noise_keys *keys)
{
	u8 out[2][VEIL_HASH_LEN];
	int err;

	err = veil_noise_hkdf(out, 2, noise->ck, NULL, 0);
	if (!err) {
		memcpy(keys->initiator, out[0], VEIL_KEY_LEN);
		memcpy(keys->responder, out[1], VEIL_KEY_LEN);
		memcpy(keys->h, noise->h, VEIL_HASH_LEN);
	}
	memzero_explicit(out, sizeof(out));
	veil_noise_wipe(noise);
	return err;
}

void veil_noise_wipe(struct veil_noise *noise)
{
	memzero_explicit(noise, sizeof(*noise));
}
