/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The second fence: plaintext for a protected address that came to a device by
 * another way than POST_ROUTING is dropped there (STACK A5).
 */
#ifndef _VEIL_FENCE_H
#define _VEIL_FENCE_H

#include "net.h"

/* On all devices of the namespace, and those that come.  Process context,
 * takes RTNL.
 */
int veil_fence_up(struct veil_net *vn);
void veil_fence_down(struct veil_net *vn);

int veil_fence_init(void);
void veil_fence_exit(void);

#endif /* _VEIL_FENCE_H */
