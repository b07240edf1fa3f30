#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Building and reading Ethernet, IPv4, IPv6, UDP, TCP and ICMP by hand.

Tests forge with it what no socket would send, and read what a tap saw. Run as a
program it tests itself.
"""

import ipaddress
import struct
from dataclasses import dataclass, replace

ETH_IPV4, ETH_ARP, ETH_IPV6 = 0x0800, 0x0806, 0x86DD
HOP_BY_HOP, ICMP, TCP, UDP, ROUTING, FRAGMENT, DSTOPTS = 0, 1, 6, 17, 43, 44, 60
ICMPV6 = 58
ECHO_REQUEST, ECHO_REQUEST_V6 = 8, 128
IPV6_EXTENSIONS = (HOP_BY_HOP, ROUTING, DSTOPTS)


def checksum(data):
    """The Internet checksum of data."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def address(text):
    return ipaddress.ip_address(text)


def pseudo_header(source, destination, protocol, length):
    source, destination = address(source), address(destination)
    if source.version == 4:
        tail = struct.pack(">BBH", 0, protocol, length)
    else:
        tail = struct.pack(">I3xB", length, protocol)
    return source.packed + destination.packed + tail


def l4_checksum(source, destination, protocol, segment):
    pseudo = pseudo_header(source, destination, protocol, len(segment))
    return checksum(pseudo + segment)


def udp(source, destination, sport, dport, payload, length=None):
    """A UDP datagram; length forges the one in its header."""
    length = 8 + len(payload) if length is None else length
    header = struct.pack(">HHHH", sport, dport, length, 0)
    check = l4_checksum(source, destination, UDP, header + payload) or 0xFFFF
    return header[:6] + struct.pack(">H", check) + payload


def tcp_syn(source, destination, sport, dport, sequence=1):
    header = struct.pack(
        ">HHIIBBHHH", sport, dport, sequence, 0, 5 << 4, 0x02, 65535, 0, 0
    )
    check = l4_checksum(source, destination, TCP, header)
    return header[:16] + struct.pack(">H", check) + header[18:]


def echo_request(source, destination, identifier, payload):
    body = struct.pack(">HH", identifier, 1) + payload
    if address(source).version == 4:
        check = checksum(struct.pack(">BBH", ECHO_REQUEST, 0, 0) + body)
        return struct.pack(">BBH", ECHO_REQUEST, 0, check) + body
    plain = struct.pack(">BBH", ECHO_REQUEST_V6, 0, 0) + body
    check = l4_checksum(source, destination, ICMPV6, plain)
    return struct.pack(">BBH", ECHO_REQUEST_V6, 0, check) + body


def icmp_error(router, target, quoted, kind, code, word=0):
    """What a router tells the sender of a packet; word: the header's second one."""
    v4 = address(router).version == 4
    body = struct.pack(">I", word) + quoted[: 548 if v4 else 1200]
    plain = struct.pack(">BBH", kind, code, 0) + body
    if v4:
        check = checksum(plain)
    else:
        check = l4_checksum(router, target, ICMPV6, plain)
    body = struct.pack(">BBH", kind, code, check) + body
    return ip(router, target, icmp_protocol(router), body)


def too_big(router, target, quoted, mtu):
    """What a router tells the sender of a packet that is too long for it."""
    if address(router).version == 4:
        return icmp_error(router, target, quoted, 3, 4, mtu)
    return icmp_error(router, target, quoted, 2, 0, mtu)


def time_exceeded(router, target, quoted):
    """What a router tells the sender of a packet whose TTL ran out there."""
    kind = 11 if address(router).version == 4 else 3
    return icmp_error(router, target, quoted, kind, 0)


def aged(packet, hops):
    """The packet after so many routers."""
    changed = bytearray(packet)
    if packet[0] >> 4 == 6:
        changed[7] -= hops
        return bytes(changed)
    changed[8] -= hops
    changed[10:12] = bytes(2)
    header = 4 * (packet[0] & 15)
    changed[10:12] = struct.pack(">H", checksum(bytes(changed[:header])))
    return bytes(changed)


