/* SPDX-License-Identifier: GPL-2.0 */
/* Forgetting keys on suspend and when a VM was forked from a snapshot. */
#ifndef _VEIL_WIPE_H
#define _VEIL_WIPE_H

int veil_wipe_init(void);
void veil_wipe_exit(void);

#endif /* _VEIL_WIPE_H */
