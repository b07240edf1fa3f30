// SPDX-License-Identifier: GPL-2.0
/*
 * The operations on peers: get and dump, add, set and remove.
 */
#include <net/addrconf.h>
#include <net/genetlink.h>
#include <net/ipv6.h>
#include <net/route.h>

#include "flows.h"
#include "netlink_peer.h"
#include "network.h"
#include "peer_address.h"
#include "peer_key.h"
#include "session.h"
#include "roam.h"
#include "trial.h"
#include "weaken.h"

/* Answers */

int veil_nl_put_address(struct sk_buff *skb, int type,
			const struct in6_addr *addr)
{
	if (ipv6_addr_v4mapped(addr))
		return nla_put_in_addr(skb, type, addr->s6_addr32[3]);
	return nla_put_in6_addr(skb, type, addr);
}

int veil_nl_put_prefix(struct sk_buff *skb, int type,
		       const struct veil_prefix *prefix)
{
	u8 bytes[sizeof(struct in6_addr) + 1];
	unsigned int len = sizeof(struct in6_addr), skip = 0;

	if (ipv6_addr_v4mapped(&prefix->addr))
		skip = len - sizeof(struct in_addr);
	len -= skip;
	memcpy(bytes, &prefix->addr.s6_addr[skip], len);
	bytes[len] = prefix->length - 8 * skip;
	return nla_put(skb, type, len + 1, bytes);
}

/* Of any peer: what a dump's messages have to have room for. */
#define VEIL_PREFIX_SIZE	nla_total_size(sizeof(struct in6_addr) + 1)

static size_t veil_nl_peer_size(unsigned int prefixes)
{
	return nla_total_size(0) + prefixes * VEIL_PREFIX_SIZE +
	       nla_total_size(NETVEIL_KEY_LEN) +
	       /* Addresses, and the endpoint that is one of them. */
	       (NETVEIL_ADDRESSES_MAX + 1) *
	       nla_total_size(sizeof(struct in6_addr)) +
	       nla_total_size(sizeof(u16)) +		/* endpoint port */
	       nla_total_size(NETVEIL_KEY_LEN) +	/* next key */
	       4 * nla_total_size(0) +			/* psks, on next, confirmed */
	       4 * nla_total_size(sizeof(u8)) +		/* state, cipher, policy, roaming */
	       nla_total_size(sizeof(u16)) +		/* keepalive */
	       2 * nla_total_size_64bit(sizeof(u64)) +	/* handshake, age */
	       8 * nla_total_size_64bit(sizeof(u64)) +	/* counters */
	       2 * nla_total_size(sizeof(u32));		/* queued, mtu */
}

static int veil_nl_put_u64(struct sk_buff *skb, int type, u64 value)
{
	return nla_put_u64_64bit(skb, type, value, NETVEIL_PEER_A_PAD);
}

static int veil_nl_put_endpoint(struct sk_buff *skb, struct veil_peer *peer)
{
	struct in6_addr endpoint;
	u16 port;

	if (veil_roam_endpoint(peer, &endpoint, &port))
		return 0;
	if (veil_nl_put_address(skb, NETVEIL_PEER_A_ENDPOINT, &endpoint) ||
	    nla_put_u16(skb, NETVEIL_PEER_A_ENDPOINT_PORT, port))
		return -EMSGSIZE;
	return 0;
}

static int veil_nl_put_peer_keys(struct sk_buff *skb,
				 const struct veil_peer *peer)
{
	if (peer->next_key &&
	    nla_put(skb, NETVEIL_PEER_A_NEXT_KEY, NETVEIL_KEY_LEN,
		    peer->next_key->public))
		return -EMSGSIZE;
	if (peer->psk && nla_put_flag(skb, NETVEIL_PEER_A_HAS_PSK))
		return -EMSGSIZE;
	if (peer->psk_next && nla_put_flag(skb, NETVEIL_PEER_A_HAS_PSK_NEXT))
		return -EMSGSIZE;
	if (veil_peer_on_next(peer) &&
	    nla_put_flag(skb, NETVEIL_PEER_A_ON_NEXT))
		return -EMSGSIZE;
	return 0;
}

