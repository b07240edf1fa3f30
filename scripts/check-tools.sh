#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make check-tools: what veil and the module tell other programs, judged by those:
# tshark, promtool, JSON schema, ynl. Boots one guest (KERNEL=6.12), and takes
# the programs from Debian. make pictures draws the README's from the same run.

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/stage.sh"

kernel=${KERNEL:-6.12}
work=$NETVEIL_CACHE/tools/$(hash_of "$NETVEIL_TOP")

# Unpacked, not installed: the package would start a server.
promtool() {
	local folder=$NETVEIL_CACHE/promtool
	if [ ! -x "$folder/usr/bin/promtool" ]; then
		mkdir -p "$folder"
		(cd "$folder" && apt-get -q download prometheus && dpkg -x prometheus_*.deb . &&
			rm prometheus_*.deb)
	fi >&2
	printf '%s\n' "$folder/usr/bin/promtool"
}

# linux-source's ynl and the YAML reader that it needs, which the guest lacks.
stage_ynl() {
	local ynl
	ynl=$(find "$NETVEIL_CACHE"/src -path '*/tools/net/ynl/cli.py' -print -quit 2>/dev/null)
	[ -n "$ynl" ] || die "ynl comes with linux-source, which make uml unpacks: run that first"
	mkdir -p "$work/stage/ynl"
	cp -r "${ynl%/cli.py}/cli.py" "${ynl%/cli.py}/lib" "$work/stage/ynl"
	cp -r "$(/usr/bin/python3 -c 'import os, yaml; print(os.path.dirname(yaml.__file__))')" "$work/stage/ynl"
	cp "$NETVEIL_TOP/kmod/uapi/netveil.yaml" "$work/stage"
}

need_packages tshark python3-yaml python3-jsonschema python3-prometheus-client
rm -rf "$work"
mkdir -p "$work/stage" "$work/out"
stage_built "$work/stage" "$kernel" build
stage_sources "$work/stage" "$kernel"
# UML aligns attributes by others that 6.12's ynl does not know.
[[ $kernel == uml* ]] || stage_ynl
"$NETVEIL_TOP/scripts/vm-run.sh" --kernel "$kernel" --stage "$work/stage" --out "$work/out" -- \
	python3 tests/tools/guest.py >&2
[ "${1:-}" != pictures ] || "$NETVEIL_TOP/scripts/pictures.py" "$work/out" "$NETVEIL_TOP/scripts/pictures"
/usr/bin/python3 "$NETVEIL_TOP/userspace/test/words.py" all
/usr/bin/python3 "$NETVEIL_TOP/tests/tools/judge.py" "$work/out" "$(promtool)"
