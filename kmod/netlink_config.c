// SPDX-License-Identifier: GPL-2.0
/*
 * A peer as a request gives it, into what peer.c takes.  What an attribute can
 * be wrong by itself is refused here, with that attribute.
 */
#include <net/genetlink.h>
#include <net/ipv6.h>

#include "keyring.h"
#include "netlink_peer.h"

/* A peer by name alone, a new one, and what may change in one. */
static const struct nla_policy veil_peer_key_policy[] = {
	[NETVEIL_PEER_A_PUBLIC_KEY] = NLA_POLICY_EXACT_LEN(NETVEIL_KEY_LEN),
};

#define VEIL_PEER_ADD_POLICY						\
	[NETVEIL_PEER_A_PUBLIC_KEY] =					\
		NLA_POLICY_EXACT_LEN(NETVEIL_KEY_LEN),			\
	[NETVEIL_PEER_A_ADDRESS] = NLA_POLICY_RANGE(NLA_BINARY, 4, 16),	\
	[NETVEIL_PEER_A_ENDPOINT] = NLA_POLICY_RANGE(NLA_BINARY, 4, 16), \
	[NETVEIL_PEER_A_ENDPOINT_PORT] =				\
		NLA_POLICY_FULL_RANGE(NLA_U16, &veil_nl_port_range),	\
	[NETVEIL_PEER_A_ROAMING] = NLA_POLICY_MAX(NLA_U8, 1),		\
	[NETVEIL_PEER_A_KEEPALIVE] = { .type = NLA_U16 },		\
	[NETVEIL_PEER_A_PSK] = NLA_POLICY_EXACT_LEN(NETVEIL_KEY_LEN),	\
	[NETVEIL_PEER_A_PSK_NEXT] =					\
		NLA_POLICY_EXACT_LEN(NETVEIL_KEY_LEN),			\
	[NETVEIL_PEER_A_PSK_SERIAL] = { .type = NLA_S32 },		\
	[NETVEIL_PEER_A_PSK_NEXT_SERIAL] = { .type = NLA_S32 },		\
	[NETVEIL_PEER_A_NEXT_KEY] =					\
		NLA_POLICY_EXACT_LEN(NETVEIL_KEY_LEN),			\
	[NETVEIL_PEER_A_POLICY] =					\
		NLA_POLICY_RANGE(NLA_U8, NETVEIL_POLICY_REQUIRE,	\
				 NETVEIL_POLICY_BYPASS),					\
	[NETVEIL_PEER_A_PREFIX] = NLA_POLICY_RANGE(NLA_BINARY, 5, 17)

static const struct nla_policy veil_peer_add_policy[] = {
	VEIL_PEER_ADD_POLICY,
};

const struct nla_policy veil_peer_set_policy[NETVEIL_PEER_A_MAX + 1] = {
	VEIL_PEER_ADD_POLICY,
	[NETVEIL_PEER_A_NO_PSK] = { .type = NLA_FLAG },
	[NETVEIL_PEER_A_NO_PSK_NEXT] = { .type = NLA_FLAG },
	[NETVEIL_PEER_A_NO_NEXT_KEY] = { .type = NLA_FLAG },
	[NETVEIL_PEER_A_NO_PREFIX] = { .type = NLA_FLAG },
};

const struct nla_policy veil_nl_key_request[NETVEIL_A_PEER + 1] = {
	[NETVEIL_A_PEER] = NLA_POLICY_NESTED(veil_peer_key_policy),
};

const struct nla_policy veil_nl_add_request[NETVEIL_A_CONFIRM + 1] = {
	[NETVEIL_A_PEER] = NLA_POLICY_NESTED(veil_peer_add_policy),
	[NETVEIL_A_CONFIRM] =
		NLA_POLICY_FULL_RANGE(NLA_U32, &veil_nl_confirm_range),
};

const struct nla_policy veil_nl_change_request[NETVEIL_A_CONFIRM + 1] = {
	[NETVEIL_A_PEER] = NLA_POLICY_NESTED(veil_peer_set_policy),
	[NETVEIL_A_CONFIRM] =
		NLA_POLICY_FULL_RANGE(NLA_U32, &veil_nl_confirm_range),
};

