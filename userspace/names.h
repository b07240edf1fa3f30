/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The stable names of what netveil.h numbers, in text and in JSON alike.
 */
#ifndef VEIL_NAMES_H
#define VEIL_NAMES_H

#include <stddef.h>

#define CIPHER_NAMES	3
#define STATE_NAMES	3
#define ORIGIN_NAMES	4
#define EVENT_NAMES	14
#define POLICY_NAMES	4

extern const char *const cipher_names[CIPHER_NAMES];
extern const char *const state_names[STATE_NAMES];
extern const char *const origin_names[ORIGIN_NAMES];
extern const char *const event_names[EVENT_NAMES];
extern const char *const policy_names[POLICY_NAMES];

/* The name of a number; "unknown" for one that a newer kernel brought. */
const char *name_of(const char *const *names, size_t count, unsigned int value);
/* The number of a name, or -1. */
int name_find(const char *const *names, size_t count, const char *name);

#endif /* VEIL_NAMES_H */
