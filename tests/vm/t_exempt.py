#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
"""Who may pass in clear: neighbour discovery, and everybody who is no peer, to the
byte as without the module (PROTOCOL section 5; invariant 7).
"""

import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import pypeer
import wire
from hosts import alpha, beta, command, drops_since, receive_all
from ktap import case, check, check_equal, wait_until
from packets import ICMPV6, UDP
from veilproto import Identity

APP, PORT = 7000, 51888
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
OURS = alpha.addresses + beta.addresses
state = {}


def set_up():
    hosts.set_up()
    state["gamma"] = hosts.add_gamma()
    state["a"], state["b"] = Identity(), Identity()
    state["macs"] = alpha.mac(), beta.mac()
    state["inbox"] = {a: beta.udp(a, APP) for a in beta.addresses}


def protect():
    """Both hosts configured and a session up."""
    hosts.make_peers(state["a"], state["b"])
    sender = alpha.udp(alpha.v4)
    sender.sendto(b"up", (beta.v4, APP))
    wait_until(lambda: b"up" in receive_all(state["inbox"][beta.v4]), 20, "session")
    sender.close()


def datagram(ends, payload):
    return packets.ip(*ends, UDP, packets.udp(*ends, APP, APP, payload))


def seen_in_clear(tap):
    return [frame for frame in tap.frames() if MARKER in frame]


@case("neighbour discovery goes on in clear")
def neighbour_discovery():
    protect()
    tap = wire.Tap(hosts.wire)
    for host in alpha, beta:
        command("ip", "-n", host.name, "neigh", "flush", "dev", "eth0")
    hosts.ping_once(alpha, beta.v6)
    hosts.ping_once(alpha, beta.v4)
    wire.only_netveil(tap.frames(), OURS)
    kinds = {p.payload[0] for p in tap.packets() if p.protocol == ICMPV6}
    check(kinds >= {135, 136}, "solicitation and advertisement seen", kinds)


@case("ICMPv6 that is not quite neighbour discovery is no exception")
def not_quite_neighbour_discovery():
    protect()
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    target = packets.address(alpha.v6).packed
    for kind, code, hop_limit in (
        (135, 0, 254),
        (135, 1, 255),
        (136, 0, 64),
        (134, 0, 255),
        (133, 0, 255),
        (137, 0, 255),
        (143, 0, 1),
        (130, 0, 1),
        (1, 0, 255),
    ):
        message = bytes([kind, code, 0, 0]) + bytes(4) + target
        check6 = packets.l4_checksum(beta.v6, alpha.v6, ICMPV6, message)
        message = message[:2] + struct.pack(">H", check6) + message[4:]
        ends = beta.v6, alpha.v6
        before = alpha.drops()
        injector.packet(packets.ipv6(*ends, ICMPV6, message, hop_limit=hop_limit))
        wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
        moved = drops_since(before, alpha.drops())
        check_equal(moved, {"plaintext_in": 1}, "drops for type %d" % kind)


def third_party_frames():
    """What alpha puts on the wire for a host that is no peer, with which it can
    talk."""
    gamma = state["gamma"]
    tap = wire.Tap(hosts.wire)
    raw4 = alpha.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw6 = alpha.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    ends4, ends6 = (alpha.v4, gamma.v4), (alpha.v6, gamma.v6)
    for size in 1, 500, 1400:
        payload = MARKER * (size // len(MARKER) + 1)
        segment = packets.udp(*ends4, APP, APP, payload)
        raw4.sendto(packets.ipv4(*ends4, UDP, segment, ident=size), (gamma.v4, 0))
        raw6.sendto(datagram(ends6, payload), (gamma.v6, 0))
    segment = packets.udp(*ends4, PORT, PORT, b"\4" + bytes(60) + MARKER)
    raw4.sendto(packets.ipv4(*ends4, UDP, segment, ident=9), (gamma.v4, 0))
    for one, other in zip(alpha.addresses, gamma.addresses):
        hosts.ping_once(alpha, other)
        hosts.ping_once(gamma, one)
    # The answers came behind them.
    frames = [f for f in seen_in_clear(tap) if f[6:12] == state["macs"][0]]
    tap.close()
    return frames


@case("traffic with a host that is no peer is the same to the byte, with a peer")
def third_party():
    hosts.flush_all()
    hosts.unload_module()
    without = third_party_frames()
    hosts.load_module()
    check_equal(len(without), 7, "frames on the wire")
    check_equal(third_party_frames(), without, "frames with the module loaded")
    protect()
    before = alpha.drops()
    check_equal(third_party_frames(), without, "frames with a peer")
    check_equal(drops_since(before, alpha.drops()), {}, "drops")


@case("after `veil flush` the peers' traffic is in clear again, and only then")
def after_flush():
    protect()
    tap = wire.Tap(hosts.wire)
    sender = alpha.udp(alpha.v4)
    sender.sendto(MARKER, (beta.v4, APP))
    pypeer.socket_receives(state["inbox"][beta.v4], MARKER)
    check_equal(seen_in_clear(tap), [], "the marker before flush")
    for host in alpha, beta:
        host.veil("flush")
    sender.sendto(MARKER, (beta.v4, APP))
    pypeer.socket_receives(state["inbox"][beta.v4], MARKER)
    check_equal(len(seen_in_clear(tap)), 1, "the marker after flush")


ktap.run(set_up)
