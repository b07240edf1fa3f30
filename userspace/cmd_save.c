// SPDX-License-Identifier: GPL-2.0
/*
 * veil save: the configuration as a file that veil load takes.
 *
 * The kernel gives no secret out, so what names their files comes from the file
 * that is overwritten, or from /etc/netveil. Where nothing does, the word
 * "unknown" stands in its place, which makes the file one that does not load:
 * FILE.incomplete, beside FILE as it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"
#include "err.h"
#include "keyfile.h"
#include "names.h"
#include "plan.h"

#define UNKNOWN	"unknown"
#define KEYRING	"keyring:"
#define NEXT_KEY	"next-private-key"

/* Files of secrets that are not known. */
static unsigned int unknown_count;

/* What takes no value; a value may be the name of an option. */
static bool is_alone(const char *word)
{
	return !strncmp(word, "no-", 3) || !strcmp(word, "roaming") ||
	       !strcmp(word, "force");
}

static const char *word_after(const struct statement *statement, int first,
			      const char *option)
{
	int n;

	for (n = first; n + 1 < statement->count; n++) {
		if (is_alone(statement->words[n]))
			continue;
		if (!strcmp(statement->words[n++], option))
			return statement->words[n];
	}
	return NULL;
}

/* Whether it is about the peer with this key, which may be its next one there. */
static bool is_about(const struct statement *statement, const char *key)
{
	const char *next;

	if (strcmp(statement->words[0], "peer") || statement->count < 3)
		return false;
	next = word_after(statement, 3, prop_next_key->word);
	return !strcmp(statement->words[2], key) || (next && !strcmp(next, key));
}

/* The value of option for a peer, or among the settings. */
static const char *find_word(const struct conf *conf, const char *key,
			     const char *option)
{
	const char *found = NULL;
	size_t i;

	for (i = 0; i < conf->count && !found; i++) {
		const struct statement *statement = &conf->list[i];

		if (key && is_about(statement, key))
			found = word_after(statement, 3, option);
		else if (!key && !strcmp(statement->words[0], "set"))
			found = word_after(statement, 1, option);
	}
	return found;
}

/* The same, if it is in a keyring. */
static const char *find_in_keyring(const struct conf *conf, const char *option)
{
	const char *name = find_word(conf, NULL, option);

	return name && !strncmp(name, KEYRING, strlen(KEYRING)) ? name : NULL;
}

static void put_file(FILE *to, const char *option, const char *name,
		     const char *whose)
{
	unknown_count += !name;
	if (!name)
		warn("save: which file has the %s of %s is not known: put its name in place of '%s'",
		     option, whose, UNKNOWN);
	if (name && strpbrk(name, " \t#"))
		fprintf(to, "\t%s \"%s\"\n", option, name);
	else
		fprintf(to, "\t%s %s\n", option, name ? name : UNKNOWN);
}

/* A secret that was to be replaced, and may have been: only the kernel can tell one
 * from another. Who loads both goes by the one that the other end knows.
 */
static void put_either(FILE *to, const char *option, const char *name,
		       const char *next_option, const char *next,
		       const char *whose)
{
	put_file(to, option, name ? name : next, whose);
	if (!name || !next)
		return;
	put_file(to, next_option, next, whose);
	warn("save: whether the %s of %s is that of %s still, or that of %s by now, is not known: both are named, which is right unless the latter was taken back",
	     option, whose, name, next);
}

/* Whether that file has the secret half. */
static bool holds(const char *folder, const char *name,
		  const uint8_t public[NETVEIL_KEY_LEN])
{
	uint8_t key[NETVEIL_KEY_LEN], half[NETVEIL_KEY_LEN];
	bool same = false;
	char *path;

	if (asprintf(&path, "%s/%s", *name == '/' ? "" : folder, name) < 0)
		die_no_memory();
	if (!access(path, R_OK) && !keyfile_read(key, path, "save"))
		same = !crypto_scalarmult_base(half, key) &&
		       !memcmp(half, public, sizeof(half));
	sodium_memzero(key, sizeof(key));
	free(path);
	return same;
}

/* The file of a key, which may have been the next one when it was written. */
static const char *find_key(const struct conf *conf,
			    const uint8_t public[NETVEIL_KEY_LEN])
{
	const char *word;
	size_t i;

	for (i = 0; i < conf->count; i++) {
		const struct statement *statement = &conf->list[i];

		if (strcmp(statement->words[0], "set"))
			continue;
		word = word_after(statement, 1, "private-key");
		if (word && holds(statement->folder, word, public))
			return word;
		word = word_after(statement, 1, NEXT_KEY);
		if (word && holds(statement->folder, word, public))
			return word;
	}
	return NULL;
}

/* A key that came from somewhere is named by where it came from. */
static void put_identity(FILE *to, const char *option, uint8_t origin,
			 const uint8_t public[NETVEIL_KEY_LEN],
			 const struct conf *known, bool alone)
{
	if (origin == NETVEIL_KEY_USER)
		put_file(to, option, find_key(known, public), "this host");
	if (origin == NETVEIL_KEY_KEYRING)
		put_either(to, option, find_in_keyring(known, option), NEXT_KEY,
			   alone ? find_in_keyring(known, NEXT_KEY) : NULL,
			   "this host");
	if (origin == NETVEIL_KEY_KERNEL)
		fprintf(to, "# The %s was made in the kernel and is nowhere else: veil key generate\n",
			option);
}

