/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Marks on packets that cloning, fragmentation and IP input leave alone: in a
 * security path without transformations, where others have a count of 0 (a byte
 * on 7.x).
 */
#ifndef _VEIL_MARK_H
#define _VEIL_MARK_H

#include <linux/skbuff.h>
#include <net/xfrm.h>

enum veil_mark {
	VEIL_MARK_SEALED = 0x76,	/* for the fence */
	VEIL_MARK_FORWARD,		/* for flow tables (flows.h) */
	VEIL_MARK_OPENED,		/* of what begins anew (tunnel.c) */
};

static inline int veil_mark(struct sk_buff *skb, enum veil_mark mark)
{
	struct sec_path *sp = secpath_set(skb);

	if (!sp)
		return -ENOMEM;
	sp->verified_cnt = mark;
	return 0;
}

static inline bool veil_marked(const struct sk_buff *skb, enum veil_mark mark)
{
	const struct sec_path *sp = skb_sec_path(skb);

	return sp && !sp->len && sp->verified_cnt == mark;
}

/* Take a mark away, if it is there. */
static inline bool veil_unmark(struct sk_buff *skb, enum veil_mark mark)
{
	if (!veil_marked(skb, mark))
		return false;
	secpath_reset(skb);
	return true;
}

#endif /* _VEIL_MARK_H */
