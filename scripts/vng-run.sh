#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make check VM=virtme: runs a command of the test suite under virtme-ng, with
# this machine's own root and a kernel that is installed on it.
# usage: vng-run.sh --kernel RELEASE --stage DIR --out DIR -- COMMAND...
# as vm-run.sh, for /boot/vmlinuz-RELEASE

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/kvm.sh"

if [ $# -lt 8 ] || [ "$1 $3 $5 $7" != "--kernel --stage --out --" ]; then
	die "usage: vng-run.sh --kernel RELEASE --stage DIR --out DIR -- COMMAND..."
fi
release=$2 from=$4 out=$6
shift 7

image=/boot/vmlinuz-$release
[ -r "$image" ] ||
	die "$image is missing or not readable: name an installed kernel with KERNELS=RELEASE (see ls /boot)"

mkdir -p "$NETVEIL_CACHE/run" "$out"
out=$(realpath "$out")
stage=$(mktemp -d "$NETVEIL_CACHE/run/XXXXXX")
trap 'rm -rf "$stage"' EXIT
cp -r "$from/." "$stage/"
mkdir "$stage/out"
cat >"$stage/command" <<-END
	#!/bin/bash
	mkdir -p /run/netns
	cd $(printf %q "$stage")
	export PATH=\$PWD:/usr/sbin:/usr/bin:/sbin:/bin NETVEIL_OUT=\$PWD/out NETVEIL_KERNEL=$release NETVEIL_PATIENCE=4
	$([ -z "${NETVEIL_SEED:-}" ] || printf 'export NETVEIL_SEED=%q' "$NETVEIL_SEED")
	$(printf '%q ' "$@")
	echo \$? >out/rc
	dmesg >out/dmesg.log
END
chmod +x "$stage/command"

options=(--run "$image" --user root --memory 1G --cpus 2 --rwdir "$stage=$stage")
kvm_works "$image" || options+=(--disable-kvm)
vng "${options[@]}" --exec "$stage/command" </dev/null || true
[ -s "$stage/out/rc" ] || die "the guest died, or vng did not start it: see above"
cp -r "$stage/out/." "$out/"
"$NETVEIL_TOP/tests/lib/splat-scan.sh" "$out/dmesg.log" || exit 126
exit "$(cat "$out/rc")"
