#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: icount=yes timeout=100 once=yes
"""Handshake messages that are repeated, changed or made up: counted, not answered,
and no harm to the handshake that is under way (PROTOCOL sections 1 to 3).

The module is on alpha, its peer in Python (veilproto) on beta, knows all keys of
its own, and so can make messages that are wrong in one place only.
"""

import copy
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import veilproto
import wire
from hosts import alpha, beta, drops_since
from ktap import case, check, check_equal, wait_until
from pypeer import fresh
from veilproto import (
    AES_256_GCM,
    CHACHA20_POLY1305,
    CLOSE,
    DATA,
    INITIATION,
    RESPONSE,
    Identity,
    Initiator,
)

PSK = bytes(range(1, 33))

UDP_SEGMENT = 103


@case("a replayed initiation is refused, before and after confirmation")
def replayed_initiation():
    peer = fresh()
    initiator = peer.initiator()
    message = initiator.initiation()
    peer.send(message)
    peer.finish(initiator)
    peer.refused("repeated_initiation", message)
    peer.send_keepalive()
    wait_until(alpha.is_up, 10, "a session")
    peer.refused("stale_initiation", message)
    older = peer.initiator(time=veilproto.tai64n(1000)).initiation()
    peer.refused("stale_initiation", older)
    peer.talk()


@case("a replayed response is refused")
def replayed_response():
    peer = fresh()
    peer.say(b"x")
    responder = peer.wait_initiation()
    message, session = responder.response(beta.v4, alpha.v4)
    peer.adopt(session)
    peer.send(message)
    peer.wait_udp()
    peer.refused("unexpected_response", message)
    peer.talk()


@case("a response that is wrong does not spoil the handshake")
def wrong_responses():
    peer = fresh()
    peer.say(b"after forgeries")
    responder = peer.wait_initiation()
    low_order = {"ephemeral": Identity(public=bytes(32))}
    twin = copy.deepcopy(responder)
    zero, _ = twin.response(beta.v4, alpha.v4, **low_order)
    good, session = responder.response(beta.v4, alpha.v4)
    header = veilproto.RESPONSE_HEADER.size
    for place in header, header + 40, -40:
        changed = wire.flip(good[:-32], place if place > 0 else place + 32)
        # Anybody can make mac1, and the peer alone the stamp.
        peer.refused("bad_stamp", veilproto.with_macs(peer.module_key, changed))
        peer.refused("handshake_failed", responder.stamped(changed))
    for place in -32, -16, -9:
        peer.refused("bad_stamp", wire.flip(good, place))
    peer.refused("handshake_failed", zero)
    other_psk = wire.flip(good[:-32], 2)
    peer.refused("psk_mismatch", responder.stamped(other_psk))
    for place, bit in ((1, 2), (2, 4), (3, 1), (-8, 1), (-1, 1)):
        peer.refused("malformed", wire.flip(good, place, bit))
    for length in 1, 16, len(good) - 1:
        peer.refused("malformed", good[:length])
    peer.refused("malformed", good + b"\0")
    for place in range(4, header):
        peer.refused("unexpected_response", wire.flip(good, place))
    peer.adopt(session)
    peer.send(good)
    check_equal(peer.wait_udp(), b"after forgeries", "the packet that waited")
    peer.talk()


@case("cookie replies, which anybody can make, leave room for the response")
def many_cookies():
    peer = fresh()
    peer.say(b"after cookies")
    responder = peer.wait_initiation()
    # The sender's device has to take them as one.
    for host in peer.host, peer.module_host:
        host.run("ethtool", "-K", "eth0", "gro", "on", "sg", "on", "tx", "on")
    header = bytes((veilproto.COOKIE, 0, 0, 0)) + responder.remote_index.to_bytes(4, "big")
    replies = [header + os.urandom(64) for _ in range(16)]
    # At once, which the worker does not see.
    sock, before = peer.sockets[beta.v4], alpha.drops()
    sock.setsockopt(socket.SOL_UDP, UDP_SEGMENT, len(replies[0]))
    peer.send(b"".join(replies))
    sock.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 0)
    wait_until(lambda: sum(drops_since(before, alpha.drops()).values()) == 16, 10, "their end")
    check_equal(drops_since(before, alpha.drops()).get("handshake_queue_full"), 12, "not let in")
    peer.respond(responder)
    check_equal(peer.wait_udp(), b"after cookies", "the packet that waited")


