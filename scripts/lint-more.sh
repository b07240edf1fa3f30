#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make lint-more: what other checkers say of the programs in C that run outside of
# the kernel. Slower and less sure than make lint; exceptions have their reason.

. "$(dirname "$0")/lib/common.sh"

bad=0
cd "$NETVEIL_TOP"

# run_check NAME COMMAND...: COMMAND is silent when there is nothing to say.
run_check() {
	local name=$1 output
	shift
	output=$("$@" 2>&1) || true
	if [ -z "$output" ]; then
		echo "ok   $name"
	else
		printf '%s\n' "$output"
		echo "FAIL $name"
		bad=1
	fi
}

# Macros of libraries, which it cannot know, are loops.
run_cppcheck() {
	cppcheck --quiet --enable=warning,portability,performance --inline-suppr --std=c11 \
		-D_GNU_SOURCE '-Dmnl_attr_for_each(a,b,c)=for(;;)' '-Dmnl_attr_for_each_nested(a,b)=for(;;)' \
		'-Djson_object_object_foreach(a,b,c)=for(;;)' -Iuserspace -Ikmod/uapi userspace/*.c tests/tools/*.c
}

analyzer_exceptions() {
	cat <<-END
	leak of .grow(: what it returns takes the place of what it was given
	dereference of NULL .port.: the kernel tells a port of every peer
	END
}

run_analyzer() {
	local file
	for file in userspace/*.c tests/tools/*.c; do
		gcc -fanalyzer -std=gnu11 -D_GNU_SOURCE -O1 -Ikmod/uapi -Iuserspace \
			-fdiagnostics-plain-output -c -o /dev/null "$file"
	done 2>&1 | grep 'warning:' | grep -vf <(analyzer_exceptions | sed 's/: .*//') || true
}

need_packages cppcheck gcc libmnl-dev libjson-c-dev libsodium-dev
run_check "cppcheck" run_cppcheck
run_check "gcc -fanalyzer" run_analyzer
exit $bad
