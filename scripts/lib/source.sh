# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The kernel's source, of Debian's package. Sourced after common.sh.

SOURCE_SERIES=6.12

# Prints where it is unpacked.
kernel_source() {
	local source=$NETVEIL_CACHE/src/linux-source-$SOURCE_SERIES

	[ -f "$source/Makefile" ] ||
		with_lock "$NETVEIL_CACHE/lock/source" unpack_source "$source"
	printf '%s\n' "$source"
}

unpack_source() {
	local source=$1 tarball=/usr/src/linux-source-$SOURCE_SERIES.tar.xz

	[ ! -f "$source/Makefile" ] || return 0
	need_packages "linux-source-$SOURCE_SERIES" xz-utils
	rm -rf "$source.new"
	mkdir -p "$source.new"
	step "unpacking $tarball" tar -xf "$tarball" --strip-components=1 -C "$source.new"
	mv "$source.new" "$source"
}
