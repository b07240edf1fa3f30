// SPDX-License-Identifier: GPL-2.0
/*
 * The AEADs of the data path: allocation, and the measurement that ranks them.
 *
 * AES-NI without wide VAES code can lose against ChaCha20, and without AES
 * instructions AES is table-based, which leaks its key through the cache: then
 * it is offered only when an administrator pins it.  So both are timed at load,
 * as lib/raid6 does with its routines.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kmod.h>
#include <linux/ktime.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#if defined(CONFIG_X86) || defined(CONFIG_ARM64)
#include <asm/cpufeature.h>
#endif

#include "cipher.h"

#define VEIL_BENCH_LEN		1408
#define VEIL_BENCH_ROUNDS	64

static const char *const veil_cipher_names[] = {
	[VEIL_AEAD_AES_256_GCM]		= "gcm(aes)",
	[VEIL_AEAD_CHACHA20_POLY1305]	= "rfc7539(chacha20,poly1305)",
};

/* Whose time was taken.  By the name above an instance would be found that was put in
 * front meanwhile, such as "pcrypt(...)", whose requests finish later, as any local
 * user can by AF_ALG.
 */
static char veil_cipher_drivers[ARRAY_SIZE(veil_cipher_names)]
			       [CRYPTO_MAX_ALG_NAME];

static u8 veil_ranked[VEIL_AEAD_MAX];
static unsigned int veil_ranked_count;

struct crypto_aead *veil_cipher_alloc(enum veil_aead_id aead,
				      const u8 key[VEIL_KEY_LEN])
{
	struct crypto_aead *tfm;
	int err;

	tfm = crypto_alloc_aead(veil_cipher_drivers[aead], 0, 0);
	/* It may be gone, with its device. */
	if (IS_ERR(tfm))
		tfm = crypto_alloc_aead(veil_cipher_names[aead], 0, 0);
	if (IS_ERR(tfm))
		return tfm;
	err = crypto_aead_setkey(tfm, key, VEIL_KEY_LEN);
	if (!err)
		err = crypto_aead_setauthsize(tfm, VEIL_TAG_LEN);
	if (err) {
		crypto_free_aead(tfm);
		return ERR_PTR(err);
	}
	return tfm;
}

bool veil_cipher_prompt(struct crypto_aead *tfm)
{
	u8 nonce[VEIL_NONCE_LEN] = {};
	struct aead_request *request;
	struct scatterlist sg;
	DECLARE_CRYPTO_WAIT(wait);
	bool prompt = false;
	void *buffer;
	int err;

	buffer = kzalloc(VEIL_TAG_LEN, GFP_KERNEL);
	request = aead_request_alloc(tfm, GFP_KERNEL);
	if (!buffer || !request)
		goto out;

	sg_init_one(&sg, buffer, VEIL_TAG_LEN);
	aead_request_set_callback(request, 0, crypto_req_done, &wait);
	aead_request_set_ad(request, 0);
	aead_request_set_crypt(request, &sg, &sg, VEIL_TAG_LEN, nonce);
	err = crypto_aead_decrypt(request);
	prompt = err == -EBADMSG;
	crypto_wait_req(err, &wait);
out:
	aead_request_free(request);
	kfree(buffer);
	return prompt;
}

/* Best time of many, in ns: noise only ever adds. */
static int veil_cipher_time(struct crypto_aead *tfm, u64 *best)
{
	unsigned int size = VEIL_BENCH_LEN + VEIL_TAG_LEN;
	u8 nonce[VEIL_NONCE_LEN] = {};
	struct aead_request *request;
	struct scatterlist sg;
	DECLARE_CRYPTO_WAIT(wait);
	int err = -ENOMEM;
	void *buffer;
	int i;

	buffer = kzalloc(size, GFP_KERNEL);
	request = aead_request_alloc(tfm, GFP_KERNEL);
	if (!buffer || !request)
		goto out;

	sg_init_one(&sg, buffer, size);
	aead_request_set_callback(request, CRYPTO_TFM_REQ_MAY_SLEEP,
				  crypto_req_done, &wait);
	aead_request_set_ad(request, 0);
	aead_request_set_crypt(request, &sg, &sg, VEIL_BENCH_LEN, nonce);
	*best = U64_MAX;
	for (i = 0; i < VEIL_BENCH_ROUNDS; i++) {
		u64 start = ktime_get_ns();

		err = crypto_wait_req(crypto_aead_encrypt(request), &wait);
		if (err)
			break;
		*best = min(*best, ktime_get_ns() - start);
	}
out:
	aead_request_free(request);
	kfree(buffer);
	return err;
}

