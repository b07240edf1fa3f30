// SPDX-License-Identifier: GPL-2.0
/*
 * Dropping packets, and saying why.
 */
#include <linux/cpumask.h>

#include "net.h"
#include "peer.h"
#include "trace.h"

#define VEIL_DROP_NAME(name)	[VEIL_DROP_##name] = #name,
const char *const veil_drop_names[VEIL_DROPS] = {
	VEIL_DROP_REASONS(VEIL_DROP_NAME)
};

u64 veil_drops_sum(const struct veil_drops __percpu *drops,
		   enum veil_drop reason)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(drops, cpu)->count[reason]);
	return sum;
}

void veil_drop_trace(struct veil_net *vn, enum veil_drop reason)
{
	trace_veil_drop(vn, NULL, reason);
}

void veil_drop(struct veil_net *vn, struct sk_buff *skb, enum veil_drop reason)
{
	veil_drop_count(vn, reason);
	kfree_skb(skb);
}

void veil_peer_drop(struct veil_peer *peer, struct sk_buff *skb,
		    enum veil_drop reason)
{
	atomic64_inc(&peer->drops);
	this_cpu_inc(peer->vn->drops->count[reason]);
	trace_veil_drop(peer->vn, peer, reason);
	kfree_skb(skb);
}
