// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake with itself: what has to work, and what has to fail.  Whether it
 * is Noise is for noise-vectors to say.
 */
#include "noise.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ktap.h"
#include "low_order.h"

#define PAYLOAD1	(sizeof(struct veil_offer))
#define PAYLOAD2	(sizeof(struct veil_choice))
#define LEN1		VEIL_NOISE1_LEN(PAYLOAD1)
#define LEN2		VEIL_NOISE2_LEN(PAYLOAD2)

/* Two hosts in the middle of a handshake. */
struct pair {
	struct veil_identity initiator, responder;
	struct veil_noise left, right;
	u8 ss[VEIL_KEY_LEN], psk[VEIL_KEY_LEN];
	u8 e_left[VEIL_KEY_LEN], e_right[VEIL_KEY_LEN];
	u8 offer[PAYLOAD1], choice[PAYLOAD2];
	u8 msg1[LEN1], msg2[LEN2];
};

static const struct veil_piece prologue = { "netveil v1 and a header", 23 };


static void make_identity(struct veil_identity *identity)
{
	ktap_random_bytes(identity->private, VEIL_KEY_LEN);
	EXPECT(!veil_x25519_public(identity->public, identity->private));
}

static void write1(struct pair *pair)
{
	EXPECT(!veil_noise_write1(&pair->left, pair->msg1, &pair->initiator,
				  pair->responder.public, pair->ss,
				  pair->e_left, &prologue, 1, pair->offer,
				  PAYLOAD1));
}

/* Both have their keys, and message 1 is written. */
static void start(struct pair *pair)
{
	memset(pair, 0, sizeof(*pair));
	make_identity(&pair->initiator);
	make_identity(&pair->responder);
	EXPECT(!veil_x25519(pair->ss, pair->initiator.private,
			    pair->responder.public));
	ktap_random_bytes(pair->psk, sizeof(pair->psk));
	ktap_random_bytes(pair->e_left, sizeof(pair->e_left));
	ktap_random_bytes(pair->e_right, sizeof(pair->e_right));
	ktap_random_bytes(pair->offer, sizeof(pair->offer));
	ktap_random_bytes(pair->choice, sizeof(pair->choice));
	write1(pair);
}

static int read1(struct pair *pair, u8 offer[PAYLOAD1])
{
	int err;

	err = veil_noise_read1_static(&pair->right, pair->msg1,
				      &pair->responder, &prologue, 1);
	if (err)
		return err;
	return veil_noise_read1_payload(&pair->right, pair->msg1, pair->ss,
					offer, PAYLOAD1);
}

static void write2(struct pair *pair)
{
	EXPECT(!veil_noise_write2(&pair->right, pair->msg2, pair->psk,
				  pair->e_right, pair->choice, PAYLOAD2));
}

static int read2(struct pair *pair, u8 choice[PAYLOAD2])
{
	return veil_noise_read2(&pair->left, pair->msg2, &pair->initiator,
				pair->psk, choice, PAYLOAD2);
}

/* Up to a message 2 that the initiator has not read yet. */
static void advance(struct pair *pair)
{
	u8 offer[PAYLOAD1];

	start(pair);
	EXPECT(!read1(pair, offer));
	EXPECT(!memcmp(offer, pair->offer, PAYLOAD1));
	write2(pair);
}

static bool is_zero(const void *data, size_t len)
{
	const u8 *byte = data;

	while (len--)
		if (*byte++)
			return false;
	return true;
}

static void check_end(struct pair *pair)
{
	struct veil_noise_keys left, right;

	EXPECT(!veil_noise_split(&pair->left, &left));
	EXPECT(!veil_noise_split(&pair->right, &right));
	EXPECT(!memcmp(&left, &right, sizeof(left)));
	EXPECT(memcmp(left.initiator, left.responder, VEIL_KEY_LEN));
	EXPECT(is_zero(&pair->left, sizeof(pair->left)));
	EXPECT(is_zero(&pair->right, sizeof(pair->right)));
}

static void test_round_trip(void)
{
	u8 choice[PAYLOAD2];
	struct pair pair;
	int i;

	for (i = 0; i < 10; i++) {
		advance(&pair);
		EXPECT(!memcmp(pair.right.s_remote, pair.initiator.public,
			       VEIL_KEY_LEN));
		EXPECT(!memcmp(pair.left.s_remote, pair.responder.public,
			       VEIL_KEY_LEN));
		EXPECT(!read2(&pair, choice));
		EXPECT(!memcmp(choice, pair.choice, PAYLOAD2));
		check_end(&pair);
	}
}

