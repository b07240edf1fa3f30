// SPDX-License-Identifier: GPL-2.0
/*
 * veil check: a doctor. One line for each thing that it looks at, and what to do
 * about what is wrong; traffic with a peer is tried for real.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>

#include "boot.h"
#include "cmd.h"
#include "echo.h"
#include "err.h"
#include "format.h"
#include "model.h"
#include "netns.h"
#include "nl.h"
#include "out.h"
#include "../kmod/version.h"

/* A clock before this has not been set. */
#define YEAR_2025	1735689600
#define SIZE_SMALL	84
#define TRIES		7

struct doctor {
	struct out out;
	struct nl nl;
	struct everything all;
	bool wrong;
};

static void tell(struct doctor *doctor, enum result result, const char *what,
		 const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static void tell(struct doctor *doctor, enum result result, const char *what,
		 const char *format, ...)
{
	static const char *const names[] = { "ok", "doubtful", "wrong" };
	static const enum color colors[] = { COLOR_GOOD, COLOR_WAIT, COLOR_BAD };
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	out_object(&doctor->out, NULL);
	out_json_string(&doctor->out, "check", what);
	out_json_string(&doctor->out, "result", names[result]);
	out_json_string(&doctor->out, "text", text);
	out_close(&doctor->out);
	out_text(&doctor->out, colors[result], "%-9s", names[result]);
	out_text(&doctor->out, COLOR_NONE, " %-10s %s\n", what, text);
	doctor->wrong |= result == WRONG;
}

/* After an upgrade the old one goes on. */
static void check_module(struct doctor *doctor)
{
	char version[TEXT_LEN] = "";
	FILE *file = fopen("/sys/module/netveil/version", "re");

	if (file && !fgets(version, sizeof(version), file))
		*version = '\0';
	if (file)
		fclose(file);
	version[strcspn(version, "\n")] = '\0';
	if (!strcmp(version, VEIL_VERSION))
		tell(doctor, GOOD, "module", "netveil %s is loaded, as new as veil",
		     version);
	else
		tell(doctor, DOUBTFUL, "module",
		     "netveil %s is loaded, and this is veil %s: reboot, or see Upgrade in netveil(7)",
		     *version ? version : "of a version that is not told", VEIL_VERSION);
}

/* Units, files and kernels are for the host's own namespace. */
static void check_boot(struct doctor *doctor, struct env *env)
{
	const struct everything *all = &doctor->all;
	char text[BOOT_TEXT_LEN];
	enum result result;

	if (netns_is_elsewhere(env->netns) ||
	    (!all->peers.count && !all->policies.count))
		return;
	result = boot_service(text, env, all);
	tell(doctor, result, "boot", "%s", text);
	result = boot_guard(text, all);
	tell(doctor, result, "guard", "%s", text);
	if (!boot_is_set_up())
		return;
	result = boot_kernels(text, result == GOOD);
	tell(doctor, result, "kernels", "%s", text);
}

static void check_host(struct doctor *doctor, struct env *env)
{
	struct timex clock = {0};
	char key[TEXT_LEN];

	check_module(doctor);
	check_boot(doctor, env);
	if (doctor->all.state.has_key)
		tell(doctor, GOOD, "key", "this host is %s",
		     format_key(key, doctor->all.state.public_key));
	else
		tell(doctor, WRONG, "key",
		     "this host has none: veil key generate, or veil set private-key FILE");
	if (time(NULL) < YEAR_2025)
		tell(doctor, WRONG, "clock",
		     "it was never set: peers take no handshake that is older than the last one; start NTP");
	else if (adjtimex(&clock) == TIME_ERROR)
		tell(doctor, DOUBTFUL, "clock",
		     "nothing keeps it right: when it goes back, peers need some seconds longer; start NTP");
	else
		tell(doctor, GOOD, "clock", "it is kept right");
}

/* What was counted since, as "bad_stamp, no_route". */
static void reasons_since(char *text, size_t size, const struct state *old,
			  const struct state *new)
{
	size_t len = 0;
	unsigned int i;

	*text = '\0';
	for (i = 0; i < new->drop_count && i < old->drop_count; i++)
		if (new->drops[i].count > old->drops[i].count && len < size)
			len += (size_t)snprintf(text + len, size - len, "%s%s",
						len ? ", " : "",
						new->drops[i].reason);
}

static void tell_silence(struct doctor *doctor, const struct peer *peer,
			 const struct state *now)
{
	char reasons[256], text[TEXT_LEN];

	reasons_since(reasons, sizeof(reasons), &doctor->all.state, now);
	tell(doctor, WRONG, "handshake",
	     "no answer from %s: is it up, does UDP pass both ways (ports %u and %u), and do both ends have each other's public key and the same psk?%s%s%s",
	     format_endpoint(text, &peer->endpoint), doctor->all.state.listen_port,
	     peer->endpoint.port, *reasons ? " Dropped meanwhile: " : "",
	     reasons, *reasons ? " (see the README)" : "");
}

static bool is_own(const struct peer *peer, const struct address *address)
{
	unsigned int i;

	for (i = 0; i < peer->address_count; i++)
		if (address_equal(&peer->addresses[i], address))
			return true;
	return false;
}

/* There is a session. */
static void tell_echo(struct doctor *doctor, bool behind, int err)
{
	if (!err)
		tell(doctor, GOOD, "traffic", "a ping went there and back");
	else if (behind)
		tell(doctor, DOUBTFUL, "traffic",
		     "there is a session, but no answer to a ping: no such host, a firewall behind the gateway, or the gateway does not seal what goes from there to this host: veil set local NETWORK on it");
	else
		tell(doctor, DOUBTFUL, "traffic",
		     "there is a session, but no answer to a ping: a firewall behind it, or the other end has no peer with this host's address");
}

/* Whether there is a session now; with or without an answer to the echo. */
static bool check_handshake(struct doctor *doctor, const struct peer *peer,
			    const struct address *address, int echoed)
{
	struct peers peers = {0};
	struct state state = {0};
	const struct peer *now;
	char key[TEXT_LEN], age[TEXT_LEN];
	bool up = false;

	format_key(key, peer->public_key);
	if (model_get(&doctor->nl, &state, &peers, "check"))
		return false;
	now = model_find(&peers, key, "check");
	up = now && now->state == NETVEIL_STATE_UP;
	if (up)
		tell(doctor, GOOD, "handshake", "the session was confirmed %s",
		     format_ago(age, now->last_handshake,
				(uint64_t)time(NULL)));
	else
		tell_silence(doctor, peer, &state);
	if (up)
		tell_echo(doctor, !is_own(peer, address), echoed);
	model_free_peers(&peers);
	return up && !echoed;
}

/* Routers that drop what is too long and do not say so are found by asking. */
static void check_mtu(struct doctor *doctor, struct echo *echo)
{
	unsigned int mtu = echo_mtu(echo), before;
	int err;

	do {
		before = mtu;
		err = echo_ask(echo, before, 2);
		mtu = echo_mtu(echo);
	} while (err && mtu < before && mtu > SIZE_SMALL);
	if (!err)
		tell(doctor, GOOD, "mtu", "packets of %u bytes pass", before);
	else
		tell(doctor, WRONG, "mtu",
		     "packets of %u bytes get lost, and no router says why: let ICMP 'too big' pass, or lower the MTU: ip link set DEV mtu N",
		     before);
}

static bool check_route(struct doctor *doctor, int err, const char *address)
{
	if (err == -ENETUNREACH || err == -EHOSTUNREACH)
		tell(doctor, WRONG, "route", "none to %s: ip route get %s",
		     address, address);
	else if (err)
		tell(doctor, WRONG, "route", "cannot try %s: %s", address,
		     strerror(-err));
	else
		tell(doctor, GOOD, "route", "there is one to %s", address);
	return !err;
}

static void check_traffic(struct doctor *doctor, const struct peer *peer,
			  struct echo *echo)
{
	int err = echo_ask(echo, SIZE_SMALL, TRIES);

	if (err == -EPERM)
		tell(doctor, WRONG, "firewall",
		     "OUTPUT refuses packets to the peer: nft list ruleset, iptables -S OUTPUT");
	if (check_handshake(doctor, peer, &echo->address, err))
		check_mtu(doctor, echo);
}

static void check_policy(struct doctor *doctor, const struct peer *peer,
			 const char *address)
{
	char key[TEXT_LEN];

	format_key(key, peer->public_key);
	if (peer->policy == NETVEIL_POLICY_BYPASS)
		tell(doctor, DOUBTFUL, "policy",
		     "%s is in clear, by the policy bypass: veil peer set %s policy require",
		     address, key);
	else if (peer->policy == NETVEIL_POLICY_PREFER && !peer->confirmed)
		tell(doctor, DOUBTFUL, "policy",
		     "%s may be in clear until the first session, by the policy prefer: veil peer set %s policy require",
		     address, key);
	else
		tell(doctor, GOOD, "policy",
		     "%s is encrypted or dropped: peer %s", address, key);
}

static void check_peer(struct doctor *doctor, const struct peer *peer,
		       const struct address *address)
{
	struct echo echo = { .raw = -1, .udp = -1 };
	char text[TEXT_LEN];
	int err;

	if (address->len)
		format_address(text, address);
	else
		format_prefix(text, &peer->prefixes[0]);
	check_policy(doctor, peer, text);
	if (peer->policy == NETVEIL_POLICY_BYPASS)
		return;
	if (peer->roaming && !peer->endpoint.address.len) {
		tell(doctor, DOUBTFUL, "handshake",
		     "it roams, and was not heard yet: it has to begin (on that host: veil check)");
		return;
	}
	/* One that roams may have networks behind it, and no address. */
	if (!address->len)
		return;
	err = echo_open(&echo, address);
	if (check_route(doctor, err, text) && doctor->all.state.has_key)
		check_traffic(doctor, peer, &echo);
	echo_close(&echo);
}

/* Whether anything is routed into a network; what goes there is then sealed. */
static bool is_routed(const struct prefix *prefix)
{
	struct echo echo = { .raw = -1, .udp = -1 };
	struct address host = prefix->address;
	int err;

	/* Of the widest ones the first address is nobody's, or this host's (::1). */
	if (prefix->length < 3 && !host.bytes[0])
		host.bytes[0] = host.len == 4 ? 1 : 0x20;
	if (prefix->length < 8u * host.len - 1)
		host.bytes[host.len - 1] |= 1;
	err = echo_open(&echo, &host);
	echo_close(&echo);
	/* A route may refuse: unreachable, prohibit, blackhole. */
	return err != -ENETUNREACH && err != -EHOSTUNREACH && err != -EACCES &&
	       err != -EINVAL;
}

static void check_networks(struct doctor *doctor, const struct peer *peer)
{
	char prefix[TEXT_LEN], gateway[TEXT_LEN];
	unsigned int i, missing = 0;

	for (i = 0; i < peer->prefix_count; i++) {
		if (is_routed(&peer->prefixes[i]))
			continue;
		missing++;
		format_prefix(prefix, &peer->prefixes[i]);
		tell(doctor, WRONG, "networks",
		     "no route to %s behind this peer: ip route add %s via %s, or another next hop",
		     prefix, prefix, peer->endpoint.address.len ?
		     format_address(gateway, &peer->endpoint.address) :
		     "GATEWAY");
	}
	if (peer->prefix_count && !missing)
		tell(doctor, GOOD, "networks",
		     "there are routes to the networks behind it (%u)",
		     peer->prefix_count);
}

/* Where a peer is, or what it is called inside of the tunnel if it roams: of no
 * length if it has only networks behind it.
 */
static const struct address *address_of(const struct peer *peer)
{
	static const struct address none;

	if (!peer->roaming)
		return &peer->endpoint.address;
	return peer->address_count ? &peer->addresses[0] : &none;
}

/* The longest network behind a peer that covers an address, or -1: its own address
 * is the peer's, whatever covers it.
 */
static int length_behind(const struct peer *peer, const struct address *address)
{
	unsigned int i;
	int length = -1;

	for (i = 0; i < peer->address_count; i++)
		if (address_equal(&peer->addresses[i], address))
			return -1;
	for (i = 0; i < peer->prefix_count; i++)
		if (prefix_covers(&peer->prefixes[i], address) &&
		    peer->prefixes[i].length > length)
			length = peer->prefixes[i].length;
	return length;
}

static bool is_ours(const struct state *state, const struct address *address,
		    int length)
{
	unsigned int i;

	for (i = 0; i < state->local_count; i++)
		if (prefix_covers(&state->locals[i], address) &&
		    state->locals[i].length > length)
			return true;
	return false;
}

/* In no network, whatever prefix covers it, as veil_network_routable() has it; what
 * parse_address() refuses does not come here.
 */
static bool is_special(const struct address *address)
{
	const uint8_t *bytes = address->bytes;

	return address->len == 4 &&
	       (!bytes[0] || (bytes[0] == 169 && bytes[1] == 254));
}

/* Why an address that a prefix behind a peer covers is not behind it, or NULL. */
static const char *exception(const struct state *state,
			     const struct address *address, int length)
{
	if (is_special(address))
		return "of a kind that is in no network (link-local, 0.0.0.0/8)";
	if (is_ours(state, address, length))
		return "in a network of this host's (veil set local)";
	return NULL;
}

/* The longest policy for an address that is longer than that. */
static const struct policy *longer_policy(const struct policies *policies,
					  const struct address *address,
					  int length)
{
	const struct policy *found = NULL;
	size_t i;

	for (i = 0; i < policies->count; i++) {
		const struct policy *policy = &policies->list[i];

		if (!prefix_covers(&policy->prefix, address) ||
		    policy->prefix.length <= length)
			continue;
		found = policy;
		length = policy->prefix.length;
	}
	return found;
}

/* Of an address in a network behind a peer a longer policy decides, and an exception
 * is not the peer's (veil_policy_lookup()).  Whether it still is; then peer has the
 * policy that holds.
 */
static bool check_decided(struct doctor *doctor, struct peer *peer,
			  const struct address *address)
{
	int length = length_behind(peer, address);
	const char *why = exception(&doctor->all.state, address, length);
	const struct policy *policy;
	char text[TEXT_LEN], prefix[TEXT_LEN];

	if (length < 0)
		return true;
	policy = longer_policy(&doctor->all.policies, address, why ? -1 : length);
	format_address(text, address);
	if (policy)
		format_prefix(prefix, &policy->prefix);
	if (policy && !why)
		peer->policy = policy->kind;
	if (!why && (!policy || policy->kind == NETVEIL_POLICY_REQUIRE ||
		      (policy->kind == NETVEIL_POLICY_PREFER &&
		       peer->confirmed)))
		return true;
	if (!why)
		tell(doctor, DOUBTFUL, "policy",
		     "%s is in clear, or may be, by the policy for %s: veil policy set %s require",
		     text, prefix, prefix);
	else if (!policy)
		tell(doctor, DOUBTFUL, "policy",
		     "%s is in clear: it is %s, and no peer's", text, why);
	else if (policy->kind == NETVEIL_POLICY_REQUIRE)
		tell(doctor, DOUBTFUL, "policy",
		     "%s is dropped: it is %s, and the policy for %s is require",
		     text, why, prefix);
	else
		tell(doctor, DOUBTFUL, "policy",
		     "%s is in clear: it is %s, and the policy for %s lets it",
		     text, why, prefix);
	return false;
}

/* One that is named by a word, or all. */
static int check_peers(struct doctor *doctor, const char *word)
{
	struct address address;
	const struct peer *peer;
	struct peer decided;
	size_t i;

	if (!word && !doctor->all.peers.count)
		tell(doctor, WRONG, "policy",
		     "there are no peers, and nothing is encrypted: veil peer add");
	for (i = 0; !word && i < doctor->all.peers.count; i++) {
		peer = &doctor->all.peers.list[i];
		check_peer(doctor, peer, address_of(peer));
		check_networks(doctor, peer);
	}
	if (!word)
		return 0;
	peer = model_find(&doctor->all.peers, word, "check");
	if (!peer)
		return EXIT_FAILED;
	decided = *peer;
	if (parse_address(&address, word))
		address = *address_of(peer);
	else if (!check_decided(doctor, &decided, &address))
		return 0;
	check_peer(doctor, &decided, &address);
	check_networks(doctor, peer);
	return 0;
}

int cmd_check(struct env *env, struct words *words)
{
	const char *word = words_next(words);
	struct doctor doctor = {0};
	int code = words_end(words);

	out_begin(&doctor.out, env);
	out_array(&doctor.out, NULL);
	if (!code)
		code = nl_open(&doctor.nl, env);
	if (!code)
		code = model_get_everything(&doctor.nl, &doctor.all, "check");
	if (!code) {
		check_host(&doctor, env);
		code = check_peers(&doctor, word);
	}
	nl_close(&doctor.nl);
	free_everything(&doctor.all);
	out_close(&doctor.out);
	if (!code)
		code = out_end(&doctor.out);
	return code ? code : doctor.wrong ? EXIT_FAILED : 0;
}
