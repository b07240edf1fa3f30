#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs PROGRAM or PROGRAM:FILE for each argument, shows what they print and says
# at the end which failed. A FILE that is not there is skipped, with the reason.

failed=
for run; do
	program=${run%%:*}
	file=${run#"$program"}
	file=${file#:}
	echo "# $program $file"
	if [ -n "$file" ] && [ ! -e "$file" ]; then
		echo "ok # SKIP $file is not here: these vectors are not part of a clone"
	elif ! "$program" ${file:+"$file"}; then
		failed="$failed $run"
	fi
done
[ -z "$failed" ] || echo "# failed:$failed"
[ -z "$failed" ]
