#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
"""Sealed packets that are changed, repeated, cut or moved are dropped, counted by
their reason, and never delivered (PROTOCOL sections 1 and 4; invariants 2, 6).

They are made with the session's own keys, so that each is wrong in one place only.
"""

import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import inject
import ktap
import packets
import pypeer
import veilproto
import wire
from hosts import alpha, beta, drops_since
from inject import APP, arrives, readdress, refused, state
from ktap import case, check, check_equal, wait_until
from packets import ICMPV6, UDP

from inject import A2, B2

WINDOW = 8192


@case("one flipped bit anywhere: refused by its reason, both AEADs")
def flipped_bits():
    peer = state["peer"]
    places = [(0, 1, "malformed"), (1, 0x08, "malformed"), (1, 0x80, "malformed")]
    places += [(2, 0x80, "wrong_lane"), (3, 1, "not_authentic")]
    places += [(4, 1, "unknown_index"), (8, 1, "not_authentic")]
    places += [(14, 1, "not_authentic"), (16, 1, "not_authentic")]
    places += [(24, 0x40, "not_authentic"), (-17, 1, "not_authentic")]
    places += [(-16, 1, "not_authentic"), (-1, 0x80, "not_authentic")]
    for aead in veilproto.AEADS:
        alpha.control.set_cipher(aead)
        peer.initiate()
        check_equal(peer.session.aead, aead, "AEAD")
        for place, bit, reason in places:
            message = wire.flip(peer.seal_udp(APP, APP, b"flipped"), place, bit)
            refused(reason, lambda: peer.send(message))


@case("a truncated packet is refused")
def truncated():
    peer = state["peer"]
    message = peer.seal_udp(APP, APP, b"truncated")
    for length in len(message) - 1, len(message) - 16, 32:
        refused("not_authentic", lambda: peer.send(message[:length]))
    for length in 31, 16, 15, 4, 1, 0:
        refused("malformed", lambda: peer.send(message[:length]))
    refused("not_authentic", lambda: peer.send(message + b"\0"))


@case("a data packet is delivered once, out of order within the window only")
def replayed():
    peer = state["peer"]
    first = peer.seal_udp(APP, APP, b"once", lane=1, counter=5)
    peer.send(first, lane=1)
    pypeer.socket_receives(state["app"][alpha.v4], b"once")
    refused("replayed", lambda: peer.send(first, lane=1))
    refused("replayed", lambda: peer.send(first, lane=2))
    late = peer.seal_udp(APP, APP, b"late", lane=1, counter=3)
    peer.send(late, lane=1)
    pypeer.socket_receives(state["app"][alpha.v4], b"late")
    for counter, payload in ((5 + WINDOW + 500, b"far"), (600, b"in")):
        peer.send_udp(APP, APP, payload, lane=1, counter=counter)
        pypeer.socket_receives(state["app"][alpha.v4], payload)
    old = peer.seal_udp(APP, APP, b"old", lane=1, counter=500)
    refused("replayed", lambda: peer.send(old, lane=1))
    peer.session.counters[1] = 5 + WINDOW + 500


@case("a forged counter does not move the replay window")
def window_stays():
    peer = state["peer"]
    forged = wire.flip(peer.seal_udp(APP, APP, b"x", lane=3, counter=1 << 40), -1)
    refused("not_authentic", lambda: peer.send(forged, lane=3))
    peer.send_udp(APP, APP, b"low counter", lane=3, counter=0)
    pypeer.socket_receives(state["app"][alpha.v4], b"low counter")


@case("outer addresses swapped within the peer's set are refused, equal checksums")
def swapped_addresses():
    peer = state["peer"]
    for first, second_b, target, second_a in (
        (beta.v4, B2[0], alpha.v4, A2[0]),
        (beta.v6, B2[1], alpha.v6, A2[1]),
    ):
        sealed_for = first, second_a
        sent_as = second_b, target
        segment = packets.udp(*sealed_for, APP, APP, b"swapped")
        for ends, expected in ((sent_as, "not_authentic"), (sealed_for, None)):
            message = peer.session.seal(*sealed_for, UDP, segment)
            sums = {
                packets.udp(*e, veilproto.PORT, veilproto.PORT, message)[6:8]
                for e in (sealed_for, sent_as)
            }
            check_equal(len(sums), 1, "UDP checksums of both addressings")
            if expected:
                refused(
                    expected, lambda: readdress(message, veilproto.PORT, ends), first
                )
            else:
                readdress(message, veilproto.PORT, ends)
                pypeer.socket_receives(state["app"][second_a], b"swapped")


