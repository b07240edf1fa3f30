#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make check: installs what the tests need, builds, and runs the native unit tests
# and the VM tests of each kernel, as many guests at once as there are CPUs. Last
# line: "N passed, N failed[, N skipped]" over all cases. Steered by the
# environment:
#   KERNELS  kernel series to test on ("6.1 6.12", where tests with once=yes run on the
#            last one alone)
#   TESTS    words; only tests whose name contains one of them ("unit",
#            "model" and "scan" are three)
#   VM       qemu, uml, uml-debug, debug, kcsan or virtme
#   GUESTS   how many at once
#   LONG     yes: the long tests instead (make check-long); selftests: the
#            kernel's own (make check-selftests); faults: make check-faults
#   LIMIT    seconds after which what still runs is stopped, and counts as failed
#   COVERAGE yes: with a module that notes what of it runs, for netveil-faults.ko as
#            well (make coverage VM=uml)

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/machine.sh"
. "$(dirname "$0")/lib/stage.sh"
. "$(dirname "$0")/lib/jobs.sh"

VM=${VM:-qemu}
KERNELS=${KERNELS:-}
TESTS=${TESTS:-}
GUESTS=${GUESTS:-$(nproc)}
LONG=${LONG:-}
COVERAGE=${COVERAGE:-}
# CI stops at 90 minutes, and then says nothing of what failed
LIMIT=${LIMIT:-4800}
TESTS_PER_BOOT=5
scripts=$NETVEIL_TOP/scripts
passed=0 failed=0 skipped=0
failures=()

choose_kernels() {
	case $VM in
	qemu) kernels=${KERNELS:-6.1 6.12} ;;
	uml | uml-debug | debug | kcsan) kernels=$VM ;;
	virtme) kernels=${KERNELS:-$(uname -r)} ;;
	*) die "VM=$VM is unknown: use qemu, uml, uml-debug, debug, kcsan or virtme" ;;
	esac
}

