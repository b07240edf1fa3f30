#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boots a kernel in a virtual machine with netveil.ko for it, veil and tests/ at
# /netveil, runs a command there as root, streams its output and returns its exit
# code. Fails as well when the guest hangs, dies or logs a kernel splat.

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/machine.sh"
. "$(dirname "$0")/lib/stage.sh"

usage() {
	cat >&2 <<-END
	usage: vm-run.sh [OPTION]... [--] [COMMAND [ARGUMENT]...]

	  --kernel K    6.1, 6.12 (any series that Debian has), 6.12-rt, 6.12-arm64,
	                uml, uml-debug, debug, kcsan; default 6.12
	  --icount      guest time counts instructions, and idle time passes at once
	  --smp N       CPUs (2; UML and --icount have 1)
	  --mem M       memory in MiB (1024)
	  --timeout S   seconds until the guest counts as hung (300; 0 for no limit)
	  --shell       COMMAND (default: bash) gets this terminal
	  --out DIR     put what the guest leaves in /netveil/out there, and the logs
	  --wire W      join two guests (not UML): listen=PORT in one, connect=PORT in
	                the other; what crosses is captured in --out's wire.pcap
	  --no-module   boot without building netveil.ko and veil
	  --no-build    use netveil.ko and veil as they were built last
	  --stage DIR   the guest's /netveil is a copy of that folder
	  --qemu WORDS  further words for QEMU
	  --append WORDS further words for the kernel
	  --plugin FILE a plugin for QEMU, told console=FILE and out=FILE: the kernel's
	                console, and what comes to --out as plugin.out
	END
	exit 2
}

parse_args() {
	kernel=6.12 icount='' smp=2 mem=1024 timeout=300 shell='' out='' module=build stage='' wire='' plugin='' more=() append=()
	while [ $# -gt 0 ]; do
		case $1 in
		--kernel) kernel=${2:?} && shift ;;
		--smp) smp=${2:?} && shift ;;
		--mem) mem=${2:?} && shift ;;
		--timeout) timeout=${2:?} && shift ;;
		--out) out=${2:?} && shift ;;
		--wire) wire=${2:?} && shift ;;
		--stage) stage=${2:?} && shift ;;
		--qemu) read -ra more <<<"${2:?}" && shift ;;
		--append) read -ra words <<<"${2:?}" && append+=("${words[@]}") && shift ;;
		--plugin) plugin=${2:?} && shift ;;
		--icount) icount=y ;;
		--shell) shell=y timeout=0 ;;
		--no-module) module= ;;
		--no-build) module=last ;;
		--) shift && break ;;
		-*) usage ;;
		*) break ;;
		esac
		shift
	done
	command=("$@")
	if [ ${#command[@]} -eq 0 ]; then
		[ -n "$shell" ] || usage
		command=(bash -l)
	fi
	if [ -n "$shell" ] && [ ! -t 0 ]; then
		die "--shell needs a terminal on standard input"
	fi
}

is_uml() {
	[[ $kernel == uml* ]]
}

### what the guest gets ###

find_kernel() {
	case $kernel in
	uml | uml-debug | debug | kcsan) build=$("$NETVEIL_TOP/scripts/build-kernel.sh" "$kernel" --if-built) ;;
	*) build=$("$NETVEIL_TOP/scripts/kernels.sh" get "$kernel") ;;
	esac
}

# The kernel's modules and their dependencies, in the order insmod wants them.
initrd_modules() {
	local release module
	: >"$run/initrd/modules/order"
	! is_uml || return 0
	release=$(cat "$build/release")
	for module in virtio_pci virtio_blk erofs overlay; do
		modprobe -d "$build" -S "$release" --show-depends "$module"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
		while read -r module; do
			cp "$module" "$run/initrd/modules/"
			echo "${module##*/}" >>"$run/initrd/modules/order"
		done
}

make_initrd() {
	mkdir -p "$run"/initrd/{bin,modules}
	cp "$root/tree/usr/bin/busybox" "$run/initrd/bin/busybox"
	cp "$NETVEIL_TOP/scripts/guest/initrd-init" "$run/initrd/init"
	initrd_modules
	(cd "$run/initrd" && find . | cpio -o -H newc --quiet -R 0:0) >"$run/initrd.cpio"
}

make_payload() {
	mkdir -p "$run/stage/.run"
	if [ -n "$stage" ]; then
		cp -r "$stage/." "$run/stage/"
	else
		[ -z "$module" ] || stage_built "$run/stage" "$kernel" "$module"
		stage_sources "$run/stage" "$kernel"
	fi
	printf '%q ' "${command[@]}" >"$run/stage/.run/command"
	{
		echo "NETVEIL_SHELL=$shell"
		echo "NETVEIL_TTY=$1"
		echo "export NETVEIL_KERNEL=$kernel NETVEIL_ICOUNT=$icount NETVEIL_PATIENCE=$patience"
		[ -z "${NETVEIL_SEED:-}" ] || printf 'export NETVEIL_SEED=%q\n' "$NETVEIL_SEED"
		printf 'NETVEIL_TERM=%q\n' "${TERM:-dumb}"
		read -r rows cols < <(stty size 2>/dev/null || echo 24 80)
		printf 'NETVEIL_ROWS=%s NETVEIL_COLS=%s\n' "$rows" "$cols"
	} >"$run/stage/.run/env"
	tar -C "$run/stage" --owner=0 --group=0 -cf "$run/payload.tar" .
	truncate -s %4096 "$run/payload.tar"
	truncate -s 512M "$run/result.raw"
}

### booting it ###

# How many times longer than it states a test may take: where the guest's clock
# is the host's, it runs on while the host does other work.
choose_patience() {
	patience=4
	[ -z "$icount" ] || patience=1
}

