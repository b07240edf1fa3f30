#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=300 once=yes
# veil as people and scripts use it: keys, settings, peers, what it shows in text
# and JSON, events; and every kind of bad input, which gets one line on stderr, a
# non-zero exit code and no change.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/topo.sh"

dir=$(mktemp -d)
umask 077
# RFC 7748 6.1: Alice's private key and what is public of it.
ALICE=dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=
ALICE_PUB=hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=

alpha() {
	veil -n alpha "$@"
}

# The configuration, without what changes by itself.
config() {
	alpha -j show | jq -cS '{public_key, listen_port, cipher,
		peers: [.peers[] | {public_key, addresses, endpoint, psk}]}'
}

# refused TEXT WORD...: veil WORD... says one line with TEXT in it, prints nothing
# and fails. (Without a process more than veil: an emulated CPU feels each.)
refused() {
	local text=$1 out said rc=0
	shift
	out=$(veil "$@" 2>"$dir/err" </dev/null) || rc=$?
	said=$(<"$dir/err")
	echo "exit code $rc, stdout '$out', stderr '$said'"
	[ "$rc" -ne 0 ] && [ -z "$out" ] && [[ $said == "veil: "*"$text"* && $said != *$'\n'* ]]
}

# all_refused: lines of "TEXT | WORDS" on standard input, tried in alpha.
all_refused() {
	local text words bad=0
	while IFS='|' read -r text words; do
		# shellcheck disable=SC2086 # words are words
		refused "${text% }" -n alpha $words >"$dir/refused" 2>&1 && continue
		echo "veil $words, wanted '${text% }':"
		cat "$dir/refused"
		bad=1
	done
	return "$bad"
}

# Standard input of a case is empty, so the list comes from a file.
check_refused() {
	cat >"$dir/list"
	check "$1" all_refused_unchanged
}

all_refused_unchanged() {
	local before after
	before=$(config) && all_refused <"$dir/list" && after=$(config) || return
	[ "$before" = "$after" ] || {
		printf 'before: %s\nafter:  %s\n' "$before" "$after"
		return 1
	}
}

# shows JQ-FILTER WORD...: the filter is true of veil -j WORD...
shows() {
	local filter=$1 out
	shift
	out=$(alpha -j "$@") && printf '%s\n' "$out" &&
		[ "$(jq "$filter" <<<"$out")" = true ]
}

says() {
	local text=$1
	shift
	alpha "$@" | tee "$dir/said" && grep -qF -- "$text" "$dir/said"
}

### without the module ###

help_text() {
	veil help | grep -q 'veil peer add PUBKEY address ADDR' && veil version
}

key_forms() {
	local key
	for key in "$(veil genkey)" "$(veil genpsk)"; do
		[[ $key =~ ^[A-Za-z0-9+/]{43}=$ ]] || return
	done
	[ "$(veil genkey)" != "$(veil genkey)" ]
}

public_of() {
	[ "$(printf '%s' "$1" | veil pubkey)" = "$2" ]
}

pubkey_refuses() {
	local bad
	for bad in "" "$ALICE$ALICE" "${ALICE%?}" "AAAA$ALICE" \
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; do
		! printf '%s\n' "$bad" | veil pubkey && continue
		echo "took '$bad'"
		return 1
	done
}

### with it ###

# Who has no privilege in alpha, and is there already.
unprivileged() {
	a setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all "$@"
}

not_permitted() {
	local words out
	for words in show monitor "set listen-port 5" "peer add $ALICE_PUB address 10.9.0.2"; do
		# shellcheck disable=SC2086 # words are words
		out=$(unprivileged "$NETVEIL_DIR/veil" $words 2>&1) && return 1
		[[ $out == veil:*"not permitted"*root* ]] || {
			echo "$words: $out"
			return 1
		}
	done
	config | jq -e '.listen_port == 51888 and .peers == []'
}

generate() {
	local key
	key=$(alpha key generate) && [ "$(wc -l <<<"$key")" -eq 1 ] &&
		shows ".public_key == \"$key\" and .key_origin == \"kernel\"" show
}