# Of the last runs only; two may run at once.
choose_results() {
	local old prefix
	prefix=$NETVEIL_CACHE/results/$(hash_of "$NETVEIL_TOP")-$VM
	for old in "$prefix".*; do
		[ ! -d "$old" ] || kill -0 "${old##*.}" 2>/dev/null || rm -rf "$old"
	done
	results=$prefix.$$
	mkdir -p "$results"
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

prepare_qemu() {
	local kernel machine dir
	need_packages cpio kmod
	for kernel in $kernels; do
		machine=$(machine_of "$kernel")
		need_qemu "$machine"
		dir=$(prepare_kernel "$kernel")
		# asked here, before guests that run side by side ask it all at once
		[ "$machine" != amd64 ] || kvm_works "$dir/vmlinuz" || true
	done
}

prepare() {
	local kernel
	[ "$VM" != virtme ] || prepare_virtme
	need_packages make gcc libc6-dev libssl-dev libjansson-dev python3 clang libclang-rt-dev python3-cryptography
	[[ $VM != qemu && $VM != debug && $VM != kcsan ]] || prepare_qemu
	[[ $VM != uml* ]] || prepare_kernel "$VM" >/dev/null
	if [ "$VM" != virtme ]; then
		for kernel in $kernels; do
			"$scripts/root-image.sh" "$(machine_of "$kernel")" >/dev/null
		done
	fi
}

# What every guest of a kernel gets is put aside, so that a file that changes
# meanwhile changes nothing.
build() {
	local kernel
	for kernel in $kernels; do
		step "building veil for $kernel" build_tools "$kernel"
		step "building netveil.ko for $kernel" "$scripts/build-module.sh" "$kernel"
		! wanted t_limits || ! suits t_limits.py "$kernel" ||
			step "building netveil-limits.ko for $kernel" "$scripts/build-module.sh" "$kernel" --limits
		[ "$LONG" != faults ] || [ -n "$COVERAGE" ] ||
			step "building netveil-faults.ko for $kernel" "$scripts/build-module.sh" "$kernel" --faults
		mkdir -p "$results/stage/$kernel"
		stage_built "$results/stage/$kernel" "$kernel" last
		stage_sources "$results/stage/$kernel" "$kernel"
		[ -z "$COVERAGE" ] || stage_coverage "$kernel"
		[ "$LONG" != selftests ] ||
			cp -r "$("$scripts/build-selftests.sh")" "$results/stage/$kernel/selftests"
	done
}

stage_coverage() {
	local name
	step "building a netveil.ko that notes what runs, for $1" "$scripts/build-module.sh" "$1" --coverage
	for name in netveil netveil-faults; do
		cp "$(module_path "$1" -coverage)" "$results/stage/$1/$name.ko"
	done
}

### which tests, in which boot ###

# What the tests' headers state: stated["TEST WORD"] is its value.
declare -A stated
read_headers() {
	local name word value
	while read -r name word value; do
		stated[$name $word]=$value
	done < <(cd "$NETVEIL_TOP/tests/vm" && awk '/^# netveil-test:/ {
		for (i = 3; i <= NF; i++) {
			sub(/=/, " ", $i)
			print FILENAME, $i
		}
		nextfile
	}' t_*)
	[ ${#stated[@]} -gt 0 ] || die "no header of $NETVEIL_TOP/tests/vm/t_* could be read by awk"
}

wanted() {
	local word
	[ -n "$TESTS" ] || return 0
	for word in $TESTS; do
		[[ $1 != *"$word"* ]] || return 0
	done
	return 1
}

# Does the test run on this kernel? What hardly depends on it runs on the last one
# alone, unless the kernels were named.
suits() {
	local test=$1 kernel=$2 only
	[ "${stated[$test long]:-no}" = "${LONG:-no}" ] || return 1
	[ "${stated[$test once]:-no}" = no ] || [ -n "$KERNELS" ] || [ "$kernel" = "${kernels##* }" ] || return 1
	only=${stated[$test kernels]:-}
	case $kernel in
	uml | uml-debug)
		[ "${stated[$test uml]:-yes}" = yes ] || return 1
		[ "$kernel" = uml ] || [ "${stated[$test uml-debug]:-yes}" = yes ]
		;;
	*) [ -z "$only" ] || [[ ,$only, == *",$kernel,"* ]] ;;
	esac
}

# The debug kernel can take one module load per boot: KASAN under UML does not
# forget a module's globals when it is unloaded.
boot_of() {
	boot=${stated[$1 boot]:-shared}
	[[ $boot != no-ipv6 && $boot != poison ]] || boot=own-$boot
	[ "$boot-$2" != own-poison-uml-debug ] || boot=own
	[ "$boot-$2" != shared-uml-debug ] || boot=own
	[ "${stated[$1 icount]:-no}" != yes ] || boot+=-icount
}

# Lines "BOOT TIMEOUT TEST", the longest first.
tests_for() {
	local kernel=$1 test boot
	for test in "$results/stage/$kernel"/tests/vm/t_*; do
		test=${test##*/}
		if wanted "${test%.*}" && suits "$test" "$kernel"; then
			boot_of "$test" "$kernel"
			echo "$boot ${stated[$test timeout]:-120} tests/vm/$test"
		fi
	done | sort -k 2,2nr -k 3
}

### the jobs: a boot with its tests is one ###

# The limit leaves room for a machine that is busy with other things.
add_boot() {
	local kernel=$1 boot=$2 seconds=$3 names runner
	shift 3
	names=${*//tests\/vm\//}
	runner=("$scripts/vm-run.sh" --kernel "$kernel" --timeout $((120 + 4 * seconds)))
	[[ $boot != *icount ]] || runner+=(--icount)
	[[ $boot != *no-ipv6* ]] || runner+=(--append ipv6.disable=1)
	[[ $boot != *poison* ]] || runner+=(--append slub_debug=FZP)
	# Their modules have to lie within 2 GiB of the kernel, and do so behind twice the
	# memory.
	if [ "$kernel" = uml ] && [[ -n $COVERAGE || $LONG == faults ]]; then
		runner+=(--mem 768)
	fi
	[ "$VM" != virtme ] || runner=("$scripts/vng-run.sh" --kernel "$kernel")
	runner+=(--stage "$results/stage/$kernel" --out "$results/left/$kernel-${1##*/}")
	add_job "$seconds" "$kernel: ${names//.??/}" "${runner[@]}" -- tests/run.sh "$@"
}

# Deals tests of one kind, "TIMEOUT TEST" each, out to boots of about the same length.
add_boots() {
	local kernel=$1 boot=$2 tests=("${@:3}") count boots i n seconds
	count=${#tests[@]}
	boots=$(((count + TESTS_PER_BOOT - 1) / TESTS_PER_BOOT))
	[[ $boot != own* ]] || boots=$count
	for ((i = 0; i < boots; i++)); do
		set --
		seconds=0
		for ((n = i; n < count; n += boots)); do
			seconds=$((seconds + ${tests[n]%% *}))
			set -- "$@" "${tests[n]#* }"
		done
		add_boot "$kernel" "$boot" "$seconds" "$@"
	done
}

plan() {
	local kernel boot tests words
	if wanted unit && [ -z "$LONG$COVERAGE" ]; then
		add_job 10000 "unit tests of the module" make -s -C "$NETVEIL_TOP/tests/unit" check
		! make -n -C "$NETVEIL_TOP/userspace" check >/dev/null 2>&1 ||
			add_job 10000 "unit tests of veil" make -s -C "$NETVEIL_TOP/userspace" check
		add_job 9500 "unit: fuzzing, briefly" make -s -C "$NETVEIL_TOP/tests/fuzz" check
		[ "$VM" != qemu ] || add_job 9000 "unit: static checks" "$scripts/lint.sh"
	fi
	if [[ ${LONG:-yes} == yes ]] && [ -z "$COVERAGE" ] && wanted model; then
		add_job 9000 "unit: the protocol's states" python3 "$NETVEIL_TOP/tests/model/search.py" --break
		add_job 9000 "unit: changes as one step" python3 "$NETVEIL_TOP/tests/model/step.py" --break
	fi
	for kernel in $kernels; do
		if [ "$VM" = qemu ] && [[ ${LONG:-yes} == yes ]] && wanted scan; then
			add_job 300 "$kernel: scan of memory" \
				python3 "$NETVEIL_TOP/tests/host/scan.py" "$kernel" "$results/stage/$kernel"
		fi
		tests=$(tests_for "$kernel")
		for boot in shared own own-no-ipv6 own-poison shared-icount own-icount; do
			mapfile -t words < <(sed -n "s/^$boot //p" <<<"$tests")
			add_boots "$kernel" "$boot" "${words[@]}"
		done
	done
}

job_stage() {
	local test
	test=$(sed -n 's/^ *# Subtest: //p' "$1" | tail -n 1 | tr -d '\r')
	echo "${test:-starting}"
}

### counting ###

# A VM run says its sum in its last "# N passed, ..." line; what has none are
# unit tests, or a guest that died.
job_done() {
	local name=$1 log=$2 rc=$3 p f s _
	if read -r _ p _ f _ s _ < <(grep -E '^# [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped' "$log" | tail -n 1 | tr -d '\r'); then
		:
	else
		s=$(grep -cE '^ *ok .*# SKIP' "$log" || true)
		p=$(($(grep -cE '^ *ok ' "$log" || true) - s))
		f=$(grep -cE '^ *not ok ' "$log" || true)
		[[ $name == unit* ]] || f=$((f + 1))
	fi
	if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then
		f=1
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	[ "$f" -eq 0 ] || note_failures "$name" "$log" "$rc"
}

note_failures() {
	local found
	mapfile -t found < <(tr -d '\r' <"$2" | failed_cases "${1%%:*}")
	[ ${#found[@]} -gt 0 ] || found=("$1: exit code $3")
	failures+=("${found[@]}")
}

# The cases that failed, and the tests that failed for another reason.
failed_cases() {
	awk -v where="$1" '
		/^ *# Subtest: / { test = $NF; cases = 0 }
		/^ +not ok / { sub(/^ +not ok [0-9]* ?/, ""); cases++; print where ": " test ": " $0 }
		/^not ok / && !cases { sub(/^not ok [0-9]* ?/, ""); print where ": " $0 }
		/^vm-run.sh: the guest/ { sub(/^vm-run.sh: /, ""); print where ": " test ": " $0 }'
}

summary() {
	local text="$passed passed, $failed failed"
	[ "$skipped" -eq 0 ] || text+=", $skipped skipped"
	say ""
	[ ${#failures[@]} -eq 0 ] || say "failed:"
	[ ${#failures[@]} -eq 0 ] || printf '  %s\n' "${failures[@]}" >&2
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
	choose_results
	read_headers
	prepare
	build
	plan
	if ! run_jobs "$GUESTS" $((LIMIT - SECONDS)) "$results"; then
		failed=$((failed + 1))
		failures+=("the limit of $LIMIT s: not all tests ran")
	fi
	rm -rf "$results/stage"
	summary
}

main
