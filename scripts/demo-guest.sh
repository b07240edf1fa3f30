#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The part of make demo that runs in the guest: the same HTTP request, ping and
# Redis session twice, with a tap on the wire, and what the tap saw side by side.

. "$(dirname "$0")/../tests/lib/topo.sh"

out=${NETVEIL_OUT:-/tmp}
marker=TOP-SECRET-31337

headline() {
	printf '\n=== %s\n' "$*"
}

give_up() {
	printf '\nVERDICT: FAIL - %s.\n' "$*"
	exit 1
}

start_services() {
	mkdir -p /tmp/www
	printf 'name,salary\nAda,%s\n' "$marker" >/tmp/www/payroll.csv
	b python3 -m http.server --directory /tmp/www --bind "$B4" 80 >/dev/null 2>&1 &
	b redis-server --bind "$B4" --protected-mode no --save '' --daemonize no >/dev/null 2>&1 &
	wait_for 30 b bash -c "exec 3<>/dev/tcp/$B4/80" &&
		wait_for 30 b redis-cli -h "$B4" ping
}

# What the users of the two hosts do; they notice nothing of Netveil.
do_http() {
	a curl -sS --max-time 20 "http://$B4/payroll.csv" | grep -qF "$marker"
}

do_ping() {
	local hex
	hex=$(printf %s "$marker" | od -An -tx1 | tr -d ' \n')
	a ping -q -c 2 -i 0.2 -W 5 -p "$hex" "$B4" >/dev/null
}

do_redis() {
	[ "$(a redis-cli -h "$B4" set password "$marker")" = OK ] &&
		[ "$(a redis-cli -h "$B4" get password)" = "$marker" ]
}

# sessions before|after: each session in its own capture.
sessions() {
	local what
	for what in http ping redis; do
		tap_start "$out/$1-$what.pcap" || give_up "the tap did not start"
		"do_$what" || give_up "the $what session failed"
		tap_stop "$out/$1-$what.pcap" || give_up "the tap missed packets"
		rm -f "$out/$1-$what.pcap.log"
		printf '  %-6s worked\n' "$what"
	done
}

# What a user types on each host: veil -n HOST stands for veil on that host.
protect() {
	printf '  both#  insmod netveil.ko\n'
	load_module || give_up "the module did not load"
	printf '  alpha# veil key generate\n'
	A_KEY=$(veil -n alpha key generate) || give_up "alpha got no key"
	printf '         %s\n  beta#  veil key generate\n' "$A_KEY"
	B_KEY=$(veil -n beta key generate) || give_up "beta got no key"
	printf '         %s\n' "$B_KEY"
	printf '  alpha# veil peer add %s address %s\n' "$B_KEY" "$B4"
	veil -n alpha peer add "$B_KEY" address "$B4" || give_up "alpha got no peer"
	# As if somebody typed: two that start within half a second cross.
	pause 1
	printf '  beta#  veil peer add %s address %s\n' "$A_KEY" "$A4"
	veil -n beta peer add "$A_KEY" address "$A4" || give_up "beta got no peer"
	wait_for 30 session_up || give_up "no session came up"
}

session_up() {
	[ "$(veil -n alpha -j show | jq -r '.peers[0].state')" = up ]
}

show_state() {
	printf '  alpha# veil show\n'
	veil -n alpha show | sed 's/^/    /'
	[ "$(veil -n alpha -j show | jq .drops.plaintext_in)" -gt 0 ] || return 0
	cat <<-END

	  (plaintext_in: alpha was protected a moment before beta, and beta answered its
	  first handshake with an ICMP error in clear. From a peer that is dropped.)
	END
}

headline "Two hosts, alpha ($A4) and beta ($B4), one wire, and a tap on it"
topo_up >/dev/null || give_up "the two hosts do not see each other"
start_services || give_up "the services on beta did not start"

headline "Before: an HTTP request, a ping and a Redis session from alpha to beta"
sessions before

headline "Protecting the link: no address, route or program changes"
protect

headline "After: the same sessions"
sessions after
show_state

headline "What the tap saw"
python3 "$(dirname "$0")/demo-view.py" "$out" "$marker"