@case("IPv4 addresses as parts of IPv6 ones are others: nothing passes as theirs")
def mapped():
    peer, embedded = state["peer"], "fd09::" + alpha.v4
    alpha.run("ip", "addr", "add", embedded + "/128", "dev", "eth0", "nodad")
    both = alpha.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    both.bind(("::", APP + 1))
    both.setblocking(False)
    state["app"]["both"] = both
    ends = "::ffff:" + beta.v4, embedded
    segment = packets.udp(*ends, APP, APP + 1, b"mapped")

    def moved():
        """A message that was sealed between the IPv4 addresses."""
        flags = veilproto.CSUM_PARTIAL
        message = peer.session.seal(beta.v4, alpha.v4, UDP, segment, flags=flags)
        readdress(message, veilproto.PORT, ends)

    def inside():
        peer.send(seal_inner(packets.ipv6(*ends, UDP, segment)), local=beta.v6)

    def to_mapped():
        """From the peer's IPv6 address, to ours as if it were one."""
        message = peer.session.seal(beta.v6, alpha.v6, UDP, segment)
        readdress(message, veilproto.PORT, (beta.v6, "::ffff:" + alpha.v4))

    try:
        refused("malformed", moved)
        refused("malformed", to_mapped)
        refused("bad_inner", inside)
    finally:
        state["app"].pop("both").close()
        alpha.run("ip", "addr", "del", embedded + "/128", "dev", "eth0")


@case("a live index from an address that is not its peer's is refused")
def wrong_source():
    peer, other = state["peer"], veilproto.Identity()
    strangers = {"10.9.0.99": "stranger", "10.9.0.5": "wrong_source"}
    alpha.control.add_peer(other.public, "10.9.0.5")
    for source, reason in strangers.items():
        ends = source, alpha.v4
        segment = packets.udp(*ends, APP, APP, b"stranger")
        message = peer.session.seal(*ends, UDP, segment)
        refused(reason, lambda: readdress(message, veilproto.PORT, ends))
    alpha.control.delete_peer(other.public)


@case("IPv4 options and IPv6 extension headers on a transport packet are refused")
def options():
    peer = state["peer"]
    router_alert, nops = bytes([0x94, 4, 0, 0]), bytes([1, 1, 1, 0])
    for added in router_alert, nops:
        message = peer.seal_udp(APP, APP, b"options")
        ends = beta.v4, alpha.v4
        outer = packets.udp(*ends, veilproto.PORT, veilproto.PORT, message)
        packet = packets.ipv4(*ends, UDP, outer, options=added)
        refused("ip_options", lambda: state["wire"].packet(packet))
    ends = beta.v6, alpha.v6
    padding = bytes([UDP, 0, 1, 4, 0, 0, 0, 0])
    for kind in packets.HOP_BY_HOP, packets.DSTOPTS:
        message = peer.seal_udp(APP, APP, b"options", beta.v6)
        outer = packets.udp(*ends, veilproto.PORT, veilproto.PORT, message)
        packet = packets.ipv6(*ends, kind, padding + outer)
        refused("plaintext_in", lambda: state["wire"].packet(packet), beta.v6)
        message = peer.seal_udp(APP, APP, b"none added", beta.v6)
        outer = packets.udp(*ends, veilproto.PORT, veilproto.PORT, message)
        state["wire"].packet(packets.ipv6(*ends, UDP, outer))
        pypeer.socket_receives(state["app"][alpha.v6], b"none added")


@case("a UDP length other than the IP payload's is refused")
def udp_length():
    peer = state["peer"]
    for ends in (beta.v4, alpha.v4), (beta.v6, alpha.v6):
        for extra, forged in ((b"", -1), (b"", 4), (b"trailing", 0)):
            message = peer.seal_udp(APP, APP, b"length", ends[0])
            length = 8 + len(message) + forged
            ports = veilproto.PORT, veilproto.PORT
            outer = packets.udp(*ends, *ports, message, length) + extra
            packet = packets.ip(*ends, UDP, outer)
            refused("malformed", lambda: state["wire"].packet(packet), ends[0])


