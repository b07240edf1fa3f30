#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=100 long=yes
"""Programs (NFQUEUE) at five hooks of both hosts rewrite a part of all packets, before
and behind our own hooks, while UDP, TCP and raw sockets send: headers that lie, packets
cut short or longer than they were. The kernel stays sound, nothing leaves in clear
(invariant 1), what cannot be protected is counted, and once the programs are gone
everything works. Addresses stay: to whom a packet goes is the program's to say.

NETVEIL_SEED is the seed of chance.
"""

import contextlib
import os
import random
import select
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import nfqueue
import packets
import wire
from hosts import alpha, beta, drops_since
from ktap import case, check, check_equal, note
from veilproto import PORT, Identity

SEED = int(os.environ.get("NETVEIL_SEED", str(time.time_ns() & 0xFFFFFFFF)))
SECONDS = 20
APP, TCP_APP, QUEUE = 7000, 9000, 6
SOL_UDP, UDP_SEGMENT = 17, 103
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
TEXT = MARKER * 1200
RULES = """
    table inet hold {
        chain first {
            type filter hook prerouting priority -450
            meta mark != 1 queue num %(queue)d bypass
        }
        chain before_ours {
            type filter hook prerouting priority -390
            queue num %(queue)d bypass
        }
        chain forwarded {
            type filter hook forward priority 0
            queue num %(queue)d bypass
        }
        chain leaving {
            type filter hook postrouting priority 300
            queue num %(queue)d bypass
        }
        chain last {
            type filter hook postrouting priority 2147483647
            queue num %(queue)d bypass
        }
    }""" % {"queue": QUEUE}

# How many packets stay as they are, and the longest that netlink carries.
UNCHANGED, LONGEST = 0.75, 65000
HEADERS = 80
ADDRESSES = {packets.ETH_IPV4: slice(12, 20), packets.ETH_IPV6: slice(8, 40)}
FIRST_BYTES = 0x40, 0x41, 0x44, 0x45, 0x46, 0x4A, 0x4F, 0x60, 0x65, 0, 0xFF
# Protocols and next headers, and bytes that are flags where those of IPv4 have them.
PROTOCOLS = 0, 1, 4, 6, 17, 41, 43, 44, 50, 51, 58, 59, 60, 132, 0x20, 0x40, 0x3F
RAW_PROTOCOLS = packets.UDP, packets.TCP, 1, 4, 41, 44, 58, 132
FIELDS = 0, 1, 8, 0x1FFF, 0x2000, 0x2001, 0xFFFF
DATA_OFFSETS = 0, 2, 0x10, 0x50, 0xF0, 0xFF
ADDED = 1, 8, 100, 1500, 20000
SIZES = 0, 10, 500, 1400, 1460, 3000, 9000
SEGMENT, RAW_LONGEST, CONNECTIONS = 700, 1380, 14
chance = random.Random(SEED)
networks = []


def cut_in_headers(data):
    del data[chance.randrange(HEADERS) :]


def cut(data):
    del data[chance.randrange(len(data)) :]


def lengthen(data):
    data += chance.randbytes(chance.choice(ADDED))
    del data[LONGEST:]


def put(data, place, value):
    if place + len(value) <= len(data):
        data[place : place + len(value)] = value


def first_byte(data):
    put(data, 0, bytes([chance.choice(FIRST_BYTES)]))


def protocol(data):
    put(data, chance.choice((6, 9)), bytes([chance.choice(PROTOCOLS)]))


def length_or_fragment(data):
    value = chance.choice((*FIELDS, len(data)))
    put(data, chance.choice((2, 4, 6)), struct.pack(">H", value))


def tcp_header(data):
    """Its length or its flags, in either family."""
    put(data, chance.choice((32, 33, 52, 53)), bytes([chance.choice(DATA_OFFSETS)]))


def any_byte(data):
    put(data, chance.randrange(HEADERS), chance.randbytes(1))


CHANGES = (
    cut_in_headers,
    cut,
    lengthen,
    first_byte,
    protocol,
    length_or_fragment,
    tcp_header,
    any_byte,
    any_byte,
    any_byte,
)


def rewritten(packet, ether_type):
    """The packet, sometimes with one to three things wrong, but to the same host."""
    if not packet or chance.random() < UNCHANGED:
        return packet
    data, place = bytearray(packet), ADDRESSES[ether_type]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if data:
            chance.choice(CHANGES)(data)
    # Those that are still there, of those that were.
    kept = packet[place][: max(0, len(data) - place.start)]
    data[place.start : place.start + len(kept)] = kept
    return bytes(data)


