// SPDX-License-Identifier: GPL-2.0
/*
 * veil verify: listens on a device, where the tap is, and tells what passed there
 * between this host and those that are protected: sealed, exempt, or in clear.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "err.h"
#include "format.h"
#include "model.h"
#include "out.h"
#include "watch.h"

struct verify {
	const char *device;
	unsigned int index;		/* 0: all */
	uint32_t seconds;
	bool gone;
};

static int take_device(void *target, const char *value)
{
	((struct verify *)target)->device = value;
	return 0;
}

static int take_seconds(void *target, const char *value)
{
	struct verify *verify = target;
	const char *reason = parse_seconds(&verify->seconds, value);

	return reason ? err_usage("verify: -t '%s': %s", value, reason) : 0;
}

static const struct option options[] = {
	{ "-i", "a device", false, take_device },
	{ "-t", "seconds", false, take_seconds },
};

/* Whom to look for: under "require", and preferred peers that had a session. */
static int gather(struct env *env, struct watch *watch)
{
	struct everything all = {0};
	int code = take_everything(env, &all, "verify");

	if (!code)
		watch_add(watch, &all.state, &all.peers, &all.policies);
	free_everything(&all);
	if (!code && !watch->protected)
		code = err("verify: nothing is protected: there is nothing to verify");
	return code;
}

/*
 * All devices, without -i: index 0. The socket listens to nothing until it is
 * bound: one that listened from its making would take other devices' packets
 * first, and be deaf for an RCU grace period while it is bound anew.
 */
static int open_capture(struct verify *verify, int *result)
{
	struct sockaddr_ll from = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
	};
	int size = 8 << 20;
	int fd;

	if (verify->device) {
		verify->index = if_nametoindex(verify->device);
		if (!verify->index)
			return err("verify: no device '%s'", verify->device);
	}
	from.sll_ifindex = (int)verify->index;
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err("verify: cannot capture: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from))) {
		close(fd);
		return err("verify: cannot capture: %s", strerror(errno));
	}
	*result = fd;
	return 0;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool is_loopback(int index)
{
	char name[IF_NAMESIZE];

	return if_indextoname((unsigned int)index, name) && !strcmp(name, "lo");
}

/* The socket hears nothing any more, also of one that comes by the same name. */
static bool is_gone(unsigned int index)
{
	char name[IF_NAMESIZE];

	return index && !if_indextoname(index, name);
}

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

/* SIGINT ends the listening and not us; a second one does. */
static void catch_interrupt(void)
{
	struct sigaction action = {
		.sa_handler = interrupt,
		.sa_flags = SA_RESETHAND,
	};

	sigaction(SIGINT, &action, NULL);
}

/* A peer that roams may have moved, or have got another endpoint, since we began. */
static int ask_places(struct env *env, struct watch *watch)
{
	struct everything all = {0};
	int code = take_everything(env, &all, "verify");

	if (!code)
		watch_move(watch, &all.peers);
	free_everything(&all);
	return code;
}

/* What came so far can be read to its end, since nothing comes after it. */
static bool stop_capture(int fd)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { 1, &none };

	return !setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
			   sizeof(program));
}

/* Until the time is up, the device is gone, or an interrupt; and all that came
 * before.
 */
static int listen_to(int fd, struct env *env, struct verify *verify,
		     struct watch *watch)
{
	double end = now() + verify->seconds, nobody = 0;
	struct timeval wait = { .tv_usec = 200000 };
	static uint8_t packet[65536];
	struct sockaddr_ll from;
	bool over = false;
	socklen_t size;
	ssize_t len;
	int code, error;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	for (;;) {
		if (!over && (interrupted || verify->gone || now() >= end)) {
			over = true;
			if (!stop_capture(fd))
				return err("verify: cannot stop listening: %s",
					   strerror(errno));
		}
		size = sizeof(from);
		len = recvfrom(fd, packet, sizeof(packet),
			       over ? MSG_DONTWAIT : 0,
			       (struct sockaddr *)&from, &size);
		error = len < 0 ? errno : 0;
		if (error == EAGAIN || error == ENETDOWN)
			verify->gone |= is_gone(verify->index);
		else if (error && error != EINTR)
			return err("verify: %s", strerror(error));
		if (error == EAGAIN && over)
			return 0;
		if (len <= 0 || is_loopback(from.sll_ifindex))
			continue;
		if (watch_packet(watch, &from, packet, (size_t)len,
				 now() < nobody))
			continue;
		code = ask_places(env, watch);
		if (code)
			return code;
		if (watch_packet(watch, &from, packet, (size_t)len, false))
			continue;
		/* In clear, which says all: no need to ask for each that follows. */
		nobody = now() + 1;
		watch_packet(watch, &from, packet, (size_t)len, true);
	}
}

