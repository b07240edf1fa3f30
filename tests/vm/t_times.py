#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: icount=yes timeout=900
"""When sessions and handshakes begin, repeat and end, and what clocks that jump
do (PROTOCOL section 2: Confirmation, Time, Start, Retry, Rekey).

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
import pypeer
import veilproto
from hosts import alpha, beta, drops_since, receive_all
from ktap import case, check, check_equal, note, wait_until
from pypeer import boottime
from veilproto import DATA, INITIATION, RESPONSE, Identity

APP = 7000
SLACK = 1.6
open_peers = []


def set_up():
    hosts.set_up()


def fresh(larger="peer"):
    """alpha configured anew, and its Python peer. larger: whose public key is."""
    small, large = pypeer.identities()
    ours, theirs = (small, large) if larger == "peer" else (large, small)
    alpha.control.flush()
    while open_peers:
        open_peers.pop().close()
    peer = pypeer.PythonPeer(beta, theirs, alpha, ours.public)
    open_peers.append(peer)
    peer.module_identity = ours
    hosts.make_peer(alpha, ours, theirs.public, beta)
    peer.app = alpha.udp(alpha.v4, 0)
    peer.app_port = peer.app.getsockname()[1]
    return peer


def connected(**how):
    """The same with a session that the peer initiated, and nothing waiting."""
    peer = fresh(**how)
    peer.initiate()
    wait_until(alpha.is_up, 10, "a session")
    peer.forget()
    return peer


def say(peer, payload=b"x"):
    peer.app.sendto(payload, (beta.v4, APP))


def arrivals(peer, kind, seconds, also=lambda: None):
    """When messages of a kind came within seconds from now, and the messages."""
    start, found = boottime(), []
    while boottime() < start + seconds:
        also()
        while True:
            entry = peer.take(kind)
            if entry is None:
                break
            found.append((boottime() - start, entry[3]))
        time.sleep(0.1)
    return found


def next_arrival(peer, kind, seconds):
    """How long until the next message of a kind."""
    start = boottime()
    wait_until(lambda: peer.count(kind), seconds, "a message %d" % kind, every=0.1)
    return boottime() - start


def between(value, low, high, what):
    check(low <= value <= high, "%s between %s and %s s" % (what, low, high), value)


def idle(seconds):
    time.sleep(seconds)


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


def sealed(peer, payload, session=None):
    return peer.seal_udp(APP, peer.app_port, payload, session=session)


@case("retries every 5 s with a fresh ephemeral, index and time; 90 s; then again")
def retries():
    peer = fresh()
    say(peer)
    found = arrivals(peer, INITIATION, 110)
    times = [when for when, _ in found]
    gaps = [b - a for a, b in zip(times, times[1:])]
    note("%d initiations, gaps %.1f to %.1f s" % (len(found), min(gaps), max(gaps)))
    check(all(4.9 <= gap <= 5.0 + SLACK for gap in gaps), "gaps", gaps)
    between(times[-1], 80, 91 + SLACK, "the last initiation")
    read = [veilproto.Responder(peer.me, message) for _, message in found]
    for what in "remote_ephemeral", "remote_index", "time":
        values = [getattr(each, what) for each in read]
        check_equal(len(set(values)), len(values), "different values of " + what)
    stamps = [each.time for each in read]
    check_equal(stamps, sorted(stamps), "times in order")
    check_equal(alpha.peer()["queued"], 0, "packets kept after giving up")
    check_equal(alpha.drops()["no_session"], 1, "packets dropped as no_session")
    say(peer, b"again")
    peer.respond(seconds=10)
    check_equal(peer.wait_udp(), b"again", "after a new packet")


@case("the initiator is heard at once and again after 1, 2 and 4 s, until answered")
def confirm_again():
    peer = fresh()
    say(peer)
    peer.respond()
    found = [when for when, _ in arrivals(peer, DATA, 14)]
    between(found[0], 0, 0.5, "the first data packet")
    wanted = (1, 2, 4)
    check_equal(len(found), 1 + len(wanted), "packets in 14 s")
    for when, about in zip(found[1:], wanted):
        between(when, about - 0.1, about + SLACK, "a repetition")
    peer = fresh()
    say(peer)
    peer.respond()
    peer.wait(DATA)
    peer.send_keepalive()
    check_equal(len(arrivals(peer, DATA, 8)), 0, "repetitions after an answer")


@case("a keepalive 10 s after receiving when nothing was sent, and no other")
def keepalive():
    peer = connected()
    peer.send(sealed(peer, b"one way"))
    found = arrivals(peer, DATA, 30)
    check_equal(len(found), 1, "packets in 30 s")
    between(found[0][0], 9.9, 10 + SLACK, "the keepalive")
    opened = peer.session.open(alpha.v4, beta.v4, found[0][1])
    check_equal(opened, (None, b""), "the keepalive")
    peer.send(sealed(peer, b"one way"))
    idle(5)
    say(peer, b"answer")
    check_equal(len(arrivals(peer, DATA, 9)), 1, "packets when we answered")


@case("sending with nothing opened for 15 s begins a handshake")
def dead_peer():
    peer = connected()
    idle(1)
    say(peer)
    between(next_arrival(peer, INITIATION, 30), 14.9, 15 + SLACK, "the initiation")
    peer = connected()

    def talk():
        if not peer.count(DATA):
            say(peer)
        elif peer.take(DATA):
            peer.send_keepalive()

    found = arrivals(peer, INITIATION, 30, talk)
    check_equal(found, [], "initiations while the peer answers")


@case("an unconfirmed session is wiped after 15 s")
def unconfirmed_wiped():
    peer = fresh()
    session = peer.initiate(confirm=False)
    idle(12)
    check_equal(delivered(peer, sealed(peer, b"in time", session))[0], True, "at 12 s")
    peer = fresh()
    session = peer.initiate(confirm=False)
    idle(15 + SLACK)
    outcome = delivered(peer, sealed(peer, b"late", session))
    check_equal(outcome, (False, {"unknown_index": 1}), "after 15 s")


@case("forged with our own key: nothing sealed for 15 s, then wiped, then the peer")
def forged_and_wiped():
    peer = fresh()
    say(peer, b"secret")
    peer.wait_initiation()
    ss = veilproto.dh(peer.module_identity.private, peer.me.public)
    forged = peer.initiator(me=Identity(public=peer.me.public), ss=ss)
    peer.send(forged.initiation())
    peer.wait(RESPONSE)
    found = arrivals(peer, DATA, 20, lambda: say(peer, b"more"))
    check_equal(found, [], "packets sealed for the forger in 20 s")
    check(peer.count(INITIATION) > 0, "the module goes on asking the real peer")
    peer.forget()
    session = peer.respond(seconds=10)
    check_equal(peer.wait_udp(session=session), b"more", "for the real peer")


@case("a rekey after 120 s of sending, by the initiator only")
def rekey_sending():
    peer = fresh()
    say(peer)
    peer.respond()
    wait_until(alpha.is_up, 10, "a session")

    def talk():
        say(peer)
        if peer.take(DATA):
            peer.send_keepalive()
        peer.waiting = [entry for entry in peer.waiting if entry[3][0] != DATA]

    found = arrivals(peer, INITIATION, 126, talk)
    check(found, "an initiation comes")
    between(found[0][0], 119, 120 + SLACK, "the first initiation")
    peer = connected()
    found = arrivals(peer, INITIATION, 130, talk)
    check_equal(found, [], "initiations by the responder")


@case("a rekey after 165 s of receiving only")
def rekey_receiving():
    peer = fresh()
    say(peer)
    peer.respond()
    wait_until(alpha.is_up, 10, "a session")
    found = arrivals(
        peer, INITIATION, 170, lambda: peer.send(sealed(peer, b"only receiving"))
    )
    check(found, "an initiation comes")
    between(found[0][0], 163, 165 + SLACK, "the first initiation")


@case("an idle session is gone at 190 s, and its index refused")
def idle_expires():
    peer = connected()
    idle(175)
    check_equal(delivered(peer, sealed(peer, b"x"))[0], True, "delivered at 175 s")
    idle(15)
    check_equal(alpha.peer()["state"] == genl.STATE_UP, False, "up at 190 s")
    outcome = delivered(peer, sealed(peer, b"x"))
    check_equal(outcome, (False, {"unknown_index": 1}), "at 190 s")


@case("nothing is sealed at 180 s either: packets wait for a new session")
def nothing_sealed_late():
    peer = connected()
    session = peer.session
    idle(181)
    peer.forget()
    say(peer, b"late")
    responder = peer.wait_initiation()
    check_equal(peer.count(DATA), 0, "packets under the old session")
    new = peer.respond(responder)
    check_equal(peer.wait_udp(session=new), b"late", "under the new session")
    check(new is not session, "another session")


@case("a clock a day back locks nobody out: stale is counted, and we initiate")
def clock_back():
    peer = connected()
    peer.send(sealed(peer, b"opened now"))
    before = alpha.drops()
    day_back = veilproto.tai64n(time.time() - 86400)
    peer.forget()
    peer.send(peer.initiator(time=day_back).initiation())
    wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
    moved = drops_since(before, alpha.drops())
    check_equal(moved, {"stale_initiation": 1}, "drop counters that moved")
    found = arrivals(peer, INITIATION, 4)
    check_equal(found, [], "initiations within 5 s of an opened packet")
    idle(2)
    sent = []

    def stale():
        if len(sent) < 120:
            sent.append(1)
            when = veilproto.tai64n(time.time() - 86400)
            peer.send(peer.initiator(time=when).initiation())

    found = arrivals(peer, INITIATION, 12, stale)
    check(found, "the module initiates")
    between(found[0][0], 0, 1, "its first initiation")
    gaps = [b[0] - a[0] for a, b in zip(found, found[1:])]
    check(all(gap >= 4.9 for gap in gaps), "at most one in 5 s", gaps)
    peer.forget()
    session = peer.respond(seconds=10)
    peer.wait_confirmed()
    say(peer, b"under the new one")
    check_equal(peer.wait_udp(session=session), b"under the new one", "data")


@case("ten years ahead, then restarted with the right time: a session in seconds")
def ten_years_ahead():
    for larger in "peer", "module":
        peer = fresh(larger)
        peer.respond()
        peer.wait_confirmed()
        ahead = veilproto.tai64n(time.time() + 10 * 365 * 86400)
        peer.initiate(time=ahead)
        idle(6)
        start = boottime()
        peer.forget()

        def restarted():
            """Initiates every 5 s as a module would, and answers."""
            now = boottime()
            if now >= restarted.next:
                restarted.next = now + 5
                peer.send(peer.initiator().initiation())
            entry = peer.take(INITIATION)
            return entry and peer.respond(veilproto.Responder(peer.me, entry[3]))

        restarted.next = start
        session = wait_until(restarted, 15, "the module initiates", every=0.1)
        note("after %.1f s" % (boottime() - start))
        peer.wait_confirmed()
        say(peer, b"back again")
        check_equal(peer.wait_udp(session=session), b"back again", "data")


@case("our own clock set back a day: our initiations still go forward")
def own_clock_back():
    peer = fresh()
    say(peer)
    first = peer.wait_initiation().time
    now = time.clock_gettime(time.CLOCK_REALTIME)
    try:
        time.clock_settime(time.CLOCK_REALTIME, now - 86400)
        second = peer.wait_initiation().time
    finally:
        time.clock_settime(time.CLOCK_REALTIME, now + 10)
    check(second > first, "the second initiation is later", first, second)


@case("data under an unknown index makes us initiate to that peer, every 5 s at most")
def unknown_index():
    peer = connected()
    session = peer.session
    peer = fresh()
    idle(100)
    peer.forget()
    message = sealed(peer, b"from before", session)
    before = alpha.drops()["unknown_index"]
    found = arrivals(peer, INITIATION, 14, lambda: peer.send(message))
    check(alpha.drops()["unknown_index"] > before, "unknown_index is counted")
    times = [when for when, _ in found]
    check_equal(len(times), 3, "initiations within 14 s")
    between(times[0], 0, 0.5, "the first")
    check(all(b - a >= 4.9 for a, b in zip(times, times[1:])), "5 s apart", times)
    peer.respond(veilproto.Responder(peer.me, found[-1][1]))
    wait_until(alpha.is_up, 10, "a session")


ktap.run(set_up)
