// SPDX-License-Identifier: GPL-2.0
/*
 * Talks to the kernel module: one generic netlink socket.
 */
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "../kmod/uapi/netveil.h"
#include "batch.h"
#include "err.h"
#include "netns.h"
#include "nl.h"
#include "refusal.h"

#define ANSWER_SIZE	32768
/* A dump that a change interrupted; no exit code. */
#define AGAIN		(-1)
/* How often a dump is tried while peers keep changing. */
#define DUMP_TRIES	20

/* Handed through libmnl's callbacks. */
struct call {
	const struct nlmsghdr *request;
	const char *what;
	mnl_cb_t parse;
	void *data;
	const struct locator *locator;
	int code;
};

static int on_error(const struct nlmsghdr *answer, void *data)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(answer);
	struct call *call = data;

	if (answer->nlmsg_len < mnl_nlmsg_size(sizeof(*error)))
		call->code = err("%s: the kernel's answer is cut short",
				 call->what);
	else if (error->error)
		call->code = refusal_tell(call->what, call->request, answer,
					  call->locator);
	return MNL_CB_STOP;
}

/* The end of a dump; a negative number in it is an error. */
static int on_done(const struct nlmsghdr *answer, void *data)
{
	struct call *call = data;

	if (mnl_nlmsg_get_payload_len(answer) >= sizeof(int) &&
	    *(const int *)mnl_nlmsg_get_payload(answer) < 0)
		call->code = refusal_tell(call->what, call->request, answer,
					  call->locator);
	return MNL_CB_STOP;
}

static int on_message(const struct nlmsghdr *answer, void *data)
{
	struct call *call = data;

	return call->parse ? call->parse(answer, call->data) : MNL_CB_OK;
}

/* Not const, since libmnl before 1.0.5 does not take it so. */
static mnl_cb_t control[NLMSG_MIN_TYPE] = {
	[NLMSG_ERROR] = on_error,
	[NLMSG_DONE] = on_done,
};

static int receive(struct nl *nl, struct call *call)
{
	unsigned int portid = mnl_socket_get_portid(nl->socket);
	char answer[ANSWER_SIZE];
	int more = MNL_CB_OK;
	ssize_t len;

	while (more > MNL_CB_STOP) {
		len = mnl_socket_recvfrom(nl->socket, answer, sizeof(answer));
		if (len < 0)
			return err("%s: no answer from the kernel: %s",
				   call->what, strerror(errno));
		more = mnl_cb_run2(answer, (size_t)len, nl->sequence, portid,
				   on_message, call, control,
				   ARRAY_LEN(control));
	}
	if (more == MNL_CB_ERROR && errno == EINTR)
		return AGAIN;
	if (more == MNL_CB_ERROR)
		return err("%s: cannot read the kernel's answer: %s",
			   call->what, strerror(errno));
	return call->code;
}

static int exchange(struct nl *nl, struct nlmsghdr *request, struct call *call)
{
	size_t len = request->nlmsg_len;
	int code;

	if (mnl_socket_sendto(nl->socket, request, len) < 0)
		code = err("%s: cannot ask the kernel: %s", call->what,
			   strerror(errno));
	else
		code = receive(nl, call);
	explicit_bzero(request, len);
	return code;
}

int nl_call(struct nl *nl, struct nlmsghdr *request, mnl_cb_t parse,
	    void *data, const char *what)
{
	struct call call = {
		.request = request, .what = what, .parse = parse, .data = data,
	};

	if (!nl->batch)
		return exchange(nl, request, &call);
	batch_add(nl->batch, request);
	explicit_bzero(request, request->nlmsg_len);
	return 0;
}

int nl_apply(struct nl *nl, struct nlmsghdr *request,
	     const struct locator *locator, const char *what)
{
	struct call call = {
		.request = request, .what = what, .locator = locator,
	};
	/* The kernel takes no message that is longer than the send buffer. */
	int fd = mnl_socket_get_fd(nl->socket), size = 1 << 16;

	while ((unsigned int)size < request->nlmsg_len)
		size *= 2;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return exchange(nl, request, &call);
}

