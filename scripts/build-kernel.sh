#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds a kernel of our own from Debian's source, in the cache, and prints its
# folder: what is built already, from the same source and configuration, stays.
#
#   uml        User Mode Linux, on which the tests run within seconds (make uml)
#   uml-debug  the same with KASAN, lockdep and kmemleak (make uml-debug)
#   debug      the same checkers in a virtual machine, with two CPUs, KCOV and lock
#              statistics (make debug)
#   kcsan      for a virtual machine, and watches for data races (make kcsan)
#
# --if-built only prints the folder, and fails when it is not built. That of a kernel
# for a virtual machine holds what kernels.sh has of Debian's.

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/source.sh"

configs=$NETVEIL_TOP/scripts/configs

usage() {
	say "usage: build-kernel.sh uml|uml-debug|debug|kcsan [--if-built]"
	exit 2
}

kmake() {
	make -C "$source" ARCH="$arch" O="$tree" "$@"
}

# User Mode Linux gives a process its FPU registers from a buffer of 2696 bytes, which
# the host refuses (EFAULT) where its CPU has more of them, as with AMX: init dies. The
# host wants a buffer of at least its own size, and takes zeros for what is not in use.
# (Mended in 6.13, which asks the host for the size.)
mend_registers() {
	local file=$source/arch/x86/um/os-Linux/registers.c

	! grep -q 'host_fp_size\|static char all' "$file" || return 0
	sed -i \
		-e '/^int restore_fp_registers/,/^}/{' \
		-e 's/^\tstruct iovec iov;/&\n\tstatic char all[16384];/' \
		-e 's/iov_base = fp_regs;/iov_base = __builtin_memcpy(all, fp_regs, FP_SIZE * sizeof(long));/' \
		-e 's/iov_len = .*/iov_len = sizeof(all);/' \
		-e '}' "$file"
	[ "$(grep -c 'static char all\|memcpy(all\|sizeof(all)' "$file")" -eq 3 ] ||
		die "$file is not what it was: look at mend_registers in scripts/build-kernel.sh"
}

configure() {
	[ "$arch" != um ] || with_lock "$NETVEIL_CACHE/lock/source" mend_registers
	mkdir -p "$tree"
	kmake "${base[@]}"
	(cd "$source" && ./scripts/kconfig/merge_config.sh -m -O "$tree" \
		"$tree/.config" "${fragments[@]}")
	kmake olddefconfig
}

compile() {
	kmake -j"$NETVEIL_JOBS" CC="ccache gcc" "${watched[@]}" "${targets[@]}"
	rm -rf "${modules:?}/lib"
	kmake INSTALL_MOD_PATH="$modules" modules_install
	rm -f "$modules"/lib/modules/*/{build,source}
}

# What vm-run.sh expects of a kernel, as kernels.sh lays it out.
place() {
	cp "$tree/arch/x86/boot/bzImage" "$build/vmlinuz"
	mkfs.erofs "$build/modules.erofs" "$build/lib/modules"
	kmake -s kernelrelease >"$build/release"
}

# An option that the kernel does not know, or that lacks what it depends on,
# vanishes without a word: name it.
check_config() {
	local line
	while read -r line; do
		case $line in
		*=n) grep -q "^${line%=n}=" "$tree/.config" || continue ;;
		CONFIG_*) ! grep -qxF "$line" "$tree/.config" || continue ;;
		*) continue ;;
		esac
		say "  note: $line of scripts/configs/ did not take effect"
	done < <(cat "${fragments[@]}")
}

build_all() {
	[ ! -s "$stamp" ] || return 0
	need_packages make gcc libc6-dev flex bison bc ccache libelf-dev kmod erofs-utils
	kernel_source >/dev/null
	rm -f "$stamp"
	step "configuring the $name kernel" configure
	check_config
	step "building the $name kernel ($duration the first time)" compile
	[ "$arch" = um ] || step "packing the $name kernel" place
	printf '%s\n' "$key" >"$stamp"
	drop_unused "${build%/*}"
}

choose() {
	local parts part
	case $1 in
	uml) parts="tests uml" ;;
	uml-debug) parts="tests uml debug uml-debug" ;;
	debug) parts="tests x86 debug x86-debug" ;;
	kcsan) parts="tests x86 kcsan" ;;
	*) usage ;;
	esac
	name=$1 watched=()
	# shellcheck disable=SC2016 # make's own
	[ "$name" != kcsan ] || watched=('KCSAN_SANITIZE=$(if $(filter net/%,$(obj)/),y,n)')
	fragments=()
	for part in $parts; do
		fragments+=("$configs/$part.config")
	done
	case $name in
	uml*)
		arch=um base=(defconfig) targets=(all)
		duration="5 to 15 minutes"
		;;
	*)
		arch=x86_64 base=(x86_64_defconfig kvm_guest.config) targets=(bzImage modules)
		duration="15 to 40 minutes"
		;;
	esac
}

main() {
	choose "${1:-}"
	source=$NETVEIL_CACHE/src/linux-source-$SOURCE_SERIES
	key=$(hash_of "$SOURCE_SERIES" "$(cat "${fragments[@]}")" "${watched[*]}" "$(declare -f mend_registers configure compile place)")
	build=$NETVEIL_CACHE/$name/$key
	tree=$build modules=$build/netveil-modules
	[ "$arch" = um ] || tree=$build/build modules=$build
	stamp=$tree/.netveil-key
	export CCACHE_DIR=$NETVEIL_CACHE/ccache
	export KBUILD_BUILD_TIMESTAMP=fixed KBUILD_BUILD_USER=netveil KBUILD_BUILD_HOST=netveil
	if [ ! -s "$stamp" ]; then
		case ${2:-} in
		'') with_lock "$NETVEIL_CACHE/lock/$name" build_all ;;
		--if-built) die "the $name kernel is not built: run 'make $name'" ;;
		*) usage ;;
		esac
	fi
	touch "$build"
	printf '%s\n' "$build"
}

main "$@"
