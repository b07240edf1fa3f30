// SPDX-License-Identifier: GPL-2.0
/*
 * The prefix table beside a linear search, through insertions, removals and
 * look-ups in any order.
 */
#include <stdlib.h>
#include <string.h>

#include "prefix.h"

#define ASSERT(condition) \
	do { \
		if (!(condition)) \
			abort(); \
	} while (0)

#define NODES	64
#define STEP	6	/* bytes of input for one operation */

struct slot {
	struct veil_prefix_node node;
	bool used;
};

static bool covers(const struct veil_prefix *prefix, const struct in6_addr *addr)
{
	unsigned int i;

	for (i = 0; i < prefix->length; i++)
		if ((prefix->addr.s6_addr[i / 8] ^ addr->s6_addr[i / 8]) &
		    0x80 >> i % 8)
			return false;
	return true;
}

static bool is_ipv4(const struct in6_addr *addr)
{
	static const u8 mapped[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(addr, mapped, sizeof(mapped));
}

static struct veil_prefix_node *search(struct slot *slots,
				       const struct in6_addr *addr)
{
	struct veil_prefix_node *best = NULL;
	unsigned int i;

	for (i = 0; i < NODES; i++) {
		struct veil_prefix_node *node = &slots[i].node;

		if (!slots[i].used || !covers(&node->prefix, addr) ||
		    (is_ipv4(addr) && node->prefix.length < 96))
			continue;
		if (!best || node->prefix.length > best->prefix.length)
			best = node;
	}
	return best;
}

/* Few different ones, so that they meet; both families. */
static struct in6_addr address(const u8 *data)
{
	struct in6_addr addr = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	if (data[0] & 1) {
		memset(&addr, 0, sizeof(addr));
		addr.s6_addr[0] = data[1] & 0xc1;
	}
	addr.s6_addr[12] = data[1];
	addr.s6_addr[15] = data[2];
	return addr;
}

static void change(struct veil_prefix_table *table, struct slot *slot,
		   const u8 *data)
{
	if (slot->used) {
		veil_prefix_remove(table, &slot->node);
		slot->used = false;
		return;
	}
	memset(slot, 0, sizeof(*slot));
	slot->node.prefix.addr = address(data);
	slot->node.prefix.length = data[3] % (VEIL_PREFIX_BITS + 1);
	if (data[0] & 1)
		slot->used = !veil_prefix_insert(table, &slot->node);
	else if (slot->node.prefix.length >= 96)
		slot->used = !veil_prefix_insert(table, &slot->node);
}

static void keep(struct veil_prefix_node *node)
{
	(void)node;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct slot slots[NODES];
	struct veil_prefix_table table;
	size_t i;

	memset(slots, 0, sizeof(slots));
	ASSERT(!veil_prefix_init(&table));
	for (i = 0; i + STEP <= size; i += STEP) {
		struct in6_addr addr = address(data + i + 1);

		if (data[i] & 2)
			change(&table, &slots[data[i + 5] % NODES], data + i);
		ASSERT(veil_prefix_lookup(&table, &addr) == search(slots, &addr));
	}
	veil_prefix_destroy(&table, keep);
	return 0;
}
