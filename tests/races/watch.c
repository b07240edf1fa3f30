// SPDX-License-Identifier: GPL-2.0
/*
 * Data races of the module's: linked into netveil.ko for make check-races alone
 * (VEIL_TEST_RACES=y, see Kbuild).
 *
 * The compiler calls one of the functions below before each access to memory.  As in
 * KCSAN, of which no kernel of a distribution has any, now and then one of them stops
 * before a plain access and waits a little: another access to the same bytes
 * meanwhile, when one of both writes, or a value that changes, is a race.  Accesses by
 * READ_ONCE(), WRITE_ONCE() and what is made of these race with plain ones only;
 * atomic operations are not seen, but for the values that they change.
 *
 * Without KVM QEMU lets the other CPU run as soon as this one waits.
 */
#include <linux/delay.h>
#include <linux/hash.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/stacktrace.h>
#include <linux/uaccess.h>

#define SLOTS_BITS	6
#define LINE_BITS	6
#define DEPTH		24
#define PAIRS		256

/* Who accesses what. */
struct access {
	unsigned long address;		/* in a slot, 0: nothing is watched */
	unsigned int size;
	bool write;
	bool marked;
	unsigned long place;		/* in the code */
};

/* What waits, and whom it met; by the line of memory. */
struct slot {
	int busy;
	raw_spinlock_t lock;		/* the rest */
	struct access watched;
	bool met;
	struct access other;
	unsigned long stack[DEPTH];
	unsigned int depth;
	char comm[TASK_COMM_LEN];
	int cpu;
};

static struct slot slots[1 << SLOTS_BITS] = {
	[0 ... (1 << SLOTS_BITS) - 1] = {
		.lock = __RAW_SPIN_LOCK_UNLOCKED(slots.lock),
	},
};

static DEFINE_PER_CPU(int, left);

/* What was reported already. */
static DEFINE_RAW_SPINLOCK(pairs_lock);
static unsigned long pairs[PAIRS][2];
static unsigned int pair_count;

static unsigned int skip = 20;
module_param(skip, uint, 0600);
MODULE_PARM_DESC(skip, "one of so many accesses of a CPU waits, about");

static unsigned int wait = 80;
module_param(wait, uint, 0600);
MODULE_PARM_DESC(wait, "for so many microseconds at most, 0 for never");

static unsigned long waits;
module_param(waits, ulong, 0400);
MODULE_PARM_DESC(waits, "how many did");

static struct slot *slot_of(unsigned long address)
{
	return &slots[hash_long(address >> LINE_BITS, SLOTS_BITS)];
}

static bool clash(const struct access *one, const struct access *other)
{
	return one->address < other->address + other->size &&
	       other->address < one->address + one->size &&
	       (one->write || other->write) && !(one->marked && other->marked);
}

static u64 value(const struct access *access)
{
	const void *at = (const void *)access->address;

	switch (access->size) {
	case 1:
		return READ_ONCE(*(const u8 *)at);
	case 2:
		return READ_ONCE(*(const u16 *)at);
	case 4:
		return READ_ONCE(*(const u32 *)at);
	default:
		return READ_ONCE(*(const u64 *)at);
	}
}

static bool reported(unsigned long one, unsigned long other)
{
	unsigned long flags;
	bool known = false;
	unsigned int i;

	raw_spin_lock_irqsave(&pairs_lock, flags);
	for (i = 0; i < pair_count && !known; i++)
		known = (pairs[i][0] == one && pairs[i][1] == other) ||
			(pairs[i][0] == other && pairs[i][1] == one);
	if (!known && pair_count < PAIRS) {
		pairs[pair_count][0] = one;
		pairs[pair_count++][1] = other;
	}
	raw_spin_unlock_irqrestore(&pairs_lock, flags);
	return known;
}

static void report_access(const struct access *access, const char *comm, int cpu)
{
	pr_err("%s%s of %u bytes by %s on CPU %d at %pS\n",
	       access->marked ? "marked " : "", access->write ? "write" : "read",
	       access->size, comm, cpu, (void *)access->place);
}

