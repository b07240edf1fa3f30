// SPDX-License-Identifier: GPL-2.0
/*
 * veil stats and veil top: what goes on, a line for each peer; once, or live.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "err.h"
#include "names.h"
#include "nl.h"
#include "out.h"
#include "sample.h"

#define INTERVAL_MAX	3600

/* Of a screen whose size is not known. */
#define ROWS		24

static int take_interval(void *target, const char *value)
{
	char *end;
	unsigned long seconds = strtoul(value, &end, 10);

	if (!*value || *end || *value == '-' || !seconds ||
	    seconds > INTERVAL_MAX)
		return err_usage("interval '%s': seconds, 1 to %d", value,
				 INTERVAL_MAX);
	*(unsigned int *)target = (unsigned int)seconds;
	return 0;
}

static const struct option options[] = {
	{ "interval", "seconds", false, take_interval },
};

/* A peer's name in a narrow column: its first address, and its key's start. */
static const char *short_name(char text[TEXT_LEN], const struct peer *peer)
{
	char address[TEXT_LEN] = "", key[TEXT_LEN];

	if (peer->address_count)
		format_address(address, &peer->addresses[0]);
	snprintf(text, TEXT_LEN, "%.39s %.8s", address,
		 format_key(key, peer->public_key));
	return text;
}

static enum color state_color(uint8_t state)
{
	return state == NETVEIL_STATE_UP ? COLOR_GOOD :
	       state == NETVEIL_STATE_HANDSHAKE ? COLOR_WAIT : COLOR_NONE;
}

static void head(struct out *out)
{
	out_text(out, COLOR_BOLD, "%-26s %-9s %11s %9s %11s %9s %9s %8s\n",
		 "peer", "state", "received", "", "sent", "", "dropped",
		 "session");
}

static void line(struct out *out, const struct rate *rate)
{
	char name[TEXT_LEN], rx[TEXT_LEN], rxp[TEXT_LEN], tx[TEXT_LEN];
	char txp[TEXT_LEN], drops[TEXT_LEN], age[TEXT_LEN] = "-";

	if (rate->peer->has_session)
		format_age(age, rate->peer->session_age / 1000);
	out_text(out, COLOR_NONE, "%-26s ", short_name(name, rate->peer));
	out_text(out, state_color(rate->peer->state), "%-9s",
		 name_of(state_names, STATE_NAMES, rate->peer->state));
	out_text(out, COLOR_NONE, " %11s %9s %11s %9s ",
		 format_bits(rx, rate->rx_bits),
		 format_rate(rxp, rate->rx_packets),
		 format_bits(tx, rate->tx_bits),
		 format_rate(txp, rate->tx_packets));
	out_text(out, rate->drops > 0 ? COLOR_BAD : COLOR_NONE, "%9s",
		 format_rate(drops, rate->drops));
	out_text(out, COLOR_NONE, " %8s\n", age);
}

/* A whole number; what is less than one a second is not none. */
static void put_rate(struct out *out, const char *key, double rate)
{
	out_json_number(out, key,
			rate > 0 && rate < 1 ? 1 : (uint64_t)rate);
}

static void put_json(struct out *out, const struct rate *rate)
{
	char key[TEXT_LEN];

	out_object(out, NULL);
	out_json_string(out, "public_key",
			format_key(key, rate->peer->public_key));
	out_json_string(out, "state", name_of(state_names, STATE_NAMES,
					      rate->peer->state));
	put_rate(out, "rx_bits_per_second", rate->rx_bits);
	put_rate(out, "tx_bits_per_second", rate->tx_bits);
	put_rate(out, "rx_packets_per_second", rate->rx_packets);
	put_rate(out, "tx_packets_per_second", rate->tx_packets);
	put_rate(out, "drops_per_second", rate->drops);
	out_close(out);
}

static int print_rates(struct env *env, const struct sample *old,
		       const struct sample *new)
{
	struct rate *rates = rates_between(old, new);
	struct out out;
	size_t i;

	out_begin(&out, env);
	out_array(&out, NULL);
	head(&out);
	for (i = 0; i < new->peers.count; i++) {
		if (out.json)
			put_json(&out, &rates[i]);
		else
			line(&out, &rates[i]);
	}
	out_close(&out);
	free(rates);
	return out_end(&out);
}

int cmd_stats(struct env *env, struct words *words)
{
	struct sample old = {0}, new = {0};
	unsigned int interval = 1;
	struct nl nl = {0};
	int code;

	code = options_take(options, ARRAY_LEN(options), words, &interval);
	if (!code)
		code = nl_open(&nl, env);
	if (!code)
		code = sample_take(&old, &nl, "stats");
	if (!code) {
		sleep(interval);
		code = sample_take(&new, &nl, "stats");
	}
	nl_close(&nl);
	if (!code)
		code = print_rates(env, &old, &new);
	sample_free(&old);
	sample_free(&new);
	return code;
}

