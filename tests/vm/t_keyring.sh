#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120 uml=no
# Keys from the kernel's keyrings, by serial and description; and what is refused.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/topo.sh"

dir=$(mktemp -d)
umask 077

alpha() {
	veil -n alpha "$@"
}

# refused TEXT WORD...: on alpha, one line with TEXT in it, and failure.
refused() {
	local text=$1 out
	shift
	! out=$(alpha "$@" 2>&1) && echo "$out" && [[ $out == "veil: "*"$text"* && $out != *$'\n'* ]]
}

# logon NAME FILE: a logon key netveil:NAME of the key in FILE; its serial.
logon() {
	base64 -d "$2" | keyctl padd logon "netveil:$1" @u
}

public() {
	alpha -j show | jq -r .public_key
}

make_keys() {
	keyctl link @u @s 2>/dev/null
	veil genkey >"$dir/one" && veil genkey >"$dir/two" && veil genpsk >"$dir/psk" &&
		ONE=$(logon one "$dir/one") && TWO=$(logon two "$dir/two") &&
		logon psk "$dir/psk" >/dev/null && keyctl show @u
}

by_serial() {
	alpha set private-key "keyring:$ONE" && [ "$(public)" = "$(veil pubkey <"$dir/one")" ] &&
		[ "$(alpha -j show | jq -r .key_origin)" = keyring ]
}

by_description() {
	alpha set private-key keyring:netveil:two && [ "$(public)" = "$(veil pubkey <"$dir/two")" ]
}

next_key() {
	alpha set next-private-key keyring:netveil:one &&
		[ "$(alpha -j show | jq -r .next_public_key)" = "$(veil pubkey <"$dir/one")" ] &&
		alpha set no-next-private-key
}

# A file with both: loaded into a kernel without either, again, and after the change.
by_file() {
	echo "set private-key keyring:netveil:two next-private-key keyring:netveil:one" >"$dir/conf"
	alpha flush && {
		alpha diff "$dir/conf"
		[ $? = 1 ]
	} && alpha sync "$dir/conf" && both_by_file && alpha key retire after 1000 &&
		alpha sync "$dir/conf" && both_by_file && [ "$(alpha -j show | jq '.retire > 0')" = true ] &&
		alpha diff "$dir/conf" && alpha key retire force && alpha sync "$dir/conf" &&
		alpha diff "$dir/conf" && [ "$(public)" = "$(veil pubkey <"$dir/one")" ] || return
	alpha save "$dir/conf" 2>&1 | grep 'both are named' && alpha sync "$dir/conf" &&
		[ "$(public)" = "$(veil pubkey <"$dir/one")" ] &&
		grep 'next-private-key keyring:netveil:one' "$dir/conf" || return
	# What was in a file is not what is in a keyring now.
	echo "set private-key $dir/two" >"$dir/conf"
	alpha save "$dir/conf" 2>&1 | grep 'is not known' && grep 'private-key unknown' "$dir/conf.incomplete"
}

both_by_file() {
	[ "$(public)" = "$(veil pubkey <"$dir/two")" ] &&
		[ "$(alpha -j show | jq -r .next_public_key)" = "$(veil pubkey <"$dir/one")" ]
}

# The kernel makes the key, and nobody ever sees it in clear.
encrypted() {
	keyctl add user netveil-master "$(head -c 32 /dev/urandom | base64 -w 0)" @u &&
		keyctl add encrypted netveil-key "new user:netveil-master 32" @u || return
	alpha set private-key keyring:netveil-key && key=$(public) && [ "$key" != null ] &&
		alpha set private-key "keyring:$ONE" && alpha set private-key keyring:netveil-key &&
		[ "$(public)" = "$key" ]
}

talk() {
	veil -n beta set private-key "$dir/two" &&
		alpha set private-key "keyring:$ONE" &&
		alpha peer add "$(veil pubkey <"$dir/two")" address "$B4" psk keyring:netveil:psk &&
		veil -n beta peer add "$(veil pubkey <"$dir/one")" address "$A4" psk "$dir/psk" &&
		wait_for 15 a ping -c 1 -W 1 -q "$B4"
}

psk_next() {
	local key serial
	key=$(veil pubkey <"$dir/two")
	serial=$(veil genpsk | base64 -d | keyctl padd logon netveil:next @u)
	alpha peer set "$key" psk-next "keyring:$serial" &&
		[ "$(alpha -j peer show | jq '.[0].psk_next')" = true ] && alpha peer set "$key" no-psk-next
}

# A key that belongs to root, for a process that does not possess it.
not_possessed() {
	! keyctl session - setpriv --reuid 65534 --clear-groups --inh-caps=+net_admin,+sys_admin \
		--ambient-caps=+net_admin,+sys_admin "$NETVEIL_DIR/veil" -n /run/netns/alpha \
		set private-key "keyring:$ONE" >"$dir/said" 2>&1 &&
		cat "$dir/said" && grep -q 'may not be searched' "$dir/said"
}

wrong_ones() {
	local text short plain
	text=$(keyctl padd logon netveil:text @u <"$dir/one") &&
		short=$(printf x | keyctl padd logon netveil:short @u) &&
		plain=$(base64 -d "$dir/one" | keyctl padd user netveil-plain @u) &&
		refused "base64 -d" set private-key "keyring:$text" &&
		refused "32 bytes" set private-key "keyring:$short" &&
		refused "logon, encrypted or trusted" set private-key "keyring:$plain" &&
		refused "in the keyrings of this process" set private-key keyring:netveil:none &&
		refused "no such key" set private-key keyring:1 &&
		keyctl revoke "$TWO" && refused revoked set private-key "keyring:$TWO"
}

zeros() {
	local serial
	serial=$(head -c 32 /dev/zero | keyctl padd logon netveil:zero @u) &&
		refused zeros set private-key "keyring:$serial" &&
		refused zeros peer add "$(veil genkey | veil pubkey)" address 10.9.0.7 psk "keyring:$serial"
}


plan 13
check "two hosts" topo_up
check "the module loads" load_module
check "keys are put into the user's keyring" make_keys
check "a private key by serial" by_serial
check "a private key by description" by_description
check "a next private key" next_key
check "both by a file, loaded again and after the change" by_file
check "an encrypted key, which nobody has seen" encrypted
check "two hosts with keys from keyring and file talk" talk
check "a next psk" psk_next
check "a key that the caller does not possess is refused" not_possessed
check "wrong types, lengths, serials and a revoked key are refused" wrong_ones
check "keys of zeros are refused" zeros
finish