def refragment(packet, mtu):
    """An IPv4 packet without options in fragments for a link of this MTU."""
    parsed = parse_ipv4(packet)
    ident = struct.unpack_from(">H", packet, 4)[0]
    field = struct.unpack_from(">H", packet, 6)[0]
    offset, more, step = field & 0x1FFF, field & 0x2000, (mtu - 20) // 8 * 8
    parts = []
    for place in range(0, len(parsed.payload), step):
        last = place + step >= len(parsed.payload)
        frag = offset + place // 8 | (more if last else 0x2000)
        parts.append(
            ipv4(
                parsed.source,
                parsed.destination,
                parsed.protocol,
                parsed.payload[place : place + step],
                ttl=packet[8],
                ident=ident,
                frag=frag,
            )
        )
    return parts


def is_discovery(packet):
    """Neighbour discovery, which no router passes on."""
    return packet.protocol == ICMPV6 and packet.payload[0] in range(133, 138)


def icmp_protocol(source):
    return ICMP if address(source).version == 4 else ICMPV6


def ipv4(source, destination, protocol, payload, options=b"", ttl=64, ident=0, frag=0):
    """frag: the flags and offset field as it is in the header."""
    source, destination = address(source).packed, address(destination).packed
    words = 5 + len(options) // 4
    header = struct.pack(
        ">BBHHHBBH4s4s",
        0x40 | words,
        0,
        4 * words + len(payload),
        ident,
        frag,
        ttl,
        protocol,
        0,
        source,
        destination,
    )
    check = checksum(header + options)
    return header[:10] + struct.pack(">H", check) + header[12:] + options + payload


def ipv6(source, destination, next_header, payload, hop_limit=64):
    source, destination = address(source).packed, address(destination).packed
    first = struct.pack(">IHBB", 6 << 28, len(payload), next_header, hop_limit)
    return first + source + destination + payload


def ip(source, destination, protocol, payload, **more):
    build = ipv4 if address(source).version == 4 else ipv6
    return build(source, destination, protocol, payload, **more)


def ethernet(source, destination, packet):
    kind = ETH_IPV4 if packet[0] >> 4 == 4 else ETH_IPV6
    return destination + source + struct.pack(">H", kind) + packet


@dataclass(frozen=True)
class Packet:
    """An IP packet, as far as tests look into it."""

    version: int
    source: str
    destination: str
    protocol: int
    payload: bytes
    hop_limit: int
    options: bytes = b""
    ident: int = 0
    offset: int = 0
    more: bool = False

    def is_fragment(self):
        return self.more or self.offset > 0


def parse_ipv4(data):
    length = 4 * (data[0] & 15)
    total, ident, frag, ttl, protocol = struct.unpack(">2xHHHBB", data[:10])
    return Packet(
        4,
        str(ipaddress.IPv4Address(data[12:16])),
        str(ipaddress.IPv4Address(data[16:20])),
        protocol,
        data[length:total],
        ttl,
        data[20:length],
        ident,
        8 * (frag & 0x1FFF),
        bool(frag & 0x2000),
    )


def parse_ipv6(data):
    length, protocol, hop_limit = struct.unpack(">4xHBB", data[:8])
    payload = data[40 : 40 + length]
    source = str(ipaddress.IPv6Address(data[8:24]))
    destination = str(ipaddress.IPv6Address(data[24:40]))
    packet = Packet(6, source, destination, protocol, payload, hop_limit)
    options = b""
    while packet.protocol in IPV6_EXTENSIONS:
        size = 8 + 8 * packet.payload[1]
        options += packet.payload[:size]
        packet = replace(
            packet,
            protocol=packet.payload[0],
            payload=packet.payload[size:],
            options=options,
        )
    if packet.protocol != FRAGMENT:
        return packet
    protocol, frag, ident = struct.unpack(">BxHI", packet.payload[:8])
    return replace(
        packet,
        protocol=protocol,
        payload=packet.payload[8:],
        ident=ident,
        offset=frag & 0xFFF8,
        more=bool(frag & 1),
    )


