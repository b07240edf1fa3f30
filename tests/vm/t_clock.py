#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: icount=yes timeout=300 once=yes
"""Clocks that jump and ends that forget lock nobody out (PROTOCOL section 2, Time
and Start). The module is on alpha, its peer in Python on beta.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import veilproto
from hosts import alpha, drops_since
from ktap import case, check, check_between, check_equal, note, wait_until
from pypeer import boottime, arrivals, connected, fresh
from veilproto import INITIATION


@case("a clock a day back locks nobody out: stale is counted, and we initiate")
def clock_back():
    peer = connected()
    peer.send(peer.sealed(b"opened now"))
    before = alpha.drops()
    day_back = veilproto.tai64n(time.time() - 86400)
    peer.forget()
    peer.send(peer.initiator(time=day_back).initiation())
    wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
    moved = drops_since(before, alpha.drops())
    check_equal(moved, {"stale_initiation": 1}, "drop counters that moved")
    found = arrivals(peer, INITIATION, 4)
    check_equal(found, [], "initiations within 5 s of an opened packet")
    time.sleep(2)
    sent = []

    def stale():
        if len(sent) < 120:
            sent.append(1)
            when = veilproto.tai64n(time.time() - 86400)
            peer.send(peer.initiator(time=when).initiation())

    found = arrivals(peer, INITIATION, 12, stale)
    check(found, "the module initiates")
    check_between(found[0][0], 0, 1, "its first initiation")
    gaps = [b[0] - a[0] for a, b in zip(found, found[1:])]
    check(all(gap >= 4.9 for gap in gaps), "at most one in 5 s", gaps)
    peer.forget()
    session = peer.respond(seconds=10)
    peer.wait_confirmed()
    peer.say(b"under the new one")
    check_equal(peer.wait_udp(session=session), b"under the new one", "data")


@case("a recording of a clock that was ahead keeps no one out who has the right time again")
def recorded_ahead():
    peer = fresh()
    peer.respond()
    peer.wait_confirmed()
    # Nobody confirms its session; and nothing is heard of the peer for 5 s.
    recording = peer.initiator(time=veilproto.tai64n(time.time() + 86400)).initiation()
    peer.send(recording)
    peer.wait(veilproto.RESPONSE)
    time.sleep(6)
    peer.refused("repeated_initiation", recording)
    peer.forget()
    peer.refused("stale_initiation", peer.initiator().initiation())
    peer.respond(seconds=3)
    peer.wait_confirmed()
    peer.say(b"by the module's own")
    check_equal(peer.wait_udp(session=peer.session), b"by the module's own", "data")


@case("ten years ahead, then restarted with the right time: a session in seconds")
def ten_years_ahead():
    for larger in "peer", "module":
        peer = fresh(larger)
        peer.respond()
        peer.wait_confirmed()
        ahead = veilproto.tai64n(time.time() + 10 * 365 * 86400)
        peer.initiate(time=ahead)
        time.sleep(6)
        start = boottime()
        peer.forget()

        def restarted():
            """Initiates every 5 s as a module would, and answers."""
            now = boottime()
            if now >= restarted.next:
                restarted.next = now + 5
                peer.send(peer.initiator().initiation())
            responder = peer.take_initiation()
            return responder and peer.respond(responder)

        restarted.next = start
        session = wait_until(restarted, 15, "the module initiates", every=0.1)
        note("after %.1f s" % (boottime() - start))
        peer.wait_confirmed()
        peer.say(b"back again")
        check_equal(peer.wait_udp(session=session), b"back again", "data")


@case("our own clock set back a day: our initiations still go forward")
def own_clock_back():
    peer = fresh()
    peer.say()
    first = peer.wait_initiation().time
    now = time.clock_gettime(time.CLOCK_REALTIME)
    try:
        time.clock_settime(time.CLOCK_REALTIME, now - 86400)
        second = peer.wait_initiation().time
    finally:
        time.clock_settime(time.CLOCK_REALTIME, now + 10)
    check(second > first, "the second initiation is later", first, second)


def forgotten():
    """A peer and its session with the module, which has forgotten all since."""
    session = connected().session
    return fresh(), session


@case("data under an unknown index makes us initiate to that peer, every 5 s at most")
def unknown_index():
    peer, session = forgotten()
    time.sleep(100)
    peer.forget()
    message = peer.sealed(b"from before", session)
    before = alpha.drops()["unknown_index"]
    found = arrivals(peer, INITIATION, 14, lambda: peer.send(message))
    check(alpha.drops()["unknown_index"] > before, "unknown_index is counted")
    times = [when for when, _ in found]
    check_equal(len(times), 3, "initiations within 14 s")
    check_between(times[0], 0, 0.5, "the first")
    check(all(b - a >= 4.9 for a, b in zip(times, times[1:])), "5 s apart", times)
    peer.respond(veilproto.Responder(peer.me, found[-1][1]))
    wait_until(alpha.is_up, 10, "a session")


@case("data under an unknown index does nothing to a session that is heard")
def unknown_index_heard():
    peer, session = forgotten()
    time.sleep(6)
    peer.initiate()
    peer.talk()
    peer.forget()
    message = peer.sealed(b"from before", session)

    def both():
        peer.send(message)
        peer.send_keepalive()

    before = alpha.drops()["unknown_index"]
    check_equal(arrivals(peer, INITIATION, 12, both), [], "initiations")
    check(alpha.drops()["unknown_index"] > before, "unknown_index is counted")
    # When it is not heard any more they may be right.
    check_between(
        arrivals(peer, INITIATION, 12, lambda: peer.send(message))[0][0],
        4,
        6,
        "until it begins a handshake",
    )


ktap.run(hosts.set_up)
