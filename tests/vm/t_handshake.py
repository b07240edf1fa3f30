#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=150
"""The handshake of the real module with an independent implementation, and with
an attacker who knows it (PROTOCOL section 2).

The module is on alpha, its peer in Python (veilproto) on beta.
"""

import copy
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import pypeer
import veilproto
import wire
from hosts import alpha, beta, drops_since, receive
from ktap import case, check, check_equal, wait_until
from veilproto import (
    AES_256_GCM,
    CHACHA20_POLY1305,
    DATA,
    INITIATION,
    RESPONSE,
    Identity,
    Initiator,
    ProtocolError,
)

APP = 7000
PSK = bytes(range(1, 33))
open_peers = []


def set_up():
    hosts.set_up()


def fresh(larger="peer", psk=None, peer_psk=None, cipher=0):
    """alpha configured anew, and its Python peer. larger: whose public key is."""
    small, large = pypeer.identities()
    ours, theirs = (small, large) if larger == "peer" else (large, small)
    hosts.flush_all()
    while open_peers:
        open_peers.pop().close()
    peer = pypeer.PythonPeer(
        beta, theirs, alpha, ours.public, [p for p in (peer_psk or psk,) if p]
    )
    open_peers.append(peer)
    peer.module_identity = ours
    alpha.control.set_private_key(ours.private)
    alpha.control.set_cipher(cipher)
    alpha.control.add_peer(theirs.public, *beta.addresses, psk=psk)
    peer.app = alpha.udp(alpha.v4, 0)
    peer.app_port = peer.app.getsockname()[1]
    return peer


def say(peer, payload):
    """A datagram from alpha's application towards the peer."""
    peer.app.sendto(payload, (beta.v4, APP))


def talk(peer, payload=b"hello"):
    """Sealed data passes both ways under peer.session."""
    say(peer, payload)
    got = peer.wait_udp()
    check_equal(got, payload, "what the peer opened")
    peer.send_udp(APP, peer.app_port, payload)
    pypeer.socket_receives(peer.app, payload)


def refused(peer, reason, message, answers=RESPONSE):
    """message is counted under reason and not answered."""
    before = alpha.drops()
    peer.forget()
    peer.send(message)

    def moved():
        return drops_since(before, alpha.drops())

    wait_until(lambda: reason in moved(), 10, "drop " + reason)
    check_equal(moved(), {reason: 1}, "drop counters that moved")
    check_equal(peer.count(answers), 0, "answers")


@case("the module initiates: both AEADs, with and without psk")
def initiates():
    for psk in None, PSK:
        for aead in AES_256_GCM, CHACHA20_POLY1305:
            peer = fresh(psk=psk, cipher=aead)
            say(peer, b"first")
            responder = peer.wait_initiation()
            check_equal(responder.aeads, bytes([aead]), "AEADs offered")
            ends = responder.source, responder.destination
            wanted = tuple(map(veilproto.address_bytes, (alpha.v4, beta.v4)))
            check_equal(ends, wanted, "addresses in the offer")
            ids = [veilproto.psk_id(psk) if psk else bytes(8), bytes(8)]
            check_equal(responder.psk_ids, ids, "psk ids offered")
            check_equal(peer.count(DATA), 0, "data before the response")
            peer.respond(responder)
            check_equal(peer.wait_udp(), b"first", "the packet that waited")
            talk(peer)
            check_equal(alpha.peer()["cipher"], aead, "AEAD in use")


@case("the module responds: both AEADs, with and without psk")
def responds():
    for psk in None, PSK:
        for aead in AES_256_GCM, CHACHA20_POLY1305:
            peer = fresh(psk=psk, cipher=aead)
            peer.initiate()
            wait_until(alpha.is_up, 10, "a session")
            talk(peer)
            check_equal(alpha.peer()["cipher"], aead, "AEAD in use")


