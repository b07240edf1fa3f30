#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes the root image of make check-servers: as root-image.sh's, with the packages
# of tests/servers/packages as well. Prints its folder.

. "$(dirname "$0")/lib/common.sh"

SUITE=trixie
lists=("$NETVEIL_TOP/scripts/root-packages" "$NETVEIL_TOP/tests/servers/packages")

packages() {
	cat "${lists[@]}" | grep -v '^#'
}

# By apt, since these want more of it than debootstrap has; nothing is started.
bootstrap() {
	local tree=$root.new/tree
	as_root debootstrap --variant=minbase \
		--keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		"$SUITE" "$tree" "$(mirror_of "$SUITE")"
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$tree/usr/sbin/policy-rc.d" >/dev/null
	as_root chmod 755 "$tree/usr/sbin/policy-rc.d"
	packages | as_root xargs chroot "$tree" env DEBIAN_FRONTEND=noninteractive \
		apt-get -qy --no-install-recommends install
}

strip_tree() {
	local tree=$root.new/tree
	as_root rm -rf "$tree"/usr/share/{doc,man,locale,info} "$tree"/var/cache/* \
		"$tree"/var/lib/apt/lists/* "$tree"/var/log/*
	as_root mkdir -p "$tree/usr/lib/modules" "$tree/netveil"
	printf '127.0.0.1 localhost netveil\n::1 localhost\n' |
		as_root tee "$tree/etc/hosts" >/dev/null
}

pack() {
	as_root mkfs.erofs "$root.new/root.erofs" "$root.new/tree"
	as_root chmod a+r "$root.new/root.erofs"
}

build() {
	[ ! -s "$root/root.erofs" ] || return 0
	need_packages debootstrap erofs-utils debian-archive-keyring
	as_root rm -rf "$root.new"
	mkdir -p "$root.new"
	step "bootstrapping a root with servers (about 3 minutes)" bootstrap
	step "stripping it" strip_tree
	step "packing it" pack
	mv "$root.new" "$root"
	drop_unused "$NETVEIL_CACHE/servers-root"
}

root=$NETVEIL_CACHE/servers-root/$(hash_of "$SUITE" "$(cat "${lists[@]}")")
with_lock "$NETVEIL_CACHE/lock/servers-root" build
touch "$root"
printf '%s\n' "$root"
