/* SPDX-License-Identifier: GPL-2.0 */
/* Shim: ranges of bits. */
#ifndef _SHIM_LINUX_BITMAP_H
#define _SHIM_LINUX_BITMAP_H

#include <linux/bitops.h>
#include <linux/string.h>

static inline void bitmap_zero(unsigned long *words, unsigned int bits)
{
	memset(words, 0, BITS_TO_LONGS(bits) * sizeof(long));
}

static inline void bitmap_clear(unsigned long *words, unsigned int start,
				unsigned int count)
{
	while (count--)
		clear_bit(start++, words);
}

#endif
