// SPDX-License-Identifier: GPL-2.0
/*
 * veil guard: a ruleset for nftables that holds what is required shut until the
 * module is loaded and configured, and whenever it is not.
 *
 * Outbound it stands behind Netveil in POST_ROUTING, where packets that Netveil
 * is about to seal have their type changed (kmod/hooks.c): what comes there
 * without it came past nobody. Inbound it stands before Netveil, where sealed
 * packets still are UDP to our port. So no order of loading and unloading opens
 * anything.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"
#include "err.h"
#include "format.h"
#include "model.h"
#include "nl.h"

#define RULES	"/etc/netveil/guard.nft"
#define UNIT	"/etc/systemd/system/netveil-guard.service"
#define WANTED	"/etc/systemd/system/sysinit.target.wants"
#define TABLE	"inet netveil_guard"
#define PATH_LEN	512

struct entry {
	struct prefix prefix;
	bool shut;
};

struct entries {
	struct entry *list;
	size_t count;
};

static void add_entry(struct entries *entries, const struct prefix *prefix,
		      bool shut)
{
	struct entry *list;

	list = reallocarray(entries->list, entries->count + 1, sizeof(*list));
	if (!list)
		die_no_memory();
	entries->list = list;
	list[entries->count++] = (struct entry){ *prefix, shut };
}

static void add_peer(struct entries *entries, const struct peer *peer)
{
	struct prefix prefix;
	unsigned int i;

	for (i = 0; i < peer->address_count; i++) {
		prefix.address = peer->addresses[i];
		prefix.length = (uint8_t)(8u * prefix.address.len);
		add_entry(entries, &prefix,
			  peer->policy == NETVEIL_POLICY_REQUIRE);
	}
}

/* By family, the longest first, shut before open. */
static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->prefix.address.len != y->prefix.address.len)
		return x->prefix.address.len - y->prefix.address.len;
	if (x->prefix.length != y->prefix.length)
		return y->prefix.length - x->prefix.length;
	return y->shut - x->shut;
}

static bool same_rule(const struct entry *a, const struct entry *b)
{
	return a->prefix.address.len == b->prefix.address.len &&
	       a->prefix.length == b->prefix.length && a->shut == b->shut;
}

/* A rule for each length: the first that fits is the longest. */
static void print_rules(FILE *to, const struct entries *entries,
			const char *field, const char *shut)
{
	char text[TEXT_LEN];
	size_t i, first = 0;

	for (i = 0; i < entries->count; i++) {
		const struct entry *entry = &entries->list[i];
		bool last = i + 1 == entries->count ||
			    !same_rule(entry, entry + 1);

		if (first == i)
			fprintf(to, "\t\t%s %s {",
				entry->prefix.address.len == 4 ? "ip" : "ip6",
				field);
		fprintf(to, "%s %s", first == i ? "" : ",",
			format_prefix(text, &entry->prefix));
		if (!last)
			continue;
		if (entry->shut)
			fprintf(to, " } goto %s\n", shut);
		else
			fputs(" } accept\n", to);
		first = i + 1;
	}
}

static const char neighbours[] =
	"\t\ticmpv6 type { 133, 134, 135, 136, 137 } ip6 hoplimit 255 accept\n"
	"\t\ticmpv6 type { 130, 131, 132, 143 } ip6 hoplimit 1 accept\n";

static void print_ruleset(FILE *to, const struct state *state,
			  const struct entries *entries)
{
	unsigned int port = state->listen_port;

	fputs("#!/usr/sbin/nft -f\n"
	      "# Made by 'veil guard': holds shut what Netveil has to protect, whether\n"
	      "# it is there or not. Make it anew when peers or policies change.\n"
	      "table " TABLE "\n"
	      "delete table " TABLE "\n"
	      "table " TABLE " {\n"
	      "\tchain shut_out {\n"
	      "\t\tmeta pkttype other accept comment \"Netveil seals it\"\n", to);
	fputs(neighbours, to);
	fprintf(to, "\t\tmeta skuid 0-4294967295 counter drop comment \"a program's\"\n"
		"\t\tudp sport %u accept comment \"Netveil's own\"\n"
		"\t\tcounter drop\n"
		"\t}\n"
		"\tchain shut_in {\n", port);
	fputs(neighbours, to);
	fprintf(to, "\t\tudp dport %u accept comment \"sealed, and handshakes\"\n"
		"\t\tip protocol udp ip frag-off & 0x1fff != 0 accept comment \"their fragments\"\n"
		"\t\tfrag frag-off != 0 accept\n"
		"\t\tcounter drop\n"
		"\t}\n"
		"\tchain out {\n"
		"\t\ttype filter hook postrouting priority 2147483647; policy accept;\n"
		"\t\toifname \"lo\" accept\n"
		"\t\tfib saddr type != local accept\n", port);
	print_rules(to, entries, "daddr", "shut_out");
	fputs("\t}\n"
	      "\tchain in {\n"
	      "\t\ttype filter hook prerouting priority -500; policy accept;\n"
	      "\t\tiifname \"lo\" accept\n"
	      "\t\tfib daddr type != local accept\n", to);
	print_rules(to, entries, "saddr", "shut_in");
	fputs("\t}\n}\n", to);
}

