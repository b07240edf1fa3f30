#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes the one root image that every test guest boots, whatever its kernel: a
# Debian minbase with the packages of scripts/root-packages, without
# documentation, packed as erofs. Prints its folder: tree/ and root.erofs.
# Built again only when the list or this script changes.

. "$(dirname "$0")/lib/common.sh"

SUITE=trixie
list=$NETVEIL_TOP/scripts/root-packages

packages() {
	grep -v '^#' "$list" | paste -sd ,
}

bootstrap() {
	as_root debootstrap --variant=minbase --include="$(packages)" \
		--keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		"$SUITE" "$root.new/tree" "$(mirror_of "$SUITE")"
}

# What a test never reads, but each boot would carry.
strip_tree() {
	local tree=$root.new/tree
	as_root rm -rf "$tree"/usr/share/{doc,man,locale,info,i18n,perl,zoneinfo} \
		"$tree"/var/cache/* "$tree"/var/lib/apt/lists/* "$tree"/var/log/* \
		"$tree"/usr/lib/x86_64-linux-gnu/{perl,gconv} "$tree"/usr/share/perl5
	as_root mkdir -p "$tree/usr/lib/modules" "$tree/netveil"
	echo netveil | as_root tee "$tree/etc/hostname" >/dev/null
	printf '127.0.0.1 localhost netveil\n::1 localhost\n' |
		as_root tee "$tree/etc/hosts" >/dev/null
}

# Uncompressed: it lives in the page cache, and an emulated CPU unpacks slowly.
pack() {
	as_root mkfs.erofs "$root.new/root.erofs" "$root.new/tree"
	as_root chmod a+r "$root.new/root.erofs"
}

build() {
	[ ! -s "$root/root.erofs" ] || return 0
	need_packages debootstrap erofs-utils debian-archive-keyring
	as_root rm -rf "$root.new"
	mkdir -p "$root.new"
	step "bootstrapping the guest's root with $(grep -vc '^#' "$list") packages (about 2 minutes)" \
		bootstrap
	step "stripping the guest's root" strip_tree
	step "packing the guest's root" pack
	as_root rm -rf "$root"
	mv "$root.new" "$root"
	drop_unused "$NETVEIL_CACHE/root"
}

key=$(hash_of "$SUITE" "$(packages)" "$(declare -f strip_tree pack)")
root=$NETVEIL_CACHE/root/$key
[ -s "$root/root.erofs" ] || with_lock "$NETVEIL_CACHE/lock/root" build
touch "$root"
printf '%s\n' "$root"
