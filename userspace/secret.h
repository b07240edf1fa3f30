/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A secret key as the command line names it: a file, or a key in the kernel's
 * keyrings, whose content veil never sees.
 */
#ifndef VEIL_SECRET_H
#define VEIL_SECRET_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "../kmod/uapi/netveil.h"

struct secret {
	bool given;
	int32_t serial;			/* 0: the key itself is here */
	uint8_t key[NETVEIL_KEY_LEN];
};

/* Takes FILE, keyring:SERIAL or keyring:DESCRIPTION; what names it in messages.
 * An exit code.
 */
int secret_take(struct secret *secret, const char *value, const char *what);
/* Adds it to a request, if it was given: the key as attribute type, or its
 * serial as attribute serial_type.
 */
void secret_put(struct nlmsghdr *request, uint16_t type, uint16_t serial_type,
		const struct secret *secret);

#endif /* VEIL_SECRET_H */
