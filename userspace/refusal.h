/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Turns the kernel's refusal of a request into one line for people.
 */
#ifndef VEIL_REFUSAL_H
#define VEIL_REFUSAL_H

#include <stdint.h>

struct nlmsghdr;

/* Knows where in a file the byte at offset of a request comes from, and a word
 * that says the same as thing (may be empty); calls err_place().
 */
struct locator {
	void (*locate)(const struct locator *locator, uint32_t offset,
		       const char *thing);
};

/*
 * answer is an NLMSG_ERROR or NLMSG_DONE with an error in it. what names the
 * request; NULL: the search for the module. locator may be NULL. Returns an
 * exit code.
 */
int refusal_tell(const char *what, const struct nlmsghdr *request,
		 const struct nlmsghdr *answer, const struct locator *locator);

#endif /* VEIL_REFUSAL_H */
