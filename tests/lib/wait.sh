# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Waiting on conditions, never on time. Sourced.

exec {wait_fd}<> <(:)

# Seconds since boot: unlike the wall clock, no test steps it.
uptime_ms() {
	local now
	read -r now _ </proc/uptime
	now=${now/./}
	printf '%d\n' "$((10#$now * 10))"
}

# pause SECONDS, without starting a process, which an emulated CPU feels.
pause() {
	read -r -t "$1" -u "$wait_fd" _ || true
}

# wait_for SECONDS COMMAND...: until COMMAND succeeds; fails, naming it, when it
# has not within SECONDS.
wait_for() {
	local seconds=$1 end
	shift
	end=$(($(uptime_ms) + seconds * 1000))
	until "$@" >/dev/null 2>&1; do
		if [ "$(uptime_ms)" -ge "$end" ]; then
			echo "not within $seconds s: $*" >&2
			return 1
		fi
		pause 0.05
	done
}