static void veil_nl_wipe_peer(struct nlattr *nest)
{
	struct nlattr *attr;
	int left;

	nla_for_each_nested(attr, nest, left)
		if (nla_type(attr) == NETVEIL_PEER_A_PSK ||
		    nla_type(attr) == NETVEIL_PEER_A_PSK_NEXT)
			memzero_explicit(nla_data(attr), nla_len(attr));
}

/* Changes of one step have the attributes of a request each. */
static void veil_nl_wipe_attrs(struct nlattr *head, int len)
{
	struct nlattr *attr, *inner;
	int left, inner_left;

	nla_for_each_attr(attr, head, len, left) {
		if (nla_type(attr) == NETVEIL_A_PRIVATE_KEY ||
		    nla_type(attr) == NETVEIL_A_NEXT_PRIVATE_KEY)
			memzero_explicit(nla_data(attr), nla_len(attr));
		if (nla_type(attr) == NETVEIL_A_PEER)
			veil_nl_wipe_peer(attr);
		if (nla_type(attr) != NETVEIL_A_CHANGE)
			continue;
		nla_for_each_nested(inner, attr, inner_left)
			if (nla_type(inner) == NETVEIL_A_PEER)
				veil_nl_wipe_peer(inner);
	}
}

/* Keys that came in lie in the request itself: wipe every copy of them there,
 * also what was given twice.
 */
void veil_nl_wipe_secrets(struct genl_info *info)
{
	veil_nl_wipe_attrs(genlmsg_data(info->genlhdr),
			   genlmsg_len(info->genlhdr));
}

/* The attributes of the request's peer, who must be named. */
static int veil_nl_parse_peer(struct genl_info *info, struct nlattr **tb,
			      const struct nla_policy *policy, int max)
{
	struct nlattr *nest = info->attrs[NETVEIL_A_PEER];
	int err;

	if (GENL_REQ_ATTR_CHECK(info, NETVEIL_A_PEER)) {
		GENL_SET_ERR_MSG(info, "no peer is given");
		return -EINVAL;
	}
	err = nla_parse_nested(tb, max, nest, policy, info->extack);
	if (err)
		return err;
	if (NL_REQ_ATTR_CHECK(info->extack, nest, tb,
			      NETVEIL_PEER_A_PUBLIC_KEY)) {
		GENL_SET_ERR_MSG(info, "the peer's public key is missing");
		return -EINVAL;
	}
	return 0;
}

static int veil_nl_check_ipv4(__be32 addr, const struct nlattr *attr,
			      struct netlink_ext_ack *extack)
{
	if (!ipv4_is_zeronet(addr) && !ipv4_is_loopback(addr) &&
	    !ipv4_is_multicast(addr) && !ipv4_is_lbcast(addr))
		return 0;
	NL_SET_ERR_MSG_ATTR(extack, attr,
			    "not the address of one other host");
	return -EINVAL;
}

static int veil_nl_check_ipv6(const struct in6_addr *addr,
			      const struct nlattr *attr,
			      struct netlink_ext_ack *extack)
{
	int type = ipv6_addr_type(addr);

	if (type & IPV6_ADDR_MAPPED) {
		NL_SET_ERR_MSG_ATTR(extack, attr,
				    "IPv4 addresses are given in 4 bytes");
		return -EINVAL;
	}
	if (!(type & IPV6_ADDR_UNICAST) || type & IPV6_ADDR_LOOPBACK) {
		NL_SET_ERR_MSG_ATTR(extack, attr,
				    "not the address of one other host");
		return -EINVAL;
	}
	if (type & IPV6_ADDR_LINKLOCAL) {
		NL_SET_ERR_MSG_ATTR(extack, attr,
				    "a link-local address means another host on every interface");
		return -EINVAL;
	}
	return 0;
}

static int veil_nl_get_address(struct in6_addr *addr, const struct nlattr *attr,
			       struct netlink_ext_ack *extack)
{
	switch (nla_len(attr)) {
	case sizeof(struct in_addr):
		ipv6_addr_set_v4mapped(nla_get_in_addr(attr), addr);
		return veil_nl_check_ipv4(nla_get_in_addr(attr), attr, extack);
	case sizeof(struct in6_addr):
		*addr = nla_get_in6_addr(attr);
		return veil_nl_check_ipv6(addr, attr, extack);
	}
	NL_SET_ERR_MSG_ATTR(extack, attr, "an address has 4 or 16 bytes");
	return -EINVAL;
}

