#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make deb: netveil-dkms and netveil-tools, from a copy of the sources in the
# cache, into this checkout's top folder. Prints their names.
#
#   deb.sh [VERSION]		the version of kmod/version.h, or another

. "$(dirname "$0")/../lib/common.sh"

packaging=$NETVEIL_TOP/scripts/packaging
build=$NETVEIL_CACHE/build/$(hash_of "$NETVEIL_TOP")/deb
version=${1:-$(sed -n 's/.*VEIL_VERSION[^"]*"\(.*\)"/\1/p' "$NETVEIL_TOP/kmod/version.h")}

# The author's name and day are those of the last commit, so that a package built
# again is the same.
changelog() {
	local date
	date=$(git -C "$NETVEIL_TOP" log -1 --format=%cD 2>/dev/null) || date=$(date -R)
	cat <<-END
	netveil ($version) unstable; urgency=medium

	  * See the history of the sources.

	 -- Netveil maintainers <maintainers@netveil.invalid>  $date
	END
}

copy() {
	rm -rf "$build"
	mkdir -p "$build/netveil"
	(
		cd "$NETVEIL_TOP"
		git ls-files -z --cached --others --exclude-standard -- \
			Kbuild kmod userspace README.md LICENSE |
			xargs -0 cp --parents -t "$build/netveil"
	)
	cp -r "$packaging/debian" "$build/netveil/debian"
	cp "$packaging/netveil-secure-boot" "$build/netveil/debian/"
	changelog >"$build/netveil/debian/changelog"
	sed -i "s/\(VEIL_VERSION\t\"\).*\"/\1$version\"/" "$build/netveil/kmod/version.h"
}

make_packages() {
	cd "$build/netveil"
	DEB_BUILD_OPTIONS=noautodbgsym dpkg-buildpackage -us -uc -b
	# Nobody has reported a wish to package it, and no release has a page yet.
	lintian --fail-on error,warning --suppress-tags \
		initial-upload-closes-no-bugs,bogus-mail-host,mail-address-loops-or-bounces \
		../*.changes
}

need_packages dpkg-dev debhelper dh-dkms lintian fakeroot gcc make libc6-dev libmnl-dev \
	libjson-c-dev libsodium-dev
copy
step "building the packages" make_packages
cp "$build"/*.deb "$NETVEIL_TOP"
(cd "$build" && printf '%s\n' *.deb)
