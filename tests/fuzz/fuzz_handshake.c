// SPDX-License-Identifier: GPL-2.0
/*
 * Handshake messages: a genuine one with the input added to its bytes is read as
 * the module reads it. Only with nothing changed it may authenticate.
 */
#include <stdlib.h>
#include <string.h>

#include <asm/byteorder.h>

#include "keys.h"

#define ASSERT(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

static const u8 no_psk[VEIL_KEY_LEN];

static struct {
	struct veil_identity initiator, responder;
	u8 ss[VEIL_KEY_LEN];
	u8 pair[VEIL_PAIR_KEY_LEN];
	u8 e_i[VEIL_KEY_LEN], e_r[VEIL_KEY_LEN];
	struct veil_offer offer;
	struct veil_choice choice;
	struct veil_initiation initiation;
	struct veil_response response;
	struct veil_noise outstanding;	/* the initiator's, after message 1 */
} world;

static void make_identity(struct veil_identity *identity, u8 fill)
{
	memset(identity->private, fill, VEIL_KEY_LEN);
	ASSERT(!veil_x25519_public(identity->public, identity->private));
}

static void prologue_of(struct veil_piece pieces[2],
			const struct veil_initiation *msg)
{
	pieces[0] = (struct veil_piece){ VEIL_LABEL_PROLOGUE,
					 sizeof(VEIL_LABEL_PROLOGUE) - 1 };
	pieces[1] = (struct veil_piece){ &msg->header, sizeof(msg->header) };
}

static int read_initiation(struct veil_noise *noise,
			   const struct veil_initiation *msg,
			   struct veil_offer *offer)
{
	struct veil_piece prologue[2];

	prologue_of(prologue, msg);
	return veil_noise_read1_static(noise, msg->noise, &world.responder,
				       prologue, 2) ?:
	       veil_noise_read1_payload(noise, msg->noise, world.ss, offer,
					sizeof(*offer));
}

static void make_messages(void)
{
	struct veil_initiation *msg = &world.initiation;
	struct veil_piece prologue[2];
	struct veil_noise responder;
	struct veil_offer offer;

	msg->header.type = VEIL_MSG_INITIATION;
	msg->header.version = VEIL_PROTOCOL_VERSION;
	veil_tai64n_from_ns(&msg->header.time, 1700000000000000000ULL);
	prologue_of(prologue, msg);
	ASSERT(!veil_noise_write1(&world.outstanding, msg->noise,
				  &world.initiator, world.responder.public,
				  world.ss, world.e_i, prologue, 2,
				  &world.offer, sizeof(world.offer)));
	msg->stamp = cpu_to_be64(veil_stamp(world.pair, msg));
	ASSERT(!read_initiation(&responder, msg, &offer));
	ASSERT(!veil_noise_write2(&responder, world.response.noise, no_psk,
				  world.e_r, &world.choice,
				  sizeof(world.choice)));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	make_identity(&world.initiator, 0x11);
	make_identity(&world.responder, 0x22);
	memset(world.e_i, 0x33, VEIL_KEY_LEN);
	memset(world.e_r, 0x44, VEIL_KEY_LEN);
	ASSERT(!veil_x25519(world.ss, world.initiator.private,
			    world.responder.public));
	ASSERT(!veil_pair_key(world.pair, world.ss, world.initiator.public,
			      world.responder.public));
	make_messages();
	return 0;
}

/* Whether anything changed. */
static bool alter(void *msg, const void *genuine, size_t len, const u8 *data,
		  size_t size)
{
	u8 *bytes = msg;
	size_t i;

	memcpy(msg, genuine, len);
	for (i = 0; i < len && i < size; i++)
		bytes[i] += data[i];
	return memcmp(msg, genuine, len);
}

static void try_initiation(const u8 *data, size_t size)
{
	size_t covered = offsetof(struct veil_initiation, macs);
	struct veil_initiation msg;
	struct veil_noise noise;
	struct veil_offer offer;
	bool stamped;
	u64 ns;

	alter(&msg, &world.initiation, sizeof(msg), data, size);
	stamped = cpu_to_be64(veil_stamp(world.pair, &msg)) == msg.stamp;
	ASSERT(stamped == !memcmp(&msg, &world.initiation, covered));
	if (!veil_tai64n_to_ns(&ns, &msg.header.time)) {
		struct veil_tai64n again;

		veil_tai64n_from_ns(&again, ns);
		ASSERT(!memcmp(&again, &msg.header.time, sizeof(again)));
	}
	if (!read_initiation(&noise, &msg, &offer)) {
		ASSERT(!memcmp(msg.noise, world.initiation.noise,
			       sizeof(msg.noise)));
		ASSERT(!memcmp(&msg.header, &world.initiation.header,
			       sizeof(msg.header)));
	}
	veil_choose_aead(offer.aead, msg.noise);
}

static void try_response(const u8 *data, size_t size)
{
	struct veil_noise noise = world.outstanding, before = noise;
	u8 msg[sizeof(world.response.noise)];
	struct veil_noise_keys keys;
	struct veil_choice choice;
	bool altered;

	altered = alter(msg, world.response.noise, sizeof(msg), data, size);
	if (veil_noise_read2(&noise, msg, &world.initiator, no_psk, &choice,
			     sizeof(choice))) {
		ASSERT(altered);
		ASSERT(!memcmp(&noise, &before, sizeof(noise)));
		return;
	}
	ASSERT(!altered);
	ASSERT(!veil_noise_split(&noise, &keys));
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] & 1)
		try_response(data + 1, size - 1);
	else
		try_initiation(data + 1, size - 1);
	return 0;
}
