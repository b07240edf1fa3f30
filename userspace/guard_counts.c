// SPDX-License-Identifier: GPL-2.0
/*
 * What the ruleset of veil guard has dropped: its named counters, asked of
 * nf_tables. Inbound it stands before Netveil, so that what came in clear is
 * counted there alone.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <time.h>

#include "err.h"
#include "guard_counts.h"

#define BUFFER_SIZE	8192
/* How often it is asked while somebody changes rules. */
#define TRIES		5

static uint64_t packets_of(const struct nlattr *data)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, data)
		if (mnl_attr_get_type(attr) == NFTA_COUNTER_PACKETS &&
		    mnl_attr_validate(attr, MNL_TYPE_U64) >= 0)
			return be64toh(mnl_attr_get_u64(attr));
	return 0;
}

static int parse_counter(const struct nlmsghdr *answer, void *data)
{
	struct guard_counts *counts = data;
	const struct nlattr *attr;
	const char *name = "";
	uint64_t packets = 0;

	mnl_attr_for_each(attr, answer, sizeof(struct nfgenmsg)) {
		int type = mnl_attr_get_type(attr);

		if (type == NFTA_OBJ_NAME &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			name = mnl_attr_get_str(attr);
		if (type == NFTA_OBJ_DATA)
			packets = packets_of(attr);
	}
	counts->loaded = true;
	if (!strcmp(name, "plaintext_in"))
		counts->plaintext_in = packets;
	if (!strcmp(name, "plaintext_out"))
		counts->plaintext_out = packets;
	return MNL_CB_OK;
}

/* A dump, which is empty where there is no such table. */
static struct nlmsghdr *request_counters(void *buffer)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *head;

	request->nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETOBJ;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = (uint32_t)time(NULL);
	head = mnl_nlmsg_put_extra_header(request, sizeof(*head));
	head->nfgen_family = NFPROTO_INET;
	head->version = NFNETLINK_V0;
	mnl_attr_put_strz(request, NFTA_OBJ_TABLE, GUARD_TABLE);
	mnl_attr_put_u32(request, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
	return request;
}

/* 0, or errno; EINTR when a change cut in. */
static int ask(struct mnl_socket *socket, struct guard_counts *counts)
{
	char buffer[BUFFER_SIZE];
	struct nlmsghdr *request = request_counters(buffer);
	uint32_t sequence = request->nlmsg_seq;
	int more = MNL_CB_OK;
	ssize_t len;

	memset(counts, 0, sizeof(*counts));
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		return errno;
	while (more > MNL_CB_STOP) {
		len = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		if (len < 0)
			return errno;
		more = mnl_cb_run(buffer, (size_t)len, sequence,
				  mnl_socket_get_portid(socket), parse_counter,
				  counts);
	}
	return more == MNL_CB_ERROR ? errno : 0;
}

int guard_counts(struct guard_counts *counts, const char *what)
{
	struct mnl_socket *socket;
	int error = EINTR, tries;

	for (tries = 0; error == EINTR && tries < TRIES; tries++) {
		socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
		/* As below. */
		if (!socket && errno == EPROTONOSUPPORT)
			return 0;
		if (!socket)
			return err("%s: cannot ask nf_tables: %s", what,
				   strerror(errno));
		error = ask(socket, counts);
		mnl_socket_close(socket);
	}
	/* A kernel without nf_tables has no guard. */
	if (error == EINVAL || error == EOPNOTSUPP)
		return 0;
	if (error)
		return err("%s: nf_tables does not tell what the guard dropped: %s",
			   what, strerror(error));
	return 0;
}

void guard_warn(const char *what)
{
	struct guard_counts counts = {0};

	if (!guard_counts(&counts, what) && counts.loaded)
		warn("%s: the ruleset of 'veil guard' goes by the port and the local networks of before, and drops handshakes from another port: make it anew then, by 'veil guard install' or from what 'veil guard' prints",
		     what);
}
