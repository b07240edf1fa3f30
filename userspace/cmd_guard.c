// SPDX-License-Identifier: GPL-2.0
/*
 * veil guard: a ruleset for nftables that holds what is required shut until the
 * module is loaded and configured, and whenever it is not (ruleset.c); the unit that
 * loads it at boot.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"
#include "err.h"
#include "guard_counts.h"
#include "model.h"
#include "netns.h"
#include "ruleset.h"

#define TABLE	"inet " GUARD_TABLE
#define PATH_LEN	512

static const char unit[] =
	"[Unit]\n"
	"Description=Hold shut what Netveil has to protect\n"
	"Documentation=man:veil(8)\n"
	"DefaultDependencies=no\n"
	"Wants=network-pre.target\n"
	"Before=network-pre.target cloud-init-local.service shutdown.target\n"
	"Conflicts=shutdown.target\n"
	"# Its file begins with 'flush ruleset'.\n"
	"After=local-fs.target nftables.service\n"
	"\n"
	"[Service]\n"
	"Type=oneshot\n"
	"RemainAfterExit=yes\n"
	"ExecStart=" GUARD_NFT " -f " GUARD_RULES "\n"
	"\n"
	"CapabilityBoundingSet=CAP_NET_ADMIN\n"
	"IPAddressDeny=any\n"
	"LockPersonality=yes\n"
	"MemoryDenyWriteExecute=yes\n"
	"NoNewPrivileges=yes\n"
	"PrivateDevices=yes\n"
	"ProcSubset=pid\n"
	"ProtectClock=yes\n"
	"ProtectControlGroups=yes\n"
	"ProtectHome=yes\n"
	"ProtectHostname=yes\n"
	"ProtectKernelLogs=yes\n"
	"ProtectKernelModules=yes\n"
	"ProtectKernelTunables=yes\n"
	"ProtectProc=invisible\n"
	"ProtectSystem=strict\n"
	"RestrictAddressFamilies=AF_NETLINK\n"
	"RestrictNamespaces=yes\n"
	"RestrictRealtime=yes\n"
	"RestrictSUIDSGID=yes\n"
	"SystemCallArchitectures=native\n"
	"SystemCallErrorNumber=EPERM\n"
	"SystemCallFilter=@system-service\n"
	"SystemCallFilter=~@privileged @resources\n"
	"\n"
	"[Install]\n"
	"WantedBy=sysinit.target\n";

static int write_ruleset(struct env *env, FILE *to)
{
	struct everything all = {0};
	int code = take_everything(env, &all, "guard");

	if (!code && !ruleset_write(to, &all.state, &all.peers, &all.policies))
		code = err("guard: there are no peers and no policies: nothing to guard");
	free_everything(&all);
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

/* The unit at boot loads its file into the host's own namespace. */
static int check_namespace(const struct env *env, const char *root)
{
	if (*root || !netns_is_elsewhere(env->netns))
		return 0;
	return err_usage("guard: the unit at boot and its file are for the host's own network namespace; in another one have nft load what 'veil guard show' prints there");
}

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

/* A name in the folder of path is there after a crash, too. */
static int sync_folder(const char *path)
{
	char folder[PATH_LEN];
	int fd, code;

	snprintf(folder, sizeof(folder), "%s", path);
	*(strrchr(folder, '/') + 1) = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	code = fd < 0 ? -1 : fsync(fd);
	if (fd >= 0)
		close(fd);
	return code;
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

/* The file is there whole or not at all, after a crash too: an empty one would be a
 * ruleset that nft takes.  load: if nft takes it.
 */
static int replace_file(const char *path, int (*write)(struct env *, FILE *),
			struct env *env, bool load)
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
	if (!code && (ferror(to) || fflush(to) || fsync(fileno(to))))
		code = err("guard: cannot write %s: %s", new, strerror(errno));
	if (!code && load && run_nft("-f", new))
		code = err("guard: nft does not take the new %s: is nftables installed?",
			   path);
	if (!code && (rename(new, path) || sync_folder(path)))
		code = err("guard: cannot write %s: %s", path, strerror(errno));
	fclose(to);
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

/* As systemctl enable does. */
static int enable_unit(const char *link)
{
	static const char unit_file[] = "../netveil-guard.service";
	char now[PATH_LEN];
	ssize_t len;

	make_folders(link);
	if (symlink(unit_file, link) && errno != EEXIST)
		return err("guard: cannot enable the unit: %s: %s", link,
			   strerror(errno));
	len = readlink(link, now, sizeof(now) - 1);
	now[len < 0 ? 0 : len] = '\0';
	if (!strstr(now, strrchr(unit_file, '/')))
		return err("guard: cannot enable the unit: %s is something else: remove it",
			   link);
	if (sync_folder(link))
		return err("guard: cannot write %s: %s", link, strerror(errno));
	return 0;
}

static int guard_install(struct env *env, struct words *words)
{
	char path[PATH_LEN];
	const char *root = "";
	int code;

	code = options_take(options, ARRAY_LEN(options), words, &root);
	if (!code)
		code = check_namespace(env, root);
	if (code)
		return code;
	place(path, root, GUARD_RULES);
	code = replace_file(path, write_ruleset, env, !*root);
	if (code)
		return code;
	place(path, root, GUARD_UNIT);
	code = replace_file(path, write_unit, env, false);
	place(path, root, GUARD_LINK);
	return code ? code : enable_unit(path);
}

static int guard_remove(struct env *env, struct words *words)
{
	static const char *const files[] = {
		GUARD_LINK, GUARD_UNIT, GUARD_RULES
	};
	const char *root = "";
	char path[PATH_LEN];
	size_t i;
	int code;

	code = options_take(options, ARRAY_LEN(options), words, &root);
	if (!code)
		code = check_namespace(env, root);
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
