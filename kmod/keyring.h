/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Secrets from the kernel's keyrings.
 */
#ifndef _VEIL_KEYRING_H
#define _VEIL_KEYRING_H

#include "messages.h"

struct netlink_ext_ack;

/* Copy the 32 bytes of a logon, encrypted or trusted key that the caller may
 * search.  Process context, in the system call of who asks for it.  The caller
 * wipes key.
 */
int veil_keyring_read(u8 key[VEIL_KEY_LEN], s32 serial,
		      struct netlink_ext_ack *extack);

#endif /* _VEIL_KEYRING_H */
