// SPDX-License-Identifier: GPL-2.0
/*
 * What SET changes of a namespace's own state: identities, port, local networks,
 * cipher, mark.  Checked and done with vn->lock held by the caller.
 */
#include <net/genetlink.h>

#include "keyring.h"
#include "netlink_peer.h"
#include "network.h"
#include "rotate.h"
#include "socket.h"

static int veil_nl_check_mark(struct genl_info *info)
{
	struct nlattr *mark = info->attrs[NETVEIL_A_RX_MARK];
	struct nlattr *mask = info->attrs[NETVEIL_A_RX_MASK];

	if (!mark && !mask)
		return 0;
	if (!mark || !mask) {
		GENL_SET_ERR_MSG(info,
				 "a mark for opened packets has a value and a mask");
		return -EINVAL;
	}
	if (nla_get_u32(mark) & ~nla_get_u32(mask)) {
		NL_SET_ERR_MSG_ATTR(info->extack, mark,
				    "the mark has bits that are not in its mask");
		return -EINVAL;
	}
	if (nla_get_u32(mask) && !nla_get_u32(mark)) {
		NL_SET_ERR_MSG_ATTR(info->extack, mark,
				    "a mark of 0 says nothing: all other packets have it too");
		return -EINVAL;
	}
	return 0;
}

/* How many of these are given. */
static unsigned int veil_nl_count(struct genl_info *info, const u8 *types,
				  unsigned int count)
{
	unsigned int given = 0;

	while (count--)
		given += info->attrs[types[count]] != NULL;
	return given;
}

/* attr: what it came by. */
static int veil_nl_check_private(struct genl_info *info,
				 const struct nlattr *attr,
				 const u8 private[VEIL_KEY_LEN])
{
	if (memchr_inv(private, 0, VEIL_KEY_LEN))
		return 0;
	NL_SET_ERR_MSG_ATTR(info->extack, attr,
			    "a private key of zeros protects nothing");
	return -EINVAL;
}

int veil_nl_check_set(struct genl_info *info)
{
	static const u8 current_key[] = {
		NETVEIL_A_PRIVATE_KEY, NETVEIL_A_PRIVATE_KEY_SERIAL,
		NETVEIL_A_GENERATE,
	};
	static const u8 next_key[] = {
		NETVEIL_A_NEXT_PRIVATE_KEY,
		NETVEIL_A_NEXT_PRIVATE_KEY_SERIAL,
		NETVEIL_A_GENERATE_NEXT, NETVEIL_A_NO_NEXT, NETVEIL_A_RETIRE,
	};
	static const u8 rest[] = {
		NETVEIL_A_LISTEN_PORT, NETVEIL_A_CIPHER, NETVEIL_A_LOCAL,
		NETVEIL_A_NO_LOCAL, NETVEIL_A_RX_MARK, NETVEIL_A_RX_MASK,
	};
	unsigned int keys, nexts;

	keys = veil_nl_count(info, current_key, ARRAY_SIZE(current_key));
	nexts = veil_nl_count(info, next_key, ARRAY_SIZE(next_key));
	if (!keys && !nexts && !veil_nl_count(info, rest, ARRAY_SIZE(rest))) {
		GENL_SET_ERR_MSG(info, "nothing to set");
		return -EINVAL;
	}
	if (keys > 1) {
		NL_SET_ERR_MSG_ATTR(info->extack,
				    info->attrs[NETVEIL_A_GENERATE] ?:
				    info->attrs[NETVEIL_A_PRIVATE_KEY],
				    "a private key is either given or made, not both");
		return -EINVAL;
	}
	if (nexts > 1 || (keys && info->attrs[NETVEIL_A_RETIRE])) {
		GENL_SET_ERR_MSG(info,
				 "the next key is either given, made, forgotten or put in the place of the current one");
		return -EINVAL;
	}
	return veil_nl_check_mark(info);
}

/* The attributes that an identity can come by, and the one that did. */
struct veil_nl_identity {
	u8 given;
	u8 serial;
	u8 made;
	u8 origin;		/* NETVEIL_KEY_NONE: by none of them */
	struct veil_identity identity;
};

