// SPDX-License-Identifier: GPL-2.0
/*
 * ICMP echo, whole and never fragmented, with one host.
 */
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "echo.h"

#define SIZE_MAX_ECHO	65535
/* Where a route is asked for; nothing is sent there. */
#define PORT_DISCARD	9

static socklen_t name_of_host(const struct address *address, uint16_t port,
			      struct sockaddr_storage *name)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)name;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)name;

	memset(name, 0, sizeof(*name));
	if (address->len == 4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, address->bytes, 4);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, address->bytes, 16);
	return sizeof(*v6);
}

/* The kernel may fragment outside, but not what it is asked to send. */
static int never_fragment(int fd, bool ipv4)
{
	int on = 1, how = ipv4 ? IP_PMTUDISC_DO : IPV6_PMTUDISC_DO;

	if (ipv4)
		return setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &how,
				  sizeof(how));
	return setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &how,
			  sizeof(how)) ||
	       setsockopt(fd, IPPROTO_IPV6, IPV6_DONTFRAG, &on, sizeof(on));
}

int echo_open(struct echo *echo, const struct address *address)
{
	bool ipv4 = address->len == 4;
	int family = ipv4 ? AF_INET : AF_INET6;
	struct sockaddr_storage name;
	socklen_t len;

	echo->address = *address;
	echo->udp = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	echo->raw = socket(family, SOCK_RAW | SOCK_CLOEXEC,
			   ipv4 ? (int)IPPROTO_ICMP : (int)IPPROTO_ICMPV6);
	if (echo->udp < 0 || echo->raw < 0 || never_fragment(echo->raw, ipv4))
		return -errno;
	len = name_of_host(address, PORT_DISCARD, &name);
	if (connect(echo->udp, (struct sockaddr *)&name, len))
		return -errno;
	len = name_of_host(address, 0, &name);
	return connect(echo->raw, (struct sockaddr *)&name, len) ? -errno : 0;
}

void echo_close(struct echo *echo)
{
	if (echo->udp >= 0)
		close(echo->udp);
	if (echo->raw >= 0)
		close(echo->raw);
}

/* A connected socket sticks to its route, whose MTU may be another by now. */
unsigned int echo_mtu(const struct echo *echo)
{
	bool ipv4 = echo->address.len == 4;
	struct sockaddr_storage name;
	socklen_t len;
	int mtu = 0;

	len = name_of_host(&echo->address, PORT_DISCARD, &name);
	connect(echo->udp, (struct sockaddr *)&name, len);
	len = sizeof(mtu);
	if (getsockopt(echo->udp, ipv4 ? IPPROTO_IP : IPPROTO_IPV6,
		       ipv4 ? IP_MTU : IPV6_MTU, &mtu, &len))
		return 0;
	return (unsigned int)mtu;
}

static uint16_t checksum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;
	uint16_t word;
	size_t i;

	for (i = 0; i + 1 < len; i += 2) {
		memcpy(&word, data + i, sizeof(word));
		sum += word;
	}
	word = 0;
	if (len & 1)
		memcpy(&word, data + len - 1, 1);
	sum += word;
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~(sum + (sum >> 16));
}

/* Both families' messages have the same form. */
static int send_request(struct echo *echo, unsigned int size)
{
	static uint8_t message[SIZE_MAX_ECHO];
	bool ipv4 = echo->address.len == 4;
	size_t header = ipv4 ? sizeof(struct ip) : 40;
	struct icmphdr *icmp = (struct icmphdr *)message;
	size_t len = size - header;

	memset(message, 0, len);
	icmp->type = ipv4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	icmp->un.echo.id = htons((uint16_t)getpid());
	icmp->un.echo.sequence = htons(++echo->sequence);
	if (ipv4)
		icmp->checksum = checksum(message, len);
	return send(echo->raw, message, len, 0) < 0 ? -errno : 0;
}

static bool is_answer(const struct echo *echo, const uint8_t *data, size_t len)
{
	bool ipv4 = echo->address.len == 4;
	size_t header = ipv4 && len ? (size_t)(data[0] & 15) * 4 : 0;
	struct icmphdr icmp;

	if (len < header + sizeof(icmp))
		return false;
	memcpy(&icmp, data + header, sizeof(icmp));
	return icmp.type == (ipv4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY) &&
	       icmp.un.echo.id == htons((uint16_t)getpid()) &&
	       icmp.un.echo.sequence == htons(echo->sequence);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool wait_answer(struct echo *echo, int64_t until)
{
	static uint8_t data[SIZE_MAX_ECHO];
	struct pollfd input = { .fd = echo->raw, .events = POLLIN };
	int64_t left;
	ssize_t len;

	while ((left = until - now_ms()) > 0) {
		if (poll(&input, 1, (int)left) <= 0)
			continue;
		len = recv(echo->raw, data, sizeof(data), MSG_DONTWAIT);
		if (len > 0 && is_answer(echo, data, (size_t)len))
			return true;
	}
	return false;
}

int echo_ask(struct echo *echo, unsigned int size, unsigned int times)
{
	int err;

	while (times--) {
		err = send_request(echo, size);
		if (err)
			return err;
		if (wait_answer(echo, now_ms() + 1000))
			return 0;
	}
	return -ETIMEDOUT;
}
