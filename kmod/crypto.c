// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake's primitives from the kernel's crypto API, all synchronous.
 *
 * insmod resolves no dependency, so each algorithm is asked for by its name,
 * which loads the module that has it.  X25519 is not in the API of newer
 * kernels: there the library's symbol is linked (see Kbuild).
 *
 * Keyed transforms are shared: one mutex serialises them, and each use ends
 * with a zero key in place of the secret one.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "crypto.h"

#include <crypto/algapi.h>
#include <crypto/curve25519.h>
#include <crypto/hash.h>
#include <crypto/internal/aead.h>
#include <crypto/kpp.h>
#include <linux/err.h>
#include <linux/minmax.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/string.h>

#define VEIL_SHA256	"sha256"
#define VEIL_HMAC	"hmac(sha256)"
#define VEIL_CHACHA	"rfc7539(chacha20,poly1305)"
#define VEIL_X25519	"curve25519"

#define VEIL_IV_LEN	12
/* The longest associated data and text with tag; a payload is 52 bytes. */
#define VEIL_BOUNCE_LEN	256

/* Not on the stack: a scatterlist reaches linear memory only. */
struct veil_bounce {
	u8 iv[VEIL_IV_LEN];
	u8 data[VEIL_BOUNCE_LEN];
};

static const u8 veil_zero_key[VEIL_KEY_LEN];

/* Immutable from veil_crypto_init() to veil_crypto_exit(). */
static struct crypto_shash *veil_sha256_tfm;
static struct crypto_shash *veil_hmac_tfm;
static struct crypto_aead *veil_aead_tfm;
static struct aead_request *veil_aead_req;
static struct veil_bounce *veil_bounce;

/* The key and state of veil_hmac_tfm. */
static DEFINE_MUTEX(veil_hmac_lock);
/* The key of veil_aead_tfm, veil_aead_req and veil_bounce. */
static DEFINE_MUTEX(veil_aead_lock);

static int veil_shash(struct crypto_shash *tfm, u8 out[VEIL_HASH_LEN],
		      const struct veil_piece *pieces, unsigned int count)
{
	SHASH_DESC_ON_STACK(desc, tfm);
	unsigned int i;
	int err;

	desc->tfm = tfm;
	err = crypto_shash_init(desc);
	for (i = 0; !err && i < count; i++)
		if (pieces[i].len)
			err = crypto_shash_update(desc, pieces[i].data,
						  pieces[i].len);
	if (!err)
		err = crypto_shash_final(desc, out);
	shash_desc_zero(desc);
	return err;
}

int veil_sha256(u8 out[VEIL_HASH_LEN], const struct veil_piece *pieces,
		unsigned int count)
{
	return veil_shash(veil_sha256_tfm, out, pieces, count);
}

int veil_hmac(u8 out[VEIL_HASH_LEN], const u8 *key, size_t key_len,
	      const struct veil_piece *pieces, unsigned int count)
{
	int err, wiped;

	mutex_lock(&veil_hmac_lock);
	err = crypto_shash_setkey(veil_hmac_tfm, key, key_len);
	if (!err)
		err = veil_shash(veil_hmac_tfm, out, pieces, count);
	wiped = crypto_shash_setkey(veil_hmac_tfm, veil_zero_key,
				    sizeof(veil_zero_key));
	mutex_unlock(&veil_hmac_lock);
	return err ?: wiped;
}

static void veil_x25519_clamp(u8 clamped[VEIL_KEY_LEN],
			      const u8 private[VEIL_KEY_LEN])
{
	memcpy(clamped, private, VEIL_KEY_LEN);
	clamped[0] &= 248;
	clamped[VEIL_KEY_LEN - 1] &= 127;
	clamped[VEIL_KEY_LEN - 1] |= 64;
}

#ifdef VEIL_HAVE_KPP_CURVE25519

/* Both ends of one multiplication, in memory that a scatterlist may name. */
struct veil_kpp_buffer {
	u8 in[VEIL_KEY_LEN];
	u8 out[VEIL_KEY_LEN];
};

static int veil_kpp_run(struct crypto_kpp *tfm, struct veil_kpp_buffer *buffer,
			bool shared)
{
	struct scatterlist src, dst;
	struct kpp_request *req;
	int err;

	req = kpp_request_alloc(tfm, GFP_KERNEL);
	if (!req)
		return -ENOMEM;
	sg_init_one(&src, buffer->in, VEIL_KEY_LEN);
	sg_init_one(&dst, buffer->out, VEIL_KEY_LEN);
	kpp_request_set_callback(req, 0, NULL, NULL);
	kpp_request_set_input(req, shared ? &src : NULL,
			      shared ? VEIL_KEY_LEN : 0);
	kpp_request_set_output(req, &dst, VEIL_KEY_LEN);
	if (shared)
		err = crypto_kpp_compute_shared_secret(req);
	else
		err = crypto_kpp_generate_public_key(req);
	kpp_request_free(req);
	return err;
}

