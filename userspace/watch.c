// SPDX-License-Identifier: GPL-2.0
/*
 * What a packet on the wire is to those who are protected: see watch.h.
 */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "model.h"
#include "watch.h"

/* A packet, as far as it decides. */
struct packet {
	struct address source, destination;
	uint8_t protocol;
	uint8_t hop_limit;
	uint32_t id;		/* of fragments */
	bool fragment;
	bool later;		/* not the first one */
	const uint8_t *l4;
	size_t l4_len;
	size_t len;
};

static struct watched *add(struct watch *watch, const struct prefix *prefix,
			   bool open)
{
	struct watched *list;

	list = reallocarray(watch->list, watch->count + 1, sizeof(*list));
	if (!list)
		die_no_memory();
	watch->list = list;
	list += watch->count++;
	memset(list, 0, sizeof(*list));
	list->prefix = *prefix;
	list->open = open;
	return list;
}

static void add_peer(struct watch *watch, const struct peer *peer)
{
	bool open = peer->policy != NETVEIL_POLICY_REQUIRE &&
		    !(peer->policy == NETVEIL_POLICY_PREFER && peer->confirmed);
	struct watched *watched;
	struct prefix prefix;
	unsigned int i;

	for (i = 0; i < peer->address_count; i++) {
		prefix.address = peer->addresses[i];
		prefix.length = (uint8_t)(8u * prefix.address.len);
		watched = add(watch, &prefix, open);
		watched->has_key = true;
		watched->port = peer->endpoint.port;
		memcpy(watched->public_key, peer->public_key, NETVEIL_KEY_LEN);
	}
}

static int longest_first(const void *a, const void *b)
{
	const struct watched *x = a, *y = b;

	return y->prefix.length - x->prefix.length;
}

void watch_add(struct watch *watch, const struct peers *peers,
	       const struct policies *policies, uint16_t port)
{
	size_t i;

	watch->port = port;
	for (i = 0; i < peers->count; i++)
		add_peer(watch, &peers->list[i]);
	for (i = 0; i < policies->count; i++)
		add(watch, &policies->list[i].prefix,
		    policies->list[i].kind != NETVEIL_POLICY_REQUIRE);
	if (watch->count)
		qsort(watch->list, watch->count, sizeof(*watch->list),
		      longest_first);
}

void watch_free(struct watch *watch)
{
	free(watch->list);
	watch->list = NULL;
	watch->count = 0;
}

static bool covers(const struct prefix *prefix, const struct address *address)
{
	unsigned int whole = prefix->length / 8, bits = prefix->length % 8;
	uint8_t mask = (uint8_t)(0xff << (8 - bits));

	if (prefix->address.len != address->len ||
	    memcmp(prefix->address.bytes, address->bytes, whole))
		return false;
	return !bits || !((prefix->address.bytes[whole] ^
			   address->bytes[whole]) & mask);
}

static struct watched *find(struct watch *watch, const struct address *address)
{
	size_t i;

	for (i = 0; i < watch->count; i++)
		if (covers(&watch->list[i].prefix, address))
			return watch->list[i].open ? NULL : &watch->list[i];
	return NULL;
}

/* Asked each time: addresses come and go, and few packets get here. */
static bool is_local(const struct address *address)
{
	struct ifaddrs *all, *one;
	const void *bytes;
	bool found = false;

	if (getifaddrs(&all))
		return true;
	for (one = all; one && !found; one = one->ifa_next) {
		if (!one->ifa_addr)
			continue;
		if (one->ifa_addr->sa_family == AF_INET && address->len == 4)
			bytes = &((struct sockaddr_in *)one->ifa_addr)->sin_addr;
		else if (one->ifa_addr->sa_family == AF_INET6 &&
			 address->len == 16)
			bytes = &((struct sockaddr_in6 *)one->ifa_addr)->sin6_addr;
		else
			continue;
		found = !memcmp(bytes, address->bytes, address->len);
	}
	freeifaddrs(all);
	return found;
}

static bool parse_ipv4(struct packet *packet, const uint8_t *bytes, size_t len)
{
	size_t hlen = 4u * (bytes[0] & 15);
	unsigned int place;

	if (len < 20 || hlen < 20 || len < hlen)
		return false;
	place = (unsigned int)(bytes[6] << 8 | bytes[7]);
	packet->source.len = packet->destination.len = 4;
	memcpy(packet->source.bytes, bytes + 12, 4);
	memcpy(packet->destination.bytes, bytes + 16, 4);
	packet->protocol = bytes[9];
	packet->hop_limit = bytes[8];
	packet->id = (uint32_t)(bytes[4] << 8 | bytes[5]);
	packet->fragment = place & 0x3fff;
	packet->later = place & 0x1fff;
	packet->l4 = bytes + hlen;
	packet->l4_len = len - hlen;
	return true;
}

