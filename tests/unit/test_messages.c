// SPDX-License-Identifier: GPL-2.0
/*
 * The layouts of messages.h are those of PROTOCOL.md, byte for byte.
 */
#include "messages.h"

#include "ktap.h"

#define AT(type, member, offset) \
	EXPECT(offsetof(struct type, member) == (offset))
#define LEN(type, len)	EXPECT(sizeof(struct type) == (len))
#define MEMBER_LEN(type, member, len) \
	EXPECT(sizeof(((struct type *)NULL)->member) == (len))

static void test_initiation(void)
{
	LEN(veil_initiation_header, 20);
	AT(veil_initiation_header, type, 0);
	AT(veil_initiation_header, version, 1);
	AT(veil_initiation_header, reserved, 2);
	AT(veil_initiation_header, sender, 4);
	AT(veil_initiation_header, time, 8);

	LEN(veil_initiation, 208);
	AT(veil_initiation, header, 0);
	AT(veil_initiation, stamp, 20);
	AT(veil_initiation, noise, 28);
	MEMBER_LEN(veil_initiation, noise, 148);
	AT(veil_initiation, macs, 176);
}

static void test_response(void)
{
	LEN(veil_response_header, 8);
	AT(veil_response_header, type, 0);
	AT(veil_response_header, version, 1);
	AT(veil_response_header, psk_choice, 2);
	AT(veil_response_header, reserved, 3);
	AT(veil_response_header, receiver, 4);

	LEN(veil_response, 128);
	AT(veil_response, header, 0);
	AT(veil_response, noise, 8);
	MEMBER_LEN(veil_response, noise, 88);
	AT(veil_response, mac1, 96);
	AT(veil_response, stamp, 112);
	AT(veil_response, reserved, 120);
}

static void test_payloads(void)
{
	LEN(veil_offer, 52);
	AT(veil_offer, aead, 0);
	AT(veil_offer, lanes, 2);
	AT(veil_offer, flags, 3);
	AT(veil_offer, source, 4);
	AT(veil_offer, destination, 20);
	AT(veil_offer, psk_id, 36);
	MEMBER_LEN(veil_offer, psk_id, 16);

	LEN(veil_choice, 40);
	AT(veil_choice, aead, 0);
	AT(veil_choice, lanes, 1);
	AT(veil_choice, flags, 2);
	AT(veil_choice, reserved, 3);
	AT(veil_choice, sender, 4);
	AT(veil_choice, source, 8);
	AT(veil_choice, destination, 24);
}

static void test_data(void)
{
	LEN(veil_data_header, 16);
	AT(veil_data_header, type, 0);
	AT(veil_data_header, flags, 1);
	AT(veil_data_header, lane, 2);
	AT(veil_data_header, receiver, 4);
	AT(veil_data_header, counter, 8);

	LEN(veil_trailer, 2);
	AT(veil_trailer, pad_length, 0);
	AT(veil_trailer, next_header, 1);
	EXPECT(VEIL_TRANSPORT_OVERHEAD == 42);
	EXPECT(VEIL_TUNNEL_OVERHEAD == 40);
}

static void test_parts(void)
{
	LEN(veil_tai64n, 12);
	AT(veil_tai64n, seconds, 0);
	AT(veil_tai64n, nanoseconds, 8);
	LEN(veil_macs, 32);
	AT(veil_macs, mac1, 0);
	AT(veil_macs, mac2, 16);
	EXPECT(VEIL_NOISE1_LEN(0) == 96);
	EXPECT(VEIL_NOISE2_LEN(0) == 48);
}

static void test_numbers(void)
{
	EXPECT(VEIL_MSG_INITIATION == 1);
	EXPECT(VEIL_MSG_RESPONSE == 2);
	EXPECT(VEIL_MSG_COOKIE == 3);
	EXPECT(VEIL_MSG_DATA == 4);
	EXPECT(VEIL_AEAD_AES_256_GCM == 1);
	EXPECT(VEIL_AEAD_CHACHA20_POLY1305 == 2);
	EXPECT(VEIL_DATA_TUNNEL == 0x01);
	EXPECT(VEIL_DATA_CSUM_PARTIAL == 0x02);
	EXPECT(VEIL_DATA_CLOSE == 0x04);
	EXPECT(VEIL_DATA_CHALLENGE == 0x08);
	EXPECT(VEIL_DATA_ECHO == 0x10);
	EXPECT(VEIL_DATA_FLAGS == 0x1f);
	EXPECT(VEIL_PAYLOAD_ROAMS == 0x01);
	EXPECT(VEIL_PAYLOAD_FLAGS == 0x01);
	EXPECT(VEIL_TOKEN_LEN == 8);
	EXPECT(VEIL_PROTOCOL_VERSION == 1);
	EXPECT(VEIL_PORT == 51888);
	EXPECT(VEIL_LANES_MAX == 64);
}

static const struct ktap_case cases[] = {
	{ "initiation", test_initiation },
	{ "response", test_response },
	{ "payloads of both", test_payloads },
	{ "data", test_data },
	{ "parts of messages", test_parts },
	{ "numbers on the wire", test_numbers },
};

int main(void)
{
	return ktap_run(cases, sizeof(cases) / sizeof(*cases));
}
