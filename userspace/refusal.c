// SPDX-License-Identifier: GPL-2.0
/*
 * Turns the kernel's refusal of a request into one line for people: the thing
 * that is wrong, found in the request, and the reason, from the extended ack.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>

#include "../kmod/uapi/netveil.h"
#include "err.h"
#include "format.h"
#include "refusal.h"

struct reason {
	int error;		/* positive errno */
	const char *text;	/* NULL: the kernel gave none */
	uint32_t offset;	/* of the attribute at fault, or 0 */
};

static void parse_tlvs(const struct nlmsghdr *answer, size_t start,
		       struct reason *reason)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, answer, (unsigned int)start) {
		int type = mnl_attr_get_type(attr);

		if (type == NLMSGERR_ATTR_MSG &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			reason->text = mnl_attr_get_str(attr);
		if (type == NLMSGERR_ATTR_OFFS &&
		    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			reason->offset = mnl_attr_get_u32(attr);
	}
}

static void parse_reason(const struct nlmsghdr *answer, struct reason *reason)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(answer);
	size_t start = sizeof(*error);

	/* Both begin with the negative errno. */
	reason->error = -error->error;
	if (answer->nlmsg_type == NLMSG_DONE)
		start = sizeof(int);
	else if (!(answer->nlmsg_flags & NLM_F_CAPPED))
		start += error->msg.nlmsg_len - mnl_nlmsg_size(0);
	if (answer->nlmsg_flags & NLM_F_ACK_TLVS)
		parse_tlvs(answer, start, reason);
}

static void tell_prefix(char text[TEXT_LEN], const struct nlattr *attr)
{
	const uint8_t *bytes = mnl_attr_get_payload(attr);
	size_t len = mnl_attr_get_payload_len(attr) - 1u;
	struct prefix prefix = { .address.len = (uint8_t)len };

	if (len != 4 && len != sizeof(prefix.address.bytes))
		return;
	memcpy(prefix.address.bytes, bytes, len);
	prefix.length = bytes[len];
	format_prefix(text, &prefix);
}

/* Only what is public may be shown: addresses and the peer's key. */
static void tell_peer_attr(char text[TEXT_LEN], const struct nlattr *attr)
{
	uint16_t len = mnl_attr_get_payload_len(attr);
	struct address address = { .len = (uint8_t)len };

	switch (mnl_attr_get_type(attr)) {
	case NETVEIL_PEER_A_PUBLIC_KEY:
	case NETVEIL_PEER_A_NEXT_KEY:
		if (len == NETVEIL_KEY_LEN)
			format_key(text, mnl_attr_get_payload(attr));
		break;
	case NETVEIL_PEER_A_ADDRESS:
	case NETVEIL_PEER_A_ENDPOINT:
		if (len != 4 && len != sizeof(address.bytes))
			break;
		memcpy(address.bytes, mnl_attr_get_payload(attr), len);
		format_address(text, &address);
		break;
	case NETVEIL_PEER_A_PREFIX:
		tell_prefix(text, attr);
		break;
	}
}

static void tell_peer(char text[TEXT_LEN], const struct nlattr *nest,
		      const char *fault)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
		if ((const char *)attr == fault)
			tell_peer_attr(text, attr);
}

/* An attribute of a request, or of a change in one. */
static void tell_one(char text[TEXT_LEN], const struct nlattr *attr,
		     const char *fault)
{
	if ((mnl_attr_get_type(attr) == NETVEIL_A_PREFIX ||
	     mnl_attr_get_type(attr) == NETVEIL_A_LOCAL) &&
	    (const char *)attr == fault)
		tell_prefix(text, attr);
	if (mnl_attr_get_type(attr) == NETVEIL_A_PEER)
		tell_peer(text, attr, fault);
}

static void tell_attr(char text[TEXT_LEN], const struct nlmsghdr *request,
		      const char *fault)
{
	const struct nlattr *attr, *inner;

	mnl_attr_for_each(attr, request, sizeof(struct genlmsghdr)) {
		tell_one(text, attr, fault);
		if (mnl_attr_get_type(attr) == NETVEIL_A_CHANGE)
			mnl_attr_for_each_nested(inner, attr)
				tell_one(text, inner, fault);
	}
}

static const char *text_of(const struct reason *reason)
{
	/* NL_SET_ERR_MSG_MOD() puts it there. */
	static const char prefix[] = "netveil: ";
	size_t len = sizeof(prefix) - 1;

	if (reason->text && !strncmp(reason->text, prefix, len))
		return reason->text + len;
	if (reason->text)
		return reason->text;
	if (reason->error == EPERM)
		return "not permitted: run veil as root, or with sudo";
	return strerror(reason->error);
}

int refusal_tell(const char *what, const struct nlmsghdr *request,
		 const struct nlmsghdr *answer, const struct locator *locator)
{
	struct reason reason = {0};
	char thing[TEXT_LEN] = "";

	parse_reason(answer, &reason);
	if (!what && reason.error == ENOENT)
		return err("the netveil module is not loaded: 'insmod netveil.ko' or 'modprobe netveil' loads it");
	if (!what)
		return err("cannot find the netveil module: %s",
			   strerror(reason.error));
	if (reason.offset)
		tell_attr(thing, request,
			  (const char *)request + reason.offset);
	if (locator)
		locator->locate(locator, reason.offset, thing);
	return err("%s: %s%s%s", what, thing, *thing ? ": " : "",
		   text_of(&reason));
}
