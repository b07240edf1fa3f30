#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make check: installs what the tests need, builds, runs the native unit tests and
# then the VM tests on each kernel. Last line: "N passed, N failed[, N skipped]"
# over all cases. Steered by the environment:
#   KERNELS  kernel series to test on ("6.1 6.12")
#   TESTS    words; only tests whose name contains one of them ("unit" is one)
#   VM       qemu, uml, uml-debug or virtme

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/stage.sh"

VM=${VM:-qemu}
KERNELS=${KERNELS:-}
TESTS=${TESTS:-}
scripts=$NETVEIL_TOP/scripts
passed=0 failed=0 skipped=0

choose_kernels() {
	case $VM in
	qemu) kernels=${KERNELS:-6.1 6.12} ;;
	uml | uml-debug) kernels=$VM ;;
	virtme) kernels=${KERNELS:-$(uname -r)} ;;
	*) die "VM=$VM is unknown: use qemu, uml, uml-debug or virtme" ;;
	esac
}

# Its guest is this machine's own root, so the tools of the root image are needed
# here.
prepare_virtme() {
	local tools
	command -v vng >/dev/null ||
		die "virtme-ng is not installed: apt-get install virtme-ng (Debian 13 and later), or use VM=qemu"
	mapfile -t tools < <(grep -vE '^(#|busybox|lib)' "$scripts/root-packages")
	need_packages qemu-system-x86 "${tools[@]}"
}

prepare() {
	local kernel
	[ "$VM" != virtme ] || prepare_virtme
	need_packages make gcc libc6-dev pkg-config libmnl-dev libjson-c-dev libssl-dev libjansson-dev
	for kernel in $kernels; do
		case $VM in
		qemu) "$scripts/kernels.sh" refresh "$kernel" >/dev/null ;;
		uml) "$scripts/build-uml.sh" >/dev/null ;;
		uml-debug) "$scripts/build-uml.sh" --debug >/dev/null ;;
		esac
	done
	if [ "$VM" = qemu ]; then
		need_packages qemu-system-x86 cpio kmod
	fi
	if [ "$VM" != virtme ]; then
		"$scripts/root-image.sh" >/dev/null
	fi
}

build() {
	local kernel
	step "building veil" build_tools
	for kernel in $kernels; do
		step "building netveil.ko for $kernel" "$scripts/build-module.sh" "$kernel"
	done
}

### which tests, in which boot ###

meta() {
	local value
	value=$(sed -n "s/^# netveil-test:.*[ ]$2=\([^ ]*\).*/\1/p" "$1" | head -n 1)
	printf '%s\n' "${value:-$3}"
}

wanted() {
	local word
	[ -n "$TESTS" ] || return 0
	for word in $TESTS; do
		[[ $1 != *"$word"* ]] || return 0
	done
	return 1
}

# Does the test run on this kernel?
suits() {
	local test=$1 kernel=$2 only
	only=$(meta "$test" kernels "")
	case $kernel in
	uml | uml-debug)
		[ "$(meta "$test" uml yes)" = yes ] || return 1
		[ "$kernel" = uml ] || [ "$(meta "$test" uml-debug yes)" = yes ]
		;;
	*) [ -z "$only" ] || [[ ,$only, == *",$kernel,"* ]] ;;
	esac
}

# The debug kernel can take one module load per boot: KASAN under UML does not
# forget a module's globals when it is unloaded.
boot_of() {
	if [ "$(meta "$1" boot shared)" = own ] || [ "$2" = uml-debug ]; then
		echo own
	elif [ "$(meta "$1" icount no)" = yes ]; then
		echo icount
	else
		echo shared
	fi
}

tests_for() {
	local kernel=$1 boot=$2 test name
	for test in "$NETVEIL_TOP"/tests/vm/t_*; do
		name=${test##*/}
		if wanted "${name%.*}" && suits "$test" "$kernel" &&
			[ "$(boot_of "$test" "$kernel")" = "$boot" ]; then
			echo "tests/vm/$name"
		fi
	done
}

### running them ###

# Takes the counts of a VM run from its last "# N passed, ..." line.
count_vm() {
	local log=$1 rc=$2 line
	line=$(grep -E '^# [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped' "$log" | tail -n 1 | tr -d '\r') || true
	if [ -z "$line" ]; then
		passed=$((passed + $(grep -cE '^ +ok [0-9]' "$log" || true)))
		failed=$((failed + 1 + $(grep -cE '^ +not ok [0-9]' "$log" || true)))
		return
	fi
	read -r _ p _ f _ s _ <<<"$line"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then
		failed=$((failed + 1))
	fi
}

time_limit() {
	local sum=60 test
	for test in "$@"; do
		sum=$((sum + $(meta "$NETVEIL_TOP/$test" timeout 120)))
	done
	echo "$sum"
}

# Runs are told apart by kernel and boot: what a guest leaves is kept there.
run_boot() {
	local kernel=$1 boot=$2 rc=0 log runner
	shift 2
	[ $# -gt 0 ] || return 0
	log=$results/$kernel-$boot-$(basename "$1").log
	say "== $kernel, $boot boot: $# test$([ $# -eq 1 ] || echo s)"
	runner=("$scripts/vm-run.sh" --kernel "$kernel" --no-build --timeout "$(time_limit "$@")"
		--out "${log%.log}")
	if [ "$boot" = icount ] || { [ "$boot" = own ] && [ "$(meta "$NETVEIL_TOP/$1" icount no)" = yes ]; }; then
		runner+=(--icount)
	fi
	[ "$VM" != virtme ] || runner=("$scripts/vng-run.sh" "$kernel" "${log%.log}")
	"${runner[@]}" -- tests/run.sh "$@" 2>&1 | tee "$log" || rc=$?
	count_vm "$log" "$rc"
}

run_vm_tests() {
	local kernel boot tests test
	for kernel in $kernels; do
		for boot in shared icount; do
			mapfile -t tests < <(tests_for "$kernel" "$boot")
			run_boot "$kernel" "$boot" "${tests[@]}"
		done
		while read -r test; do
			run_boot "$kernel" own "$test"
		done < <(tests_for "$kernel" own)
	done
}

run_unit_tests() {
	local log=$results/unit.log rc=0 f
	wanted unit || return 0
	say "== unit tests"
	make -s -C "$NETVEIL_TOP/tests/unit" check 2>&1 </dev/null | tee "$log" || rc=$?
	skipped=$((skipped + $(grep -cE '^ *ok .*# SKIP' "$log" || true)))
	passed=$((passed + $(grep -E '^ *ok [0-9]+' "$log" | grep -vc '# SKIP' || true)))
	f=$(grep -cE '^ *not ok [0-9]+' "$log" || true)
	if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then
		say "the unit tests ended with exit code $rc"
		f=1
	fi
	failed=$((failed + f))
}

summary() {
	local text="$passed passed, $failed failed"
	[ "$skipped" -eq 0 ] || text+=", $skipped skipped"
	say "what the guests left behind and all output: $results"
	say "took $((SECONDS / 60)) min $((SECONDS % 60)) s"
	if [ $((passed + failed)) -eq 0 ]; then
		say "nothing ran: TESTS='$TESTS' matches no test for VM=$VM, KERNELS='$kernels'"
	fi
	echo "$text"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

main() {
	choose_kernels
	results=$NETVEIL_CACHE/results/$(hash_of "$NETVEIL_TOP")-$VM
	rm -rf "$results"
	mkdir -p "$results"
	prepare
	build
	run_unit_tests
	run_vm_tests
	summary
}

main
