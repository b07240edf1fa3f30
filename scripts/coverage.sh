#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make coverage: how much of the module's pure parts the unit tests run, by gcc's own
# gcov; or, with VM=uml, how much of the whole module the VM tests run, those of
# make check-faults among them (TESTS: words), by tests/coverage. And the lines that
# never ran.

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/stage.sh"

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

unit_tests() {
	need_packages make gcc libc6-dev libssl-dev libjansson-dev
	mkdir "$work/tests"
	cp -r "$NETVEIL_TOP/kmod" "$work/"
	cp -r "$NETVEIL_TOP/tests/unit" "$work/tests/"
	make -s -C "$work/tests/unit" clean
	step "unit tests of the module, counted" make -s -C "$work/tests/unit" \
		CFLAGS='-std=gnu11 -g -O0 --coverage' check
	summarise "$work/tests/unit" "$work"/kmod/{prefix,replay,mtu,ratelimit,cookie,noise,keys}.c
}

# run_tests LONG: its words as check.sh has them. Tests that fail do not matter here.
run_tests() {
	local results
	LONG=$1 COVERAGE=yes "$NETVEIL_TOP/scripts/check.sh" || true
	results=$(find "$NETVEIL_CACHE/results" -maxdepth 1 -name "$(hash_of "$NETVEIL_TOP")-$VM.*" \
		-printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)
	find "$results" -path '*/coverage/*' -exec cp {} "$work/" \;
}

vm_tests() {
	need_packages binutils
	run_tests ''
	run_tests faults
	python3 "$NETVEIL_TOP/tests/coverage/report.py" "$(module_path "$VM" -coverage)" "$work"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case ${VM:-qemu} in
uml*) vm_tests ;;
*) unit_tests ;;
esac
