#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# ksft_runner.sh TEST: how the kernel's runner starts a test of this folder. From a
# clean state and with the limit that the test states, as run.sh does it; exit code
# 4 when all that it has was skipped.

skipped=4
while IFS= read -r line; do
	printf '%s\n' "$line"
	last=$line
done < <("$(dirname "$0")/../run.sh" "$(dirname "$0")/$1" 2>&1)
case $last in
"# 0 passed, 0 failed, "*) exit "$skipped" ;;
"# "*" passed, 0 failed, "*) exit 0 ;;
*) exit 1 ;;
esac
