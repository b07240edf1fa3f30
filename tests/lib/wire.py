#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The attacker on the wire: listens, judges what passes, injects, interferes.

Tap reads the frames that cross a port of the bridge, read_pcap those that
tcpdump saved; only_netveil() judges them. Injector sends frames to either host.
Relay takes the bridge's place and hands every frame to a rule of the test.
Run as a program, it judges captures given as arguments, or tests itself.
"""

import errno
import os
import select
import socket
import struct
import sys
import threading

import packets
from hosts import SO_RCVBUFFORCE, ip_batch
from packets import ETH_ARP, ICMPV6, UDP, ether_type, parse_frame, parse_udp

PORT = 51888
INITIATION_LEN, RESPONSE_LEN, DATA_MIN = 208, 128, 32
LANES_MAX = 64
DATA_FLAGS = 0x1F
ETH_P_ALL = 3
SOL_PACKET, PACKET_STATISTICS, PACKET_IGNORE_OUTGOING = 263, 6, 23
PACKET_OUTGOING = 4

# What PROTOCOL section 5 exempts, by ICMPv6 type: hop limit.
EXEMPT = {133: 255, 134: 255, 135: 255, 136: 255, 137: 255}
EXEMPT_MLD = {130: 1, 131: 1, 132: 1, 143: 1}
ON_ANY_ADDRESS = (135, 136)


def read_pcap(path):
    """The Ethernet frames of a classic pcap file."""
    with open(path, "rb") as file:
        data = file.read()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    magic, _, _, _, _, _, link = struct.unpack_from(order + "IHHiIII", data)
    if magic not in (0xA1B2C3D4, 0xA1B23C4D) or link != 1:
        raise ValueError("%s is not a pcap file of Ethernet frames" % path)
    frames, place = [], 24
    while place + 16 <= len(data):
        _, _, kept, length = struct.unpack_from(order + "IIII", data, place)
        if kept != length:
            raise ValueError("%s holds a frame only in part" % path)
        frames.append(data[place + 16 : place + 16 + kept])
        place += 16 + kept
    return frames


def is_link_local(address):
    return address.startswith("fe80:") or address == "::"


def is_exempt(packet):
    """Neighbour discovery and MLD that may pass in clear."""
    if packet.protocol != ICMPV6 or len(packet.payload) < 4:
        return False
    kind, code = packet.payload[:2]
    if EXEMPT.get(kind) == packet.hop_limit and code == 0:
        return kind in ON_ANY_ADDRESS or is_link_local(packet.source)
    return EXEMPT_MLD.get(kind) == packet.hop_limit and is_link_local(packet.source)


def fault_of_datagram(datagram, port=PORT):
    """What is wrong with a UDP datagram as a Netveil message, or None."""
    message = datagram.payload
    if datagram.dport != port:
        return "not to the listen port"
    if datagram.length != 8 + len(message) or len(message) < 16:
        return "a wrong UDP length"
    kind = message[0]
    if kind in (1, 2) and datagram.sport != port:
        return "a handshake not from the listen port"
    if kind == 1:
        well = len(message) == INITIATION_LEN and message[1:4] == b"\1\0\0"
    elif kind == 2:
        well = len(message) == RESPONSE_LEN and message[1] == 1 and message[3] == 0
    elif kind == 4:
        lane = int.from_bytes(message[2:4], "big")
        well = len(message) >= DATA_MIN and not message[1] & ~DATA_FLAGS
        well = well and lane < LANES_MAX and datagram.sport == port + lane
    else:
        return "type %d" % kind
    return None if well else "a malformed message of type %d" % kind


def data_of(packet):
    """Flags, lane, index and counter of a data message in packet, or None."""
    if packet is None or packet.protocol != UDP or len(packet.payload) < 24:
        return None
    message = parse_udp(packet.payload).payload
    return struct.unpack(">BHIQ", message[1:16]) if message[0] == 4 else None


class Judge:
    """Looks at frames one by one and keeps what is wrong with them."""

    def __init__(self, ours, markers=(), port=PORT):
        self.ours, self.markers, self.port = set(ours), markers, port
        self.faults, self.seen = [], {}
        self.joiner = packets.Reassembly()
        self.messages = {1: 0, 2: 0, 4: 0}

    def fault(self, text, frame):
        self.faults.append("%s: %s" % (text, frame[:96].hex()))

    def look(self, frame):
        if any(marker in frame for marker in self.markers):
            self.fault("a marker in clear", frame)
        if ether_type(frame) == ETH_ARP:
            return
        packet = parse_frame(frame)
        if packet is None:
            self.fault("neither IP nor ARP", frame)
        elif {packet.source, packet.destination} <= self.ours:
            self.look_at_ours(packet, frame)

    def look_at_ours(self, packet, frame):
        packet = self.joiner.feed(packet)
        if packet is None or is_exempt(packet):
            return
        if any(marker in packet.payload for marker in self.markers):
            self.fault("a marker in clear, in fragments", frame)
        if packet.protocol != UDP:
            return self.fault("protocol %d in clear" % packet.protocol, frame)
        fault = fault_of_datagram(parse_udp(packet.payload), self.port)
        if fault:
            return self.fault(fault, frame)
        self.messages[packet.payload[8]] += 1
        return self.look_at_counter(packet, frame)

    def look_at_counter(self, packet, frame):
        """No counter of a lane is used twice under one key (invariant 3)."""
        data = data_of(packet)
        if data is None:
            return
        _, lane, index, counter = data
        key = packet.destination, index, lane, counter
        if key in self.seen:
            self.fault("lane %d counter %d repeats" % (lane, counter), frame)
        self.seen[key] = True

    def lanes(self):
        return {lane for _, _, lane, _ in self.seen}


def only_netveil(frames, ours, markers=(), port=PORT):
    """Judge frames seen at one place; raises if something is in clear."""
    judge = Judge(ours, markers, port)
    for frame in frames:
        judge.look(frame)
    if judge.joiner.parts:
        judge.faults.append("fragments that never became whole")
    if judge.faults:
        shown = "\n".join(judge.faults[:5])
        raise AssertionError("%d faults on the wire:\n%s" % (len(judge.faults), shown))
    return judge


def packet_socket(host, device, outgoing=True):
    """Everything that crosses device, with room for bursts."""
    sock = host.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    if not outgoing:
        sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.bind((device, ETH_P_ALL))
    return sock


class Tap:
    """All frames that cross one port of the wire, kept by the kernel until
    they are asked for. whole: losing one is an error."""

    def __init__(self, host, device="wa", whole=True):
        self.whole = whole
        self.sock = packet_socket(host, device)
        self.sock.setblocking(False)
        self.kept = []

    def frames(self):
        """All frames since the tap was opened; fails if some were lost."""
        self.kept += self.take()
        return self.kept

    def take(self):
        """Frames that came since the last call, no longer kept."""
        frames = []
        while True:
            try:
                frames.append(self.sock.recv(65600))
            except BlockingIOError:
                break
            except OSError as error:
                # Said once when the port is deleted; frames remain.
                if error.errno != errno.ENETDOWN:
                    raise
        stats = self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        if self.whole and struct.unpack("=II", stats)[1]:
            raise AssertionError("the tap lost frames")
        return frames

    def packets(self):
        """The IP packets among all frames, fragments joined."""
        joiner = packets.Reassembly()
        parsed = [parse_frame(f) for f in self.frames() if ether_type(f) != ETH_ARP]
        joined = [joiner.feed(p) for p in parsed if p]
        return [p for p in joined if p]

    def close(self):
        self.sock.close()


def messages(found, kind, source=None):
    """The payloads of Netveil messages of one type among packets."""
    chosen = [p for p in found if p.protocol == UDP and len(p.payload) > 8]
    if source:
        chosen = [p for p in chosen if p.source == source]
    datagrams = [parse_udp(p.payload) for p in chosen]
    return [d.payload for d in datagrams if d.dport == PORT and d.payload[0] == kind]


class Injector:
    """Frames out of one port of the wire, to the host behind it."""

    def __init__(self, wire, device, source_mac, target_mac):
        self.sock = wire.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.bind((device, 0))
        self.macs = source_mac, target_mac

    def frame(self, frame):
        self.sock.send(frame)

    def packet(self, packet):
        self.sock.send(packets.ethernet(*self.macs, packet))

    def udp(self, source, destination, sport, dport, payload, **more):
        """A UDP datagram; more: what the IP header should have."""
        segment = packets.udp(source, destination, sport, dport, payload)
        self.packet(packets.ip(source, destination, UDP, segment, **more))

    def close(self):
        self.sock.close()


class Relay:
    """A machine in the middle: in place of the bridge, its two ports are
    joined by a thread, and rule(to, frame) says what becomes of each frame.

    rule returns the frames to send on to the port `to`, at once; what it keeps
    it can send later by send(). Without a rule everything passes. `seen` counts
    frames, and `refused` those too long for the wire, which no test should make.
    """

    def __init__(self, wire, ports=("wa", "wb"), bridge="br0"):
        self.wire, self.ports, self.bridge = wire, ports, bridge
        self.rule, self.failure, self.seen, self.refused = None, None, 0, 0
        self.stopped = threading.Event()

    def __enter__(self):
        self.set_master("nomaster")
        self.sockets = {
            port: packet_socket(self.wire, port, outgoing=False) for port in self.ports
        }
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.stopped.set()
        self.thread.join()
        for sock in self.sockets.values():
            sock.close()
        self.set_master("master " + self.bridge)
        if self.failure and not exception[0]:
            raise self.failure

    def set_master(self, words):
        ip_batch(self.wire, *("link set %s %s" % (port, words) for port in self.ports))

    def send(self, to, frame):
        try:
            self.sockets[to].send(frame)
        except OSError:
            self.refused += 1

    def run(self):
        first, second = self.ports
        others = {first: second, second: first}
        by_number = {sock.fileno(): port for port, sock in self.sockets.items()}
        poller = select.poll()
        for number in by_number:
            poller.register(number, select.POLLIN)
        try:
            while not self.stopped.is_set():
                for number, _ in poller.poll(100):
                    self.forward(by_number[number], others)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error

    def forward(self, port, others):
        frame = self.sockets[port].recv(65600)
        rule = self.rule
        self.seen += 1
        frames = rule(others[port], frame) if rule else (frame,)
        for each in frames or ():
            self.send(others[port], each)


def netveil_message(frame):
    """The Netveil message in a frame, or an empty one."""
    packet = parse_frame(frame)
    if packet is None or packet.protocol != UDP or packet.is_fragment():
        return b""
    datagram = parse_udp(packet.payload)
    return datagram.payload if datagram.dport == PORT else b""


def rewritten(frame, change):
    """The frame with its UDP payload changed by change(payload), and with the
    checksums that belong to it."""
    packet = parse_frame(frame)
    datagram = parse_udp(packet.payload)
    ends = packet.source, packet.destination
    payload = change(datagram.payload)
    segment = packets.udp(*ends, datagram.sport, datagram.dport, payload)
    return frame[:14] + packets.ip(*ends, UDP, segment)


def flip(message, place, bit=1):
    """The message with one bit changed; negative places count from its end."""
    changed = bytearray(message)
    changed[place] ^= bit
    return bytes(changed)


def self_test():
    ours = "10.9.0.1", "10.9.0.2", "fd09::1", "fd09::2"
    macs = bytes(6), bytes([2, 0, 0, 0, 0, 1])

    def framed(ends, protocol, segment, **more):
        return packets.ethernet(*macs, packets.ip(*ends, protocol, segment, **more))

    def data(counter, ends=ours[:2], lane=3, sport=PORT + 3, body=bytes(40)):
        message = struct.pack(">BBHIQ", 4, 0, lane, 7, counter) + body
        return framed(ends, UDP, packets.udp(*ends, sport, PORT, message))

    def refused(*frames, markers=()):
        try:
            only_netveil(frames, ours, markers)
        except AssertionError:
            return True
        return False

    solicitation = bytes([135, 0, 0, 0]) + bytes(20)
    good = [
        data(0),
        data(1),
        data(0, ours[2:]),
        framed(ours[2:], ICMPV6, solicitation, hop_limit=255),
        framed(("10.9.0.1", "10.9.0.77"), packets.TCP, bytes(20)),
    ]
    judge = only_netveil(good, ours)
    assert judge.messages[4] == 3 and judge.lanes() == {3}
    assert refused(data(0), data(0)), "a counter that repeats"
    assert refused(data(0, sport=PORT)), "a lane on another's port"
    assert refused(data(0, lane=64, sport=PORT + 64))
    assert refused(framed(ours[2:], ICMPV6, solicitation, hop_limit=64))
    assert refused(framed(ours[:2], packets.TCP, bytes(20)))
    assert refused(framed(ours[:2], UDP, packets.udp(*ours[:2], 1, 53, b"x" * 20)))
    assert refused(data(0, body=b"x" * 30 + b"MARK"), markers=(b"MARK",))
    long = packets.udp(*ours[:2], PORT, PORT, bytes(30) + b"MARK" + bytes(200))
    parts = packets.fragments_v4(*ours[:2], UDP, long, 40, 1)
    frames = [packets.ethernet(*macs, part) for part in parts]
    assert not any(b"MARK" in frame for frame in frames)
    assert refused(*frames, markers=(b"MARK",))
    assert refused(*frames[:-1])
    changed = rewritten(data(5), lambda message: flip(message, -1))
    assert netveil_message(changed)[:-1] == netveil_message(data(5))[:-1]
    assert data_of(parse_frame(changed)) == (0, 3, 7, 5)
    print("wire: self-test passed")


def main(paths):
    """Each capture against the addresses of the two hosts of topo.sh."""
    ours = os.environ.get("OURS", "10.9.0.1 10.9.0.2 fd09::1 fd09::2").split()
    markers = [m.encode() for m in os.environ.get("MARKERS", "").split()]
    for path in paths:
        judge = only_netveil(read_pcap(path), ours, markers)
        print("%s: only Netveil, messages %s" % (path, judge.messages))


if __name__ == "__main__":
    main(sys.argv[1:]) if sys.argv[1:] else self_test()
