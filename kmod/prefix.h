/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Longest-prefix match for addresses of both families: one hash table of
 * prefixes and the set of prefix lengths in use, longest tried first.  Hosts
 * are the usual case, and then a look-up is one hash look-up, however many
 * peers there are.
 *
 * IPv4 lives in the IPv4-mapped range of IPv6 (a /24 is a /120 there).  A
 * prefix shorter than that range's /96 is one of IPv6 alone: ::/0 covers no IPv4.
 *
 * Look-ups: under rcu_read_lock(), any context.  Changes: the caller
 * serialises them (veil_net.lock), process context.  A removed node may be
 * freed after a grace period.
 */
#ifndef _VEIL_PREFIX_H
#define _VEIL_PREFIX_H

#include <asm/barrier.h>
#include <linux/in6.h>
#include <linux/rhashtable.h>

#define VEIL_PREFIX_BITS	128

struct veil_prefix {
	struct in6_addr addr;	/* host bits zero */
	u32 length;		/* 0 to VEIL_PREFIX_BITS; no padding: a hash key */
};

/* Embedded in what a prefix stands for. */
struct veil_prefix_node {
	struct rhash_head hash;
	struct veil_prefix prefix;
};

struct veil_prefix_table {
	unsigned long changes;	/* see veil_prefix_changes() */
	struct rhashtable hash;
	DECLARE_BITMAP(lengths, VEIL_PREFIX_BITS + 1);	/* inverted: bit 0 is /128 */
	unsigned int used[VEIL_PREFIX_BITS + 1];	/* nodes of each length */
};

int veil_prefix_init(struct veil_prefix_table *table);
/* Calls release for every node that is left. */
void veil_prefix_destroy(struct veil_prefix_table *table,
			 void (*release)(struct veil_prefix_node *node));

/* Puts node->prefix into the table; clears its host bits. -EEXIST, -ENOMEM. */
int veil_prefix_insert(struct veil_prefix_table *table,
		       struct veil_prefix_node *node);
void veil_prefix_remove(struct veil_prefix_table *table,
			struct veil_prefix_node *node);
/* new, of the same prefix, takes the place of old: no look-up finds neither. */
int veil_prefix_replace(struct veil_prefix_table *table,
			struct veil_prefix_node *old,
			struct veil_prefix_node *new);

/* How often table has changed: who remembers what it found asks before each
 * look-up, and what was found under another number may be wrong, or freed.  64 bits
 * do not come round, whoever may add and remove policies.
 */
static inline unsigned long
veil_prefix_changes(const struct veil_prefix_table *table)
{
	/* Pairs with veil_prefix_changed(). */
	return smp_load_acquire(&table->changes);
}

/* What nodes of it mean has changed.  Calls are serialised by the caller. */
void veil_prefix_changed(struct veil_prefix_table *table);

/* The node of the longest prefix that covers addr, none longer than longest, or
 * NULL.
 */
struct veil_prefix_node *
veil_prefix_lookup_within(struct veil_prefix_table *table,
			  const struct in6_addr *addr, unsigned int longest);

static inline struct veil_prefix_node *
veil_prefix_lookup(struct veil_prefix_table *table,
		   const struct in6_addr *addr)
{
	return veil_prefix_lookup_within(table, addr, VEIL_PREFIX_BITS);
}

/* Whether no bit behind the prefix's length is set. */
bool veil_prefix_is_network(const struct veil_prefix *prefix);

/* The node of exactly this prefix, or NULL.  Under rcu_read_lock(), or the
 * caller's own lock.
 */
struct veil_prefix_node *
veil_prefix_find(struct veil_prefix_table *table,
		 const struct veil_prefix *prefix);

#endif /* _VEIL_PREFIX_H */