static void put_settings(FILE *to, const struct state *state,
			 const struct conf *known)
{
	char text[TEXT_LEN];
	unsigned int i;

	fprintf(to, "set\n");
	put_identity(to, "private-key", state->origin, state->public_key,
		     known, !state->has_next_key);
	put_identity(to, NEXT_KEY, state->next_origin,
		     state->next_key, known, false);
	fprintf(to, "\tlisten-port %u\n\tcipher %s\n", state->listen_port,
		name_of(cipher_names, CIPHER_NAMES, state->cipher));
	for (i = 0; i < state->local_count; i++)
		fprintf(to, "\tlocal %s\n",
			format_prefix(text, &state->locals[i]));
	if (state->rx_mask)
		fprintf(to, "\trx-mark 0x%x/0x%x\n", state->rx_mark,
			state->rx_mask);
}

static void put_peer(FILE *to, const struct record *peer,
		     const struct conf *known)
{
	bool alone = !record_value(peer, prop_psk_next, 0);
	char key[TEXT_LEN], text[2 * TEXT_LEN];
	const char *word, *psk, *psk_next;
	unsigned int n;
	size_t i;

	fprintf(to, "\npeer add %s\n", format_key(key, peer->key));
	psk = find_word(known, key, prop_psk->word);
	psk_next = find_word(known, key, prop_psk_next->word);
	for (i = 0; i < prop_count; i++)
		for (n = 0; record_value(peer, &props[i], n); n++) {
			word = record_word(text, peer, &props[i], n);
			if (&props[i] == prop_psk)
				put_either(to, prop_psk->word, psk,
					   prop_psk_next->word,
					   alone ? psk_next : NULL, key);
			else if (&props[i] == prop_psk_next)
				put_file(to, prop_psk_next->word, psk_next,
					 key);
			else if (word)
				fprintf(to, "\t%s\n", word);
		}
}

static void put_policy(FILE *to, const struct policy *policy)
{
	char prefix[TEXT_LEN];

	fprintf(to, "\npolicy add %s %s\n",
		format_prefix(prefix, &policy->prefix),
		name_of(policy_names, POLICY_NAMES, policy->kind));
}

static int put_all(FILE *to, const char *path, const struct present *present,
		   const struct conf *known)
{
	size_t i;

	fprintf(to, "# Written by veil save; netveil.conf(5).\n");
	put_settings(to, &present->state, known);
	for (i = 0; i < present->policies.count; i++)
		put_policy(to, &present->policies.list[i]);
	for (i = 0; i < present->count; i++)
		put_peer(to, &present->peers[i], known);
	if (fflush(to) || ferror(to))
		return err("save: cannot write %s: %s", path, strerror(errno));
	return 0;
}

/* The file itself, where path is a link to it. */
static int find_place(char place[PATH_MAX], const char *path)
{
	struct stat st;

	if (!realpath(path, place)) {
		if (errno != ENOENT || strlen(path) >= PATH_MAX)
			return err("save: cannot write %s: %s", path,
				   strerror(errno));
		strcpy(place, path);
		if (lstat(path, &st))
			return 0;
	}
	if (stat(place, &st) || !S_ISREG(st.st_mode) || !st.st_nlink)
		return err("save: %s is no file to be replaced; without a name veil save writes to standard output",
			   path);
	return 0;
}

/* What does not load takes no place of what may. */
static int put_in_place(const char *temporary, const char *place)
{
	char *aside = NULL;
	int code = 0;

	if (unknown_count && asprintf(&aside, "%s.incomplete", place) < 0)
		die_no_memory();
	/* Somebody may be completing one. */
	if (aside && !link(temporary, aside))
		code = err("save: what was written is %s, and %s is as it was: put in what is '%s' there, and rename it",
			   aside, place, UNKNOWN);
	else if (aside && errno == EEXIST)
		code = err("save: %s is there already, from before: complete and rename it, or remove it",
			   aside);
	else if (aside || rename(temporary, place))
		code = err("save: cannot put %s in its place: %s",
			   aside ? aside : place, strerror(errno));
	else if (conf_is_beside(place))
		warn("save: %s has all of the configuration, but there are other *.conf in " CONF_FOLDER ", and what is given twice is refused at boot: move them away",
		     place);
	free(aside);
	return code;
}

/* In the file's folder, so that it takes its place in one step. */
static int write_file(const char *place, const struct present *present,
		      const struct conf *known)
{
	char *temporary;
	FILE *to = NULL;
	int fd, code;

	if (asprintf(&temporary, "%s.XXXXXX", place) < 0)
		die_no_memory();
	fd = mkstemp(temporary);
	to = fd < 0 ? NULL : fdopen(fd, "w");
	if (!to) {
		code = err("save: cannot write %s: %s", temporary,
			   strerror(errno));
		free(temporary);
		return code;
	}
	code = put_all(to, temporary, present, known);
	if (!code && fsync(fd))
		code = err("save: cannot write %s: %s", temporary,
			   strerror(errno));
	fclose(to);
	if (!code)
		code = put_in_place(temporary, place);
	if (code)
		unlink(temporary);
	free(temporary);
	return code;
}

int cmd_save(struct env *env, struct words *words)
{
	const char *path = words_next(words);
	struct present present = {0};
	struct conf known = {0};
	char place[PATH_MAX];
	struct nl nl = {0};
	int code = words_end(words);

	if (!code && path)
		code = find_place(place, path);
	if (!code)
		code = conf_read_known(&known, path);
	if (!code)
		code = nl_open(&nl, env);
	if (!code)
		code = present_get(&present, &nl, "save");
	nl_close(&nl);
	if (!code && path)
		code = write_file(place, &present, &known);
	else if (!code)
		code = put_all(stdout, "standard output", &present, &known);
	if (!code && unknown_count)
		code = EXIT_FAILED;
	present_free(&present);
	conf_free(&known);
	return code;
}
