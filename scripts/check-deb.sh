#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make check-deb: the packages in a fresh Debian, as a user meets them: installed,
# a further kernel's headers installed, upgraded, removed. KTAP on standard output.
# SUITE=bookworm takes another release. What is slow to fetch stays in the cache.

. "$(dirname "$0")/lib/common.sh"

suite=${SUITE:-trixie}
base=$NETVEIL_CACHE/deb-root/$suite
root=$NETVEIL_CACHE/deb-root/$suite.run
log=$NETVEIL_CACHE/deb-root/$suite.log

bootstrap() {
	as_root debootstrap --variant=minbase --include=systemd,kmod,ca-certificates \
		--keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
		"$suite" "$base.new" "$(mirror_of "$suite")"
	# Nothing is started: whoever asks gets a no.
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$base.new/usr/sbin/policy-rc.d" >/dev/null
	as_root chmod 755 "$base.new/usr/sbin/policy-rc.d"
	as_root chroot "$base.new" env DEBIAN_FRONTEND=noninteractive \
		apt-get -qy --no-install-recommends install dkms linux-headers-cloud-amd64
	as_root mv "$base.new" "$base"
}

# All below runs as root in a mount namespace of its own, where $root is a copy of
# $base that is forgotten at the end.
set_up() {
	mkdir -p "$root"
	mount -t tmpfs tmpfs "$root"
	mkdir "$root/upper" "$root/work" "$root/tree"
	mount -t overlay -o "lowerdir=$base,upperdir=$root/upper,workdir=$root/work" overlay "$root/tree"
	mount -t proc proc "$root/tree/proc"
	mount --rbind /dev "$root/tree/dev"
	cp /etc/resolv.conf "$root/tree/etc/resolv.conf" 2>/dev/null || true
	cp "$@" "$root/tree/root"
	run_first_kernel
}

# The kernel that is there at first is the one that runs, and the newest installed.
run_first_kernel() {
	local kernel
	kernel=$(kernels)
	mkdir -p "$root/tree/usr/local/bin" "$root/tree/boot"
	runs "$kernel"
	touch "$root/tree/boot/config-$kernel"
}

inside() {
	chroot "$root/tree" env DEBIAN_FRONTEND=noninteractive PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		LC_ALL=C.UTF-8 "$@"
}

apt() {
	inside apt-get -qy --no-install-recommends "$@"
}

# files FILE: all that there is, but for what packages of all kinds leave, and the
# key to sign with that DKMS makes with its first module.
files() {
	(cd "$root/tree" && find . -xdev \( -path ./proc -o -path ./dev -o -path ./run -o -path ./var/cache \
		-o -path ./var/log -o -path ./var/lib/dpkg -o -path ./var/lib/apt \
		-o -path ./root -o -path ./tmp -o -path './lib/modules/*/modules.*' \
		-o -path './usr/lib/modules/*/modules.*' -o -path './var/lib/dkms/mok.*' \) -prune -o -print | sort) >"$1"
}

kernels() {
	inside sh -c 'ls -d /lib/modules/*/build/Makefile | cut -d / -f 4'
}

# built VERSION: for every kernel that has headers here, and no other version is.
built() {
	local kernel status
	status=$(inside dkms status netveil)
	echo "$status"
	for kernel in $(kernels); do
		grep "netveil/$1, $kernel, .*: installed" <<<"$status" || return
		inside modinfo -k "$kernel" -F description netveil || return
	done
	[ "$(wc -l <<<"$status")" -eq "$(kernels | wc -l)" ]
}

enabled() {
	inside systemctl is-enabled netveil.service &&
		! inside systemctl is-enabled netveil-metrics.timer &&
		[ -L "$root/tree/etc/systemd/system/sysinit.target.wants/netveil.service" ]
}

# systemd's own judgement of the unit, without a running system.
unit_is_sound() {
	inside systemd-analyze verify --man=no netveil.service netveil-metrics.timer \
		netveil-metrics.service
}

exposed_little() {
	local unit level
	for unit in netveil netveil-metrics; do
		level=$(inside systemd-analyze security --offline=yes "$unit.service" |
			sed -n 's/.*exposure level for .*: \([0-9.]*\).*/\1/p')
		echo "exposure of $unit: $level"
		awk -v level="$level" 'BEGIN { exit !(level != "" && level < 2.5) }' || return
	done
}

works() {
	inside veil version | grep -qxF "veil $1" && inside veil help >/dev/null &&
		[ "$(inside stat -c %a /etc/netveil)" = 700 ] &&
		inside veil genkey | inside veil pubkey
}

# Whoever would take protection away is written down instead.
watch_tools() {
	local tool
	for tool in rmmod modprobe; do
		rm -f "$root/tree/usr/sbin/$tool"
		printf '#!/bin/sh\necho "%s $*" >>/root/called\n' "$tool" >"$root/tree/usr/sbin/$tool"
		chmod 755 "$root/tree/usr/sbin/$tool"
	done
	: >"$root/tree/root/called"
	echo "set listen-port 4000" >"$root/tree/etc/netveil/mine.conf"
}

nothing_taken_away() {
	cat "$root/tree/root/called"
	! grep -qE 'rmmod|-r' "$root/tree/root/called" && [ -s "$root/tree/etc/netveil/mine.conf" ]
}

upgrade() {
	watch_tools
	apt install "/root/netveil-dkms_${newer}_all.deb" "/root/netveil-tools_${newer}_amd64.deb"
}