def ether_type(frame):
    return struct.unpack(">H", frame[12:14])[0]


def parse_frame(frame):
    """The IP packet in an Ethernet frame, or None if there is none."""
    if ether_type(frame) == ETH_IPV4:
        return parse_ipv4(frame[14:])
    if ether_type(frame) == ETH_IPV6:
        return parse_ipv6(frame[14:])
    return None


@dataclass(frozen=True)
class Datagram:
    sport: int
    dport: int
    length: int
    payload: bytes


def parse_udp(segment):
    sport, dport, length, _ = struct.unpack(">HHHH", segment[:8])
    return Datagram(sport, dport, length, segment[8:])


def without_checksum(packet):
    """An IP packet with its UDP or TCP checksum zeroed, which may have been left
    to the device."""
    v4 = packet[0] >> 4 == 4
    place = 4 * (packet[0] & 15) if v4 else 40
    protocol = packet[9] if v4 else packet[6]
    place += {UDP: 6, TCP: 16}[protocol]
    return packet[:place] + b"\0\0" + packet[place + 2 :]


class Reassembly:
    """Joins fragments: feed packets, get whole ones or None."""

    def __init__(self):
        self.parts = {}

    def feed(self, packet):
        if not packet.is_fragment():
            return packet
        key = packet.source, packet.destination, packet.ident, packet.version
        parts = self.parts.setdefault(key, {})
        parts[packet.offset] = packet
        whole = self.join(parts)
        if whole is not None:
            del self.parts[key]
        return whole

    @staticmethod
    def join(parts):
        payload, place = b"", 0
        while place in parts:
            part = parts[place]
            payload += part.payload
            place += len(part.payload)
            if not part.more:
                first = parts[0]
                return replace(first, payload=payload, more=False)
            if not part.payload:
                return None
        return None


def fragments_v4(source, destination, protocol, payload, size, ident):
    """Payload as IPv4 packets of at most size (a multiple of 8) bytes each."""
    places = range(0, len(payload), size)
    return [
        ipv4(
            source,
            destination,
            protocol,
            payload[place : place + size],
            ident=ident,
            frag=place // 8 | (0x2000 if place + size < len(payload) else 0),
        )
        for place in places
    ]


def self_test():
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # RFC 1071
    mac = bytes(6), bytes([2, 0, 0, 0, 0, 1])
    for ends in ("10.9.0.1", "10.9.0.2"), ("fd09::1", "fd09::2"):
        segment = udp(*ends, 1000, 2000, b"payload")
        assert l4_checksum(*ends, UDP, segment) == 0
        packet = parse_frame(ethernet(*mac, ip(*ends, UDP, segment)))
        assert (packet.source, packet.destination) == ends
        assert parse_udp(packet.payload) == Datagram(1000, 2000, 15, b"payload")
        assert l4_checksum(*ends, TCP, tcp_syn(*ends, 1, 2)) == 0
    packet = parse_ipv4(ipv4("1.2.3.4", "5.6.7.8", UDP, b"x", options=bytes(4)))
    assert packet.options == bytes(4) and packet.payload == b"x"
    extension = bytes([UDP, 0]) + bytes(6)
    packet = parse_ipv6(ipv6("fd09::1", "fd09::2", DSTOPTS, extension + b"y"))
    assert (packet.protocol, packet.payload, packet.options) == (UDP, b"y", extension)
    data = bytes(range(100))
    parts = fragments_v4("1.2.3.4", "5.6.7.8", UDP, data, 40, 7)
    joiner = Reassembly()
    results = [joiner.feed(parse_ipv4(part)) for part in reversed(parts)]
    assert results[:2] == [None, None] and results[2].payload == data
    print("packets: self-test passed")


if __name__ == "__main__":
    self_test()