generate_again() {
	refused "key generate force" -n alpha key generate
}

generate_force() {
	local old new
	old=$(alpha -j show | jq -r .public_key)
	new=$(alpha -j key generate force | jq -r .public_key)
	[ "$old" != "$new" ] && shows ".public_key == \"$new\"" show
}

set_all() {
	alpha set private-key "$dir/alice" listen-port 4000 cipher chacha20-poly1305 &&
		shows ".public_key == \"$ALICE_PUB\" and .key_origin == \"user\" and
			.listen_port == 4000 and .cipher == \"chacha20-poly1305\" and
			.aeads == [\"chacha20-poly1305\"]" show
}

# Short words, and a key from a pipe.
set_short() {
	alpha set li 51888 ci auto && printf '%s\n' "$ALICE" | alpha set priv - &&
		shows ".public_key == \"$ALICE_PUB\" and .listen_port == 51888 and .cipher == \"auto\"" show
}

warns_of_mode() {
	local out
	chmod 644 "$dir/alice"
	out=$(alpha set private-key "$dir/alice" 2>&1)
	chmod 600 "$dir/alice"
	[[ $out == *"warning: $dir/alice"*"chmod 600"* ]] || return
	[ -z "$(alpha set private-key "$dir/alice" 2>&1)" ]
}

add_peer() {
	alpha peer add "$BOB" address "$B4" address "$B6" endpoint "[$B6]:4001" psk "$dir/psk" &&
		shows ".[0] | .public_key == \"$BOB\" and .addresses == [\"$B4\", \"$B6\"] and
			.endpoint == {address: \"$B6\", port: 4001} and .psk == true" peer show
}

set_peer() {
	alpha peer set "$BOB" no-psk endpoint "$B4:51888" &&
		shows ".[0] | .psk == false and .addresses == [\"$B4\", \"$B6\"] and
			.endpoint == {address: \"$B4\", port: 51888}" peer show "$BOB" &&
		alpha peer set "$BOB" address 10.9.0.77 &&
		shows ".[0] | .addresses == [\"10.9.0.77\"] and .endpoint.address == \"10.9.0.77\"" peer &&
		alpha peer set "$BOB" address "$B4" psk "$dir/psk" &&
		shows '.[0].psk == true' peer show
}

roaming() {
	alpha peer set "$BOB" roaming keepalive 25 &&
		shows '.[0] | .roaming == true and .keepalive == 25 and .endpoint == null' peer show &&
		alpha peer show | grep -q "not known until the peer is heard" &&
		alpha peer set "$BOB" endpoint 198.51.100.7:4001 &&
		shows '.[0].endpoint == {address: "198.51.100.7", port: 4001}' peer show &&
		alpha peer set "$BOB" no-roaming keepalive off &&
		shows ".[0] | .roaming == false and .keepalive == 0 and
			.endpoint == {address: \"$B4\", port: 51888}" peer show
}

# The busy port: all that was asked for with it is refused as well.
all_or_nothing() {
	local before after
	a socat -u UDP4-RECV:4500,bind=0.0.0.0 /dev/null &
	wait_for 5 busy 4500 || return
	before=$(config)
	alpha set cipher aes-256-gcm listen-port 4500 private-key "$dir/other" && return 1
	after=$(config)
	kill %%
	[ "$before" = "$after" ] || {
		printf 'before: %s\nafter:  %s\n' "$before" "$after"
		return 1
	}
}

busy() {
	a ss -Hlnu "sport = $1" | grep -q .
}

networks() {
	alpha peer set "$BOB" prefix 10.2.0.0/16 prefix fd02::/48 &&
		shows '.peers[0].prefixes == ["10.2.0.0/16", "fd02::/48"]' show &&
		alpha set local 10.1.0.0/16 rx-mark 0x10/0xff &&
		shows '.local == ["10.1.0.0/16"] and .rx_mark == "0x10/0xff"' show &&
		! alpha set local 10.2.0.0/16 2>"$dir/err" &&
		grep -q "10.2.0.0/16: prefix is a peer's" "$dir/err" &&
		alpha peer set "$BOB" no-prefix && alpha set no-local no-rx-mark &&
		shows '.peers[0].prefixes == [] and .local == [] and .rx_mark == null' show
}

json_names() {
	shows 'keys == (["public_key", "key_origin", "next_public_key", "next_key_origin",
		"retire", "listen_port", "cipher", "aeads", "local", "rx_mark", "peers", "policies", "confirm",
		"drops"] | sort)' show &&
		shows '(.drops | length > 20 and all(.[]; type == "number"))' show &&
		shows '.peers[0] | keys == (["public_key", "addresses", "prefixes", "endpoint", "roaming",
			"keepalive", "next_key", "psk", "psk_next", "on_our_next_key", "state",
			"cipher", "session_age_ms", "last_handshake", "rx_bytes", "rx_packets",
			"tx_bytes", "tx_packets", "queued", "drops", "mtu", "policy", "confirmed",
			"clear_rx_packets", "clear_tx_packets", "clear_last"] | sort)' show
}

