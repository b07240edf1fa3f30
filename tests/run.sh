#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs tests inside the guest, each from a clean state, and prints nested KTAP.
# usage: run.sh TEST..., each a file under tests/vm. Last line: the sum over all
# cases, "# N passed, N failed, N skipped".

here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib/topo.sh"

# What a test stated in its header comment: see tests/README.md.
meta() {
	local value
	value=$(sed -n "s/^# netveil-test:.*[ ]$2=\([^ ]*\).*/\1/p" "$1" | head -n 1)
	printf '%s\n' "${value:-$3}"
}

interpreter() {
	case $1 in
	*.py) echo python3 ;;
	*) echo bash ;;
	esac
}

# Passes a test's output on, indented, and counts its cases.
relay() {
	local line
	while IFS= read -r line; do
		printf '    %s\n' "$line"
		case $line in
		ok\ *\#\ SKIP* | 1..0\ \#\ SKIP*) skipped=$((skipped + 1)) ;;
		ok\ *) passed=$((passed + 1)) ;;
		not\ ok\ *) failed=$((failed + 1)) ;;
		esac
	done
}

trouble() {
	echo "    # $1"
	troubles=$((troubles + 1))
}

# What a test that failed has left running would hold on to its output.
kill_left() {
	local ns
	for ns in /run/netns/*; do
		[ ! -e "$ns" ] || topo_kill "${ns##*/}"
	done
}

# The module first: a namespace outlives its name while a socket in it does, and
# then nobody can take its peers away.
clean_state() {
	local ns
	unload_module 2>&1 | sed 's/^/    # /'
	topo_down
	for ns in /run/netns/*; do
		[ -e "$ns" ] || continue
		topo_kill "${ns##*/}"
		ip netns del "${ns##*/}"
	done
	! module_loaded || trouble "the module cannot be unloaded after this test"
}

check_log() {
	dmesg | sed "1,/netveil-test: start $1\$/d" >/tmp/log
	bash "$here/lib/splat-scan.sh" /tmp/log | sed 's/^/    # /'
	[ "${PIPESTATUS[0]}" -eq 0 ] || trouble "the kernel's log is not clean"
}

run_one() {
	local test=$1 number=$2 name start rc limit
	local passed=0 failed=0 skipped=0 troubles=0
	name=${test##*/}
	name=${name%.*}
	limit=$(($(meta "$test" timeout 120) * ${NETVEIL_PATIENCE:-1}))
	echo "    # Subtest: $name"
	echo "netveil-test: start $name" >/dev/kmsg
	start=$(uptime_ms)
	relay < <(
		timeout -k 5 "$limit" "$(interpreter "$test")" "$test" 2>&1 </dev/null
		echo $? >/tmp/rc
		kill_left
	)
	rc=$(cat /tmp/rc)
	clean_state
	check_log "$name"
	if [ "$rc" -eq 124 ] || [ "$rc" -eq 137 ]; then
		trouble "did not finish within $limit s"
	elif [ "$rc" -ne 0 ] && [ "$failed" -eq 0 ]; then
		trouble "ended with exit code $rc"
	elif [ $((passed + failed + skipped)) -eq 0 ]; then
		trouble "ran no case"
	fi
	failed=$((failed + troubles))
	[ "$failed" -eq 0 ] && echo "ok $number $name # $(elapsed "$start")" ||
		echo "not ok $number $name # $(elapsed "$start")"
	sum_passed=$((sum_passed + passed))
	sum_failed=$((sum_failed + failed))
	sum_skipped=$((sum_skipped + skipped))
}

elapsed() {
	local ms=$(($(uptime_ms) - $1))
	printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

PATH=$here/coverage:$PATH
sum_passed=0 sum_failed=0 sum_skipped=0
number=0
echo "KTAP version 1"
echo "1..$#"
for test in "$@"; do
	number=$((number + 1))
	run_one "$test" "$number"
done
echo "# $sum_passed passed, $sum_failed failed, $sum_skipped skipped"
[ "$sum_failed" -eq 0 ]
