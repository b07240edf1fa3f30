/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The version of veil; it goes with the module built from the same tree.
 */
#ifndef VEIL_VERSION_H
#define VEIL_VERSION_H

#define VEIL_VERSION	"0.1"

#endif /* VEIL_VERSION_H */
