#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120 kernels=none
"""When memory runs out packets are lost, and none leaves in clear (invariant 1).

The kernel's fault injection makes allocations fail at random, those of interrupts
too. Kernels without it skip this.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import wire
from hosts import alpha, beta, drops_since, receive_all
from ktap import case, check, check_equal, note, skip, wait_until
from veilproto import Identity

APP = 7000
FAILSLAB = "/sys/kernel/debug/failslab/"
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()


def fail(percent):
    """From now on that many of all small allocations that cannot wait fail."""
    settings = {"verbose": 0, "times": -1, "interval": 1, "probability": percent}
    for name, value in settings.items():
        with open(FAILSLAB + name, "w", encoding="ascii") as file:
            file.write(str(value))


def a_tap():
    """It needs memory too, and misses the frames for which there is none."""
    return wire.Tap(hosts.wire, whole=False)


def flood(count):
    """Datagrams of many sizes both ways; how many arrived."""
    pairs = []
    for source, target in (alpha, beta), (beta, alpha):
        for one, other in zip(source.addresses, target.addresses):
            pairs.append((source.udp(one), target.udp(other, APP), (other, APP)))
    arrived = 0
    for number in range(count):
        for sender, receiver, to in pairs:
            hosts.offer(sender, MARKER * (1 + number % 70), to)
            arrived += len(receive_all(receiver))
    for sender, receiver, _ in pairs:
        sender.close()
        receiver.close()
    return arrived


@case("allocations fail under traffic: drops are counted, nothing is in clear")
def under_traffic():
    if not os.path.exists(FAILSLAB):
        skip("this kernel has no fault injection")
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    tap, before = a_tap(), [h.drops() for h in (alpha, beta)]
    try:
        fail(5)
        arrived = flood(300)
    finally:
        fail(0)
    moved = [drops_since(b, h.drops()) for b, h in zip(before, (alpha, beta))]
    note("%d of 1200 arrived; drops %s" % (arrived, moved))
    check(all(each.get("no_memory") for each in moved), "no_memory is counted", moved)
    in_clear = [frame for frame in tap.frames() if MARKER in frame]
    check_equal(in_clear, [], "frames in clear of %d" % len(tap.kept))
    tap.close()
    check(flood(10) > 0, "traffic goes on")


@case("allocations fail while sessions begin and end")
def while_configuring():
    if not os.path.exists(FAILSLAB):
        skip("this kernel has no fault injection")
    tap = a_tap()
    for percent in (3, 10) * 10:
        hosts.make_peers(Identity(), Identity())
        try:
            fail(percent)
            flood(5)
        finally:
            fail(0)
        check_equal(len(alpha.control.peers()), 1, "peers")
    in_clear = [frame for frame in tap.frames() if MARKER in frame]
    check_equal(in_clear, [], "frames in clear of %d" % len(tap.kept))
    tap.close()
    hosts.ping_once(alpha, beta.v4)


def set_up():
    hosts.set_up()
    wait_until(lambda: os.path.exists("/sys/module/netveil"), 5, "the module")


ktap.run(set_up)
