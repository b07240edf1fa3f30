#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Looks through kernel logs for anything that a healthy kernel never says, shows
# it with the lines around it, and fails when there is any.
# usage: splat-scan.sh LOG...

splats='Kernel panic|Oops|BUG:|BUG at |kernel BUG|WARNING: |general protection fault'
splats+='|Unable to handle kernel|unable to handle page fault|Modules linked in:'
splats+='|INFO: possible |INFO: suspicious |INFO: trying to register non-static key'
splats+='|possible circular locking|possible recursive locking|inconsistent lock state'
splats+='|suspicious RCU usage|sleeping function called from invalid context'
splats+='|scheduling while atomic|bad unlock balance|held lock freed'
splats+='|KASAN:|KCSAN:|UBSAN:|KFENCE:|ODEBUG:|kmemleak: [0-9]+ new suspected|unreferenced object'
splats+='|unregister_netdevice: waiting|refcount_t:|ref_tracker:|leaked reference'
splats+='|blocked for more than|task hung|rcu: INFO:|detected stalls|self-detected stall'
splats+='|soft lockup|hard LOCKUP|list_(add|del) corruption|slab corruption|(Object padding|Poison|[Rr]edzone) overwritten|Object already free'
splats+='|double free|use-after-free|stack-protector:|Internal error:|Segmentation fault.*netveil'
splats+='|Bad page state|Out of memory: Killed|BUG [^ ]+ \((Not t|T)ainted'
splats+='|hw csum failure|protocol [0-9a-f]+ is buggy|huh, entered softirq|Dead loop on|Attempt to release '

# What the emulated machine itself causes, and says nothing about Netveil. KCSAN sees
# races of the kernel's own too: ours have a place in [netveil] in their title. And its
# reference tracker says when an allocation of its own was let fail (t_memory).
harmless='WARNING: The guest kernel|clocksource: .*WARNING|BUG: KCSAN: [^[]*$|free debug is enabled'
harmless+='|ref_tracker: memory allocation failure'

status=0
for log in "$@"; do
	[ -f "$log" ] || continue
	found=$(grep -aE "$splats" "$log" | grep -avE "$harmless" | head -n 1)
	[ -n "$found" ] || continue
	status=1
	echo "kernel log: $found"
	grep -aF -m 1 -B 3 -A 60 -- "$found" "$log" | sed 's/^/| /'
	break
done
exit $status