static int veil_nl_put_peer_config(struct sk_buff *skb, struct veil_peer *peer)
{
	const struct veil_address *address;

	if (nla_put(skb, NETVEIL_PEER_A_PUBLIC_KEY, NETVEIL_KEY_LEN,
		    peer->public_key))
		return -EMSGSIZE;
	list_for_each_entry(address, &peer->addresses, list)
		if (veil_nl_put_address(skb, NETVEIL_PEER_A_ADDRESS,
					&address->node.prefix.addr))
			return -EMSGSIZE;
	list_for_each_entry(address, &peer->prefixes, list)
		if (veil_nl_put_prefix(skb, NETVEIL_PEER_A_PREFIX,
				       &address->node.prefix))
			return -EMSGSIZE;
	if (veil_nl_put_endpoint(skb, peer) ||
	    nla_put_u8(skb, NETVEIL_PEER_A_ROAMING, peer->roaming) ||
	    nla_put_u16(skb, NETVEIL_PEER_A_KEEPALIVE, peer->keepalive))
		return -EMSGSIZE;
	if (nla_put_u8(skb, NETVEIL_PEER_A_POLICY, peer->policy))
		return -EMSGSIZE;
	if (READ_ONCE(peer->confirmed) &&
	    nla_put_flag(skb, NETVEIL_PEER_A_CONFIRMED))
		return -EMSGSIZE;
	return veil_nl_put_peer_keys(skb, peer);
}

static int veil_nl_put_session(struct sk_buff *skb,
			       const struct veil_peer_status *status)
{
	if (nla_put_u8(skb, NETVEIL_PEER_A_STATE, status->state))
		return -EMSGSIZE;
	if (status->last_handshake &&
	    veil_nl_put_u64(skb, NETVEIL_PEER_A_LAST_HANDSHAKE,
			    status->last_handshake))
		return -EMSGSIZE;
	if (status->state != NETVEIL_STATE_UP)
		return 0;
	if (veil_nl_put_u64(skb, NETVEIL_PEER_A_SESSION_AGE,
			    status->session_age_ms) ||
	    nla_put_u8(skb, NETVEIL_PEER_A_CIPHER, status->cipher))
		return -EMSGSIZE;
	return 0;
}

static int veil_nl_put_peer_clear(struct sk_buff *skb,
				  const struct veil_clear *clear)
{
	if (veil_nl_put_u64(skb, NETVEIL_PEER_A_CLEAR_RX_PACKETS,
			    atomic64_read(&clear->rx)) ||
	    veil_nl_put_u64(skb, NETVEIL_PEER_A_CLEAR_TX_PACKETS,
			    atomic64_read(&clear->tx)))
		return -EMSGSIZE;
	if (!READ_ONCE(clear->last))
		return 0;
	return veil_nl_put_u64(skb, NETVEIL_PEER_A_CLEAR_LAST,
			       READ_ONCE(clear->last));
}

static int veil_nl_put_peer_status(struct sk_buff *skb,
				   const struct veil_peer_status *status)
{
	if (veil_nl_put_u64(skb, NETVEIL_PEER_A_RX_BYTES, status->rx_bytes) ||
	    veil_nl_put_u64(skb, NETVEIL_PEER_A_TX_BYTES, status->tx_bytes) ||
	    veil_nl_put_u64(skb, NETVEIL_PEER_A_RX_PACKETS,
			    status->rx_packets) ||
	    veil_nl_put_u64(skb, NETVEIL_PEER_A_TX_PACKETS,
			    status->tx_packets) ||
	    veil_nl_put_u64(skb, NETVEIL_PEER_A_DROPS, status->drops) ||
	    nla_put_u32(skb, NETVEIL_PEER_A_QUEUED, status->queued) ||
	    nla_put_u32(skb, NETVEIL_PEER_A_MTU, status->mtu))
		return -EMSGSIZE;
	return veil_nl_put_session(skb, status);
}

