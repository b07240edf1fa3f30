/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The commands of veil. All return an exit code.
 */
#ifndef VEIL_CMD_H
#define VEIL_CMD_H

#include "words.h"

struct clear;
struct everything;
struct nl;
struct peer;
struct policies;
struct out;

int cmd_key(struct env *env, struct words *words);
int cmd_genkey(struct env *env, struct words *words);
int cmd_genpsk(struct env *env, struct words *words);
int cmd_pubkey(struct env *env, struct words *words);
int cmd_set(struct env *env, struct words *words);
int cmd_peer(struct env *env, struct words *words);
int cmd_policy_add(struct env *env, struct words *words);
int cmd_peer_add(struct env *env, struct words *words);
int cmd_peer_show(struct env *env, struct words *words);
int cmd_policy(struct env *env, struct words *words);
int cmd_show(struct env *env, struct words *words);
int cmd_load(struct env *env, struct words *words);
int cmd_sync(struct env *env, struct words *words);
int cmd_diff(struct env *env, struct words *words);
/* Of /etc/netveil, without a word of what differs: 0, 1 or 2 as of diff(1). */
int cmd_diff_quiet(struct env *env);
int cmd_save(struct env *env, struct words *words);
int cmd_session(struct env *env, struct words *words);
int cmd_flush(struct env *env, struct words *words);
int cmd_check(struct env *env, struct words *words);
int cmd_stats(struct env *env, struct words *words);
int cmd_top(struct env *env, struct words *words);
int cmd_metrics(struct env *env, struct words *words);
int cmd_confirm(struct env *env, struct words *words);
int cmd_guard(struct env *env, struct words *words);
int cmd_verify(struct env *env, struct words *words);
int cmd_monitor(struct env *env, struct words *words);

/* One peer, in text or JSON (cmd_peer_show.c). */
void show_peer(struct out *out, const struct peer *peer);
/* Policies of prefixes, and what passed in clear (cmd_policy.c). */
void show_policies(struct out *out, const struct policies *policies);
void show_clear(struct out *out, const struct clear *clear);
/* Asks for them. An exit code. */
int take_policies(struct nl *nl, struct policies *policies);

/* All that a namespace has; what names the request in messages (cmd_show.c). An
 * exit code; to be freed whatever it is.
 */
int take_everything(struct env *env, struct everything *all, const char *what);
void free_everything(struct everything *all);

#endif /* VEIL_CMD_H */
