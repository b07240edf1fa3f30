/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Network namespaces as iproute2 names them.
 */
#ifndef VEIL_NETNS_H
#define VEIL_NETNS_H

/* Enters the namespace: a name, or a path with a slash. An exit code. */
int netns_enter(const char *name);

#endif /* VEIL_NETNS_H */
