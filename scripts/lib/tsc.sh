# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The rate of the host's time stamp counter. Sourced after common.sh.

# Without KVM the guest reads the host's counter, and would find out its rate by
# an emulated timer. When the host is busy meanwhile it finds a wrong one (a
# seventh was seen), its clock runs too fast, and all that waits gives up too soon.
# So it is told. Measured once per boot of this machine.
tsc_khz() {
	local known dir
	known=$NETVEIL_CACHE/tsc-$(hash_of "$(cat /proc/sys/kernel/random/boot_id)")
	if [ ! -s "$known" ]; then
		need_packages gcc libc6-dev
		mkdir -p "$NETVEIL_CACHE"
		dir=$(mktemp -d)
		gcc -O2 -o "$dir/tsc-khz" "$NETVEIL_TOP/scripts/lib/tsc-khz.c"
		"$dir/tsc-khz" >"$dir/khz"
		mv "$dir/khz" "$known"
		rm -rf "$dir"
	fi
	cat "$known"
}
