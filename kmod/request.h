/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One packet in the hands of the crypto API, on its way out or in.
 *
 * The API may finish later and on another CPU.  While it does, the session's
 * lane is held; the namespace waits for its peers, they for their sessions, and
 * those for their lanes.
 */
#ifndef _VEIL_REQUEST_H
#define _VEIL_REQUEST_H

#include <linux/netfilter.h>
#include <linux/scatterlist.h>

#include "addr.h"
#include "cipher.h"
#include "compat.h"
#include "session.h"

/* Header, and in transport mode source and destination address. */
#define VEIL_AAD_MAX	(sizeof(struct veil_data_header) + \
			 2 * sizeof(struct in6_addr))

/**
 * struct veil_request - see above
 * @session: whose key; its lane is held while the API has the request
 * @size: of its memory
 * @skb: out: the outer packet; in: the packet to open
 * @dev: in: where it came from; held
 * @page: of a batch: to open into; goes with the request if the API keeps it
 * @state: in: the hook's, to go on from when the API finishes later
 * @header: copy of the packet's
 * @nonce: lane and counter
 * @aad: what is authenticated but not encrypted
 * @text: bytes of text
 * @control: out: no packet of anybody's, but ours to send to @place
 * @place: out: see @control
 * @sg: @aad, then the text
 * @aead: the request itself; @sg's table lies behind its private part
 */
struct veil_request {
	struct veil_session *session;
	size_t size;
	struct sk_buff *skb;
	struct net_device *dev;
	struct page *page;
	struct nf_hook_state state;
	struct veil_data_header header;
	u8 nonce[VEIL_NONCE_LEN];
	u8 aad[VEIL_AAD_MAX];
	unsigned int text;
	bool control;
	struct veil_place place;
	struct scatterlist *sg;
	struct aead_request aead;
};

/* Room for text in so many pieces. */
struct veil_request *veil_request_alloc(struct veil_session *session,
					const struct veil_data_header *header,
					unsigned int pieces);
void veil_request_free(struct veil_request *request);
/* The same from the completion of one that was held. */
void veil_request_free_late(struct veil_request *request);
/* Completion of a batch's request, which has to answer at once and did not: @skb
 * goes with it.  The batch has counted that.
 */
void veil_request_late(veil_completion_data_t *data, int err);

/* The API took it and finishes later, or has on another CPU by now.  Under the
 * rcu_read_lock() that session was found under: whoever frees it waits for that
 * to end, and then for the lane.
 */
static inline void veil_request_hold(struct veil_session *session, u16 lane)
{
	atomic_inc(&session->lanes[lane].in_flight);
}

/* The spares; no packet is on its way any more. */
void veil_request_exit(void);

/* Additional data, in transport mode with the addresses; returns its length. */
unsigned int veil_request_aad(struct veil_request *request,
			      const struct veil_addr_pair *addrs);

#endif /* _VEIL_REQUEST_H */