/* Whether 7.x's library has AES by instructions here; of machines that are not named
 * it is taken that it has not.
 */
static bool veil_cipher_instructions(void)
{
#if defined(CONFIG_X86)
	return boot_cpu_has(X86_FEATURE_AES);
#elif defined(CONFIG_ARM64)
	return cpu_have_named_feature(AES);
#else
	return false;
#endif
}

/* Whether the AES below tfm looks tables up with key-dependent indexes. */
static bool veil_cipher_table_based(struct crypto_aead *tfm)
{
	const char *name = crypto_tfm_alg_driver_name(crypto_aead_tfm(tfm));

	if (strstr(name, "aes-generic") || strstr(name, "aes-arm"))
		return true;
	return strstr(name, "aes-lib") && !veil_cipher_instructions();
}

static int veil_cipher_measure(enum veil_aead_id aead, u64 *time, bool *offer)
{
	static const u8 zero[VEIL_KEY_LEN];
	char *driver = veil_cipher_drivers[aead];
	struct crypto_aead *tfm;
	int err;

	strscpy(driver, veil_cipher_names[aead], CRYPTO_MAX_ALG_NAME);
	tfm = veil_cipher_alloc(aead, zero);
	if (IS_ERR(tfm) && PTR_ERR(tfm) != -ENOENT) {
		err = PTR_ERR(tfm);
		pr_err("cannot set up \"%s\": error %d\n",
		       veil_cipher_names[aead], err);
		return err;
	}
	if (IS_ERR(tfm)) {
		pr_err("this kernel has no \"%s\": it needs CONFIG_CRYPTO_GCM, CONFIG_CRYPTO_AES and CONFIG_CRYPTO_CHACHA20POLY1305, built in or as modules that modprobe finds\n",
		       veil_cipher_names[aead]);
		return -EOPNOTSUPP;
	}
	*offer = aead != VEIL_AEAD_AES_256_GCM || !veil_cipher_table_based(tfm);
	err = veil_cipher_time(tfm, time);
	strscpy(driver, crypto_tfm_alg_driver_name(crypto_aead_tfm(tfm)),
		CRYPTO_MAX_ALG_NAME);
	pr_debug("%s: %llu ns for %u bytes\n", driver, *time, VEIL_BENCH_LEN);
	crypto_free_aead(tfm);
	return err;
}

int veil_cipher_init(void)
{
	u64 gcm_time, chacha_time;
	bool gcm, chacha;
	int err;

	/* The machine's own, where nothing has loaded them yet: the crypto API is
	 * content with what is built in, such as the table-based AES.
	 */
	request_module("crypto-aes");
	request_module("crypto-ctr(aes)");
	request_module("crypto-chacha20");
	request_module("crypto-poly1305");

	err = veil_cipher_measure(VEIL_AEAD_AES_256_GCM, &gcm_time, &gcm);
	if (err)
		return err;
	err = veil_cipher_measure(VEIL_AEAD_CHACHA20_POLY1305, &chacha_time,
				  &chacha);
	if (err)
		return err;

	veil_ranked_count = 0;
	if (gcm && gcm_time <= chacha_time)
		veil_ranked[veil_ranked_count++] = VEIL_AEAD_AES_256_GCM;
	veil_ranked[veil_ranked_count++] = VEIL_AEAD_CHACHA20_POLY1305;
	if (gcm && gcm_time > chacha_time)
		veil_ranked[veil_ranked_count++] = VEIL_AEAD_AES_256_GCM;
	return 0;
}

unsigned int veil_cipher_ranked(u8 aeads[VEIL_AEAD_MAX])
{
	memset(aeads, 0, VEIL_AEAD_MAX);
	memcpy(aeads, veil_ranked, veil_ranked_count);
	return veil_ranked_count;
}
