#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make check-install: what the README tells a new user, typed at the consoles of two
# fresh Debian 12 machines that a wire joins, from apt install to a reboot; QEMU's
# capture of the wire is judged (tests/install). KTAP on standard output.
#
# An emulated CPU compiles slowly. So the README's apt command has run before in a
# chroot on the machines' disk, and finds all done when it is typed; with FRESH=yes
# it has not, and DKMS builds in both machines.

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/kvm.sh"
. "$(dirname "$0")/lib/tsc.sh"

results=$NETVEIL_CACHE/results/install
version=$(sed -n 's/.*VEIL_VERSION[^"]*"\(.*\)"/\1/p' "$NETVEIL_TOP/kmod/version.h")
newer=$version+1

# What a user copies to the machines: the packages, and later those of an upgrade.
make_payload() {
	local stage=$results/stage
	mkdir -p "$stage/new"
	"$NETVEIL_TOP/scripts/packaging/deb.sh" "$newer" >&2
	mv "$NETVEIL_TOP"/netveil-*_"$newer"_*.deb "$stage/new/"
	"$NETVEIL_TOP/scripts/packaging/deb.sh" >&2
	cp "$NETVEIL_TOP"/netveil-*_"$version"_*.deb "$stage/"
	tar -C "$stage" --owner=0 --group=0 -cf "$results/payload.tar" .
	truncate -s %4096 "$results/payload.tar"
}

# The README's first line is apt's. In a chroot uname would tell of this kernel.
prepare_disk() {
	cp --sparse=always "$image/disk" "$results/disk"
	mkdir "$results/mount"
	# shellcheck disable=SC2016 # expanded by the inner shells
	as_root unshare --mount bash -euc '
		tree=$2
		mount -o loop "$1" "$tree"
		mount -t proc proc "$tree/proc"
		mount --bind /dev "$tree/dev"
		cp "$3"/*.deb "$tree/root/"
		printf "#!/bin/sh\nexit 101\n" >"$tree/usr/sbin/policy-rc.d"
		chmod 755 "$tree/usr/sbin/policy-rc.d"
		chroot "$tree" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 bash -ec "
			uname() { echo $(ls "$tree/lib/modules"); }
			cd /root
			$4"
		rm "$tree/usr/sbin/policy-rc.d"
		umount "$tree/dev" "$tree/proc" "$tree"
	' prepare "$results/disk" "$results/mount" "$results/stage" \
		"$(python3 "$NETVEIL_TOP/tests/install/readme.py" | head -n 1)"
}

# The disk is not written to: what the machines write lives as long as they do.
qemu_words() {
	local clock='' accel words
	if kvm_works "$image/vmlinuz"; then
		accel=(-accel kvm -cpu host)
	else
		accel=(-accel 'tcg,thread=single' -cpu 'max,la57=off')
		clock="tsc_early_khz=$(tsc_khz)"
	fi
	words="root=/dev/vda rw console=ttyS0 quiet loglevel=5 oops=panic net.ifnames=0"
	words+=" mitigations=off tsc=reliable no_timer_check random.trust_cpu=on $clock"
	# Where the host is busy a machine may stand still for long.
	words+=" rcupdate.rcu_cpu_stall_suppress=1"
	qemu=(qemu-system-x86_64 -M q35 -nodefaults -no-user-config -display none "${accel[@]}"
		-smp 1 -m 1536 -kernel "$image/vmlinuz" -initrd "$image/initrd" -append "$words"
		-drive "file=$disk,if=virtio,format=raw,snapshot=on,cache=unsafe"
		-drive "file=$results/payload.tar,if=virtio,format=raw,readonly=on")
}

need_packages qemu-system-x86 python3
rm -rf "$results"
mkdir -p "$results"
make_payload
image=$("$NETVEIL_TOP/scripts/install-image.sh" "$results"/stage/netveil-*.deb)
disk=$image/disk
if [ "${FRESH:-}" != yes ]; then
	disk=$results/disk
	step "installing the packages on the machines' disk, as the README says" prepare_disk
fi
qemu_words
export FRESH=${FRESH:-no}
export TMPDIR=$results
exec python3 "$NETVEIL_TOP/tests/install/install.py" "$results" "$version" "$newer" "${qemu[@]}"
