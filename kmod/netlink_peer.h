/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the netlink family share among themselves.
 */
#ifndef _VEIL_NETLINK_PEER_H
#define _VEIL_NETLINK_PEER_H

#include <net/netlink.h>

#include "peer.h"

struct genl_family;
struct genl_info;

/* netlink.c */
extern struct genl_family veil_genl_family;
extern struct netlink_range_validation veil_nl_port_range;

/* An answer to info's sender with room for size bytes of attributes. */
struct sk_buff *veil_nl_new_reply(struct genl_info *info, size_t size,
				  void **header);
/* Sends skb, or frees it if it could not be filled (err). */
int veil_nl_send_reply(struct genl_info *info, struct sk_buff *skb,
		       void *header, int err);

/* netlink_config.c: what requests hold */
extern const struct nla_policy veil_nl_key_request[NETVEIL_A_PEER + 1];
extern const struct nla_policy veil_nl_add_request[NETVEIL_A_PEER + 1];
extern const struct nla_policy veil_nl_change_request[NETVEIL_A_PEER + 1];

/* The public key of a peer that is given by it alone. */
int veil_nl_parse_key(struct genl_info *info, struct nlattr **key);
/* All that is given of a new peer, or of one that changes.  The caller wipes
 * config, the request is wiped here.
 */
int veil_nl_parse_config(struct genl_info *info,
			 struct veil_peer_config *config, struct nlattr **key);
/* Wipe every secret that lies in a request. */
void veil_nl_wipe_secrets(struct genl_info *info);

/* netlink_peer.c */
int veil_nl_peer_get_doit(struct sk_buff *request, struct genl_info *info);
int veil_nl_peer_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int veil_nl_peer_add_doit(struct sk_buff *request, struct genl_info *info);
int veil_nl_peer_set_doit(struct sk_buff *request, struct genl_info *info);
int veil_nl_peer_del_doit(struct sk_buff *request, struct genl_info *info);
int veil_nl_session_reset_doit(struct sk_buff *request,
			       struct genl_info *info);

#endif /* _VEIL_NETLINK_PEER_H */
