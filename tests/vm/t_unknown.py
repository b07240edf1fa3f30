#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=60 once=yes
"""Handshakes from addresses that are no peer's: silence, unless some peer roams;
cookies, rates and shares (PROTOCOL sections 5 and 6).

The module is on alpha. gamma, a third host at an address that alpha does not
know, has a peer in Python (veilproto) that roams.
"""

import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import pypeer
import veilproto
import wire
from hosts import alpha, beta, drops_since, receive
from ktap import case, check, check_equal, wait_until
from veilproto import COOKIE, DATA, INITIATION, PORT, RESPONSE, Identity, Initiator

INNER = "10.50.0.%d"
STAMPS_MAX = 16
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
state = {}


def set_up():
    hosts.set_up()
    state["gamma"] = hosts.add_gamma()


def drain():
    """Until all is handled that came."""
    last = [None]

    def still():
        last.append(alpha.drops())
        return last[-1] == last.pop(0)

    wait_until(still, 10, "no more drops", every=0.3)


def roamer(others=0):
    """alpha knows one roaming peer, which is on gamma, and some more."""
    pypeer.close_all()
    ours, theirs = pypeer.identities()
    alpha.control.set_private_key(ours.private)
    alpha.control.add_peer(theirs.public, INNER % 1, roaming=1)
    for number in range(others):
        key = Identity().public
        alpha.control.add_peer(key, INNER % (number + 2), roaming=1)
    peer = pypeer.PythonPeer(state["gamma"], theirs, alpha, ours.public)
    pypeer.open_peers.append(peer)
    return peer


def is_up(peer):
    return alpha.is_up(peer.me.public)


def moved(before):
    return drops_since(before, alpha.drops())


def dropped(peer, reason, message):
    """The message is counted under reason, and gets no answer."""
    before = alpha.drops()
    peer.forget()
    peer.send(message)
    wait_until(lambda: moved(before), 10, "a drop as " + reason)
    check_equal(moved(before), {reason: 1}, "drop counters that moved")
    check_equal(peer.poll(), [], "answers")


@case("a peer that roams gets a session from an unknown address, others silence")
def one_roamer():
    peer = roamer()
    stranger = Initiator(Identity(), peer.module_key, "10.9.0.3", alpha.v4)
    dropped(peer, "stranger", stranger.initiation())
    good = peer.initiator().initiation()
    for place in 4, 20, 30, 175:
        dropped(peer, "stranger", wire.flip(good, place))
    dropped(peer, "malformed", wire.flip(good, 2))
    dropped(peer, "malformed", good[:-1])
    peer.initiate()
    wait_until(lambda: is_up(peer), 10, "a session")
    # Its time is used up, wherever it comes from.
    message = peer.initiator(time=veilproto.tai64n(1000)).initiation()
    dropped(peer, "stale_initiation", message)


@case("the answer goes to the port that NAT made, and says that the peer roams")
def other_port():
    peer = roamer()
    initiator = peer.initiator()
    with state["gamma"].udp("10.9.0.3", 40000) as sock:
        sock.sendto(initiator.initiation(), (alpha.v4, PORT))
        answer = wait_until(lambda: receive(sock), 10, "a response")
        session, choice = initiator.finish(answer)
        check_equal(choice[2], veilproto.ROAMS, "flags of the response")
        message = session.seal_message(b"", flags=veilproto.TUNNEL)
        sock.sendto(message, (alpha.v4, PORT))
        wait_until(lambda: is_up(peer), 10, "a session")
        known = alpha.peer(peer.me.public)
        check_equal((known["endpoint"], known["port"]), ("10.9.0.3", 40000), "place")


@case("without a peer that roams even its own stamp gets silence")
def nobody_roams():
    peer = roamer()
    alpha.control.set_roaming(peer.me.public, 0)
    # It has an address now, and alpha a reason to look for a way there.
    wait_until(lambda: alpha.drops()["no_route"], 10, "an initiation without a route")
    dropped(peer, "stranger", peer.initiator().initiation())
    alpha.control.set_roaming(peer.me.public, 1)
    peer.initiate()
    wait_until(lambda: is_up(peer), 10, "a session")