pretty_json() {
	[ "$(alpha -j show | wc -l)" -eq 1 ] && [ "$(alpha -p show | wc -l)" -gt 20 ] &&
		[ "$(alpha -p show | jq -c '[paths]')" = "$(alpha -j show | jq -c '[paths]')" ]
}

no_secrets() {
	! { alpha show && alpha -j show; } | grep -qF -e "$ALICE" -e "$(cat "$dir/psk")"
}

colored() {
	script -qec "$* veil -n alpha show" /dev/null </dev/null | grep -q $'\033'
}

color_where_due() {
	local TERM=xterm
	export TERM
	colored env && ! colored env NO_COLOR=1 && ! colored env TERM=dumb &&
		! alpha show | grep -q $'\033'
}

netns_by_path() {
	[ "$(veil -n /run/netns/alpha -j show | jq -r .public_key)" = "$ALICE_PUB" ] &&
		[ "$(a veil -j show | jq -r .public_key)" = "$ALICE_PUB" ] &&
		[ "$(veil -j show | jq -r .public_key)" = null ]
}

del_peer() {
	alpha peer del "$BOB" && shows '. == []' peer show && shows '.peers == []' show
}

flush() {
	alpha peer add "$BOB" address "$B4" && alpha flush &&
		shows '.public_key == null and .key_origin == "none" and .peers == []' show
}

start_monitor() {
	ip netns exec alpha veil monitor >"$dir/events" 2>&1 &
	ip netns exec alpha veil -j monitor >"$dir/events.json" 2>&1 &
	# It has joined when it gets an event.
	wait_for 10 monitor_answers
}

monitor_answers() {
	alpha peer add "$ALICE_PUB" address 10.9.0.99 && alpha peer del "$ALICE_PUB"
	grep -q peer-added "$dir/events" && grep -q peer-added "$dir/events.json"
}

saw() {
	grep -E '^[0-9]{4}-[0-9-]{5} [0-9:]{8} ' "$dir/events" | cut -d ' ' -f 3- |
		grep -qxF "$1 $2" &&
		jq -se "any(.[]; .event == \"$1\" and .public_key == \"$2\" and .time > 0)" \
			"$dir/events.json"
}

link_up() {
	link_up_pair psk "$dir/psk" && a ping -c 2 -i 0.2 -W 10 "$B4"
}

session_shown() {
	shows '.peers[0] | .state == "up" and .psk and (.cipher | test("aes|chacha")) and
		.last_handshake > 1600000000 and .session_age_ms < 60000 and
		.rx_packets >= 2 and .tx_packets >= 2 and .rx_bytes >= 168 and .tx_bytes >= 168' show &&
		says "1 of 1 peers up" show && says "second" show && says "received:" show
}

beta() {
	veil -n beta "$@"
}

