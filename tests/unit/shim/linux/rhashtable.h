/* SPDX-License-Identifier: GPL-2.0 */
/* Shim: a hash table of fixed size behind the calls that prefix.c makes. */
#ifndef _SHIM_LINUX_RHASHTABLE_H
#define _SHIM_LINUX_RHASHTABLE_H

#include <errno.h>
#include <linux/string.h>
#include <linux/types.h>

#define SHIM_BUCKETS	256
#define SHIM_SEED	2166136261U

struct rhash_head {
	struct rhash_head *next;
};

struct rhashtable_compare_arg {
	const void *key;
};

struct rhashtable_params {
	size_t key_len;
	u32 (*hashfn)(const void *data, u32 len, u32 seed);
	int (*obj_cmpfn)(struct rhashtable_compare_arg *arg,
			 const void *object);
	size_t key_offset;
	size_t head_offset;
	bool automatic_shrinking;
};

struct rhashtable {
	struct rhash_head *bucket[SHIM_BUCKETS];
	struct rhashtable_params params;
};

static inline u8 *shim_object(struct rhash_head *head,
			      const struct rhashtable_params *params)
{
	return (u8 *)head - params->head_offset;
}

/* The place of the pointer to the object of this key, or of the last one. */
static inline struct rhash_head **
shim_find(struct rhashtable *table, const u8 *key,
	  const struct rhashtable_params *params)
{
	struct rhashtable_compare_arg arg = { key };
	struct rhash_head **place;
	u32 hash = params->hashfn(key, params->key_len, SHIM_SEED);

	place = &table->bucket[hash % SHIM_BUCKETS];
	while (*place && params->obj_cmpfn(&arg, shim_object(*place, params)))
		place = &(*place)->next;
	return place;
}

static inline int rhashtable_init(struct rhashtable *table,
				  const struct rhashtable_params *params)
{
	memset(table, 0, sizeof(*table));
	table->params = *params;
	return 0;
}

static inline void *rhashtable_lookup(struct rhashtable *table, const void *key,
				      const struct rhashtable_params params)
{
	struct rhash_head *head = *shim_find(table, key, &params);

	return head ? shim_object(head, &params) : NULL;
}

/* The one for who is not under rcu_read_lock(). */
#define rhashtable_lookup_fast	rhashtable_lookup

static inline int
rhashtable_lookup_insert_fast(struct rhashtable *table, struct rhash_head *head,
			      const struct rhashtable_params params)
{
	struct rhash_head **place;

	place = shim_find(table, shim_object(head, &params) +
			  params.key_offset, &params);
	if (*place)
		return -EEXIST;
	head->next = NULL;
	*place = head;
	return 0;
}

static inline int rhashtable_remove_fast(struct rhashtable *table,
					 struct rhash_head *head,
					 const struct rhashtable_params params)
{
	struct rhash_head **place;

	place = shim_find(table, shim_object(head, &params) +
			  params.key_offset, &params);
	if (*place != head)
		return -ENOENT;
	*place = head->next;
	return 0;
}

static inline int rhashtable_replace_fast(struct rhashtable *table,
					  struct rhash_head *old,
					  struct rhash_head *new,
					  const struct rhashtable_params params)
{
	struct rhash_head **place;

	place = shim_find(table, shim_object(old, &params) +
			  params.key_offset, &params);
	if (*place != old)
		return -ENOENT;
	new->next = old->next;
	*place = new;
	return 0;
}

static inline void
rhashtable_free_and_destroy(struct rhashtable *table,
			    void (*release)(void *object, void *arg), void *arg)
{
	unsigned int i;

	for (i = 0; i < SHIM_BUCKETS; i++) {
		struct rhash_head *head = table->bucket[i];

		while (head) {
			struct rhash_head *next = head->next;

			release(shim_object(head, &table->params), arg);
			head = next;
		}
		table->bucket[i] = NULL;
	}
}

#endif
