/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Why packets are dropped: one counter for each reason, CPU and namespace
 * (invariant 6).  The names are part of the interface: they do not change.
 */
#ifndef _VEIL_DROPS_H
#define _VEIL_DROPS_H

#include <linux/percpu.h>
#include <linux/types.h>

/* FN(name): sorted by where it happens; what it means for the user is in
 * README.md.
 */
#define VEIL_DROP_REASONS(FN)	\
	FN(plaintext_in)	\
	FN(plaintext_out)	\
	FN(no_peer)		\
	FN(no_key)		\
	FN(no_session)		\
	FN(queue_full)		\
	FN(policy_changed)	\
	FN(no_route)		\
	FN(no_memory)		\
	FN(too_big)		\
	FN(unprotectable)	\
	FN(cgroup)		\
	FN(crypto_failed)	\
	FN(limit_reached)	\
	FN(namespace_exit)	\
	FN(stranger)		\
	FN(bridged)		\
	FN(malformed)		\
	FN(ip_options)		\
	FN(unknown_index)	\
	FN(wrong_source)	\
	FN(wrong_lane)		\
	FN(expired)		\
	FN(replayed)		\
	FN(not_authentic)	\
	FN(bad_inner)		\
	FN(bad_stamp)		\
	FN(stale_initiation)	\
	FN(repeated_initiation)	\
	FN(crossed_initiation)	\
	FN(handshake_queue_full) \
	FN(rate_limited)	\
	FN(bad_mac1)		\
	FN(no_cookie)		\
	FN(handshake_failed)	\
	FN(unexpected_response)	\
	FN(psk_mismatch)	\
	FN(no_common_cipher)	\
	FN(icmp_forged)		\
	FN(icmp_unproven)

#define VEIL_DROP_ENUM(name)	VEIL_DROP_##name,
enum veil_drop {
	VEIL_DROP_REASONS(VEIL_DROP_ENUM)
	VEIL_DROPS
};

/* One for each CPU; written with this_cpu_inc() from any context. */
struct veil_drops {
	u64 count[VEIL_DROPS];
};

extern const char *const veil_drop_names[VEIL_DROPS];

/* Why the first len bytes of a packet of size bytes could not be pulled. */
static inline enum veil_drop veil_drop_pull(unsigned int size,
					    unsigned int len)
{
	return size < len ? VEIL_DROP_malformed : VEIL_DROP_no_memory;
}

/* Why a packet goes with which something failed: for otherwise, if not for want of
 * memory.
 */
static inline enum veil_drop veil_drop_error(int err, enum veil_drop otherwise)
{
	return err == -ENOMEM ? VEIL_DROP_no_memory : otherwise;
}

u64 veil_drops_sum(const struct veil_drops __percpu *drops,
		   enum veil_drop reason);

#endif /* _VEIL_DROPS_H */
