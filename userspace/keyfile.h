/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Secret keys in files, and the care they want.
 */
#ifndef VEIL_KEYFILE_H
#define VEIL_KEYFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "../kmod/uapi/netveil.h"

/*
 * Reads the key in the file ("-": standard input). Warns when others than its
 * owner may read it. what names the key in messages. Returns an exit code.
 */
int keyfile_read(uint8_t key[NETVEIL_KEY_LEN], const char *path,
		 const char *what);
/* Prints a secret key; warns when that goes to a file others may read. */
/* A file that others can read is refused instead of warned of. */
extern bool keyfile_strict;

int keyfile_print(const uint8_t key[NETVEIL_KEY_LEN]);

#endif /* VEIL_KEYFILE_H */
