#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Fetches a Debian cloud kernel and its headers without installing anything. KERNEL
# is a series such as 6.1 or 6.12: the newest one that this machine's own apt
# offers, else the newest of the other Debian suites, by a private apt setup. With
# @SUITE behind it (7.2@sid) it is that suite's; 6.12-rt is the one with PREEMPT_RT,
# 6.12-arm64 the cloud kernel for that.
#
#   kernels.sh get KERNEL       fetch if missing; print its folder, which holds
#                               release, vmlinuz, modules.erofs, modules/, build
#   kernels.sh refresh KERNEL   look for a newer one first (once a day)
#   kernels.sh headers KERNEL   as get, and prints the folder for make -C
#   kernels.sh suite KERNEL     the Debian suite whose compiler built it
#   kernels.sh matrix           the kernels of make check-matrix, by pattern, since
#                               names vanish within weeks

. "$(dirname "$0")/lib/common.sh"

kernels=$NETVEIL_CACHE/kernels
SUITES=(bookworm bookworm-security trixie trixie-security trixie-backports)
# As many of trixie-backports' series as make check-matrix takes
BACKPORTS=2

usage() {
	sed -n '9,16s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

# Debian's name of what stands behind the series, and the machine it is for.
choose_flavour() {
	arch=amd64 gnu=x86-64-linux-gnu
	case $1 in
	*-rt) flavour=rt-amd64 ;;
	*-arm64) arch=arm64 flavour=cloud-arm64 gnu=aarch64-linux-gnu ;;
	*) flavour=cloud-amd64 ;;
	esac
}

# The suites that are looked through, and the private apt for them. This machine's
# own suite has the compiler for another machine.
choose_suites() {
	suite=$1
	[ "$arch" = amd64 ] || suite=${suite:-$(own_suite)}
	case $suite in
	'') suites=("${SUITES[@]}") ;;
	sid | *-*) suites=("$suite") ;;
	*) suites=("$suite" "$suite-security") ;;
	esac
	apt_root=$NETVEIL_CACHE/apt/${suite:-all}
	[ "$arch" = amd64 ] || apt_root+=-$arch
}

# The system's apt, or the private one when $private is set: all its state is in
# the cache and the system's sources are neither read nor changed.
private=
apt() {
	local tool=$1
	shift
	if [ -n "$private" ]; then
		set -- -o Dir::Etc::sourcelist="$apt_root/sources.list" \
			-o Dir::Etc::sourceparts=- -o Dir::State="$apt_root/state" \
			-o Dir::State::status=/dev/null -o "APT::Architecture=$arch" \
			-o "APT::Architectures::=$arch" -o APT::Architectures::=amd64 \
			-o Dir::Cache="$apt_root/cache" "$@"
	fi
	"apt-$tool" -o APT::Sandbox::User="$(id -un)" "$@"
}

write_private_sources() {
	local name keyring=/usr/share/keyrings/debian-archive-keyring.gpg archs=amd64
	[ "$arch" = amd64 ] || archs=amd64,$arch
	[ -f "$keyring" ] || need_packages debian-archive-keyring
	mkdir -p "$apt_root/state/lists/partial" "$apt_root/cache/archives/partial"
	for name in "${suites[@]}"; do
		printf 'deb [arch=%s signed-by=%s] %s %s main\n' \
			"$archs" "$keyring" "$(mirror_of "$name")" "$name"
	done >"$apt_root/sources.list"
}

update_private() {
	write_private_sources
	step "reading the package lists of ${suites[*]}" \
		apt get -o Acquire::Check-Valid-Until=false \
		-o Acquire::Languages=none -q update
}

# names_of image|headers SERIES: the releases for which such a package exists.
names_of() {
	apt cache pkgnames "linux-$1-$2" | sed -n "s/^linux-$1-//p" | sort
}

# The newest release of the series that has both an image and headers.
newest_release() {
	local series=${1//./\\.}
	comm -12 <(names_of image "$1") <(names_of headers "$1") |
		grep -E "^$series\.[0-9][^ ]*-$flavour\$" | sort -V | tail -n 1
}

use_private() {
	private=y
	if [ ! -f "$apt_root/sources.list" ] || [ -n "$(find "$apt_root/sources.list" -mtime +0)" ]; then
		update_private
	fi
}

find_release() {
	local series=$1
	private='' release=''
	[ -n "$suite" ] || release=$(newest_release "$series") || true
	[ -z "$release" ] || return 0
	use_private
	release=$(newest_release "$series") || true
	[ -n "$release" ] || die "no Debian suite of ${suites[*]} has a $flavour kernel $series with headers: see 'apt-cache pkgnames linux-image-', or run apt-get update"
}

# The image and the headers, and what those are split into. What kbuild runs is
# for the machine that builds.
package_closure() {
	local queue=("linux-image-$release" "linux-headers-$release") seen=' ' p
	while [ ${#queue[@]} -gt 0 ]; do
		p=${queue[0]}
		queue=("${queue[@]:1}")
		[[ $seen != *" $p "* ]] || continue
		seen+="$p "
		mapfile -t -O ${#queue[@]} queue < <(apt cache depends --important "$p" |
			sed -n 's/^ [ |]Depends: //p' |
			grep -E '^linux-(base|binary|modules|kbuild|headers)-' | grep -v unsigned)
	done
	# shellcheck disable=SC2086 # a list of words
	printf '%s\n' $seen | sed 's/^linux-kbuild-.*/&:amd64/'
}

download() {
	local packages
	mapfile -t packages < <(package_closure)
	cd "$new/deb"
	apt get -q download "${packages[@]}" && return
	if [ -n "$private" ]; then
		apt get -q update
	else
		as_root apt-get -q update
	fi
	apt get -q download "${packages[@]}"
}

unpack() {
	local deb
	for deb in "$new"/deb/*.deb; do
		case ${deb##*/} in
		linux-headers-* | linux-kbuild-*) dpkg-deb -x "$deb" "$new/headers" ;;
		*) dpkg-deb -x "$deb" "$new/image" ;;
		esac
	done
	rm -rf "$new/deb"
}

