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
extern struct netlink_range_validation veil_nl_confirm_range;

/* What NETVEIL_CMD_SET takes. */
#define VEIL_NL_SET_POLICY						\
	[NETVEIL_A_PRIVATE_KEY]	= NLA_POLICY_EXACT_LEN(NETVEIL_KEY_LEN), \
	[NETVEIL_A_GENERATE]	= { .type = NLA_FLAG },			\
	[NETVEIL_A_LISTEN_PORT]	=					\
		NLA_POLICY_FULL_RANGE(NLA_U16, &veil_nl_port_range),	\
	[NETVEIL_A_CIPHER]	=					\
		NLA_POLICY_MAX(NLA_U8, NETVEIL_CIPHER_CHACHA20_POLY1305), \
	[NETVEIL_A_NEXT_PRIVATE_KEY] = NLA_POLICY_EXACT_LEN(NETVEIL_KEY_LEN), \
	[NETVEIL_A_GENERATE_NEXT] = { .type = NLA_FLAG },		\
	[NETVEIL_A_NO_NEXT]	= { .type = NLA_FLAG },			\
	[NETVEIL_A_RETIRE]	= { .type = NLA_U32 },			\
	[NETVEIL_A_FORCE]	= { .type = NLA_FLAG },			\
	[NETVEIL_A_PRIVATE_KEY_SERIAL] = { .type = NLA_S32 },		\
	[NETVEIL_A_NEXT_PRIVATE_KEY_SERIAL] = { .type = NLA_S32 },	\
	[NETVEIL_A_LOCAL]	= NLA_POLICY_RANGE(NLA_BINARY, 5, 17),	\
	[NETVEIL_A_NO_LOCAL]	= { .type = NLA_FLAG },			\
	[NETVEIL_A_RX_MARK]	= { .type = NLA_U32 },			\
	[NETVEIL_A_RX_MASK]	= { .type = NLA_U32 }

/* An answer to info's sender with room for size bytes of attributes. */
struct sk_buff *veil_nl_new_reply(struct genl_info *info, size_t size,
				  void **header);
/* Sends skb, or frees it if it could not be filled (err). */
int veil_nl_send_reply(struct genl_info *info, struct sk_buff *skb,
		       void *header, int err);

/* How far a change is carried, once it is read. */
enum veil_nl_stage {
	VEIL_NL_CHECK = 1,
	VEIL_NL_MAKE = 2,
	VEIL_NL_UNDO = 4,
};

/* netlink_config.c: what requests hold */
extern const struct nla_policy veil_nl_key_request[NETVEIL_A_PEER + 1];
extern const struct nla_policy veil_nl_add_request[NETVEIL_A_CONFIRM + 1];
extern const struct nla_policy veil_peer_set_policy[NETVEIL_PEER_A_MAX + 1];
extern const struct nla_policy veil_nl_change_request[NETVEIL_A_CONFIRM + 1];

/* The public key of a peer that is given by it alone. */
int veil_nl_parse_key(struct genl_info *info, struct nlattr **key);
/* All that is given of a new peer, or of one that changes.  The caller wipes
 * config, and the request.
 */
int veil_nl_parse_config(struct genl_info *info,
			 struct veil_peer_config *config, struct nlattr **key);
/* One prefix, and one more of several. */
int veil_nl_get_prefix(struct veil_prefix *prefix, const struct nlattr *attr,
		       struct netlink_ext_ack *extack);
int veil_nl_get_prefixes(struct veil_prefix *prefixes, unsigned int *count,
			 unsigned int max, const struct nlattr *attr,
			 struct netlink_ext_ack *extack);
/* Wipe every secret that lies in a request. */
void veil_nl_wipe_secrets(struct genl_info *info);

/* netlink_policy.c */
extern const struct nla_policy veil_nl_policy_request[NETVEIL_A_CONFIRM + 1];
int veil_nl_policy_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
/* A change of a policy as part of a step.  CHECK of a removal notes that the policy
 * leaves, which UNDO takes back, as it does an addition; keeping is of an addition.
 */
int veil_nl_policy_step(struct veil_net *vn, struct genl_info *info,
			unsigned int stages);
void veil_nl_policy_keep(struct veil_net *vn, struct genl_info *info);
/* Whether there is the policy that a change names, and of this kind. */
bool veil_nl_policy_is(struct veil_net *vn, struct genl_info *info, u8 kind);
int veil_nl_policy_change_doit(struct sk_buff *request, struct genl_info *info);
int veil_nl_confirm_doit(struct sk_buff *request, struct genl_info *info);

/* netlink_set.c: what a request sets of the namespace itself.  vn->lock written;
 * see there what an error has changed.
 */
int veil_nl_check_set(struct genl_info *info);
/* The local networks that a step with this request will remove are marked so, until
 * it has, or veil_network_stay_locals().
 */
int veil_nl_leave_locals(struct veil_net *vn, struct genl_info *info);
/* What SET sets; veil_network_put_locals() is left to do, unless it fails. */
int veil_nl_set(struct veil_net *vn, struct genl_info *info);

/* netlink_apply.c */
extern const struct nla_policy veil_nl_apply_request[NETVEIL_A_MAX + 1];
int veil_nl_apply_doit(struct sk_buff *request, struct genl_info *info);

/* netlink_peer.c */
/* Read what is given of a new or a known peer, check it, make it so.  An added
 * peer is for the caller to keep or to forget.  vn->lock written.
 */
int veil_nl_change_peer(struct veil_net *vn, struct genl_info *info,
			struct veil_peer **peer, unsigned int stages);
/* A PEER_SET, checked, that is part of a step, and what it takes; the caller puts the
 * change into its place or frees it, and wipes this.  No addresses and prefixes are set
 * in a step: config ends before them, or thousands would take 32 KiB each.
 */
struct veil_nl_set {
	struct veil_peer_change change;
	struct veil_peer_config config;
};

int veil_nl_make_set(struct genl_info *info, struct veil_peer *peer,
		     struct veil_nl_set **set);
/* The peer that a request names. */
int veil_nl_name_peer(struct veil_net *vn, struct genl_info *info,
		      struct veil_peer **peer);
int veil_nl_put_address(struct sk_buff *skb, int type,
			const struct in6_addr *addr);
int veil_nl_put_prefix(struct sk_buff *skb, int type,
		       const struct veil_prefix *prefix);
int veil_nl_peer_get_doit(struct sk_buff *request, struct genl_info *info);
int veil_nl_peer_get_start(struct netlink_callback *cb);
int veil_nl_peer_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int veil_nl_peer_add_doit(struct sk_buff *request, struct genl_info *info);
int veil_nl_peer_set_doit(struct sk_buff *request, struct genl_info *info);
int veil_nl_peer_del_doit(struct sk_buff *request, struct genl_info *info);
int veil_nl_session_reset_doit(struct sk_buff *request,
			       struct genl_info *info);

#endif /* _VEIL_NETLINK_PEER_H */