@case("AEADs are offered by speed; a pinned one alone, and no other is answered")
def offered():
    peer = fresh()
    say(peer, b"x")
    wanted = alpha.control.get()["aeads"]
    check_equal(tuple(peer.wait_initiation().aeads), wanted, "AEADs offered")
    for aeads in (AES_256_GCM, CHACHA20_POLY1305), (CHACHA20_POLY1305, AES_256_GCM):
        peer = fresh()
        session = peer.initiate(aeads=aeads)
        chosen = veilproto.choose_aead(wanted, aeads)
        check_equal(session.aead, chosen, "AEAD chosen of %s and %s" % (wanted, aeads))
    peer = fresh(cipher=CHACHA20_POLY1305)
    say(peer, b"x")
    check_equal(peer.wait_initiation().aeads, bytes([2]), "AEADs offered")
    message = peer.initiator(aeads=(AES_256_GCM,)).initiation()
    refused(peer, "no_common_cipher", message)


@case("a responder sends nothing until the session is confirmed")
def confirmation():
    peer = fresh()
    peer.initiate(confirm=False)
    for number in range(5):
        say(peer, b"waits %d" % number)
    wait_until(lambda: alpha.peer()["queued"] == 5, 10, "5 queued packets")
    check(not alpha.is_up(), "no session is up before confirmation")
    check_equal(peer.count(DATA), 0, "data before confirmation")
    peer.send_keepalive()
    got = [peer.wait_udp() for _ in range(5)]
    check_equal(got, [b"waits %d" % n for n in range(5)], "the queue")
    check(alpha.is_up(), "the session is up")
    talk(peer)


@case("an initiation forged with the responder's own key gets nothing sealed")
def forged_initiation():
    peer = fresh()
    say(peer, b"secret 0")
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
        say(peer, b"secret %d" % number)
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
    talk(peer)
    for _ in range(3):
        peer.initiate(confirm=False)
    say(peer, b"still the old session")
    got = peer.wait_udp(session=session)
    check_equal(got, b"still the old session", "data")
    message = peer.seal_udp(APP, peer.app_port, b"and back", session=session)
    peer.send(message)
    pypeer.socket_receives(peer.app, b"and back")


@case("after a rekey the previous session still opens")
def previous_opens():
    peer = fresh()
    old = peer.initiate()
    talk(peer)
    late = peer.seal_udp(APP, peer.app_port, b"late", session=old)
    new = peer.initiate()
    talk(peer)
    peer.send(late)
    pypeer.socket_receives(peer.app, b"late")
    say(peer, b"new")
    check_equal(peer.wait_udp(session=new), b"new", "sealed under the new one")


@case("crossing initiations, the module's key smaller: it answers, drops its own")
def crossing_smaller():
    peer = fresh(larger="peer")
    say(peer, b"crossed")
    theirs = peer.wait_initiation()
    initiator = peer.initiator()
    peer.send(initiator.initiation())
    peer.finish(initiator)
    message, _ = theirs.response(beta.v4, alpha.v4)
    refused(peer, "unexpected_response", message)
    peer.send_keepalive()
    check_equal(peer.wait_udp(), b"crossed", "the packet that waited")
    check_equal(peer.count(INITIATION), 0, "further initiations")


@case("crossing initiations, the module's key larger: it ignores the other's")
def crossing_larger():
    peer = fresh(larger="module")
    say(peer, b"crossed")
    theirs = peer.wait_initiation()
    refused(peer, "crossed_initiation", peer.initiator().initiation())
    peer.respond(theirs)
    check_equal(peer.wait_udp(), b"crossed", "the packet that waited")
    check_equal(peer.count(INITIATION), 0, "further initiations")


def hold_both(relay):
    """A rule that lets the first initiations pass only when there is one from
    each end; returns what it saw of handshakes."""
    held, seen = {}, []

    def rule(to, frame):
        message = wire.netveil_message(frame)
        if message[:1] in (b"\1", b"\2"):
            seen.append((to, message[0]))
        if message[:1] != b"\1" or len(held) == 2:
            return [frame]
        held[to] = frame
        if len(held) == 2:
            for port, kept in held.items():
                relay.send(port, kept)
        return []

    relay.rule = rule
    return seen


