#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=150 once=yes
"""Which session seals: none before it is confirmed, whoever began the handshake,
and one only when both did at once (PROTOCOL section 2, Confirmation and
Crossing initiations).

The module is on alpha, its peer in Python (veilproto) on beta, who can also be
an attacker with alpha's own private key.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import pypeer
import veilproto
import wire
from hosts import alpha, beta
from ktap import case, check, check_equal, skip, wait_until
from pypeer import boottime, fresh
from veilproto import DATA, INITIATION, RESPONSE, Identity, ProtocolError

APP = 7000


@case("a responder sends nothing until the session is confirmed")
def confirmation():
    peer = fresh()
    peer.initiate(confirm=False)
    for number in range(5):
        peer.say(b"waits %d" % number)
    wait_until(lambda: alpha.peer()["queued"] == 5, 10, "5 queued packets")
    check(not alpha.is_up(), "no session is up before confirmation")
    check_equal(peer.count(DATA), 0, "data before confirmation")
    peer.send_keepalive()
    got = [peer.wait_udp() for _ in range(5)]
    check_equal(got, [b"waits %d" % n for n in range(5)], "the queue")
    check(alpha.is_up(), "the session is up")
    peer.talk()


@case("an initiation forged with the responder's own key gets nothing sealed")
def forged_initiation():
    peer = fresh()
    peer.say(b"secret 0")
    peer.wait_initiation()
    ss = veilproto.dh(peer.module_identity.private, peer.me.public)
    forger = Identity(public=peer.me.public)
    forged = peer.initiator(me=forger, ss=ss)
    peer.send(forged.initiation())
    _, _, _, response = peer.wait(RESPONSE)
    forger.private = os.urandom(32)
    try:
        forged.finish(response)
        check(False, "the forger cannot finish the handshake")
    except ProtocolError:
        pass
    for number in range(1, 4):
        peer.say(b"secret %d" % number)
    wait_until(lambda: alpha.peer()["queued"] == 4, 10, "4 queued packets")
    check(not alpha.is_up(), "no session is up")
    check_equal(peer.count(DATA), 0, "packets sealed for the forger")
    session = peer.initiate()
    got = [peer.wait_udp(session=session) for _ in range(4)]
    check_equal(got, [b"secret %d" % n for n in range(4)], "the queue, to the peer")


@case("an unconfirmed session displaces nothing")
def unconfirmed_displaces_nothing():
    peer = fresh()
    session = peer.initiate()
    peer.talk()
    for _ in range(3):
        peer.initiate(confirm=False)
    peer.say(b"still the old session")
    got = peer.wait_udp(session=session)
    check_equal(got, b"still the old session", "data")
    message = peer.sealed(b"and back", session)
    peer.send(message)
    pypeer.socket_receives(peer.app, b"and back")


@case("after a rekey the previous session still opens")
def previous_opens():
    peer = fresh()
    old = peer.initiate()
    peer.talk()
    late = peer.sealed(b"late", old)
    new = peer.initiate()
    peer.talk()
    peer.send(late)
    pypeer.socket_receives(peer.app, b"late")
    peer.say(b"new")
    check_equal(peer.wait_udp(session=new), b"new", "sealed under the new one")


@case("crossing initiations, the module's key smaller: it answers, and begins no more")
def crossing_smaller():
    peer = fresh(larger="peer")
    peer.say(b"crossed")
    peer.wait_initiation()
    initiator = peer.initiator()
    peer.send(initiator.initiation())
    peer.finish(initiator)
    peer.send_keepalive()
    check_equal(peer.wait_udp(), b"crossed", "the packet that waited")
    time.sleep(6)
    check_equal(peer.count(INITIATION), 0, "further initiations")


@case("who ends its sessions says so under both that the peer may seal with")
def both_are_closed():
    peer = fresh()
    sessions = [peer.initiate(time=veilproto.tai64n(time.time() + n)) for n in range(2)]
    wait_until(lambda: peer.has_heard(sessions[1]), 10, "the second session's confirmation")
    alpha.control.flush()

    def closed():
        peer.poll()
        return {session.local for session in sessions} <= set(peer.closed)

    wait_until(closed, 10, "a goodbye under each")


@case("an old initiation, repeated to a host that has restarted, ends none of its own")
def old_initiation():
    for larger in "peer", "module":
        peer = fresh(larger)
        recorded = [peer.initiator().initiation() for _ in range(2)]
        # From its second attempt on the module answers whatever its key is.
        peer.wait_initiation()
        peer.wait_initiation()
        peer.send(recorded[0])
        peer.wait(RESPONSE)
        theirs = peer.wait_initiation()
        peer.say(b"waits")
        peer.send(recorded[1])
        peer.wait(RESPONSE)
        peer.respond(theirs)
        check_equal(peer.wait_udp(), b"waits", "the packet that waited")


def in_time(attempt):
    """attempt() that took less time than initiations count as crossing, which
    is half a second: on a machine under load anything may take as long."""
    for _ in range(10):
        start = boottime()
        result = attempt()
        if boottime() - start < 0.4:
            return result
    return skip("this machine is too slow for initiations that cross")


@case("crossing initiations, the module's key larger: it ignores the other's")
def crossing_larger():
    def cross():
        peer = fresh(larger="module")
        theirs = peer.wait_initiation()
        peer.crossed = alpha.drops()["crossed_initiation"] + 1
        peer.send(peer.initiator().initiation())
        return peer, theirs

    peer, theirs = in_time(cross)
    dropped = lambda: alpha.drops()["crossed_initiation"] == peer.crossed
    wait_until(dropped, 10, "a drop as crossed_initiation")
    peer.say(b"crossed")
    peer.respond(theirs)
    check_equal(peer.wait_udp(), b"crossed", "the packet that waited")
    kinds = INITIATION, RESPONSE
    check_equal([peer.count(kind) for kind in kinds], [0, 0], "further handshakes")


class Crossing:
    """A rule that holds initiations until there is one from each end; seen is
    what passed of handshakes."""

    def __init__(self, relay):
        self.relay, self.held, self.seen = relay, {}, []

    def __call__(self, to, frame):
        message = wire.netveil_message(frame)
        if message[:1] in (b"\1", b"\2"):
            self.seen.append(message[0])
        if message[:1] != b"\1" or len(self.held) == 2:
            return [frame]
        self.held[to] = frame
        if len(self.held) == 2:
            for port, kept in self.held.items():
                self.relay.send(port, kept)
        return []


@case("crossing initiations of two modules: one round trip")
def crossing_modules():
    pypeer.close_all()
    a, b = alpha.udp(alpha.v4, APP), beta.udp(beta.v4, APP)
    with wire.Relay(hosts.wire) as relay:

        def cross():
            hosts.flush_all()
            relay.rule = crossing = Crossing(relay)
            ours, theirs = Identity(), Identity()
            hosts.make_peer(alpha, ours, theirs.public, beta)
            hosts.make_peer(beta, theirs, ours.public, alpha)
            wait_until(lambda: len(crossing.held) == 2, 10, "two initiations", 0.01)
            return crossing

        crossing = in_time(cross)
        a.sendto(b"from alpha", (beta.v4, APP))
        b.sendto(b"from beta", (alpha.v4, APP))
        pypeer.socket_receives(b, b"from alpha")
        pypeer.socket_receives(a, b"from beta")
    wanted = [INITIATION, INITIATION, RESPONSE]
    check_equal(crossing.seen, wanted, "handshake messages")
    check(alpha.is_up() and beta.is_up(), "sessions are up")


ktap.run(hosts.set_up)
