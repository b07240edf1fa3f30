/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page fragments for the text of batches: what is sealed or opened there is
 * attached to an skb without being copied again.
 */
#ifndef _VEIL_PAGES_H
#define _VEIL_PAGES_H

#include <linux/types.h>

struct page;

/**
 * struct veil_room - memory for the text of one packet
 * @page: holds a reference, which goes with it
 * @offset: where it begins there
 * @data: its address
 * @size: bytes that went with it, for skb->truesize
 */
struct veil_room {
	struct page *page;
	unsigned int offset;
	void *data;
	unsigned int size;
};

/* size bytes; whole, for what is opened: in one page where they fit.  With bottom
 * halves off.  False: no memory.
 */
bool veil_pages_get(struct veil_room *room, unsigned int size, bool whole);

void veil_pages_exit(void);

#endif /* _VEIL_PAGES_H */
