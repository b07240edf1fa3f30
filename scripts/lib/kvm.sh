# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Is KVM there, and does it really run a kernel? Sourced after common.sh.

# kvm_works VMLINUZ: the device can exist and yet fail or hang at the first
# instruction, so a kernel has to get as far as missing its root. Asked once per
# boot of this machine.
kvm_works() {
	local known answer=no log
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || return 1
	known=$NETVEIL_CACHE/kvm-$(hash_of "$(cat /proc/sys/kernel/random/boot_id)")
	if [ ! -s "$known" ]; then
		say "  trying KVM (at most 8 s) ..."
		log=$(mktemp)
		(timeout -k 1 8 qemu-system-x86_64 -M q35 -accel kvm -cpu host -m 512 \
			-nodefaults -no-user-config -display none -no-reboot -kernel "$1" \
			-append 'console=ttyS0 panic=-1' -serial "file:$log" </dev/null || true) >/dev/null 2>&1
		! grep -aq 'VFS: Unable to mount root' "$log" || answer=yes
		rm -f "$NETVEIL_CACHE"/kvm-* "$log"
		echo "$answer" >"$known"
		say "  KVM works here: $answer"
	fi
	[ "$(cat "$known")" = yes ]
}
