// SPDX-License-Identifier: GPL-2.0
/*
 * What a packet on the wire is to those who are protected: see watch.h.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
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

static void set_place(struct watched *watched, const struct peer *peer)
{
	watched->endpoint = peer->endpoint.address;
	watched->port = peer->endpoint.port;
}

static struct watched *add_of_peer(struct watch *watch, const struct peer *peer,
				   const struct prefix *prefix)
{
	bool open = peer->policy != NETVEIL_POLICY_REQUIRE &&
		    !(peer->policy == NETVEIL_POLICY_PREFER && peer->confirmed);
	struct watched *watched = add(watch, prefix, open);

	watched->has_key = true;
	set_place(watched, peer);
	memcpy(watched->public_key, peer->public_key, NETVEIL_KEY_LEN);
	return watched;
}

static void add_peer(struct watch *watch, const struct peer *peer)
{
	struct prefix prefix;
	unsigned int i;

	for (i = 0; i < peer->address_count; i++) {
		prefix.address = peer->addresses[i];
		prefix.length = (uint8_t)(8u * prefix.address.len);
		add_of_peer(watch, peer, &prefix);
	}
	for (i = 0; i < peer->prefix_count; i++)
		add_of_peer(watch, peer, &peer->prefixes[i])->behind = true;
}

static int longest_first(const void *a, const void *b)
{
	const struct watched *x = a, *y = b;

	return y->prefix.length - x->prefix.length;
}

/* Those that a shorter prefix behind a peer covers. */
static void find_within(struct watch *watch)
{
	size_t i, j;

	for (i = 0; i < watch->count; i++)
		for (j = i + 1; j < watch->count; j++)
			if (watch->list[j].behind &&
			    prefix_covers(&watch->list[j].prefix,
					  &watch->list[i].prefix.address))
				watch->list[i].within = true;
}

void watch_add(struct watch *watch, const struct state *state,
	       const struct peers *peers, const struct policies *policies)
{
	size_t i;

	watch->port = state->listen_port;
	for (i = 0; i < peers->count; i++)
		add_peer(watch, &peers->list[i]);
	for (i = 0; i < policies->count; i++)
		add(watch, &policies->list[i].prefix,
		    policies->list[i].kind != NETVEIL_POLICY_REQUIRE);
	for (i = 0; i < watch->count; i++)
		watch->protected += !watch->list[i].open;
	for (i = 0; i < state->local_count; i++)
		add(watch, &state->locals[i], true)->local = true;
	if (!watch->count)
		return;
	qsort(watch->list, watch->count, sizeof(*watch->list), longest_first);
	find_within(watch);
}

static int peers_by_key(const void *a, const void *b)
{
	const struct peer *x = a, *y = b;

	return memcmp(x->public_key, y->public_key, NETVEIL_KEY_LEN);
}

static int key_of_peer(const void *key, const void *peer)
{
	return memcmp(key, ((const struct peer *)peer)->public_key,
		      NETVEIL_KEY_LEN);
}

void watch_move(struct watch *watch, struct peers *peers)
{
	const struct peer *peer;
	size_t i;

	if (!peers->count)
		return;
	qsort(peers->list, peers->count, sizeof(*peers->list), peers_by_key);
	for (i = 0; i < watch->count; i++) {
		if (!watch->list[i].has_key)
			continue;
		peer = bsearch(watch->list[i].public_key, peers->list,
			       peers->count, sizeof(*peers->list), key_of_peer);
		if (peer)
			set_place(&watch->list[i], peer);
	}
}

void watch_free(struct watch *watch)
{
	own_free(&watch->own);
	free(watch->list);
	watch->list = NULL;
	watch->count = 0;
}

/* veil_network_routable() */
static bool is_routable(const struct address *address)
{
	const uint8_t *bytes = address->bytes;
	static const uint8_t zeros[15];

	if (address->len == 4)
		return bytes[0] && bytes[0] != 127 &&
		       !(bytes[0] == 169 && bytes[1] == 254) &&
		       bytes[0] >> 4 != 14 && memcmp(bytes, "\377\377\377\377", 4);
	return bytes[0] != 0xff && !(bytes[0] == 0xfe && bytes[1] >> 6 == 2) &&
	       (memcmp(bytes, zeros, 15) || bytes[15] > 1);
}

static bool in_local(const struct watch *watch, const struct address *address)
{
	size_t i;

	for (i = 0; i < watch->count; i++)
		if (watch->list[i].local &&
		    prefix_covers(&watch->list[i].prefix, address))
			return true;
	return false;
}

/* As veil_policy_lookup(): in a network of ours nothing is behind a peer. */
static struct watched *find(struct watch *watch, const struct address *address)
{
	bool behind = is_routable(address);
	struct watched *watched;
	size_t i;

	for (i = 0; i < watch->count; i++) {
		watched = &watch->list[i];
		if (!prefix_covers(&watched->prefix, address))
			continue;
		if (watched->local)
			behind = false;
		else if (behind || !watched->behind)
			return watched->open ? NULL : watched;
	}
	return NULL;
}

