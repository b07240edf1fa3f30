// SPDX-License-Identifier: GPL-2.0
/*
 * The example of kmod/PROTOCOL.md, made again by the module's code.  The bytes
 * there come from tests/lib/veilproto.py, which was written on its own.
 */
#include "cookie.h"
#include "keys.h"

#include <asm/byteorder.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ktap.h"

#define SPECIFICATION	"../../kmod/PROTOCOL.md"

static char text[1 << 17];

static bool load_text(void)
{
	FILE *file = fopen(SPECIFICATION, "r");
	size_t len;

	if (!file)
		return false;
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	return len && len < sizeof(text) - 1;
}

/* The value of a name at the start of a line: hex digits up to the next name. */
static void value(const char *name, void *out, size_t len)
{
	char pattern[64], byte[3] = "";
	const char *at;
	size_t i;

	memset(out, 0, len);
	snprintf(pattern, sizeof(pattern), "\n%s  ", name);
	at = strstr(text, pattern);
	if (!at) {
		ktap_fail(SPECIFICATION, 0, name);
		return;
	}
	at += strlen(pattern);
	for (i = 0; i < len; i++) {
		at += strspn(at, " ");
		if (at[0] == '\n' && at[1] == ' ')
			at += 1 + strspn(at + 1, " ");
		memcpy(byte, at, 2);
		((u8 *)out)[i] = strtoul(byte, NULL, 16);
		at += 2;
	}
	if (*at != '\n' || at[1] == ' ')
		ktap_fail(SPECIFICATION, (int)len, name);
}

/* That what was made is what the specification has under that name. */
static void same(const char *name, const void *made, size_t len)
{
	u8 expected[256];

	value(name, expected, len);
	if (memcmp(expected, made, len))
		ktap_fail(SPECIFICATION, (int)len, name);
}

#define SAME(name, made)	same(name, made, sizeof(made))
#define VALUE(name, out)	value(name, out, sizeof(out))

struct example {
	struct veil_identity initiator, responder;
	struct veil_noise left, right;
	struct veil_noise_keys keys;
	struct veil_initiation msg1;
	struct veil_response msg2;
	u8 ss[VEIL_KEY_LEN], psk[VEIL_KEY_LEN];
};

static struct example example;

static void read_identity(struct veil_identity *identity, const char *private,
			  const char *public)
{
	VALUE(private, identity->private);
	EXPECT(!veil_x25519_public(identity->public, identity->private));
	SAME(public, identity->public);
}

static void test_static_keys(void)
{
	u8 key[VEIL_PAIR_KEY_LEN], id[VEIL_PSK_ID_LEN];

	read_identity(&example.initiator, "s_i", "S_i");
	read_identity(&example.responder, "s_r", "S_r");
	EXPECT(!veil_x25519(example.ss, example.initiator.private,
			    example.responder.public));
	SAME("DH", example.ss);
	EXPECT(!veil_pair_key(key, example.ss, example.initiator.public,
			      example.responder.public));
	SAME("K_pair", key);
	VALUE("psk", example.psk);
	EXPECT(!veil_psk_id(id, example.psk));
	SAME("psk_id", id);
}

static void map_address(u8 out[VEIL_ADDR_LEN], u8 last)
{
	const u8 addr[VEIL_ADDR_LEN] = {
		[10] = 0xff, 0xff, 10, 9, 0, last
	};

	memcpy(out, addr, VEIL_ADDR_LEN);
}

static const struct veil_piece *prologue(const struct veil_initiation *msg)
{
	static struct veil_piece pieces[2];

	pieces[0] = (struct veil_piece){ VEIL_LABEL_PROLOGUE,
					 sizeof(VEIL_LABEL_PROLOGUE) - 1 };
	pieces[1] = (struct veil_piece){ &msg->header, sizeof(msg->header) };
	return pieces;
}

static void test_initiation(void)
{
	struct veil_initiation *msg = &example.msg1;
	struct veil_offer offer = {
		.aead = { VEIL_AEAD_AES_256_GCM, VEIL_AEAD_CHACHA20_POLY1305 },
		.lanes = 4,
	};
	u8 e_private[VEIL_KEY_LEN], key[VEIL_PAIR_KEY_LEN];

	map_address(offer.source, 1);
	map_address(offer.destination, 2);
	EXPECT(!veil_psk_id(offer.psk_id[0], example.psk));
	same("offer", &offer, sizeof(offer));

	msg->header.type = VEIL_MSG_INITIATION;
	msg->header.version = VEIL_PROTOCOL_VERSION;
	msg->header.sender = cpu_to_be32(0x01020304);
	value("time", &msg->header.time, sizeof(msg->header.time));
	VALUE("e_i", e_private);
	EXPECT(!veil_noise_write1(&example.left, msg->noise, &example.initiator,
				  example.responder.public, example.ss,
				  e_private, prologue(msg), 2, &offer,
				  sizeof(offer)));
	same("E_i", msg->noise, VEIL_KEY_LEN);
	VALUE("K_pair", key);
	msg->stamp = cpu_to_be64(veil_stamp(key, msg));
	EXPECT(!veil_mac1(msg->macs.mac1, example.responder.public, msg,
			  offsetof(struct veil_initiation, macs)));
	same("initiation", msg, sizeof(*msg));
}

