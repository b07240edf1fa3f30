/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The addresses of peers, and the table in which they and the prefixes behind
 * peers are.  Process context, vn->lock written if nothing else is said.
 */
#ifndef _VEIL_PEER_ADDRESS_H
#define _VEIL_PEER_ADDRESS_H

#include "peer.h"

/* The peer whose own address addr is, or NULL.  Under rcu_read_lock().  What
 * may pass is another question: policy.h
 */
struct veil_peer *veil_peer_lookup(struct veil_net *vn,
				   const struct in6_addr *addr);

/* Refuse an address that has a policy of its own, or is this host's. */
int veil_peer_check_address(struct veil_net *vn, const struct in6_addr *addr,
			    struct netlink_ext_ack *extack);
/* Of the addresses of config, checked, those that the peer has not; also after an
 * error for the caller to delete.
 */
int veil_peer_make_addresses(struct veil_peer *peer,
			     const struct veil_peer_config *config,
			     struct list_head *new);
/* Those of config, with what was made of them, and then no others. */
void veil_peer_put_addresses(struct veil_peer *peer,
			     const struct veil_peer_config *config,
			     struct list_head *new);

/* Put an address of the peer's, or a prefix behind it, into the table and the list.
 * It takes the place of a leaving peer's, and gives that back if it is removed in
 * the same step.
 */
int veil_address_add(struct veil_peer *peer, const struct veil_prefix *prefix,
		     bool behind, struct list_head *list);
struct veil_address *veil_address_find(struct list_head *list,
				       const struct in6_addr *addr);
/* Those of this length, and of any. */
void veil_address_del_length(struct list_head *list, unsigned int length);
void veil_address_del_all(struct list_head *list);

#endif /* _VEIL_PEER_ADDRESS_H */