/* veil top */

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static unsigned int rows(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_row < 8)
		return ROWS;
	return size.ws_row;
}

/* The reasons that happened in the interval, most frequent ones by their order in
 * the kernel, as long as there is a place.
 */
static void show_drops(struct out *out, const struct sample *old,
		       const struct sample *new)
{
	unsigned int i, shown = 0;

	for (i = 0; i < new->state.drop_count && i < old->state.drop_count; i++) {
		uint64_t more = new->state.drops[i].count -
				old->state.drops[i].count;

		if (!more || shown++ == 4)
			continue;
		out_text(out, COLOR_BAD, "  %s +%" PRIu64,
			 new->state.drops[i].reason, more);
	}
	out_text(out, COLOR_NONE, "\n\n");
}

static void show_summary(struct out *out, const struct sample *old,
			 const struct sample *new, const struct rate *rates)
{
	char clock[TEXT_LEN], rx[TEXT_LEN], tx[TEXT_LEN], drops[TEXT_LEN];
	double rx_bits = 0, tx_bits = 0;
	time_t now = time(NULL);
	size_t up = 0, i;
	struct tm tm;

	for (i = 0; i < new->peers.count; i++) {
		rx_bits += rates[i].rx_bits;
		tx_bits += rates[i].tx_bits;
		up += rates[i].peer->state == NETVEIL_STATE_UP;
	}
	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	out_text(out, COLOR_BOLD, "veil top - %s", clock);
	out_text(out, COLOR_NONE, "  %zu of %zu peers up\n", up,
		 new->peers.count);
	out_text(out, COLOR_NONE, "received %s, sent %s, dropped %s",
		 format_bits(rx, rx_bits), format_bits(tx, tx_bits),
		 format_rate(drops, drops_between(old, new)));
	show_drops(out, old, new);
}

static int draw(struct env *env, const struct sample *old,
		const struct sample *new)
{
	struct rate *rates = rates_between(old, new);
	size_t room = rows() - 6, i;
	struct out out;

	out_begin(&out, env);
	out_text(&out, COLOR_NONE, "\033[H\033[J");
	show_summary(&out, old, new, rates);
	head(&out);
	for (i = 0; i < new->peers.count && i < room; i++)
		line(&out, &rates[i]);
	if (i < new->peers.count)
		out_text(&out, COLOR_NONE, "... and %zu more",
			 new->peers.count - i);
	free(rates);
	return out_end(&out);
}

/* Until the interval is over, or a key was pressed; whether to go on. */
static bool wait_key(unsigned int interval)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char key;

	if (poll(&input, 1, (int)interval * 1000) <= 0)
		return !stop;
	return read(STDIN_FILENO, &key, 1) == 1 && key != 'q' && key != 'Q';
}

static int watch(struct env *env, struct nl *nl, unsigned int interval)
{
	struct sample old = {0}, new = {0};
	int code = sample_take(&old, nl, "top");

	/* So that the first screen is not an empty one. */
	usleep(200000);
	do {
		if (!code)
			code = sample_take(&new, nl, "top");
		if (!code)
			code = draw(env, &old, &new);
		sample_free(&old);
		old = new;
		memset(&new, 0, sizeof(new));
	} while (!code && wait_key(interval));
	sample_free(&old);
	return code;
}

/* The other screen, without echo and without a cursor, and back. */
static int on_screen(struct env *env, struct nl *nl, unsigned int interval)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct termios was, raw;
	bool terminal = !tcgetattr(STDIN_FILENO, &was);
	int code;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (terminal) {
		raw = was;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	/* A screen at a time, or it flickers. */
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	fputs("\033[?1049h\033[?25l", stdout);
	code = watch(env, nl, interval);
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (terminal)
		tcsetattr(STDIN_FILENO, TCSANOW, &was);
	return code;
}

int cmd_top(struct env *env, struct words *words)
{
	unsigned int interval = 2;
	struct nl nl = {0};
	int code;

	code = options_take(options, ARRAY_LEN(options), words, &interval);
	if (!code && (env->json || !isatty(STDOUT_FILENO)))
		code = err_usage("top: is for terminals: veil -j stats is for programs");
	if (!code)
		code = nl_open(&nl, env);
	if (!code)
		code = on_screen(env, &nl, interval);
	nl_close(&nl);
	return code;
}
