#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make kselftest: tests/ as the folder tools/testing/selftests/netveil of a kernel
# tree, installed by that tree's own Makefile, and run in a guest by its
# run_kselftest.sh. Fails unless each test chosen says ok.
#   KERNEL  what boots (uml), as vm-run.sh has them
#   TESTS   words; tests whose name contains one of them

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/source.sh"
. "$(dirname "$0")/lib/stage.sh"

COLLECTION=netveil/vm
kernel=${KERNEL:-uml}
read -ra words <<<"${TESTS:-smoke cli traffic handshake sockets}"

# As much of a kernel tree as the selftests' Makefile needs, and our folder in it.
make_tree() {
	local source folder=tools/testing/selftests
	source=$(kernel_source)
	selftests=$work/tree/$folder
	mkdir -p "$selftests" "$work/tree/scripts" "$work/install"
	cp "$source/scripts/subarch.include" "$work/tree/scripts/"
	cp -r "$source/$folder"/{Makefile,lib.mk,run_kselftest.sh,kselftest} "$selftests/"
	stage_sources "$work/install" "$kernel"
	mv "$work/install/tests" "$selftests/netveil"
}

install_tests() {
	make -C "$selftests" TARGETS="$COLLECTION" FORCE_TARGETS=1 \
		install INSTALL_PATH="$work/install"
}

# The tests of the list that a word is for, and that the kernel has all for.
choose_tests() {
	local entry word
	while read -r entry; do
		[[ $kernel != uml* ]] || ! grep -q '^# netveil-test:.* uml=no' \
			"$work/install/$COLLECTION/${entry#*:}" || continue
		for word in "${words[@]}"; do
			[[ ${entry#*:} != *"$word"* ]] || { echo "$entry" && break; }
		done
	done <"$work/install/kselftest-list.txt"
}

# In the guest a test has four times what it states, so the boot has as well.
run_tests() {
	local options=() entry stated seconds=120
	for entry in "${chosen[@]}"; do
		options+=(-t "$entry")
		stated=$(sed -n 's/^# netveil-test:.*timeout=\([0-9]*\).*/\1/p' "$work/install/$COLLECTION/${entry#*:}")
		seconds=$((seconds + 4 * ${stated:-120}))
	done
	"$NETVEIL_TOP/scripts/vm-run.sh" --kernel "$kernel" --timeout "$seconds" --stage "$work/install" \
		-- ./run_kselftest.sh "${options[@]}" | tr -d '\r' | tee "$work/output"
}

# run_kselftest.sh itself ends with 0 whatever its tests say.
judge() {
	local entry line passed=0 failed=0 skipped=0
	for entry in "${chosen[@]}"; do
		line=$(grep -E "^(not )?ok [0-9]+ selftests: $COLLECTION: ${entry#*:}( |\$)" "$work/output") || true
		case $line in
		ok*" # SKIP") skipped=$((skipped + 1)) ;;
		ok*) passed=$((passed + 1)) ;;
		*)
			failed=$((failed + 1))
			say "failed: ${entry#*:}"
			;;
		esac
	done
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ]
}

need_packages make gcc libc6-dev rsync
prepare_kernel "$kernel" >/dev/null
mkdir -p "$NETVEIL_CACHE/run"
work=$(mktemp -d "$NETVEIL_CACHE/run/XXXXXX")
trap 'rm -rf "$work"' EXIT
make_tree
step "installing the tests by the kernel's Makefile" install_tests
mapfile -t chosen < <(choose_tests)
[ ${#chosen[@]} -gt 0 ] || die "no test for kernel $kernel has one of the words ${words[*]} in its name"
stage_built "$work/install" "$kernel" build
rc=0
run_tests || rc=$?
judge || rc=1
exit $rc
