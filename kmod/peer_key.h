/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The keys that peers are known by, their psks, and how next ones take the place
 * of current ones.  Process context, vn->lock written if nothing else is said.
 */
#ifndef _VEIL_PEER_KEY_H
#define _VEIL_PEER_KEY_H

#include "peer.h"

/* If the next psk that config names is the peer's only one by now, that is what it
 * says: so it is when a file is loaded again, and nobody but us can compare psks.
 */
void veil_peer_know_psk(const struct veil_peer *peer,
			struct veil_peer_config *config);
/* Whether config leaves the peer's psk as it is. */
bool veil_peer_same_psk(const struct veil_peer *peer,
			const struct veil_peer_config *config);
/* Whether it leaves all keys as they are, or names a next key that is in use. */
bool veil_peer_same_keys(const struct veil_peer *peer,
			 const struct veil_peer_config *config);
/* Give a new peer its key; it is in veil_net.by_key from now on. */
int veil_peer_set_key(struct veil_peer *peer, const u8 public_key[VEIL_KEY_LEN]);
/* Refuse a key that is ours, some peer's or nobody's. */
int veil_peer_check_key(struct veil_net *vn, const u8 public_key[VEIL_KEY_LEN],
			struct netlink_ext_ack *extack);
/* Refuse what config has of psks and a next key; peer is NULL for a new one. */
int veil_peer_check_keys(struct veil_net *vn, const struct veil_peer *peer,
			 const struct veil_peer_config *config,
			 struct netlink_ext_ack *extack);
/* Memory for them, after that; whatever keys has then, also after an error, is
 * freed or put: free takes it back, put cannot fail.
 */
int veil_peer_make_keys(struct veil_peer *peer,
			const struct veil_peer_config *config,
			struct veil_peer_keys *keys);
void veil_peer_free_keys(struct veil_peer *peer, struct veil_peer_keys *keys);
void veil_peer_put_keys(struct veil_peer *peer,
			const struct veil_peer_config *config,
			const struct veil_peer_keys *keys);
/* Wipe psks and pairs, and leave the table. */
void veil_peer_forget_keys(struct veil_peer *peer);

/* Whether its last confirmed session was under our next key.  vn->lock held. */
bool veil_peer_on_next(const struct veil_peer *peer);
/* Something opened under session for the first time.  Packet path. */
void veil_peer_confirmed(struct veil_session *session);
/* What that session was made with takes the place of what was before it. */
void veil_peer_rotate(struct veil_peer *peer);

#endif /* _VEIL_PEER_KEY_H */
