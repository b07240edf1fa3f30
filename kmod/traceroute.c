// SPDX-License-Identifier: GPL-2.0
/*
 * The last packets of low TTL, for ICMP errors about them.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/slab.h>

#include "traceroute.h"

static bool veil_traceroute_wanted(const struct sk_buff *skb, enum veil_mode mode)
{
	/* From end to end the outer TTL is our own. */
	if (mode == VEIL_TUNNEL)
		return false;
	if (skb->protocol == htons(ETH_P_IP))
		return ip_hdr(skb)->ttl <= VEIL_TRACEROUTE_TTL;
	return ipv6_hdr(skb)->hop_limit <= VEIL_TRACEROUTE_TTL;
}

/* The peer's, made when it is first wanted; the peer's end frees it. */
static struct veil_traceroutes *veil_traceroute_of(struct veil_peer *peer)
{
	struct veil_traceroutes *traces = READ_ONCE(peer->traceroutes);
	struct veil_traceroutes *other;

	if (traces)
		return traces;
	traces = kzalloc(sizeof(*traces), GFP_ATOMIC | __GFP_NOWARN);
	if (!traces)
		return NULL;
	spin_lock_init(&traces->lock);
	other = cmpxchg(&peer->traceroutes, NULL, traces);
	if (!other)
		return traces;
	kfree(traces);
	return other;
}

void veil_traceroute_record(struct veil_peer *peer, const struct sk_buff *skb,
			    const struct veil_data_header *header,
			    enum veil_mode mode)
{
	struct veil_traceroutes *traces;
	struct veil_traceroute *packet;

	if (likely(!veil_traceroute_wanted(skb, mode)))
		return;
	traces = veil_traceroute_of(peer);
	if (!traces)
		return;
	spin_lock(&traces->lock);
	packet = &traces->packets[traces->next++ % VEIL_TRACEROUTE_PACKETS];
	packet->header = *header;
	packet->mode = mode;
	packet->len = min_t(unsigned int, skb->len, VEIL_TRACEROUTE_QUOTE);
	if (skb_copy_bits(skb, 0, packet->quote, packet->len))
		packet->len = 0;
	spin_unlock(&traces->lock);
}

bool veil_traceroute_find(struct veil_peer *peer,
			  const struct veil_data_header *header,
			  struct veil_traceroute *found)
{
	struct veil_traceroutes *traces = READ_ONCE(peer->traceroutes);
	unsigned int i;

	found->len = 0;
	if (!traces)
		return false;
	spin_lock(&traces->lock);
	for (i = 0; i < VEIL_TRACEROUTE_PACKETS && !found->len; i++)
		if (!memcmp(&traces->packets[i].header, header,
			    sizeof(*header)))
			*found = traces->packets[i];
	spin_unlock(&traces->lock);
	return found->len;
}
