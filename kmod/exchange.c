// SPDX-License-Identifier: GPL-2.0
/*
 * What both halves of a handshake share: mac1, flags, from the final Noise state to
 * a session in its slot.
 */
#include <crypto/algapi.h>

#include "exchange.h"
#include "keys.h"
#include "timers.h"
#include "trace.h"
#include "tx.h"

bool veil_exchange_mac1_ok(const u8 public_key[VEIL_KEY_LEN], const void *msg,
			   size_t len)
{
	const struct veil_macs *macs = msg + len;
	u8 mac1[VEIL_MAC_LEN];

	if (veil_mac1(mac1, public_key, msg, len))
		return false;
	return !crypto_memneq(mac1, macs->mac1, sizeof(mac1));
}

bool veil_exchange_rotates(const struct veil_peer *peer, int place,
			   const struct veil_psk *psk)
{
	return place & VEIL_PAIR_THEIR_NEXT ||
	       (psk && peer->psk_next &&
		!crypto_memneq(psk->id, peer->psk_next->id, VEIL_PSK_ID_LEN));
}

u8 veil_exchange_flags(const struct veil_peer *peer)
{
	return peer->roaming ? VEIL_PAYLOAD_ROAMS : 0;
}

int veil_exchange_keys(struct veil_session *session, struct veil_noise *noise,
		       const struct veil_response_header *header)
{
	u8 initiator[VEIL_KEY_LEN], responder[VEIL_KEY_LEN];
	struct veil_noise_keys keys;
	int err;

	err = veil_noise_split(noise, &keys);
	if (!err)
		err = veil_data_key(initiator, keys.initiator, session->aead,
				    header, keys.h);
	if (!err)
		err = veil_data_key(responder, keys.responder, session->aead,
				    header, keys.h);
	if (!err && session->initiator)
		err = veil_session_set_keys(session, initiator, responder);
	else if (!err)
		err = veil_session_set_keys(session, responder, initiator);

	memzero_explicit(&keys, sizeof(keys));
	memzero_explicit(initiator, sizeof(initiator));
	memzero_explicit(responder, sizeof(responder));
	return err;
}

void veil_exchange_install(struct veil_peer *peer,
			   struct veil_session *session)
{
	bool initiator = session->initiator;

	spin_lock_bh(&peer->lock);
	trace_veil_session_made(session);
	veil_session_install(peer, session);
	/* A series of ours has its answer. */
	if (initiator)
		WRITE_ONCE(peer->handshaking, false);
	spin_unlock_bh(&peer->lock);
	veil_timers_arm(peer);

	/* The initiator may seal at once, and must, so that the responder may.
	 * The responder waits until something opens (confirmation).
	 */
	if (initiator)
		veil_tx_session_up(peer);
}
