#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes what the two machines of make check-install boot: a Debian 12 as its
# installer leaves it, with systemd and Debian's kernel, on a disk; beside it the
# kernel and its initrd. What apt will be asked for is in apt's cache there, since
# these machines have no way to the archive; none of it is installed. Prints its folder.
#
#   install-image.sh PACKAGE.deb...

. "$(dirname "$0")/lib/common.sh"

SUITE=bookworm
DISK=6G
FRESH=(linux-image-amd64 zstd openssh-server curl)
# What the README's apt commands name beside our packages.
WANTED=(linux-headers-amd64 prometheus-node-exporter)
[ $# -gt 0 ] || die "usage: install-image.sh PACKAGE.deb..."

inside() {
	as_root chroot "$tree" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"
}

# Nothing is started in the chroot, and in the machine everything is.
bootstrap() {
	local suite
	as_root debootstrap --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		"$SUITE" "$tree" "$(mirror_of "$SUITE")"
	for suite in "$SUITE" "$SUITE-updates" "$SUITE-security"; do
		echo "deb $(mirror_of "$suite") $suite main"
	done | as_root tee "$tree/etc/apt/sources.list" >/dev/null
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$tree/usr/sbin/policy-rc.d" >/dev/null
	as_root chmod 755 "$tree/usr/sbin/policy-rc.d"
	# An emulated CPU unpacks slowly: a small initrd.
	as_root mkdir -p "$tree/etc/initramfs-tools/conf.d"
	printf 'MODULES=list\nCOMPRESS=zstd\n' | as_root tee "$tree/etc/initramfs-tools/conf.d/small" >/dev/null
	printf '%s\n' virtio_pci virtio_blk ext4 | as_root tee "$tree/etc/initramfs-tools/modules" >/dev/null
	inside apt-get -q update
	inside apt-get -qy dist-upgrade
	inside apt-get -qy install "${FRESH[@]}"
	inside apt-get clean
	# What is on the disk is gone with the machine.
	echo force-unsafe-io | as_root tee "$tree/etc/dpkg/dpkg.cfg.d/unsafe-io" >/dev/null
	as_root rm "$tree/usr/sbin/policy-rc.d"
}

fill_cache() {
	as_root cp "$@" "$tree/tmp/"
	as_root mount -t proc proc "$tree/proc"
	inside sh -c "apt-get -qy --download-only install /tmp/*.deb ${WANTED[*]}"
	as_root umount "$tree/proc"
	as_root rm -f "$tree"/tmp/*.deb
}

# root's shell on the second serial port is the console; apt's question is answered
# with yes; without an archive its lists do not get old; and where the host is busy
# systemd waits longer for an emulated machine's devices.
furnish() {
	local unit=$tree/etc/systemd/system/serial-getty@ttyS1.service.d
	as_root mkdir -p "$unit"
	printf '[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 %%I dumb\n' |
		as_root tee "$unit/root.conf" >/dev/null
	as_root ln -sf /lib/systemd/system/serial-getty@.service \
		"$tree/etc/systemd/system/getty.target.wants/serial-getty@ttyS1.service"
	printf '%s "%s";\n' APT::Get::Assume-Yes true \
		Binary::apt::DPkg::Progress-Fancy 0 | as_root tee "$tree/etc/apt/apt.conf.d/90yes" >/dev/null
	as_root rm -f "$tree/etc/systemd/system/timers.target.wants"/{apt-daily,man-db,e2scrub}*
	as_root mkdir -p "$tree/etc/systemd/system.conf.d"
	printf '[Manager]\nDefaultTimeoutStartSec=15min\nDefaultDeviceTimeoutSec=15min\n' |
		as_root tee "$tree/etc/systemd/system.conf.d/patient.conf" >/dev/null
	echo '/dev/vda / ext4 defaults 0 1' | as_root tee "$tree/etc/fstab" >/dev/null
	: | as_root tee "$tree/etc/machine-id" >/dev/null
}

pack() {
	as_root cp "$tree"/boot/vmlinuz-* "$root.new/vmlinuz"
	as_root cp "$tree"/boot/initrd.img-* "$root.new/initrd"
	as_root mkfs.ext4 -q -d "$tree" "$root.new/disk" "$DISK"
	as_root chmod a+r "$root.new"/{vmlinuz,initrd,disk}
	as_root rm -rf "$tree"
}

build() {
	[ ! -s "$root/disk" ] || return 0
	need_packages debootstrap debian-archive-keyring e2fsprogs
	as_root rm -rf "$root.new"
	mkdir -p "$root.new"
	step "bootstrapping a fresh Debian $SUITE (about 3 minutes)" bootstrap
	step "fetching what apt will be asked for" fill_cache "$@"
	step "making its disk" eval "furnish && pack"
	mv "$root.new" "$root"
	drop_unused "$NETVEIL_CACHE/install-root"
}

root=$NETVEIL_CACHE/install-root/$(hash_of "$(cat "$0" "$NETVEIL_TOP/scripts/packaging/debian/control")")
tree=$root.new/tree
with_lock "$NETVEIL_CACHE/lock/install-root" build "$@"
touch "$root"
printf '%s\n' "$root"