/* A transform per call, so that handshakes of several peers run in parallel. */
static int veil_x25519_multiply(u8 out[VEIL_KEY_LEN],
				const u8 clamped[VEIL_KEY_LEN],
				const u8 *public)
{
	struct veil_kpp_buffer *buffer;
	struct crypto_kpp *tfm;
	int err = -ENOMEM;

	tfm = crypto_alloc_kpp(VEIL_X25519, 0, CRYPTO_ALG_ASYNC);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	buffer = kzalloc(sizeof(*buffer), GFP_KERNEL);
	if (!buffer)
		goto free_tfm;
	if (public)
		memcpy(buffer->in, public, VEIL_KEY_LEN);
	err = crypto_kpp_set_secret(tfm, clamped, VEIL_KEY_LEN);
	if (!err)
		err = veil_kpp_run(tfm, buffer, public);
	if (!err)
		memcpy(out, buffer->out, VEIL_KEY_LEN);
	kfree_sensitive(buffer);
free_tfm:
	crypto_free_kpp(tfm);
	return err;
}

/* Holds on to what veil_x25519_multiply() will ask for. */
static struct crypto_kpp *veil_kpp_tfm;

static int veil_x25519_init(void)
{
	veil_kpp_tfm = crypto_alloc_kpp(VEIL_X25519, 0, CRYPTO_ALG_ASYNC);
	return PTR_ERR_OR_ZERO(veil_kpp_tfm);
}

static void veil_x25519_exit(void)
{
	crypto_free_kpp(veil_kpp_tfm);
}

#else

/* What the library calls failure is a result of zero, which the caller sees. */
static int veil_x25519_multiply(u8 out[VEIL_KEY_LEN],
				const u8 clamped[VEIL_KEY_LEN],
				const u8 *public)
{
	bool valid;

	memset(out, 0, VEIL_KEY_LEN);
	if (public)
		valid = curve25519(out, clamped, public);
	else
		valid = curve25519_generate_public(out, clamped);
	return valid ? 0 : -EKEYREJECTED;
}

static int veil_x25519_init(void)
{
	return 0;
}

static void veil_x25519_exit(void)
{
}

#endif /* VEIL_HAVE_KPP_CURVE25519 */

static int veil_x25519_clamped(u8 out[VEIL_KEY_LEN],
			       const u8 private[VEIL_KEY_LEN], const u8 *public)
{
	u8 clamped[VEIL_KEY_LEN];
	int err;

	veil_x25519_clamp(clamped, private);
	err = veil_x25519_multiply(out, clamped, public);
	memzero_explicit(clamped, sizeof(clamped));
	return err;
}

int veil_x25519(u8 secret[VEIL_KEY_LEN], const u8 private[VEIL_KEY_LEN],
		const u8 public[VEIL_KEY_LEN])
{
	int err;

	err = veil_x25519_clamped(secret, private, public);
	if (err)
		return err;
	if (!crypto_memneq(secret, veil_zero_key, VEIL_KEY_LEN))
		return -EKEYREJECTED;
	return 0;
}

int veil_x25519_public(u8 public[VEIL_KEY_LEN], const u8 private[VEIL_KEY_LEN])
{
	return veil_x25519_clamped(public, private, NULL);
}

/* One request on veil_bounce, in place; crypt_len as crypto_aead_*() has it. */
static int veil_aead_run(bool seal, size_t crypt_len, size_t ad_len,
			 u64 counter, const u8 key[VEIL_KEY_LEN])
{
	const __le64 nonce = cpu_to_le64(counter);
	struct scatterlist sg;
	int err;

	err = crypto_aead_setkey(veil_aead_tfm, key, VEIL_KEY_LEN);
	if (err)
		return err;
	memcpy(veil_bounce->iv + VEIL_IV_LEN - sizeof(nonce), &nonce,
	       sizeof(nonce));
	sg_init_one(&sg, veil_bounce->data,
		    ad_len + crypt_len + (seal ? VEIL_TAG_LEN : 0));
	aead_request_set_callback(veil_aead_req, 0, NULL, NULL);
	aead_request_set_ad(veil_aead_req, ad_len);
	aead_request_set_crypt(veil_aead_req, &sg, &sg, crypt_len,
			       veil_bounce->iv);
	return seal ? crypto_aead_encrypt(veil_aead_req) :
		      crypto_aead_decrypt(veil_aead_req);
}

static int veil_aead_wipe(void)
{
	memzero_explicit(veil_bounce, sizeof(*veil_bounce));
	memzero_explicit(aead_request_ctx(veil_aead_req),
			 crypto_aead_reqsize(veil_aead_tfm));
	return crypto_aead_setkey(veil_aead_tfm, veil_zero_key,
				  sizeof(veil_zero_key));
}