@case("before it was heard, a peer that roams is sent nothing, and nothing in clear")
def unheard():
    peer = roamer()
    tap = wire.Tap(hosts.wire)
    hosts.ip_batch(alpha, "route replace 10.50.0.0/24 via 10.9.0.3 src " + alpha.v4)
    injector = wire.Injector(hosts.wire, "wa", state["gamma"].mac(), alpha.mac())
    before = alpha.drops()
    with alpha.udp(alpha.v4, 7000) as app:
        injector.udp(INNER % 1, alpha.v4, 7000, 7000, b"in clear")
        app.sendto(MARKER, (INNER % 1, 7000))
        wait_until(lambda: moved(before), 10, "a drop")
        check_equal(moved(before), {"plaintext_in": 1}, "drops")
        check_equal(receive(app), None, "delivered")
        check_equal(alpha.peer(peer.me.public)["queued"], 1, "what waits")
        peer.initiate()
        entry = wait_until(lambda: peer.take(DATA), 10, "what waited")
        opened = peer.session.open_message(entry[3])
        check(MARKER in opened, "what waited is sealed, for where the peer is", opened)
    seen = [p for p in tap.packets() if p.source == alpha.v4]
    check(seen and all(p.destination == "10.9.0.3" for p in seen), "where it went")
    check(not any(MARKER in frame for frame in tap.frames()), "nothing in clear")
    # Nothing comes, and nobody is heard: what waits is dropped, and not sent.
    peer = roamer()
    with alpha.udp(alpha.v4) as app:
        app.sendto(MARKER, (INNER % 1, 7000))
        dropped_by = lambda: alpha.drops()["no_session"]
        wait_until(dropped_by, 30, "a drop as no_session")
    check(not any(MARKER in frame for frame in tap.frames()), "nothing in clear")


@case("nothing is answered to all, or to ourselves, stamp or not")
def nobody():
    tap = wire.Tap(hosts.wire)
    injector = wire.Injector(hosts.wire, "wa", state["gamma"].mac(), alpha.mac())
    places = ("10.9.0.255", PORT), ("255.255.255.255", PORT), (alpha.v4, 7000)
    for others in 0, STAMPS_MAX:
        for place, port in places:
            peer = roamer(others)
            stamped = peer.initiator().initiation()
            junk = Initiator(Identity(), peer.module_key, place, alpha.v4).initiation()
            before = alpha.drops()
            for message in [stamped] + [junk] * (20 if others else 0):
                injector.udp(place, alpha.v4, port, PORT, message)
            wait_until(lambda b=before: moved(b).get("no_route"), 10, "an answer's drop")
            drain()
    sent = {p.destination for p in tap.packets() if p.source == alpha.v4}
    # Ours from "ourselves" among them.
    check(sent <= {"10.9.0.3", alpha.v4}, "nothing went there", sent)


@case("under bypass a peer that roams gets silence as well")
def bypass():
    for others in 0, STAMPS_MAX:
        peer = roamer(others)
        alpha.control.set_peer_policy(peer.me.public, "bypass")
        dropped(peer, "stranger", peer.initiator().initiation())
        alpha.control.set_peer_policy(peer.me.public, "require")
        peer.initiate()
        wait_until(lambda p=peer: is_up(p), 10, "a session")


@case("from a fixed peer's address a wrong stamp is told as that peer's")
def wrong_stamp():
    peer = roamer()
    me = Identity()
    alpha.control.add_peer(me.public, *beta.addresses)
    fixed = pypeer.PythonPeer(beta, me, alpha, peer.module_key)
    pypeer.open_peers.append(fixed)
    # Its pair is there.
    fixed.wait(INITIATION)
    stranger = Initiator(Identity(), peer.module_key, beta.v4, alpha.v4)
    fixed.refused("bad_stamp", stranger.initiation())
    # And one that roams may be there.
    message = peer.initiator().initiation()
    fixed.send(message)
    wait_until(lambda: fixed.take(RESPONSE), 10, "a response")


@case("many peers that roam: mac1 and X25519 tell whose an initiation is")
def many_roamers():
    peer = roamer(STAMPS_MAX)
    good = peer.initiator().initiation()
    dropped(peer, "bad_mac1", wire.flip(good, -17))
    dropped(peer, "bad_mac1", wire.flip(good, 20))
    for initiator in (
        Initiator(Identity(), peer.module_key, "10.9.0.3", alpha.v4),
        peer.initiator(alter=lambda noise1: wire.flip(noise1, 33)),
    ):
        dropped(peer, "stranger", initiator.initiation())
    peer.initiate()
    wait_until(lambda: is_up(peer), 10, "a session")


def load(peer):
    """More initiations with a right mac1 than are handled at once, until one of
    them is answered by a cookie reply."""
    junk = Initiator(Identity(), peer.module_key, "10.9.0.3", alpha.v4).initiation()

    def loaded():
        for _ in range(60):
            peer.send(junk)
        return peer.take(COOKIE)

    wait_until(loaded, 20, "a cookie reply")
    return junk


def by_cookie(peer, junk, count):
    """With a wrong mac2 it gets a cookie, and with a right one a response, though
    so much junk comes beside it."""
    initiator = answer = None
    end = time.monotonic() + 30

    def answered():
        index = initiator.index.to_bytes(4, "big")
        found = [e[3] for e in peer.poll() if index in (e[3][4:8], e[3][8:12])]
        peer.forget()
        return found

    # A share that is empty may not be so any more when its turn comes, and a queue
    # that is full has no place for it.
    while not answer or answer[0] != COOKIE:
        check(time.monotonic() < end, "a cookie reply for a wrong mac2")
        initiator = peer.initiator(cookie=os.urandom(16))
        for _ in range(count):
            peer.send(junk)
        peer.send(initiator.initiation())
        with contextlib.suppress(AssertionError):
            answer = wait_until(answered, 2, "an answer to a wrong mac2")[0]
    check(len(answer) < len(initiator.message), "it is shorter than what it answers")
    initiator.take_cookie(answer)
    initiator.header = None

    def session():
        for _ in range(count):
            peer.send(junk)
        peer.send(initiator.initiation())
        initiator.header = None
        return peer.take(RESPONSE)

    wait_until(session, 20, "a response with a right mac2", every=0.1)


