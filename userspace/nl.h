/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Talks to the kernel module: one generic netlink socket.
 */
#ifndef VEIL_NL_H
#define VEIL_NL_H

#include <libmnl/libmnl.h>
#include <stdint.h>

#include "parse.h"
#include "words.h"

struct locator;

/* Room for the largest request: a peer with all its addresses and prefixes. */
#define NL_REQUEST_SIZE	32768

struct nl {
	struct mnl_socket *socket;
	uint32_t sequence;
	uint16_t family;
	uint32_t events;	/* the multicast group */
	struct batch *batch;	/* env->batch: takes requests, and there is no
				 * socket
				 */
};

/* Enters env->netns, opens a socket, finds the module. An exit code; call
 * nl_close() in any case.
 */
int nl_open(struct nl *nl, struct env *env);
void nl_close(struct nl *nl);

/* Starts a request in a buffer of NL_REQUEST_SIZE bytes, or more. */
struct nlmsghdr *nl_request(struct nl *nl, void *buffer, uint8_t command,
			    uint16_t flags);
/*
 * Sends it, hands every answer to parse (may be NULL), and wipes the request,
 * which may hold keys. what names the request in messages. Returns an exit
 * code.
 */
int nl_call(struct nl *nl, struct nlmsghdr *request, mnl_cb_t parse,
	    void *data, const char *what);
/* The same for a request of any size, whose faults locator finds. */
int nl_apply(struct nl *nl, struct nlmsghdr *request,
	     const struct locator *locator, const char *what);
/* Asks for all; forget drops what was parsed when a change cuts in and all is
 * asked for again.
 */
int nl_dump(struct nl *nl, uint8_t command, mnl_cb_t parse,
	    void (*forget)(void *data), void *data, const char *what);

void nl_put_prefix(struct nlmsghdr *request, uint16_t type,
		   const struct prefix *prefix);

/* Hands every event to parse until an error. Returns an exit code. */
int nl_listen(struct nl *nl, mnl_cb_t parse, void *data);

#endif /* VEIL_NL_H */
