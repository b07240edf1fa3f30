/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Telling when protection ends: a change after which an address under "require"
 * no longer is, computed from what held before and after it.
 *
 * A change is put between begin and end, which may be nested: the outermost
 * counts.  Before a prefix appears, disappears or changes its kind, touch notes
 * what holds for its addresses; end looks again, and tells the kernel's log, the
 * audit subsystem and whoever listens to our events of each prefix that lost.
 *
 * Process context, vn->lock written.
 */
#ifndef _VEIL_WEAKEN_H
#define _VEIL_WEAKEN_H

#include "net.h"

/* reason: a stable name in lower case; a literal. */
void veil_weaken_begin(struct veil_net *vn, const char *reason);
/* This change is somebody else's doing than an administrator's: of those that
 * weaken anything, it is logged and audited only as often as limit lets.
 */
void veil_weaken_rarely(struct veil_net *vn, struct ratelimit_state *limit);
void veil_weaken_touch(struct veil_net *vn, const struct veil_prefix *prefix);
/* The same where a peer gets or loses prefix, or we: a "prefer" within follows the
 * sessions of whoever has the addresses.
 */
void veil_weaken_touch_network(struct veil_net *vn,
			       const struct veil_prefix *prefix);
/* The same where a policy appears, disappears or changes: it holds for what is ours
 * within it as well, also within a peer's network, which is not the peer's then.
 */
void veil_weaken_touch_policy(struct veil_net *vn,
			      const struct veil_prefix *prefix);
void veil_weaken_end(struct veil_net *vn);

int veil_weaken_init(struct veil_net *vn);
void veil_weaken_exit(struct veil_net *vn);

#endif /* _VEIL_WEAKEN_H */