static void check_payload_len(size_t len)
{
	u8 msg1[VEIL_NOISE1_LEN(200)], msg2[VEIL_NOISE2_LEN(200)];
	u8 payload[200], out[200] = {};
	struct pair pair;

	start(&pair);
	ktap_random_bytes(payload, sizeof(payload));
	EXPECT(!veil_noise_write1(&pair.left, msg1, &pair.initiator,
				  pair.responder.public, pair.ss, pair.e_left,
				  NULL, 0, payload, len));
	EXPECT(!veil_noise_read1_static(&pair.right, msg1, &pair.responder,
					NULL, 0));
	EXPECT(!veil_noise_read1_payload(&pair.right, msg1, pair.ss, out, len));
	EXPECT(!memcmp(out, payload, len));
	EXPECT(!veil_noise_write2(&pair.right, msg2, pair.psk, pair.e_right,
				  payload, len));
	EXPECT(!veil_noise_read2(&pair.left, msg2, &pair.initiator, pair.psk,
				 out, len));
	EXPECT(!memcmp(out, payload, len));
	check_end(&pair);
}

static void test_payload_lengths(void)
{
	check_payload_len(0);
	check_payload_len(1);
	check_payload_len(199);
}

static void test_prologue(void)
{
	const struct veil_piece halves[] = { { "netveil v1 ", 11 },
					     { "and a header", 12 } };
	const struct veil_piece other = { "netveil v1 and a headeR", 23 };
	const struct veil_piece many[VEIL_NOISE_PROLOGUE_MAX + 1] = {};
	struct pair pair;
	u8 msg[LEN1];

	start(&pair);
	memcpy(msg, pair.msg1, LEN1);
	EXPECT(!veil_noise_write1(&pair.left, pair.msg1, &pair.initiator,
				  pair.responder.public, pair.ss, pair.e_left,
				  halves, 2, pair.offer, PAYLOAD1));
	EXPECT(!memcmp(msg, pair.msg1, LEN1));
	EXPECT(veil_noise_read1_static(&pair.right, msg, &pair.responder,
				       &other, 1) == -EBADMSG);
	EXPECT(veil_noise_read1_static(&pair.right, msg, &pair.responder, many,
				       VEIL_NOISE_PROLOGUE_MAX + 1) == -EINVAL);
}

static void test_wrong_responder(void)
{
	struct veil_identity stranger;
	struct pair pair;

	start(&pair);
	make_identity(&stranger);
	EXPECT(veil_noise_read1_static(&pair.right, pair.msg1, &stranger,
				       &prologue, 1) == -EBADMSG);
}

/* Somebody who only knows the public key that he claims to have. */
static void test_false_initiator(void)
{
	u8 offer[PAYLOAD1];
	struct pair pair;

	start(&pair);
	ktap_random_bytes(pair.initiator.private, VEIL_KEY_LEN);
	EXPECT(!veil_noise_write1(&pair.left, pair.msg1, &pair.initiator,
				  pair.responder.public, pair.psk, pair.e_left,
				  &prologue, 1, pair.offer, PAYLOAD1));
	EXPECT(!veil_noise_read1_static(&pair.right, pair.msg1,
					&pair.responder, &prologue, 1));
	EXPECT(!memcmp(pair.right.s_remote, pair.initiator.public,
		       VEIL_KEY_LEN));
	EXPECT(veil_noise_read1_payload(&pair.right, pair.msg1, pair.ss, offer,
					PAYLOAD1) == -EBADMSG);
}

/* read2 that has to fail, and to leave the handshake as it was. */
static void refuse2(struct pair *pair, int err)
{
	struct veil_noise before = pair->left;
	u8 choice[PAYLOAD2];

	EXPECT(read2(pair, choice) == err);
	EXPECT(!memcmp(&before, &pair->left, sizeof(before)));
}

static void test_wrong_psk(void)
{
	u8 choice[PAYLOAD2];
	struct pair pair;
	int i;

	advance(&pair);
	for (i = 0; i < VEIL_KEY_LEN; i++) {
		pair.psk[i] ^= 0x10;
		refuse2(&pair, -EBADMSG);
		pair.psk[i] ^= 0x10;
	}
	EXPECT(!read2(&pair, choice));
	check_end(&pair);
}