# made_anew VERSION: what netveil-secure-boot advises for a module without signature.
made_anew() {
	find "$root/tree/lib/modules/" "$root/tree/usr/lib/modules" -name 'netveil.ko*' -delete
	! built "$1" && inside dpkg-reconfigure netveil-dkms && built "$1"
}

# runs KERNEL: by what uname says.
runs() {
	cat >"$root/tree/usr/local/bin/uname" <<-END
		#!/bin/sh
		[ "\$*" = -r ] && echo $1 || exec /usr/bin/uname "\$@"
	END
	chmod 755 "$root/tree/usr/local/bin/uname"
}

# An upgrade while a kernel runs for which the module cannot be built; the headers of
# another one went before it.
upgrade_in_vain() {
	local kernel
	kernel=$(kernels | head -n 1)
	mkdir -p "$root/tree/lib/modules/0.0-broken/build/include" "$root/tree/lib/modules/0.0-bare"
	touch "$root/tree/lib/modules/0.0-bare/modules.builtin"
	runs 0.0-broken
	! upgrade >"$root/said" 2>&1 && built "$newer"
	local result=$?
	cat "$root/said"
	rm -r "$root/tree/lib/modules/0.0-broken" "$root/tree/lib/modules/0.0-bare"
	runs "$kernel"
	return $result
}

# Of each kernel that has no module now, and of no other.
said_loudly() {
	grep WARNING "$root/said" | cut -d : -f 3 | sort >"$root/warned"
	printf ' no module for %s\n' 0.0-bare 0.0-broken | diff - "$root/warned" &&
		grep -q 'apt install linux-headers-0.0-bare' "$root/said"
}

# As mokutil answers of a key that is enrolled: with 1.
enrolled_is_told() {
	local tool=$root/tree/usr/local/bin/mokutil half
	cat >"$tool" <<-'END'
		#!/bin/sh
		case $1 in
		--sb-state) echo "SecureBoot enabled" ;;
		--test-key) echo "$2 is already enrolled" && exit 1 ;;
		*) exit 2 ;;
		esac
	END
	chmod 755 "$tool"
	for half in key pub; do
		[ -s "$root/tree/var/lib/dkms/mok.$half" ] || echo >"$root/tree/var/lib/dkms/mok.$half"
	done
	inside netveil-secure-boot >"$root/said" 2>&1
	rm "$tool"
	cat "$root/said"
	grep -qx "DKMS's key is enrolled." "$root/said"
}

# A package's upgrade stops no timer that root has enabled, which nothing would start.
stops_nothing() {
	! grep -l 'deb-systemd-invoke.*stop' "$root"/tree/var/lib/dpkg/info/netveil-tools.{preinst,prerm}
}

packages() {
	# shellcheck disable=SC2016 # dpkg-query's own
	inside dpkg-query -W -f '${Package}\n' | sort
}

removal() {
	rm "$root/tree/etc/netveil/mine.conf"
	packages | comm -13 "$root/packages" - | xargs chroot "$root/tree" env \
		DEBIAN_FRONTEND=noninteractive apt-get -qy purge
}

nothing_left() {
	files "$root/after"
	diff "$root/before" "$root/after"
}

run() {
	. "$NETVEIL_TOP/tests/lib/ktap.sh"
	set +e
	set_up "$@"
	plan 18
	files "$root/before"
	packages >"$root/packages"
	check "the packages install, with what they need" \
		apt install "/root/netveil-dkms_${version}_all.deb" "/root/netveil-tools_${version}_amd64.deb"
	check "DKMS has built the module for the kernel that is there" built "$version"
	check "the unit is enabled, and the metrics are not" enabled
	check "systemd finds no fault with the units" unit_is_sound
	check "the units can do little else" exposed_little
	check "veil runs" works "$version"
	check "a further kernel gets its module with its headers" apt install linux-headers-amd64
	check "and so has both" built "$version"
	check "a key for Secure Boot that is enrolled is known as such" enrolled_is_told
	check "an upgrade that fails for the kernel that runs builds for the others" upgrade_in_vain
	check "and says loudly which kernels have no module now" said_loudly
	check "an upgrade" upgrade
	check "and both have the newer one" built "$newer"
	check "and takes no protection away" nothing_taken_away
	check "and leaves units alone" stops_nothing
	check "the package configured again builds again" made_anew "$newer"
	check "removal" removal
	check "and nothing is left" nothing_left
	finish
}

if [ "${1:-}" = --run ]; then
	version=$2 newer=$3
	shift 3
	run "$@"
fi
need_packages debootstrap debian-archive-keyring
[ -d "$base" ] || { mkdir -p "${base%/*}" && step "bootstrapping $suite with DKMS" bootstrap; }
version=$(sed -n 's/.*VEIL_VERSION[^"]*"\(.*\)"/\1/p' "$NETVEIL_TOP/kmod/version.h")
newer=$version+check
"$NETVEIL_TOP/scripts/packaging/deb.sh" "$newer" >&2
"$NETVEIL_TOP/scripts/packaging/deb.sh" >&2
cd "$NETVEIL_TOP"
as_root env NETVEIL_CACHE="$NETVEIL_CACHE" unshare -m --propagation private "$0" --run \
	"$version" "$newer" "$NETVEIL_TOP"/netveil-{dkms,tools}_"$version"_*.deb \
	"$NETVEIL_TOP"/netveil-{dkms,tools}_"$newer"_*.deb
rm -f "$NETVEIL_TOP"/netveil-*_"$newer"_*.deb
