#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make coverage: how much of the module's pure parts the unit tests run, and the
# lines that they do not. Works on a copy, with gcc's own gcov.

. "$(dirname "$0")/lib/common.sh"

# summarise FOLDER SOURCE...: one line for each, and the lines that never ran.
summarise() {
	local folder=$1 source name
	shift
	for source in "$@"; do
		name=${source##*/}
		[ -e "$folder/${name%.c}.gcda" ] || continue
		(cd "$folder" && gcov "${name%.c}.gcda") 2>/dev/null |
			awk -v name="$name" '/^File/ { mine = index($0, "/" name "\x27") }
				mine && /^Lines executed/ { sub(/.*:/, ""); print name ": " $0; exit }'
		grep -E '^ *#####:' "$folder/$name.gcov" 2>/dev/null | sed 's/^ *#####: */    /' || true
	done
}

need_packages make gcc libc6-dev libssl-dev libjansson-dev
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tests"
cp -r "$NETVEIL_TOP/kmod" "$work/"
cp -r "$NETVEIL_TOP/tests/unit" "$work/tests/"
make -s -C "$work/tests/unit" clean
step "unit tests of the module, counted" make -s -C "$work/tests/unit" \
	CFLAGS='-std=gnu11 -g -O0 --coverage' check
summarise "$work/tests/unit" "$work"/kmod/{prefix,replay,mtu,ratelimit,cookie,noise,keys}.c
