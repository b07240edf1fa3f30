#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Fetches a Debian cloud kernel and its headers for a series word such as 6.1 or
# 6.12, without installing anything: the newest one that this machine's own apt
# offers, else the newest of the other Debian suites, by a private apt setup.
#
#   kernels.sh get SERIES       fetch if missing; print its folder, which holds
#                               release, vmlinuz, modules.erofs, modules/, build
#   kernels.sh refresh SERIES   look for a newer one first (once a day)
#   kernels.sh headers SERIES   as get, and prints the folder for make -C

. "$(dirname "$0")/lib/common.sh"

kernels=$NETVEIL_CACHE/kernels
apt_root=$NETVEIL_CACHE/apt
FLAVOUR=cloud-amd64
SUITES=(bookworm bookworm-security trixie trixie-security trixie-backports)

usage() {
	sed -n '4,12s/^# \{0,1\}//p' "$0" >&2
	exit 2
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
			-o Dir::State::status=/var/lib/dpkg/status \
			-o Dir::Cache="$apt_root/cache" "$@"
	fi
	"apt-$tool" -o APT::Sandbox::User="$(id -un)" "$@"
}

write_private_sources() {
	local suite keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -f "$keyring" ] || need_packages debian-archive-keyring
	mkdir -p "$apt_root/state/lists/partial" "$apt_root/cache/archives/partial"
	for suite in "${SUITES[@]}"; do
		printf 'deb [arch=amd64 signed-by=%s] %s %s main\n' \
			"$keyring" "$(mirror_of "$suite")" "$suite"
	done >"$apt_root/sources.list"
}

update_private() {
	write_private_sources
	step "reading the package lists of ${SUITES[*]}" \
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
		grep -E "^$series\.[0-9][^ ]*-$FLAVOUR\$" | sort -V | tail -n 1
}

find_release() {
	local series=$1
	private=
	release=$(newest_release "$series") || true
	[ -z "$release" ] || return 0
	private=y
	if [ ! -f "$apt_root/sources.list" ] || [ -n "$(find "$apt_root/sources.list" -mtime +0)" ]; then
		update_private
	fi
	release=$(newest_release "$series") || true
	[ -n "$release" ] || die "no Debian suite of ${SUITES[*]} has a $FLAVOUR kernel $series with headers: see 'apt-cache pkgnames linux-image-', or run apt-get update"
}

# The image and the headers, and what those are split into.
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
	printf '%s\n' $seen
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
	step "packing the modules of $release" make_module_tree
	place_image
	place_headers
	printf '%s\n' "$release" >"$new/release"
	printf '%s\n' "$key" >"$new/key"
	rm -rf "$dir"
	mv "$new" "$dir"
}

# The compiler that the headers ask for, if this Debian has it.
need_compiler() {
	local cc
	cc=$(grep -o 'gcc-[0-9]*' "$dir/build/.kernelvariables" | head -n 1) || return 0
	if ! command -v "$cc" >/dev/null && apt-cache show "$cc" >/dev/null 2>&1; then
		need_packages "$cc"
	fi
}

locate() {
	local series=$1 fresh=$2 current=$kernels/$1.current
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
	need_compiler
	printf '%s\n' "$release" >"$current"
}

main() {
	local fresh=
	key=$(hash_of "$(declare -f unpack make_module_tree place_image place_headers)")
	[ $# -eq 2 ] || usage
	[[ $2 =~ ^[0-9]+\.[0-9]+$ ]] || die "'$2' is not a kernel series: write it as 6.1 or 6.12"
	case $1 in
	get | headers) ;;
	refresh) fresh=y ;;
	*) usage ;;
	esac
	locate "$2" "$fresh"
	case $1 in
	headers) printf '%s\n' "$dir/build" ;;
	*) printf '%s\n' "$dir" ;;
	esac
}

with_lock "$kernels/.lock" main "$@"