static uint32_t lost_packets(int fd)
{
	struct tpacket_stats stats = {0};
	socklen_t size = sizeof(stats);

	getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size);
	return stats.tp_drops;
}

static void show_count(struct out *out, const char *key, const char *label,
		       const struct tally *tally, enum color color)
{
	char packets[TEXT_LEN], bytes[TEXT_LEN];

	out_object(out, key);
	out_json_number(out, "packets", tally->packets);
	out_json_number(out, "bytes", tally->bytes);
	out_close(out);
	out_line(out, label, tally->packets ? color : COLOR_NONE, "%s, %s",
		 format_packets(packets, tally->packets),
		 format_bytes(bytes, tally->bytes));
}

static void show_direction(struct out *out, const char *key, bool in,
			   const struct tally tallies[SEEN_KINDS])
{
	out_object(out, key);
	show_count(out, "sealed", in ? "received sealed" : "sent sealed",
		   &tallies[SEEN_SEALED], COLOR_GOOD);
	show_count(out, "exempt", in ? "received exempt" : "sent exempt",
		   &tallies[SEEN_EXEMPT], COLOR_NONE);
	show_count(out, "plaintext", in ? "received in clear" : "sent in clear",
		   &tallies[SEEN_CLEAR], COLOR_BAD);
	out_close(out);
}

static bool show_watched(struct out *out, const struct watched *watched)
{
	char text[TEXT_LEN];

	out_object(out, NULL);
	format_prefix(text, &watched->prefix);
	out_json_string(out, "prefix", text);
	out_heading(out, "with", text);
	out_json_string(out, "public_key", watched->has_key ?
			format_key(text, watched->public_key) : NULL);
	show_direction(out, "sent", false, watched->seen[0]);
	show_direction(out, "received", true, watched->seen[1]);
	out_close(out);
	return watched->seen[0][SEEN_CLEAR].packets ||
	       watched->seen[1][SEEN_CLEAR].packets;
}

static int print_result(struct env *env, const struct watch *watch,
			uint32_t lost)
{
	bool clear = false;
	struct out out;
	size_t i;
	int code;

	out_begin(&out, env);
	out_object(&out, NULL);
	out_array(&out, "protected");
	for (i = 0; i < watch->count; i++)
		if (!watch->list[i].open)
			clear |= show_watched(&out, &watch->list[i]);
	out_close(&out);
	out_json_number(&out, "lost", lost);
	out_json_bool(&out, "plaintext", clear);
	out_gap(&out);
	out_heading(&out, clear ? "PLAINTEXT was seen" : lost ?
		    "no plaintext was seen in what was looked at" :
		    "no plaintext was seen", "");
	out_close(&out);
	code = out_end(&out);
	if (!code && lost)
		code = err("verify: %" PRIu32 " packets came faster than they were read, and were not looked at: try it with -i DEV, or for a shorter time",
			   lost);
	return code ? code : clear;
}

int cmd_verify(struct env *env, struct words *words)
{
	struct verify verify = { .seconds = 10 };
	struct watch watch = {0};
	int fd = -1, code;

	code = options_take(options, ARRAY_LEN(options), words, &verify);
	if (!code)
		code = gather(env, &watch);
	catch_interrupt();
	if (!code)
		code = open_capture(&verify, &fd);
	if (!code)
		code = listen_to(fd, env, &verify, &watch);
	if (!code)
		code = print_result(env, &watch, lost_packets(fd));
	if (!code && verify.gone)
		code = err("verify: the device '%s' went away: what passes since then is not seen",
			   verify.device);
	if (fd >= 0)
		close(fd);
	watch_free(&watch);
	return code;
}
