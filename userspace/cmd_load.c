// SPDX-License-Identifier: GPL-2.0
/*
 * veil load, sync and diff: configuration files, whose statements are commands.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "err.h"
#include "guard_counts.h"
#include "keyfile.h"
#include "plan.h"

/* Exit codes of veil diff, as of diff(1). */
enum { SAME, DIFFERENT, TROUBLE };

static bool differs;

static int conf_peer(struct env *env, struct words *words)
{
	static const struct command commands[] = {
		{ "add", cmd_peer_add, "", "" },
	};

	return command_run(commands, ARRAY_LEN(commands), "peer: ", env, words);
}

static int conf_policy(struct env *env, struct words *words)
{
	static const struct command commands[] = {
		{ "add", cmd_policy_add, "", "" },
	};

	return command_run(commands, ARRAY_LEN(commands), "policy: ", env,
			   words);
}

/* A file says what shall be, so that is all that it can ask for. */
static const struct command statements[] = {
	{ "set", cmd_set, "", "" },
	{ "peer", conf_peer, "", "" },
	{ "policy", conf_policy, "", "" },
};

static int run_statement(struct env *env, const struct statement *statement)
{
	struct words words = {
		statement->count, statement->words, statement->places
	};

	if (chdir(statement->folder))
		return err("cannot go to %s: %s", statement->folder,
			   strerror(errno));
	env->batch->statement = statement;
	return command_run(statements, ARRAY_LEN(statements), "", env, &words);
}

static int run_statements(const struct conf *conf, struct batch *batch)
{
	struct env env = { .batch = batch };
	int home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), code = 0;
	size_t i;

	if (home < 0)
		return err("cannot open the current folder: %s",
			   strerror(errno));
	keyfile_strict = true;
	for (i = 0; i < conf->count && !code; i++) {
		code = run_statement(&env, &conf->list[i]);
		if (fchdir(home) && !code)
			code = err("cannot go back: %s", strerror(errno));
	}
	keyfile_strict = false;
	err_place(NULL);
	close(home);
	return code;
}

static int read_files(struct conf *conf, struct words *words, const char *what)
{
	const char *path = words_next(words), *first = path;
	int code;

	do
		code = conf_read(conf, path);
	while (!code && (path = words_next(words)));
	/* What was cut off, or a pipe from what failed, is not taken for the wish
	 * to protect nothing.
	 */
	if (!code && !conf->count)
		code = err("%s: there is no statement in %s: write one, as netveil.conf(5) has it; to end all protection there is 'veil flush'",
			   what, first ? first : CONF_FOLDER);
	return code;
}

/* From files to a plan, which act carries out. */
static int with_plan(struct env *env, struct words *words, bool whole,
		     const char *what,
		     int (*act)(struct env *env, const struct plan *plan,
				const struct present *present, struct nl *nl,
				const char *what))
{
	struct present present = {0};
	struct batch batch = {0};
	struct conf conf = {0};
	struct plan plan = {0};
	struct nl nl = {0};
	int code = read_files(&conf, words, what);

	if (!code)
		code = run_statements(&conf, &batch);
	if (!code)
		code = nl_open(&nl, env);
	if (!code)
		code = present_get(&present, &nl, what);
	if (!code)
		code = plan_make(&plan, &batch, &present, whole);
	if (!code)
		code = act(env, &plan, &present, &nl, what);
	nl_close(&nl);
	plan_free(&plan);
	batch_free(&batch);
	present_free(&present);
	conf_free(&conf);
	return code;
}

/* Whether what the guard's ruleset holds of the settings is to change. */
static bool moves_guard(const struct plan *plan)
{
	size_t i;

	for (i = 0; i < plan->setting_count; i++)
		switch (mnl_attr_get_type(plan->settings[i].attr)) {
		case NETVEIL_A_LISTEN_PORT:
		case NETVEIL_A_LOCAL:
		case NETVEIL_A_NO_LOCAL:
			return true;
		}
	return false;
}

static int apply(struct env *env, const struct plan *plan,
		 const struct present *present, struct nl *nl, const char *what)
{
	(void)env;
	/* While a change is on trial the kernel says that it is. */
	if (!plan->count && !plan->setting_count && !present->state.confirm)
		return 0;
	/* A host that boots loads its guard first, which was made for this. */
	if (present->state.peers && moves_guard(plan))
		guard_warn(what);
	return plan_apply(plan, nl, what);
}

int cmd_load(struct env *env, struct words *words)
{
	return with_plan(env, words, false, "load", apply);
}

int cmd_sync(struct env *env, struct words *words)
{
	return with_plan(env, words, true, "sync", apply);
}

static int tell(struct env *env, const struct plan *plan,
		const struct present *present, struct nl *nl, const char *what)
{
	(void)nl;
	(void)what;
	differs = plan_differs(plan, &present->state);
	return show_plan(env, plan, present);
}

int cmd_diff(struct env *env, struct words *words)
{
	if (with_plan(env, words, true, "diff", tell))
		return TROUBLE;
	return differs ? DIFFERENT : SAME;
}

static int compare(struct env *env, const struct plan *plan,
		   const struct present *present, struct nl *nl,
		   const char *what)
{
	(void)env;
	(void)nl;
	(void)what;
	differs = plan_differs(plan, &present->state);
	return 0;
}

int cmd_diff_quiet(struct env *env)
{
	struct words none = {0};

	if (with_plan(env, &none, true, "check", compare))
		return TROUBLE;
	return differs ? DIFFERENT : SAME;
}
