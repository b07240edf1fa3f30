// SPDX-License-Identifier: GPL-2.0
/*
 * Our own identities.
 *
 * With a next identity beside the current one every peer may know us by either,
 * and handshakes try both (initiator.c), so that a fleet changes keys host by
 * host.  The current one goes by command or at a date; peers that were told of
 * the next one refuse it sooner, each with its first session (peer_key.c).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <crypto/algapi.h>
#include <linux/random.h>

#include "handshake.h"
#include "peer_key.h"
#include "rotate.h"

static bool veil_rotate_is_current(const struct veil_net *vn,
				   const u8 public_key[VEIL_KEY_LEN])
{
	return vn->origin != NETVEIL_KEY_NONE &&
	       !memcmp(public_key, vn->identity.public, VEIL_KEY_LEN);
}

bool veil_rotate_is_next(const struct veil_net *vn,
			 const u8 public_key[VEIL_KEY_LEN])
{
	return vn->next_origin != NETVEIL_KEY_NONE &&
	       !memcmp(public_key, vn->next_identity.public, VEIL_KEY_LEN);
}

bool veil_rotate_is_own(const struct veil_net *vn,
			const u8 public_key[VEIL_KEY_LEN])
{
	return veil_rotate_is_current(vn, public_key) ||
	       veil_rotate_is_next(vn, public_key);
}

int veil_rotate_make(struct veil_net *vn, const u8 *private,
		     const struct veil_identity *other,
		     struct veil_identity *identity,
		     struct netlink_ext_ack *extack)
{
	int err;

	if (private) {
		memcpy(identity->private, private, VEIL_KEY_LEN);
	} else if (rng_is_initialized()) {
		get_random_bytes(identity->private, VEIL_KEY_LEN);
	} else {
		NL_SET_ERR_MSG_MOD(extack,
				   "the kernel's random generator is not ready yet: try again in a moment");
		return -EAGAIN;
	}
	err = veil_x25519_public(identity->public, identity->private);
	if (err)
		return err;
	if (veil_peer_find(vn, identity->public)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "a peer has this key: every host needs its own");
		return -EINVAL;
	}
	/* A public key of zeros, as one that is not there has it, has no private
	 * half.
	 */
	if (other && !memcmp(other->public, identity->public, VEIL_KEY_LEN)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "this host's current and next key must differ");
		return -EINVAL;
	}
	return 0;
}

/* All peers' pairs under the identities that there are.  Those for which memory
 * is short now the handshake's worker makes: a key that has replaced another is
 * not to be refused.
 */
static void veil_rotate_pairs(struct veil_net *vn)
{
	struct veil_peer *peer;

	list_for_each_entry(peer, &vn->peers, list) {
		if (veil_pairs_make(peer))
			veil_handshake_queue(peer);
	}
}

void veil_rotate_drop_next(struct veil_net *vn)
{
	struct veil_peer *peer;

	list_for_each_entry(peer, &vn->peers, list)
		veil_pairs_drop(peer, VEIL_PAIR_OUR_NEXT, 0);
	memzero_explicit(&vn->next_identity, sizeof(vn->next_identity));
	vn->next_origin = NETVEIL_KEY_NONE;
	vn->retire_at = 0;
}

void veil_rotate_set(struct veil_net *vn, const struct veil_identity *identity,
		     u8 origin)
{
	struct veil_peer *peer;

	/* Given again it is no change; new pairs would not know what initiations
	 * came in.
	 */
	if (veil_rotate_is_current(vn, identity->public)) {
		vn->origin = origin;
		return;
	}
	if (veil_rotate_is_next(vn, identity->public))
		veil_rotate_drop_next(vn);
	list_for_each_entry(peer, &vn->peers, list)
		veil_pairs_drop(peer, 0, VEIL_PAIR_OUR_NEXT);
	vn->identity = *identity;
	vn->origin = origin;
	/* It was for the one before. */
	vn->retire_at = 0;
	veil_rotate_pairs(vn);
	list_for_each_entry(peer, &vn->peers, list)
		veil_peer_restart(peer);
}

