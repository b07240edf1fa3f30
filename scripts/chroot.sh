#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs a command in a chroot of another Debian suite, made on first use: to build
# with the compiler that a kernel of that suite wants. The cache and this checkout
# are there under the same paths, and the command runs as whoever calls.
#
#   chroot.sh SUITE PACKAGE... -- COMMAND [ARGUMENT]...

. "$(dirname "$0")/lib/common.sh"

usage() {
	sed -n '7s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

parse_args() {
	suite=${1:-}
	[[ $suite =~ ^[a-z]+$ ]] || usage
	shift
	packages=()
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		packages+=("$1")
		shift
	done
	[ $# -ge 2 ] || usage
	shift
	command=("$@")
}

# sid's lists are signed for a week only, and a mirror may be older.
make_chroot() {
	as_root rm -rf "$dir.new"
	step "making a chroot of Debian $suite" as_root debootstrap --variant=minbase \
		"$suite" "$dir.new" "$(mirror_of "$suite")"
	echo 'Acquire::Check-Valid-Until "false";' |
		as_root tee "$dir.new/etc/apt/apt.conf.d/50netveil" >/dev/null
	as_root mv "$dir.new" "$dir"
}

install_missing() {
	local missing=() p
	for p in "${packages[@]}"; do
		grep -qsx "$p" "$dir/netveil-packages" || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	step "installing ${missing[*]} in the chroot of $suite" as_root chroot "$dir" \
		sh -c "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install ${missing[*]}"
	printf '%s\n' "${missing[@]}" | as_root tee -a "$dir/netveil-packages" >/dev/null
}

prepare() {
	[ -d "$dir" ] || make_chroot
	install_missing
}

# In a mount namespace of its own: nothing stays mounted. objtool reads /proc.
enter() {
	# shellcheck disable=SC2016 # expanded by the inner shells
	as_root unshare --mount bash -euc '
		dir=$1 user=$2 where=$3 cache=$4 top=$5
		shift 5
		for folder in "$cache" "$top"; do
			mkdir -p "$dir$folder"
			mount --bind "$folder" "$dir$folder"
		done
		mount -t proc proc "$dir/proc"
		cd "$dir"
		exec chroot --userspec="$user" "$dir" sh -c "cd \"\$0\" && exec \"\$@\"" "$where" "$@"
	' enter "$dir" "$(id -u):$(id -g)" "$PWD" \
		"$NETVEIL_CACHE" "$NETVEIL_TOP" "$@"
}

parse_args "$@"
need_packages debootstrap
dir=$NETVEIL_CACHE/chroot/$suite
with_lock "$dir.lock" prepare
enter "${command[@]}"