/* out_len is the length of what comes out at dst. */
static int veil_aead_bounce(bool seal, u8 *dst, size_t out_len, const u8 *src,
			    size_t len, const u8 *ad, size_t ad_len,
			    u64 counter, const u8 key[VEIL_KEY_LEN])
{
	int err, wiped;

	if (ad_len > VEIL_BOUNCE_LEN ||
	    max(len, out_len) > VEIL_BOUNCE_LEN - ad_len)
		return -EMSGSIZE;
	mutex_lock(&veil_aead_lock);
	memcpy(veil_bounce->data, ad, ad_len);
	memcpy(veil_bounce->data + ad_len, src, len);
	err = veil_aead_run(seal, len, ad_len, counter, key);
	if (!err)
		memcpy(dst, veil_bounce->data + ad_len, out_len);
	wiped = veil_aead_wipe();
	mutex_unlock(&veil_aead_lock);
	return err ?: wiped;
}

int veil_noise_seal(u8 *dst, const u8 *src, size_t len, const u8 *ad,
		    size_t ad_len, u64 counter, const u8 key[VEIL_KEY_LEN])
{
	return veil_aead_bounce(true, dst, len + VEIL_TAG_LEN, src, len, ad,
				ad_len, counter, key);
}

int veil_noise_open(u8 *dst, const u8 *src, size_t len, const u8 *ad,
		    size_t ad_len, u64 counter, const u8 key[VEIL_KEY_LEN])
{
	if (len < VEIL_TAG_LEN)
		return -EBADMSG;
	return veil_aead_bounce(false, dst, len - VEIL_TAG_LEN, src, len, ad,
				ad_len, counter, key);
}

/* insmod turns -ENOENT into "unknown symbol", so absence has another errno. */
static int veil_crypto_refuse(const char *name, const char *config, int err)
{
	if (err != -ENOENT) {
		pr_err("cannot set up \"%s\": error %d\n", name, err);
		return err;
	}
	pr_err("this kernel lacks \"%s\" (CONFIG_%s): install the package that has all of this kernel's modules, or build the kernel with this option\n",
	       name, config);
	return -EOPNOTSUPP;
}

static int veil_aead_init(void)
{
	int err;

	veil_aead_tfm = crypto_alloc_aead(VEIL_CHACHA, 0, CRYPTO_ALG_ASYNC);
	if (IS_ERR(veil_aead_tfm))
		return PTR_ERR(veil_aead_tfm);
	err = crypto_aead_setauthsize(veil_aead_tfm, VEIL_TAG_LEN);
	if (err)
		goto free_tfm;
	err = -ENOMEM;
	veil_aead_req = aead_request_alloc(veil_aead_tfm, GFP_KERNEL);
	if (!veil_aead_req)
		goto free_tfm;
	veil_bounce = kzalloc(sizeof(*veil_bounce), GFP_KERNEL);
	if (!veil_bounce)
		goto free_req;
	return 0;

free_req:
	aead_request_free(veil_aead_req);
free_tfm:
	crypto_free_aead(veil_aead_tfm);
	return err;
}

static void veil_aead_exit(void)
{
	kfree_sensitive(veil_bounce);
	aead_request_free(veil_aead_req);
	crypto_free_aead(veil_aead_tfm);
}

int veil_crypto_init(void)
{
	int err;

	veil_sha256_tfm = crypto_alloc_shash(VEIL_SHA256, 0, 0);
	if (IS_ERR(veil_sha256_tfm))
		return veil_crypto_refuse(VEIL_SHA256, "CRYPTO_SHA256",
					  PTR_ERR(veil_sha256_tfm));
	veil_hmac_tfm = crypto_alloc_shash(VEIL_HMAC, 0, 0);
	if (IS_ERR(veil_hmac_tfm)) {
		err = veil_crypto_refuse(VEIL_HMAC, "CRYPTO_HMAC",
					 PTR_ERR(veil_hmac_tfm));
		goto free_sha256;
	}
	err = veil_aead_init();
	if (err) {
		err = veil_crypto_refuse(VEIL_CHACHA, "CRYPTO_CHACHA20POLY1305",
					 err);
		goto free_hmac;
	}
	err = veil_x25519_init();
	if (err) {
		err = veil_crypto_refuse(VEIL_X25519, "CRYPTO_CURVE25519", err);
		goto free_aead;
	}
	return 0;

free_aead:
	veil_aead_exit();
free_hmac:
	crypto_free_shash(veil_hmac_tfm);
free_sha256:
	crypto_free_shash(veil_sha256_tfm);
	return err;
}

void veil_crypto_exit(void)
{
	veil_x25519_exit();
	veil_aead_exit();
	crypto_free_shash(veil_hmac_tfm);
	crypto_free_shash(veil_sha256_tfm);
}
