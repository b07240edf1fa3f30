# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What a guest finds at /netveil: netveil.ko for its kernel, veil, tests/ (with
# tests/tools built) and scripts/. Sourced after common.sh.

# The module for KERNEL, where build-module.sh leaves it.
module_path() {
	printf '%s\n' "$NETVEIL_CACHE/build/$(hash_of "$NETVEIL_TOP")/$1${2:-}/netveil.ko"
}

# Where veil and tests/tools for KERNEL's machine are built.
tools_dir() {
	case $(machine_of "$1") in
	amd64) printf '%s\n' "$NETVEIL_TOP" ;;
	arm64) printf '%s\n' "$NETVEIL_CACHE/build/$(hash_of "$NETVEIL_TOP")/tools-arm64" ;;
	esac
}

# build_tools KERNEL
build_tools() {
	local machine dir root words=()
	machine=$(machine_of "$1")
	dir=$(tools_dir "$1")
	case $machine in
	amd64) need_packages make gcc libc6-dev libmnl-dev libjson-c-dev libsodium-dev ;;
	arm64)
		need_packages make cpio gcc-aarch64-linux-gnu
		# against the headers and libraries of the root that they will run in
		root=$("$NETVEIL_TOP/scripts/root-image.sh" "$machine")
		words=("CC=aarch64-linux-gnu-gcc --sysroot=$root/tree")
		;;
	esac
	with_lock "$NETVEIL_CACHE/lock/tools-$(hash_of "$NETVEIL_TOP")" make_tools >&2
}

make_tools() {
	[ "$dir" = "$NETVEIL_TOP" ] || copy_tools
	make -s -C "$dir/userspace" "${words[@]}"
	make -s -C "$dir/tests/tools" "${words[@]}"
}

# Their sources alone, with their times: what was built of them is for this machine.
copy_tools() {
	mkdir -p "$dir"
	cd "$NETVEIL_TOP" || return
	find userspace kmod/uapi tests/tools \( -name '*.[ch]' -o -name Makefile \) -print |
		cpio -pdmu --quiet "$dir"
}

# stage_built DIR KERNEL build|last: the module and veil, built first or as they
# were built last.
stage_built() {
	local ko variant other
	ko=$(module_path "$2")
	if [ "$3" = build ]; then
		"$NETVEIL_TOP/scripts/build-module.sh" "$2" >/dev/null
		"$NETVEIL_TOP/scripts/build-module.sh" "$2" --limits >/dev/null
		build_tools "$2"
	fi
	[ -s "$ko" ] || die "--no-build, but $ko was never built: leave the option out"
	cp "$ko" "$1/netveil.ko"
	for variant in limits faults; do
		other=$(module_path "$2" "-$variant")
		[ ! -s "$other" ] || cp "$other" "$1/netveil-$variant.ko"
	done
	cp "$(tools_dir "$2")/userspace/veil" "$1/veil"
}

# stage_sources DIR KERNEL
stage_sources() {
	local tools
	tools=$(tools_dir "$2")
	tar -C "$NETVEIL_TOP" --exclude=tests/unit --exclude=__pycache__ -cf - tests scripts |
		tar -C "$1" -xf -
	[ "$tools" = "$NETVEIL_TOP" ] || [ ! -d "$tools" ] || cp "$tools"/tests/tools/* "$1/tests/tools/"
	# Lies beside the checkout of whoever has it; nothing of ours needs it.
	[ ! -d "$NETVEIL_TOP/../shared/vectors" ] ||
		cp -r "$NETVEIL_TOP/../shared/vectors" "$1/tests/vectors"
}