@case("who only says to be somewhere does not use up the share of who is there")
def claims():
    peer = roamer(STAMPS_MAX)
    junk = Initiator(Identity(), peer.module_key, "10.9.0.3", alpha.v4).initiation()
    by_cookie(peer, junk, 10)
    counts = moved({})
    check(counts.get("stranger") and counts.get("no_cookie"), "both ways", counts)
    check("handshake_queue_full" not in counts, "without load", counts)
    drain()


@case("under load an unknown address has to show that it is one, by a cookie")
def cookies():
    peer = roamer(STAMPS_MAX)
    by_cookie(peer, load(peer), 10)
    check(alpha.drops()["no_cookie"] > 32, "initiations without a cookie", moved({}))
    drain()


@case("under load a peer that roams needs no cookie where it was last heard")
def known_place():
    peer = roamer(STAMPS_MAX)

    def up():
        # The load before has emptied its share: again, when that has filled.
        with contextlib.suppress(AssertionError):
            peer.initiate(seconds=1)
        return is_up(peer)

    wait_until(up, 30, "a session")
    load(peer)
    peer.forget()
    initiator = peer.initiator()
    peer.send(initiator.initiation())
    index = initiator.index.to_bytes(4, "big")

    def answers():
        return [e[3][0] for e in peer.poll() if index in (e[3][4:8], e[3][8:12])]

    check_equal(wait_until(answers, 10, "an answer"), [RESPONSE], "the answer")
    drain()


@case("peers at known addresses need no cookie, and do not notice the load")
def fixed_peers():
    peer = roamer(STAMPS_MAX)
    me = pypeer.larger_than(peer.module_key)
    alpha.control.add_peer(me.public, *beta.addresses)
    fixed = pypeer.PythonPeer(beta, me, alpha, peer.module_key)
    pypeer.open_peers.append(fixed)
    load(peer)
    fixed.initiate()
    wait_until(lambda: alpha.is_up(me.public), 10, "a session")
    drain()


@case("the module answers a cookie reply by a mac2, once, and no forged one")
def as_initiator():
    cookie = os.urandom(16)

    def begin():
        peer = pypeer.fresh()
        first = peer.wait(INITIATION)[3]
        return peer, first, veilproto.cookie_reply(peer.me.public, first, cookie)

    peer, first, reply = begin()
    for place, reason in (
        (1, "malformed"),
        (4, "unexpected_response"),
        (8, "handshake_failed"),
        (40, "handshake_failed"),
        (71, "handshake_failed"),
    ):
        peer.refused(reason, wire.flip(reply, place), INITIATION)
    # What is answered within 5 s is not overtaken by the next one.
    peer, first, reply = begin()
    forged = veilproto.cookie_reply(peer.module_key, first, cookie)
    peer.refused("handshake_failed", forged, INITIATION)
    other = veilproto.cookie_reply(peer.me.public, wire.flip(first, -32), cookie)
    peer.refused("handshake_failed", other, INITIATION)
    peer.send(reply)
    again = veilproto.cookie_reply(peer.me.public, first, os.urandom(16))
    peer.refused("unexpected_response", again, INITIATION)
    second = peer.wait(INITIATION)[3]
    responder = veilproto.Responder(peer.me, second, cookie)
    peer.respond(responder)
    peer.send_keepalive()
    wait_until(alpha.is_up, 10, "a session")


@case("one peer with right keys does not take the others' share of the workers")
def shares():
    peer = pypeer.fresh()
    me = pypeer.larger_than(peer.module_key)
    alpha.control.add_peer(me.public, "10.9.0.3")
    other = pypeer.PythonPeer(state["gamma"], me, alpha, peer.module_key)
    pypeer.open_peers.append(other)
    made = [peer.initiator(time=veilproto.tai64n(10**9 + n)) for n in range(400)]
    messages = [initiator.initiation() for initiator in made]
    before = alpha.drops()
    for message in messages:
        peer.send(message)
    other.initiate()

    def counted():
        counts = moved(before)
        over = counts.get("rate_limited", 0) + counts.get("handshake_queue_full", 0)
        return over >= len(messages) // 2 and counts

    counts = wait_until(counted, 10, "most of them dropped")
    ktap.note(counts)
    wait_until(lambda: alpha.is_up(me.public), 10, "the other's session")


ktap.run(set_up)
