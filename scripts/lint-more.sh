#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make lint-more: what other checkers say: of the programs in C that run outside of
# the kernel, of the module's pure parts, and of the module the kernel's own
# Coccinelle scripts. Slower and less sure than make lint; exceptions have their
# reason.

. "$(dirname "$0")/lib/common.sh"
. "$(dirname "$0")/lib/source.sh"

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

# Checks that say more of style than of faults are off.
TIDY_CHECKS='-*,bugprone-*,cert-*,misc-*,performance-*,portability-*'
TIDY_CHECKS+=',-bugprone-easily-swappable-parameters,-bugprone-suspicious-string-compare'
TIDY_CHECKS+=',-bugprone-implicit-widening-of-multiplication-result,-misc-include-cleaner'
TIDY_CHECKS+=',-cert-err33-c' # printf() and snprintf() are not asked how much they wrote

tidy_exceptions() {
	cat <<-END
	kmod/keys.c:.* loop variable has narrower type: counts AEADs, of which there are two
	tests/tools/flood.c:.* .sscanf. used to convert: of MAC addresses, whose number is looked at
	tests/unit/crypto_openssl.c:.* narrowing conversion from .size_t.: lengths of messages
	userspace/echo.c:.* conditional operator with identical: two names of one number
	userspace/echo.c:.* returned by this function should be used: the next call fails where connect() did
	userspace/plan.c:.* integer to pointer cast: the const of a copy that is to be freed
	userspace/plan.c:.* .sizeof(A.*).: arrays of pointers
	userspace/plan.c:.* .refuse_twice. is within a recursive call chain: once, with the two swapped
	END
}

# Those of the module that tests/unit builds
pure_parts() {
	local file
	for file in tests/unit/test_*.c; do
		file=kmod/${file#tests/unit/test_}
		[ ! -f "$file" ] || echo "$file"
	done
}

run_tidy() {
	local pure
	mapfile -t pure < <(pure_parts)
	{
		clang-tidy --quiet -checks="$TIDY_CHECKS" userspace/*.c tests/tools/*.c \
			-- -std=gnu11 -D_GNU_SOURCE -Iuserspace -Ikmod/uapi
		clang-tidy --quiet -checks="$TIDY_CHECKS" "${pure[@]}" tests/unit/*.c \
			-- -std=gnu11 -Itests/unit/shim -Ikmod
	} 2>&1 | grep -E '(warning|error):' | grep -vf <(tidy_exceptions | sed 's/: .*//') || true
}

cocci_exceptions() {
	cat <<-END
	kmod/peer_key.c:.* reference preceded by free: what is freed goes, its place gets another
	END
}

# Those that report, but for two that want a compiler of OCaml.
cocci_scripts() {
	grep -rl --include='*.cocci' '^virtual report' "$(kernel_source)/scripts/coccinelle" |
		xargs grep -LE '(script|initialize):ocaml' | sort
}

run_coccinelle() {
	local script options
	while read -r script; do
		options=$(sed -n 's/.*Options: *//p' "$script")
		# shellcheck disable=SC2086 # words
		spatch -D report --no-show-diff --very-quiet --cocci-file "$script" $options \
			--dir kmod 2>&1
	done < <(cocci_scripts) | grep -E '^kmod/|[Ee]xception|[Ff]atal' |
		grep -vf <(cocci_exceptions | sed 's/: .*//') || true
}

need_packages cppcheck gcc libmnl-dev libjson-c-dev libsodium-dev libssl-dev libjansson-dev \
	clang-tidy coccinelle
kernel_source >/dev/null
run_check "cppcheck" run_cppcheck
run_check "gcc -fanalyzer" run_analyzer
run_check "clang-tidy" run_tidy
run_check "the kernel's Coccinelle scripts" run_coccinelle
exit $bad