@case("crossing initiations of two modules: one round trip")
def crossing_modules():
    while open_peers:
        open_peers.pop().close()
    hosts.flush_all()
    a, b = alpha.udp(alpha.v4, APP), beta.udp(beta.v4, APP)
    with wire.Relay(hosts.wire) as relay:
        seen = hold_both(relay)
        ours, theirs = Identity(), Identity()
        hosts.make_peer(alpha, ours, theirs.public, beta)
        hosts.make_peer(beta, theirs, ours.public, alpha)
        a.sendto(b"from alpha", (beta.v4, APP))
        b.sendto(b"from beta", (alpha.v4, APP))
        pypeer.socket_receives(b, b"from alpha")
        pypeer.socket_receives(a, b"from beta")
    kinds = [kind for _, kind in seen]
    check_equal(kinds, [INITIATION, INITIATION, RESPONSE], "handshake messages")
    check(alpha.is_up() and beta.is_up(), "sessions are up")


@case("a replayed initiation is refused, before and after confirmation")
def replayed_initiation():
    peer = fresh()
    initiator = peer.initiator()
    message = initiator.initiation()
    peer.send(message)
    peer.finish(initiator)
    refused(peer, "repeated_initiation", message)
    peer.send_keepalive()
    wait_until(alpha.is_up, 10, "a session")
    refused(peer, "stale_initiation", message)
    older = peer.initiator(time=veilproto.tai64n(1000)).initiation()
    refused(peer, "stale_initiation", older)
    talk(peer)


@case("a replayed response is refused")
def replayed_response():
    peer = fresh()
    say(peer, b"x")
    responder = peer.wait_initiation()
    message, session = responder.response(beta.v4, alpha.v4)
    peer.adopt(session)
    peer.send(message)
    peer.wait_udp()
    refused(peer, "unexpected_response", message)
    talk(peer)


@case("a response that is wrong does not spoil the handshake")
def wrong_responses():
    peer = fresh()
    say(peer, b"after forgeries")
    responder = peer.wait_initiation()
    low_order = {"ephemeral": Identity(public=bytes(32))}
    twin = copy.deepcopy(responder)
    zero, _ = twin.response(beta.v4, alpha.v4, **low_order)
    good, session = responder.response(beta.v4, alpha.v4)
    header = veilproto.RESPONSE_HEADER.size
    for place in header, header + 40, -40:
        changed = wire.flip(good[:-32], place if place > 0 else place + 32)
        message = veilproto.with_macs(peer.module_key, changed)
        refused(peer, "handshake_failed", message)
    refused(peer, "handshake_failed", wire.flip(good, -32))
    refused(peer, "handshake_failed", zero)
    other_psk = wire.flip(good[:-32], 2)
    message = veilproto.with_macs(peer.module_key, other_psk)
    refused(peer, "psk_mismatch", message)
    for place, bit in ((1, 2), (2, 4), (3, 1)):
        refused(peer, "malformed", wire.flip(good, place, bit))
    for length in 1, 16, len(good) - 1:
        refused(peer, "malformed", good[:length])
    refused(peer, "malformed", good + b"\0")
    refused(peer, "unexpected_response", wire.flip(good, 8))
    peer.adopt(session)
    peer.send(good)
    check_equal(peer.wait_udp(), b"after forgeries", "the packet that waited")
    talk(peer)


@case("a response may choose only what was offered")
def wrong_choices():
    for forged, reason in (
        ({"aead": 3}, "no_common_cipher"),
        ({"aead": CHACHA20_POLY1305}, "no_common_cipher"),
        ({"psk_choice": 1}, "psk_mismatch"),
        ({"lanes": 0}, "malformed"),
        ({"lanes": 65}, "malformed"),
    ):
        peer = fresh(cipher=AES_256_GCM)
        say(peer, b"x")
        responder = peer.wait_initiation()
        message, session = responder.response(beta.v4, alpha.v4, **forged)
        refused(peer, reason, message, DATA)
        check(not alpha.is_up(), "no session is up", forged)
        keepalive = session.keepalive(beta.v4, alpha.v4)
        refused(peer, "unknown_index", keepalive, DATA)


