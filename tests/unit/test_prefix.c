// SPDX-License-Identifier: GPL-2.0
/*
 * Longest-prefix match: both families, and random tables beside a linear search.
 */
#include "prefix.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "ktap.h"

#define IPV4_OFFSET	96

/* Any of 10.0.0.1 and 2001:db8::1 as the table's address. */
static struct in6_addr address(const char *text)
{
	struct in6_addr addr = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	if (strchr(text, ':'))
		inet_pton(AF_INET6, text, &addr);
	else
		inet_pton(AF_INET, text, &addr.s6_addr[12]);
	return addr;
}

static struct veil_prefix prefix(const char *text, unsigned int length)
{
	struct veil_prefix made = { .addr = address(text) };

	made.length = length + (strchr(text, ':') ? 0 : IPV4_OFFSET);
	return made;
}

static void insert(struct veil_prefix_table *table,
		   struct veil_prefix_node *node, const char *text,
		   unsigned int length)
{
	node->prefix = prefix(text, length);
	EXPECT(!veil_prefix_insert(table, node));
}

static struct veil_prefix_node *lookup(struct veil_prefix_table *table,
				       const char *text)
{
	struct in6_addr addr = address(text);

	return veil_prefix_lookup(table, &addr);
}

static void keep(struct veil_prefix_node *node)
{
	(void)node;
}

static void test_empty(void)
{
	struct veil_prefix_table table;
	struct veil_prefix any = {};

	EXPECT(!veil_prefix_init(&table));
	EXPECT(!lookup(&table, "10.0.0.1"));
	EXPECT(!lookup(&table, "::"));
	EXPECT(!veil_prefix_find(&table, &any));
	veil_prefix_destroy(&table, keep);
}

static void test_longest_ipv4(void)
{
	struct veil_prefix_node all, net, subnet, host;
	struct veil_prefix_table table;

	EXPECT(!veil_prefix_init(&table));
	insert(&table, &subnet, "10.9.8.0", 24);
	insert(&table, &host, "10.9.8.7", 32);
	insert(&table, &all, "0.0.0.0", 0);
	insert(&table, &net, "10.0.0.0", 8);
	EXPECT(lookup(&table, "10.9.8.7") == &host);
	EXPECT(lookup(&table, "10.9.8.6") == &subnet);
	EXPECT(lookup(&table, "10.9.9.7") == &net);
	EXPECT(lookup(&table, "11.9.8.7") == &all);
	veil_prefix_remove(&table, &host);
	EXPECT(lookup(&table, "10.9.8.7") == &subnet);
	veil_prefix_remove(&table, &net);
	EXPECT(lookup(&table, "10.9.9.7") == &all);
	veil_prefix_destroy(&table, keep);
}

static void test_longest_ipv6(void)
{
	struct veil_prefix_node all, net, odd, host;
	struct veil_prefix_table table;

	EXPECT(!veil_prefix_init(&table));
	insert(&table, &all, "::", 0);
	insert(&table, &net, "2001:db8::", 32);
	insert(&table, &odd, "2001:db8:8000::", 33);
	insert(&table, &host, "2001:db8:8000::1", 128);
	EXPECT(lookup(&table, "2001:db8:8000::1") == &host);
	EXPECT(lookup(&table, "2001:db8:8000::2") == &odd);
	EXPECT(lookup(&table, "2001:db8:7fff::1") == &net);
	EXPECT(lookup(&table, "fe80::1") == &all);
	veil_prefix_destroy(&table, keep);
}

static void test_families_apart(void)
{
	struct veil_prefix_node v4, v6;
	struct veil_prefix_table table;

	EXPECT(!veil_prefix_init(&table));
	insert(&table, &v6, "::", 0);
	EXPECT(!lookup(&table, "10.0.0.1"));
	EXPECT(lookup(&table, "fe80::1") == &v6);
	insert(&table, &v4, "0.0.0.0", 0);
	EXPECT(lookup(&table, "10.0.0.1") == &v4);
	EXPECT(lookup(&table, "::10.0.0.1") == &v6);
	veil_prefix_remove(&table, &v6);
	EXPECT(!lookup(&table, "fe80::1"));
	EXPECT(lookup(&table, "10.0.0.1") == &v4);
	veil_prefix_destroy(&table, keep);
}