static void parse_fragment(struct packet *packet, const uint8_t *bytes)
{
	packet->fragment = true;
	packet->later = bytes[2] || bytes[3] & 0xf8;
	packet->id = (uint32_t)bytes[4] << 24 | (uint32_t)bytes[5] << 16 |
		     (uint32_t)bytes[6] << 8 | bytes[7];
}

static bool parse_ipv6(struct packet *packet, const uint8_t *bytes, size_t len)
{
	size_t place = 40;

	if (len < 40)
		return false;
	packet->source.len = packet->destination.len = 16;
	memcpy(packet->source.bytes, bytes + 8, 16);
	memcpy(packet->destination.bytes, bytes + 24, 16);
	packet->protocol = bytes[6];
	packet->hop_limit = bytes[7];
	while (len >= place + 8 && !packet->later) {
		const uint8_t *header = bytes + place;

		if (packet->protocol == IPPROTO_FRAGMENT)
			parse_fragment(packet, header);
		else if (packet->protocol != IPPROTO_HOPOPTS &&
			 packet->protocol != IPPROTO_ROUTING &&
			 packet->protocol != IPPROTO_DSTOPTS)
			break;
		place += packet->protocol == IPPROTO_FRAGMENT ?
			 8u : 8u * (header[1] + 1u);
		packet->protocol = header[0];
	}
	if (place > len)
		return false;
	packet->l4 = bytes + place;
	packet->l4_len = len - place;
	return true;
}

/* Neighbour discovery and MLD: kmod/PROTOCOL.md, by the same rule. */
static bool is_exempt(const struct packet *packet)
{
	uint8_t type = packet->l4_len ? packet->l4[0] : 0;

	if (packet->protocol != IPPROTO_ICMPV6 || packet->fragment)
		return false;
	if (type >= 133 && type <= 137)
		return packet->hop_limit == 255;
	return packet->hop_limit == 1 &&
	       ((type >= 130 && type <= 132) || type == 143);
}

static bool is_message(const struct packet *packet, uint16_t port)
{
	const uint8_t *udp = packet->l4, *message = udp + 8;
	size_t len = packet->l4_len - 8;

	if (packet->protocol != IPPROTO_UDP || packet->l4_len < 8 + 16 ||
	    (udp[2] << 8 | udp[3]) != port)
		return false;
	switch (message[0]) {
	case 1:
		return len == 208;
	case 2:
		return len == 128;
	case 3:
		return len == 72;
	case 4:
		return !(message[1] & ~7) && (packet->fragment || len >= 32);
	}
	return false;
}

/* A later fragment is what the first one was. One that came before its first is
 * taken for sealed if it is of UDP: the first tells.
 */
static bool is_sealed(struct watch *watch, const struct packet *packet,
		      uint16_t port)
{
	size_t tail = packet->source.len - 3u, slot;
	uint8_t key[sizeof(watch->first[0].key)];
	bool sealed;

	if (!packet->fragment)
		return is_message(packet, port);
	memcpy(key, packet->source.bytes + tail, 3);
	memcpy(key + 3, packet->destination.bytes + tail, 3);
	memcpy(key + 6, &packet->id, 4);
	key[10] = packet->protocol;
	slot = packet->id % (sizeof(watch->first) / sizeof(watch->first[0]));
	if (packet->later)
		return memcmp(watch->first[slot].key, key, sizeof(key)) ?
		       packet->protocol == IPPROTO_UDP :
		       watch->first[slot].sealed;
	sealed = is_message(packet, port);
	memcpy(watch->first[slot].key, key, sizeof(key));
	watch->first[slot].sealed = sealed;
	return sealed;
}

void watch_packet(struct watch *watch, uint16_t type, const uint8_t *bytes,
		  size_t len)
{
	struct packet packet = { .len = len };
	struct watched *watched;
	enum seen seen;
	bool in;

	while ((type == ETH_P_8021Q || type == ETH_P_8021AD) && len > 4) {
		type = (uint16_t)(bytes[2] << 8 | bytes[3]);
		bytes += 4;
		len -= 4;
	}
	if (!len || (type == ETH_P_IP && !parse_ipv4(&packet, bytes, len)) ||
	    (type == ETH_P_IPV6 && !parse_ipv6(&packet, bytes, len)) ||
	    (type != ETH_P_IP && type != ETH_P_IPV6))
		return;
	watched = find(watch, &packet.destination);
	in = !watched;
	if (in)
		watched = find(watch, &packet.source);
	/* What is only on its way through is not ours to protect. */
	if (!watched ||
	    !is_local(in ? &packet.destination : &packet.source))
		return;
	if (is_exempt(&packet))
		seen = SEEN_EXEMPT;
	else
		seen = is_sealed(watch, &packet, in ? watch->port :
				 watched->port) ? SEEN_SEALED : SEEN_CLEAR;
	watched->seen[in][seen].packets++;
	watched->seen[in][seen].bytes += packet.len;
}