/* other: what it must differ from. */
static int veil_nl_get_identity(struct veil_net *vn, struct genl_info *info,
				struct veil_nl_identity *new,
				const struct veil_identity *other)
{
	struct nlattr *given = info->attrs[new->given];
	struct nlattr *serial = info->attrs[new->serial];
	u8 private[VEIL_KEY_LEN];
	int err = 0;

	new->origin = given ? NETVEIL_KEY_USER :
		      serial ? NETVEIL_KEY_KEYRING :
		      info->attrs[new->made] ? NETVEIL_KEY_KERNEL :
		      NETVEIL_KEY_NONE;
	if (new->origin == NETVEIL_KEY_NONE)
		return 0;
	if (given)
		memcpy(private, nla_data(given), VEIL_KEY_LEN);
	else if (serial)
		err = veil_keyring_read(private, nla_get_s32(serial),
					info->extack);
	if (!err && (given || serial))
		err = veil_nl_check_private(info, given ?: serial, private);
	if (!err)
		err = veil_rotate_make(vn, given || serial ? private : NULL,
				       other, &new->identity, info->extack);
	memzero_explicit(private, sizeof(private));
	return err;
}

/* What the request calls our next identity is the only one by now: so it is when a
 * file is loaded again that was written before, and the other one is not to come back.
 */
static bool veil_nl_has_changed(const struct veil_net *vn,
				const struct veil_nl_identity *new,
				const struct veil_nl_identity *next)
{
	return new->origin != NETVEIL_KEY_NONE &&
	       new->origin != NETVEIL_KEY_KERNEL &&
	       next->origin != NETVEIL_KEY_NONE &&
	       vn->next_origin == NETVEIL_KEY_NONE &&
	       veil_rotate_is_own(vn, next->identity.public);
}

/* Both identities of the request, which must differ from each other, or from the one
 * that stays.
 */
static int veil_nl_get_identities(struct veil_net *vn, struct genl_info *info,
				  struct veil_nl_identity *new,
				  struct veil_nl_identity *next)
{
	bool next_stays = !info->attrs[next->given] &&
			  !info->attrs[next->serial] &&
			  !info->attrs[next->made] &&
			  !info->attrs[NETVEIL_A_NO_NEXT];
	int err;

	err = veil_nl_get_identity(vn, info, new,
				   next_stays ? &vn->next_identity : NULL);
	if (!err)
		err = veil_nl_get_identity(vn, info, next,
					   new->origin == NETVEIL_KEY_NONE ?
					   &vn->identity : &new->identity);
	if (!err && veil_nl_has_changed(vn, new, next)) {
		new->origin = NETVEIL_KEY_NONE;
		next->origin = NETVEIL_KEY_NONE;
	}
	return err;
}

static int veil_nl_check_next(struct veil_net *vn, struct genl_info *info,
			      const struct veil_nl_identity *new,
			      const struct veil_nl_identity *next)
{
	struct nlattr *retire = info->attrs[NETVEIL_A_RETIRE];
	bool force = info->attrs[NETVEIL_A_FORCE];
	bool drops = info->attrs[NETVEIL_A_NO_NEXT] ||
		     next->origin != NETVEIL_KEY_NONE;

	if (retire)
		return veil_rotate_may_retire(vn, nla_get_u32(retire), force,
					      info->extack);
	if (!drops || veil_rotate_is_next(vn, new->identity.public) ||
	    veil_rotate_is_next(vn, next->identity.public))
		return 0;
	return veil_rotate_may_drop_next(vn, force, info->extack);
}

static void veil_nl_set_identities(struct veil_net *vn, struct genl_info *info,
				   const struct veil_nl_identity *new,
				   const struct veil_nl_identity *next)
{
	struct nlattr *retire = info->attrs[NETVEIL_A_RETIRE];

	if (info->attrs[NETVEIL_A_NO_NEXT])
		veil_rotate_drop_next(vn);
	if (retire)
		veil_rotate_retire(vn, nla_get_u32(retire));
	if (new->origin != NETVEIL_KEY_NONE)
		veil_rotate_set(vn, &new->identity, new->origin);
	if (next->origin != NETVEIL_KEY_NONE)
		veil_rotate_set_next(vn, &next->identity, next->origin);
}

