/* SPDX-License-Identifier: GPL-2.0 */
/* Shim: units of time. */
#ifndef _SHIM_LINUX_TIME64_H
#define _SHIM_LINUX_TIME64_H

#define NSEC_PER_SEC	1000000000L

#endif
