// SPDX-License-Identifier: GPL-2.0
/*
 * Receiver indexes of a namespace: what a message's receiver field stands for.
 * Random, never zero, unique over handshakes and sessions.
 */
#include <linux/random.h>

#include "peer.h"

static const struct rhashtable_params veil_index_params = {
	.key_len = sizeof_field(struct veil_index, id),
	.key_offset = offsetof(struct veil_index, id),
	.head_offset = offsetof(struct veil_index, hash),
	.automatic_shrinking = true,
};

int veil_indexes_init(struct veil_net *vn)
{
	return rhashtable_init(&vn->indexes, &veil_index_params);
}

int veil_index_insert(struct veil_net *vn, struct veil_index *index)
{
	int err;

	do {
		index->id = get_random_u32() ?: 1;
		err = rhashtable_lookup_insert_fast(&vn->indexes, &index->hash,
						    veil_index_params);
	} while (err == -EEXIST);
	if (err)
		index->id = 0;
	return err;
}

int veil_index_replace(struct veil_net *vn, struct veil_index *old,
		       struct veil_index *new)
{
	int err;

	new->id = old->id;
	err = rhashtable_replace_fast(&vn->indexes, &old->hash, &new->hash,
				      veil_index_params);
	if (err)
		new->id = 0;
	else
		old->id = 0;
	return err;
}

/* The id stays set: readers may still hold the index until a grace period. */
void veil_index_remove(struct veil_net *vn, struct veil_index *index)
{
	rhashtable_remove_fast(&vn->indexes, &index->hash, veil_index_params);
}

struct veil_index *veil_index_lookup(struct veil_net *vn, u32 id)
{
	return rhashtable_lookup(&vn->indexes, &id, veil_index_params);
}
