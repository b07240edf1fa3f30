#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: icount=yes timeout=2400 once=yes
"""When sessions and handshakes begin, repeat and end (PROTOCOL section 2:
Confirmation, Start, Retry, Rekey).

The module is on alpha, its peer in Python on beta; minutes of guest time pass,
where idle time costs nothing. All bounds allow for the module's timer, which
looks once a second, and for the jitter of retries.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import veilproto
from hosts import alpha, beta, drops_since, receive_all
from ktap import case, check, check_between, check_equal, note, wait_until
from pypeer import boottime, arrivals, connected, fresh
from veilproto import DATA, INITIATION, RESPONSE, Identity

# Beyond its time, when the module may still notice.
SLACK = 1.6


def next_arrival(peer, kind, seconds):
    """How long until the next message of a kind."""
    start = boottime()
    wait_until(lambda: peer.count(kind), seconds, "a message %d" % kind, every=0.1)
    return boottime() - start


def delivered(peer, message):
    """Whether the module opens a sealed datagram and hands it on."""
    receive_all(peer.app)
    before = alpha.drops()
    peer.send(message)
    got = []

    def settled():
        got.extend(receive_all(peer.app))
        return got or drops_since(before, alpha.drops())

    wait_until(settled, 10, "a datagram or a drop")
    return bool(got), drops_since(before, alpha.drops())


@case("retries every 5 s with a fresh ephemeral, index and time; 90 s; then again")
def retries():
    peer = fresh()
    peer.say()
    found = arrivals(peer, INITIATION, 110)
    times = [when for when, _ in found]
    gaps = [b - a for a, b in zip(times, times[1:])]
    note("%d initiations, gaps %.1f to %.1f s" % (len(found), min(gaps), max(gaps)))
    check(all(4.9 <= gap <= 5.0 + SLACK for gap in gaps[1:]), "gaps", gaps)
    # The first message is noticed late, by what Python loads to read it.
    check_between(gaps[0], 4, 5.0 + SLACK, "the first gap")
    check_between(times[-1], 80, 91 + SLACK, "the last initiation")
    read = [veilproto.Responder(peer.me, message) for _, message in found]
    for what in "remote_ephemeral", "remote_index", "time":
        values = [getattr(each, what) for each in read]
        check_equal(len(set(values)), len(values), "different values of " + what)
    stamps = [each.time for each in read]
    check_equal(stamps, sorted(stamps), "times in order")
    check_equal(alpha.peer()["queued"], 0, "packets kept after giving up")
    check_equal(alpha.drops()["no_session"], 1, "packets dropped as no_session")
    peer.say(b"again")
    peer.respond(seconds=10)
    check_equal(peer.wait_udp(), b"again", "after a new packet")


@case("the initiator is heard at once and again after 1, 2 and 4 s, until answered")
def confirm_again():
    peer = fresh()
    peer.say()
    peer.respond()
    found = [when for when, _ in arrivals(peer, DATA, 14)]
    check_between(found[0], 0, 0.5, "the first data packet")
    wanted = (1, 2, 4)
    check_equal(len(found), 1 + len(wanted), "packets in 14 s")
    for when, about in zip(found[1:], wanted):
        check_between(when, about - 0.1, about + SLACK, "a repetition")
    peer = fresh()
    peer.say()
    peer.respond()
    peer.wait(DATA)
    peer.send_keepalive()
    check_equal(len(arrivals(peer, DATA, 8)), 0, "repetitions after an answer")


@case("a keepalive 10 s after receiving when nothing was sent, and no other")
def keepalive():
    peer = connected()
    peer.send(peer.sealed(b"one way"))
    found = arrivals(peer, DATA, 30)
    check_equal(len(found), 1, "packets in 30 s")
    check_between(found[0][0], 9.9, 10 + SLACK, "the keepalive")
    opened = peer.session.open(alpha.v4, beta.v4, found[0][1])
    check_equal(opened, (None, b""), "the keepalive")
    peer.send(peer.sealed(b"one way"))
    time.sleep(5)
    peer.say(b"answer")
    check_equal(len(arrivals(peer, DATA, 9)), 1, "packets when we answered")


@case("sending with nothing opened for 15 s begins a handshake")
def dead_peer():
    peer = connected()
    time.sleep(1)
    peer.say()
    check_between(
        next_arrival(peer, INITIATION, 30), 14.9, 15 + SLACK, "the initiation"
    )
    peer = connected()

    def talk():
        if not peer.count(DATA):
            peer.say()
        elif peer.take(DATA):
            peer.send_keepalive()

    found = arrivals(peer, INITIATION, 30, talk)
    check_equal(found, [], "initiations while the peer answers")


@case("an unconfirmed session is wiped after 15 s")
def unconfirmed_wiped():
    peer = fresh()
    session = peer.initiate(confirm=False)
    time.sleep(12)
    check_equal(delivered(peer, peer.sealed(b"in time", session))[0], True, "at 12 s")
    peer = fresh()
    session = peer.initiate(confirm=False)
    time.sleep(15 + SLACK)
    outcome = delivered(peer, peer.sealed(b"late", session))
    check_equal(outcome, (False, {"unknown_index": 1}), "after 15 s")


@case("forged with our own key: nothing sealed for 15 s, then wiped, then the peer")
def forged_and_wiped():
    peer = fresh()
    peer.say(b"secret")
    peer.wait_initiation()
    ss = veilproto.dh(peer.module_identity.private, peer.me.public)
    forged = peer.initiator(me=Identity(public=peer.me.public), ss=ss)
    peer.send(forged.initiation())
    peer.wait(RESPONSE)
    found = arrivals(peer, DATA, 20, lambda: peer.say(b"more"))
    check_equal(found, [], "packets sealed for the forger in 20 s")
    check(peer.count(INITIATION) > 0, "the module goes on asking the real peer")
    peer.forget()
    session = peer.respond(seconds=10)
    check_equal(peer.wait_udp(session=session), b"more", "for the real peer")


def talk(peer):
    peer.say()
    if peer.take(DATA):
        peer.send_keepalive()
    peer.waiting = [entry for entry in peer.waiting if entry[3][0] != DATA]


def renewed(peer):
    found = arrivals(peer, INITIATION, 126, lambda: talk(peer))
    check(found, "an initiation comes")
    check_between(found[0][0], 119, 120 + SLACK, "the first initiation")


@case("a rekey after 120 s of sending, by the initiator only")
def rekey_sending():
    peer = fresh()
    peer.say()
    peer.respond()
    wait_until(alpha.is_up, 10, "a session")
    renewed(peer)
    peer = connected()
    found = arrivals(peer, INITIATION, 130, lambda: talk(peer))
    check_equal(found, [], "initiations by the responder")


@case("both handshakes that crossed were answered, and each end seals under the other's")
def rekey_crossed():
    peer = fresh(larger="module")
    # From its second attempt on the module answers as well, and keeps its own.
    peer.wait_initiation()
    theirs, mine = peer.wait_initiation(), peer.initiator()
    peer.send(mine.initiation())
    session = peer.finish(mine)
    peer.respond(theirs)
    peer.wait_confirmed()
    peer.send_keepalive(session=session)
    peer.forget()
    peer.say(b"under the peer's")
    check_equal(peer.wait_udp(session=session), b"under the peer's", "a datagram")
    renewed(peer)


@case("a rekey after 165 s of receiving only")
def rekey_receiving():
    peer = fresh()
    peer.say()
    peer.respond()
    wait_until(alpha.is_up, 10, "a session")
    found = arrivals(
        peer, INITIATION, 170, lambda: peer.send(peer.sealed(b"only receiving"))
    )
    check(found, "an initiation comes")
    check_between(found[0][0], 163, 165 + SLACK, "the first initiation")


@case("an idle session is gone at 190 s, and its index refused")
def idle_expires():
    peer = connected()
    time.sleep(175)
    check_equal(delivered(peer, peer.sealed(b"x"))[0], True, "delivered at 175 s")
    time.sleep(15)
    check_equal(alpha.peer()["state"] == genl.STATE_UP, False, "up at 190 s")
    outcome = delivered(peer, peer.sealed(b"x"))
    check_equal(outcome, (False, {"unknown_index": 1}), "at 190 s")


@case("nothing is sealed at 180 s either: packets wait for a new session")
def nothing_sealed_late():
    peer = connected()
    session = peer.session
    time.sleep(181)
    peer.forget()
    peer.say(b"late")
    responder = peer.wait_initiation()
    check_equal(peer.count(DATA), 0, "packets under the old session")
    new = peer.respond(responder)
    check_equal(peer.wait_udp(session=new), b"late", "under the new session")
    check(new is not session, "another session")


ktap.run(hosts.set_up)
