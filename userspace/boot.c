// SPDX-License-Identifier: GPL-2.0
/*
 * What the next boot of this host would do for what is protected now: whether it
 * would be configured, held shut until then, and have a module to do it with.
 * Files alone are looked at, so that it is told whatever started this host.
 */
#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot.h"
#include "cmd.h"
#include "conf.h"
#include "err.h"
#include "guard_counts.h"
#include "model.h"
#include "ruleset.h"

#define SERVICE_LINK	GUARD_WANTED "/netveil.service"
/* Where the package's unit is replaced, or masked. */
#define SERVICE_OWN	"/etc/systemd/system/netveil.service"
#define KERNELS		"/lib/modules/"
/* Of every kernel that was installed, and of no folder that DKMS left behind. */
#define KERNEL_FILE	"/modules.builtin"
#define PATH_LEN	512

static enum result say(char text[BOOT_TEXT_LEN], enum result result,
		       const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static enum result say(char text[BOOT_TEXT_LEN], enum result result,
		       const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(text, BOOT_TEXT_LEN, format, args);
	va_end(args);
	return result;
}

/* A unit that is enabled, and not masked. */
static bool is_enabled(const char *link)
{
	struct stat st;

	return !stat(link, &st) && S_ISREG(st.st_mode);
}

static bool is_service_enabled(void)
{
	return is_enabled(SERVICE_LINK) &&
	       (access(SERVICE_OWN, F_OK) || is_enabled(SERVICE_OWN));
}

static bool has_files(void)
{
	glob_t found = {0};
	bool any = !glob(CONF_FOLDER "/*.conf", 0, NULL, &found);

	globfree(&found);
	return any;
}

bool boot_is_set_up(void)
{
	return has_files() && is_service_enabled();
}

static enum result compare_files(char text[BOOT_TEXT_LEN], struct env *env)
{
	switch (cmd_diff_quiet(env)) {
	case 0:
		return say(text, GOOD,
			   "the next one makes the configuration what it is now");
	case 1:
		return say(text, DOUBTFUL,
			   "the next one makes the configuration what the files in %s say, which differs: veil diff, then veil sync or veil save",
			   CONF_FOLDER);
	default:
		return say(text, WRONG,
			   "the next one would not take the files in %s: veil diff says why",
			   CONF_FOLDER);
	}
}

enum result boot_service(char text[BOOT_TEXT_LEN], struct env *env,
			 const struct everything *all)
{
	if (!has_files())
		return say(text, DOUBTFUL,
			   "the next one configures nothing, as there is no %s/*.conf: veil save %s/netveil.conf",
			   CONF_FOLDER, CONF_FOLDER);
	if (!is_service_enabled())
		return say(text, DOUBTFUL,
			   "the next one configures nothing, as netveil.service is not enabled, or masked: systemctl unmask netveil, then systemctl enable netveil");
	if (all->state.origin == NETVEIL_KEY_KERNEL)
		return say(text, DOUBTFUL,
			   "the next one has no key, as the present one is in the kernel alone: veil key generate then, and tell the peers");
	return compare_files(text, env);
}

/* Whether the ruleset on disk is what would be made now. */
static bool is_current(const struct everything *all)
{
	char *now = NULL, *there = NULL;
	size_t now_len, there_len = 0;
	FILE *to = open_memstream(&now, &now_len);
	FILE *from = fopen(GUARD_RULES, "re");
	bool same = false;

	if (!to)
		die_no_memory();
	ruleset_write(to, &all->state, &all->peers, &all->policies);
	fclose(to);
	if (from && getdelim(&there, &there_len, '\0', from) >= 0)
		same = !strcmp(now, there);
	if (from)
		fclose(from);
	free(there);
	free(now);
	return same;
}

enum result boot_guard(char text[BOOT_TEXT_LEN], const struct everything *all)
{
	struct guard_counts counts = {0};
	bool loaded = !guard_counts(&counts, "check") && counts.loaded;

	if (!is_enabled(GUARD_LINK) && access(GUARD_RULES, F_OK) && loaded)
		return say(text, DOUBTFUL,
			   "its table is loaded, but not by netveil-guard.service: see that the next boot does so before its network is up");
	if (!is_enabled(GUARD_LINK) && access(GUARD_RULES, F_OK))
		return say(text, DOUBTFUL,
			   "there is none: the next boot is in clear until netveil.service is done, and stays so if that fails: veil guard install");
	if (!is_enabled(GUARD_LINK))
		return say(text, WRONG,
			   "netveil-guard.service is not enabled, or masked, and the next boot does without: systemctl unmask netveil-guard, then veil guard install");
	if (access(GUARD_NFT, X_OK))
		return say(text, WRONG,
			   "the next boot cannot load it, as there is no %s: install nftables",
			   GUARD_NFT);
	if (access(GUARD_RULES, R_OK))
		return say(text, WRONG,
			   "the next boot cannot load it, as there is no %s: veil guard install",
			   GUARD_RULES);
	if (!loaded)
		return say(text, WRONG,
			   "it is not loaded: its unit failed (systemctl status netveil-guard), or a firewall's 'flush ruleset' took it away: nft -f %s",
			   GUARD_RULES);
	if (!is_current(all))
		return say(text, DOUBTFUL,
			   "%s is not what would be made of the configuration now: veil guard install",
			   GUARD_RULES);
	return say(text, GOOD,
		   "the next boot is shut until Netveil is there");
}

/* By what depmod noted, as modprobe goes by that, too. */
static bool has_module(const char *kernel)
{
	char path[PATH_LEN], *line = NULL, *name;
	bool found = false;
	size_t size = 0;
	FILE *from;

	snprintf(path, sizeof(path), "%s/modules.dep", kernel);
	from = fopen(path, "re");
	while (from && !found && getline(&line, &size, from) >= 0) {
		line[strcspn(line, ":")] = '\0';
		name = strrchr(line, '/') ? strrchr(line, '/') + 1 : line;
		/* It may be compressed. */
		if (strncmp(name, "netveil.ko", strlen("netveil.ko")))
			continue;
		snprintf(path, sizeof(path), "%s%s%s",
			 *line == '/' ? "" : kernel, *line == '/' ? "" : "/",
			 line);
		found = !access(path, R_OK);
	}
	if (from)
		fclose(from);
	free(line);
	return found;
}

/* "6.1.0-40-amd64, 6.12.9"; how many. */
static size_t kernels_without(char *names, size_t size, const glob_t *kernels)
{
	size_t i, count = 0, len = 0;

	*names = '\0';
	for (i = 0; i < kernels->gl_pathc; i++) {
		char *kernel = kernels->gl_pathv[i];

		*strrchr(kernel, '/') = '\0';
		if (has_module(kernel))
			continue;
		count++;
		if (len < size)
			len += (size_t)snprintf(names + len, size - len, "%s%s",
						len ? ", " : "",
						kernel + strlen(KERNELS));
	}
	return count;
}

enum result boot_kernels(char text[BOOT_TEXT_LEN], bool guarded)
{
	glob_t kernels = {0};
	size_t missing;
	char names[256];

	if (glob(KERNELS "*" KERNEL_FILE, 0, NULL, &kernels)) {
		globfree(&kernels);
		return say(text, DOUBTFUL, "none is found in %s", KERNELS);
	}
	missing = kernels_without(names, sizeof(names), &kernels);
	globfree(&kernels);
	if (!missing)
		return say(text, GOOD, "all that are installed have a module");
	return say(text, guarded ? DOUBTFUL : WRONG,
		   "there is no netveil module for %s: booted, %s; install the headers of that kernel, then dkms autoinstall -k KERNEL",
		   names, guarded ? "it reaches no peer, since the guard holds all shut" :
		   "it has in clear what is protected now, but for what a guard holds shut");
}
