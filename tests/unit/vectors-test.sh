#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What noise-vectors says of files that disagree, lack something or are no
# vectors: an exit code of 1 or 2 and a message that names the place.

good=vectors/noise-ikpsk2-netveil.json
file=$(mktemp --suffix .json)
trap 'rm -f "$file"' EXIT
number=0
failed=0

# expect CODE TEXT NAME: what noise-vectors makes of $file.
expect() {
	local output code
	output=$(./noise-vectors "$file" 2>&1)
	code=$?
	number=$((number + 1))
	if [ "$code" = "$1" ] && [[ $output == *$2* ]]; then
		echo "ok $number $3"
	else
		echo "# exit code $code, not $1, or no \"$2\" in: ${output:0:400}"
		echo "not ok $number $3"
		failed=1
	fi
}

# edited SED...: $file becomes the good file, edited.
edited() {
	sed "$@" "$good" >"$file"
}

# The field's first hex digit becomes another one, in every vector.
other_digit() {
	edited -E "/\"$1\"/ { s/: \"[0-7]/: \"f/; t; s/: \"[89a-f]/: \"0/ }"
}

echo "KTAP version 1"
echo "1..18"
edited ""
expect 0 "ok 3" "the file itself"
other_digit ciphertext
expect 1 "message 1 differs" "another ciphertext"
other_digit handshake_hash
expect 1 "handshake_hash differs" "another handshake hash"
other_digit resp_prologue
expect 1 "reading message 1 to its static key failed" "another prologue"
other_digit payload
expect 1 "not ok 1" "another payload"
edited '/"ciphertext"/ d; s/\("payload": ".*"\),/\1/; /"handshake_hash"/ d'
expect 0 "# handshake_hash: 275e" "nothing to compare with"
edited 's/ChaChaPoly/AESGCM/'
expect 0 "ok 1 Noise_IKpsk2_25519_AESGCM_SHA256 # SKIP" "another protocol"
edited '/"init_static"/ d'
expect 2 "vector 1: \"init_static\" is missing" "no static key"
edited '/"payload"/ d'
expect 2 "message 1: \"payload\" is missing" "no payload"
edited '/"protocol_name"/ d'
expect 2 "\"protocol_name\" is missing" "no protocol name"
edited '/"init_ephemeral"/ s/..",/",/'
expect 2 "\"init_ephemeral\" has 31 bytes, not 32" "a short key"
edited '/"resp_ephemeral"/ s/.",/",/'
expect 2 "odd number of hex digits" "half a byte"
edited '/"resp_static"/ s/..",/zz",/'
expect 2 "\"resp_static\" has a character that is not a hex digit" "no hex digit"
other_digit init_remote_static
expect 2 "is not the public key of" "a remote key that is not the responder's"
edited 's/"messages"/"letters"/'
expect 2 "\"messages\" is not a list" "no messages"
edited 's/"vectors"/"victors"/'
expect 2 "no top-level list \"vectors\"" "no vectors"
edited '5 s/,//'
expect 2 "line 6, column" "no JSON"
rm -f "$file"
expect 2 "No such file" "no file"
exit $failed
