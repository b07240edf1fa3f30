# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Runs jobs side by side. A job's output is shown when it is done, so that two
# never mix; in between a line now and then says where each one is. Sourced after
# common.sh.
#
#   add_job COST NAME COMMAND...   COST: roughly how long, in any unit
#   run_jobs SLOTS SECONDS LOGS    the costliest first, SLOTS at once; their output
#                                  in the folder LOGS; what still runs after SECONDS
#                                  is stopped. Calls, for each,
#                                  job_done NAME LOG EXIT-CODE
#   job_stage LOG                  is asked for a word on where a running job is

PROGRESS_SECONDS=10
job_costs=() job_names=() job_commands=()

add_job() {
	job_costs+=("$1")
	job_names+=("$2")
	job_commands+=("$(printf '%q ' "${@:3}")")
}

# Each in a process group of its own, to be stopped with all that it started.
start_job() {
	local id=$1
	local log=$logs/${job_names[id]//[^[:alnum:]._]/-}.log
	# shellcheck disable=SC2294 # quoted by add_job
	eval "exec setsid ${job_commands[id]}" >"$log" 2>&1 </dev/null &
	job_pid[id]=$!
	job_log[id]=$log
	job_start[id]=$SECONDS
}

stop_jobs() {
	local id
	for id in "${!job_pid[@]}"; do
		kill -TERM -- "-${job_pid[id]}" 2>/dev/null || true
	done
	for id in "${!job_pid[@]}"; do
		wait "${job_pid[id]}" || true
	done
}

reap_jobs() {
	local id rc
	for id in "${!job_pid[@]}"; do
		! kill -0 "${job_pid[id]}" 2>/dev/null || continue
		rc=0
		wait "${job_pid[id]}" || rc=$?
		unset "job_pid[id]"
		ended=$((ended + 1))
		printf '\n== %s: %d s\n' "${job_names[id]}" "$((SECONDS - job_start[id]))"
		cat "${job_log[id]}"
		job_done "${job_names[id]}" "${job_log[id]}" "$rc"
		spoke=$SECONDS
	done
}

show_progress() {
	local id line
	[ $((SECONDS - spoke)) -ge $PROGRESS_SECONDS ] || return 0
	line="$ended of ${#job_names[@]} done"
	for id in "${!job_pid[@]}"; do
		line+="; ${job_names[id]%%:*}: $(job_stage "${job_log[id]}"), $((SECONDS - job_start[id])) s"
	done
	say "  ... $line"
	spoke=$SECONDS
}

run_jobs() {
	local slots=$1 deadline=$((SECONDS + $2)) logs=$3 ended=0 spoke=$SECONDS order id
	local job_pid=() job_log=() job_start=()
	mapfile -t order < <(for id in "${!job_costs[@]}"; do
		echo "${job_costs[id]} $id"
	done | sort -k 1,1nr -k 2,2n | cut -d ' ' -f 2)
	trap 'stop_jobs; exit 130' INT TERM
	while [ "$ended" -lt ${#job_names[@]} ]; do
		while [ ${#job_pid[@]} -lt "$slots" ] && [ ${#order[@]} -gt 0 ]; do
			start_job "${order[0]}"
			order=("${order[@]:1}")
		done
		sleep 0.3
		reap_jobs
		show_progress
		if [ "$SECONDS" -ge "$deadline" ]; then
			say "not done after $2 s: stopping what runs, and starting nothing more"
			stop_jobs
			order=()
			reap_jobs
			break
		fi
	done
	trap - INT TERM
	[ "$ended" -eq ${#job_names[@]} ]
}
