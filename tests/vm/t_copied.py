#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=90 once=yes
"""Somebody on the path sends a copy of each message ahead of it: altered, from and to
other addresses of the two hosts, in another frame. He drops nothing, so all arrives.
"""

import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import veilproto
import wire
from hosts import alpha, beta
from ktap import case, check, wait_until
from traffic import Stream
from veilproto import PORT, Identity

OTHER = {
    (alpha.v4, beta.v4): (alpha.v6, beta.v6),
    (beta.v4, alpha.v4): (beta.v6, alpha.v6),
}
ETH_P_IPV6 = b"\x86\xdd"


def by_other_addresses(frame, message, _to):
    packet = packets.parse_frame(frame)
    ends = OTHER[packet.source, packet.destination]
    segment = packets.udp(*ends, PORT, PORT, message)
    return frame[:12] + ETH_P_IPV6 + packets.ip(*ends, packets.UDP, segment)


class Ahead:
    """A rule for a relay: of messages of these kinds a copy goes ahead."""

    def __init__(self, **makers):
        self.makers = {getattr(veilproto, kind): make for kind, make in makers.items()}
        self.copies = collections.Counter()

    def __call__(self, to, frame):
        message = wire.netveil_message(frame)
        make = self.makers.get(message[0]) if message else None
        if not make or frame[12:14] == ETH_P_IPV6:
            return (frame,)
        self.copies[message[0]] += 1
        return make(frame, message, to), frame


def arrives(source, target):
    with target.udp(target.v4) as receiver, source.udp(source.v4) as sender:

        def got():
            hosts.offer(sender, b"x", receiver.getsockname())
            return hosts.receive_all(receiver)

        wait_until(got, 20, "a datagram from %s" % source.name, every=0.2)


def survives(rule, ours):
    """Whoever begins, the one with the larger key."""
    for _ in range(2):
        ours["wa"], ours["wb"] = ours["wb"], ours["wa"]
        with wire.Relay(hosts.wire) as relay:
            relay.rule = rule
            rule.copies.clear()
            hosts.make_peers(ours["wa"], ours["wb"])
            for _ in range(3):
                arrives(alpha, beta)
                arrives(beta, alpha)
            check(set(rule.copies) == set(rule.makers), "there were copies", rule.copies)
        hosts.flush_all()


def two():
    """Identities, by the port of the wire that leads to the host."""
    return {"wa": Identity(), "wb": Identity()}


@case("an initiation from and to other addresses")
def initiations():
    survives(Ahead(INITIATION=by_other_addresses), two())


def to_address(address_of):
    def copy(frame, message, _to):
        packet = packets.parse_frame(frame)
        ends = packet.source, address_of(packet.destination)
        segment = packets.udp(*ends, PORT, PORT, message)
        return frame[:14] + packets.ip(*ends, packets.UDP, segment)

    return copy


@case("an initiation to an address that every host has, and nobody answers from")
def to_loopback():
    survives(Ahead(INITIATION=to_address(lambda _: "127.0.0.1")), two())


@case("an initiation to an address of the host that its peer does not know")
def to_unknown():
    extra = {alpha.v4: "10.9.0.98", beta.v4: "10.9.0.99"}
    for host in alpha, beta:
        host.run("ip", "addr", "add", extra[host.v4] + "/24", "dev", "eth0")
    try:
        survives(Ahead(INITIATION=to_address(extra.get)), two())
    finally:
        for host in alpha, beta:
            host.run("ip", "addr", "del", extra[host.v4] + "/24", "dev", "eth0")


@case("a response from and to other addresses")
def responses():
    survives(Ahead(RESPONSE=by_other_addresses), two())


@case("a response with another byte in its head, whose mac1 is right")
def other_response():
    ours = two()
    for place in range(8):

        def altered(frame, message, to, place=place):
            body = wire.flip(message[:-32], place)
            forged = veilproto.with_macs(ours[to].public, body)
            return wire.rewritten(frame, lambda _: forged)

        survives(Ahead(RESPONSE=altered), ours)


@case("data in tunnel mode, marked as congested, though nobody inside knows ECN")
def congested():
    def marked(frame, _message, _to):
        packet = bytearray(frame[14:])
        packet[1] |= 3
        packet[10:12] = bytes(2)
        packet[10:12] = packets.checksum(bytes(packet[:20])).to_bytes(2, "big")
        return frame[:14] + bytes(packet)

    # A copy of the initiation makes it tunnel mode.
    survives(Ahead(INITIATION=by_other_addresses, DATA=marked), two())


@case("data in a frame to all, or to a group")
def to_many():
    for to in b"\xff" * 6, bytes.fromhex("01005e000001"):
        with wire.Relay(hosts.wire) as relay:
            hosts.make_peers(Identity(), Identity())
            hosts.ping_once(alpha, beta.v4)
            relay.rule = Ahead(DATA=lambda frame, _message, _to, to=to: to + frame[6:])
            with Stream(alpha, beta, beta.v4) as stream:
                stream.exchange(20000)
            check(relay.rule.copies, "there were copies", relay.rule.copies)
        hosts.flush_all()


MAC = bytes.fromhex("020000000077")


@case("data by another device of the host, where routing asks whence packets come")
def by_other_device():
    hosts.ip_batch(
        hosts.wire,
        "link add wz type veth peer name eth1 address %s netns alpha" % MAC.hex(":"),
        "link set wz up",
    )
    hosts.ip_batch(alpha, "link set eth1 up")
    try:
        with wire.packet_socket(hosts.wire, "wz") as other:
            loose = heard_beside(other, 2)
            hosts.ip_batch(alpha, "addr add 10.77.0.1/24 dev eth1")
            strict = heard_beside(other, 1)
        for drops in loose, strict:
            check(drops.get("wrong_source") and not drops.get("replayed"), "why", drops)
    finally:
        rp_filter(0)
        hosts.ip_batch(hosts.wire, "link del wz")


def rp_filter(how):
    for name in "all", "eth0":
        alpha.sysctl("ipv4/conf/%s/rp_filter" % name, how)


def heard_beside(other, how):
    """What alpha drops while each data message comes by its other device first."""

    def rule(to, frame):
        message = wire.netveil_message(frame)
        if to == "wa" and message and message[0] == veilproto.DATA:
            other.send(MAC + frame[6:])
        return (frame,)

    rp_filter(how)
    with wire.Relay(hosts.wire) as relay:
        hosts.make_peers(Identity(), Identity())
        hosts.ping_once(alpha, beta.v4)
        before = alpha.drops()
        relay.rule = rule
        hosts.ping_once(beta, alpha.v4)
        with Stream(beta, alpha, alpha.v4) as stream:
            stream.exchange(20000)
    hosts.flush_all()
    return hosts.drops_since(before, alpha.drops())


ktap.run(hosts.set_up)
