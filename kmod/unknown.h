/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Initiations from addresses that are no peer's (PROTOCOL section 6): looked at
 * only where some peer roams.
 *
 * While there are few roaming peers the hook tries the stamp of each: a
 * stranger's initiation dies there, unanswered, and a peer's needs no cookie,
 * flood or not.  Where there are more, it tries those that were last heard where
 * the message comes from, for a rekey needs no cookie either.  The others go to a
 * worker of their own that handles so many a second and no more: mac1; a token
 * bucket or, under load and where it is empty, mac2; and only then X25519 tells
 * whose it is.  Who shows a cookie draws on a bucket of its own, so that nobody
 * empties it who merely says to be there.
 */
#ifndef _VEIL_UNKNOWN_H
#define _VEIL_UNKNOWN_H

#include "peer.h"
#include "ratelimit.h"

/* Roaming peers whose stamps are tried in the hook, at a SipHash each: all that
 * there are, or of those at one place.
 */
#define VEIL_STAMPS_MAX	16

/**
 * struct veil_unknown - of a namespace, from its first roaming peer to its end
 * @vn: whose
 * @queue: initiations for @work
 * @work: handles them
 * @turn: jiffies_64 of its next turn; of @work alone
 * @loaded: jiffies until when mac2 is asked for; 0 never
 * @lock: @secret and its age
 * @secret: cookies are made with it
 * @secret_born: jiffies_64; 0: there is none
 * @claimed: by the network that a message says it is from; of @work alone
 * @proven: by that which it has shown by a cookie; "
 * @places: struct veil_roamer, by where they are (roam.c)
 */
struct veil_unknown {
	struct veil_net *vn;
	struct sk_buff_head queue;
	struct delayed_work work;
	u64 turn;
	unsigned long loaded;
	struct mutex lock;	/* see above */
	u8 secret[VEIL_KEY_LEN];
	u64 secret_born;
	struct veil_ratelimit claimed;
	struct veil_ratelimit proven;
	struct rhltable places;
};

/* From the hook, as veil_handshake_initiation().  peer: whose address it came
 * from, though it does not bear its stamp; or NULL.
 */
void veil_unknown_initiation(struct veil_net *vn, struct veil_peer *peer,
			     struct sk_buff *skb,
			     const struct veil_initiation *msg);

/* Have vn->unknown; vn->lock written. */
int veil_unknown_init(struct veil_net *vn);
/* Forget the cookies' secret.  Process context. */
void veil_unknown_forget(struct veil_net *vn);
/* No hook is left. */
void veil_unknown_exit(struct veil_net *vn);

#endif /* _VEIL_UNKNOWN_H */
