#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What the tap of make demo saw, before and after side by side, and the verdict.

usage: demo-view.py FOLDER MARKER, with before-NAME.pcap and after-NAME.pcap in
FOLDER. Fails unless MARKER is in every capture of before and in none of after,
and all IPv4 that crossed the wire afterwards was Netveil's. (The demo protects
no IPv6 address; the hosts' own multicast there is none of its business.)
"""

import struct
import sys
from itertools import zip_longest
from pathlib import Path

SESSIONS = ("http", "ping", "redis")
PORT = 51888
BYTES_A_LINE = 12
LINES_A_PACKET = 6
PACKETS_SHOWN = 3
COLUMN = BYTES_A_LINE * 4 + 2


def frames(path):
    """The Ethernet frames of a classic pcap file."""
    data = path.read_bytes()
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from(order + "I", data, at + 8)[0]
        yield data[at + 16 : at + 16 + length]
        at += 16 + length


class Packet:
    """An Ethernet frame: what kind it is, and what it carries."""

    def __init__(self, frame):
        self.frame = frame
        self.kind = self.ends = ""
        self.payload = b""
        kind = struct.unpack_from("!H", frame, 12)[0]
        if kind == 0x0806:
            self.kind = "ARP"
        elif kind == 0x0800:
            self.parse_ipv4(frame[14:])
        elif kind == 0x86DD:
            self.kind = "IPv6"

    def parse_ipv4(self, ip):
        header, total = (ip[0] & 15) * 4, struct.unpack_from("!H", ip, 2)[0]
        hosts = [".".join(map(str, ip[at : at + 4])) for at in (12, 16)]
        self.ends = " > ".join(hosts)
        body = ip[header:total]
        if ip[9] == 6:
            self.kind = "TCP"
            self.payload = body[(body[12] >> 4) * 4 :]
        elif ip[9] == 17:
            ports = struct.unpack_from("!HH", body)
            self.kind = "Netveil" if PORT in ports else "UDP"
            self.payload = body[8:]
        elif ip[9] == 1:
            self.kind = "ICMP"
            self.payload = body[8:]
        else:
            self.kind = "IP protocol %d" % ip[9]
            self.payload = body


def shown(packets):
    """The packets worth showing: those that carry the most, in their order."""
    by_size = sorted(packets, key=lambda p: -len(p.payload))[:PACKETS_SHOWN]
    return [p for p in packets if p in by_size and p.payload]


def dump(packet):
    """A packet as lines of a hexdump."""
    lines = ["%s %s, %d bytes" % (packet.kind, packet.ends, len(packet.payload))]
    for at in range(0, len(packet.payload), BYTES_A_LINE):
        if at // BYTES_A_LINE == LINES_A_PACKET:
            lines.append("...")
            break
        part = packet.payload[at : at + BYTES_A_LINE]
        text = "".join(chr(c) if 32 <= c < 127 else "." for c in part)
        lines.append(part.hex(" ").ljust(BYTES_A_LINE * 3) + " " + text)
    return lines


def side_by_side(name, before, after):
    print("\n--- %s: before | after" % name)
    for left, right in zip_longest(shown(before), shown(after)):
        columns = [dump(p) if p else [] for p in (left, right)]
        for pair in zip_longest(*columns, fillvalue=""):
            print(("%-*s | %s" % (COLUMN, pair[0], pair[1])).rstrip())
        print()


def count_marker(packets, marker):
    return sum(p.frame.count(marker) for p in packets)


def judge(captures, marker):
    """Prints what was found, and tells whether it is as it must be."""
    good = True
    for name in SESSIONS:
        before, after = captures[name]
        counts = count_marker(before, marker), count_marker(after, marker)
        clear = [p for p in after if p.kind not in ("Netveil", "ARP", "IPv6")]
        sealed = [p for p in after if p.kind == "Netveil"]
        print(
            "%-6s before: %r %d times in %d packets; after: %d times in %d packets, %d of them in clear"
            % (name, marker.decode(), counts[0], len(before), counts[1], len(after), len(clear))
        )
        good = good and counts[0] > 0 and counts[1] == 0 and not clear and bool(sealed)
    return good


def main():
    folder, marker = Path(sys.argv[1]), sys.argv[2].encode()
    captures = {
        name: [[Packet(f) for f in frames(folder / f"{when}-{name}.pcap")] for when in ("before", "after")]
        for name in SESSIONS
    }
    for name in SESSIONS:
        side_by_side(name, *captures[name])
    good = judge(captures, marker)
    print()
    if good:
        print("VERDICT: PASS - the tap read everything before, and nothing after.")
    else:
        print("VERDICT: FAIL - see the counts above: before must show the marker, after must show nothing.")
    sys.exit(0 if good else 1)


main()
