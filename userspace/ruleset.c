// SPDX-License-Identifier: GPL-2.0
/*
 * The ruleset of veil guard: for nftables, what kmod/policy.c and those who ask it
 * say of plaintext.
 *
 * Outbound it stands behind Netveil in POST_ROUTING, where packets that Netveil
 * is about to seal have their type changed (kmod/hooks.c): what comes there
 * without it came past nobody. Inbound it stands before Netveil, where sealed
 * packets still are UDP to our port. So no order of loading and unloading opens
 * anything.
 */
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "format.h"
#include "guard_counts.h"
#include "model.h"
#include "ruleset.h"

#define TABLE	"inet " GUARD_TABLE
#define LANES	64u	/* ports that Netveil sends from, from its own one on */

/* Whose packets with such an address are judged: veil_hooks_ours(), veil_rx(). */
enum kind {
	BEHIND,		/* a prefix behind a peer: everybody's, to be forwarded too */
	WITHIN,		/* a peer or a policy within such a prefix: the same */
	PEER,		/* this host's, and those of networks that are ours */
	POLICY,		/* as PEER, but inbound this host's only */
};

struct entry {
	struct prefix prefix;
	enum kind kind;
	bool shut;
};

struct entries {
	struct entry *list;
	size_t count;
	const struct state *state;
};

/* One direction's field of a packet, and the chain for each kind. */
struct direction {
	const char *field;
	const char *other;	/* the field of our end */
	const char *chains[POLICY + 1];
};

static const struct direction out = {
	"daddr", "saddr", { "any_out", "shut_out", "ours_out", "ours_out" }
};

static const struct direction in = {
	"saddr", "daddr", { "any_in", "any_in", "ours_in", "host_in" }
};

static const char *family(const struct address *address)
{
	return address->len == 4 ? "ip" : "ip6";
}

static void add(struct entries *entries, const struct prefix *prefix,
		enum kind kind, bool shut)
{
	struct entry *list;

	list = reallocarray(entries->list, entries->count + 1, sizeof(*list));
	if (!list)
		die_no_memory();
	entries->list = list;
	list[entries->count++] = (struct entry){ *prefix, kind, shut };
}

static void add_peer(struct entries *entries, const struct peer *peer)
{
	bool shut = peer->policy == NETVEIL_POLICY_REQUIRE;
	struct prefix prefix;
	unsigned int i;

	for (i = 0; i < peer->address_count; i++) {
		prefix.address = peer->addresses[i];
		prefix.length = (uint8_t)(8u * prefix.address.len);
		add(entries, &prefix, PEER, shut);
	}
	for (i = 0; i < peer->prefix_count; i++)
		add(entries, &peer->prefixes[i], BEHIND, shut);
}

/* Peers' own addresses and policies that are in a prefix behind a peer. */
static void find_within(struct entries *entries)
{
	struct entry *one, *other, *end = entries->list + entries->count;

	for (one = entries->list; one < end; one++)
		for (other = entries->list;
		     one->kind != BEHIND && other < end; other++)
			if (other->kind == BEHIND &&
			    other->prefix.length < one->prefix.length &&
			    prefix_covers(&other->prefix, &one->prefix.address))
				one->kind = WITHIN;
}

/* By family, the longest first, shut before open; and by what else there is, so that
 * one configuration makes one ruleset, whatever order it came in.
 */
static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->prefix.address.len != y->prefix.address.len)
		return x->prefix.address.len - y->prefix.address.len;
	if (x->prefix.length != y->prefix.length)
		return y->prefix.length - x->prefix.length;
	if (x->shut != y->shut)
		return y->shut - x->shut;
	if (x->kind != y->kind)
		return (int)x->kind - (int)y->kind;
	return memcmp(x->prefix.address.bytes, y->prefix.address.bytes,
		      x->prefix.address.len);
}

static int compare_locals(const void *a, const void *b)
{
	const struct prefix *x = a, *y = b;

	return memcmp(x->address.bytes, y->address.bytes,
		      sizeof(x->address.bytes));
}

static bool same_length(const struct prefix *a, const struct prefix *b)
{
	return a->address.len == b->address.len && a->length == b->length;
}

static bool same_rule(const struct entry *a, const struct entry *b)
{
	return same_length(&a->prefix, &b->prefix) && a->kind == b->kind &&
	       a->shut == b->shut;
}