static int veil_nl_add_address(struct veil_peer_config *config,
			       const struct nlattr *attr,
			       struct netlink_ext_ack *extack)
{
	struct in6_addr *addr = &config->addresses[config->address_count];
	unsigned int i;
	int err;

	if (config->address_count == NETVEIL_ADDRESSES_MAX) {
		NL_SET_ERR_MSG_ATTR(extack, attr,
				    "a peer has at most 64 addresses");
		return -E2BIG;
	}
	err = veil_nl_get_address(addr, attr, extack);
	if (err)
		return err;
	for (i = 0; i < config->address_count; i++) {
		if (!ipv6_addr_equal(addr, &config->addresses[i]))
			continue;
		NL_SET_ERR_MSG_ATTR(extack, attr, "address is given twice");
		return -EINVAL;
	}
	config->address_count++;
	return 0;
}

static int veil_nl_get_addresses(struct veil_peer_config *config,
				 const struct nlattr *nest,
				 struct netlink_ext_ack *extack)
{
	const struct nlattr *attr;
	int left, err;

	nla_for_each_nested(attr, nest, left) {
		if (nla_type(attr) != NETVEIL_PEER_A_ADDRESS)
			continue;
		err = veil_nl_add_address(config, attr, extack);
		if (err)
			return err;
	}
	return 0;
}

int veil_nl_get_prefix(struct veil_prefix *prefix, const struct nlattr *attr,
		       struct netlink_ext_ack *extack)
{
	const u8 *bytes = nla_data(attr);
	unsigned int len = nla_len(attr) - 1, length = bytes[len];
	struct in_addr v4;

	if ((len != sizeof(v4) && len != sizeof(prefix->addr)) ||
	    length > 8 * len) {
		NL_SET_ERR_MSG_ATTR(extack, attr,
				    "a prefix is an address of 4 or 16 bytes and its length in bits");
		return -EINVAL;
	}
	if (len == sizeof(v4)) {
		memcpy(&v4, bytes, sizeof(v4));
		ipv6_addr_set_v4mapped(v4.s_addr, &prefix->addr);
		prefix->length = length + VEIL_PREFIX_BITS - 8 * sizeof(v4);
		return 0;
	}
	memcpy(&prefix->addr, bytes, sizeof(prefix->addr));
	prefix->length = length;
	if (!ipv6_addr_v4mapped(&prefix->addr))
		return 0;
	NL_SET_ERR_MSG_ATTR(extack, attr,
			    "IPv4 prefixes are given in 4 bytes and a length");
	return -EINVAL;
}

static bool veil_nl_prefix_twice(const struct veil_prefix *prefixes,
				 unsigned int count,
				 const struct veil_prefix *prefix)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (!memcmp(&prefixes[i], prefix, sizeof(*prefix)))
			return true;
	return false;
}

int veil_nl_get_prefixes(struct veil_prefix *prefixes, unsigned int *count,
			 unsigned int max, const struct nlattr *attr,
			 struct netlink_ext_ack *extack)
{
	struct veil_prefix *prefix = &prefixes[*count];
	int err;

	if (*count == max) {
		NL_SET_ERR_MSG_ATTR(extack, attr,
				    "too many prefixes: 1024 behind a peer, 256 local ones");
		return -E2BIG;
	}
	err = veil_nl_get_prefix(prefix, attr, extack);
	if (err)
		return err;
	if (veil_nl_prefix_twice(prefixes, *count, prefix)) {
		NL_SET_ERR_MSG_ATTR(extack, attr, "prefix is given twice");
		return -EINVAL;
	}
	(*count)++;
	return 0;
}

/* The last prefix, after the addresses. */
static bool veil_nl_prefix_is_address(const struct veil_peer_config *config)
{
	const struct veil_prefix *prefix =
		&config->prefixes[config->prefix_count - 1];
	unsigned int i;

	for (i = 0; i < config->address_count; i++) {
		if (prefix->length == VEIL_PREFIX_BITS &&
		    ipv6_addr_equal(&prefix->addr, &config->addresses[i]))
			return true;
	}
	return false;
}