static void test_response(void)
{
	struct veil_response *msg = &example.msg2;
	struct veil_choice choice = {
		.aead = VEIL_AEAD_AES_256_GCM,
		.lanes = 8,
		.sender = cpu_to_be32(0x05060708),
	};
	struct veil_offer offer;
	u8 e_private[VEIL_KEY_LEN], key[VEIL_PAIR_KEY_LEN];

	EXPECT(!veil_noise_read1_static(&example.right, example.msg1.noise,
					&example.responder,
					prologue(&example.msg1), 2));
	EXPECT(!veil_noise_read1_payload(&example.right, example.msg1.noise,
					 example.ss, &offer, sizeof(offer)));
	map_address(choice.source, 2);
	map_address(choice.destination, 1);
	same("choice", &choice, sizeof(choice));

	msg->header.type = VEIL_MSG_RESPONSE;
	msg->header.version = VEIL_PROTOCOL_VERSION;
	msg->header.psk_choice = 1;
	msg->header.receiver = example.msg1.header.sender;
	VALUE("e_r", e_private);
	EXPECT(!veil_noise_write2(&example.right, msg->noise, example.psk,
				  e_private, &choice, sizeof(choice)));
	same("E_r", msg->noise, VEIL_KEY_LEN);
	EXPECT(!veil_mac1(msg->mac1, example.initiator.public, msg,
			  offsetof(struct veil_response, mac1)));
	VALUE("K_pair", key);
	msg->stamp = cpu_to_be64(veil_response_stamp(key, msg));
	same("response", msg, sizeof(*msg));
}

static void test_data_keys(void)
{
	struct veil_choice choice;
	u8 key[VEIL_KEY_LEN];

	EXPECT(!veil_noise_read2(&example.left, example.msg2.noise,
				 &example.initiator, example.psk, &choice,
				 sizeof(choice)));
	EXPECT(!veil_noise_split(&example.left, &example.keys));
	SAME("h", example.keys.h);
	SAME("k_i", example.keys.initiator);
	SAME("k_r", example.keys.responder);
	EXPECT(!veil_data_key(key, example.keys.initiator, choice.aead,
			      &example.msg2.header, example.keys.h));
	SAME("data_key_i", key);
	EXPECT(!veil_data_key(key, example.keys.responder, choice.aead,
			      &example.msg2.header, example.keys.h));
	SAME("data_key_r", key);
}

static void seal_gcm(u8 *out, const u8 key[VEIL_KEY_LEN], const u8 nonce[12],
		     const u8 *ad, int ad_len, const u8 *plain, int len)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int done;

	EXPECT(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce));
	EXPECT(EVP_EncryptUpdate(ctx, NULL, &done, ad, ad_len));
	EXPECT(EVP_EncryptUpdate(ctx, out, &done, plain, len));
	EXPECT(EVP_EncryptFinal_ex(ctx, out + len, &done));
	EXPECT(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, VEIL_TAG_LEN,
				   out + len));
	EVP_CIPHER_CTX_free(ctx);
}

static void test_data_message(void)
{
	const u8 nonce[12] = { 0, 3, [11] = 5 };
	struct {
		struct veil_data_header header;
		u8 addrs[8];
	} __packed ad = {
		.header = {
			.type = VEIL_MSG_DATA,
			.lane = cpu_to_be16(3),
			.receiver = cpu_to_be32(0x05060708),
			.counter = cpu_to_be64(5),
		},
		.addrs = { 10, 9, 0, 1, 10, 9, 0, 2 },
	};
	struct {
		u8 l4[12];
		struct veil_trailer trailer;
	} __packed plain = { .trailer.next_header = 17 };
	u8 message[sizeof(ad.header) + sizeof(plain) + VEIL_TAG_LEN];
	u8 key[VEIL_KEY_LEN];

	VALUE("l4_packet", plain.l4);
	VALUE("data_key_i", key);
	memcpy(message, &ad.header, sizeof(ad.header));
	seal_gcm(message + sizeof(ad.header), key, nonce, (const u8 *)&ad,
		 sizeof(ad), (const u8 *)&plain, sizeof(plain));
	SAME("data_message", message);
}

static void test_cookie(void)
{
	struct veil_cookie_reply reply = {
		.type = VEIL_MSG_COOKIE,
		.receiver = example.msg1.header.sender,
	};
	u8 secret[VEIL_KEY_LEN], cookie[VEIL_COOKIE_LEN], mac[VEIL_MAC_LEN];
	u8 address[VEIL_ADDR_LEN], opened[VEIL_COOKIE_LEN];
	struct veil_initiation *msg = &example.msg1;

	map_address(address, 1);
	VALUE("cookie_secret", secret);
	EXPECT(!veil_cookie(cookie, secret, address, VEIL_PORT));
	SAME("cookie", cookie);
	VALUE("salt", reply.salt);
	EXPECT(!veil_cookie_seal(&reply, example.responder.public,
				 msg->macs.mac1, cookie));
	same("cookie_reply", &reply, sizeof(reply));
	EXPECT(!veil_cookie_open(opened, &reply, example.responder.public,
				 msg->macs.mac1));
	EXPECT(!memcmp(opened, cookie, sizeof(cookie)));
	EXPECT(!veil_mac2(mac, cookie, msg,
			  offsetof(struct veil_initiation, macs.mac2)));
	SAME("mac2", mac);
}

static const struct ktap_case cases[] = {
	{ "static keys, pair key, psk id", test_static_keys },
	{ "initiation", test_initiation },
	{ "response", test_response },
	{ "data keys", test_data_keys },
	{ "data message", test_data_message },
	{ "cookie reply and mac2", test_cookie },
};

int main(void)
{
	if (!load_text()) {
		printf("Bail out! cannot read %s\n", SPECIFICATION);
		return 1;
	}
	return ktap_run(cases, sizeof(cases) / sizeof(*cases));
}
