// SPDX-License-Identifier: GPL-2.0
/*
 * Which places of the module ran: linked into netveil.ko for make coverage VM=... and
 * make fuzz-vm alone (VEIL_TEST_COVERAGE=y, see Kbuild).
 *
 * The compiler calls __sanitizer_cov_trace_pc() in each basic block, in whatever context;
 * a bit is kept for each address near it.  Who writes a path to the parameter gets the
 * bits there, who reads it how many are set.
 */
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

/* Bytes of code before and behind the function. */
#define REACH	(1UL << 19)

static DECLARE_BITMAP(hits, 2 * REACH);
static atomic_t count;

void __sanitizer_cov_trace_pc(void);

void notrace __sanitizer_cov_trace_pc(void)
{
	unsigned long place = (unsigned long)__builtin_return_address(0) -
			      (unsigned long)__sanitizer_cov_trace_pc + REACH;

	if (place < 2 * REACH && !test_bit(place, hits) &&
	    !test_and_set_bit(place, hits))
		atomic_inc(&count);
}

static int hits_set(const char *path, const struct kernel_param *param)
{
	struct file *file = filp_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	loff_t place = 0;
	ssize_t written;

	if (IS_ERR(file))
		return PTR_ERR(file);
	written = kernel_write(file, hits, sizeof(hits), &place);
	filp_close(file, NULL);
	return written == sizeof(hits) ? 0 : -EIO;
}

static int hits_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&count));
}

static const struct kernel_param_ops hits_ops = {
	.set = hits_set,
	.get = hits_get,
};

module_param_cb(hits, &hits_ops, NULL, 0600);