static struct nlmsghdr *prepare(struct nl *nl, void *buffer, uint16_t type,
				uint8_t command, uint16_t flags)
{
	struct nlmsghdr *request;
	struct genlmsghdr *genl;

	memset(buffer, 0, NL_REQUEST_SIZE);
	request = mnl_nlmsg_put_header(buffer);
	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | flags;
	/* A dump ends by itself, all else by an acknowledgement. */
	if ((flags & NLM_F_DUMP) != NLM_F_DUMP)
		request->nlmsg_flags |= NLM_F_ACK;
	request->nlmsg_seq = ++nl->sequence;
	genl = mnl_nlmsg_put_extra_header(request, sizeof(*genl));
	genl->cmd = command;
	genl->version = NETVEIL_FAMILY_VERSION;
	return request;
}

struct nlmsghdr *nl_request(struct nl *nl, void *buffer, uint8_t command,
			    uint16_t flags)
{
	return prepare(nl, buffer, nl->family, command, flags);
}

void nl_put_prefix(struct nlmsghdr *request, uint16_t type,
		   const struct prefix *prefix)
{
	uint8_t bytes[sizeof(prefix->address.bytes) + 1];
	size_t len = prefix->address.len;

	memcpy(bytes, prefix->address.bytes, len);
	bytes[len] = prefix->length;
	mnl_attr_put(request, type, len + 1, bytes);
}

/* What the controller says about the family. */
struct family {
	uint16_t id;
	uint32_t version;
	uint32_t events;
};

static void parse_group(const struct nlattr *nest, struct family *family)
{
	const struct nlattr *attr;
	const char *name = "";
	uint32_t id = 0;

	mnl_attr_for_each_nested(attr, nest) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_NAME &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			name = mnl_attr_get_str(attr);
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_ID &&
		    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			id = mnl_attr_get_u32(attr);
	}
	if (!strcmp(name, NETVEIL_EVENTS_NAME))
		family->events = id;
}

static int parse_family(const struct nlmsghdr *answer, void *data)
{
	struct family *family = data;
	const struct nlattr *attr, *group;

	mnl_attr_for_each(attr, answer, sizeof(struct genlmsghdr)) {
		int type = mnl_attr_get_type(attr);

		if (type == CTRL_ATTR_FAMILY_ID &&
		    mnl_attr_validate(attr, MNL_TYPE_U16) >= 0)
			family->id = mnl_attr_get_u16(attr);
		if (type == CTRL_ATTR_VERSION &&
		    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			family->version = mnl_attr_get_u32(attr);
		if (type == CTRL_ATTR_MCAST_GROUPS)
			mnl_attr_for_each_nested(group, attr)
				parse_group(group, family);
	}
	return MNL_CB_OK;
}

static int find_family(struct nl *nl)
{
	struct family family = {0};
	struct nlmsghdr *request;
	char buffer[NL_REQUEST_SIZE];
	int code;

	request = prepare(nl, buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0);
	mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, NETVEIL_FAMILY_NAME);
	code = nl_call(nl, request, parse_family, &family, NULL);
	if (code)
		return code;
	if (family.version != NETVEIL_FAMILY_VERSION)
		return err("the loaded module speaks version %u, this veil version %d: take both from one build",
			   family.version, NETVEIL_FAMILY_VERSION);
	nl->family = family.id;
	nl->events = family.events;
	return 0;
}

