#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120 once=yes
# Changing keys as an administrator does it: the words of veil, what it shows, what
# it refuses, and that two hosts talk all the time.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/topo.sh"

dir=$(mktemp -d)
umask 077

alpha() {
	veil -n alpha "$@"
}

beta() {
	veil -n beta "$@"
}

field() {
	local host=$1 filter=$2
	shift 2
	veil -n "$host" -j "$@" | jq -r "$filter"
}

# refused TEXT WORD...: on alpha, one line with TEXT in it, and failure.
refused() {
	local text=$1 out
	shift
	! out=$(alpha "$@" 2>&1) && echo "$out" && [[ $out == "veil: "*"$text"* && $out != *$'\n'* ]]
}

both_up() {
	[ "$(field alpha '.[0].state' peer show)" = up ] && [ "$(field beta '.[0].state' peer show)" = up ]
}

configure() {
	A_KEY=$(alpha key generate) && B_KEY=$(beta key generate) &&
		alpha peer add "$B_KEY" address "$B4" && beta peer add "$A_KEY" address "$A4" &&
		wait_for 15 a ping -c 1 -W 1 -q "$B4" && wait_for 10 both_up
}

generate_next() {
	A_NEXT=$(alpha key generate next) && [ "$(wc -l <<<"$A_NEXT")" -eq 1 ] &&
		[ "$(field alpha .public_key show)" = "$A_KEY" ] &&
		[ "$(field alpha .next_public_key show)" = "$A_NEXT" ] &&
		[ "$(field alpha .next_key_origin show)" = kernel ] &&
		alpha show | grep -q "next key:  *$A_NEXT"
}

start_monitor() {
	ip netns exec beta veil monitor >"$dir/monitor" 2>&1 &
	# It has joined when it gets an event.
	wait_for 10 monitor_answers
}

monitor_answers() {
	beta peer add "$(veil genkey | veil pubkey)" address 10.9.0.99
	beta peer del "$(field beta '.[] | select(.addresses == ["10.9.0.99"]).public_key' peer show)"
	[ -s "$dir/monitor" ]
}

tell_peer() {
	beta peer set "$A_KEY" next-key "$A_NEXT" && wait_for 10 beta peer show "$A_NEXT" &&
		wait_for 10 has_changed && both_up
}

has_changed() {
	[ "$(field beta '.[0].public_key + " " + (.[0].next_key | tostring)' peer show)" = "$A_NEXT null" ]
}

on_next() {
	[ "$(field alpha '.[0].on_our_next_key' peer show)" = true ]
}

retire() {
	alpha key retire && [ "$(field alpha .public_key show)" = "$A_NEXT" ] &&
		[ "$(field alpha .next_public_key show)" = null ] && a ping -c 1 -W 2 -q "$B4"
}

# From a file this time, with a date; and taken back.
next_from_file() {
	veil genkey >"$dir/key" && alpha set next-private-key "$dir/key" &&
		[ "$(field alpha .next_public_key show)" = "$(veil pubkey <"$dir/key")" ] &&
		alpha key retire after 1000 && [ "$(field alpha .retire show)" -gt 900 ] &&
		alpha set no-next-private-key && [ "$(field alpha .next_public_key show)" = null ] &&
		[ "$(field alpha .retire show)" = 0 ]
}

psk_changed() {
	[ "$(field "$1" '.[0] | "\(.psk) \(.psk_next)"' peer show)" = "true false" ]
}

psk_next() {
	veil genpsk >"$dir/psk" && alpha peer set "$B_KEY" psk-next "$dir/psk" &&
		[ "$(field alpha '.[0] | "\(.psk) \(.psk_next)"' peer show)" = "false true" ] &&
		alpha peer show | grep -q 'no, and a next one' &&
		beta peer set "$A_NEXT" psk-next "$dir/psk" &&
		wait_for 15 psk_changed alpha && wait_for 15 psk_changed beta && a ping -c 1 -W 2 -q "$B4"
}

take_back() {
	alpha peer set "$B_KEY" psk-next "$dir/psk" next-key "$A_KEY" &&
		[ "$(field alpha '.[0].next_key' peer show)" = "$A_KEY" ] &&
		alpha peer show | grep -q "next key:  *$A_KEY" &&
		alpha peer set "$B_KEY" no-next-key no-psk-next && psk_changed alpha &&
		[ "$(field alpha '.[0].next_key' peer show)" = null ]
}

told() {
	grep -q "$1 .*$2" "$dir/monitor" && dmesg | grep -q "$3"
}

plan 19
check "two hosts" topo_up
check "the module loads" load_module
check "they talk" configure
check "retire without a next key is refused" refused "veil key generate next" key retire
check "key generate next" generate_next
check "a second one by mistake is refused" refused "generate next force" key generate next
check "retire is refused while a peer needs the old key" refused "retire force" key retire
check "monitor starts" start_monitor
check "the peer is told, and changes" tell_peer
check "the peer says so" told peer-rekeyed "$A_NEXT" "changed to its next key"
check "the owner sees it" wait_for 5 on_next
check "retire" retire
check "a next key from a file, a date, and both taken back" next_from_file
check "a first psk at both ends in turn" psk_next
check "the peer says so" told psk-changed "$A_NEXT" "has the next psk"
check "next keys are taken back" take_back
check "an own key as next-key is refused" refused "the host's own public key" peer set "$B_KEY" next-key "$A_NEXT"
check "both ways at once are refused" refused "exclude each other" peer set "$B_KEY" next-key "$A_KEY" no-next-key
check "a date that is none is refused" refused "a number of seconds" key retire after tomorrow
finish