/* Networks of ours of that length, which cannot overlap. */
static void print_locals(FILE *to, const struct state *state, unsigned int len,
			 unsigned int length)
{
	const char *comma = "";
	char text[TEXT_LEN];
	unsigned int i;

	fputs("{", to);
	for (i = 0; i < state->local_count; i++) {
		if (state->locals[i].address.len != len ||
		    state->locals[i].length != length)
			continue;
		fprintf(to, "%s %s", comma,
			format_prefix(text, &state->locals[i]));
		comma = ",";
	}
	fputs(" }", to);
}

static bool has_locals(const struct state *state, unsigned int len,
		       unsigned int length)
{
	unsigned int i;

	for (i = 0; i < state->local_count; i++)
		if (state->locals[i].address.len == len &&
		    state->locals[i].length == length)
			return true;
	return false;
}

/* What is in a prefix behind a peer, and is not behind it: what has no network
 * (veil_network_routable()), and longer prefixes that are ours.
 */
static void print_exceptions(FILE *to, const struct state *state,
			     const struct prefix *prefix, const char *field)
{
	unsigned int length, len = prefix->address.len;

	fprintf(to, " %s %s != %s", family(&prefix->address), field, len == 4 ?
		"{ 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, 255.255.255.255 }" :
		"{ ::/127, fe80::/10, ff00::/8 }");
	for (length = prefix->length + 1u; length <= 8u * len; length++) {
		if (!has_locals(state, len, length))
			continue;
		fprintf(to, " %s %s != ", family(&prefix->address), field);
		print_locals(to, state, len, length);
	}
}

/* A rule for each length: the first that fits is the longest. */
static void print_rules(FILE *to, const struct entries *entries,
			const struct direction *direction)
{
	char text[TEXT_LEN];
	size_t i, first = 0;

	for (i = 0; i < entries->count; i++) {
		const struct entry *entry = &entries->list[i];
		bool last = i + 1 == entries->count ||
			    !same_rule(entry, entry + 1);

		if (first == i)
			fprintf(to, "\t\t%s %s {",
				family(&entry->prefix.address),
				direction->field);
		fprintf(to, "%s %s", first == i ? "" : ",",
			format_prefix(text, &entry->prefix));
		if (!last)
			continue;
		fputs(" }", to);
		if (entry->kind == BEHIND)
			print_exceptions(to, entries->state, &entry->prefix,
					 direction->field);
		if (entry->shut)
			fprintf(to, " goto %s\n",
				direction->chains[entry->kind]);
		else
			fputs(" accept\n", to);
		first = i + 1;
	}
}

/* Our end is this host, or in a network of ours. */
static void print_ours(FILE *to, const struct state *state,
		       const struct direction *direction, const char *shut)
{
	unsigned int len, length;

	fprintf(to, "\tchain %s {\n", direction->chains[PEER]);
	/* From an address that is no device's, or is not any more. */
	if (direction == &out)
		fprintf(to, "\t\tmeta skuid 0-4294967295 goto %s\n", shut);
	fprintf(to, "\t\tfib %s type local goto %s\n", direction->other, shut);
	for (len = 4; len <= 16; len += 12)
		for (length = 0; length <= 8 * len; length++) {
			if (!has_locals(state, len, length))
				continue;
			fprintf(to, "\t\t%s %s ", len == 4 ? "ip" : "ip6",
				direction->other);
			print_locals(to, state, len, length);
			fprintf(to, " goto %s\n", shut);
		}
	fputs("\t}\n", to);
}

static const char neighbours[] =
	"\t\ticmpv6 type { 133, 134, 135, 136, 137 } ip6 hoplimit 255 accept\n"
	"\t\ticmpv6 type { 130, 131, 132, 143 } ip6 hoplimit 1 accept\n";

