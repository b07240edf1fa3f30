#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make soak: mixed traffic in one guest for NETVEIL_SOAK seconds, with a module that
# makes new keys every few seconds (netveil-times.ko, of no other use).
# usage: soak.sh KERNEL, as vm-run.sh has them

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/stage.sh"

kernel=${1:?a kernel, as of vm-run.sh}
scripts=$NETVEIL_TOP/scripts
seconds=${NETVEIL_SOAK:-3600}

prepare_kernel "$kernel" >/dev/null
step "building netveil-times.ko for $kernel" "$scripts/build-module.sh" "$kernel" --times
step "building veil" build_tools "$kernel"

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp "$(module_path "$kernel" -times)" "$stage/netveil-times.ko"
cp "$(tools_dir "$kernel")/userspace/veil" "$stage/veil"
stage_sources "$stage" "$kernel"
"$scripts/vm-run.sh" --kernel "$kernel" --stage "$stage" --timeout $((2 * seconds + 900)) -- \
	env NETVEIL_SOAK="$seconds" python3 tests/vm/t_soak.py
