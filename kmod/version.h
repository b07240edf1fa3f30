/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The version of the module and of veil, which are built from one tree.
 */
#ifndef VEIL_VERSION_H
#define VEIL_VERSION_H

#define VEIL_VERSION	"0.1"

#endif /* VEIL_VERSION_H */
