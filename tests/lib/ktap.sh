# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# KTAP version 1 output for shell tests. Sourced.
#
#   plan N                      first: how many cases this test has
#   check NAME COMMAND...       a case that passes when COMMAND succeeds; what it
#   check_not NAME COMMAND...   printed is shown when the case fails
#   pass NAME / fail NAME [WHY] a case decided otherwise
#   skip NAME WHY               a case that cannot run here
#   skip_all WHY                none of the cases can run here; ends the test
#   note TEXT                   a line of explanation
#   finish                      last: ends the test
#
# A test that ends before `finish`, or with a number of cases other than planned,
# fails.

ktap_planned=0
ktap_run=0
ktap_failed=0
ktap_finished=

plan() {
	ktap_planned=$1
	echo "KTAP version 1"
	echo "1..$1"
}

note() {
	printf '%s\n' "$*" | sed 's/^/# /'
}

pass() {
	ktap_run=$((ktap_run + 1))
	echo "ok $ktap_run $1"
}

fail() {
	ktap_run=$((ktap_run + 1))
	ktap_failed=$((ktap_failed + 1))
	[ $# -lt 2 ] || note "${@:2}"
	echo "not ok $ktap_run $1"
}

skip() {
	ktap_run=$((ktap_run + 1))
	echo "ok $ktap_run $1 # SKIP $2"
}

skip_all() {
	echo "KTAP version 1"
	echo "1..0 # SKIP $*"
	ktap_finished=y
	exit 0
}

check() {
	ktap_case yes "$@"
}

check_not() {
	ktap_case no "$@"
}

# ktap_case yes|no NAME COMMAND...: in this shell, so that COMMAND may be a
# function that sets variables.
ktap_case() {
	local want=$1 name=$2 log got=yes rc=0
	shift 2
	log=$(mktemp)
	"$@" >"$log" 2>&1 </dev/null || rc=$?
	[ "$rc" -eq 0 ] || got=no
	if [ "$got" = "$want" ]; then
		pass "$name"
	else
		fail "$name" "$* ended with $rc and printed:"$'\n'"$(tail -n 40 "$log")"
	fi
	rm -f "$log"
}

finish() {
	ktap_finished=y
	if [ "$ktap_run" -ne "$ktap_planned" ]; then
		note "$ktap_planned cases planned, $ktap_run run"
		exit 1
	fi
	[ "$ktap_failed" -eq 0 ]
	exit
}

ktap_at_exit() {
	local rc=$?
	[ -n "$ktap_finished" ] || {
		echo "Bail out! ended after case $ktap_run of $ktap_planned, exit code $rc"
		exit 1
	}
}
trap ktap_at_exit EXIT
