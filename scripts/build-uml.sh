#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds the User Mode Linux kernel that the tests run on (make uml), or the one
# with KASAN, lockdep and kmemleak (--debug, make uml-debug), in the cache.
# What is built already, from the same source and configuration, stays.
# Prints the build folder. --if-built only prints it, and fails when not built.

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/source.sh"

here=$NETVEIL_TOP/scripts

usage() {
	say "usage: build-uml.sh [--debug] [--if-built]"
	exit 2
}

kmake() {
	make -C "$source" ARCH=um O="$build" "$@"
}

configure() {
	mkdir -p "$build"
	kmake defconfig
	(cd "$source" && ./scripts/kconfig/merge_config.sh -m -O "$build" \
		"$build/.config" "${fragments[@]}")
	kmake olddefconfig
}

compile() {
	kmake -j"$NETVEIL_JOBS" CC="ccache gcc" all
	rm -rf "$build/netveil-modules"
	kmake INSTALL_MOD_PATH="$build/netveil-modules" modules_install
	rm -f "$build"/netveil-modules/lib/modules/*/{build,source}
}

# An option that the kernel does not know, or that lacks what it depends on,
# vanishes without a word: name it.
check_config() {
	local line
	while read -r line; do
		case $line in
		*=n) grep -q "^${line%=n}=" "$build/.config" || continue ;;
		CONFIG_*) ! grep -qxF "$line" "$build/.config" || continue ;;
		*) continue ;;
		esac
		say "  note: $line of scripts/uml*.config did not take effect"
	done < <(cat "${fragments[@]}")
}

build_all() {
	[ ! -s "$stamp" ] || return 0
	need_packages make gcc libc6-dev flex bison bc ccache libelf-dev kmod
	kernel_source >/dev/null
	rm -f "$stamp"
	step "configuring the $name kernel" configure
	check_config
	step "building the $name kernel (5 to 15 minutes the first time)" compile
	printf '%s\n' "$key" >"$stamp"
	drop_unused "${build%/*}"
}

parse_args() {
	name=uml
	only_show=
	fragments=("$here/uml.config")
	while [ $# -gt 0 ]; do
		case $1 in
		--debug)
			name=uml-debug
			fragments+=("$here/uml-debug.config")
			;;
		--if-built) only_show=y ;;
		*) usage ;;
		esac
		shift
	done
}

main() {
	parse_args "$@"
	source=$NETVEIL_CACHE/src/linux-source-$SOURCE_SERIES
	key=$(hash_of "$SOURCE_SERIES" "$(cat "${fragments[@]}")" "$(declare -f configure compile)")
	build=$NETVEIL_CACHE/$name/$key
	stamp=$build/.netveil-key
	export CCACHE_DIR=$NETVEIL_CACHE/ccache
	export KBUILD_BUILD_TIMESTAMP=fixed KBUILD_BUILD_USER=netveil KBUILD_BUILD_HOST=netveil
	if [ ! -x "$build/linux" ] || [ ! -s "$stamp" ]; then
		[ -z "$only_show" ] || die "the $name kernel is not built: run 'make $name'"
		with_lock "$NETVEIL_CACHE/lock/$name" build_all
	fi
	touch "$build"
	printf '%s\n' "$build"
}

main "$@"
