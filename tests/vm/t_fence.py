#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
"""No other way out for plaintext (STACK A5, PROTOCOL section 5; invariant 1).

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
from hosts import alpha, beta, drops_since, receive_all
from ktap import case, check, check_equal, skip, wait_until
from packets import UDP
from veilproto import Identity

APP, PORT = 7000, 51888
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
OURS = alpha.addresses + beta.addresses
state = {}


def set_up():
    hosts.set_up()
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


@case("a peer's address that becomes our own: handshakes to it go nowhere")
def own_address():
    hosts.flush_all()
    hosts.make_peer(alpha, state["a"], state["b"].public, beta)
    hosts.ip_batch(alpha, "addr add %s/32 dev lo" % beta.v4)
    try:
        before = alpha.drops()
        # Begins another one.
        alpha.control.set_private_key(Identity().private)
        wait_until(lambda: drops_since(before, alpha.drops()).get("no_route"), 10, "a drop")
    finally:
        hosts.ip_batch(alpha, "addr del %s/32 dev lo" % beta.v4)


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


ktap.run(set_up)
