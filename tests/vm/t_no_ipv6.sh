#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=30 boot=no-ipv6
# Where the kernel was told to have no IPv6 (ipv6.disable=1), IPv4 is protected as
# anywhere else.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/topo.sh"

up() {
	printf 'netns add %s\n' alpha beta | ip -batch - &&
		ip link add eth0 netns alpha type veth peer name eth0 netns beta &&
		ip -n alpha addr add "$A4/24" dev eth0 && ip -n alpha link set eth0 up &&
		ip -n beta addr add "$B4/24" dev eth0 && ip -n beta link set eth0 up
}

# The worker looks for a route before anything waits for the peer.
link() {
	local a_key b_key
	a_key=$(veil -n alpha key generate) && b_key=$(veil -n beta key generate) &&
		veil -n alpha peer add "$b_key" address "$B4" &&
		veil -n beta peer add "$a_key" address "$A4" &&
		wait_for 20 a ping -c 1 -W 1 "$B4"
}

sealed() {
	veil -n alpha -j show | jq -e '.peers[0] | .state == "up" and .tx_packets > 0' ||
		{ veil -n alpha -j show && false; }
}

tries() {
	veil -n alpha -j show | jq -e --arg key "$1" \
		'.peers[] | select(.public_key == $key) | .state == "handshake"'
}

# Its address is looked for among the host's own, of which there is no table; then
# a handshake wants a route.
ipv6_peer() {
	local key
	key=$(head -c 32 /dev/urandom | base64) &&
		veil -n alpha peer add "$key" address fd09::9 prefix fd0a::/64 endpoint fd09::9 keepalive 1 &&
		wait_for 10 tries "$key" &&
		veil -n alpha peer del "$key"
}

[ ! -e /proc/net/if_inet6 ] || skip_all "this kernel has IPv6"
plan 5
check "two hosts" up
check "the module loads" load_module
check "they talk, sealed" link
check "veil shows the session" sealed
check "a peer with an IPv6 address comes and goes" ipv6_peer
finish
