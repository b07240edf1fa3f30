// SPDX-License-Identifier: GPL-2.0
/*
 * Forgetting keys on suspend and when a VM was forked from a snapshot
 * (PROTOCOL section 7): two VMs with one key and one counter would use a nonce
 * twice.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/notifier.h>
#include <linux/random.h>
#include <linux/suspend.h>

#include "net.h"
#include "wipe.h"

static int veil_wipe_pm(struct notifier_block *block, unsigned long event,
			void *data)
{
	switch (event) {
	case PM_HIBERNATION_PREPARE:
		if (veil_nets_kernel_identity()) {
			pr_warn("hibernation refused: a private key that exists in the kernel only would be written to disk; veil flush forgets it\n");
			return NOTIFY_BAD;
		}
		fallthrough;
	case PM_SUSPEND_PREPARE:
		WRITE_ONCE(veil_asleep, true);
		veil_nets_forget_sessions();
		break;
	case PM_POST_HIBERNATION:
	case PM_POST_SUSPEND:
		WRITE_ONCE(veil_asleep, false);
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block veil_wipe_pm_notifier = {
	.notifier_call = veil_wipe_pm,
};

static int veil_wipe_vmfork(struct notifier_block *block, unsigned long event,
			    void *data)
{
	/* No session of before seals from here on, whatever locks are held. */
	atomic_inc(&veil_epoch);
	veil_nets_forget_sessions();
	return NOTIFY_DONE;
}

static struct notifier_block veil_wipe_vmfork_notifier = {
	.notifier_call = veil_wipe_vmfork,
};

int veil_wipe_init(void)
{
	int err;

	if (!IS_ENABLED(CONFIG_VMGENID))
		pr_info("this kernel is not told when a VM is restored from a snapshot (CONFIG_VMGENID): run veil session reset in snapshot hooks\n");
	err = register_random_vmfork_notifier(&veil_wipe_vmfork_notifier);
	if (err)
		return err;
	err = register_pm_notifier(&veil_wipe_pm_notifier);
	if (err)
		unregister_random_vmfork_notifier(&veil_wipe_vmfork_notifier);
	return err;
}

void veil_wipe_exit(void)
{
	unregister_pm_notifier(&veil_wipe_pm_notifier);
	unregister_random_vmfork_notifier(&veil_wipe_vmfork_notifier);
}
