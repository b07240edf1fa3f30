#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds programs of the kernel's own networking selftests that send traffic from
# one host to another, for tests/vm/t_selftests.py, in the cache. Prints the folder.

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/source.sh"

PROGRAMS=(udpgso_bench_tx udpgso_bench_rx msg_zerocopy tcp_mmap mptcp/mptcp_connect)
# Each with the library that it takes its SHA-256 from; -w: they are not ours.
FLAGS=(-O2 -w -static -pthread)
LIBRARIES=(-lcrypto)

# tcp_mmap sends 32 GiB: a thousandth of a thousandth will do.
compile() {
	local folder=$1 net=$2/tools/testing/selftests/net program
	mkdir -p "$folder.new"
	for program in "${PROGRAMS[@]}"; do
		sed 's/(1ULL << 35)/(1ULL << 22)/' "$net/$program.c" |
			gcc "${FLAGS[@]}" -I "$net" -I "$net/.." -x c -o "$folder.new/${program##*/}" - "${LIBRARIES[@]}"
	done
	mv "$folder.new" "$folder"
}

main() {
	local source folder
	source=$(kernel_source)
	folder=$NETVEIL_CACHE/selftests/$(hash_of "$source" "${PROGRAMS[@]}" "${FLAGS[@]}" "$(declare -f compile)")
	if [ ! -d "$folder" ]; then
		need_packages gcc libc6-dev libssl-dev
		rm -rf "$folder.new"
		step "building the kernel's selftests" compile "$folder" "$source"
	fi
	touch "$folder"
	printf '%s\n' "$folder"
}

main "$@"
