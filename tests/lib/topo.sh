#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Two hosts and the wire between them, as network namespaces, for tests that
# source this file, and for others as `topo.sh up [OPTION]...` and `topo.sh down`.
#
#   alpha eth0 10.9.0.1 fd09::1 --- wa [wire: bridge br0] wb --- eth0 10.9.0.2 fd09::2 beta
#
# The attacker sits in `wire`: there the ports wa and wb can be captured, and
# frames dropped, altered and injected. No device offloads anything, so that what
# crosses the wire is what would cross a real one.

# shellcheck source=wait.sh
. "$(dirname "${BASH_SOURCE[0]}")/wait.sh"

# shellcheck disable=SC2034 # for the tests
A4=10.9.0.1 B4=10.9.0.2 A6=fd09::1 B6=fd09::2

NETVEIL_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
NETVEIL_KO=${NETVEIL_KO:-$NETVEIL_DIR/netveil.ko}
PATH=$NETVEIL_DIR:$PATH

# a COMMAND..., b COMMAND..., wire COMMAND...: run it on that host.
a() {
	ip netns exec alpha "$@"
}

b() {
	ip netns exec beta "$@"
}

wire() {
	ip netns exec wire "$@"
}

# topo_up [--mtu N] [--offload]: --offload leaves the devices' offloads on.
topo_up() {
	local mtu=1500 offload='' ns
	while [ $# -gt 0 ]; do
		case $1 in
		--mtu) mtu=$2 && shift ;;
		--offload) offload=y ;;
		*) echo "topo_up: unknown option $1" >&2 && return 2 ;;
		esac
		shift
	done
	topo_down
	printf 'netns add %s\n' alpha beta wire | ip -batch - || return
	for ns in alpha beta wire; do
		ip netns exec "$ns" bash -c "$(declare -f topo_quiet); topo_quiet $ns"
	done
	topo_links "$mtu" || return
	if [ -z "$offload" ]; then
		a bash -c "$(declare -f topo_no_offload); topo_no_offload eth0"
		b bash -c "$(declare -f topo_no_offload); topo_no_offload eth0"
		wire bash -c "$(declare -f topo_no_offload); topo_no_offload wa wb"
	fi
	wait_for 10 topo_ready
}

# Nothing crosses the wire that no test sent: no duplicate address detection, no
# router solicitations, and no IPv6 at all of the attacker's own.
topo_quiet() {
	local conf
	for conf in /proc/sys/net/ipv6/conf/{all,default}; do
		echo 0 >"$conf/accept_dad"
		echo 0 >"$conf/router_solicitations"
		[ "$1" != wire ] || echo 1 >"$conf/disable_ipv6"
	done
	for conf in /proc/sys/net/bridge/bridge-nf-call-*; do
		[ ! -e "$conf" ] || echo 0 >"$conf"
	done
}

topo_links() {
	ip -batch - <<-END || return
	link add wa netns wire mtu $1 type veth peer name eth0 netns alpha mtu $1
	link add wb netns wire mtu $1 type veth peer name eth0 netns beta mtu $1
	END
	ip -n wire -batch - <<-END || return
	link add name br0 mtu $1 type bridge forward_delay 0 mcast_snooping 0
	link set wa master br0 up
	link set wb master br0 up
	link set br0 up
	END
	topo_host alpha "$A4" "$A6" && topo_host beta "$B4" "$B6"
}

topo_host() {
	ip -n "$1" -batch - <<-END
	link set lo up
	link set eth0 up
	addr add $2/24 dev eth0
	addr add $3/64 dev eth0 nodad
	END
}

topo_no_offload() {
	local dev feature
	for dev in "$@"; do
		ethtool -K "$dev" tx off sg off tso off gso off gro off \
			tx-udp-segmentation off tx-gso-list off rx-gro-list off >/dev/null 2>&1 && continue
		for feature in tx sg tso gso gro tx-udp-segmentation; do
			ethtool -K "$dev" "$feature" off >/dev/null 2>&1
		done
	done
}

topo_ready() {
	a ping -q -c 1 -W 1 "$B4" && a ping -q -c 1 -W 1 "$B6"
}

topo_down() {
	local ns
	for ns in alpha beta wire; do
		[ -e "/run/netns/$ns" ] || continue
		topo_kill "$ns"
		ip netns del "$ns"
	done
}

topo_kill() {
	local pids
	pids=$(ip netns pids "$1")
	# shellcheck disable=SC2086 # a list of numbers
	[ -z "$pids" ] || kill -KILL $pids 2>/dev/null
}

### the tap ###

declare -A tap_pid

# tap_start FILE [PORT [FILTER]]: captures what crosses PORT (wa or wb; default
# wa) to FILE, and returns once it listens.
tap_start() {
	local file=$1 port=${2:-wa}
	rm -f "$file" "$file.log"
	ip netns exec wire tcpdump -Z root -i "$port" -n -U -s 0 -B 16384 --immediate-mode \
		-w "$file" "${@:3}" 2>"$file.log" </dev/null &
	tap_pid[$file]=$!
	wait_for 10 tap_answered "$file" && grep -q 'listening on' "$file.log" && return
	cat "$file.log" >&2
	return 1
}

tap_answered() {
	grep -q 'listening on' "$1.log" || ! kill -0 "${tap_pid[$1]}"
}

# tap_stop FILE: returns when all that was captured is in FILE; fails when the
# capture is not complete.
tap_stop() {
	local file=$1
	wait_for 5 tap_settled "$file" || true
	kill -INT "${tap_pid[$file]}"
	wait "${tap_pid[$file]}"
	unset "tap_pid[$file]"
	if ! grep -q '^0 packets dropped by kernel' "$file.log"; then
		echo "the capture $file is not complete: $(tail -n 3 "$file.log" | paste -sd ' ')" >&2
		return 1
	fi
}

tap_settled() {
	local size
	size=$(stat -c %s "$1")
	pause 0.3
	[ "$size" = "$(stat -c %s "$1")" ]
}

### the module ###

# load_module [PARAMETER=VALUE]...
load_module() {
	insmod "$NETVEIL_KO" "$@"
}

module_loaded() {
	[ -d /sys/module/netveil ]
}

# The module stays while any namespace has a peer.
unload_module() {
	local ns
	module_loaded || return 0
	veil flush
	for ns in /run/netns/*; do
		[ ! -e "$ns" ] || veil -n "${ns##*/}" flush
	done
	wait_for 30 rmmod netveil
}

# link_up_pair [VEIL-PEER-WORD]...: keys on both hosts, in A_KEY and B_KEY, and
# each the other's peer, with the words added to both (psk FILE).
link_up_pair() {
	A_KEY=$(veil -n alpha key generate) && B_KEY=$(veil -n beta key generate) || return
	veil -n alpha peer add "$B_KEY" address "$B4" address "$B6" "$@" &&
		veil -n beta peer add "$A_KEY" address "$A4" address "$A6" "$@"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	case ${1:-} in
	up) topo_up "${@:2}" ;;
	down) topo_down ;;
	*) echo "usage: topo.sh up [--mtu N] [--offload] | down" >&2 && exit 2 ;;
	esac
fi
