#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
# The least of all: the test bed works, insmod alone loads the module, one key and
# one line per host encrypt a ping, and the module goes away again.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/topo.sh"

pcap=$NETVEIL_OUT/smoke.pcap
marker=netveil-smoke-marker

ping_marked() {
	a ping -c 3 -i 0.2 -W 5 -p "$(printf %s "$marker" | head -c 16 | od -An -tx1 | tr -d ' \n')" "$1"
}

marker_seen() {
	grep -aqF "${marker:0:16}" "$pcap"
}

plan 8
check "two hosts see each other" topo_up
check "the tap starts" tap_start "$pcap"
check "plaintext ping" ping_marked "$B4"
tap_stop "$pcap"
check "the tap sees the plaintext" marker_seen
check "insmod alone loads the module" load_module
link_and_ping() {
	link_up_pair && tap_start "$pcap" && ping_marked "$B4" && ping_marked "$B6" && tap_stop "$pcap"
}
check "encrypted ping over IPv4 and IPv6" link_and_ping
check_not "the tap sees no plaintext" marker_seen
check "the module unloads" unload_module
finish
