#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=60 uml=no uml-debug=no long=yes
"""Two CPUs that send different flows to one peer, both ways, wait for no lock of
Netveil's: who waits for which lock, by the kernel's own tracepoint of contention.
"""

import collections
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
from hosts import alpha, beta
from ktap import case, check, check_equal, note, skip
from veilproto import Identity

LOCKS = "/sys/kernel/tracing/instances/netveil-locks"
SECONDS = "8"
# What takes a lock in the name of a function.
TAKERS = ("_raw_", "queued_", "native_queued_", "__pv_", "do_raw_", "trace_", "lock_")


def write(name, text):
    with open("%s/%s" % (LOCKS, name), "w", encoding="ascii") as file:
        file.write(text)


def set_up():
    hosts.set_up()
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    os.makedirs(LOCKS, exist_ok=True)
    write("buffer_size_kb", "8192")
    write("options/stacktrace", "1")


def flows():
    """On each CPU four TCP flows each way."""
    clients, servers = [], []
    for cpu in "0", "1":
        iperf = "taskset", "-c", cpu, "iperf3", "-p", "530" + cpu
        servers.append(beta.start(*iperf, "-s", stdout=subprocess.DEVNULL))
        words = "-c", beta.v4, "-P", "4", "--bidir", "-t", SECONDS
        script = "until %s; do sleep 0.2; done" % " ".join(iperf + words)
        clients.append(alpha.start("sh", "-c", script, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL))
    for client in clients:
        check_equal(client.wait(timeout=120), 0, "iperf3")
    for server in servers:
        server.kill()
        server.wait()


def packets():
    status = alpha.peer()
    return status["tx_packets"] + status["rx_packets"]


def stacks():
    """Of each wait: the functions, innermost first, behind those of the lock; ours
    with a star."""
    found = []
    with open(LOCKS + "/trace", encoding="ascii", errors="replace") as file:
        for line in file:
            if "<stack trace>" in line:
                found.append([])
            elif line.startswith(" => ") and found:
                function = line[4:].split("+")[0].strip()
                if found[-1] or not function.startswith(TAKERS):
                    found[-1].append(function + ("*" if "[netveil]" in line else ""))
    return [stack for stack in found if stack]


@case("four flows on each of two CPUs, each way")
def contention():
    if not os.path.exists(LOCKS + "/events/lock/contention_begin"):
        skip("no tracepoint of contention on this kernel")
    write("events/lock/contention_begin/enable", "1")
    before = packets()
    flows()
    count = packets() - before
    write("events/lock/contention_begin/enable", "0")
    with open(LOCKS + "/per_cpu/cpu0/stats", encoding="ascii") as file:
        note(" ".join(file.read().split()[:6]))
    found = stacks()
    check(found, "the tracepoint sees the waits of others")
    takers = collections.Counter(stack[0] for stack in found)
    note("%d packets of alpha's, %d waits for a lock; who waited:" % (count, len(found)))
    for taker, times in takers.most_common(12):
        note("%6d %s" % (times, taker))
    ours = sum(times for taker, times in takers.items() if taker.endswith("*"))
    note("%d of them for a lock that netveil.ko took" % ours)
    # A lane's, when a flow changes its CPU; and the peer's, once a session.
    check(ours <= count / 1000, "waits for our locks, of packets", ours, count)


ktap.run(set_up)
