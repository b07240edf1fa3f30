#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=100 once=yes
"""The handshake of the module with an independent implementation, in both roles:
ciphers, psks, addresses (PROTOCOL section 2).

The module is on alpha, its peer in Python (veilproto) on beta.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import packets
import veilproto
import wire
from hosts import alpha, beta, receive
from ktap import case, check_equal, wait_until
from pypeer import fresh
from veilproto import AES_256_GCM, CHACHA20_POLY1305, DATA, RESPONSE

PSK = bytes(range(1, 33))
ELSEWHERE = "10.9.0.77"
KNOWN = tuple(map(veilproto.address_bytes, (alpha.v6, beta.v6)))


@case("the module initiates: both AEADs, with and without psk")
def initiates():
    for psk in None, PSK:
        for aead in AES_256_GCM, CHACHA20_POLY1305:
            peer = fresh(psk=psk, cipher=aead)
            peer.say(b"first")
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
            peer.talk()
            check_equal(alpha.peer()["cipher"], aead, "AEAD in use")


@case("the module responds: both AEADs, with and without psk")
def responds():
    for psk in None, PSK:
        for aead in AES_256_GCM, CHACHA20_POLY1305:
            peer = fresh(psk=psk, cipher=aead)
            peer.initiate()
            wait_until(alpha.is_up, 10, "a session")
            peer.talk()
            check_equal(alpha.peer()["cipher"], aead, "AEAD in use")


@case("AEADs are offered by speed; a pinned one alone, and no other is answered")
def offered():
    peer = fresh()
    peer.say(b"x")
    wanted = alpha.control.get()["aeads"]
    check_equal(tuple(peer.wait_initiation().aeads), wanted, "AEADs offered")
    for aeads in (AES_256_GCM, CHACHA20_POLY1305), (CHACHA20_POLY1305, AES_256_GCM):
        peer = fresh()
        session = peer.initiate(aeads=aeads)
        chosen = veilproto.choose_aead(wanted, aeads)
        check_equal(session.aead, chosen, "AEAD chosen of %s and %s" % (wanted, aeads))
    peer = fresh(cipher=CHACHA20_POLY1305)
    peer.say(b"x")
    check_equal(peer.wait_initiation().aeads, bytes([2]), "AEADs offered")
    message = peer.initiator(aeads=(AES_256_GCM,)).initiation()
    peer.refused("no_common_cipher", message)


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
    peer.talk()


@case("addresses that differ from the outer ones, NAT, lead to tunnel mode")
def nat():
    # Of its own address the host has two: the peer may name any, of either family.
    like_v4 = "fd09::" + alpha.v4
    alpha.run("ip", "addr", "add", like_v4 + "/64", "dev", "eth0", "nodad")
    for source, destination in (
        ("192.168.1.2", alpha.v4),
        ("192.168.1.2", like_v4),
        (beta.v6, alpha.v4),
        (beta.v4, like_v4),
        # One that the peer is known by, and where it is not.
        (ELSEWHERE, alpha.v4),
    ):
        seen_as_nat(source, destination)
    alpha.run("ip", "addr", "del", like_v4 + "/64", "dev", "eth0")


def seen_as_nat(source, destination):
    peer = fresh()
    initiator = peer.initiator()
    initiator.source, initiator.destination = source, destination
    addresses = *beta.addresses, ELSEWHERE
    alpha.control.add_peer(peer.me.public, *addresses, command=genl.PEER_SET)
    tap = wire.Tap(hosts.wire)
    peer.send(initiator.initiation())
    peer.finish(initiator)
    check_equal(receive(peer.app), None, "delivered so far")
    peer.say(b"through NAT")
    peer.send(peer.session.seal_message(b"", flags=veilproto.TUNNEL))
    protocol, inner = wait_until(lambda: sealed(peer), 10, "a sealed packet")
    check_equal(protocol, 4, "mode of the sealed packet")
    datagram = packets.parse_udp(packets.parse_ipv4(inner).payload)
    check_equal(datagram.payload, b"through NAT", "inner packet")
    # A route of one family for packets of the other leads nowhere.
    strange = [f for f in tap.frames() if f[12:14] == b"\x86\xdd" and f[20] == 58
               and f[54] == 135 and f[62:78] not in KNOWN]
    check_equal(strange, [], "who else is looked for")
    tap.close()


def sealed(peer):
    """The next packet that is not a keepalive."""
    opened = peer.take_data()
    return opened if opened and opened[0] is not None else None


ktap.run(hosts.set_up)