static const char unit[] =
	"[Unit]\n"
	"Description=Hold shut what Netveil has to protect\n"
	"Documentation=man:veil(8)\n"
	"DefaultDependencies=no\n"
	"Wants=network-pre.target\n"
	"Before=network-pre.target shutdown.target\n"
	"Conflicts=shutdown.target\n"
	"# Its file begins with 'flush ruleset'.\n"
	"After=local-fs.target nftables.service\n"
	"\n"
	"[Service]\n"
	"Type=oneshot\n"
	"RemainAfterExit=yes\n"
	"ExecStart=/usr/sbin/nft -f " RULES "\n"
	"\n"
	"[Install]\n"
	"WantedBy=sysinit.target\n";

static int gather(struct env *env, struct state *state, struct entries *entries)
{
	struct policies policies = {0};
	struct peers peers = {0};
	struct nl nl = {0};
	size_t i;
	int code = nl_open(&nl, env);

	if (!code)
		code = model_get(&nl, state, &peers, "guard");
	if (!code)
		code = take_policies(&nl, &policies);
	nl_close(&nl);
	for (i = 0; !code && i < peers.count; i++)
		add_peer(entries, &peers.list[i]);
	for (i = 0; !code && i < policies.count; i++)
		add_entry(entries, &policies.list[i].prefix,
			  policies.list[i].kind == NETVEIL_POLICY_REQUIRE);
	model_free_policies(&policies);
	model_free_peers(&peers);
	if (!code && entries->count)
		qsort(entries->list, entries->count, sizeof(*entries->list),
		      compare);
	if (!code && !entries->count)
		code = err("guard: there are no peers and no policies: nothing to guard");
	return code;
}

static int write_ruleset(struct env *env, FILE *to)
{
	struct entries entries = {0};
	struct state state = {0};
	int code = gather(env, &state, &entries);

	if (!code)
		print_ruleset(to, &state, &entries);
	free(entries.list);
	return code;
}

static int guard_show(struct env *env, struct words *words)
{
	int code = words_end(words);

	if (!code)
		code = write_ruleset(env, stdout);
	if (!code && fflush(stdout))
		code = err("guard: cannot write: %s", strerror(errno));
	return code;
}

static int take_root(void *target, const char *value)
{
	*(const char **)target = value;
	return 0;
}

static const struct option options[] = {
	{ "--root", "a folder", false, take_root },
};

static void place(char path[PATH_LEN], const char *root, const char *file)
{
	snprintf(path, PATH_LEN, "%s%s", root, file);
}

/* All folders above path. */
static void make_folders(const char *path)
{
	char copy[PATH_LEN], *slash;

	snprintf(copy, sizeof(copy), "%s", path);
	for (slash = strchr(copy + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(copy, 0755);
		*slash = '/';
	}
}

/* The file is there whole or not at all. */
static int replace_file(const char *path, int (*write)(struct env *, FILE *),
			struct env *env)
{
	char new[PATH_LEN + 4];
	int code;
	FILE *to;

	make_folders(path);
	snprintf(new, sizeof(new), "%s.new", path);
	to = fopen(new, "we");
	if (!to)
		return err("guard: cannot write %s: %s", new, strerror(errno));
	code = write(env, to);
	if ((fclose(to) || (!code && rename(new, path))) && !code)
		code = err("guard: cannot write %s: %s", path, strerror(errno));
	if (code)
		unlink(new);
	return code;
}

static int write_unit(struct env *env, FILE *to)
{
	(void)env;
	fputs(unit, to);
	return 0;
}

static int run_nft(const char *word, const char *argument)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		execlp("nft", "nft", word, argument, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return err("guard: cannot start nft: %s", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int guard_install(struct env *env, struct words *words)
{
	char path[PATH_LEN], link[PATH_LEN + 32];
	const char *root = "";
	int code;

	code = options_take(options, ARRAY_LEN(options), words, &root);
	if (code)
		return code;
	place(path, root, RULES);
	code = replace_file(path, write_ruleset, env);
	if (!code && !*root && run_nft("-f", path))
		code = err("guard: nft does not take %s: is nftables installed?",
			   path);
	if (code)
		return code;
	place(path, root, UNIT);
	code = replace_file(path, write_unit, env);
	place(path, root, WANTED);
	snprintf(link, sizeof(link), "%s/netveil-guard.service", path);
	make_folders(link);
	if (!code && symlink("../netveil-guard.service", link) &&
	    errno != EEXIST)
		code = err("guard: cannot enable the unit: %s: %s", link,
			   strerror(errno));
	return code;
}

static int guard_remove(struct env *env, struct words *words)
{
	static const char *const files[] = {
		WANTED "/netveil-guard.service", UNIT, RULES
	};
	const char *root = "";
	char path[PATH_LEN];
	size_t i;
	int code;

	(void)env;
	code = options_take(options, ARRAY_LEN(options), words, &root);
	for (i = 0; !code && i < ARRAY_LEN(files); i++) {
		place(path, root, files[i]);
		if (unlink(path) && errno != ENOENT)
			code = err("guard: cannot remove %s: %s", path,
				   strerror(errno));
	}
	if (!code && !*root && run_nft("delete table " TABLE, NULL))
		warn("guard: the table was not loaded");
	return code;
}

int cmd_guard(struct env *env, struct words *words)
{
	static const struct command commands[] = {
		{ "show", guard_show, "", "" },
		{ "install", guard_install, "", "" },
		{ "remove", guard_remove, "", "" },
	};

	return command_run(commands, ARRAY_LEN(commands), "guard: ", env,
			   words);
}
