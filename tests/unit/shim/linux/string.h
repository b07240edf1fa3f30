/* SPDX-License-Identifier: GPL-2.0 */
/* Shim: string.h, and the kernel's memset that stays. */
#ifndef _SHIM_LINUX_STRING_H
#define _SHIM_LINUX_STRING_H

#include <string.h>

static inline void memzero_explicit(void *data, size_t len)
{
	explicit_bzero(data, len);
}

#endif
