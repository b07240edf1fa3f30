// SPDX-License-Identifier: GPL-2.0
/*
 * Longest-prefix match by one hash look-up for every length in use.
 */
#include "prefix.h"

#include <linux/bitmap.h>
#include <linux/sched.h>	/* 6.12: rhashtable_init() uses current */
#include <linux/string.h>
#include <asm/byteorder.h>

/* Length of ::ffff:0:0/96, where IPv4 lives. */
#define VEIL_PREFIX_IPV4	96

/* Golden ratio of 64 bits: multiplication carries every bit upwards. */
#define VEIL_PREFIX_MIX		0x9e3779b97f4a7c15ULL

/* Inlined into each look-up, of which every packet has several.  What is in the
 * table is the administrator's choice: nobody can make it collide.
 */
static inline u32 veil_prefix_hash(const void *data, u32 len __always_unused,
				   u32 seed)
{
	const struct veil_prefix *prefix = data;
	const u32 *word = (__force const u32 *)prefix->addr.s6_addr32;
	u64 high = (u64)word[0] << 32 | word[1];
	u64 low = (u64)word[2] << 32 | word[3];

	low = (low ^ seed) * VEIL_PREFIX_MIX + high;
	low = (low ^ low >> 32 ^ prefix->length) * VEIL_PREFIX_MIX;
	return low >> 32;
}

static inline int veil_prefix_differs(struct rhashtable_compare_arg *arg,
				      const void *object)
{
	const struct veil_prefix_node *node = object;
	const struct veil_prefix *a = arg->key, *b = &node->prefix;

	return a->addr.s6_addr32[3] != b->addr.s6_addr32[3] ||
	       a->addr.s6_addr32[2] != b->addr.s6_addr32[2] ||
	       a->addr.s6_addr32[1] != b->addr.s6_addr32[1] ||
	       a->addr.s6_addr32[0] != b->addr.s6_addr32[0] ||
	       a->length != b->length;
}

static const struct rhashtable_params veil_prefix_params = {
	.key_len = sizeof(struct veil_prefix),
	.hashfn = veil_prefix_hash,
	.obj_cmpfn = veil_prefix_differs,
	.key_offset = offsetof(struct veil_prefix_node, prefix),
	.head_offset = offsetof(struct veil_prefix_node, hash),
	.automatic_shrinking = true,
};

static bool veil_prefix_is_ipv4(const struct in6_addr *addr)
{
	return !addr->s6_addr32[0] && !addr->s6_addr32[1] &&
	       addr->s6_addr32[2] == cpu_to_be32(0xffff);
}

static void veil_prefix_truncate(struct in6_addr *addr, unsigned int length)
{
	unsigned int word = length / 32, bits = length % 32;

	if (bits)
		addr->s6_addr32[word++] &= cpu_to_be32(~0U << (32 - bits));
	while (word < 4)
		addr->s6_addr32[word++] = 0;
}

bool veil_prefix_is_network(const struct veil_prefix *prefix)
{
	struct in6_addr network = prefix->addr;

	veil_prefix_truncate(&network, prefix->length);
	return !memcmp(&network, &prefix->addr, sizeof(network));
}

int veil_prefix_init(struct veil_prefix_table *table)
{
	table->changes = 0;
	bitmap_zero(table->lengths, VEIL_PREFIX_BITS + 1);
	memset(table->used, 0, sizeof(table->used));
	return rhashtable_init(&table->hash, &veil_prefix_params);
}

struct veil_prefix_release {
	void (*call)(struct veil_prefix_node *node);
};

static void veil_prefix_release_node(void *node, void *arg)
{
	const struct veil_prefix_release *release = arg;

	release->call(node);
}

void veil_prefix_destroy(struct veil_prefix_table *table,
			 void (*release)(struct veil_prefix_node *node))
{
	struct veil_prefix_release arg = { release };

	rhashtable_free_and_destroy(&table->hash, veil_prefix_release_node,
				    &arg);
}

/* Who reads the new number finds the new content. */
void veil_prefix_changed(struct veil_prefix_table *table)
{
	/* Pairs with veil_prefix_changes(). */
	smp_store_release(&table->changes, table->changes + 1);
}

int veil_prefix_insert(struct veil_prefix_table *table,
		       struct veil_prefix_node *node)
{
	unsigned int length = node->prefix.length;
	int err;

	veil_prefix_truncate(&node->prefix.addr, length);
	err = rhashtable_lookup_insert_fast(&table->hash, &node->hash,
					    veil_prefix_params);
	if (err)
		return err;
	if (!table->used[length]++)
		set_bit(VEIL_PREFIX_BITS - length, table->lengths);
	veil_prefix_changed(table);
	return 0;
}

void veil_prefix_remove(struct veil_prefix_table *table,
			struct veil_prefix_node *node)
{
	unsigned int length = node->prefix.length;

	if (rhashtable_remove_fast(&table->hash, &node->hash,
				   veil_prefix_params))
		return;
	if (!--table->used[length])
		clear_bit(VEIL_PREFIX_BITS - length, table->lengths);
	veil_prefix_changed(table);
}

int veil_prefix_replace(struct veil_prefix_table *table,
			struct veil_prefix_node *old,
			struct veil_prefix_node *new)
{
	int err = rhashtable_replace_fast(&table->hash, &old->hash, &new->hash,
					  veil_prefix_params);

	if (!err)
		veil_prefix_changed(table);
	return err;
}

struct veil_prefix_node *
veil_prefix_lookup_within(struct veil_prefix_table *table,
			  const struct in6_addr *addr, unsigned int longest)
{
	struct veil_prefix key = { .addr = *addr };
	unsigned long bit, end = VEIL_PREFIX_BITS + 1;
	struct veil_prefix_node *node;

	if (veil_prefix_is_ipv4(addr))
		end -= VEIL_PREFIX_IPV4;
	bit = VEIL_PREFIX_BITS - longest;
	for_each_set_bit_from(bit, table->lengths, end) {
		key.length = VEIL_PREFIX_BITS - bit;
		veil_prefix_truncate(&key.addr, key.length);
		node = rhashtable_lookup(&table->hash, &key,
					 veil_prefix_params);
		if (node)
			return node;
	}
	return NULL;
}

struct veil_prefix_node *
veil_prefix_find(struct veil_prefix_table *table,
		 const struct veil_prefix *prefix)
{
	struct veil_prefix key = *prefix;

	veil_prefix_truncate(&key.addr, key.length);
	return rhashtable_lookup_fast(&table->hash, &key, veil_prefix_params);
}
