// SPDX-License-Identifier: GPL-2.0
/*
 * MTU arithmetic: what it promises fits, and one byte more does not.
 */
#include "mtu.h"

#include "ktap.h"

#define IPV4_LEN	20U
#define IPV6_LEN	40U

/* Length on the wire of an inner packet, from the layouts of PROTOCOL.md. */
static unsigned int sealed_transport(unsigned int inner)
{
	return inner + 8 + 16 + 2 + 16;
}

static unsigned int sealed_tunnel(unsigned int inner, bool ipv6)
{
	return (ipv6 ? IPV6_LEN : IPV4_LEN) + 8 + 16 + inner + 16;
}

static void test_transport(void)
{
	unsigned int mtu;

	EXPECT(veil_mtu_transport(1500) == 1458);
	EXPECT(veil_mtu_transport(1280) == 1238);
	for (mtu = 62; mtu <= 65535; mtu++) {
		EXPECT(sealed_transport(veil_mtu_transport(mtu)) <= mtu);
		EXPECT(sealed_transport(veil_mtu_transport(mtu) + 1) > mtu);
	}
}

static void check_tunnel(bool ipv6)
{
	unsigned int mtu, inner;

	for (mtu = 100; mtu <= 65535; mtu++) {
		inner = veil_mtu_tunnel(mtu, ipv6);
		EXPECT(sealed_tunnel(inner, ipv6) <= mtu);
		EXPECT(sealed_tunnel(inner + 1, ipv6) > mtu);
	}
}

static void test_tunnel(void)
{
	EXPECT(veil_mtu_tunnel(1500, false) == 1440);
	EXPECT(veil_mtu_tunnel(1500, true) == 1420);
	check_tunnel(false);
	check_tunnel(true);
}

static void test_nothing_fits(void)
{
	unsigned int mtu;

	for (mtu = 0; mtu < 62; mtu++)
		EXPECT(!veil_mtu_transport(mtu));
	for (mtu = 0; mtu < 80; mtu++)
		EXPECT(!veil_mtu_tunnel(mtu, false));
	for (mtu = 0; mtu < 100; mtu++)
		EXPECT(!veil_mtu_tunnel(mtu, true));
	EXPECT(veil_mtu_transport(62) == IPV4_LEN);
	EXPECT(veil_mtu_tunnel(80, false) == IPV4_LEN);
	EXPECT(veil_mtu_tunnel(100, true) == IPV4_LEN);
}

/* Loopback's 65536 and whatever else a device may say. */
static void test_beyond_ip(void)
{
	EXPECT(sealed_transport(veil_mtu_transport(65536)) == 65535);
	EXPECT(sealed_transport(veil_mtu_transport(~0U)) == 65535);
	EXPECT(sealed_tunnel(veil_mtu_tunnel(65536, false), false) == 65535);
	EXPECT(sealed_tunnel(veil_mtu_tunnel(~0U, true), true) == 65535);
}

static void test_lower(void)
{
	EXPECT(veil_mtu_lower(1500, 1400, false) == 1400);
	EXPECT(veil_mtu_lower(1500, 1400, true) == 1400);
	EXPECT(veil_mtu_lower(1500, 9000, false) == 1500);
	EXPECT(veil_mtu_lower(1500, 575, false) == 576);
	EXPECT(veil_mtu_lower(1500, 0, false) == 576);
	EXPECT(veil_mtu_lower(1500, 1279, true) == 1280);
	EXPECT(veil_mtu_lower(1500, 0, true) == 1280);
	/* A device that is below the least already stays as it is. */
	EXPECT(veil_mtu_lower(400, 300, false) == 400);
	EXPECT(veil_mtu_lower(1000, 1100, true) == 1000);
}

static const struct ktap_case cases[] = {
	{ "transport mode", test_transport },
	{ "tunnel mode", test_tunnel },
	{ "an MTU that holds no packet", test_nothing_fits },
	{ "an MTU beyond IP's length field", test_beyond_ip },
	{ "lowering by an ICMP error", test_lower },
};

int main(void)
{
	return ktap_run(cases, sizeof(cases) / sizeof(*cases));
}