static int veil_nl_get_behind(struct veil_peer_config *config,
			      const struct nlattr *nest, struct nlattr **tb,
			      struct netlink_ext_ack *extack)
{
	const struct nlattr *attr;
	int left, err;

	config->no_prefix = nla_get_flag(tb[NETVEIL_PEER_A_NO_PREFIX]);
	if (config->no_prefix && tb[NETVEIL_PEER_A_PREFIX]) {
		NL_SET_ERR_MSG_ATTR(extack, tb[NETVEIL_PEER_A_NO_PREFIX],
				    "prefixes are either given or forgotten, not both");
		return -EINVAL;
	}
	nla_for_each_nested(attr, nest, left) {
		if (nla_type(attr) != NETVEIL_PEER_A_PREFIX)
			continue;
		err = veil_nl_get_prefixes(config->prefixes,
					   &config->prefix_count,
					   NETVEIL_PREFIXES_MAX, attr, extack);
		if (err)
			return err;
		if (veil_nl_prefix_is_address(config)) {
			NL_SET_ERR_MSG_ATTR(extack, attr,
					    "prefix is an address of the peer as well: give it once");
			return -EINVAL;
		}
	}
	return 0;
}

/* The attributes that a key can come by, or be forgotten. */
struct veil_nl_key {
	u8 given;
	u8 serial;		/* 0: it does not come from a keyring */
	u8 forget;
};

static int veil_nl_get_key(const struct veil_nl_key *how, struct nlattr **tb,
			   u8 key[VEIL_KEY_LEN], bool *given, bool *forgotten,
			   struct netlink_ext_ack *extack)
{
	struct nlattr *attr = tb[how->given];
	struct nlattr *serial = how->serial ? tb[how->serial] : NULL;
	int err = 0;

	*forgotten = nla_get_flag(tb[how->forget]);
	*given = attr || serial;
	if (!!attr + !!serial + *forgotten > 1) {
		NL_SET_ERR_MSG_ATTR(extack, tb[how->forget] ?: serial,
				    "a key is either given or forgotten, not both, and in one way");
		return -EINVAL;
	}
	if (serial)
		err = veil_keyring_read(key, nla_get_s32(serial), extack);
	else if (attr)
		memcpy(key, nla_data(attr), VEIL_KEY_LEN);
	if (!err && *given && !memchr_inv(key, 0, VEIL_KEY_LEN)) {
		NL_SET_ERR_MSG_ATTR(extack, attr ?: serial,
				    "a key of zeros is no key");
		err = -EINVAL;
	}
	return err;
}

static int veil_nl_get_keys(struct veil_peer_config *config, struct nlattr **tb,
			    struct netlink_ext_ack *extack)
{
	static const struct veil_nl_key psk = {
		NETVEIL_PEER_A_PSK, NETVEIL_PEER_A_PSK_SERIAL,
		NETVEIL_PEER_A_NO_PSK,
	};
	static const struct veil_nl_key psk_next = {
		NETVEIL_PEER_A_PSK_NEXT, NETVEIL_PEER_A_PSK_NEXT_SERIAL,
		NETVEIL_PEER_A_NO_PSK_NEXT,
	};
	static const struct veil_nl_key next_key = {
		NETVEIL_PEER_A_NEXT_KEY, 0, NETVEIL_PEER_A_NO_NEXT_KEY,
	};
	int err;

	err = veil_nl_get_key(&psk, tb, config->psk, &config->has_psk,
			      &config->no_psk, extack);
	if (!err)
		err = veil_nl_get_key(&psk_next, tb, config->psk_next,
				      &config->has_psk_next,
				      &config->no_psk_next, extack);
	if (!err)
		err = veil_nl_get_key(&next_key, tb, config->next_key,
				      &config->has_next_key,
				      &config->no_next_key, extack);
	return err;
}

static int veil_nl_get_endpoint(struct veil_peer_config *config,
				struct nlattr **tb,
				struct netlink_ext_ack *extack)
{
	struct nlattr *endpoint = tb[NETVEIL_PEER_A_ENDPOINT];
	struct nlattr *port = tb[NETVEIL_PEER_A_ENDPOINT_PORT];

