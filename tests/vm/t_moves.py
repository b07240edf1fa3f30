#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=90 uml=no uml-debug=no
"""Both ends roam and move at the same moment, on two CPUs: one sends, and finds on the
way that its own address has changed, while the other opens the echo by which the peer is
elsewhere. Neither move is lost.

    gamma, a peer in Python --- the wire --- alpha, with the module

Thousands of rules make alpha's look-up of a route long enough to be met in the middle.
"""

import mmap
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import pypeer
import traffic
from hosts import alpha, receive
from ktap import case, check, check_equal, note, skip, wait_until
from veilproto import CHALLENGE, DATA, ECHO, PORT, ROAMS, TUNNEL, Identity

INNER, SERVER, APP = "10.50.0.7", "10.50.0.1", 7000
OURS = alpha.v4, "10.9.0.5"
RULES, ROUNDS = 20000, 16
state = {}


def set_up():
    if os.cpu_count() < 2:
        skip("two CPUs are needed")
    hosts.set_up()
    state["gamma"] = hosts.add_gamma()
    hosts.ip_batch(
        alpha,
        "addr add %s/24 dev eth0" % OURS[1],
        "addr add %s/32 dev lo" % SERVER,
        "route add 10.50.0.0/24 dev eth0 src %s" % SERVER,
        # The lowest last: each goes to the head of the list.
        *("rule add pref %d fwmark 0x77 table main" % (RULES - n) for n in range(RULES)),
    )
    ours, theirs = Identity(), Identity()
    alpha.control.set_private_key(ours.private)
    alpha.control.add_peer(theirs.public, INNER, roaming=1)
    state["peer"] = pypeer.PythonPeer(state["gamma"], theirs, alpha, ours.public)
    state["home"] = state["peer"].sockets["10.9.0.3"]


def sends_from(address):
    """alpha does, to the wire."""
    hosts.ip_batch(alpha, "route replace 10.9.0.0/24 dev eth0 src %s" % address)


def say(there, address):
    """A datagram from the peer at there to alpha's address."""
    segment = packets.udp(INNER, SERVER, APP, APP, b"here")
    packet = packets.ipv4(INNER, SERVER, packets.UDP, segment)
    there.sendto(state["peer"].session.seal_message(packet, flags=TUNNEL), (address, PORT))


def heard(there, flag=0):
    """What the next data message with this flag is, and from where; None if none came."""
    while True:
        try:
            message, source = there.recvfrom(65535)
        except BlockingIOError:
            return None
        session = state["peer"].session
        ours = message[0] == DATA and message[4:8] == session.local.to_bytes(4, "big")
        if ours and message[1] & (CHALLENGE | ECHO) == flag:
            return session.open_message(message), source[0]


def reached(there, when):
    """Where alpha's next datagram to the peer comes from; it comes to there."""
    payload = os.urandom(8)
    with alpha.udp(SERVER) as source:
        hosts.offer(source, payload, (INNER, APP))

    def arrived():
        opened = heard(there)
        return opened and payload in opened[0] and opened[1]

    return wait_until(arrived, 5, "alpha's datagram, where the peer is, " + when)


def look_up():
    """Seconds that it takes alpha to find a route."""
    with alpha.udp(alpha.v4) as source:
        start = time.monotonic()
        for last in range(10):
            hosts.offer(source, b"x", ("10.9.0.3", 7))
        return (time.monotonic() - start) / 10


def at_once(there, echo, address, most):
    """alpha sends to its peer on one CPU, and on the other the echo comes a little later."""
    flag, wait = mmap.mmap(-1, 1), random.random() * most
    with alpha.udp(SERVER) as source:

        def one():
            flag[0] = 1
            hosts.offer(source, b"moves", (INNER, APP))

        def other():
            while not flag[0]:
                pass
            end = time.monotonic() + wait
            while time.monotonic() < end:
                pass
            there.sendto(echo, (address, PORT))

        children = [traffic.on_cpu(1, other), traffic.on_cpu(0, one)]
        for child in children:
            check_equal(os.waitpid(child, 0)[1], 0, "a sender's exit code")


def once(number, most):
    """Both move; None if the echo came too late, as it may where all is slow."""
    peer, here, there = state["peer"], OURS[number % 2], OURS[1 - number % 2]
    sends_from(here)
    peer.initiate(flags=ROAMS)
    wait_until(lambda: alpha.peer()["port"] == PORT, 10, "the first place")
    check_equal(reached(state["home"], "at first"), here, "alpha's address")
    with state["gamma"].udp("10.9.0.3", 40000 + number) as moved:

        def challenge():
            """At most one a second is sent."""
            say(moved, here)
            return heard(moved, CHALLENGE)

        token = wait_until(challenge, 10, "a challenge in round %d" % number)[0]
        sends_from(there)
        at_once(moved, peer.session.token(ECHO, token), here, most)
        try:
            wait_until(lambda: alpha.peer()["port"] == 40000 + number, 2, "the new place")
        except AssertionError:
            return None
        when = "after round %d" % number
        check_equal(reached(moved, when), there, "alpha's address " + when)
    return True


@case("a peer moves while we do, on two CPUs: from then on it is sent to where it is")
def moves():
    most = 3 * look_up()
    note("a look-up takes %.1f ms" % (most / 3 * 1000))
    done = [once(number, most) for number in range(ROUNDS)].count(True)
    note("%d of %d rounds" % (done, ROUNDS))
    check(done >= ROUNDS // 2, "rounds that were in time", done)


ktap.run(set_up)
