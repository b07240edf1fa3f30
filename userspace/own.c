// SPDX-License-Identifier: GPL-2.0
/*
 * This host's addresses, asked for again when the kernel says that they changed:
 * on a busy link they are wanted for each packet.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "own.h"

/* Negative where there is none: then they are asked for each time. */
static int open_changes(void)
{
	struct sockaddr_nl to = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR |
			     RTMGRP_IPV6_IFADDR,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&to, sizeof(to))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Whatever it was; that some was lost is told by an error. */
static bool changed(const struct own *own)
{
	bool any = own->changes < 0;
	char message;

	while (own->changes >= 0) {
		if (recv(own->changes, &message, sizeof(message), 0) < 0 &&
		    errno != ENOBUFS && errno != EINTR)
			break;
		any = true;
	}
	return any;
}

static bool known(struct own *own)
{
	/* Listens first, so that no change is missed. */
	if (!own->all)
		own->changes = open_changes();
	else if (!changed(own))
		return true;
	else
		freeifaddrs(own->all);
	if (!getifaddrs(&own->all))
		return true;
	own->all = NULL;
	if (own->changes >= 0)
		close(own->changes);
	return false;
}

static bool is_address(const struct sockaddr *known,
		       const struct address *address)
{
	const void *bytes;

	if (known->sa_family == AF_INET && address->len == 4)
		bytes = &((const struct sockaddr_in *)known)->sin_addr;
	else if (known->sa_family == AF_INET6 && address->len == 16)
		bytes = &((const struct sockaddr_in6 *)known)->sin6_addr;
	else
		return false;
	return !memcmp(bytes, address->bytes, address->len);
}

bool own_has(struct own *own, const struct address *address)
{
	const struct ifaddrs *one;

	if (!known(own))
		return true;
	for (one = own->all; one; one = one->ifa_next)
		if (one->ifa_addr && is_address(one->ifa_addr, address))
			return true;
	return false;
}

bool own_has_mac(struct own *own, const uint8_t mac[6])
{
	const struct sockaddr_ll *link;
	const struct ifaddrs *one;

	if (!known(own))
		return true;
	for (one = own->all; one; one = one->ifa_next) {
		link = (const struct sockaddr_ll *)one->ifa_addr;
		if (link && link->sll_family == AF_PACKET &&
		    !memcmp(link->sll_addr, mac, 6))
			return true;
	}
	return false;
}

void own_free(struct own *own)
{
	if (!own->all)
		return;
	freeifaddrs(own->all);
	own->all = NULL;
	if (own->changes >= 0)
		close(own->changes);
}
