/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Turns the kernel's refusal of a request into one line for people.
 */
#ifndef VEIL_REFUSAL_H
#define VEIL_REFUSAL_H

struct nlmsghdr;

/*
 * answer is an NLMSG_ERROR or NLMSG_DONE with an error in it. what names the
 * request; NULL: the search for the module. Returns an exit code.
 */
int refusal_tell(const char *what, const struct nlmsghdr *request,
		 const struct nlmsghdr *answer);

#endif /* VEIL_REFUSAL_H */
