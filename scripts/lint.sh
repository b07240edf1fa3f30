#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make lint: every static check of the project; all run, and one that complains
# fails it. The kernel ones use the headers of the series KERNEL (6.12).

. "$(dirname "$0")/lib/common.sh"

kernel=${KERNEL:-6.12}
source_series=6.12
bad=0
cd "$NETVEIL_TOP"

# run_check NAME COMMAND...: COMMAND is silent when there is nothing to say.
run_check() {
	local name=$1 output rc=0
	shift
	output=$("$@" 2>&1) || rc=$?
	# by with_lock, which is no finding
	output=$(grep -v '^  waiting for another run' <<<"$output") || true
	if [ "$rc" -eq 0 ] && [ -z "$output" ]; then
		echo "ok   $name"
	else
		printf '%s\n' "$output"
		echo "FAIL $name"
		bad=1
	fi
}

c_files() {
	find kmod userspace tests/unit -name '*.[ch]' ! -name '*.mod.c' | sort
}

script_files() {
	grep -rlE --exclude-dir=.git -m 1 '^(#!/bin/(ba)?sh|# shellcheck shell=)' .ci scripts tests userspace | sort
}

shell_scripts() {
	local files
	mapfile -t files < <(script_files)
	shellcheck -x -P SCRIPTDIR "${files[@]}"
}

# checkpatch comes with the kernel's source alone; only its scripts are unpacked.
find_checkpatch() {
	local dir=$NETVEIL_CACHE/checkpatch tarball=/usr/src/linux-source-$source_series.tar.xz
	checkpatch=$dir/scripts/checkpatch.pl
	[ ! -x "$checkpatch" ] || return 0
	need_packages "linux-source-$source_series" xz-utils perl
	mkdir -p "$dir"
	step "unpacking checkpatch from $tarball" tar -xf "$tarball" --strip-components=1 -C "$dir" \
		--wildcards 'linux-source-*/scripts/checkpatch.pl' 'linux-source-*/scripts/spelling.txt' \
		'linux-source-*/scripts/const_structs.checkpatch'
}

# What checkpatch says of these files, and why it is not followed there.
checkpatch_exceptions() {
	cat <<-END
	kmod/compat.h NEW_TYPEDEFS: the kernel's type has another name in each version
	kmod/drops.c BRACKET_SPACE: an X-macro that makes designated initialisers
	kmod/drops.h COMPLEX_MACRO: the list for X-macros
	kmod/drops.h MACRO_ARG_REUSE: the list for X-macros
	kmod/messages.h BIT_MACRO: volumes and times, not bits
	kmod/trace.h OPEN_ENDED_LINE: the form of all TRACE_EVENT()s
	kmod/trace.h PARENTHESIS_ALIGNMENT: the form of all TRACE_EVENT()s
	END
}

run_checkpatch() {
	local files
	mapfile -t files < <(find "$NETVEIL_TOP/kmod" -name '*.[ch]' ! -name '*.mod.c' | sort)
	# it leaves a file behind where it runs
	cd "$NETVEIL_CACHE/checkpatch"
	perl "$checkpatch" --no-tree --strict --terse --quiet --no-summary --show-types \
		--ignore FILE_PATH_CHANGES -f "${files[@]}" | sed "s:^$NETVEIL_TOP/::" |
		grep -vEf <(checkpatch_exceptions | sed 's/^\([^ ]*\) \([A-Z_]*\):.*/^\1:[0-9]+: [A-Z]+:\2:/') || true
}

# Forgets the objects first: a file that is not compiled is not checked.
module_with() {
	local ko
	ko=$(scripts/build-module.sh "$kernel") || return
	find "${ko%/*}" -name '*.o' -delete
	{ scripts/build-module.sh "$kernel" "$@" >/dev/null; } 2>&1 || true
}

version_checks() {
	c_files | grep -v '^kmod/compat' | xargs -r grep -nE 'LINUX_VERSION_CODE|KERNEL_VERSION|linux/version\.h' || true
}

# Headers are probed by grep in Kbuild: sparse cannot parse the other way.
has_include() {
	c_files | xargs -r grep -n '__has_include' || true
}

need_packages shellcheck sparse
find_checkpatch
run_check "shellcheck" shell_scripts
run_check "checkpatch --strict" run_checkpatch
run_check "W=1 and sparse on $kernel" module_with W=1 C=2
run_check "no kernel version checks outside kmod/compat" version_checks
run_check "no __has_include" has_include
exit $bad
