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

bool veil_exempt_discovery(const struct sk_buff *skb)
{
	u8 nexthdr = ipv6_hdr(skb)->nexthdr;
	__be16 fragment;
	u8 *type, buffer;
	int offset;

	offset = ipv6_skip_exthdr(skb, skb_network_offset(skb) +
				  sizeof(struct ipv6hdr), &nexthdr, &fragment);
	if (offset < 0 || nexthdr != IPPROTO_ICMPV6 ||
	    fragment & htons(IP6_OFFSET))
		return false;
	type = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
	if (!type)
		return false;
	switch (*type) {
	case ICMPV6_MGM_QUERY:
	case ICMPV6_MGM_REPORT:
	case ICMPV6_MGM_REDUCTION:
	case ICMPV6_MLD2_REPORT:
	case NDISC_ROUTER_SOLICITATION:
	case NDISC_ROUTER_ADVERTISEMENT:
	case NDISC_NEIGHBOUR_SOLICITATION:
	case NDISC_NEIGHBOUR_ADVERTISEMENT:
	case NDISC_REDIRECT:
		return true;
	}
	return false;
}

static bool veil_exempt_final4(const struct sk_buff *skb,
			       struct veil_final *final)
{
	const struct iphdr *iph = ip_hdr(skb);
	const u8 *end = (const u8 *)iph + ip_hdrlen(skb);
	const u8 *opt, *next;
	unsigned int stops;
	__be32 addr;

	if (!final->offset)
		final->offset = sizeof(*iph);
	opt = (const u8 *)iph + final->offset;
	for (; opt < end && *opt != IPOPT_END; opt = next) {
		next = opt + 1;
		if (*opt == IPOPT_NOOP)
			continue;
		if (end - opt < 2 || opt[1] < 2 || opt[1] > end - opt)
			return false;
		next = opt + opt[1];
		if ((*opt != IPOPT_LSRR && *opt != IPOPT_SSRR) ||
		    opt[1] < 7 || opt[2] < 4 || opt[2] > opt[1])
			continue;
		/* From where the pointer is, whatever is left at the end. */
		stops = (opt[1] - (opt[2] - 1)) / sizeof(addr);
		if (!stops)
			continue;
		memcpy(&addr, opt + opt[2] - 1 + (stops - 1) * sizeof(addr),
		       sizeof(addr));
		ipv6_addr_set_v4mapped(addr, &final->addr);
		final->offset = next - (const u8 *)iph;
		return true;
	}
	return false;
}

/* RPL's addresses leave out what the destination begins with (RFC 6554). */
static bool veil_exempt_final_rpl(const struct sk_buff *skb,
				  unsigned int offset, struct in6_addr *addr)
{
	struct ipv6_rpl_sr_hdr buffer, *rh;
	unsigned int end;

	rh = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
	if (!rh)
		return false;
	end = offset + 8 * (rh->hdrlen + 1) - rh->pad;
	*addr = ipv6_hdr(skb)->daddr;
	return !skb_copy_bits(skb, end - (sizeof(*addr) - rh->cmpre),
			      addr->s6_addr + rh->cmpre,
			      sizeof(*addr) - rh->cmpre);
}

/* The last stop of the routing header at offset, unless it is used up. */
static bool veil_exempt_final_routing(const struct sk_buff *skb,
				      unsigned int offset,
				      struct in6_addr *addr)
{
	struct ipv6_rt_hdr buffer, *rh;

	rh = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
	if (!rh || !rh->segments_left)
		return false;
	if (rh->type == IPV6_SRCRT_TYPE_3)
		return veil_exempt_final_rpl(skb, offset, addr);
	if (rh->hdrlen < 2)
		return false;
	/* Type 2 and older: addresses in order of travel; segment routing: the
	 * last one first (RFC 8754).
	 */
	offset += sizeof(*rh) + 4;
	if (rh->type != IPV6_SRCRT_TYPE_4)
		offset += (rh->hdrlen / 2 - 1) * sizeof(*addr);
	return !skb_copy_bits(skb, offset, addr, sizeof(*addr));
}

/* Length of an extension header, or 0: what follows is none, or in a fragment that
 * came before.
 */
static unsigned int veil_exempt_skip(const struct sk_buff *skb,
				     unsigned int offset, u8 type,
				     const struct ipv6_opt_hdr *opt)
{
	struct frag_hdr buffer, *fh;

	switch (type) {
	case NEXTHDR_HOP:
	case NEXTHDR_DEST:
	case NEXTHDR_ROUTING:
		return ipv6_optlen(opt);
	case NEXTHDR_AUTH:
		return ipv6_authlen(opt);
	case NEXTHDR_FRAGMENT:
		fh = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
		return fh && !(fh->frag_off & htons(IP6_OFFSET)) ?
		       sizeof(*fh) : 0;
	}
	return 0;
}

static bool veil_exempt_final6(const struct sk_buff *skb,
			       struct veil_final *final)
{
	struct ipv6_opt_hdr *opt, buffer;
	unsigned int offset, len;
	bool found = false;
	u8 type;

	if (!final->offset) {
		final->offset = skb_network_offset(skb) +
				sizeof(struct ipv6hdr);
		final->type = ipv6_hdr(skb)->nexthdr;
	}
	while (!found) {
		offset = final->offset;
		type = final->type;
		opt = skb_header_pointer(skb, offset, sizeof(buffer), &buffer);
		len = opt ? veil_exempt_skip(skb, offset, type, opt) : 0;
		if (!len)
			return false;
		final->offset += len;
		final->type = opt->nexthdr;
		found = type == NEXTHDR_ROUTING &&
			veil_exempt_final_routing(skb, offset, &final->addr);
	}
	return true;
}

bool veil_exempt_final(const struct sk_buff *skb, struct veil_final *final)
{
	if (skb->protocol == htons(ETH_P_IP))
		return ip_hdr(skb)->ihl > 5 && veil_exempt_final4(skb, final);
	return veil_exempt_final6(skb, final);
}
