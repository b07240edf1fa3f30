# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What QEMU has to be told of the machines that kernels are for, amd64 and arm64.
# Sourced after common.sh.

. "$NETVEIL_TOP/scripts/lib/kvm.sh"
. "$NETVEIL_TOP/scripts/lib/tsc.sh"

# need_qemu MACHINE
need_qemu() {
	case $1 in
	amd64) need_packages qemu-system-x86 ;;
	arm64) need_packages qemu-system-arm ;;
	esac
}

# qemu_machine MACHINE VMLINUZ: sets $qemu, its words, and $words, the kernel's. A guest
# writes what its command says to ttyS0, for which there is a chardev "out"; its
# console goes to a file. Asks for what vm-run.sh calls $run, $smp and $icount.
#
# Without KVM the guest's CPUs take turns on one thread: on threads of their own
# QEMU 7.2 now and then runs code that the kernel is patching on the other CPU
# (static keys), and the guest dies of "Oops: int3". The price: a second CPU that
# adds no speed.
qemu_machine() {
	emulated=(-accel 'tcg,thread=single')
	if [ -n "$icount" ]; then
		emulated+=(-icount 'shift=0,sleep=off' -smp 1)
	else
		emulated+=(-smp "$smp")
	fi
	"qemu_$1" "$2"
	# On a busy machine a guest may get no time for half a minute, which its kernel
	# would take for a lockup of its own (20 s) or a stall of RCU (21 s).
	words+=" watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120"
}

qemu_amd64() {
	qemu=(qemu-system-x86_64 -M q35 -serial chardev:out -serial "file:$run/console.log")
	words="console=ttyS1 tsc=reliable no_timer_check"
	if [ -n "$icount" ]; then
		qemu+=("${emulated[@]}" -cpu 'max,la57=off,erms=off')
	elif kvm_works "$1"; then
		qemu+=(-accel kvm -cpu host -smp "$smp")
	else
		qemu+=("${emulated[@]}" -cpu 'max,la57=off')
		words+=" tsc_early_khz=$(tsc_khz)"
	fi
}

# A CPU with instructions for AES, and none yet that sign pointers, which an emulator
# does in many steps.
qemu_arm64() {
	qemu=(qemu-system-aarch64 -M virt -cpu neoverse-n1 "${emulated[@]}"
		-serial "file:$run/console.log" -device 'pci-serial,chardev=out')
	words="console=ttyAMA0"
}
