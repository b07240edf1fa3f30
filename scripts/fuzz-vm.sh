#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make fuzz-vm: tests/vm/t_fuzz.py in one guest for NETVEIL_FUZZ seconds, with a module
# that counts which of its places ran (tests/coverage/hits.c), so that the fuzzer knows
# which inputs reached something new. NETVEIL_SEED, NETVEIL_BLIND: see there.
# usage: fuzz-vm.sh KERNEL, uml-debug or uml

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/stage.sh"

kernel=${1:?a kernel, uml-debug or uml}
scripts=$NETVEIL_TOP/scripts
seconds=${NETVEIL_FUZZ:-600}

prepare_kernel "$kernel" >/dev/null
step "building a netveil.ko that notes what runs, for $kernel" \
	"$scripts/build-module.sh" "$kernel" --coverage
step "building veil" build_tools "$kernel"

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp "$(module_path "$kernel" -coverage)" "$stage/netveil.ko"
cp "$(tools_dir "$kernel")/userspace/veil" "$stage/veil"
stage_sources "$stage" "$kernel"
# What check.sh says of such modules
memory=()
[ "$kernel" != uml ] || memory=(--mem 768)
"$scripts/vm-run.sh" --kernel "$kernel" "${memory[@]}" --stage "$stage" --timeout $((4 * seconds + 600)) -- \
	env NETVEIL_FUZZ="$seconds" ${NETVEIL_BLIND:+NETVEIL_BLIND="$NETVEIL_BLIND"} python3 tests/vm/t_fuzz.py
