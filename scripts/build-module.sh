#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds netveil.ko for one kernel (6.12, 6.12-rt or 7.2@sid as kernels.sh has them,
# uml, uml-debug, debug, kcsan, or the release of an installed kernel) in the cache, leaving the
# checkout as it is, and prints the module's path. A kernel of another Debian
# release is built for in a chroot of that, with its own compiler.
# Further words go to make: build-module.sh 6.12 W=1 C=2. --limits and --times build
# those of tests/vm/t_limits.py and t_soak.py, beside the other, --faults that of
# t_calls.py, --coverage one that notes which of its places run, and whose calls can
# fail as well.

. "$(dirname "$0")/lib/common.sh"

[ $# -ge 1 ] || die "usage: build-module.sh KERNEL [MAKE-WORD...]"
kernel=$1 variant=''
shift
case ${1:-} in
--limits) variant=-limits && set -- VEIL_TEST_LIMITS=y "${@:2}" ;;
--times) variant=-times && set -- VEIL_TEST_TIMES=y "${@:2}" ;;
--faults) variant=-faults && set -- VEIL_TEST_FAULTS=y "${@:2}" ;;
--coverage) variant=-coverage && set -- VEIL_TEST_COVERAGE=y VEIL_TEST_FAULTS=y "${@:2}" ;;
esac

kernel_build_dir() {
	case $kernel in
	uml | uml-debug) "$NETVEIL_TOP/scripts/build-kernel.sh" "$kernel" --if-built ;;
	debug | kcsan) printf '%s/build\n' "$("$NETVEIL_TOP/scripts/build-kernel.sh" "$kernel" --if-built)" ;;
	*@* | *-rt | *-arm64) "$NETVEIL_TOP/scripts/kernels.sh" headers "$kernel" ;;
	*-*) installed_headers "/lib/modules/$kernel/build" ;;
	*) "$NETVEIL_TOP/scripts/kernels.sh" headers "$kernel" ;;
	esac
}

installed_headers() {
	[ -e "$1/Makefile" ] ||
		die "$1 is missing, the headers of kernel $kernel: apt-get install linux-headers-$kernel"
	printf '%s\n' "$1"
}

source_files() {
	(cd "$NETVEIL_TOP" && find Kbuild kmod tests/coverage tests/faults -type f \( -name 'Kbuild*' -o -name 'Makefile*' \
		-o -name '*.[chS]' -o -name '*.mk' \) ! -name '*.mod.c' | sort)
}

# A tree of links to the sources, so that each kernel has its own objects and
# only what changed is compiled again.
link_sources() {
	mkdir -p "$tree"
	find "$tree" -xtype l -delete
	local file
	while read -r file; do
		[ ! -L "$tree/$file" ] || continue
		mkdir -p "$tree/$(dirname "$file")"
		ln -s "$NETVEIL_TOP/$file" "$tree/$file"
	done < <(source_files)
}

# Starts afresh when the kernel or the list of files changed.
forget_stale() {
	local state
	state=$(realpath "$build"; cat "$build/.netveil-key" 2>/dev/null; source_files)
	if [ "$state" != "$(cat "$tree/.state" 2>/dev/null)" ]; then
		rm -rf "$tree"
		mkdir -p "$tree"
		printf '%s\n' "$state" >"$tree/.state"
	fi
}

arch_words() {
	case $kernel in
	uml*) printf '%s\n' ARCH=um ;;
	*) printf '%s\n' "CC=$(compiler)" CONFIG_DEBUG_INFO_BTF_MODULES= ;;
	esac
}

# The compiler that built the kernel, or else the default one.
compiler() {
	local cc
	cc=$(grep -so 'gcc-[0-9]*' "$build/.kernelvariables" | head -n 1) || cc=gcc
	[[ $kernel != *-arm64 ]] || cc=aarch64-linux-gnu-$cc
	echo "$cc"
}

# The package that has it
compiler_package() {
	case $1 in
	aarch64-linux-gnu-*) echo "${1#aarch64-linux-gnu-}-aarch64-linux-gnu" ;;
	*) echo "$1" ;;
	esac
}

# Where to run make: here, or in the chroot of the Debian that the kernel is of.
choose_place() {
	local suite cc
	place=()
	case $kernel in
	*@* | *-rt | *-arm64) ;;
	uml* | debug | kcsan | *-*) return ;;
	esac
	suite=$("$NETVEIL_TOP/scripts/kernels.sh" suite "$kernel")
	cc=$(compiler_package "$(compiler)")
	if [ "$suite" = "$(own_suite)" ]; then
		need_packages "$cc"
	else
		place=("$NETVEIL_TOP/scripts/chroot.sh" "$suite" "$cc" make libelf-dev perl --)
	fi
}

compile() {
	forget_stale
	link_sources
	mapfile -t words < <(arch_words)
	"${place[@]}" make -s -C "$build" M="$tree" "${words[@]}" -j"$NETVEIL_JOBS" "$@" modules >&2
	[ -s "$tree/netveil.ko" ] || die "the build for $kernel made no netveil.ko: Kbuild must name it in obj-m"
}

[ -f "$NETVEIL_TOP/Kbuild" ] || die "$NETVEIL_TOP/Kbuild is missing: this needs a whole checkout of Netveil"
build=$(kernel_build_dir)
choose_place
tree=$NETVEIL_CACHE/build/$(hash_of "$NETVEIL_TOP")/$kernel$variant
with_lock "$tree.lock" compile "$@"
printf '%s\n' "$tree/netveil.ko"
