/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Network namespaces as iproute2 names them.
 */
#ifndef VEIL_NETNS_H
#define VEIL_NETNS_H

#include <stdbool.h>

/* Enters the namespace: a name, or a path with a slash. An exit code. */
int netns_enter(const char *name);
/* Whether name, or where veil was started, is another namespace than the first
 * process's, which may be a container's.
 */
bool netns_is_elsewhere(const char *name);

#endif /* VEIL_NETNS_H */
