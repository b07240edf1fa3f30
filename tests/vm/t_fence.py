#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
"""No other way out for plaintext, and nobody else is touched (STACK A5, PROTOCOL
section 5; invariants 1 and 7).

Every way is tried first without a peer, when it does put the marker on the wire.
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
from ktap import case, check, check_equal, skip, wait_until
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


def pairs():
    return zip(alpha.addresses, beta.addresses)


def datagram(ends, payload=MARKER, dport=APP):
    return packets.ip(*ends, UDP, packets.udp(*ends, APP, dport, payload))


def seen_in_clear(tap):
    return [frame for frame in tap.frames() if MARKER in frame]


def fenced(send, count=1):
    """send() puts the marker on the wire without peers; with them it does not,
    and count packets are dropped as plaintext_out."""
    hosts.flush_all()
    tap = wire.Tap(hosts.wire)
    send()
    wait_until(lambda: len(seen_in_clear(tap)) >= count, 10, "the marker, control")
    tap.close()
    protect()
    tap, before = wire.Tap(hosts.wire), alpha.drops()
    send()
    wait_until(
        lambda: alpha.drops()["plaintext_out"] >= before["plaintext_out"] + count,
        10,
        "plaintext_out",
    )
    moved = drops_since(before, alpha.drops())
    check_equal(moved, {"plaintext_out": count}, "drop counters that moved")
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    tap.close()


def packet_socket(kind):
    sock = alpha.socket(socket.AF_PACKET, kind, 0)
    sock.bind(("eth0", 0))
    return sock


@case("frames of an AF_PACKET socket to the peer are dropped and counted")
def af_packet():
    raw, cooked = packet_socket(socket.SOCK_RAW), packet_socket(socket.SOCK_DGRAM)

    def send():
        for ends in pairs():
            packet = datagram(ends)
            raw.send(packets.ethernet(*state["macs"], packet))
            kind = 0x86DD if ":" in ends[0] else 0x0800
            cooked.sendto(packet, ("eth0", kind, 0, 0, state["macs"][1]))

    fenced(send, 4)


@case("a frame that only looks like Netveil is dropped as well: port, type, index")
def looks_like_netveil():
    raw = packet_socket(socket.SOCK_RAW)
    header = struct.pack(">BBHIQ", 4, 0, 0, 0x12345678, 9)

    def send():
        for ends in pairs():
            segment = packets.udp(*ends, PORT, PORT, header + MARKER + bytes(16))
            packet = packets.ip(*ends, UDP, segment)
            raw.send(packets.ethernet(*state["macs"], packet))

    fenced(send, 2)


def nft_path(verb):
    """Frames that come in on one device of alpha, and that nftables sends out
    by eth0 without the stack."""
    hosts.ip_batch(
        alpha,
        "link add in0 type veth peer name in1",
        "link set in0 up",
        "link set in1 up",
    )
    rules = """
        table netdev t {
            chain c {
                type filter hook ingress device in1 priority 0;
                %s to "eth0"
            }
        }"""
    try:
        alpha.run("nft", rules % verb)
    except AssertionError as error:
        hosts.ip_batch(alpha, "link del in0")
        if "No such file or directory" not in str(error):
            raise
        skip("this kernel's nftables has no %s" % verb)
    sender = alpha.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sender.bind(("in0", 0))

    def send():
        for ends in pairs():
            sender.send(packets.ethernet(*state["macs"], datagram(ends)))

    try:
        fenced(send, 2)
    finally:
        alpha.run("nft", "delete table netdev t")
        hosts.ip_batch(alpha, "link del in0")


@case("what nftables forwards at ingress (fwd) is dropped and counted")
def nft_fwd():
    nft_path("fwd")


@case("what nftables duplicates at ingress (dup) is dropped and counted")
def nft_dup():
    nft_path("dup")


@case("raw sockets with their own IP header are sealed")
def raw_sockets():
    protect()
    tap, before = wire.Tap(hosts.wire), alpha.drops()
    raw4 = alpha.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw6 = alpha.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw4.sendto(datagram((alpha.v4, beta.v4)), (beta.v4, 0))
    raw6.sendto(datagram((alpha.v6, beta.v6)), (beta.v6, 0))
    for address in beta.addresses:
        pypeer.socket_receives(state["inbox"][address], MARKER)
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    check_equal(drops_since(before, alpha.drops()), {}, "drops")


@case("an application's own datagrams on our port are sealed like any other")
def own_port_is_not_exempt():
    protect()
    tap = wire.Tap(hosts.wire)
    header = struct.pack(">BBHIQ", 4, 0, 0, 0x12345678, 9)
    fakes = header + MARKER, b"\1\1\0\0" + MARKER + bytes(188)
    peer = alpha.control.peers()[state["b"].public]
    for ends in pairs():
        sender = alpha.udp(ends[0])
        for fake in fakes:
            sender.sendto(fake, (ends[1], PORT))
        sender.close()

    def sealed():
        now = alpha.control.peers()[state["b"].public]
        return now["tx_packets"] >= peer["tx_packets"] + 4

    wait_until(sealed, 10, "4 sealed packets")
    wire.only_netveil(tap.frames(), OURS, (MARKER,))


@case("before the first session nothing leaves in clear, whatever sends it")
def before_the_first_session():
    hosts.flush_all()
    tap = wire.Tap(hosts.wire)
    hosts.make_peer(alpha, state["a"], state["b"].public, beta)
    mac = alpha.mac()
    for address, target in pairs():
        udp = alpha.udp(address)
        udp.sendto(MARKER * 200, (target, APP))
        tcp = alpha.socket(udp.family, socket.SOCK_STREAM)
        tcp.setblocking(False)
        tcp.connect_ex((target, APP))
        ping = "ping", "-c", "1", "-W", "1", "-p", MARKER[:8].hex(), target
        alpha.start(*ping, stdout=-3).wait()
    wait_until(lambda: alpha.peer()["queued"] >= 6, 10, "packets wait")
    frames = [frame for frame in tap.frames() if frame[6:12] == mac]
    judge = wire.only_netveil(frames, OURS, (MARKER, MARKER[:8] * 2))
    check(judge.messages[1] > 0, "initiations are seen", judge.messages)
    check_equal(judge.messages[4], 0, "data messages")


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
