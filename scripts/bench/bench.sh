#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make bench: Netveil beside plaintext, WireGuard, ESP and MACsec, in one boot of
# a VM whose clock counts instructions; a line per figure while it runs, then the
# table, the verdict against the bar, JSON and plots. See README.md beside this.

. "$(dirname "$0")/../lib/common.sh"
. "$(dirname "$0")/../lib/stage.sh"

kernel=${KERNEL:-6.12}
mode=${BENCH:-default}
read -ra words <<<"${ONLY:-}"
here=$NETVEIL_TOP/scripts/bench
[ "$mode" != native ] || kernel=$(uname -r)
results=$NETVEIL_CACHE/results/$(hash_of "$NETVEIL_TOP")-bench-$kernel-${PROFILE:+profile-}$mode

case $mode in
quick | default | full) ;;
native) [ "$(id -u)" -eq 0 ] || die "BENCH=native makes namespaces and loads netveil.ko: run it as root" ;;
*) die "BENCH=$mode: it is quick, default, full or native" ;;
esac

build_loads() {
	need_packages gcc libc6-dev
	gcc -O2 -Wall -Wextra -static -o "$1/load" "$here/load.c"
	gcc -O2 -Wall -Wextra -static -I"$NETVEIL_TOP/kmod/uapi" -o "$1/peers" "$here/peers.c"
}

build_plugin() {
	gcc -O2 -Wall -Wextra -shared -fPIC -fvisibility=hidden -o "$stage/profile.so" "$here/profile.c"
}

run_guest() {
	"$NETVEIL_TOP/scripts/vm-run.sh" --kernel "$kernel" --icount --mem 2048 --timeout 0 --out "$results" \
		--stage "$stage" "$@"
}

# On this very machine, which should have nothing else to do.
run_native() {
	need_packages wireguard-tools ethtool iproute2
	mkdir -p "$results"
	NETVEIL_NATIVE=y NETVEIL_BENCH=$stage NETVEIL_OUT=$results \
		python3 "$stage/scripts/bench/run.py" native "${words[@]}"
}

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
step "building netveil.ko for $kernel and veil" stage_built "$stage" "$kernel" build
stage_sources "$stage" "$kernel"
build_loads "$stage"
rm -rf "$results"
status=0
if [ -n "${PROFILE:-}" ]; then
	build_plugin
	run_guest --plugin "$stage/profile.so" -- \
		python3 scripts/bench/run.py profile "$PROFILE" "${words[@]:-netveil-gcm}"
	python3 "$here/profile.py" "$results"
	exit
elif [ "$mode" = native ]; then
	say "  $kernel, this machine; the figures as they come:"
	run_native || status=$?
else
	say "  $kernel under QEMU, guest time counts instructions; the figures as they come:"
	run_guest -- python3 scripts/bench/run.py "$mode" "${words[@]}" || status=$?
fi
[ -s "$results/bench.jsonl" ] || die "there are no figures (exit code $status)"
python3 "$here/report.py" "$results"
need_packages gnuplot-nox
python3 "$here/plot.py" "$results"
say "plots: $results/{tcp,packets}.{svg,png}"
exit "$status"