fill_beta() {
	local i many
	for i in 1 2 3 4 5 6 7 8 9; do
		many=$(printf "address fd2$i::%x " {1..64})
		# shellcheck disable=SC2086 # words are words
		beta peer add "$(veil genkey | veil pubkey)" $many || return
	done
}

# The third answer is the dump's first part, made when it was asked for. It is
# held back while a peer comes, so that the rest does not go with it.
interrupted_dump() {
	local pid
	strace -qq -o "$dir/trace" -e trace=sendto,recvmsg \
		-e inject=recvmsg:delay_enter=5000000:when=3 \
		veil -n beta -j peer show >"$dir/dump" &
	pid=$!
	wait_for 20 traced sendto 2 && beta peer add "$BOB" address 10.8.0.1 && wait "$pid" || return
	cat "$dir/trace"
	# Asked for the family, for the peers, and for the peers again.
	traced sendto 3 && jq -e 'map(.addresses | length) | sort == [1, 2] + [range(9) | 64]' "$dir/dump"
}

traced() {
	[ "$(grep -c "^$1" "$dir/trace")" -eq "$2" ]
}

plan 39
check "two hosts" topo_up
check "help and version need no kernel" help_text
check "genkey and genpsk print keys" key_forms
check "pubkey gives what RFC 7748 says" public_of "$ALICE" "$ALICE_PUB"
check "pubkey allows blanks around the key" public_of " $ALICE"$'\r\n\n' "$ALICE_PUB"
check "pubkey refuses what is no key" pubkey_refuses
check "without the module: one line, and the way out" refused "insmod netveil.ko" show
check "the module loads" load_module

printf '%s\n' "$ALICE" >"$dir/alice"
veil genkey >"$dir/other"
veil genpsk >"$dir/psk"
head -c 32 /dev/zero | base64 >"$dir/zero"
echo "no key at all" >"$dir/words"
BOB=$(veil genkey | veil pubkey)
CAROL=$(veil genkey | veil pubkey)

check "without privilege: one line, no change" not_permitted
check "an unknown namespace" refused "network namespace 'nowhere' not found" -n nowhere show
check "a file that is no namespace" refused "is no network namespace" -n "$dir/words" show
check_not "without privilege no namespace is entered" \
	unprivileged "$NETVEIL_DIR/veil" -n beta show
check "key generate prints the public key only" generate
check "key generate does not replace a key by mistake" generate_again
check "key generate force does" generate_force
check "set key, port and cipher at once" set_all
check "set by short words, key from a pipe" set_short
check "a key file that others can read gets a warning" warns_of_mode

check_refused "set: bad input is refused" <<-END
	a number from 1 to 65472 | set listen-port 0
	a number from 1 to 65472 | set listen-port 65473
	a number from 1 to 65472 | set listen-port -1
	a number from 1 to 65472 | set listen-port 51888x cipher auto
	'listen-port' wants a port | set listen-port
	'listen-port' is given twice | set listen-port 5 listen-port 6
	a cipher is auto | set listen-port 5 cipher aes-128-gcm
	VALUE/MASK | set rx-mark 1
	the mask | set rx-mark 2/1
	bits are set behind | set local 10.1.0.1/16
	cannot open $dir/none | set listen-port 5 private-key $dir/none
	all zeros | set private-key $dir/zero
	holds no key | set private-key $dir/words
	holds no key | set private-key /dev/null
	cannot read | set private-key $dir
	'colour' is not understood | set colour red
	private-key FILE | set
	may mean any of | s
	is no command | sow
	all: no such peer | show all
	is one word too many | show all of
	is one word too many | flush all
	generate | key
	is no option | -x show
END

check "peer add with everything" add_peer
check "peer set changes what is given and no more" set_peer
check "networks behind a peer and our own, and the mark" networks

