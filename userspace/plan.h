/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What has to change for the kernel to be as configuration files say, and the
 * one request that changes it.
 */
#ifndef VEIL_PLAN_H
#define VEIL_PLAN_H

#include "batch.h"
#include "model.h"
#include "nl.h"
#include "props.h"

/* What the kernel is configured to be. */
struct present {
	struct state state;
	struct record *peers;
	size_t count;
	struct policies policies;
};

struct step {
	const struct record *wanted;	/* NULL: the peer goes */
	const struct record *present;	/* NULL: the peer is new */
	bool promoted;			/* the kernel knows it by its next key */
	bool anew;			/* differs so much that it goes and
					 * comes in one step
					 */
	const struct change *other;	/* or this policy comes */
	const struct policy *policy;	/* in place of this one, which goes */
};

struct setting {
	const struct nlattr *attr;
	const struct statement *statement;	/* NULL: the default again */
};

struct plan {
	struct record *wanted;
	size_t wanted_count;
	struct step *steps;
	size_t count;
	struct setting *settings;
	size_t setting_count;
	char defaults[64];		/* attributes that no file gave */
};

int present_get(struct present *present, struct nl *nl, const char *what);
void present_free(struct present *present);

/* whole: what no file names goes, or becomes what it is by default. */
int plan_make(struct plan *plan, const struct batch *batch,
	      const struct present *present, bool whole);
void plan_free(struct plan *plan);
/* What plan_make() has of settings (plan_settings.c). */
int plan_settings(struct plan *plan, const struct batch *batch,
		  const struct state *state, bool whole);
/* Asks the kernel for all of it at once. */
int plan_apply(const struct plan *plan, struct nl *nl, const char *what);

/* In words (plan_show.c); an exit code. */
int show_plan(struct env *env, const struct plan *plan,
	      const struct present *present);
/* Whether anything changes for certain. */
bool plan_differs(const struct plan *plan, const struct state *state);

/* Whether the kernel has this NETVEIL_A_LOCAL. */
bool plan_is_local(const struct nlattr *attr, const struct state *state);
/* Whether a step changes prop, or might: the kernel compares secrets. */
bool step_changes(const struct step *step, const struct prop *prop);

#endif /* VEIL_PLAN_H */
