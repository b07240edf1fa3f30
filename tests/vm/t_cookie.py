#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=40
"""Cookies as initiator, and a peer's share of the handshake workers (PROTOCOL
section 6).
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import pypeer
import veilproto
import wire
from hosts import alpha, drops_since
from ktap import case, wait_until
from veilproto import INITIATION

state = {}


def set_up():
    hosts.set_up()
    state["gamma"] = hosts.add_gamma()


def moved(before):
    return drops_since(before, alpha.drops())


@case("the module answers a cookie reply by a mac2, once, and no forged one")
def as_initiator():
    peer = pypeer.fresh()
    first = peer.wait(INITIATION)[3]
    cookie = os.urandom(16)
    reply = veilproto.cookie_reply(peer.me.public, first, cookie)
    for place, reason in (
        (1, "malformed"),
        (4, "unexpected_response"),
        (8, "handshake_failed"),
        (40, "handshake_failed"),
        (71, "handshake_failed"),
    ):
        peer.refused(reason, wire.flip(reply, place), INITIATION)
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