static void test_host_bits(void)
{
	struct veil_prefix_node node, again;
	struct veil_prefix_table table;
	struct veil_prefix wanted;

	EXPECT(!veil_prefix_init(&table));
	insert(&table, &node, "10.9.8.7", 9);
	wanted = prefix("10.0.0.0", 9);
	EXPECT(!memcmp(&node.prefix, &wanted, sizeof(wanted)));
	again.prefix = prefix("10.127.1.1", 9);
	EXPECT(veil_prefix_insert(&table, &again) == -EEXIST);
	wanted = prefix("10.64.0.0", 9);
	EXPECT(veil_prefix_find(&table, &wanted) == &node);
	wanted.length++;
	EXPECT(!veil_prefix_find(&table, &wanted));
	wanted = prefix("10.128.0.0", 9);
	EXPECT(!veil_prefix_find(&table, &wanted));
	veil_prefix_destroy(&table, keep);
}

/* A refused or a strange node leaves the lengths in use as they are. */
static void test_refused_changes_nothing(void)
{
	struct veil_prefix_node node, again;
	struct veil_prefix_table table;

	EXPECT(!veil_prefix_init(&table));
	insert(&table, &node, "10.0.0.0", 8);
	again.prefix = node.prefix;
	EXPECT(veil_prefix_insert(&table, &again) == -EEXIST);
	veil_prefix_remove(&table, &again);
	EXPECT(lookup(&table, "10.1.2.3") == &node);
	veil_prefix_remove(&table, &node);
	EXPECT(!lookup(&table, "10.1.2.3"));
	EXPECT(!table.used[8 + IPV4_OFFSET]);
	insert(&table, &node, "10.0.0.0", 8);
	EXPECT(lookup(&table, "10.1.2.3") == &node);
	veil_prefix_destroy(&table, keep);
}

static unsigned int released;

static void count_release(struct veil_prefix_node *node)
{
	free(node);
	released++;
}

/* What was not found before a change is looked up again behind it. */
static void test_changes_are_counted(void)
{
	struct veil_prefix_node host = {}, other = {}, same = {};
	struct veil_prefix_table table;
	u32 seen;

	EXPECT(!veil_prefix_init(&table));
	seen = table.changes;
	insert(&table, &host, "10.0.0.1", 32);
	EXPECT(table.changes != seen);
	seen = table.changes;
	same.prefix = host.prefix;
	EXPECT(veil_prefix_insert(&table, &same) == -EEXIST);
	EXPECT(table.changes == seen);
	EXPECT(!veil_prefix_replace(&table, &host, &same));
	EXPECT(table.changes != seen);
	seen = table.changes;
	insert(&table, &other, "10.0.0.0", 8);
	EXPECT(table.changes != seen);
	seen = table.changes;
	veil_prefix_remove(&table, &same);
	EXPECT(table.changes != seen);
	veil_prefix_destroy(&table, keep);
}

static void test_destroy_releases(void)
{
	struct veil_prefix_table table;
	unsigned int i;

	EXPECT(!veil_prefix_init(&table));
	for (i = 0; i < 100; i++) {
		struct veil_prefix_node *node = calloc(1, sizeof(*node));

		node->prefix.addr.s6_addr[15] = i;
		node->prefix.length = VEIL_PREFIX_BITS;
		EXPECT(!veil_prefix_insert(&table, node));
	}
	released = 0;
	veil_prefix_destroy(&table, count_release);
	EXPECT(released == 100);
}

#define NODES	400

static struct veil_prefix_node nodes[NODES];
static bool inside[NODES];

