#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make check-builds: netveil.ko for kernels that make check does not boot, without
# a warning at W=1, and for two of them the tests t_smoke and t_traffic. Says last
# what failed.
#   BUILDS  no-ipv6  User Mode Linux without IPv6, by gcc
#           32-bit   User Mode Linux for i386, by gcc
#           clang    the same kernel as make uml, by clang
#           arm64    Debian's cloud kernel for arm64, and the tests there, emulated, and
#                    t_vectors, as its primitives are others
#           rt       Debian's PREEMPT_RT kernel, and the tests there

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/source.sh"

BUILDS=${BUILDS:-no-ipv6 32-bit clang arm64 rt}
scripts=$NETVEIL_TOP/scripts
configs=("$scripts"/configs/{tests,uml}.config)
failures=()

# verdict NAME COMMAND...
verdict() {
	local name=$1
	shift
	if "$@"; then
		echo "ok   $name"
	else
		echo "FAIL $name"
		failures+=("$name")
	fi
}

### Debian's kernels ###

# Forgets the objects first: a file that is not compiled warns of nothing.
compiles_for() {
	local ko
	ko=$("$scripts/build-module.sh" "$1") || return
	find "${ko%/*}" -name '*.o' -delete
	"$scripts/build-module.sh" "$1" W=1 KCFLAGS=-Werror >/dev/null
}

check_debian() {
	verdict "$1: no warning at W=1" compiles_for "$1"
	verdict "$1: ${*:2}" \
		env KERNELS="$1" TESTS="${*:2}" VM=qemu LONG='' "$scripts/check.sh"
}

### kernels that are not built, but for what a module is compiled against ###

# prepare_tree NAME CONFIG-LINE MAKE-WORD...: its folder is $tree
prepare_tree() {
	local name=$1 line=$2 source key
	shift 2
	source=$(kernel_source)
	key=$(hash_of "$SOURCE_SERIES" "$(cat "${configs[@]}")" "$line" "$@" "$(declare -f configure_tree)")
	tree=$NETVEIL_CACHE/tree-$name/$key
	if [ ! -e "$tree/.netveil-key" ]; then
		need_packages make gcc libc6-dev flex bison bc libelf-dev
		step "preparing the $name kernel" configure_tree "$line" "$@"
		touch "$tree/.netveil-key"
		drop_unused "${tree%/*}"
	fi
	touch "$tree"
}

configure_tree() {
	local line=$1
	shift
	set -- -C "$source" ARCH=um O="$tree" "$@"
	rm -rf "$tree"
	mkdir -p "$tree"
	make "$@" defconfig
	echo "$line" >"$tree/more.config"
	(cd "$source" && ./scripts/kconfig/merge_config.sh -m -O "$tree" "$tree/.config" \
		"${configs[@]}" "$tree/more.config")
	make "$@" olddefconfig
	grep -qx "$line" "$tree/.config"
	make "$@" -j"$NETVEIL_JOBS" modules_prepare
}

# compiles_in_tree KCFLAGS MAKE-WORD...: what the kernel has that was not built is
# not known, so modpost may only warn.
compiles_in_tree() {
	local flags=$1 output
	shift
	rm -rf "$tree/netveil"
	mkdir "$tree/netveil"
	cp -r "$NETVEIL_TOP/Kbuild" "$NETVEIL_TOP/kmod" "$tree/netveil/"
	find "$tree/netveil" -name '*.o' -delete
	output=$(make -k -s -C "$tree" M="$tree/netveil" ARCH=um "$@" W=1 KCFLAGS="-Werror $flags" \
		KBUILD_MODPOST_WARN=1 -j"$NETVEIL_JOBS" modules 2>&1) && return
	printf '%s\n' "$output"
	return 1
}

# symbols FOLDER: of the kernel's IPv6 that was built there
symbols() {
	[ -e "$1/net/ipv6/addrconf_core.o" ] || die "$1 has no objects of net/ipv6"
	find "$1/net/ipv6" -name "*.o" -exec nm --defined-only {} + | awk 'NF == 3 { print $3 }' | sort -u
}

# Beside the parts of IPv6 that every kernel has, which are built here, there are
# those of make uml's kernel: netveil.ko may want none of the rest.
wants_no_ipv6() {
	local build found
	build=$("$scripts/build-kernel.sh" uml) || return
	make -s -C "$tree" ARCH=um net/ipv6/ || return
	symbols "$tree" >"$tree/has"
	symbols "$build" >"$tree/might"
	nm -u "$tree/netveil/netveil.ko" | awk '{ print $2 }' | sort >"$tree/wants"
	found=$(comm -23 <(comm -12 "$tree/wants" "$tree/might") "$tree/has")
	[ -n "$found" ] || return 0
	printf 'netveil.ko wants of IPv6: %s\n' "$found"
	return 1
}

check_no_ipv6() {
	prepare_tree no-ipv6 '# CONFIG_IPV6 is not set'
	verdict "no-ipv6: no warning at W=1" compiles_in_tree ''
	verdict "no-ipv6: nothing is wanted that such a kernel lacks" wants_no_ipv6
}

# The kernel has no functions for the compiler to divide 64 bits with.
divides() {
	local found
	found=$(nm -u "$tree/netveil/netveil.ko" | grep -E '__u?(div|mod|divmod)di[34]')
	[ -n "$found" ] || return 0
	printf 'netveil.ko wants: %s\n' "$found"
	return 1
}

check_32_bit() {
	need_packages gcc-multilib
	prepare_tree 32-bit CONFIG_X86_32=y SUBARCH=i386
	verdict "32-bit: no warning at W=1" compiles_in_tree '' SUBARCH=i386
	verdict "32-bit: 64 bits are divided as the kernel does it" divides
}

# User Mode Linux has ports of none: clang warns of each use in a kernel header.
check_clang() {
	need_packages clang lld llvm
	prepare_tree clang CONFIG_CC_IS_CLANG=y LLVM=1
	verdict "clang: no warning at W=1" compiles_in_tree -Wno-null-pointer-arithmetic LLVM=1
}

for build in $BUILDS; do
	case $build in
	no-ipv6) check_no_ipv6 ;;
	32-bit) check_32_bit ;;
	clang) check_clang ;;
	arm64) check_debian 6.12-arm64 t_smoke t_traffic t_vectors ;;
	rt) check_debian 6.12-rt t_smoke t_traffic ;;
	*) die "BUILDS has $build: it takes no-ipv6, 32-bit, clang, arm64 and rt" ;;
	esac
done
[ ${#failures[@]} -eq 0 ] || printf 'failed: %s\n' "${failures[@]}"
[ ${#failures[@]} -eq 0 ]