/* Sent by this host, or to it alone: a bridge's frames are others'. */
static bool is_own(struct watch *watch, const struct sockaddr_ll *from)
{
	if (from->sll_pkttype != PACKET_OUTGOING)
		return from->sll_pkttype == PACKET_HOST;
	return from->sll_halen != ETH_ALEN ||
	       own_has_mac(&watch->own, from->sll_addr);
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

/* Where a datagram goes; 0 if it is none, or does not say. */
static uint16_t udp_port(const struct packet *packet)
{
	if (packet->protocol != IPPROTO_UDP || packet->later ||
	    packet->l4_len < 8)
		return 0;
	return (uint16_t)(packet->l4[2] << 8 | packet->l4[3]);
}

/* The peer that outer packets to or from an address may be of: whose own it is, or
 * which roams and is there; one that listens on the port there, unless that is 0.
 */
static const struct watched *find_outer(const struct watch *watch,
					const struct watched *watched,
					const struct address *address,
					uint16_t port)
{
	size_t i;

	if (watched && watched->has_key && !watched->behind &&
	    (!port || watched->port == port))
		return watched;
	for (i = 0; i < watch->count; i++)
		if (watch->list[i].has_key &&
		    address_equal(&watch->list[i].endpoint, address) &&
		    (!port || watch->list[i].port == port))
			return &watch->list[i];
	return NULL;
}

/* An ICMP error about a sealed packet of ours; what it quotes was on the wire. */
static bool is_error(struct watch *watch, const struct packet *packet)
{
	struct packet quoted = {0};
	uint16_t port;
	bool v6 = packet->protocol == IPPROTO_ICMPV6;
	uint8_t type = packet->l4_len ? packet->l4[0] : 0;

	if (packet->fragment || packet->l4_len < 8 ||
	    (v6 ? type < 1 || type > 4 :
	     packet->protocol != IPPROTO_ICMP ||
	     (type != 3 && type != 11 && type != 12)))
		return false;
	if (v6 ? !parse_ipv6(&quoted, packet->l4 + 8, packet->l4_len - 8) :
		 !parse_ipv4(&quoted, packet->l4 + 8, packet->l4_len - 8))
		return false;
	port = udp_port(&quoted);
	return port && find_outer(watch, find(watch, &quoted.destination),
				  &quoted.destination, port);
}

static bool parse(struct packet *packet, uint16_t type, const uint8_t *bytes,
		  size_t len)
{
	while ((type == ETH_P_8021Q || type == ETH_P_8021AD) && len > 4) {
		type = (uint16_t)(bytes[2] << 8 | bytes[3]);
		bytes += 4;
		len -= 4;
	}
	if (!len)
		return false;
	packet->len = len;
	if (type == ETH_P_IP)
		return parse_ipv4(packet, bytes, len);
	return type == ETH_P_IPV6 && parse_ipv6(packet, bytes, len);
}

/* Whether what is only on its way through is this host's to protect, as between
 * networks that peers and we are gateways for: veil_hooks_ours(), veil_rx().
 */
static bool is_judged(struct watch *watch, const struct watched *watched,
		      const struct sockaddr_ll *from,
		      const struct address *other)
{
	bool in = from->sll_pkttype != PACKET_OUTGOING;
	const struct watched *to;

	if (!is_own(watch, from))
		return false;
	if (watched->behind || watched->within)
		return true;
	if (in && !watched->has_key)
		return false;
	to = in ? find(watch, other) : NULL;
	return (to && to->behind) || in_local(watch, other);
}

/* What this host sends, from its own address. unknown: it would be sealed if a peer
 * were there.
 */
static enum seen judge_sent(struct watch *watch, const struct watched *watched,
			    const struct packet *packet, bool *unknown)
{
	const struct address *to = &packet->destination;
	uint16_t port = udp_port(packet);
	const struct watched *outer;

	/* Of nobody who listens there, its first fragment tells of the others. */
	outer = find_outer(watch, watched, to, port) ?:
		find_outer(watch, watched, to, 0);
	*unknown = port && is_message(packet, port) &&
		   (!outer || outer->port != port);
	return outer && is_sealed(watch, packet, outer->port) ? SEEN_SEALED :
								SEEN_CLEAR;
}

/* What is for our port the kernel takes from nobody but peers. */
static enum seen judge_received(struct watch *watch,
				const struct packet *packet)
{
	if (is_error(watch, packet))
		return SEEN_EXEMPT;
	return is_sealed(watch, packet, watch->port) ? SEEN_SEALED : SEEN_CLEAR;
}

bool watch_packet(struct watch *watch, const struct sockaddr_ll *from,
		  const uint8_t *bytes, size_t len, bool certain)
{
	bool in = from->sll_pkttype != PACKET_OUTGOING, local, unknown = false;
	struct packet packet = {0};
	const struct address *address, *other;
	struct watched *watched;
	enum seen seen = SEEN_CLEAR;

	if (!parse(&packet, ntohs(from->sll_protocol), bytes, len))
		return true;
	address = in ? &packet.source : &packet.destination;
	watched = find(watch, address);
	if (!watched)
		return true;
	other = in ? &packet.destination : &packet.source;
	local = own_has(&watch->own, other);
	if (!local && !is_judged(watch, watched, from, other))
		return true;
	if (is_exempt(&packet))
		seen = SEEN_EXEMPT;
	else if (local)
		seen = in ? judge_received(watch, &packet) :
			    judge_sent(watch, watched, &packet, &unknown);
	if (unknown && !certain)
		return false;
	watched->seen[in][seen].packets++;
	watched->seen[in][seen].bytes += packet.len;
	return true;
}
