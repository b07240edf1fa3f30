#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=200 long=faults uml-debug=no
"""What loading the module calls fails in turn: loading is refused and leaves nothing
behind, or the module is there and works. With netveil-faults.ko.
"""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ["NETVEIL_KO"] = os.path.join(HERE, "..", "..", "netveil-faults.ko")
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import hosts
import ktap
import memory
import sites
from hosts import alpha, beta
from ktap import case, check, check_equal, note, wait_until
from veilproto import Identity

# What the kernel itself may keep of all of them.
LEAK_KIB = 8


def load(number):
    """With the number-th call failing; what insmod said, or nothing."""
    words = "insmod", hosts.MODULE, "fail_nth=%d" % number
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=False)
    return done.stderr.strip()


def unload():
    hosts.forget_controls()
    wait_until(hosts.try_rmmod, 15, "rmmod netveil")


def works():
    hosts.make_peer(alpha, Identity(), Identity().public, beta)
    check_equal(len(alpha.control.peers()), 1, "peers")
    alpha.control.flush()


def sweep():
    """How many calls failed, and the numbers of those that it was loaded without."""
    number, survived = 0, []
    while True:
        number += 1
        said = load(number)
        if said:
            check("Cannot allocate memory" in said, "why loading was refused", number, said)
            check(not os.path.exists("/sys/module/netveil"), "nothing is loaded", number)
            continue
        reached = not sites.parameter("fail_nth")
        sites.parameter("fail_nth", 0)
        works()
        unload()
        if not reached:
            return number - 1, survived
        survived.append(number)


@case("loading, each of its calls fails: refused with nothing left, or it works")
def each_call():
    failed, survived = sweep()
    note("%d calls failed, without %d of them it works: %s" % (failed, len(survived), survived))
    check(failed > 20, "calls", failed)
    # What the kernel makes once is made by the first, or the second; a leak is of each.
    grown = [growth() for _ in range(3)]
    note("KiB more: %s" % grown)
    check(min(grown) < LEAK_KIB, "memory is given back", grown)


def growth():
    before = memory.least_kept_kib()
    sweep()
    return memory.least_kept_kib() - before


@case("afterwards it is loaded, and hosts talk")
def afterwards():
    hosts.load_module()
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)


ktap.run(hosts.topology_up)
