# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What every host-side script needs: where things are, how to fail, how to show
# progress, how to become root, how to install packages. Sourced, never run.

set -euo pipefail

NETVEIL_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
NETVEIL_CACHE=${NETVEIL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/netveil}
NETVEIL_JOBS=${NETVEIL_JOBS:-$(nproc)}
export NETVEIL_TOP NETVEIL_CACHE

say() {
	printf '%s\n' "$*" >&2
}

die() {
	say "${0##*/}: $*"
	exit 1
}

# step "what is being done" COMMAND...: COMMAND's output goes to a log. A line
# at the start, one every 10 seconds and one at the end say where it is.
step() {
	local what=$1 log start=$SECONDS pid ticks=0
	shift
	mkdir -p "$NETVEIL_CACHE/log"
	log=$(mktemp "$NETVEIL_CACHE/log/XXXXXX.log")
	say "  $what ..."
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		ticks=$((ticks + 1))
		if [ $((ticks % 50)) -eq 0 ]; then
			say "  ... $what: $((SECONDS - start)) s, $(last_line "$log")"
		fi
	done
	if ! wait "$pid"; then
		tail -n 30 "$log" >&2
		die "$what failed; the whole log is $log"
	fi
	say "  $what: done in $((SECONDS - start)) s"
	rm -f "$log"
}

last_line() {
	tail -c 400 "$1" | tr '\r' '\n' | grep . | tail -n 1 | cut -c 1-60 || true
}

# as_root COMMAND...: directly, or through sudo for a user who is not root.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo -- "$@"
	else
		die "'$1' needs root: run this as root, or install sudo"
	fi
}

# with_lock FILE COMMAND...: two runs at once take turns on what FILE guards.
with_lock() {
	local file=$1
	shift
	mkdir -p "$(dirname "$file")"
	(
		if ! flock -w 5 9; then
			say "  waiting for another run that holds $file"
			flock 9
		fi
		"$@"
	) 9>"$file"
}

# need_packages PACKAGE...: installs what is missing, and says so.
need_packages() {
	local missing=() p
	for p in "$@"; do
		package_present "$p" || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing with apt-get: ${missing[*]}"
	step "apt-get install (${#missing[@]} packages and what they need)" \
		as_root bash -c "$(declare -f install_packages); install_packages ${missing[*]}"
}

# With the package lists as they are; when those are missing or too old, anew.
install_packages() {
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qy --no-install-recommends install "$@" && return
	apt-get -q update && apt-get -qy --no-install-recommends install "$@"
}

package_present() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# hash_of STRING...: a short key for a cache entry.
hash_of() {
	printf '%s\n' "$@" | sha256sum | cut -c 1-12
}

# drop_unused FOLDER: entries of the cache, named by their key, that no run asked
# for within a day. Two checkouts may want different ones.
drop_unused() {
	local key='[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]' old
	find "$1" -mindepth 1 -maxdepth 1 -type d -name "$key$key" -mtime +0 |
		while read -r old; do
			as_root rm -rf "$old"
		done
}

# The kernels that build-kernel.sh builds; all others are Debian's, of kernels.sh.
is_own_kernel() {
	[[ $1 =~ ^(uml|uml-debug|debug|kcsan)$ ]]
}

# Builds or fetches it, and prints its folder.
prepare_kernel() {
	if is_own_kernel "$1"; then
		"$NETVEIL_TOP/scripts/build-kernel.sh" "$1"
	else
		"$NETVEIL_TOP/scripts/kernels.sh" refresh "$1"
	fi
}

# machine_of KERNEL: Debian's name of the machine that it is for.
machine_of() {
	case $1 in
	*-arm64*) echo arm64 ;;
	*) echo amd64 ;;
	esac
}

# The Debian suite that this machine runs.
own_suite() {
	. /etc/os-release && echo "${VERSION_CODENAME:-sid}"
}

# mirror_of SUITE: the archive this machine itself takes packages from, so that
# a local mirror is honoured. The security archive is asked for with *-security.
mirror_of() {
	local label=Debian uri
	case $1 in
	*-security) label=Debian-Security ;;
	esac
	uri=$(archive_labelled "$label")
	if [ -z "$uri" ]; then
		step "apt-get update" as_root apt-get -q update
		uri=$(archive_labelled "$label")
	fi
	[ -n "$uri" ] ||
		die "apt on this machine has no archive labelled $label, from which $1 would come: add Debian's to its sources"
	printf '%s\n' "$uri"
}

archive_labelled() {
	# shellcheck disable=SC2016 # apt's own variable
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Label: $1" | head -n 1
}
