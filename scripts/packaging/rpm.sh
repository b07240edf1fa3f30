#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make rpm: netveil-tools and netveil-dkms from netveil.spec, into this checkout's top
# folder. Also on Debian, whose rpmbuild knows neither the other names of the packages
# that are needed nor where systemd's units go. Prints their names.

. "$(dirname "$0")/../lib/common.sh"

build=$NETVEIL_CACHE/build/$(hash_of "$NETVEIL_TOP")/rpm
version=$(sed -n 's/.*VEIL_VERSION[^"]*"\(.*\)"/\1/p' "$NETVEIL_TOP/kmod/version.h")
words=(--define "_topdir $build" --define "netveil_version $version")

archive() {
	rm -rf "$build"
	mkdir -p "$build/SOURCES"
	git -C "$NETVEIL_TOP" ls-files -z --cached --others --exclude-standard -- \
		Kbuild LICENSE kmod userspace scripts/packaging |
		tar -C "$NETVEIL_TOP" --null -T - --transform "s,^,netveil-$version/," \
			-czf "$build/SOURCES/netveil-$version.tar.gz"
}

if [ -e /etc/debian_version ]; then
	need_packages rpm gcc make libmnl-dev libjson-c-dev libsodium-dev python3
	words+=(--nodeps --define "_unitdir /usr/lib/systemd/system")
fi
archive
step "building the packages" rpmbuild -bb "${words[@]}" "$NETVEIL_TOP/scripts/packaging/netveil.spec"
find "$build/RPMS" -name '*.rpm' ! -name '*-debug*' -exec cp {} "$NETVEIL_TOP" \; -printf '%f\n'