static int veil_nl_put_peer(struct sk_buff *skb, struct veil_peer *peer)
{
	struct nlattr *nest = nla_nest_start(skb, NETVEIL_A_PEER);
	struct veil_peer_status status = {};

	if (!nest)
		return -EMSGSIZE;
	veil_peer_status(peer, &status);
	if (veil_nl_put_peer_config(skb, peer) ||
	    veil_nl_put_peer_clear(skb, &peer->clear) ||
	    veil_nl_put_peer_status(skb, &status))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static struct veil_peer *veil_nl_find_peer(struct veil_net *vn,
					   const struct nlattr *key,
					   struct netlink_ext_ack *extack)
{
	struct veil_peer *peer = veil_peer_find(vn, nla_data(key));

	if (!peer)
		NL_SET_ERR_MSG_ATTR(extack, key,
				    "no such peer: veil peer show lists those there are");
	return peer;
}

int veil_nl_peer_get_doit(struct sk_buff *request, struct genl_info *info)
{
	struct veil_net *vn = veil_net(genl_info_net(info));
	struct veil_peer *peer;
	struct sk_buff *skb;
	struct nlattr *key;
	void *header;
	int err;

	err = veil_nl_parse_key(info, &key);
	if (err)
		return err;
	down_read(&vn->lock);
	peer = veil_nl_find_peer(vn, key, info->extack);
	if (!peer) {
		up_read(&vn->lock);
		return -ENOENT;
	}
	skb = veil_nl_new_reply(info, veil_nl_peer_size(peer->prefix_count),
				&header);
	err = skb ? veil_nl_put_peer(skb, peer) : -ENOMEM;
	up_read(&vn->lock);
	return skb ? veil_nl_send_reply(info, skb, header, err) : err;
}

/* Room for the peer with the most prefixes. */
int veil_nl_peer_get_start(struct netlink_callback *cb)
{
	struct veil_net *vn = veil_net(sock_net(cb->skb->sk));
	unsigned int most = 0;
	struct veil_peer *peer;

	down_read(&vn->lock);
	list_for_each_entry(peer, &vn->peers, list)
		most = max(most, peer->prefix_count);
	up_read(&vn->lock);
	cb->min_dump_alloc = NLMSG_ALIGN(NLMSG_HDRLEN + GENL_HDRLEN +
					 veil_nl_peer_size(most));
	return 0;
}

/* One message; leaves skb as it was if it does not fit. */
static int veil_nl_dump_peer(struct sk_buff *skb, struct netlink_callback *cb,
			     struct veil_peer *peer)
{
	void *header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				   cb->nlh->nlmsg_seq, &veil_genl_family,
				   NLM_F_MULTI, NETVEIL_CMD_PEER_GET);

	if (!header)
		return -EMSGSIZE;
	genl_dump_check_consistent(cb, header);
	if (veil_nl_put_peer(skb, peer)) {
		genlmsg_cancel(skb, header);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, header);
	return 0;
}

/* The cursor is the number of peers already told.  When peers come or go
 * meanwhile the generation differs, the messages say so (NLM_F_DUMP_INTR) and
 * the asker begins again: no reference outlives a call.
 */
int veil_nl_peer_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct veil_net *vn = veil_net(sock_net(skb->sk));
	unsigned long told = cb->args[0], place = 0;
	struct veil_peer *peer;
	int err = 0;

	down_read(&vn->lock);
	cb->seq = vn->generation;
	list_for_each_entry(peer, &vn->peers, list) {
		if (place++ < told)
			continue;
		err = veil_nl_dump_peer(skb, cb, peer);
		if (err)
			break;
		cb->args[0]++;
	}
	up_read(&vn->lock);
	/* Not even one fits: no progress would ever be made. */
	return err && !skb->len ? err : skb->len;
}

/* Changes to peers */

static bool veil_nl_is_local(struct net *net, const struct in6_addr *addr)
{
	if (ipv6_addr_v4mapped(addr))
		return inet_addr_type(net, addr->s6_addr32[3]) == RTN_LOCAL;
	/* With ipv6.disable=1 there is no table of addresses at all. */
	return ipv6_mod_enabled() && ipv6_chk_addr(net, addr, NULL, 0);
}

/* Whether another peer has addr; or any peer, this one as well, as a network of one
 * address behind it.
 */
