/* SPDX-License-Identifier: GPL-2.0 */
/* Shim: bits of an array of words, one thread only. */
#ifndef _SHIM_LINUX_BITOPS_H
#define _SHIM_LINUX_BITOPS_H

#include <linux/types.h>

static inline bool test_bit(unsigned long bit, const unsigned long *words)
{
	return words[bit / BITS_PER_LONG] >> (bit % BITS_PER_LONG) & 1;
}

static inline void set_bit(unsigned long bit, unsigned long *words)
{
	words[bit / BITS_PER_LONG] |= 1UL << (bit % BITS_PER_LONG);
}

static inline void clear_bit(unsigned long bit, unsigned long *words)
{
	words[bit / BITS_PER_LONG] &= ~(1UL << (bit % BITS_PER_LONG));
}

#define __set_bit	set_bit

#define for_each_set_bit_from(bit, words, end) \
	for (; (bit) < (end); (bit)++) \
		if (test_bit(bit, words))

#endif