# No guest has hardware, for which all kernels but the cloud ones have modules.
drop_drivers() {
	local kernel
	kernel=$(find "$new/image" -type d -path "*/modules/$release/kernel")
	find "$kernel/drivers" -mindepth 1 -maxdepth 1 ! -name net ! -name block ! -name virtio \
		! -name char ! -name crypto -exec rm -r {} +
	rm -rf "$kernel"/sound "$kernel"/drivers/net/{ethernet,wireless,can,usb,phy}
}

# The whole module tree as the guest sees it, uncompressed and unsigned: an
# emulated CPU takes long to unpack and to verify.
make_module_tree() {
	local from
	from=$(find "$new/image" -type d -path "*/modules/$release" | head -n 1)
	[ -n "$from" ] || die "the packages of $release hold no modules"
	mkdir -p "$new/lib/modules"
	cp -a "$from" "$new/lib/modules/"
	rm -f "$new/lib/modules/$release"/{build,source,vmlinuz}
	find "$new/lib/modules" -name '*.ko.xz' -exec xz -d {} +
	find "$new/lib/modules" -name '*.ko.zst' -exec zstd -q -d --rm {} +
	find "$new/lib/modules" -name '*.ko' -exec strip --strip-debug {} +
	depmod -b "$new" "$release"
	mkfs.erofs "$new/modules.erofs" "$new/lib/modules"
}

place_image() {
	local vmlinuz
	vmlinuz=$(find "$new/image" -type f -name 'vmlinuz*' | head -n 1)
	[ -n "$vmlinuz" ] || die "the packages of $release hold no vmlinuz"
	cp "$vmlinuz" "$new/vmlinuz"
	rm -rf "$new/image"
}

# The packages expect to lie in /usr/src: point their Makefiles to the cache. With
# their vmlinux the build would make BTF, and want pahole for it.
place_headers() {
	local makefile
	for makefile in "$new"/headers/usr/src/*/Makefile; do
		sed -i "s:/usr/\(src\|lib\)/linux-:$dir/headers&:g" "$makefile"
	done
	ln -s "headers/usr/src/linux-headers-$release" "$new/build"
	rm -f "$new/build/vmlinux"
}

fetch() {
	[ "$(cat "$dir/key" 2>/dev/null)" != "$key" ] || return 0
	need_packages erofs-utils xz-utils zstd kmod binutils
	new=$dir.new
	rm -rf "$new"
	mkdir -p "$new"/{deb,headers,image}
	step "downloading kernel $release and its headers" download
	step "unpacking kernel $release" unpack
	[[ $flavour == cloud-* ]] || drop_drivers
	[ "$arch" = amd64 ] || need_packages "binutils-$gnu"
	# where that package has its strip
	PATH=/usr/$gnu/bin:$PATH step "packing the modules of $release" make_module_tree
	place_image
	place_headers
	printf '%s\n' "$release" >"$new/release"
	printf '%s\n' "$key" >"$new/key"
	rm -rf "$dir"
	mv "$new" "$dir"
}

# Debian's releases of kernels name the release of Debian, but for those of 6.1.
suite_of() {
	case $1 in
	*+deb12* | 6.1.*) echo bookworm ;;
	*+deb13*) echo trixie ;;
	*) echo sid ;;
	esac
}

# The newest series that SUITE has headers for, as many as asked for.
newest_series() {
	local suite suites apt_root private
	choose_suites "$1"
	use_private
	apt cache pkgnames linux-headers- |
		sed -nE "s/^linux-headers-([0-9]+\.[0-9]+)\.[0-9].*-$flavour\$/\1/p" |
		sort -uV | tail -n "$2"
}

print_matrix() {
	local series
	printf '%s\n' 6.1 6.12 6.12@trixie
	for series in $(newest_series trixie-backports "$BACKPORTS"); do
		echo "$series"
	done
	echo "$(newest_series sid 1)@sid"
}

locate() {
	local word=$1 fresh=$2 current=$kernels/$1.current series=${1%%[-@]*}
	choose_suites "$(sed -n "s/.*@//p" <<<"$word")"
	if [ -s "$current" ] && [ "$(cat "$kernels/$(cat "$current")/key" 2>/dev/null)" = "$key" ] &&
		{ [ -z "$fresh" ] || [ -z "$(find "$current" -mtime +0)" ]; }; then
		release=$(cat "$current")
		dir=$kernels/$release
		return 0
	fi
	mkdir -p "$kernels"
	find_release "$series"
	dir=$kernels/$release
	fetch
	printf '%s\n' "$release" >"$current"
}

main() {
	local fresh=
	choose_flavour "${2%@*}"
	key=$(hash_of "$(declare -f unpack make_module_tree place_image place_headers)")
	case $1 in
	matrix)
		print_matrix
		return
		;;
	get | headers | suite) ;;
	refresh) fresh=y ;;
	*) usage ;;
	esac
	[[ $2 =~ ^[0-9]+\.[0-9]+(-rt|-arm64)?(@[a-z-]+)?$ ]] ||
		die "'$2' is no kernel: write it as 6.1, 6.12, 7.2@sid, 6.12-rt or 6.12-arm64"
	locate "$2" "$fresh"
	case $1 in
	headers) printf '%s\n' "$dir/build" ;;
	suite) suite_of "$release" ;;
	*) printf '%s\n' "$dir" ;;
	esac
}

with_lock "$kernels/.lock" main "${1:-}" "${2:-}"
