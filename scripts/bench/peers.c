// SPDX-License-Identifier: GPL-2.0
/*
 * Peers by the thousand for make bench: adds and dumps them, many requests to a
 * datagram and nothing computed in between, so that what is measured is the
 * kernel's work.  Keys and addresses follow from a peer's number.  Prints one JSON
 * object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "netveil.h"

enum { BATCH = 100, FIRST_ADDRESS = 0x0a400001 };	/* 10.64.0.1 */

static unsigned char buffer[1 << 17];
static int sock;
static uint16_t family = GENL_ID_CTRL;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void enter(const char *ns)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		err(1, "namespace %s", ns);
	close(fd);
}

/* What is appended to grows in place; attributes are aligned to 4 bytes. */
static struct nlattr *put(struct nlmsghdr *nlh, int type, const void *data,
			  size_t len)
{
	struct nlattr *attr = (void *)((char *)nlh + NLMSG_ALIGN(nlh->nlmsg_len));

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + len;
	if (len)
		memcpy(attr + 1, data, len);
	nlh->nlmsg_len = NLMSG_ALIGN(nlh->nlmsg_len) + NLA_ALIGN(attr->nla_len);
	return attr;
}

static struct nlmsghdr *begin(void *at, int command, int flags)
{
	struct nlmsghdr *nlh = at;
	struct genlmsghdr *genl = NLMSG_DATA(nlh);

	memset(nlh, 0, NLMSG_HDRLEN + GENL_HDRLEN);
	nlh->nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN;
	nlh->nlmsg_type = family;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	genl->cmd = command;
	genl->version = 1;
	return nlh;
}

static void send_out(size_t len)
{
	if (send(sock, buffer, len, 0) != (ssize_t)len)
		err(1, "netlink");
}

/* One datagram of answers; how many were the last to their request. */
static int take_answers(unsigned int *parts)
{
	ssize_t len = recv(sock, buffer, sizeof(buffer), 0);
	struct nlmsghdr *nlh = (void *)buffer;
	int done = 0;

	if (len < 0)
		err(1, "netlink");
	for (; NLMSG_OK(nlh, len); nlh = NLMSG_NEXT(nlh, len)) {
		if (nlh->nlmsg_type == NLMSG_DONE) {
			done++;
		} else if (nlh->nlmsg_type == NLMSG_ERROR) {
			int code = *(int *)NLMSG_DATA(nlh);

			if (code)
				errx(1, "netlink: %s", strerror(-code));
			done++;
		} else {
			(*parts)++;
		}
	}
	return done;
}

static void find_family(void)
{
	struct nlmsghdr *nlh = begin(buffer, CTRL_CMD_GETFAMILY, 0);
	struct nlattr *attr;
	ssize_t len;

	put(nlh, CTRL_ATTR_FAMILY_NAME, NETVEIL_FAMILY_NAME, sizeof(NETVEIL_FAMILY_NAME));
	send_out(nlh->nlmsg_len);
	len = recv(sock, buffer, sizeof(buffer), 0);
	attr = (void *)((char *)NLMSG_DATA(nlh) + GENL_HDRLEN);
	for (; (unsigned char *)attr < buffer + len;
	     attr = (void *)((char *)attr + NLA_ALIGN(attr->nla_len))) {
		if (attr->nla_type == CTRL_ATTR_FAMILY_ID) {
			family = *(uint16_t *)(attr + 1);
			return;
		}
	}
	errx(1, "netveil.ko is not loaded");
}

static size_t put_peer(void *at, unsigned int number)
{
	struct nlmsghdr *nlh = begin(at, NETVEIL_CMD_PEER_ADD, NLM_F_ACK);
	uint32_t address = htonl(FIRST_ADDRESS + number);
	uint64_t key[4] = { number + 1 }, x = number + 1;
	struct nlattr *nest;
	int i;

	for (i = 0; i < 4; i++)
		key[i] = x = x * 6364136223846793005ull + 1442695040888963407ull;
	nest = put(nlh, NETVEIL_A_PEER | NLA_F_NESTED, NULL, 0);
	put(nlh, NETVEIL_PEER_A_PUBLIC_KEY, key, sizeof(key));
	put(nlh, NETVEIL_PEER_A_ADDRESS, &address, sizeof(address));
	nest->nla_len = (char *)nlh + nlh->nlmsg_len - (char *)nest;
	return nlh->nlmsg_len;
}

static void add(unsigned int first, unsigned int count)
{
	unsigned int number = first, parts = 0;

	while (number < first + count) {
		size_t len = 0;
		int open = 0;

		while (number < first + count && open < BATCH) {
			len += put_peer(buffer + len, number++);
			open++;
		}
		send_out(len);
		while (open > 0)
			open -= take_answers(&parts);
	}
}

static unsigned int dump(void)
{
	struct nlmsghdr *nlh = begin(buffer, NETVEIL_CMD_PEER_GET, NLM_F_DUMP);
	unsigned int parts = 0;

	send_out(nlh->nlmsg_len);
	while (!take_answers(&parts))
		;
	return parts;
}

int main(int argc, char **argv)
{
	int room = 8 << 20;
	unsigned int told = 0;
	double start;

	if (argc < 3) {
		fprintf(stderr, "usage: peers NETNS add FIRST COUNT | dump\n");
		return 2;
	}
	enter(argv[1]);
	sock = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
	if (sock < 0 || setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		err(1, "netlink socket");
	find_family();
	start = now();
	if (argc == 5)
		add(strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
	else
		told = dump();
	printf("{\"seconds\": %.9f, \"told\": %u}\n", now() - start, told);
	return 0;
}
