// SPDX-License-Identifier: GPL-2.0
/*
 * Page fragments: rings of large pages for each CPU, cut from front to back, so
 * that what is taken in a row lies in a row.  A page that nobody else holds when
 * its turn comes is used again: the kernel would zero a new one.  What is sealed
 * is soon let go of, what is opened waits for its reader: two rings.
 */
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/local_lock.h>
#include <linux/skbuff.h>
#include <net/sock.h>

#include "pages.h"

/* Of 32 KiB each, where there are such pages: several batches. */
#define VEIL_PAGES_RING	8

struct veil_pages {
	struct page_frag ring[VEIL_PAGES_RING];
	unsigned int turn;
};

static DEFINE_PER_CPU(struct veil_pages [2], veil_pages);

/* They are with softirqs off, which is no mutual exclusion on newer kernels with
 * PREEMPT_RT.  Two packets in one room would be one of them in clear.
 */
static DEFINE_PER_CPU(local_lock_t, veil_pages_lock) =
	INIT_LOCAL_LOCK(veil_pages_lock);

void veil_pages_exit(void)
{
	unsigned int i;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct veil_pages *pages = *per_cpu_ptr(&veil_pages, cpu);

		for (i = 0; i < 2 * VEIL_PAGES_RING; i++) {
			struct page_frag *frag =
				&pages[i / VEIL_PAGES_RING].ring[i % VEIL_PAGES_RING];

			if (frag->page)
				put_page(frag->page);
			frag->page = NULL;
		}
	}
}

/* The AEADs go page by page, and a border costs them a call. */
static unsigned int veil_pages_align(unsigned int offset, unsigned int size,
				     bool whole)
{
	if (!whole)
		return offset;
	offset = ALIGN(offset, SMP_CACHE_BYTES);
	if (size <= PAGE_SIZE && offset_in_page(offset) + size > PAGE_SIZE)
		return PAGE_ALIGN(offset);
	return offset;
}

/* A page to cut from: used again, or made anew.  The kernel gives out single pages
 * where it has no large ones, and a jumbo frame wants more than that.
 */
static bool veil_pages_refill(struct page_frag *frag, unsigned int size)
{
	const gfp_t gfp = GFP_ATOMIC | __GFP_NOWARN;

	frag->offset = frag->size;
	/* IP input drops what is in one of the reserves for who frees memory: not for
	 * as long as the ring has it.
	 */
	if (frag->page && page_is_pfmemalloc(frag->page)) {
		put_page(frag->page);
		frag->page = NULL;
	}
	if (skb_page_frag_refill(size, frag, gfp) && size <= frag->size)
		return true;
	if (frag->page)
		put_page(frag->page);
	frag->offset = 0;
	frag->size = PAGE_SIZE << get_order(size);
	frag->page = alloc_pages(gfp | __GFP_COMP, get_order(size));
	if (!frag->page)
		frag->size = 0;
	return frag->page;
}

static bool veil_pages_cut(struct veil_room *room, unsigned int size, bool whole)
{
	struct veil_pages *pages = &(*this_cpu_ptr(&veil_pages))[whole];
	struct page_frag *frag = &pages->ring[pages->turn];
	unsigned int before = frag->offset;

	frag->offset = veil_pages_align(frag->offset, size, whole);
	if (frag->offset + size > frag->size) {
		pages->turn = (pages->turn + 1) % VEIL_PAGES_RING;
		frag = &pages->ring[pages->turn];
		if (!veil_pages_refill(frag, size))
			return false;
		before = 0;
	}
	room->page = frag->page;
	room->offset = frag->offset;
	room->data = page_address(frag->page) + frag->offset;
	get_page(frag->page);
	frag->offset += size;
	room->size = frag->offset - before;
	return true;
}

bool veil_pages_get(struct veil_room *room, unsigned int size, bool whole)
{
	bool got;

	local_lock(&veil_pages_lock);
	got = veil_pages_cut(room, size, whole);
	local_unlock(&veil_pages_lock);
	return got;
}