qemu_drive() {
	printf '%s\n' -drive "file=$1,if=virtio,format=raw,cache=unsafe${2:+,$2}"
}

qemu_command() {
	local drives qemu words
	need_qemu "$machine"
	qemu_machine "$machine" "$build/vmlinuz"
	mapfile -t drives < <(
		qemu_drive "$root/root.erofs" readonly=on
		qemu_drive "$build/modules.erofs" readonly=on
		qemu_drive "$run/payload.tar" readonly=on
		qemu_drive "$run/result.raw"
	)
	words+=" loglevel=5 panic=-1 oops=panic mitigations=off random.trust_cpu=on ${append[*]}"
	vm=("${qemu[@]}" -nodefaults -no-user-config -display none -no-reboot
		-kernel "$build/vmlinuz" -initrd "$run/initrd.cpio" -m "$mem" "${drives[@]}" -append "$words"
		-chardev "stdio,id=out,signal=$([ -z "$shell" ] && echo on || echo off)" "${more[@]}")
	mkdir -p "$run/out"
	[ -z "$wire" ] ||
		vm+=(-netdev "socket,id=wire,${wire%%=*}=127.0.0.1:${wire#*=}"
			-device "virtio-net-pci,netdev=wire"
			-object "filter-dump,id=tap,netdev=wire,maxlen=262144,file=$run/wire.pcap")
	[ -z "$plugin" ] || vm+=(-plugin "$plugin,console=$run/console.log,out=$run/out/plugin.out")
}

uml_command() {
	local in=null
	[ -z "$shell" ] || in=fd:0
	vm=("$build/linux" "mem=${mem}M" "initrd=$run/initrd.cpio" "uml_dir=$run" umid=vm
		"hostfs=$NETVEIL_CACHE" "netveil.run=${run#"$NETVEIL_CACHE/"}"
		"netveil.root=${root#"$NETVEIL_CACHE/"}/tree"
		"netveil.modules=${build#"$NETVEIL_CACHE/"}/netveil-modules/lib/modules" "con0=$in,fd:1" con=null "ssl0=null,fd:3" ssl=null
		console=ttyS0 loglevel=5 panic=-1 oops=panic random.trust_cpu=on
		printk.time=1 kasan_multi_shot "${append[@]}")
	[ -z "$icount" ] || vm+=(time-travel)
}

boot() {
	local limit=()
	[ "$timeout" -eq 0 ] || limit=(timeout --foreground -k 5 "$timeout")
	if [ -n "$shell" ]; then
		"${vm[@]}" 3>>"$run/console.log" 2>"$run/vm.err"
	else
		"${limit[@]}" "${vm[@]}" </dev/null 3>>"$run/console.log" 2>"$run/vm.err"
	fi
}

### judging it ###

console_tail() {
	say "--- the last lines of the guest's kernel console ---"
	tail -n 40 "$run/console.log" | tr -d '\r' >&2
	if ! is_uml && [ -s "$run/vm.err" ]; then
		say "--- what the virtual machine itself said ---"
		tail -n 10 "$run/vm.err" >&2
	fi
	say "---"
}

unpack_results() {
	local header
	mkdir -p "$run/out"
	header=$(head -c 40 "$run/result.raw" | tr -d '\0')
	case $header in
	rc=*\ stored=*)
		rc=${header#rc=}
		rc=${rc%% *}
		;;
	*) return 1 ;;
	esac
	[ "${header##*=}" = yes ] || say "vm-run.sh: what the guest left in /netveil/out did not fit on its results disk of 512 MiB"
	tail -c +4097 "$run/result.raw" 2>/dev/null |
		tar -C "$run/out" --no-same-owner -xf - 2>/dev/null || true
}

keep_results() {
	[ -n "$out" ] || return 0
	mkdir -p "$out"
	cp -r "$run/out/." "$out/"
	cp "$run/console.log" "$out/console.log"
	[ -z "$wire" ] || cp "$run/wire.pcap" "$out/wire.pcap"
}

judge() {
	local status=$1
	rc=0
	if ! unpack_results; then
		if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
			say "vm-run.sh: the guest did not finish within $timeout s (--timeout)"
			rc=124
		else
			say "vm-run.sh: the guest died before its command ended (virtual machine: exit code $status)"
			rc=125
		fi
		console_tail
	fi
	keep_results
	if ! "$NETVEIL_TOP/tests/lib/splat-scan.sh" "$run/console.log" "$run/out/dmesg.log" >&2; then
		say "vm-run.sh: the guest's kernel log is not clean"
		[ "$rc" -ne 0 ] || rc=126
	fi
	return "$rc"
}

clean_up() {
	[ -z "$saved_tty" ] || stty "$saved_tty"
	rm -rf "$run"
}

main() {
	local status=0 tty=/dev/ttyS0
	parse_args "$@"
	need_packages cpio kmod
	find_kernel
	machine=$(machine_of "$kernel")
	root=${NETVEIL_ROOT:-$("$NETVEIL_TOP/scripts/root-image.sh" "$machine")}
	mkdir -p "$NETVEIL_CACHE/run"
	run=$(mktemp -d "$NETVEIL_CACHE/run/XXXXXX")
	saved_tty=
	[ -z "$shell" ] || saved_tty=$(stty -g)
	trap clean_up EXIT
	trap 'exit 130' INT TERM
	! is_uml || tty=/dev/tty0
	: >"$run/console.log"
	choose_patience
	make_initrd
	make_payload "$tty"
	if is_uml; then
		uml_command
	else
		qemu_command
	fi
	boot || status=$?
	judge "$status"
}

main "$@"
