/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Points of low order, with which X25519 gives zeros (RFC 7748, section 6.1).
 */
#ifndef LOW_ORDER_H
#define LOW_ORDER_H

#include <stdlib.h>
#include <string.h>

#include "keys.h"

/* Points whose multiples by a clamped number are all zero, and their aliases. */
static const char *const low_order[] = {
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
};

#define LOW_ORDERS	(sizeof(low_order) / sizeof(*low_order))

static inline void low_order_point(u8 point[VEIL_KEY_LEN], size_t which)
{
	char byte[3] = "";
	int i;

	for (i = 0; i < VEIL_KEY_LEN; i++) {
		memcpy(byte, low_order[which] + 2 * i, 2);
		point[i] = strtoul(byte, NULL, 16);
	}
}

#endif /* LOW_ORDER_H */
