// SPDX-License-Identifier: GPL-2.0
/*
 * The last packets of low TTL, for ICMP errors about them.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/slab.h>
#include <linux/tcp.h>
#include <net/sock.h>

#include "compat.h"
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

/* TCP or UDP, if a socket of that sent skb and did not ask for errors; else 0.  A tunnel
 * device's packet still has the inner one's socket, but mostly another protocol.
 */
static u8 veil_traceroute_unasked(const struct sk_buff *skb, int *l4)
{
	const struct sock *sk = skb_to_full_sk(skb);
	bool ipv6 = skb->protocol == htons(ETH_P_IPV6);
	__be16 fragment;
	u8 protocol;

	if (!sk || !sk_fullsock(sk) || sk->sk_type == SOCK_RAW)
		return 0;
	if (ipv6) {
		protocol = ipv6_hdr(skb)->nexthdr;
		*l4 = ipv6_skip_exthdr(skb, sizeof(struct ipv6hdr), &protocol,
				       &fragment);
	} else {
		protocol = ip_hdr(skb)->protocol;
		*l4 = ip_hdrlen(skb);
	}
	if (*l4 < 0 || protocol != sk->sk_protocol ||
	    (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP))
		return 0;
	return veil_sk_recverr(sk, ipv6) ? 0 : protocol;
}

/* Who reads the path can have a proven error here before any answer is, and an error
 * ends what TCP begins, and some of them what a connected UDP socket does.  TCP takes
 * none that quotes what it has not under way; programs that listen for ICMP (mtr) know
 * theirs by the ports.
 */
static void veil_traceroute_soften(struct veil_traceroute *packet,
				   const struct sk_buff *skb)
{
	int l4 = 0;
	u8 protocol = veil_traceroute_unasked(skb, &l4);
	unsigned int sequence = l4 + offsetof(struct tcphdr, seq);

	packet->soft = protocol == IPPROTO_UDP;
	if (protocol == IPPROTO_TCP && sequence < packet->len)
		packet->quote[sequence] ^= 0x80;
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
	veil_traceroute_soften(packet, skb);
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
