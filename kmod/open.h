/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Opening: a data packet becomes the inner packet, on the same skb.
 */
#ifndef _VEIL_OPEN_H
#define _VEIL_OPEN_H

#include <linux/ipv6.h>
#include <net/ip.h>

#include "hooks.h"
#include "session.h"

/* Bytes between IP header and text. */
#define VEIL_OPEN_HEAD	(VEIL_UDP_LEN + sizeof(struct veil_data_header))

/* How long the MAC header before skb->data is.  A device without one, as a tunnel, has
 * it set all the same, where the data begins.
 */
static inline unsigned int veil_open_mac_len(const struct sk_buff *skb)
{
	return skb_mac_header_was_set(skb) ? max(0, -skb_mac_offset(skb)) : 0;
}

/* Pull len bytes from behind the MAC header, which moves on with keep bytes
 * behind it.
 */
void veil_open_cut(struct sk_buff *skb, unsigned int len, unsigned int keep);

/* skb: a whole data packet to an address of ours from one of peer's, or from
 * somewhere else (peer is NULL, and its session that of one that roams); its UDP
 * header checked, transport header set.  Returns a netfilter verdict: accepted,
 * it is the inner packet; otherwise skb was consumed.
 */
unsigned int veil_open(struct veil_net *vn, struct veil_peer *peer,
		       struct sk_buff *skb, const struct nf_hook_state *state);

/*
 * Steps of opening, for batches as well.
 */

/* The session that header names; the reason to drop otherwise. */
struct veil_session *veil_open_session(struct veil_net *vn,
				       struct veil_peer *peer,
				       const struct veil_data_header *header,
				       enum veil_drop *reason);
/* What is looked at before len bytes of text and tag are opened; VEIL_DROPS: go
 * on.
 */
enum veil_drop veil_open_check(struct veil_session *session,
			       const struct veil_data_header *header,
			       size_t len);
/* The counter is spent; false if it was before.  newest: it is the lane's highest
 * so far.
 */
bool veil_open_account(struct veil_session *session,
		       const struct veil_data_header *header,
		       size_t delivered, bool *newest);
/* Something opened under session: the other end has its keys. */
void veil_open_confirm(struct veil_session *session);
/* Take away what the outer packet left on the skb. */
void veil_open_scrub(const struct veil_net *vn, struct sk_buff *skb);
/* The sender left the L4 checksum to whoever puts the packet on a wire again. */
int veil_open_checksum(struct sk_buff *skb, u8 protocol);

/* Opened packets bear this in the flags of IPCB or IP6CB, whose own end below
 * it, from PRE_ROUTING to LOCAL_IN or FORWARD: what comes there with a peer's
 * source and without it, nobody has judged.  Those that a bridge's hook opened
 * begin anew, since IP input, which comes later, clears these flags.
 */
#define VEIL_OPENED	BIT(15)

/* In the same place from FORWARD or LOCAL_IN to POST_ROUTING: it comes from a
 * local network, whatever source NAT gives it.
 */
#define VEIL_FROM_LOCAL	BIT(14)

/* In the same place from PRE_ROUTING to LOCAL_IN: it came by lo, and not from this
 * host.
 */
#define VEIL_BY_LOOPBACK	BIT(13)

/* A firewall sees by the mark what arrived sealed (veil set rx-mark). */
static inline void veil_open_mark(const struct veil_net *vn,
				  struct sk_buff *skb, bool opened)
{
	u32 mask = READ_ONCE(vn->rx_mask);

	if (mask)
		skb->mark = (skb->mark & ~mask) |
			    (opened ? READ_ONCE(vn->rx_mark) & mask : 0);
}

static inline void veil_open_set(struct sk_buff *skb, u16 flag)
{
	if (skb->protocol == htons(ETH_P_IP))
		IPCB(skb)->flags |= flag;
	else
		IP6CB(skb)->flags |= flag;
}

static inline bool veil_open_test(const struct sk_buff *skb, u16 flag)
{
	return (skb->protocol == htons(ETH_P_IP) ? IPCB(skb)->flags :
		IP6CB(skb)->flags) & flag;
}

static inline void veil_open_judged(struct sk_buff *skb)
{
	veil_open_set(skb, VEIL_OPENED);
}

static inline void veil_open_flag(const struct veil_net *vn,
				  struct sk_buff *skb)
{
	veil_open_mark(vn, skb, true);
	veil_open_judged(skb);
}

static inline bool veil_opened(const struct sk_buff *skb)
{
	return veil_open_test(skb, VEIL_OPENED);
}

/* In br_netfilter's hook, before the bridge hands it to IP. */
static inline bool veil_open_bridged(const struct sk_buff *skb)
{
	return IS_ENABLED(CONFIG_BRIDGE_NETFILTER) &&
	       skb_ext_exist(skb, SKB_EXT_BRIDGE_NF);
}

#endif /* _VEIL_OPEN_H */