static bool veil_nl_is_anothers(struct veil_net *vn, const struct in6_addr *addr,
				const u8 public_key[VEIL_KEY_LEN])
{
	const struct veil_prefix prefix = {
		.addr = *addr,
		.length = VEIL_PREFIX_BITS,
	};
	const struct veil_prefix_node *node;
	const struct veil_address *owned;
	bool anothers = false;

	rcu_read_lock();
	node = veil_prefix_find(&vn->addresses, &prefix);
	if (node) {
		owned = container_of(node, struct veil_address, node);
		anothers = !owned->peer->leaving &&
			   (owned->behind ||
			    memcmp(owned->peer->public_key, public_key,
				   VEIL_KEY_LEN));
	}
	rcu_read_unlock();
	return anothers;
}

/* Addresses that cannot be this peer's: refused here, since the attribute tells
 * the user which of them it is.
 */
static int veil_nl_check_owners(struct veil_net *vn, const struct nlattr *nest,
				const struct veil_peer_config *config,
				struct netlink_ext_ack *extack)
{
	const struct in6_addr *addr = config->addresses;
	const struct nlattr *attr;
	int left;

	nla_for_each_nested(attr, nest, left) {
		if (nla_type(attr) != NETVEIL_PEER_A_ADDRESS)
			continue;
		if (veil_nl_is_anothers(vn, addr, config->public_key)) {
			NL_SET_ERR_MSG_ATTR(extack, attr,
					    "address belongs to another peer, or is a prefix behind this one: veil peer show tells whose");
			return -EADDRINUSE;
		}
		if (veil_nl_is_local(vn->net, addr)) {
			NL_SET_ERR_MSG_ATTR(extack, attr,
					    "address is this host's own");
			return -EINVAL;
		}
		addr++;
	}
	return 0;
}

static int veil_nl_check_prefixes(struct veil_net *vn, const struct nlattr *nest,
				  const struct veil_peer_config *config,
				  struct netlink_ext_ack *extack)
{
	const struct veil_prefix *prefix = config->prefixes;
	const struct nlattr *attr;
	int left, err;

	nla_for_each_nested(attr, nest, left) {
		if (nla_type(attr) != NETVEIL_PEER_A_PREFIX)
			continue;
		err = veil_network_check(vn, config->public_key, prefix++,
					 extack);
		if (err) {
			NL_SET_BAD_ATTR(extack, attr);
			return err;
		}
	}
	return 0;
}

static int veil_nl_check_change(struct veil_net *vn, struct genl_info *info,
				const struct veil_peer_config *config,
				struct veil_peer *peer)
{
	int err = veil_nl_check_owners(vn, info->attrs[NETVEIL_A_PEER], config,
				       info->extack);

	if (!err)
		err = veil_nl_check_prefixes(vn, info->attrs[NETVEIL_A_PEER],
					     config, info->extack);
	if (err)
		return err;
	return peer ? veil_peer_check_set(peer, config, info->extack) :
		      veil_peer_check_add(vn, config, info->extack);
}

static int veil_nl_make_change(struct veil_net *vn, struct genl_info *info,
			       const struct veil_peer_config *config,
			       struct veil_peer **peer)
{
	struct veil_trial trial;
	struct veil_peer *made;
	int err = 0;

	veil_trial_note_peer(vn, &trial, config->public_key);
	if (*peer) {
		err = veil_peer_set(*peer, config);
	} else {
		made = veil_peer_add(vn, config, info->extack);
		if (IS_ERR(made))
			return PTR_ERR(made);
		*peer = made;
	}
	if (!err && config->confirm)
		veil_trial_begin(vn, &trial, config->confirm);
	return err;
}

int veil_nl_make_set(struct genl_info *info, struct veil_peer *peer,
		     struct veil_nl_set **set)
{
	const size_t kept = offsetof(struct veil_peer_config, addresses);
	struct veil_peer_config *config;
	struct nlattr *key;
	int err = -ENOMEM;

	config = kzalloc(sizeof(*config), GFP_KERNEL);
	*set = kmalloc(offsetof(struct veil_nl_set, config) + kept,
		       GFP_KERNEL_ACCOUNT);
	if (config && *set)
		err = veil_nl_parse_config(info, config, &key);
	if (!err) {
		veil_peer_know_psk(peer, config);
		err = veil_peer_make(peer, config, &(*set)->change);
	}
	if (!err) {
		memcpy(&(*set)->config, config, kept);
	} else {
		kfree(*set);
		*set = NULL;
	}
	kfree_sensitive(config);
	return err;
}

