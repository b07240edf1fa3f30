/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The commands of veil. All return an exit code.
 */
#ifndef VEIL_CMD_H
#define VEIL_CMD_H

#include "words.h"

struct peer;
struct out;

int cmd_key(struct env *env, struct words *words);
int cmd_genkey(struct env *env, struct words *words);
int cmd_genpsk(struct env *env, struct words *words);
int cmd_pubkey(struct env *env, struct words *words);
int cmd_set(struct env *env, struct words *words);
int cmd_peer(struct env *env, struct words *words);
int cmd_peer_add(struct env *env, struct words *words);
int cmd_peer_show(struct env *env, struct words *words);
int cmd_show(struct env *env, struct words *words);
int cmd_load(struct env *env, struct words *words);
int cmd_sync(struct env *env, struct words *words);
int cmd_diff(struct env *env, struct words *words);
int cmd_save(struct env *env, struct words *words);
int cmd_flush(struct env *env, struct words *words);
int cmd_check(struct env *env, struct words *words);
int cmd_stats(struct env *env, struct words *words);
int cmd_top(struct env *env, struct words *words);
int cmd_metrics(struct env *env, struct words *words);
int cmd_monitor(struct env *env, struct words *words);

/* One peer, in text or JSON (cmd_peer_show.c). */
void show_peer(struct out *out, const struct peer *peer);

#endif /* VEIL_CMD_H */
