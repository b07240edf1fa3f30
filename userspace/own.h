/* SPDX-License-Identifier: GPL-2.0 */
/*
 * This host's addresses, asked for again when the kernel says that they changed.
 */
#ifndef VEIL_OWN_H
#define VEIL_OWN_H

#include <stdbool.h>
#include <stdint.h>

#include "parse.h"

struct ifaddrs;

struct own {
	struct ifaddrs *all;	/* NULL: not asked yet */
	int changes;		/* a socket, once they were asked for */
};

/* Where they cannot be asked for every address is this host's. */
bool own_has(struct own *own, const struct address *address);
bool own_has_mac(struct own *own, const uint8_t mac[6]);
void own_free(struct own *own);

#endif /* VEIL_OWN_H */