static void report(const struct slot *slot, const struct access *mine, u64 before,
		   u64 after)
{
	unsigned long stack[DEPTH];
	unsigned int depth;

	if (reported(mine->place, slot->met ? slot->other.place : 0))
		return;
	if (slot->met)
		pr_err("BUG: data race: %ps / %ps\n", (void *)mine->place,
		       (void *)slot->other.place);
	else
		pr_err("BUG: data race: %ps / unknown\n", (void *)mine->place);
	report_access(mine, current->comm, raw_smp_processor_id());
	depth = stack_trace_save(stack, DEPTH, 3);
	stack_trace_print(stack, depth, 2);
	pr_err("value before and after: %llx %llx\n", before, after);
	if (!slot->met)
		return;
	report_access(&slot->other, slot->comm, slot->cpu);
	stack_trace_print(slot->stack, slot->depth, 2);
}

/* Who waits may be interrupted, and continue on the other CPU. */
static void watch(struct slot *slot, const struct access *mine)
{
	unsigned long flags;
	u64 before, after;

	if (cmpxchg(&slot->busy, 0, 1))
		return;
	before = value(mine);
	raw_spin_lock_irqsave(&slot->lock, flags);
	slot->watched = *mine;
	slot->met = false;
	raw_spin_unlock_irqrestore(&slot->lock, flags);

	waits++;
	udelay(1 + get_random_u32_below(wait));

	after = value(mine);
	raw_spin_lock_irqsave(&slot->lock, flags);
	slot->watched.address = 0;
	raw_spin_unlock_irqrestore(&slot->lock, flags);
	if (slot->met || before != after)
		report(slot, mine, before, after);
	/* Pairs with the cmpxchg() of the next one. */
	smp_store_release(&slot->busy, 0);
}

static void meet(struct slot *slot, const struct access *mine)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&slot->lock, flags);
	if (slot->watched.address && !slot->met && clash(&slot->watched, mine)) {
		slot->met = true;
		slot->other = *mine;
		slot->depth = stack_trace_save(slot->stack, DEPTH, 3);
		memcpy(slot->comm, current->comm, TASK_COMM_LEN);
		slot->cpu = raw_smp_processor_id();
	}
	raw_spin_unlock_irqrestore(&slot->lock, flags);
}

static __always_inline void seen(const void *at, unsigned int size, bool write,
				 bool marked, unsigned long place)
{
	const struct access mine = {
		.address = (unsigned long)at,
		.size = size,
		.write = write,
		.marked = marked,
		.place = place,
	};
	struct slot *slot = slot_of(mine.address);
	unsigned long state;

	/* An offset into what is this CPU's: gcc 12 takes it for an address. */
	if (mine.address < PAGE_OFFSET)
		return;
	/* For objtool, which has a list of what may be called from where. */
	state = user_access_save();
	if (unlikely(READ_ONCE(slot->watched.address)))
		meet(slot, &mine);
	if (!marked && wait && skip && this_cpu_dec_return(left) < 0) {
		this_cpu_write(left, get_random_u32_below(2 * skip));
		watch(slot, &mine);
	}
	user_access_restore(state);
}

#define SEEN(name, size, write, marked)					\
	void __tsan_##name(const void *at);				\
	void notrace __tsan_##name(const void *at)			\
	{								\
		seen(at, size, write, marked,				\
		     (unsigned long)__builtin_return_address(0));	\
	}

#define SEEN_SIZE(size)							\
	SEEN(read##size, size, false, false)				\
	SEEN(write##size, size, true, false)				\
	SEEN(unaligned_read##size, size, false, false)			\
	SEEN(unaligned_write##size, size, true, false)			\
	SEEN(volatile_read##size, size, false, true)			\
	SEEN(volatile_write##size, size, true, true)			\
	SEEN(unaligned_volatile_read##size, size, false, true)		\
	SEEN(unaligned_volatile_write##size, size, true, true)

SEEN_SIZE(1)
SEEN_SIZE(2)
SEEN_SIZE(4)
SEEN_SIZE(8)
SEEN_SIZE(16)

#define SEEN_RANGE(name, write)						\
	void __tsan_##name##_range(const void *at, size_t size);	\
	void notrace __tsan_##name##_range(const void *at, size_t size)	\
	{								\
		seen(at, size, write, false,				\
		     (unsigned long)__builtin_return_address(0));	\
	}

SEEN_RANGE(read, false)
SEEN_RANGE(write, true)

/* The compiler has each file call it when it is loaded. */
void __tsan_init(void);
void notrace __tsan_init(void)
{
}
