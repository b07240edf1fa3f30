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

/* What happened, and to whom: what is not given is NULL or 0. */
struct veil_event {
	enum netveil_event kind;
	const u8 *public_key;
	const struct in6_addr *address;
	const struct veil_prefix *prefix;
	u8 policy;		/* enum netveil_policy */
	const char *reason;
};

/* Tell who listens in vn's namespace.  Any context; lost when memory is short. */
void veil_netlink_tell(struct veil_net *vn, const struct veil_event *event);
/* The same about the peer of this key. */
void veil_netlink_event(struct veil_net *vn, enum netveil_event event,
			const u8 public_key[VEIL_KEY_LEN]);

#endif /* _VEIL_NETLINK_H */
