#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes the one root image that every test guest of a machine boots, whatever its
# kernel: a Debian minbase with the packages of scripts/root-packages, without
# documentation, packed as erofs. Prints its folder: tree/ and root.erofs.
# Built again only when the list or this script changes.
#
#   root-image.sh [amd64|arm64]    arm64's has what veil is compiled against as well

. "$(dirname "$0")/lib/common.sh"

SUITE=trixie
list=$NETVEIL_TOP/scripts/root-packages
machine=${1:-amd64}
case $machine in
amd64) more=() ;;
arm64) more=(libc6-dev libjson-c-dev libmnl-dev libsodium-dev) ;;
*) die "there is no root for $machine: it takes amd64 or arm64" ;;
esac

packages() {
	{
		grep -v '^#' "$list"
		[ ${#more[@]} -eq 0 ] || printf '%s\n' "${more[@]}"
	} | paste -sd ,
}

# bootstrap [--foreign]
bootstrap() {
	as_root debootstrap "$@" --arch="$machine" --variant=minbase --include="$(packages)" \
		--keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		"$SUITE" "$root.new/tree" "$(mirror_of "$SUITE")"
}

# No program of another machine runs here, and so none of its packages is installed:
# they are unpacked. What their scripts would have made is in /etc, or a link to there or
# to /run, and is the same on amd64.
bootstrap_foreign() {
	local tree=$root.new/tree like deb
	bootstrap --foreign
	for deb in "$tree"/var/cache/apt/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | as_root tar -C "$tree" --keep-directory-symlink -xf -
	done
	like=$("$NETVEIL_TOP/scripts/root-image.sh" amd64)/tree
	(cd "$like" && find usr var -lname '/etc/alternatives/*' -o -lname '/run*') |
		as_root tar -C "$like" --exclude=etc/ld.so.cache -cf - -T - etc | as_root tar -C "$tree" -xf -
	# a link, until debootstrap's second stage
	as_root rm -rf "$tree/debootstrap" "$tree/proc"
	as_root mkdir "$tree/proc"
}

# What a test never reads, but each boot would carry.
strip_tree() {
	local tree=$root.new/tree
	as_root rm -rf "$tree"/usr/share/{doc,man,locale,info,i18n,perl,zoneinfo} \
		"$tree"/var/cache/* "$tree"/var/lib/apt/lists/* "$tree"/var/log/* \
		"$tree"/usr/lib/*-linux-gnu/{perl,gconv} "$tree"/usr/share/perl5
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
		"bootstrap$([ "$machine" = amd64 ] || echo _foreign)"
	step "stripping the guest's root" strip_tree
	step "packing the guest's root" pack
	as_root rm -rf "$root"
	mv "$root.new" "$root"
	drop_unused "$NETVEIL_CACHE/root"
}

key=$(hash_of "$SUITE" "$machine" "$(packages)" "$(declare -f bootstrap_foreign strip_tree pack)")
root=$NETVEIL_CACHE/root/$key
[ -s "$root/root.erofs" ] || with_lock "$NETVEIL_CACHE/lock/root-$machine" build
touch "$root"
printf '%s\n' "$root"
