// SPDX-License-Identifier: GPL-2.0
/*
 * What passes in clear, and what hides its destination.
 */
#include <linux/icmpv6.h>
#include <linux/rpl.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/ndisc.h>

#include "exempt.h"

/* What of an ICMPv6 packet decides. */
struct veil_exempt {
	struct in6_addr source;
	u8 hop_limit;
	u8 type;
	u8 code;
	bool hop_by_hop;	/* MLD has the router alert there (RFC 2710) */
};

/* From packets that nobody has looked at yet, at the fence: no part of them
 * need be linear.
 */
static bool veil_exempt_parse(const struct sk_buff *skb, unsigned int offset,
			      struct veil_exempt *what)
{
	struct ipv6_opt_hdr *opt, opt_buffer;
	struct ipv6hdr *ip6h, buffer;
	struct icmp6hdr *icmp, icmp_buffer;
	u8 nexthdr;

	ip6h = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
	if (!ip6h || ip6h->version != 6)
		return false;
	what->source = ip6h->saddr;
	what->hop_limit = ip6h->hop_limit;
	nexthdr = ip6h->nexthdr;
	offset += sizeof(*ip6h);
	what->hop_by_hop = nexthdr == NEXTHDR_HOP;
	if (what->hop_by_hop) {
		opt = skb_header_pointer(skb, offset, sizeof(opt_buffer),
					 &opt_buffer);
		if (!opt)
			return false;
		nexthdr = opt->nexthdr;
		offset += ipv6_optlen(opt);
	}
	if (nexthdr != IPPROTO_ICMPV6)
		return false;
	icmp = skb_header_pointer(skb, offset, sizeof(icmp_buffer),
				  &icmp_buffer);
	if (!icmp)
		return false;
	what->type = icmp->icmp6_type;
	what->code = icmp->icmp6_code;
	return true;
}

static bool veil_exempt_link_local(const struct in6_addr *source)
{
	return ipv6_addr_type(source) & IPV6_ADDR_LINKLOCAL;
}

bool veil_exempt_neighbour(const struct sk_buff *skb, unsigned int offset)
{
	struct veil_exempt what;
	bool link, any;

	if (!veil_exempt_parse(skb, offset, &what))
		return false;
	link = veil_exempt_link_local(&what.source);
	any = ipv6_addr_any(&what.source);

	switch (what.type) {
	case ICMPV6_MGM_QUERY:
	case ICMPV6_MGM_REPORT:
	case ICMPV6_MGM_REDUCTION:
	case ICMPV6_MLD2_REPORT:
		return what.hop_limit == 1 && (link || any);
	}
	/* The rest is neighbour discovery, which never left the link. */
	if (what.hop_by_hop || what.hop_limit != 255 || what.code)
		return false;
	switch (what.type) {
	case NDISC_NEIGHBOUR_SOLICITATION:
	case NDISC_NEIGHBOUR_ADVERTISEMENT:
		return true;
	case NDISC_ROUTER_SOLICITATION:
		return link || any;
	case NDISC_ROUTER_ADVERTISEMENT:
	case NDISC_REDIRECT:
		return link;
	}
	return false;
}

static bool veil_exempt_final4(const struct sk_buff *skb,
			       struct in6_addr *final)
{
	const struct iphdr *iph = ip_hdr(skb);
	const u8 *opt = (const u8 *)(iph + 1);
	const u8 *end = (const u8 *)iph + ip_hdrlen(skb);
	__be32 addr;

	while (opt < end && *opt != IPOPT_END) {
		if (*opt == IPOPT_NOOP) {
			opt++;
			continue;
		}
		if (end - opt < 2 || opt[1] < 2 || opt[1] > end - opt)
			return false;
		if ((*opt == IPOPT_LSRR || *opt == IPOPT_SSRR) &&
		    opt[1] >= 7 && end - opt > 2 && opt[2] <= opt[1]) {
			memcpy(&addr, opt + opt[1] - sizeof(addr),
			       sizeof(addr));
			ipv6_addr_set_v4mapped(addr, final);
			return true;
		}
		opt += opt[1];
	}
	return false;
}

/* RPL's addresses leave out what the destination begins with (RFC 6554). */
static bool veil_exempt_final_rpl(const struct sk_buff *skb,
				  unsigned int offset, struct in6_addr *final)
{
	struct ipv6_rpl_sr_hdr buffer, *rh;
	unsigned int end;

	rh = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
	if (!rh)
		return false;
	end = offset + 8 * (rh->hdrlen + 1) - rh->pad;
	*final = ipv6_hdr(skb)->daddr;
	return !skb_copy_bits(skb, end - (sizeof(*final) - rh->cmpre),
			      final->s6_addr + rh->cmpre,
			      sizeof(*final) - rh->cmpre);
}

static bool veil_exempt_final6(const struct sk_buff *skb,
			       struct in6_addr *final)
{
	unsigned int offset = 0;
	struct ipv6_rt_hdr buffer, *rh;
	struct in6_addr addr_buffer, *addr;

	if (ipv6_find_hdr(skb, &offset, NEXTHDR_ROUTING, NULL, NULL) < 0)
		return false;
	rh = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
	if (!rh || !rh->segments_left)
		return false;
	if (rh->type == IPV6_SRCRT_TYPE_3)
		return veil_exempt_final_rpl(skb, offset, final);
	if (rh->hdrlen < 2)
		return false;
	/* Type 2 and older: addresses in order of travel; segment routing: the
	 * last one first (RFC 8754).
	 */
	offset += sizeof(*rh) + 4;
	if (rh->type != IPV6_SRCRT_TYPE_4)
		offset += (rh->hdrlen / 2 - 1) * sizeof(*addr);
	addr = skb_header_pointer(skb, offset, sizeof(*addr), &addr_buffer);
	if (!addr)
		return false;
	*final = *addr;
	return true;
}

bool veil_exempt_final(const struct sk_buff *skb, struct in6_addr *final)
{
	if (skb->protocol == htons(ETH_P_IP))
		return ip_hdr(skb)->ihl > 5 && veil_exempt_final4(skb, final);
	switch (ipv6_hdr(skb)->nexthdr) {
	case NEXTHDR_HOP:
	case NEXTHDR_DEST:
	case NEXTHDR_ROUTING:
		return veil_exempt_final6(skb, final);
	}
	return false;
}
