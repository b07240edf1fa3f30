/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ICMP echo, whole and never fragmented, with one host.
 */
#ifndef VEIL_ECHO_H
#define VEIL_ECHO_H

#include "parse.h"

struct echo {
	struct address address;
	int raw;		/* ICMP */
	int udp;		/* connected: knows the route */
	uint16_t sequence;
};

/* Negative errno: without a route, -ENETUNREACH or -EHOSTUNREACH. Call
 * echo_close() in any case.
 */
int echo_open(struct echo *echo, const struct address *address);
void echo_close(struct echo *echo);
/* MTU of the route, as plaintext sees it. */
unsigned int echo_mtu(const struct echo *echo);
/*
 * Sends requests of size bytes with their IP header until one is answered, once
 * a second, this many times. 0, or negative errno: -ETIMEDOUT.
 */
int echo_ask(struct echo *echo, unsigned int size, unsigned int times);

#endif /* VEIL_ECHO_H */
