#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=90 kernels=debug uml=no
"""Two CPUs that send different flows to one peer take no lock of the module's in
common, on the way out or in: by the statistics of a kernel with LOCK_STAT, which count
how often a lock was last taken on another CPU.
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import traffic
from hosts import alpha, beta
from ktap import case, check, note, skip
from veilproto import Identity

STATISTICS = "/proc/lock_stat"
PACKETS = 2000
# As netveil.ko's sources name their locks where these are made
OURS = re.compile(r"&(peer|session|traces|unknown)->|veil_")
# A session has 16 lanes, and a flow's is a secret: of so many pairs some share none.
PAIRS = 6


def set_up():
    if not os.path.exists(STATISTICS):
        skip("this kernel has no LOCK_STAT")
    if os.cpu_count() < 2:
        skip("two CPUs are needed")
    hosts.topology_up("--offload")
    hosts.load_module()
    hosts.make_peers(Identity(), Identity())
    for host, address in (alpha, beta.v4), (beta, alpha.v4):
        hosts.ping_once(host, address)


def locks():
    """Of each class of locks how often it went to another CPU, and was taken."""
    found = {}
    with open(STATISTICS, encoding="ascii") as lines:
        for line in lines:
            name, colon, numbers = line.strip().rpartition(": ")
            fields = numbers.split()
            if colon and len(fields) == 12:
                found[name.strip()] = int(fields[6]), int(fields[7])
    return found


def send_all(sock, to):
    for _ in range(PACKETS):
        hosts.offer(sock, b"x" * 64, to)
        os.sched_yield()


def both_at_once(flows):
    """The classes after each CPU sent its packets of its flow."""
    with open(STATISTICS, "w", encoding="ascii") as file:
        file.write("0")
    children = [traffic.on_cpu(cpu, lambda flow=flow: send_all(*flow)) for cpu, flow in enumerate(flows)]
    for child in children:
        check(os.waitpid(child, 0)[1] == 0, "a sender's exit code")
    return locks()


def ours(found):
    return {name: counts for name, counts in found.items() if OURS.search(name)}


def most_shared(found, count=8):
    """The classes that went to the other CPU most often, in words."""
    ordered = sorted(found.items(), key=lambda item: -item[1][0])[:count]
    packets = 2 * PACKETS
    return ["%s %.3f of %.2f a packet" % (name, bounced / packets, taken / packets) for name, (bounced, taken) in ordered]


def flow():
    receiver = beta.udp(beta.v4)
    return alpha.udp(alpha.v4), receiver.getsockname(), receiver


@case("two flows from two CPUs to one peer: no lock of the module's in common")
def different_flows():
    best = None
    for _ in range(PAIRS):
        one, other = flow(), flow()
        found = both_at_once((one[:2], other[:2]))
        for sock in one[0], one[2], other[0], other[2]:
            sock.close()
        shared = max(bounced for bounced, _ in ours(found).values())
        note("%s: %d" % (", ".join(most_shared(ours(found))), shared))
        if best is None or shared < best[0]:
            best = shared, found
    note("the kernel's: %s" % "; ".join(most_shared(best[1])))
    check(best[0] <= PACKETS // 100, "of %d packets at most 1 in 100 takes a lock of the other CPU's" % PACKETS, ours(best[1]))


@case("the control: one flow from both CPUs does")
def one_flow():
    sender, to, receiver = flow()
    found = both_at_once(((sender, to), (sender, to)))
    receiver.close()
    note("; ".join(most_shared(ours(found))))
    check(max(bounced for bounced, _ in ours(found).values()) > PACKETS // 100, "locks in common", ours(found))


ktap.run(set_up)