static void set_options(struct nl *nl)
{
	int on = 1;

	/* Reasons in words, and no copy of the request in the answer. */
	mnl_socket_setsockopt(nl->socket, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(nl->socket, NETLINK_CAP_ACK, &on, sizeof(on));
}

static int open_socket(struct nl *nl)
{
	nl->socket = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!nl->socket)
		return err("cannot open a netlink socket: %s", strerror(errno));
	if (mnl_socket_bind(nl->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return err("cannot bind a netlink socket: %s", strerror(errno));
	set_options(nl);
	return 0;
}

int nl_open(struct nl *nl, struct env *env)
{
	int code;

	memset(nl, 0, sizeof(*nl));
	nl->batch = env->batch;
	if (nl->batch)
		return 0;
	nl->sequence = (uint32_t)time(NULL);
	code = env->netns ? netns_enter(env->netns) : 0;
	if (!code)
		code = open_socket(nl);
	return code ? code : find_family(nl);
}

void nl_close(struct nl *nl)
{
	if (nl->socket)
		mnl_socket_close(nl->socket);
	nl->socket = NULL;
}

int nl_dump(struct nl *nl, uint8_t command, mnl_cb_t parse,
	    void (*forget)(void *data), void *data, const char *what)
{
	char buffer[NL_REQUEST_SIZE];
	int code = AGAIN, tries;

	for (tries = 0; code == AGAIN && tries < DUMP_TRIES; tries++) {
		if (tries) {
			/* Away with the rest of the old answer. */
			nl_close(nl);
			forget(data);
			code = open_socket(nl);
			if (code)
				return code;
		}
		code = nl_call(nl, nl_request(nl, buffer, command, NLM_F_DUMP),
			       parse, data, what);
	}
	if (code == AGAIN)
		code = err("%s: the peers keep changing: try again", what);
	return code;
}

/* What waits for events, and whether there can be any more. */
struct listener {
	struct nl *nl;
	mnl_cb_t parse;
	void *data;
	bool ended;
};

static int join(struct nl *nl, unsigned int group)
{
	int value = (int)group;

	if (!mnl_socket_setsockopt(nl->socket, NETLINK_ADD_MEMBERSHIP, &value,
				   sizeof(value)))
		return 0;
	if (errno == EPERM)
		return err("monitor: not permitted: run veil as root, or with sudo");
	return err("monitor: cannot join the events: %s", strerror(errno));
}

/* Of the families themselves: the group of ours goes with the module, and no error
 * tells.  Its group's number is that of its family.
 */
static bool is_removal(const struct nlmsghdr *message, const struct nl *nl)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;

	if (message->nlmsg_type != GENL_ID_CTRL ||
	    genl->cmd != CTRL_CMD_DELFAMILY)
		return false;
	mnl_attr_for_each(attr, message, sizeof(*genl))
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
			return mnl_attr_get_u16(attr) == nl->family;
	return false;
}

static int hear(const struct nlmsghdr *message, void *data)
{
	struct listener *listener = data;

	if (message->nlmsg_type == listener->nl->family)
		return listener->parse(message, listener->data);
	listener->ended |= is_removal(message, listener->nl);
	return MNL_CB_OK;
}

/* What was lost may be the removal: then the family is not there, or is another. */
static int look_again(struct listener *listener)
{
	struct nl now = {0};
	int code;

	warn("events came faster than they were read, and some are lost");
	code = open_socket(&now);
	if (!code)
		code = find_family(&now);
	nl_close(&now);
	listener->ended = !code && now.family != listener->nl->family;
	return code;
}

int nl_listen(struct nl *nl, mnl_cb_t parse, void *data)
{
	struct listener listener = { .nl = nl, .parse = parse, .data = data };
	char message[ANSWER_SIZE];
	ssize_t len;
	int code;

	code = join(nl, GENL_ID_CTRL);
	if (!code)
		code = join(nl, nl->events);
	while (!code) {
		len = mnl_socket_recvfrom(nl->socket, message, sizeof(message));
		if (len < 0 && errno == ENOBUFS)
			code = look_again(&listener);
		else if (len < 0 && errno != EINTR)
			code = err("monitor: %s", strerror(errno));
		else if (len > 0 &&
			 mnl_cb_run(message, (size_t)len, 0, 0, hear,
				    &listener) < 0)
			code = err("monitor: cannot read an event: %s",
				   strerror(errno));
		if (!code && listener.ended)
			code = err("monitor: the module was removed, and nothing is protected: start it again when it is loaded");
	}
	return code;
}