@case("an initiation that is wrong in one place is refused")
def wrong_initiations():
    peer = fresh()
    good = peer.initiator().initiation()
    for place, bit in ((1, 3), (2, 1), (3, 0x80)):
        refused(peer, "malformed", wire.flip(good, place, bit))
    for length in len(good) - 1, 20, 1:
        refused(peer, "malformed", good[:length])
    refused(peer, "malformed", good + b"\0")
    for place in 4, 8, 19, 20, 27, 28:
        refused(peer, "bad_stamp", wire.flip(good, place))
    for place in 70, 120, -40, -32:
        good = peer.initiator().initiation()
        changed = wire.flip(good, place)
        if place != -32:
            changed = veilproto.with_macs(peer.module_key, changed[:-32])
        refused(peer, "handshake_failed", changed)
    initiator = peer.initiator(ephemeral=Identity(b"\1" * 32, bytes(32)))
    initiator.es = bytes(32)
    refused(peer, "handshake_failed", initiator.initiation())
    for lanes in 0, 65:
        refused(peer, "malformed", peer.initiator(lanes=lanes).initiation())
    peer.initiate()
    talk(peer)


@case("a stranger's initiation gets no answer: other key, other address")
def strangers():
    peer = fresh()
    other = Initiator(Identity(), peer.module_key, beta.v4, alpha.v4)
    refused(peer, "bad_stamp", other.initiation())
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    tap = wire.Tap(hosts.wire)
    for source, target in ("10.9.0.99", alpha.v4), ("fd09::99", alpha.v6):
        before = alpha.drops()
        good = peer.initiator().initiation()
        injector.udp(source, target, veilproto.PORT, veilproto.PORT, good)
        wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
        moved = drops_since(before, alpha.drops())
        check_equal(moved, {"stranger": 1}, "drop counters that moved")
    peer.initiate()
    answered = wire.messages(tap.packets(), RESPONSE)
    check_equal(len(answered), 1, "responses, the right initiation's included")


@case("a psk that one end lacks, or that differs, gives no session")
def psk_mismatch():
    for ours, theirs in (PSK, None), (PSK, bytes(32 * [7])):
        peer = fresh(psk=ours, peer_psk=theirs)
        peer.psks = (theirs,) if theirs else ()
        say(peer, b"x")
        message, _ = peer.wait_initiation().response(beta.v4, alpha.v4)
        refused(peer, "psk_mismatch", message, DATA)
        refused(peer, "psk_mismatch", peer.initiator().initiation())
    peer = fresh()
    refused(peer, "psk_mismatch", peer.initiator(psks=(PSK,)).initiation())


@case("a psk second in the offer is found, and named in the response")
def second_psk():
    peer = fresh(psk=PSK)
    peer.psks = bytes(32 * [7]), PSK
    initiator = peer.initiator()
    peer.send(initiator.initiation())
    _, _, _, response = peer.wait(RESPONSE)
    check_equal(response[2], 2, "psk choice in the response")
    peer.adopt(initiator.finish(response)[0])
    peer.send_keepalive()
    talk(peer)


@case("addresses that differ from the outer ones, NAT, lead to tunnel mode")
def nat():
    peer = fresh()
    initiator = peer.initiator()
    initiator.source = "192.168.1.2"
    peer.send(initiator.initiation())
    peer.finish(initiator)
    check_equal(receive(peer.app), None, "delivered so far")
    say(peer, b"through NAT")
    peer.send(peer.session.seal_message(b"", flags=veilproto.TUNNEL))
    protocol, inner = wait_until(lambda: sealed(peer), 10, "a sealed packet")
    check_equal(protocol, 4, "mode of the sealed packet")
    datagram = packets.parse_udp(packets.parse_ipv4(inner).payload)
    check_equal(datagram.payload, b"through NAT", "inner packet")


def sealed(peer):
    """The next packet that is not a keepalive."""
    opened = peer.take_data()
    return opened if opened and opened[0] is not None else None


ktap.run(set_up)