check_refused "peer: bad input is refused" <<-END
	44 characters | peer add ${CAROL%?} address 10.9.0.3
	no base64 | peer add ${CAROL:0:40}!!!= address 10.9.0.3
	key of zeros | peer add $(cat "$dir/zero") address 10.9.0.3
	its public key comes first | peer add
	address ADDR | peer add $CAROL
	'address' wants | peer add $CAROL address
	given twice | peer add $CAROL address 10.9.0.3 address 10.9.0.3
	given twice | peer add $CAROL address fd09::3 address fd09:0::3
	not an IPv4 or IPv6 address | peer add $CAROL address beta.example
	a prefix | peer add $CAROL address 10.9.0.0/24
	given twice | peer add $CAROL address 10.9.0.3 prefix 10.3.0.0/24 prefix 10.3.0.0/24
	is an address of the peer as well | peer add $CAROL address 10.9.0.3 prefix 10.9.0.3/32
	bits are set behind | peer add $CAROL address 10.9.0.3 prefix 10.3.0.1/24
	ADDR/LENGTH | peer add $CAROL address 10.9.0.3 prefix site
	224.0.0.0/4: prefix is no unicast | peer add $CAROL address 10.9.0.3 prefix 224.0.0.0/4
	$B4: prefix belongs to another | peer add $CAROL address 10.9.0.3 prefix $B4/32
	exclude each other | peer set $BOB prefix 10.3.0.0/24 no-prefix
	loopback | peer add $CAROL address 127.0.0.1
	multicast | peer add $CAROL address ff02::1
	link-local | peer add $CAROL address fe80::1
	10.9.0.1: address is this host's own | peer add $CAROL address 10.9.0.1
	fd09::1: address is this host's own | peer add $CAROL address fd09::1
	$B4: address belongs to another peer | peer add $CAROL address 10.9.0.3 address $B4
	known already | peer add $BOB address 10.9.0.3
	own public key | peer add $ALICE_PUB address 10.9.0.3
	none of the peer's addresses | peer add $CAROL address 10.9.0.3 endpoint 10.9.0.4
	a number from 1 to 65472 | peer add $CAROL address 10.9.0.3 endpoint 10.9.0.3:0
	[V6ADDR]:PORT | peer add $CAROL address fd09::3 endpoint [fd09::3]51888
	all zeros | peer add $CAROL address 10.9.0.3 psk $dir/zero
	holds no key | peer add $CAROL address 10.9.0.3 psk $dir/words
	'no-psk' is not understood | peer add $CAROL address 10.9.0.3 no-psk
	$CAROL: no such peer | peer set $CAROL no-psk
	$CAROL: no such peer | peer del $CAROL
	$CAROL: no such peer | peer show $CAROL
	one of the peer's addresses | peer set $BOB endpoint 10.9.0.4
	exclude each other | peer set $BOB psk $dir/psk no-psk
	exclude each other | peer set $BOB roaming no-roaming
	'no-roaming' is not understood | peer add $CAROL address 10.9.0.3 no-roaming
	1 to 65535 seconds, or off | peer set $BOB keepalive 0
	1 to 65535 seconds, or off | peer set $BOB keepalive 65536
	address ADDR | peer set $BOB
	is one word too many | peer del $BOB now
	is one word too many | peer show $BOB now
	is no command | peer kill $BOB
END

check "a peer may roam, and no longer" roaming
check "set is all or nothing" all_or_nothing
check "JSON has the names that scripts rely on" json_names
check "-p is the same JSON, indented" pretty_json
check "no secret is ever shown" no_secrets
check "colour on a terminal only, and NO_COLOR is honoured" color_where_due
check "-n takes a path, and namespaces are apart" netns_by_path
check "peer del" del_peer
check "flush" flush
check "monitor starts" start_monitor
check "a session comes up" link_up
check "show tells of the session" session_shown
check "monitor told of the new peer" wait_for 5 saw peer-added "$B_KEY"
check "monitor told of the session" wait_for 5 saw session-up "$B_KEY"
check "peers with 64 addresses each" fill_beta
check "a dump that a change cuts in is asked for again" interrupted_dump
kill %% 2>/dev/null
rm -rf "$dir"
finish