/* The initiator's private key is needed to read message 2. */
static void test_thief_of_ephemeral(void)
{
	struct pair pair;

	advance(&pair);
	ktap_random_bytes(pair.initiator.private, VEIL_KEY_LEN);
	refuse2(&pair, -EBADMSG);
}

static void test_every_bit_of_message1(void)
{
	u8 offer[PAYLOAD1];
	struct pair pair;
	size_t bit;

	start(&pair);
	for (bit = 0; bit < 8 * LEN1; bit++) {
		pair.msg1[bit / 8] ^= 1 << bit % 8;
		EXPECT(read1(&pair, offer) == -EBADMSG);
		pair.msg1[bit / 8] ^= 1 << bit % 8;
	}
	EXPECT(!read1(&pair, offer));
}

static void test_every_bit_of_message2(void)
{
	u8 choice[PAYLOAD2];
	struct pair pair;
	size_t bit;

	advance(&pair);
	for (bit = 0; bit < 8 * LEN2; bit++) {
		pair.msg2[bit / 8] ^= 1 << bit % 8;
		refuse2(&pair, -EBADMSG);
		pair.msg2[bit / 8] ^= 1 << bit % 8;
	}
	EXPECT(!read2(&pair, choice));
	check_end(&pair);
}

/* Message 2 of another handshake between the same two. */
static void test_other_message2(void)
{
	u8 choice[PAYLOAD2];
	struct pair pair;

	advance(&pair);
	ktap_random_bytes(pair.e_left, VEIL_KEY_LEN);
	write1(&pair);
	refuse2(&pair, -EBADMSG);
	EXPECT(!read1(&pair, pair.offer));
	write2(&pair);
	EXPECT(!read2(&pair, choice));
	check_end(&pair);
}

static void test_low_order_responder(void)
{
	u8 point[VEIL_KEY_LEN];
	struct pair pair;
	size_t i;

	start(&pair);
	for (i = 0; i < LOW_ORDERS; i++) {
		low_order_point(point, i);
		EXPECT(veil_x25519(pair.ss, pair.initiator.private, point) ==
		       -EKEYREJECTED);
		EXPECT(veil_noise_write1(&pair.left, pair.msg1, &pair.initiator,
					 point, pair.ss, pair.e_left, &prologue,
					 1, pair.offer, PAYLOAD1) ==
		       -EKEYREJECTED);
	}
}

static void test_low_order_ephemeral(void)
{
	u8 offer[PAYLOAD1], choice[PAYLOAD2], good[LEN2];
	struct pair pair;
	size_t i;

	for (i = 0; i < LOW_ORDERS; i++) {
		advance(&pair);
		low_order_point(pair.msg1, i);
		EXPECT(read1(&pair, offer) == -EKEYREJECTED);
		memcpy(good, pair.msg2, LEN2);
		low_order_point(pair.msg2, i);
		refuse2(&pair, -EKEYREJECTED);
		memcpy(pair.msg2, good, LEN2);
		EXPECT(!read2(&pair, choice));
	}
}

/* The responder would mix DH(e, S_i) of such a key. */
static void test_low_order_initiator(void)
{
	struct pair pair;
	size_t i;

	for (i = 0; i < LOW_ORDERS; i++) {
		start(&pair);
		low_order_point(pair.initiator.public, i);
		write1(&pair);
		EXPECT(!read1(&pair, pair.offer));
		EXPECT(veil_noise_write2(&pair.right, pair.msg2, pair.psk,
					 pair.e_right, pair.choice,
					 PAYLOAD2) == -EKEYREJECTED);
	}
}

static const struct ktap_case cases[] = {
	{ "round trip", test_round_trip },
	{ "payloads of any length", test_payload_lengths },
	{ "prologue", test_prologue },
	{ "message 1 for somebody else", test_wrong_responder },
	{ "initiator without the private key", test_false_initiator },
	{ "wrong psk", test_wrong_psk },
	{ "message 2 without the private key", test_thief_of_ephemeral },
	{ "every bit of message 1", test_every_bit_of_message1 },
	{ "every bit of message 2", test_every_bit_of_message2 },
	{ "message 2 of another handshake", test_other_message2 },
	{ "low-order responder", test_low_order_responder },
	{ "low-order ephemeral keys", test_low_order_ephemeral },
	{ "low-order initiator", test_low_order_initiator },
};

int main(void)
{
	return ktap_run(cases, sizeof(cases) / sizeof(*cases));
}