	if (port)
		config->port = nla_get_u16(port);
	if (!endpoint)
		return 0;
	config->has_endpoint = true;
	return veil_nl_get_address(&config->endpoint, endpoint, extack);
}

static void veil_nl_get_roaming(struct veil_peer_config *config,
				struct nlattr **tb)
{
	if (tb[NETVEIL_PEER_A_ROAMING]) {
		config->has_roaming = true;
		config->roaming = nla_get_u8(tb[NETVEIL_PEER_A_ROAMING]);
	}
	if (tb[NETVEIL_PEER_A_KEEPALIVE]) {
		config->has_keepalive = true;
		config->keepalive = nla_get_u16(tb[NETVEIL_PEER_A_KEEPALIVE]);
	}
}

static int veil_nl_get_config(struct veil_peer_config *config,
			      struct genl_info *info, struct nlattr **tb)
{
	int err;

	memcpy(config->public_key, nla_data(tb[NETVEIL_PEER_A_PUBLIC_KEY]),
	       VEIL_KEY_LEN);
	err = veil_nl_get_addresses(config, info->attrs[NETVEIL_A_PEER],
				    info->extack);
	if (!err)
		err = veil_nl_get_behind(config, info->attrs[NETVEIL_A_PEER],
					 tb, info->extack);
	if (err)
		return err;
	err = veil_nl_get_endpoint(config, tb, info->extack);
	if (err)
		return err;
	if (info->attrs[NETVEIL_A_CONFIRM])
		config->confirm = nla_get_u32(info->attrs[NETVEIL_A_CONFIRM]);
	if (tb[NETVEIL_PEER_A_POLICY])
		config->policy = nla_get_u8(tb[NETVEIL_PEER_A_POLICY]);
	veil_nl_get_roaming(config, tb);
	return veil_nl_get_keys(config, tb, info->extack);
}

int veil_nl_parse_key(struct genl_info *info, struct nlattr **key)
{
	struct nlattr *tb[NETVEIL_PEER_A_PUBLIC_KEY + 1];
	int err;

	err = veil_nl_parse_peer(info, tb, veil_peer_key_policy,
				 NETVEIL_PEER_A_PUBLIC_KEY);
	if (!err)
		*key = tb[NETVEIL_PEER_A_PUBLIC_KEY];
	return err;
}

static int veil_nl_parse_new(struct genl_info *info, struct nlattr **tb)
{
	int err = veil_nl_parse_peer(info, tb, veil_peer_add_policy,
				     ARRAY_SIZE(veil_peer_add_policy) - 1);

	if (err)
		return err;
	/* What roams may have prefixes only; peer.c looks at that. */
	if (!tb[NETVEIL_PEER_A_ROAMING] &&
	    NL_REQ_ATTR_CHECK(info->extack, info->attrs[NETVEIL_A_PEER], tb,
			      NETVEIL_PEER_A_ADDRESS)) {
		GENL_SET_ERR_MSG(info, "a peer wants at least one address");
		return -EINVAL;
	}
	return 0;
}

static int veil_nl_parse_change(struct genl_info *info, struct nlattr **tb)
{
	const int size = ARRAY_SIZE(veil_peer_set_policy);
	int type, err = veil_nl_parse_peer(info, tb, veil_peer_set_policy,
					   size - 1);
	bool given = false;

	if (err)
		return err;
	for (type = NETVEIL_PEER_A_PUBLIC_KEY + 1; type < size; type++)
		given |= !!tb[type];
	if (!given) {
		GENL_SET_ERR_MSG(info, "nothing to change");
		return -EINVAL;
	}
	return 0;
}

int veil_nl_parse_config(struct genl_info *info,
			 struct veil_peer_config *config, struct nlattr **key)
{
	struct nlattr *tb[NETVEIL_PEER_A_MAX + 1] = {};
	int err;

	if (info->genlhdr->cmd == NETVEIL_CMD_PEER_ADD)
		err = veil_nl_parse_new(info, tb);
	else
		err = veil_nl_parse_change(info, tb);
	if (!err)
		err = veil_nl_get_config(config, info, tb);
	*key = tb[NETVEIL_PEER_A_PUBLIC_KEY];
	return err;
}
