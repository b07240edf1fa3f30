// SPDX-License-Identifier: GPL-2.0
/*
 * Page fragments: one large page after the other for each CPU, cut from front to
 * back, so that what is taken in a row lies in a row.
 */
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/skbuff.h>
#include <net/sock.h>

#include "pages.h"

static DEFINE_PER_CPU(struct page_frag, veil_pages);

void veil_pages_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct page_frag *frag = per_cpu_ptr(&veil_pages, cpu);

		if (frag->page)
			put_page(frag->page);
		frag->page = NULL;
	}
}

bool veil_pages_get(struct veil_room *room, unsigned int size, bool whole)
{
	struct page_frag *frag = this_cpu_ptr(&veil_pages);
	unsigned int before = frag->offset;

	/* The AEADs go page by page, and a border costs them a call. */
	if (whole) {
		frag->offset = ALIGN(frag->offset, SMP_CACHE_BYTES);
		if (size <= PAGE_SIZE &&
		    offset_in_page(frag->offset) + size > PAGE_SIZE)
			frag->offset = PAGE_ALIGN(frag->offset);
	}
	if (!skb_page_frag_refill(size, frag, GFP_ATOMIC | __GFP_NOWARN) ||
	    frag->offset + size > frag->size)
		return false;
	room->page = frag->page;
	room->offset = frag->offset;
	room->data = page_address(frag->page) + frag->offset;
	get_page(frag->page);
	frag->offset += size;
	room->size = size;
	if (frag->offset > before)
		room->size = max(size, frag->offset - before);
	return true;
}
