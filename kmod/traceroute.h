/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What traceroute and tracepath send: the beginnings of the last packets of low
 * TTL, by what a router quotes of their sealed form (STACK B10).
 */
#ifndef _VEIL_TRACEROUTE_H
#define _VEIL_TRACEROUTE_H

#include "seal.h"

/* A packet that may well not arrive: whoever sends it wants to hear of that. */
#define VEIL_TRACEROUTE_TTL		32
/* Bytes of it that a socket wants to see: headers, and what programs put behind. */
#define VEIL_TRACEROUTE_QUOTE	128
/* Packets that are kept of each peer. */
#define VEIL_TRACEROUTE_PACKETS	32

/**
 * struct veil_traceroute - one of them
 * @header: of the data message that carried it
 * @mode: how
 * @soft: a UDP socket sent it that did not ask for errors
 * @len: bytes at @quote
 * @quote: it, from its IP header on
 */
struct veil_traceroute {
	struct veil_data_header header;
	enum veil_mode mode;
	bool soft;
	unsigned int len;
	u8 quote[VEIL_TRACEROUTE_QUOTE];
};

/* Of one peer, from the first such packet on. */
struct veil_traceroutes {
	spinlock_t lock;	/* the two below */
	unsigned int next;
	struct veil_traceroute packets[VEIL_TRACEROUTE_PACKETS];
};

/*
 * Under rcu_read_lock(), BH off.
 */

/* skb goes out under header; of no consequence if there is no memory. */
void veil_traceroute_record(struct veil_peer *peer, const struct sk_buff *skb,
			    const struct veil_data_header *header,
			    enum veil_mode mode);
/* The packet that went under header; false if it is not known (any more). */
bool veil_traceroute_find(struct veil_peer *peer,
			  const struct veil_data_header *header,
			  struct veil_traceroute *found);

#endif /* _VEIL_TRACEROUTE_H */
