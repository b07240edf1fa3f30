#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make check-two-vms: two virtual machines joined by a virtio-net wire, Netveil
# between them with the devices' offloads in all combinations, and QEMU's own
# capture of the wire, which is judged last. KERNEL (6.12) is what both boot.

. "$(dirname "$0")/lib/common.sh"

kernel=${KERNEL:-6.12}
results=$NETVEIL_CACHE/results/two-vms
port=$((20000 + RANDOM % 20000))

boot() {
	"$NETVEIL_TOP/scripts/vm-run.sh" --kernel "$kernel" --smp 1 --timeout 1500 --wire "$2=$port" \
		--out "$results/$1" -- python3 tests/two-vms/virtio.py "$1"
}

listens() {
	ss -Hltn "sport = :$port" | grep -q .
}

wait_for_beta() {
	local tries=0
	until listens; do
		tries=$((tries + 1))
		[ "$tries" -lt 3000 ] || die "beta's machine did not come up: see $results/beta.log"
		sleep 0.2
	done
}

rm -rf "$results"
mkdir -p "$results"
rc=0
boot beta listen >"$results/beta.log" 2>&1 &
wait_for_beta
boot alpha connect || rc=$?
if ! wait $!; then
	say "beta's machine failed:"
	tail -n 30 "$results/beta.log" >&2
	rc=1
fi
python3 "$NETVEIL_TOP/tests/two-vms/judge.py" "$results"/{alpha,beta}/wire.pcap || rc=1
exit $rc
