/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Changes on trial: one that is not confirmed in time is undone in the kernel,
 * whatever became of who made it.
 *
 * There is one trial at a time in a namespace, and until it ends peers and
 * policies do not change otherwise, but for a flush, which ends it: so what is
 * undone is exactly what was done.
 *
 * Process context, vn->lock written.
 */
#ifndef _VEIL_TRIAL_H
#define _VEIL_TRIAL_H

#include "net.h"

struct veil_peer;

/* What an undo restores: the policy of a prefix or of a peer. */
struct veil_trial {
	bool is_peer;
	struct veil_prefix prefix;
	u8 public_key[VEIL_KEY_LEN];
	u8 policy;		/* of before; NETVEIL_POLICY_NONE: there was none,
				 * or no such peer
				 */
	bool confirmed;		/* the peer, before */
};

/* Whether something is on trial; says so. */
bool veil_trial_refuses(const struct veil_net *vn,
			struct netlink_ext_ack *extack);
/* What holds of a prefix, or of the peer of a key, before it changes. */
void veil_trial_note_prefix(struct veil_net *vn, struct veil_trial *trial,
			    const struct veil_prefix *prefix);
void veil_trial_note_peer(struct veil_net *vn, struct veil_trial *trial,
			  const u8 public_key[VEIL_KEY_LEN]);
/* It was changed: restore that after so many seconds. */
void veil_trial_begin(struct veil_net *vn, const struct veil_trial *trial,
		      u32 seconds);
/* Keep the change; -ENOENT if there is none. */
int veil_trial_confirm(struct veil_net *vn, struct netlink_ext_ack *extack);
/* The peer that is on trial is called by another key now. */
void veil_trial_rekeyed(struct veil_net *vn, const u8 old[VEIL_KEY_LEN],
			const u8 new[VEIL_KEY_LEN]);
/* Seconds left, 0 without a trial; vn->lock read is enough. */
u32 veil_trial_left(const struct veil_net *vn);

int veil_trial_init(struct veil_net *vn);
/* None is undone after this.  Without vn->lock. */
void veil_trial_exit(struct veil_net *vn);

#endif /* _VEIL_TRIAL_H */
