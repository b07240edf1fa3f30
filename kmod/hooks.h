/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The netfilter hooks: which packets Netveil judges.
 */
#ifndef _VEIL_HOOKS_H
#define _VEIL_HOOKS_H

#include <linux/netfilter.h>
#include <net/lwtunnel.h>

#include "net.h"

/* Process context, vn->lock written. */
int veil_hooks_register(struct veil_net *vn);
void veil_hooks_unregister(struct veil_net *vn);

/* Let skb go on from behind our hook, as after NF_ACCEPT; consumes it.  Under
 * rcu_read_lock(), BH off.
 */
void veil_hooks_continue(struct sk_buff *skb, struct nf_hook_state *state);

/* Whether packets of this protocol are put together before they reach our hook
 * at PRE_ROUTING, as connection tracking wants it.  Under rcu_read_lock().
 */
bool veil_hooks_defrag(struct net *net, __be16 protocol);

/* Whether the route wraps or rewrites what goes by it before POST_ROUTING (seg6, ioam6,
 * rpl, ila).  A BPF program there changes nothing.
 */
static inline bool veil_hooks_wraps(const struct dst_entry *dst)
{
	return lwtunnel_output_redirect(dst->lwtstate) &&
	       dst->lwtstate->type != LWTUNNEL_ENCAP_BPF;
}

#endif /* _VEIL_HOOKS_H */