static void print_shut(FILE *to, const struct state *state)
{
	unsigned int port = state->listen_port;

	fputs("\tchain shut_out {\n"
	      "\t\tmeta pkttype other accept comment \"Netveil seals it\"\n", to);
	fputs(neighbours, to);
	fprintf(to,
		"\t\tmeta skuid 0-4294967295 counter name plaintext_out drop comment \"a program's\"\n"
		"\t\tiif != 0 counter name plaintext_out drop comment \"forwarded\"\n"
		"\t\tudp sport %u accept comment \"Netveil's own\"\n"
		"\t\tcounter name plaintext_out drop\n"
		"\t}\n"
		"\tchain shut_in {\n", port);
	fputs(neighbours, to);
	fprintf(to,
		"\t\tmeta secpath exists accept comment \"out of Netveil's tunnel, or of IPsec\"\n"
		"\t\tfib daddr type != local counter name plaintext_in drop comment \"to be forwarded\"\n"
		"\t\tudp dport %u accept comment \"sealed, and handshakes\"\n"
		"\t\tip protocol udp ip frag-off & 0x1fff != 0 accept comment \"their fragments\"\n"
		"\t\tfrag frag-off != 0 accept\n"
		"\t\tgoto errors_in\n"
		"\t}\n", port);
}

/* Errors about what Netveil sent: from one of its ports, a lane each, to whatever
 * port its peer is at; of IPv6 also about outer fragments.
 */
static void print_errors(FILE *to, unsigned int port)
{
	unsigned int last = port + LANES - 1;

	fprintf(to, "\tchain errors_in {\n"
		"\t\ticmp type { 3, 11, 12 } @th,136,8 17 @th,224,16 %u-%u accept comment \"about sealed packets\"\n"
		"\t\ticmpv6 type { 1, 2, 3, 4 } @th,112,8 17 @th,384,16 %u-%u accept\n"
		"\t\ticmpv6 type { 1, 2, 3, 4 } @th,112,8 44 @th,384,8 17 @th,448,16 %u-%u accept\n"
		"\t\tcounter name plaintext_in drop\n"
		"\t}\n", port, last, port, last, port, last);
}

static void print_chains(FILE *to, const struct state *state)
{
	print_errors(to, state->listen_port);
	print_shut(to, state);
	print_ours(to, state, &out, "shut_out");
	print_ours(to, state, &in, "shut_in");
	fputs("\tchain host_in {\n"
	      "\t\tfib daddr type local goto shut_in\n"
	      "\t}\n"
	      "\tchain any_out {\n"
	      "\t\tfib daddr type { broadcast, multicast } accept\n"
	      "\t\tgoto shut_out\n"
	      "\t}\n"
	      "\tchain any_in {\n"
	      "\t\tfib daddr type { broadcast, multicast } accept\n"
	      "\t\tgoto shut_in\n"
	      "\t}\n", to);
}

static void print(FILE *to, const struct entries *entries)
{
	fputs("#!/usr/sbin/nft -f\n"
	      "# Made by 'veil guard': holds shut what Netveil has to protect, whether\n"
	      "# it is there or not. Make it anew when peers, policies, the port or\n"
	      "# local networks change.\n"
	      "table " TABLE "\n"
	      "delete table " TABLE "\n"
	      "table " TABLE " {\n"
	      "\tcounter plaintext_in { }\n"
	      "\tcounter plaintext_out { }\n", to);
	print_chains(to, entries->state);
	fputs("\tchain out {\n"
	      "\t\ttype filter hook postrouting priority 2147483647; policy accept;\n"
	      "\t\toifname \"lo\" accept\n", to);
	print_rules(to, entries, &out);
	fputs("\t}\n"
	      "\tchain in {\n"
	      "\t\ttype filter hook prerouting priority -500; policy accept;\n"
	      "\t\tiifname \"lo\" accept\n", to);
	print_rules(to, entries, &in);
	fputs("\t}\n}\n", to);
}

bool ruleset_write(FILE *to, const struct state *state,
		   const struct peers *peers, const struct policies *policies)
{
	struct state ordered = *state;
	struct entries entries = { .state = &ordered };
	size_t i;

	for (i = 0; i < peers->count; i++)
		add_peer(&entries, &peers->list[i]);
	for (i = 0; i < policies->count; i++)
		add(&entries, &policies->list[i].prefix, POLICY,
		    policies->list[i].kind == NETVEIL_POLICY_REQUIRE);
	if (!entries.count)
		return false;
	find_within(&entries);
	qsort(ordered.locals, ordered.local_count, sizeof(*ordered.locals),
	      compare_locals);
	qsort(entries.list, entries.count, sizeof(*entries.list), compare);
	print(to, &entries);
	free(entries.list);
	return true;
}
