#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make demo: in a VM with a Debian kernel, two hosts joined by a wire with a tap
# on it; shows what the tap sees of the same traffic before and after Netveil
# protects it, and fails when a byte of it can be read afterwards. The last line
# is the verdict.
# KERNEL=6.1 (or uml) takes another kernel; the captures stay in the cache.

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/machine.sh"
. "$(dirname "$0")/lib/stage.sh"

kernel=${KERNEL:-6.12}
out=$NETVEIL_CACHE/demo

say "Preparing (the first time this fetches packages, a kernel and the guest's root)"
need_packages make gcc libc6-dev libmnl-dev libjson-c-dev libsodium-dev
case $kernel in
uml*) ;;
*)
	need_qemu "$(machine_of "$kernel")"
	"$NETVEIL_TOP/scripts/kernels.sh" get "$kernel" >/dev/null
	;;
esac
"$NETVEIL_TOP/scripts/root-image.sh" "$(machine_of "$kernel")" >/dev/null
step "building veil" build_tools "$kernel"
step "building netveil.ko for kernel $kernel" "$NETVEIL_TOP/scripts/build-module.sh" "$kernel"
say "Booting a VM with kernel $kernel (5 to 10 s without KVM); captures go to $out"
rm -rf "$out"
rc=0
"$NETVEIL_TOP/scripts/vm-run.sh" --kernel "$kernel" --no-build --timeout 180 --out "$out" -- \
	scripts/demo-guest.sh || rc=$?
# The guest has said its own verdict, unless it is the VM that failed.
if [ "$rc" -gt 1 ]; then
	echo "VERDICT: FAIL - the VM run ended with exit code $rc; see above."
fi
exit "$rc"