/* The request's local prefixes; check: whether they can be set now. */
static int veil_nl_get_locals(struct veil_net *vn, struct genl_info *info,
			      struct veil_prefix *prefixes, unsigned int *count,
			      bool check)
{
	const struct nlattr *attr;
	int left, err;

	if (info->attrs[NETVEIL_A_NO_LOCAL] && info->attrs[NETVEIL_A_LOCAL]) {
		NL_SET_ERR_MSG_ATTR(info->extack,
				    info->attrs[NETVEIL_A_NO_LOCAL],
				    "local prefixes are either given or forgotten, not both");
		return -EINVAL;
	}
	nla_for_each_attr(attr, genlmsg_data(info->genlhdr),
			  genlmsg_len(info->genlhdr), left) {
		if (nla_type(attr) != NETVEIL_A_LOCAL)
			continue;
		err = veil_nl_get_prefixes(prefixes, count, NETVEIL_LOCALS_MAX,
					   attr, info->extack);
		if (!err && check)
			err = veil_network_check_local(vn,
						       &prefixes[*count - 1],
						       info->extack);
		if (err) {
			NL_SET_BAD_ATTR(info->extack, attr);
			return err;
		}
	}
	return 0;
}

/* *prefixes: what the caller frees; NULL if the request says nothing of them. */
static int veil_nl_read_locals(struct veil_net *vn, struct genl_info *info,
			       struct veil_prefix **prefixes,
			       unsigned int *count, bool check)
{
	if (!info->attrs[NETVEIL_A_LOCAL] && !info->attrs[NETVEIL_A_NO_LOCAL])
		return 0;
	*prefixes = kcalloc(NETVEIL_LOCALS_MAX, sizeof(**prefixes), GFP_KERNEL);
	if (!*prefixes)
		return -ENOMEM;
	return veil_nl_get_locals(vn, info, *prefixes, count, check);
}

int veil_nl_leave_locals(struct veil_net *vn, struct genl_info *info)
{
	struct veil_prefix *locals = NULL;
	unsigned int count = 0;
	int err;

	err = veil_nl_read_locals(vn, info, &locals, &count, false);
	if (!err && locals)
		veil_network_leave_locals(vn, locals, count);
	kfree(locals);
	return err;
}

static void veil_nl_set_mark(struct veil_net *vn, struct genl_info *info)
{
	if (!info->attrs[NETVEIL_A_RX_MASK])
		return;
	WRITE_ONCE(vn->rx_mark, nla_get_u32(info->attrs[NETVEIL_A_RX_MARK]));
	WRITE_ONCE(vn->rx_mask, nla_get_u32(info->attrs[NETVEIL_A_RX_MASK]));
}

/* The two that take what may not be there: a port's sockets, and memory for local
 * networks.
 */
static int veil_nl_set_scarce(struct veil_net *vn, struct genl_info *info,
			      const struct veil_prefix *locals,
			      unsigned int local_count)
{
	struct nlattr *attr = info->attrs[NETVEIL_A_LISTEN_PORT];
	u16 port = attr ? nla_get_u16(attr) : vn->port;
	struct socket *sock[2] = {};
	int err;

	err = veil_net_open_port(vn, port, sock, info->extack);
	if (!err && locals)
		err = veil_network_make_locals(vn, locals, local_count);
	if (err)
		veil_socket_release(sock);
	else
		veil_net_set_port(vn, port, sock);
	return err;
}

/* What can be refused goes before what cannot: an error changes nothing. */
int veil_nl_set(struct veil_net *vn, struct genl_info *info)
{
	struct nlattr *cipher = info->attrs[NETVEIL_A_CIPHER];
	struct veil_nl_identity new = {
		.given = NETVEIL_A_PRIVATE_KEY,
		.serial = NETVEIL_A_PRIVATE_KEY_SERIAL,
		.made = NETVEIL_A_GENERATE,
	};
	struct veil_nl_identity next = {
		.given = NETVEIL_A_NEXT_PRIVATE_KEY,
		.serial = NETVEIL_A_NEXT_PRIVATE_KEY_SERIAL,
		.made = NETVEIL_A_GENERATE_NEXT,
	};
	struct veil_prefix *locals = NULL;
	unsigned int local_count = 0;
	int err;

	err = veil_nl_get_identities(vn, info, &new, &next);
	if (!err)
		err = veil_nl_check_next(vn, info, &new, &next);
	if (!err)
		err = veil_nl_read_locals(vn, info, &locals, &local_count,
					  true);
	if (!err)
		err = veil_nl_set_scarce(vn, info, locals, local_count);
	if (!err && cipher)
		veil_net_set_cipher(vn, nla_get_u8(cipher));
	if (!err)
		veil_nl_set_mark(vn, info);
	if (!err)
		veil_nl_set_identities(vn, info, &new, &next);
	kfree(locals);
	memzero_explicit(&new, sizeof(new));
	memzero_explicit(&next, sizeof(next));
	return err;
}