static bool is_ipv4(const struct in6_addr *addr)
{
	static const u8 mapped[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(addr, mapped, sizeof(mapped));
}

static bool bit_of(const struct in6_addr *addr, unsigned int bit)
{
	return addr->s6_addr[bit / 8] >> (7 - bit % 8) & 1;
}

/* As a reader of PROTOCOL.md would say it: bit by bit. */
static bool covers(const struct veil_prefix *prefix,
		   const struct in6_addr *addr)
{
	unsigned int bit;

	if (is_ipv4(addr) && prefix->length < IPV4_OFFSET)
		return false;
	for (bit = 0; bit < prefix->length; bit++)
		if (bit_of(&prefix->addr, bit) != bit_of(addr, bit))
			return false;
	return true;
}

static struct veil_prefix_node *model_lookup(const struct in6_addr *addr)
{
	struct veil_prefix_node *best = NULL;
	unsigned int i;

	for (i = 0; i < NODES; i++)
		if (inside[i] && covers(&nodes[i].prefix, addr) &&
		    (!best || nodes[i].prefix.length > best->prefix.length))
			best = &nodes[i];
	return best;
}

static bool model_holds(const struct veil_prefix *prefix)
{
	unsigned int i;

	for (i = 0; i < NODES; i++)
		if (inside[i] && nodes[i].prefix.length == prefix->length &&
		    covers(&nodes[i].prefix, &prefix->addr))
			return true;
	return false;
}

/* Few distinct bytes, so that prefixes overlap and addresses meet them. */
static struct in6_addr random_address(void)
{
	static const u8 bytes[] = { 0x00, 0x80, 0xff, 0x01 };
	struct in6_addr addr = { .s6_addr = { [10] = 0xff, [11] = 0xff } };
	unsigned int i = ktap_random_below(2) ? 12 : 0;

	for (; i < 16; i++)
		if (ktap_random_below(4))
			addr.s6_addr[i] = bytes[ktap_random_below(4)];
	return addr;
}

static struct veil_prefix random_prefix(void)
{
	struct veil_prefix made = { .addr = random_address() };

	if (is_ipv4(&made.addr))
		made.length = IPV4_OFFSET + ktap_random_below(33);
	else
		made.length = ktap_random_below(VEIL_PREFIX_BITS + 1);
	return made;
}

static void change(struct veil_prefix_table *table, unsigned int i)
{
	int err;

	if (inside[i]) {
		veil_prefix_remove(table, &nodes[i]);
		inside[i] = false;
		return;
	}
	nodes[i].prefix = random_prefix();
	err = model_holds(&nodes[i].prefix) ? -EEXIST : 0;
	EXPECT(veil_prefix_insert(table, &nodes[i]) == err);
	inside[i] = !err;
}

static void test_random(void)
{
	struct veil_prefix_table table;
	unsigned int round, look, found = 0;

	EXPECT(!veil_prefix_init(&table));
	/* A few nodes at first, when most addresses are nobody's. */
	for (round = 0; round < 3000; round++) {
		change(&table, ktap_random_below(2 + round / 10));
		for (look = 0; look < 5; look++) {
			struct in6_addr addr = random_address();
			struct veil_prefix_node *node;

			node = veil_prefix_lookup(&table, &addr);
			EXPECT(node == model_lookup(&addr));
			found += !!node;
		}
	}
	EXPECT(found > 5000 && found < 14500);
	veil_prefix_destroy(&table, keep);
}

static void test_within(void)
{
	struct veil_prefix_node all, net, host;
	struct in6_addr addr = address("10.9.8.7");
	struct veil_prefix_table table;

	EXPECT(!veil_prefix_init(&table));
	insert(&table, &all, "0.0.0.0", 0);
	insert(&table, &net, "10.9.8.0", 24);
	insert(&table, &host, "10.9.8.7", 32);
	EXPECT(veil_prefix_lookup_within(&table, &addr, 128) == &host);
	EXPECT(veil_prefix_lookup_within(&table, &addr, 127) == &net);
	EXPECT(veil_prefix_lookup_within(&table, &addr, 120) == &net);
	EXPECT(veil_prefix_lookup_within(&table, &addr, 119) == &all);
	EXPECT(!veil_prefix_lookup_within(&table, &addr, 95));
	veil_prefix_destroy(&table, keep);
}

static void test_is_network(void)
{
	struct veil_prefix made = prefix("10.9.8.0", 24);

	EXPECT(veil_prefix_is_network(&made));
	made = prefix("10.9.8.1", 24);
	EXPECT(!veil_prefix_is_network(&made));
	made = prefix("10.9.8.1", 32);
	EXPECT(veil_prefix_is_network(&made));
	made = prefix("::", 0);
	EXPECT(veil_prefix_is_network(&made));
}

static const struct ktap_case cases[] = {
	{ "empty table", test_empty },
	{ "longest IPv4 prefix wins", test_longest_ipv4 },
	{ "longest IPv6 prefix wins", test_longest_ipv6 },
	{ "IPv4 and IPv6 are apart", test_families_apart },
	{ "host bits are cleared", test_host_bits },
	{ "a refused insert changes nothing", test_refused_changes_nothing },
	{ "every change is counted", test_changes_are_counted },
	{ "destroy releases every node", test_destroy_releases },
	{ "none longer than asked for", test_within },
	{ "bits behind the length are seen", test_is_network },
	{ "random, beside a linear search", test_random },
};

int main(void)
{
	return ktap_run(cases, sizeof(cases) / sizeof(*cases));
}
