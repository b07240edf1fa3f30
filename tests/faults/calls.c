// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that fail where a test wants it: linked into netveil-faults.ko alone
 * (VEIL_TEST_FAULTS=y, see Kbuild), for tests/vm/t_calls.py and t_load.py.
 *
 * The linker gives every call of these functions to a wrapper (--wrap).  One call, the
 * one that returns to fail_at, fails fail_left times, and the fail_nth one from now on
 * fails; all others are handed on.
 *
 * No header of the kernel's says what they are: all take at most six words.
 */
#include <crypto/aead.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/pagemap.h>
#include <linux/scatterlist.h>
#include <linux/skbuff.h>

static unsigned long fail_at;
static int fail_left;
static int fail_nth;
static int file_pages;

module_param(fail_at, ulong, 0600);
module_param(fail_left, int, 0600);
module_param(fail_nth, int, 0600);
/* Pages of files that the AEAD was to open: who has one mapped may write to it. */
module_param(file_pages, int, 0600);

static bool fails(void *caller)
{
	if (unlikely(READ_ONCE(fail_nth))) {
		WRITE_ONCE(fail_nth, fail_nth - 1);
		return !fail_nth;
	}
	if (likely((unsigned long)caller != READ_ONCE(fail_at)) ||
	    READ_ONCE(fail_left) <= 0)
		return false;
	WRITE_ONCE(fail_left, fail_left - 1);
	return true;
}

#define WRAP(name, failure)	WRAP_BUT(name, false, failure)

/* Those that are spared are as if they were not wrapped. */
#define WRAP_BUT(name, spared, failure)					\
	long __real_##name(long, long, long, long, long, long);	\
	long __wrap_##name(long, long, long, long, long, long);	\
	long __wrap_##name(long a, long b, long c, long d, long e, long f) \
	{								\
		if (!(spared) && fails(__builtin_return_address(0)))	\
			return failure;					\
		return __real_##name(a, b, c, d, e, f);			\
	}

/* It frees what it cannot expand. */
static long no_head(struct sk_buff *skb)
{
	kfree_skb(skb);
	return 0;
}

static long no_frags(int *err)
{
	*err = -ENOBUFS;
	return 0;
}

/* Spares none. */
static bool counts_pages(struct aead_request *request)
{
	struct scatterlist *sg;

	for (sg = request->src; sg; sg = sg_next(sg))
		if (folio_mapping(page_folio(sg_page(sg))))
			WRITE_ONCE(file_pages, file_pages + 1);
	return false;
}

/* Kbuild reads this list, too. */
WRAP(__alloc_pages_noprof, 0)
WRAP(__alloc_skb, 0)
WRAP_BUT(__kmalloc_cache_noprof, b & (__force long)__GFP_NOFAIL, 0)
WRAP(__kmalloc_large_noprof, 0)
WRAP(__kmalloc_noprof, 0)
WRAP(__kvmalloc_node_noprof, 0)
WRAP(__neigh_create, -ENOBUFS)
WRAP(__pskb_pull_tail, 0)
WRAP(__skb_gso_segment, -ENOMEM)
WRAP(alloc_skb_with_frags, no_frags((int *)d))
WRAP_BUT(crypto_aead_decrypt, counts_pages((struct aead_request *)a), -ENOMEM)
WRAP(crypto_alloc_aead, -ENOMEM)
WRAP(crypto_alloc_kpp, -ENOMEM)
WRAP(dst_cache_init, -ENOMEM)
WRAP(ip6_dst_lookup_flow, -ENOMEM)
WRAP(ip_route_output_flow, -ENOMEM)
WRAP(kmem_cache_alloc_noprof, 0)
WRAP(nf_register_net_hook, -ENOMEM)
WRAP(nf_register_net_hooks, -ENOMEM)
WRAP(pcpu_alloc_noprof, 0)
WRAP(pskb_expand_head, -ENOMEM)
WRAP(rhashtable_insert_slow, -ENOMEM)
WRAP(secpath_set, 0)
WRAP(skb_cow_data, -ENOMEM)
WRAP(skb_expand_head, no_head((struct sk_buff *)a))
WRAP(skb_page_frag_refill, 0)
WRAP(sock_create_kern, -ENOMEM)

/* And those by which it is loaded. */
WRAP(__kmem_cache_create_args, 0)
WRAP(alloc_workqueue, 0)
WRAP(crypto_alloc_shash, -ENOMEM)
WRAP(genl_register_family, -ENOMEM)
WRAP(metadata_dst_alloc, 0)
WRAP(register_netdevice_notifier, -ENOMEM)
WRAP(register_pernet_subsys, -ENOMEM)
WRAP(register_pm_notifier, -ENOMEM)
WRAP(rhashtable_init_noprof, -ENOMEM)
WRAP(rhltable_init_noprof, -ENOMEM)
