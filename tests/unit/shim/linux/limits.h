/* SPDX-License-Identifier: GPL-2.0 */
/* Shim: the kernel's names of the integer limits. */
#ifndef _SHIM_LINUX_LIMITS_H
#define _SHIM_LINUX_LIMITS_H

#include_next <linux/limits.h>
#include <stdint.h>

#define U16_MAX	((__u16)~0U)
#define U64_MAX	((__u64)~0ULL)

#endif