@case("cookie replies do not hasten what bears one already: a slow response is in time")
def hasty_cookies():
    peer = fresh()
    peer.say(b"by a slow path")
    times, cookie = [], bytes(16)
    for _ in range(3):
        message = peer.wait(INITIATION)[3]
        times.append(time.monotonic())
        peer.send(veilproto.cookie_reply(peer.me.public, message, cookie))
    check(times[2] - times[1] > 3, "time for a response", times)
    peer.respond(veilproto.Responder(peer.me, message, cookie))
    check_equal(peer.wait_udp(), b"by a slow path", "the packet that waited")


@case("initiations of which nothing came, repeated later, do not end ours")
def recorded():
    peer = fresh(larger="peer")
    peer.initiate()
    wait_until(alpha.is_up, 10, "a session")
    peer.talk()
    # Which the module never got; read by a tap at the peer's end.
    old = [peer.initiator().initiation() for _ in range(2)]
    peer.send(peer.session.keepalive(beta.v4, alpha.v4, flags=CLOSE))
    wait_until(lambda: not alpha.is_up(), 10, "no session")
    peer.forget()
    peer.say()
    for message in old:
        responder = peer.wait_initiation()
        peer.send(message)
        wait_until(lambda: peer.count(RESPONSE), 10, "an answer to the recording")
        peer.forget()
    peer.respond(responder)
    wait_until(alpha.is_up, 5, "a session")


@case("a response may choose only what was offered")
def wrong_choices():
    for forged, reason in (
        ({"aead": 3}, "no_common_cipher"),
        ({"aead": CHACHA20_POLY1305}, "no_common_cipher"),
        ({"psk_choice": 1}, "psk_mismatch"),
        ({"lanes": 0}, "malformed"),
        ({"lanes": 65}, "malformed"),
        ({"index": 0}, "malformed"),
    ):
        peer = fresh(cipher=AES_256_GCM)
        peer.say(b"x")
        responder = peer.wait_initiation()
        message, session = responder.response(beta.v4, alpha.v4, **forged)
        peer.refused(reason, message, DATA)
        check(not alpha.is_up(), "no session is up", forged)
        keepalive = session.keepalive(beta.v4, alpha.v4)
        peer.refused("unknown_index", keepalive, DATA)


@case("an initiation that is wrong in one place is refused")
def wrong_initiations():
    peer = fresh()
    good = peer.initiator().initiation()
    for place, bit in ((1, 3), (2, 1), (3, 0x80)):
        peer.refused("malformed", wire.flip(good, place, bit))
    for length in len(good) - 1, 20, 1:
        peer.refused("malformed", good[:length])
    peer.refused("malformed", good + b"\0")
    for place in 4, 8, 19, 20, 27, 28, 59, 60, 107, 108, 160, 175:
        peer.refused("bad_stamp", wire.flip(good, place))
    # The peer itself says something wrong: the same, with a right stamp.
    for place in 32, 79, 80, 132, 147:
        initiator = peer.initiator(alter=lambda noise1: wire.flip(noise1, place))
        peer.refused("handshake_failed", initiator.initiation())
    initiator = peer.initiator(ephemeral=Identity(b"\1" * 32, bytes(32)))
    initiator.es = bytes(32)
    peer.refused("handshake_failed", initiator.initiation())
    for lanes in 0, 65:
        peer.refused("malformed", peer.initiator(lanes=lanes).initiation())
    peer.initiate()
    peer.talk()


@case("a copy that is altered and sent ahead does not spoil an initiation")
def altered_ahead():
    peer = fresh()
    initiator = peer.initiator()
    good = initiator.initiation()
    for place in 8, 20, 28, 60, 170:
        peer.refused("bad_stamp", wire.flip(good, place))
    # mac1 is for strangers: behind a right stamp it is not looked at, or else
    # this copy would use up the initiation's time.
    peer.send(wire.flip(good, -32))
    peer.finish(initiator)
    peer.send_keepalive()
    peer.talk()


@case("a stranger's initiation gets no answer: other key, other address")
def strangers():
    peer = fresh()
    other = Initiator(Identity(), peer.module_key, beta.v4, alpha.v4)
    peer.refused("bad_stamp", other.initiation())
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
        peer.say(b"x")
        message, _ = peer.wait_initiation().response(beta.v4, alpha.v4)
        peer.refused("psk_mismatch", message, DATA)
        peer.refused("psk_mismatch", peer.initiator().initiation())
    peer = fresh()
    peer.refused("psk_mismatch", peer.initiator(psks=(PSK,)).initiation())


ktap.run(hosts.set_up)
