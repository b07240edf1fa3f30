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
import textwrap
from itertools import zip_longest
from pathlib import Path

SESSIONS = ("http", "ping", "redis")
PORT = 51888
LINES_A_PACKET = 4
PACKETS_SHOWN = 3
COLUMN = 36
HOSTS = {"10.9.0.1": "alpha", "10.9.0.2": "beta"}


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
        self.ends = " > ".join(HOSTS.get(h, h) for h in hosts)
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


def as_text(packet):
    """A packet's payload as lines of text: ciphertext is cut, words are not."""
    payload = packet.payload
    if packet.kind != "Netveil":
        payload = payload.replace(b"\r\n", b" ")
    text = "".join(chr(c) if 32 <= c < 127 else "." for c in payload)
    if packet.kind != "Netveil":
        return textwrap.wrap(text, COLUMN, break_on_hyphens=False)
    return [text[at : at + COLUMN] for at in range(0, len(text), COLUMN)]


def lines_of(packet, marker):
    """What the reader sees of a packet, lines with the marker marked."""
    if not packet:
        return []
    text = as_text(packet)
    if len(text) > LINES_A_PACKET:
        text = text[:LINES_A_PACKET] + ["..."]
    marks = ["!" if marker in line else " " for line in text]
    head = "  %s: %s, %d bytes" % (packet.ends, packet.kind, len(packet.payload))
    return [head] + ["%s %s" % pair for pair in zip(marks, text)]


def side_by_side(name, before, after, marker):
    print("\n%-*s | %s" % (COLUMN + 2, "--- %s, before" % name, "--- %s, after" % name))
    for number, packets in enumerate(zip_longest(shown(before), shown(after))):
        if number:
            print(" " * (COLUMN + 2) + " |")
        columns = [lines_of(p, marker) for p in packets]
        for pair in zip_longest(*columns, fillvalue=""):
            print(("%-*s | %s" % (COLUMN + 2, pair[0], pair[1])).rstrip())


def count_marker(packets, marker):
    return sum(p.frame.count(marker) for p in packets)


def told(when, packets, marker):
    """One capture in words, and whether it is as it must be."""
    times = count_marker(packets, marker)
    clear = [p for p in packets if p.kind not in ("Netveil", "ARP", "IPv6")]
    sealed = [p for p in packets if p.kind == "Netveil"]
    text = "%-6s %3d packets, %2d in clear, secret read %d time%s" % (
        when, len(packets), len(clear), times, "" if times == 1 else "s")
    if when == "before":
        return text, times > 0
    return text, times == 0 and not clear and bool(sealed)


def judge(captures, marker):
    """Prints what was found, and tells whether it is as it must be."""
    good = True
    print("\nThe secret is %s. In all that was captured:" % marker.decode())
    for name in SESSIONS:
        for when, packets in zip(("before", "after"), captures[name]):
            text, fine = told(when, packets, marker)
            print("  %-6s %s" % (name, text))
            good = good and fine
    return good


def main():
    folder, marker = Path(sys.argv[1]), sys.argv[2]
    captures = {
        name: [
            [Packet(frame) for frame in frames(folder / f"{when}-{name}.pcap")]
            for when in ("before", "after")
        ]
        for name in SESSIONS
    }
    print("Payloads as text, a dot for what is none; ! where the tap reads the secret.")
    print("Netveil: UDP to port %d, 16 bytes of header, then ciphertext." % PORT)
    for name in SESSIONS:
        side_by_side(name, *captures[name], marker)
    good = judge(captures, marker.encode())
    print()
    if good:
        print("VERDICT: PASS - the tap read everything before, and nothing after.")
    else:
        print("VERDICT: FAIL - before must show the secret, after must show nothing: see above.")
    sys.exit(0 if good else 1)


main()
