/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Cookies: proof that a sender receives what goes to its address (PROTOCOL
 * section 6).  Pure, on top of crypto.h; who keeps secrets and cookies, and for
 * how long, is the callers' business.
 *
 * Context: process, may sleep.
 */
#ifndef _VEIL_COOKIE_H
#define _VEIL_COOKIE_H

#include "crypto.h"

/* mac2 of the len bytes before it, by whoever got this cookie. */
int veil_mac2(u8 mac[VEIL_MAC_LEN], const u8 cookie[VEIL_COOKIE_LEN],
	      const void *msg, size_t len);

/* The cookie of an address (IPv4 mapped) and a UDP port. */
int veil_cookie(u8 cookie[VEIL_COOKIE_LEN], const u8 secret[VEIL_KEY_LEN],
		const u8 address[VEIL_ADDR_LEN], u16 port);

/* Seal cookie into reply, whose salt is there already.  self: public key of the
 * reply's sender; mac1: of the message that is answered.
 */
int veil_cookie_seal(struct veil_cookie_reply *reply,
		     const u8 self[VEIL_KEY_LEN], const u8 mac1[VEIL_MAC_LEN],
		     const u8 cookie[VEIL_COOKIE_LEN]);
/* -EBADMSG if it is not an answer of sender to the message of this mac1. */
int veil_cookie_open(u8 cookie[VEIL_COOKIE_LEN],
		     const struct veil_cookie_reply *reply,
		     const u8 sender[VEIL_KEY_LEN],
		     const u8 mac1[VEIL_MAC_LEN]);

#endif /* _VEIL_COOKIE_H */