@case("a lane or counter beyond what the session has is refused")
def limits():
    peer = state["peer"]
    message = peer.seal_udp(APP, APP, b"lane", lane=peer.session.lanes)
    refused("wrong_lane", lambda: peer.send(message))
    alpha.control.set_cipher(veilproto.CHACHA20_POLY1305)
    peer.initiate()
    message = peer.seal_udp(APP, APP, b"counter", counter=1 << 61)
    refused("limit_reached", lambda: peer.send(message))


@case("what a transport packet may not carry inside is refused")
def bad_inner():
    peer = state["peer"]
    ends = beta.v4, alpha.v4
    for next_header in 0, 4, 41, 43, 44, 60:
        body = packets.udp(*ends, APP, APP, b"inner")
        message = peer.session.seal(*ends, next_header, body)
        refused("bad_inner", lambda: peer.send(message))
    addresses = veilproto.packed(*ends)
    for plaintext_bytes in b"\x11", b"\xff\x11", b"\x01\x11":
        message = peer.session.seal_message(plaintext_bytes, addresses)
        refused("bad_inner", lambda: peer.send(message))


def tunnelled(source, destination, payload, **more):
    """A sealed packet in tunnel mode."""
    inner = packets.udp(source, destination, APP, APP, payload)
    return seal_inner(packets.ip(source, destination, UDP, inner, **more))


def seal_inner(packet):
    return state["peer"].session.seal_message(packet, flags=veilproto.TUNNEL)


@case("in tunnel mode the inner packet is between the same two hosts, and whole")
def tunnel():
    peer = state["peer"]
    for ends in (beta.v4, alpha.v4), (B2[0], A2[0]):
        peer.send(tunnelled(*ends, b"tunnel"))
        pypeer.socket_receives(state["app"][ends[1]], b"tunnel")
    for ends in (
        ("10.9.0.99", alpha.v4),
        (alpha.v4, alpha.v4),
        ("127.0.0.1", alpha.v4),
    ):
        refused("bad_inner", lambda: peer.send(tunnelled(*ends, b"other")))
    ends = beta.v4, alpha.v4
    good = packets.ipv4(*ends, UDP, packets.udp(*ends, APP, APP, b"inner"))
    for wrong in (
        good[:-1],
        good[:19],
        b"\x45",
        wire.flip(good, 0, 0x20),
        wire.flip(good, 0),
        wire.flip(good, 10),
    ):
        refused("bad_inner", lambda: peer.send(seal_inner(wrong)))
    before = alpha.drops()
    peer.send(seal_inner(good + bytes(50)))
    pypeer.socket_receives(state["app"][alpha.v4], b"inner")
    check_equal(drops_since(before, alpha.drops()), {}, "drops for padding")


@case("neighbour discovery is not from another link, whatever comes before it")
def discovery():
    """An advertisement of somebody else's address on our link."""
    peer, other = state["peer"], "fd09::77"
    body = packets.address(other).packed + bytes([2, 1]) + b"\2\0\0\0\0\x66"
    plain = struct.pack(">BBHI", 136, 0, 0, 0x20000000) + body
    check = packets.l4_checksum(beta.v6, alpha.v6, ICMPV6, plain)
    advertisement = plain[:2] + struct.pack(">H", check) + plain[4:]
    ends, padding = (beta.v6, alpha.v6), bytes([ICMPV6, 0, 1, 4, 0, 0, 0, 0])
    where = other, "dev", "eth0"
    right = "lladdr 02:00:00:00:00:55"
    hosts.ip_batch(alpha, "neigh replace %s nud stale %s dev eth0" % (other, right))
    for kind, inside in (
        (ICMPV6, advertisement),
        (packets.HOP_BY_HOP, padding + advertisement),
        (packets.DSTOPTS, padding + advertisement),
    ):
        inner = packets.ipv6(*ends, kind, inside, hop_limit=255)
        refused("bad_inner", lambda: peer.send(seal_inner(inner)))
        found = alpha.run("ip", "neigh", "show", *where)
        check_equal(right in found, True, "the right neighbour: " + found)


