// SPDX-License-Identifier: GPL-2.0
/*
 * Netveil: IP between configured hosts, encrypted.  Loading and unloading.
 */
#include <linux/module.h>
#include <linux/workqueue.h>

#include "cipher.h"
#include "crypto.h"
#include "fence.h"
#include "net.h"
#include "netlink.h"
#include "pages.h"
#include "peer.h"
#include "request.h"
#include "rx.h"
#include "seal.h"
#include "tunnel.h"
#include "version.h"
#include "wipe.h"

struct veil_queues veil_queues[2];

static void veil_queues_exit(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(veil_queues); i++) {
		if (veil_queues[i].peers)
			destroy_workqueue(veil_queues[i].peers);
		if (veil_queues[i].all)
			destroy_workqueue(veil_queues[i].all);
	}
}

static int __init veil_queues_init(void)
{
	static const char *const names[][2] = {
		{ "netveil", "netveil-peer" },
		{ "netveil-user", "netveil-user-peer" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(veil_queues); i++) {
		veil_queues[i].all = alloc_workqueue("%s", WQ_UNBOUND, 0,
						     names[i][0]);
		veil_queues[i].peers = alloc_workqueue("%s", WQ_UNBOUND,
						       num_online_cpus(),
						       names[i][1]);
		if (!veil_queues[i].all || !veil_queues[i].peers) {
			veil_queues_exit();
			return -ENOMEM;
		}
	}
	return 0;
}

static int __init veil_init(void)
{
	int err;

	err = veil_crypto_init();
	if (err)
		return err;
	err = veil_cipher_init();
	if (err)
		goto err_crypto;
	err = veil_peer_init();
	if (err)
		goto err_crypto;
	err = veil_rx_init();
	if (err)
		goto err_peer;
	err = veil_tunnel_init();
	if (err)
		goto err_rx;
	veil_seal_init();
	err = veil_queues_init();
	if (err)
		goto err_tunnel;
	err = veil_nets_init();
	if (err)
		goto err_queues;
	err = veil_fence_init();
	if (err)
		goto err_nets;
	err = veil_wipe_init();
	if (err)
		goto err_fence;
	err = veil_netlink_init();
	if (err)
		goto err_wipe;
	return 0;

err_wipe:
	veil_wipe_exit();
err_fence:
	veil_fence_exit();
err_nets:
	veil_nets_exit();
err_queues:
	veil_queues_exit();
err_tunnel:
	veil_tunnel_exit();
err_rx:
	veil_rx_exit();
err_peer:
	veil_peer_exit();
err_crypto:
	veil_crypto_exit();
	return err;
}

static void __exit veil_exit(void)
{
	veil_netlink_exit();
	veil_wipe_exit();
	/* Goes first: it is told of every device's end, and looks its namespace
	 * up.
	 */
	veil_fence_exit();
	veil_nets_exit();
	/* Sessions were freed from works that call_rcu() queued; late crypto
	 * completions and readers are past our code after these.
	 */
	rcu_barrier();
	veil_queues_exit();
	rcu_barrier();
	veil_request_exit();
	veil_pages_exit();
	veil_tunnel_exit();
	veil_rx_exit();
	veil_peer_exit();
	veil_crypto_exit();
}

module_init(veil_init);
module_exit(veil_exit);

MODULE_DESCRIPTION("Netveil: transparent encryption between hosts");
MODULE_LICENSE("GPL");
MODULE_VERSION(VEIL_VERSION);
MODULE_SOFTDEP("pre: gcm ccm ctr ghash-generic chacha20poly1305 chacha_generic poly1305_generic curve25519 sha256 hmac nf_defrag_ipv6");