int veil_nl_change_peer(struct veil_net *vn, struct genl_info *info,
			struct veil_peer **peer, unsigned int stages)
{
	struct veil_peer_config *config = kzalloc(sizeof(*config), GFP_KERNEL);
	struct nlattr *key = NULL;
	struct veil_peer *known;
	int err = -ENOMEM;

	if (config)
		err = veil_nl_parse_config(info, config, &key);
	if (!err && info->genlhdr->cmd == NETVEIL_CMD_PEER_SET) {
		*peer = veil_nl_find_peer(vn, key, info->extack);
		err = *peer ? 0 : -ENOENT;
		/* It may have been named by its next key. */
		if (!err)
			memcpy(config->public_key, (*peer)->public_key,
			       VEIL_KEY_LEN);
	}
	/* Also of one that comes in the place of the same, in a step. */
	known = err ? NULL : veil_peer_find(vn, config->public_key);
	if (known)
		veil_peer_know_psk(known, config);
	if (!err && stages & VEIL_NL_CHECK)
		err = veil_nl_check_change(vn, info, config, *peer);
	if (!err && stages & VEIL_NL_MAKE)
		err = veil_nl_make_change(vn, info, config, peer);
	/* Whatever has no attribute of its own to blame is the peer's. */
	if (err && key && info->extack && !info->extack->bad_attr)
		NL_SET_BAD_ATTR(info->extack, key);
	kfree_sensitive(config);
	return err;
}

int veil_nl_name_peer(struct veil_net *vn, struct genl_info *info,
		      struct veil_peer **peer)
{
	struct nlattr *key;
	int err = veil_nl_parse_key(info, &key);

	if (err)
		return err;
	*peer = veil_nl_find_peer(vn, key, info->extack);
	return *peer ? 0 : -ENOENT;
}

static int veil_nl_change_one(struct genl_info *info)
{
	bool add = info->genlhdr->cmd == NETVEIL_CMD_PEER_ADD;
	struct veil_net *vn = veil_net(genl_info_net(info));
	struct veil_peer *peer = NULL;
	int err;

	down_write(&vn->lock);
	veil_weaken_begin(vn, add ? "peer-added" : "peer-changed");
	err = veil_nl_change_peer(vn, info, &peer,
				  VEIL_NL_CHECK | VEIL_NL_MAKE);
	if (!err && add)
		veil_peer_keep(peer);
	veil_weaken_end(vn);
	up_write(&vn->lock);
	if (!err)
		veil_flows_end(vn);
	veil_nl_wipe_secrets(info);
	return err;
}

int veil_nl_peer_add_doit(struct sk_buff *request, struct genl_info *info)
{
	return veil_nl_change_one(info);
}

int veil_nl_peer_set_doit(struct sk_buff *request, struct genl_info *info)
{
	return veil_nl_change_one(info);
}

int veil_nl_peer_del_doit(struct sk_buff *request, struct genl_info *info)
{
	struct veil_net *vn = veil_net(genl_info_net(info));
	struct veil_peer *peer;
	int err;

	down_write(&vn->lock);
	err = veil_nl_name_peer(vn, info, &peer);
	if (!err && veil_trial_refuses(vn, info->extack))
		err = -EBUSY;
	if (!err)
		veil_peer_remove(peer);
	up_write(&vn->lock);
	if (err)
		return err;
	/* A shorter prefix may protect what the peer's own policy did not. */
	veil_flows_end(vn);
	veil_sessions_wiped(vn->net);
	return 0;
}

int veil_nl_session_reset_doit(struct sk_buff *request, struct genl_info *info)
{
	struct veil_net *vn = veil_net(genl_info_net(info));
	struct veil_peer *peer, *only = NULL;
	struct nlattr *key = NULL;
	int err = 0;

	if (info->attrs[NETVEIL_A_PEER])
		err = veil_nl_parse_key(info, &key);
	if (err)
		return err;
	down_write(&vn->lock);
	if (key)
		only = veil_nl_find_peer(vn, key, info->extack);
	list_for_each_entry(peer, &vn->peers, list)
		if (!key || peer == only)
			veil_peer_reset(peer);
	up_write(&vn->lock);
	if (key && !only)
		return -ENOENT;
	veil_sessions_wiped(vn->net);
	return 0;
}
