/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Networks: prefixes behind peers, which makes these gateways, and our own
 * (local) ones, which makes one of us.
 */
#ifndef _VEIL_NETWORK_H
#define _VEIL_NETWORK_H

#include "peer.h"

/* With the step in hand. */
enum veil_local_between {
	VEIL_LOCAL_COMES = 1,
	VEIL_LOCAL_GOES = 2,
};

/* A network of ours, in veil_net.locals; freed by RCU. */
struct veil_local {
	struct veil_prefix_node node;
	struct list_head list;		/* veil_net.local_list */
	bool leaving;			/* removed at the end of the step; vn->lock */
	u8 between;			/* enum veil_local_between; written with vn->lock */
	struct rcu_head rcu;
};

/*
 * Process context, vn->lock written; what refuses does so with extack text and
 * changes nothing.
 */

/* Whether the prefix can be put behind the peer of this key. */
int veil_network_check(struct veil_net *vn, const u8 *public_key,
		       const struct veil_prefix *prefix,
		       struct netlink_ext_ack *extack);
/* Of the prefixes that config gives, checked, those that the peer has not; also after
 * an error for the caller to delete.
 */
int veil_network_make(struct veil_peer *peer,
		      const struct veil_peer_config *config,
		      struct list_head *new);
/* Those that config gives, which are all made, and then no others. */
void veil_network_put(struct veil_peer *peer,
		      const struct veil_peer_config *config);

int veil_network_check_local(struct veil_net *vn,
			     const struct veil_prefix *prefix,
			     struct netlink_ext_ack *extack);
/* A step will leave no others than these: a peer may have the others' prefixes.  Before
 * the step changes what holds for those that come or go: they are noted for weaken.h.
 */
void veil_network_leave_locals(struct veil_net *vn,
			       const struct veil_prefix *prefixes,
			       unsigned int count);
/* None of them leaves. */
void veil_network_stay_locals(struct veil_net *vn);
/*
 * These, checked, and then no others, between veil_weaken_begin() and end.  Make puts
 * them beside the old ones: as long as some come or go, what would be a peer's without
 * them is dropped, whatever else the step changes.  Put, which cannot fail, removes
 * those that go, and the others are as any.
 */
int veil_network_make_locals(struct veil_net *vn,
			     const struct veil_prefix *prefixes,
			     unsigned int count);
void veil_network_put_locals(struct veil_net *vn);

int veil_networks_init(struct veil_net *vn);
void veil_networks_exit(struct veil_net *vn);

/*
 * For the packet path, under rcu_read_lock().
 */

/* Whether addr is in a network that is behind some peer, whose ever address it
 * is itself.
 */
bool veil_network_behind(struct veil_net *vn, const struct in6_addr *addr);
/* Whether addr is in a network of ours. */
bool veil_network_local(struct veil_net *vn, const struct in6_addr *addr);

/* Whether this one of veil_net.locals comes or goes, or 0. */
static inline enum veil_local_between
veil_network_between(const struct veil_prefix_node *node)
{
	return READ_ONCE(container_of(node, struct veil_local, node)->between);
}

/* What can be in a network at all: no group, nothing that has its meaning on
 * one link or host only.  ::/0 and 0.0.0.0/0 cover none of these.
 */
bool veil_network_routable(const struct in6_addr *addr);

#endif /* _VEIL_NETWORK_H */