@case("MLD is not from another link, whatever comes before it")
def listeners():
    peer, ends = state["peer"], (beta.v6, alpha.v6)
    # Router alert, and padding.
    options = bytes([ICMPV6, 0, 5, 2, 0, 0, 1, 0])
    for kind in (130, 131, 132, 143):
        message = bytes([kind, 0, 0, 0]) + bytes(20)
        for first, inside in ((ICMPV6, message), (packets.HOP_BY_HOP, options + message)):
            inner = packets.ipv6(*ends, first, inside, hop_limit=1)
            refused("bad_inner", lambda: peer.send(seal_inner(inner)))


def fragment6(inside, source=beta.v6, target=alpha.v6, place=0, next_header=UDP):
    """A fragment, the first of more unless place says otherwise."""
    head = struct.pack(">BxHI", next_header, place | 1, 7)
    return packets.ipv6(source, target, packets.FRAGMENT, head + inside)


@case("what says inside that it is a fragment, and cannot be one, is refused")
def no_fragment():
    peer = state["peer"]
    segment = packets.udp(beta.v6, alpha.v6, APP, APP, bytes(64))
    whole = struct.pack(">BxHI", UDP, 0, 8) + segment
    nested = bytes([packets.FRAGMENT]) + whole[1:8] + whole
    for wrong, reason in (
        # Of no multiple of 8 bytes; beyond what a packet can be.
        (fragment6(segment[:-1]), "bad_inner"),
        (fragment6(segment[:64], place=0xFFF8), "malformed"),
        # What it is a part of is a fragment again; a header before it is cut.
        (packets.ipv6(beta.v6, alpha.v6, packets.FRAGMENT, nested), "bad_inner"),
        (packets.ipv6(beta.v6, alpha.v6, packets.DSTOPTS, b"\x2c"), "bad_inner"),
    ):
        refused(reason, lambda: peer.send(seal_inner(wrong)))


@case("where no room for fragments is left they are dropped, and heard again later")
def no_room():
    peer = state["peer"]
    ends = beta.v6, alpha.v6
    names = "netfilter/nf_conntrack_frag6_low_thresh", "netfilter/nf_conntrack_frag6_high_thresh"
    before = [alpha.read_sysctl(name) for name in names]

    def send():
        message = peer.seal_udp(APP, APP, b"in two", beta.v6)
        segment = packets.udp(*ends, veilproto.PORT, veilproto.PORT, message)
        state["wire"].packet(fragment6(segment[:32]))
        tail = struct.pack(">BxHI", UDP, 32, 7) + segment[32:]
        state["wire"].packet(packets.ipv6(*ends, packets.FRAGMENT, tail))

    for name in names:
        alpha.sysctl(name, 0)
    dropped = alpha.drops()
    send()
    wait_until(lambda: drops_since(dropped, alpha.drops()) == {"no_memory": 2}, 10, "drops")
    check_equal(arrives(b"meanwhile", beta.v6), [], "delivered")
    for name, value in list(zip(names, before))[::-1]:
        alpha.sysctl(name, value)
    send()
    pypeer.socket_receives(state["app"][alpha.v6], b"in two")


@case("a keepalive is counted and not delivered, a replayed one refused")
def keepalive():
    peer = state["peer"]
    message = peer.session.keepalive(beta.v4, alpha.v4, lane=2)
    before = alpha.drops()
    peer.send(message, lane=2)
    check_equal(arrives(b"after keepalive"), [], "delivered")
    check_equal(drops_since(before, alpha.drops()), {}, "drops")
    refused("replayed", lambda: peer.send(message, lane=2))


@case("a forged CLOSE ends nothing")
def forged_close():
    peer = state["peer"]
    message = peer.session.keepalive(beta.v4, alpha.v4)
    closing = wire.flip(message, 1, veilproto.CLOSE)
    refused("not_authentic", lambda: peer.send(closing))
    check(alpha.is_up(), "the session is still there")


@case("unknown types and cookie replies are dropped")
def other_types():
    peer = state["peer"]
    for kind in 0, veilproto.COOKIE, 5, 255:
        refused("malformed", lambda: peer.send(bytes([kind]) + bytes(99)))


ktap.run(inject.set_up)