def answer(queues):
    """All that waits in the queues goes on, rewritten; how many it was."""
    count = 0
    by_socket = {queued.sock: queued for queued in queues}
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        ready = select.select(by_socket, [], [], 0.002)[0]
        if not ready:
            break
        for sock in ready:
            queued = by_socket[sock]
            queued.accept(lambda packet, q=queued: rewritten(packet, q.ether_type))
            count += 1
    return count


def send_raw(host, ends, size):
    family, kind = socket.AF_INET, packets.ETH_IPV4
    if ":" in ends[0]:
        family, kind = socket.AF_INET6, packets.ETH_IPV6
    text = TEXT[: min(size, RAW_LONGEST)]
    segment = packets.udp(*ends, APP, chance.choice((APP, PORT)), text)
    packet = packets.ip(*ends, chance.choice(RAW_PROTOCOLS), segment)
    with host.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
        hosts.offer(sock, rewritten(packet, kind), (ends[1], 0))


def send_udp(host, ends, size):
    with host.udp(ends[0]) as sock:
        if size > SEGMENT and chance.random() < 0.5:
            sock.setsockopt(SOL_UDP, UDP_SEGMENT, struct.pack("i", SEGMENT))
        hosts.offer(sock, TEXT[:size], (ends[1], APP))


def listeners():
    found = []
    for address in beta.addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = beta.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, TCP_APP))
        sock.listen()
        sock.setblocking(False)
        found.append(sock)
    return found


class Streams:
    """TCP connections from alpha to beta that send both ways, and come and go."""

    def __init__(self):
        self.listening, self.open = listeners(), []

    def add(self, sock):
        sock.setblocking(False)
        # Gone at once when closed: later nothing more is protected.
        linger = struct.pack("ii", 1, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.open.append(sock)

    def connect(self):
        address = chance.choice(beta.addresses)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.add(alpha.socket(family, socket.SOCK_STREAM))
        with contextlib.suppress(OSError):
            self.open[-1].connect((address, TCP_APP))

    def step(self):
        if len(self.open) < CONNECTIONS // 2:
            self.connect()
        for sock in self.listening:
            with contextlib.suppress(OSError):
                self.add(sock.accept()[0])
        for sock in self.open:
            with contextlib.suppress(OSError):
                sock.send(TEXT)
            with contextlib.suppress(OSError):
                sock.recv(1 << 16)
        if len(self.open) > CONNECTIONS:
            self.open.pop(0).close()

    def close(self):
        for sock in self.open + self.listening:
            sock.close()


def traffic(routes, queues, tap):
    """For a while; how many packets the programs saw, and frames with the marker."""
    streams, count, in_clear = Streams(), 0, []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        size = chance.choice(SIZES)
        for host, ends in routes:
            send_raw(host, ends, size)
            send_udp(host, ends, size)
        streams.step()
        count += answer(queues)
        in_clear += [frame for frame in tap.take() if MARKER in frame]
    streams.close()
    return count, in_clear


def run(routes):
    """The hosts are configured; routes are who sends, from where to where."""
    before = alpha.drops(), beta.drops()
    tap = wire.Tap(hosts.wire)
    for host in alpha, beta:
        host.run("nft", RULES)
    try:
        with nfqueue.Queue(alpha, QUEUE) as a, nfqueue.Queue(beta, QUEUE) as b:
            a.take_joined()
            b.take_joined()
            count, in_clear = traffic(routes, (a, b), tap)
    finally:
        for host in alpha, beta:
            host.run("nft", "flush ruleset")
    for address in beta.addresses:
        hosts.ping_once(alpha, address)
    in_clear += [frame for frame in tap.take() if MARKER in frame]
    tap.close()
    check_equal(in_clear, [], "frames in clear")
    moved = [drops_since(*each) for each in zip(before, (alpha.drops(), beta.drops()))]
    note("%d packets seen, drops %s and %s" % (count, *moved))
    check("unprotectable" in moved[0], "alpha counted what it cannot protect", moved)
    check("malformed" in moved[1], "beta counted what is no packet", moved)


@case("between two hosts")
def transport():
    hosts.make_peers(Identity(), Identity())
    run([(alpha, ends) for ends in zip(alpha.addresses, beta.addresses)])


@case("between two hosts, and the networks behind them")
def gateways():
    hosts.make_gateways()
    left, right = networks
    routes = [(alpha, ends) for ends in zip(alpha.addresses, beta.addresses)]
    run(routes + [(left, ends) for ends in zip(left.addresses, right.addresses)])


def set_up():
    note("NETVEIL_SEED=%d" % SEED)
    hosts.topology_up("--offload")
    hosts.load_module()
    networks.extend(hosts.add_networks())


ktap.run(set_up)
