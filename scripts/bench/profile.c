// SPDX-License-Identifier: GPL-2.0
/*
 * A QEMU plugin (TCG, plugin API 1): how many instructions the guest executes
 * where, while it is told to count.
 *
 *   -plugin profile.so,console=FILE,out=FILE
 *
 * The guest prints symbols to its kernel console, which is FILE:
 *
 *   netveil-profile: count ADDRESS       its execution turns counting on and off
 *   netveil-profile: way NAME ADDRESS    a function that a way begins with
 *   netveil-profile: ready
 *
 * Each instruction counts for its address and for the innermost way that it is on:
 * the function last entered, of those named, that has not returned.  For that the
 * calls are followed on a stack of return addresses.  At the end a line a block:
 * address, way, instructions.
 *
 * QEMU's header is not packaged by Debian; what is used of it is declared here.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
						  void (*cb)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
						 void (*cb)(unsigned int, void *), int flags,
						 void *userdata);
extern void qemu_plugin_register_atexit_cb(plugin_id id, void (*cb)(plugin_id, void *),
					   void *userdata);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb,
							size_t index);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = 1;

enum { WAYS_MAX = 64, DEPTH_MAX = 1024, TABLE = 1 << 20, CPUS_MAX = 8 };

/* A translated block of code; way 0 is none. */
struct block {
	uint64_t start, end;
	unsigned int insns;
	bool call;
	bool toggle;
	unsigned int way;		/* that begins here */
	uint64_t *counts;		/* by way */
	struct block *next;
};

struct frame {
	uint64_t ret;
	unsigned int way;
};

struct cpu {
	struct frame stack[DEPTH_MAX];
	unsigned int depth;
	const struct block *last;
};

static struct block *table[TABLE];
static struct cpu cpus[CPUS_MAX];
static char way_names[WAYS_MAX][64];
static uint64_t way_addresses[WAYS_MAX];
static unsigned int ways = 1;
static uint64_t toggle;
static const char *console_path, *out_path;
static bool counting, ready;
static unsigned int polls;

static void mark(struct block *block)
{
	unsigned int i;

	block->toggle = toggle && block->start == toggle;
	for (i = 1; i < ways; i++)
		if (way_addresses[i] == block->start)
			block->way = i;
}

static void take_line(const char *line)
{
	uint64_t address;
	char name[64];

	if (sscanf(line, "count %lx", &address) == 1) {
		toggle = address;
	} else if (ways < WAYS_MAX && sscanf(line, "way %63s %lx", name, &address) == 2) {
		strcpy(way_names[ways], name);
		way_addresses[ways++] = address;
	} else if (!strncmp(line, "ready", 5)) {
		ready = true;
	}
}

/* What the guest printed; then all blocks known so far are looked at again. */
static void read_console(void)
{
	FILE *file = fopen(console_path, "r");
	char line[512], *found;
	unsigned int i;

	ways = 1;
	while (file && fgets(line, sizeof(line), file)) {
		found = strstr(line, "netveil-profile: ");
		if (found)
			take_line(found + strlen("netveil-profile: "));
	}
	if (file)
		fclose(file);
	for (i = 0; ready && i < TABLE; i++)
		for (struct block *b = table[i]; b; b = b->next)
			mark(b);
}

static unsigned int current_way(const struct cpu *cpu)
{
	return cpu->depth ? cpu->stack[cpu->depth - 1].way : 0;
}

/* A return, perhaps past frames that another task left. */
static void leave(struct cpu *cpu, uint64_t address)
{
	unsigned int i;

	for (i = cpu->depth; i > 0 && cpu->depth - i < 64; i--) {
		if (cpu->stack[i - 1].ret == address) {
			cpu->depth = i - 1;
			return;
		}
	}
}

static void enter(struct cpu *cpu, uint64_t ret)
{
	unsigned int way = current_way(cpu);

	if (cpu->depth == DEPTH_MAX) {
		memmove(cpu->stack, cpu->stack + DEPTH_MAX / 2, sizeof(cpu->stack) / 2);
		cpu->depth = DEPTH_MAX / 2;
	}
	cpu->stack[cpu->depth++] = (struct frame){ ret, way };
}

static void executed(unsigned int vcpu, void *data)
{
	struct cpu *cpu = &cpus[vcpu % CPUS_MAX];
	struct block *block = data;

	if (block->toggle)
		counting = !counting;
	if (cpu->last && cpu->last->call && block->start != cpu->last->end)
		enter(cpu, cpu->last->end);
	else
		leave(cpu, block->start);
	if (block->way && cpu->depth)
		cpu->stack[cpu->depth - 1].way = block->way;
	if (counting)
		block->counts[current_way(cpu)] += block->insns;
	cpu->last = block;
}

static bool is_call(const struct qemu_plugin_insn *insn)
{
	const uint8_t *p = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn), i = 0;

	while (i + 1 < size && (p[i] == 0x2e || p[i] == 0x3e || (p[i] & 0xf0) == 0x40))
		i++;
	return p[i] == 0xe8 || (p[i] == 0xff && i + 1 < size && (p[i + 1] >> 3 & 7) == 2);
}

static struct block *find(uint64_t start, unsigned int insns)
{
	struct block **at = &table[(start * 0x9e3779b97f4a7c15ull) >> 44];

	for (; *at; at = &(*at)->next)
		if ((*at)->start == start && (*at)->insns == insns)
			return *at;
	*at = calloc(1, sizeof(**at));
	(*at)->start = start;
	(*at)->insns = insns;
	(*at)->counts = calloc(WAYS_MAX, sizeof(uint64_t));
	return *at;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
	size_t insns = qemu_plugin_tb_n_insns(tb);
	const struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, insns - 1);
	struct block *block = find(qemu_plugin_tb_vaddr(tb), insns);

	(void)id;
	/* The guest has printed its symbols well before it begins to count. */
	if (!ready && ++polls % 512 == 0)
		read_console();
	block->end = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last);
	block->call = is_call(last);
	mark(block);
	qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, 0, block);
}

static void finish(plugin_id id, void *data)
{
	FILE *file = fopen(out_path, "w");
	unsigned int i, way;

	(void)id;
	(void)data;
	if (!file) {
		perror(out_path);
		return;
	}
	strcpy(way_names[0], "-");
	for (i = 0; i < TABLE; i++)
		for (struct block *b = table[i]; b; b = b->next)
			for (way = 0; way < ways; way++)
				if (b->counts[way])
					fprintf(file, "%lx %s %lu\n", b->start, way_names[way],
						b->counts[way]);
	fclose(file);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	int i;

	(void)info;
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "console=", 8))
			console_path = strdup(argv[i] + 8);
		else if (!strncmp(argv[i], "out=", 4))
			out_path = strdup(argv[i] + 4);
	}
	if (!console_path || !out_path)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return 0;
}
