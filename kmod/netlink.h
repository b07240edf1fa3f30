/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The generic netlink family of uapi/netveil.h.
 */
#ifndef _VEIL_NETLINK_H
#define _VEIL_NETLINK_H

#include "net.h"

int veil_netlink_init(void);
/* No events are sent once it has begun. */
void veil_netlink_exit(void);

/* Tell who listens in vn's namespace about the peer of this key.  Any context;
 * lost when memory is short.
 */
void veil_netlink_event(struct veil_net *vn, enum netveil_event event,
			const u8 public_key[VEIL_KEY_LEN]);

#endif /* _VEIL_NETLINK_H */
