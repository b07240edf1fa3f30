// SPDX-License-Identifier: GPL-2.0
/*
 * veil: configures the Netveil kernel module. Global options, the table of
 * commands, and help, which needs no kernel.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "err.h"
#include "../kmod/version.h"

static int cmd_help(struct env *env, struct words *words);
static int cmd_version(struct env *env, struct words *words);

static const struct command commands[] = {
	{ "help", cmd_help, "[COMMAND]", "this text, or that of one command" },
	{ "show", cmd_show, "[PEER]", "keys, peers, traffic, drops" },
	{ "key", cmd_key, "generate [next] [force]\n"
	  "  veil key retire [after SECONDS] [force]",
	  "a private key made in the kernel; prints the public one; retire wipes\n"
	  "        the current key and goes on with the next" },
	{ "set", cmd_set, "[private-key FILE] [listen-port N] [cipher NAME]\n"
	  "           [next-private-key FILE|no-next-private-key]\n"
	  "           [local NETWORK]...|[no-local] [rx-mark VALUE/MASK|no-rx-mark]",
	  "NAME is auto, aes-256-gcm or chacha20-poly1305" },
	{ "peer", cmd_peer, "add PUBKEY address ADDR [address ADDR]... [prefix NETWORK]...\n"
	  "                [endpoint ADDR[:PORT]|[V6ADDR]:PORT] [psk FILE]\n"
	  "                [psk-next FILE] [next-key PUBKEY] [roaming] [keepalive SECONDS|off]\n"
	  "                [policy require|prefer|bypass] [confirm SECONDS]\n"
	  "  veil peer set PUBKEY [address ADDR]... [prefix NETWORK]...|[no-prefix]\n"
	  "                [endpoint ...] [psk FILE|no-psk]\n"
	  "                [psk-next FILE|no-psk-next] [next-key PUBKEY|no-next-key]\n"
	  "                [roaming|no-roaming] [keepalive SECONDS|off]\n"
	  "                [policy require|prefer|bypass] [confirm SECONDS] [force]\n"
	  "  veil peer del PUBKEY\n"
	  "  veil peer show [PEER]",
	  "with whom all traffic is encrypted" },
	{ "load", cmd_load, "[FILE]...",
	  "add or change what the files say; all of it or nothing" },
	{ "sync", cmd_sync, "[FILE]...",
	  "the same, and remove what they do not say" },
	{ "diff", cmd_diff, "[FILE]...", "what sync would change" },
	{ "save", cmd_save, "[FILE]", "the configuration, to load again" },
	{ "policy", cmd_policy, "add PREFIX require|prefer|bypass\n"
	  "                [confirm SECONDS]\n"
	  "  veil policy set PREFIX require|prefer|bypass [confirm SECONDS] [force]\n"
	  "  veil policy del PREFIX [confirm SECONDS]\n"
	  "  veil policy show",
	  "what may pass to and from hosts that are no peers" },
	{ "confirm", cmd_confirm, "",
	  "keep a change made with 'confirm SECONDS', which is undone else" },
	{ "session", cmd_session, "reset [PUBKEY]",
	  "forget session keys; new ones are made when packets want to pass" },
	{ "verify", cmd_verify, "[-i DEV] [-t SECONDS]",
	  "listen where a tap would: 1 if anything protected passes in clear" },
	{ "guard", cmd_guard, "[show]\n"
	  "  veil guard install [--root DIR]\n"
	  "  veil guard remove [--root DIR]",
	  "an nftables ruleset that holds shut what is required, also at boot" },
	{ "flush", cmd_flush, "",
	  "remove all peers, policies, sessions and the key" },
	{ "monitor", cmd_monitor, "", "events as they happen" },
	{ "stats", cmd_stats, "[interval SECONDS]",
	  "what goes on: rates over the interval, a line for each peer" },
	{ "top", cmd_top, "[interval SECONDS]", "the same, live; q ends it" },
	{ "check", cmd_check, "[PEER]",
	  "look for what is wrong, and try traffic with the peers" },
	{ "metrics", cmd_metrics, "[openmetrics]",
	  "counters in the text format of Prometheus" },
	{ "genkey", cmd_genkey, "", "make and print a private key" },
	{ "genpsk", cmd_genpsk, "", "make and print a pre-shared key" },
	{ "pubkey", cmd_pubkey, "",
	  "private key on standard input, public key on standard output" },
	{ "version", cmd_version, "", "the version of veil" },
};

static void print_command(FILE *to, const struct command *command)
{
	fprintf(to, "  veil %s%s%s\n        %s\n", command->word,
		*command->usage ? " " : "", command->usage, command->help);
}

static void print_usage(FILE *to)
{
	size_t i;

	fputs("Usage: veil [-j] [-p] [-n NETNS] COMMAND\n\n", to);
	for (i = 0; i < ARRAY_LEN(commands); i++)
		print_command(to, &commands[i]);
	fputs("\nFILE may be keyring:SERIAL or keyring:DESCRIPTION, a logon, encrypted or\n"
	      "trusted key in the kernel's keyrings.\n", to);
	fputs("\n  -j        JSON\n"
	      "  -p        JSON for people: indented\n"
	      "  -n NETNS  in this network namespace, as 'ip netns' names it\n"
	      "\nCommands and words may be cut short where that leaves no doubt.\n"
	      "See veil(8).\n", to);
}

static int cmd_help(struct env *env, struct words *words)
{
	const char *word = words ? words_next(words) : NULL;
	const struct command *command;
	int code;

	(void)env;
	if (!word) {
		print_usage(stdout);
		return 0;
	}
	command = command_find(commands, ARRAY_LEN(commands), word, "", false);
	code = command ? words_end(words) : EXIT_USAGE;
	if (!code) {
		print_command(stdout, command);
		puts("\nSee veil(8).");
	}
	return code;
}

static int cmd_version(struct env *env, struct words *words)
{
	(void)env;
	(void)words;
	printf("veil %s\n", VEIL_VERSION);
	return 0;
}

/* Exit code, or -1 to go on. */
static int take_option(int option, struct env *env)
{
	switch (option) {
	case 'j':
		env->json = true;
		return -1;
	case 'p':
		env->json = true;
		env->pretty = true;
		return -1;
	case 'n':
		env->netns = optarg;
		return -1;
	case 'h':
		return cmd_help(env, NULL);
	case 'V':
		return cmd_version(env, NULL);
	case ':':
		return err_usage("'-%c' wants the name of a network namespace",
				 optopt);
	default:
		return err_usage("'-%c' is no option: 'veil help' lists them",
				 optopt);
	}
}

int main(int argc, char **argv)
{
	struct env env = {0};
	struct words words;
	int option, code;

	opterr = 0;
	while ((option = getopt(argc, argv, "+:jpn:hV")) != -1) {
		code = take_option(option, &env);
		if (code >= 0)
			return code;
	}
	if (sodium_init() < 0)
		return err("cannot set up libsodium");
	words = (struct words){ argc - optind, argv + optind, NULL };
	if (!words.count) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	return command_run(commands, ARRAY_LEN(commands), "", &env, &words);
}