void veil_rotate_set_next(struct veil_net *vn,
			  const struct veil_identity *identity, u8 origin)
{
	struct veil_peer *peer;

	/* As above; the date for the current one stays, too. */
	if (veil_rotate_is_next(vn, identity->public)) {
		vn->next_origin = origin;
		return;
	}
	veil_rotate_drop_next(vn);
	vn->next_identity = *identity;
	vn->next_origin = origin;
	veil_rotate_pairs(vn);
	/* Whoever knows the next key already changes to it now. */
	list_for_each_entry(peer, &vn->peers, list)
		veil_peer_renew(peer);
}

/* Peers with whom no session has been confirmed under our next key. */
static unsigned int veil_rotate_behind(struct veil_net *vn)
{
	unsigned int count = 0;
	struct veil_peer *peer;

	list_for_each_entry(peer, &vn->peers, list)
		count += !veil_peer_on_next(peer);
	return count;
}

int veil_rotate_may_drop_next(struct veil_net *vn, bool force,
			      struct netlink_ext_ack *extack)
{
	struct veil_peer *peer;

	if (force)
		return 0;
	list_for_each_entry(peer, &vn->peers, list) {
		if (peer->leaving || !veil_peer_on_next(peer))
			continue;
		NL_SET_ERR_MSG_MOD(extack,
				   "some peers have changed to the next key (veil peer show tells which) and would be cut off: veil key retire makes it the current one");
		return -EBUSY;
	}
	return 0;
}

static void veil_rotate_retire_now(struct veil_net *vn)
{
	char where[VEIL_NET_WHERE];
	struct veil_peer *peer;

	vn->identity = vn->next_identity;
	vn->origin = vn->next_origin;
	memzero_explicit(&vn->next_identity, sizeof(vn->next_identity));
	vn->next_origin = NETVEIL_KEY_NONE;
	vn->retire_at = 0;
	vn->generation++;
	list_for_each_entry(peer, &vn->peers, list)
		veil_pairs_promote(peer, VEIL_PAIR_OUR_NEXT);
	if (veil_net_may_log(vn, where))
		pr_notice("the next private key is this host's only one%s from now on: the one before is wiped\n",
			  where);
}

int veil_rotate_may_retire(struct veil_net *vn, u32 seconds, bool force,
			   struct netlink_ext_ack *extack)
{
	if (vn->next_origin == NETVEIL_KEY_NONE) {
		NL_SET_ERR_MSG_MOD(extack,
				   "there is no next key: veil key generate next makes one");
		return -ENOENT;
	}
	if (!seconds && !force && veil_rotate_behind(vn)) {
		NL_SET_ERR_MSG_MOD(extack,
				   "some peers had no session under the next key yet (veil peer show tells which) and would be cut off: veil key retire force");
		return -EBUSY;
	}
	return 0;
}

void veil_rotate_retire(struct veil_net *vn, u32 seconds)
{
	if (!seconds) {
		veil_rotate_retire_now(vn);
		return;
	}
	vn->retire_at = ktime_get_boottime_seconds() + seconds;
	veil_rotate_soon(vn);
}

void veil_rotate_forget(struct veil_net *vn)
{
	veil_rotate_drop_next(vn);
	memzero_explicit(&vn->identity, sizeof(vn->identity));
	vn->origin = NETVEIL_KEY_NONE;
}

u32 veil_rotate_deadline(const struct veil_net *vn)
{
	time64_t now = ktime_get_boottime_seconds();

	if (!vn->retire_at)
		return 0;
	return max_t(time64_t, vn->retire_at - now, 1);
}

void veil_rotate_soon(struct veil_net *vn)
{
	mod_delayed_work(veil_queues_of(vn->net)->all, &vn->rotate_work, 0);
}

void veil_rotate_work(struct work_struct *work)
{
	struct veil_net *vn = container_of(to_delayed_work(work),
					   struct veil_net, rotate_work);
	struct veil_peer *peer;

	down_write(&vn->lock);
	list_for_each_entry(peer, &vn->peers, list)
		veil_peer_rotate(peer);
	if (vn->retire_at && ktime_get_boottime_seconds() >= vn->retire_at)
		veil_rotate_retire_now(vn);
	/* Looks again at least every minute: a clock of the work's own would
	 * stand still while the host sleeps.  Not later than veil_rotate_soon()
	 * has asked for meanwhile: until then that peer gets no answer.
	 */
	if (vn->retire_at)
		queue_delayed_work(veil_queues_of(vn->net)->all,
				   &vn->rotate_work,
				   HZ * min_t(u32, veil_rotate_deadline(vn), 60));
	up_write(&vn->lock);
}
