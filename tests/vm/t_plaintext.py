#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=60
"""Packets in clear that claim to come from a peer are dropped and counted, whatever
they carry (PROTOCOL section 5; invariant 2). Without a peer they are delivered.
"""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import inject
import ktap
import packets
import pypeer
import wire
from hosts import alpha, beta
from inject import APP, arrives, refused, state
from ktap import case, check_equal, wait_until
from packets import ICMPV6, TCP, UDP


def plaintext(ends, identifier):
    """An echo request, a datagram and a SYN in clear between ends."""
    icmp = packets.echo_request(*ends, identifier, b"clear")
    yield packets.ip(*ends, packets.icmp_protocol(ends[0]), icmp)
    yield packets.ip(*ends, UDP, packets.udp(*ends, APP, APP, b"clear"))
    yield packets.ip(*ends, TCP, packets.tcp_syn(*ends, 4000 + identifier, 9))


def answers_in_clear(tap, ends):
    """Echo replies and TCP answers from alpha that the tap saw."""
    found = [p for p in tap.packets() if (p.destination, p.source) == ends]
    return {p.protocol for p in found} & {packets.ICMP, ICMPV6, TCP}


@case("injected plaintext is delivered without a peer: the control")
def control_of_plaintext():
    alpha.control.flush()
    for ends in (beta.v4, alpha.v4), (beta.v6, alpha.v6):
        tap = wire.Tap(hosts.wire)
        for packet in plaintext(ends, 1):
            state["wire"].packet(packet)
        pypeer.socket_receives(state["app"][ends[1]], b"clear")
        wanted = {packets.icmp_protocol(ends[0]), TCP}
        wait_until(lambda: answers_in_clear(tap, ends) == wanted, 10, "answers")
        tap.close()
    inject.connect()


@case("plaintext with the peer's source address is dropped: echo, UDP, SYN, v4, v6")
def plaintext_in():
    for number, local in enumerate((beta.v4, beta.v6)):
        ends = local, state["peer"].remote_of(local)
        tap = wire.Tap(hosts.wire)
        for packet in plaintext(ends, 10 + number):
            refused("plaintext_in", lambda: state["wire"].packet(packet), local)
        check_equal(answers_in_clear(tap, ends), set(), "answers in clear")
        tap.close()


@case("plaintext in fragments is dropped, v4 and v6")
def plaintext_fragments():
    ends = beta.v4, alpha.v4
    segment = packets.udp(*ends, APP, APP, b"f" * 800)
    parts = packets.fragments_v4(*ends, UDP, segment, 400, 77)
    before = alpha.drops()["plaintext_in"]
    for part in parts:
        state["wire"].packet(part)
    wait_until(lambda: alpha.drops()["plaintext_in"] > before, 10, "plaintext_in")
    check_equal(arrives(b"after fragments"), [], "delivered")
    ends = beta.v6, alpha.v6
    segment = packets.udp(*ends, APP, APP, b"f" * 800)
    before = alpha.drops()["plaintext_in"]
    for offset in 0, 400:
        more = int(offset == 0)
        head = struct.pack(">BxHI", UDP, offset | more, 9)
        part = head + segment[offset : offset + 400 if more else None]
        state["wire"].packet(packets.ipv6(*ends, packets.FRAGMENT, part))
    wait_until(lambda: alpha.drops()["plaintext_in"] > before, 10, "plaintext_in")
    check_equal(arrives(b"after fragments", beta.v6), [], "delivered")


@case("what comes by lo, and this host has not sent, is no exception")
def by_loopback():
    nobody = bytes(6)
    injector = wire.Injector(alpha, "lo", nobody, nobody)
    for number, local in enumerate((beta.v4, beta.v6)):
        ends = local, state["peer"].remote_of(local)
        for packet in plaintext(ends, 20 + number):
            refused("plaintext_in", lambda: injector.packet(packet), local)
    injector.close()


ktap.run(inject.set_up)
