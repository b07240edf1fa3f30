# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What a guest finds at /netveil: netveil.ko for its kernel, veil, tests/ (with
# tests/tools built) and scripts/. Sourced after common.sh.

# The module for KERNEL, where build-module.sh leaves it.
module_path() {
	printf '%s\n' "$NETVEIL_CACHE/build/$(hash_of "$NETVEIL_TOP")/$1${2:-}/netveil.ko"
}

build_tools() {
	need_packages make gcc libc6-dev libmnl-dev libjson-c-dev libsodium-dev
	with_lock "$NETVEIL_CACHE/lock/tools-$(hash_of "$NETVEIL_TOP")" \
		make -s -C "$NETVEIL_TOP/userspace" >&2
	with_lock "$NETVEIL_CACHE/lock/tools-$(hash_of "$NETVEIL_TOP")" \
		make -s -C "$NETVEIL_TOP/tests/tools" >&2
}

# stage_built DIR KERNEL build|last: the module and veil, built first or as they
# were built last.
stage_built() {
	local ko variant other
	ko=$(module_path "$2")
	if [ "$3" = build ]; then
		"$NETVEIL_TOP/scripts/build-module.sh" "$2" >/dev/null
		"$NETVEIL_TOP/scripts/build-module.sh" "$2" --limits >/dev/null
		build_tools
	fi
	[ -s "$ko" ] || die "--no-build, but $ko was never built: leave the option out"
	cp "$ko" "$1/netveil.ko"
	for variant in limits faults; do
		other=$(module_path "$2" "-$variant")
		[ ! -s "$other" ] || cp "$other" "$1/netveil-$variant.ko"
	done
	cp "$NETVEIL_TOP/userspace/veil" "$1/veil"
}

# stage_sources DIR
stage_sources() {
	tar -C "$NETVEIL_TOP" --exclude=tests/unit --exclude=__pycache__ -cf - tests scripts |
		tar -C "$1" -xf -
	# Lies beside the checkout of whoever has it; nothing of ours needs it.
	[ ! -d "$NETVEIL_TOP/../shared/vectors" ] ||
		cp -r "$NETVEIL_TOP/../shared/vectors" "$1/tests/vectors"
}
