#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=100
"""Packets of every shape arrive as they were sent: options, extension headers,
fragments, protocols inside protocols, checksums left out (DESIGN section 4:
what transport mode cannot carry exactly goes as tunnel mode).

They are written by hand on alpha; an AF_PACKET-like look at what beta's stack
gets comes from its raw sockets. Each is tried first without peers.
"""

import contextlib
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import bpf
import hosts
import ktap
import packets
import traffic
import wire
from hosts import alpha, beta, drops_since, ip_batch
from ktap import case, check, check_between, check_equal, skip, wait_until
from nflog import Log
from packets import DSTOPTS, FRAGMENT, HOP_BY_HOP, ICMP, UDP
from veilproto import Identity

APP = 7000
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
ENDS4, ENDS6 = (alpha.v4, beta.v4), (alpha.v6, beta.v6)
OURS = ENDS4 + ENDS6
NOPS = bytes([1, 1, 1, 0])
RECORD_ROUTE = bytes([7, 7, 4, 0, 0, 0, 0, 0])
PADN = bytes([UDP, 0, 1, 4, 0, 0, 0, 0])
LSRR, SSRR = 0x83, 0x89
EXPERIMENT, ESP, GRE, IPIP, IPV6, SCTP = 253, 50, 47, 4, 41, 132
state = {}


def set_up():
    hosts.set_up()
    raw = socket.SOCK_RAW, socket.IPPROTO_RAW
    state["raw4"] = alpha.socket(socket.AF_INET, *raw)
    state["raw6"] = alpha.socket(socket.AF_INET6, *raw)
    state["gamma"] = hosts.add_gamma()
    state["app"] = {a: beta.udp(a, APP) for a in beta.addresses}


def send(packet):
    """By the route of the packet's own destination."""
    if packet[0] >> 4 == 4:
        sock, target = state["raw4"], packets.parse_ipv4(packet).destination
    else:
        sock, target = state["raw6"], packets.parse_ipv6(packet).destination
    hosts.offer(sock, packet, (target, 0))


def listener(protocol, v6=False):
    """A raw socket on beta; IPv4's give the IP header as well."""
    family = socket.AF_INET6 if v6 else socket.AF_INET
    sock = beta.socket(family, socket.SOCK_RAW, protocol)
    sock.setblocking(False)
    return sock


def datagram(ends, payload=MARKER):
    return packets.udp(*ends, APP, APP, payload)


def both(run):
    """run() in clear, then sealed; in the second, only Netveil on the wire and
    nothing dropped. Both must give the same."""
    hosts.flush_all()
    tap = wire.Tap(hosts.wire)
    clear = run()
    check(any(MARKER in frame for frame in tap.frames()), "the control is in clear")
    tap.close()
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    tap, before = wire.Tap(hosts.wire), beta.drops()
    sealed = run()
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    tap.close()
    check_equal(drops_since(before, beta.drops()), {}, "drops on beta")
    check_equal(sealed, clear, "what beta got")


def got_by(sock, send_it):
    """What a socket gets from send_it()."""
    hosts.receive_all(sock)
    send_it()
    return wait_until(lambda: hosts.receive_all(sock), 10, "what was sent")


@case("IPv4 options arrive, none of them lost or added")
def ipv4_options():
    def run():
        sock = listener(UDP)
        return [
            got_by(sock, lambda: send(packet))
            for packet in (
                packets.ipv4(*ENDS4, UDP, datagram(ENDS4), options=NOPS, ident=7),
                packets.ipv4(
                    *ENDS4, UDP, datagram(ENDS4), options=RECORD_ROUTE, ident=8
                ),
                packets.ipv4(*ENDS4, UDP, datagram(ENDS4), ident=9),
            )
        ]

    both(run)


@case("IPv6 destination and hop-by-hop options arrive, and are looked at")
def extension_headers():
    app = state["app"][beta.v6]
    good = [
        packets.ipv6(*ENDS6, kind, PADN + datagram(ENDS6))
        for kind in (DSTOPTS, HOP_BY_HOP)
    ]
    # An option of this kind that a host does not know makes it drop the packet.
    unknown = bytes([UDP, 0, 0x7E, 4, 0, 0, 0, 0])
    bad = packets.ipv6(*ENDS6, HOP_BY_HOP, unknown + datagram(ENDS6, b"unknown"))
    both(lambda: [got_by(app, lambda: send(each)) for each in good])
    both(lambda: got_by(app, lambda: [send(bad), send(good[0])]))


def unprotectable(packet):
    """Seen in clear without peers; with them it does not leave."""
    hosts.flush_all()
    tap = wire.Tap(hosts.wire)
    send(packet)
    wait_until(lambda: any(MARKER in f for f in tap.frames()), 10, "the control")
    tap.close()
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    tap, before = wire.Tap(hosts.wire), alpha.drops()
    send(packet)
    moved = wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
    check_equal(moved, {"unprotectable": 1}, "drops")
    hosts.ping_once(alpha, beta.v4)
    check(not any(MARKER in frame for frame in tap.frames()), "nothing in clear")
    tap.close()


@case("what hides that it goes to a peer does not leave")
def hidden():
    third4, third6 = state["gamma"].addresses
    final = packets.address(beta.v4).packed
    strict, loose = (bytes([kind, 7, 4]) + final for kind in (SSRR, LSRR))
    # The one that counts may come behind others, as well.
    used_up = bytes([LSRR, 7, 8]) + packets.address(third4).packed
    routes = (
        *(strict + b"\0", loose + b"\0", b"\1" + loose),
        *(RECORD_ROUTE[:7] + loose + bytes(2), used_up + loose + bytes(2)),
        # What is left at its end, less than an address, nobody goes to.
        bytes([LSRR, 8, 4]) + final + bytes(1),
    )
    sourced = [
        packets.ipv4(alpha.v4, third4, UDP, datagram(ENDS4), options=option)
        for option in routes
    ]
    segments = packets.address(beta.v6).packed + packets.address(third6).packed
    routing = bytes([UDP, 4, 4, 1, 1, 0, 0, 0]) + segments + datagram(ENDS6)
    segment_routed = packets.ipv6(alpha.v6, third6, packets.ROUTING, routing)
    # The other types have them in order of travel.
    in_order = segments[16:] + segments[:16]
    routing_home = bytes([UDP, 4, 2, 1, 0, 0, 0, 0]) + in_order + datagram(ENDS6)
    home = packets.ipv6(alpha.v6, third6, packets.ROUTING, routing_home)
    # RPL's leave out what the destination begins with.
    routing = bytes([UDP, 1, 3, 1, 0xFF, 0x70, 0, 0]) + segments[15:16] + bytes(7)
    short = packets.ipv6(alpha.v6, third6, packets.ROUTING, routing + datagram(ENDS6))
    # One that counts behind one that does not, and behind other headers.
    nowhere = packets.address(third6).packed
    behind = [
        (packets.ROUTING, bytes([packets.ROUTING, 2, 2, left, 0, 0, 0, 0]) + nowhere)
        for left in (0, 1)
    ]
    behind += [(DSTOPTS, bytes([packets.ROUTING]) + PADN[1:])]
    behind += [(FRAGMENT, bytes([packets.ROUTING, 0, 0, more, 0, 0, 0, 9])) for more in (0, 1)]
    for packet in *sourced, segment_routed, home, short:
        unprotectable(packet)
    for kind, first in behind:
        unprotectable(packets.ipv6(alpha.v6, third6, kind, first + routing_home))


WRAPPED_FROM, WRAPPED_TO = "fd09::a", "fd09::b"
INSIDE = "10.1.0.1", "10.2.0.1"


@contextlib.contextmanager
def wrapping_routes():
    """What alpha sends to beta's addresses goes inside IPv6 to another one, that no
    peer has, and is unwrapped there. Behind each host is an address more, to which
    alpha's route is an ordinary one."""
    added = [[], []]
    for host, words in (
        (alpha, "addr %s %s/128 dev lo" % ("%s", WRAPPED_FROM)),
        (beta, "addr %s %s/128 dev eth0" % ("%s", WRAPPED_TO)),
        (alpha, "addr %s %s/32 dev lo" % ("%s", INSIDE[0])),
        (beta, "addr %s %s/32 dev lo" % ("%s", INSIDE[1])),
        (alpha, "route %s %s via %s dev eth0 onlink" % ("%s", INSIDE[1], beta.v4)),
        (beta, "route %s %s via %s dev eth0 onlink" % ("%s", INSIDE[0], alpha.v4)),
        *((alpha, "route %%s %s encap seg6 mode encap segs %s dev eth0" % (a, WRAPPED_TO))
          for a in beta.addresses),
    ):
        added[host is beta].append(words)
    keys = ["ipv6/conf/%s/seg6_enabled" % name for name in ("all", "eth0")]
    alpha.run("ip", "sr", "tunsrc", "set", WRAPPED_FROM)
    for host, lines in zip((alpha, beta), added):
        ip_batch(host, *(words % "add" for words in lines))
    for key in keys:
        beta.sysctl(key, 1)
    try:
        yield
    finally:
        hosts.flush_all()
        for host, lines in zip((alpha, beta), added):
            ip_batch(host, *(words % "del" for words in reversed(lines)))
        for key in keys:
            beta.sysctl(key, 0)


def kernel_wraps():
    with open("/proc/kallsyms", encoding="ascii") as symbols:
        return any(" lwtunnel_output\n" in line for line in symbols)


@case("by a route that wraps packets nothing leaves in clear; handshakes and what is sealed do")
def wrapped():
    if not kernel_wraps():
        skip("a kernel without LWTUNNEL")
    hosts.flush_all()
    written = [packets.ip(*ends, UDP, datagram(ends)) for ends in (ENDS4, ENDS6)]
    # A neighbour solicitation by its looks, which no route but one on the link is for.
    message = bytes([135, 0, 0, 0]) + bytes(4) + packets.address(beta.v6).packed + MARKER
    written.append(packets.ipv6(*ENDS6, packets.ICMPV6, message, hop_limit=255))
    senders = [alpha.udp(a) for a in alpha.addresses]

    def send_all():
        for packet in written:
            send(packet)
        for sender, target in zip(senders, beta.addresses):
            hosts.offer(sender, MARKER, (target, APP))

    def in_clear(tap):
        return [frame for frame in tap.frames() if MARKER in frame]

    with wrapping_routes():
        tap = wire.Tap(hosts.wire)
        send_all()
        wait_until(
            lambda: all(hosts.receive_all(app) for app in state["app"].values()),
            10,
            "the control",
        )
        clear = in_clear(tap)
        check_equal(len(clear), 5, "in clear, the control")
        to = packets.address(WRAPPED_TO).packed
        check(all(frame[38:54] == to for frame in clear), "and wrapped", clear)
        tap.close()

        hosts.make_peers(Identity(), Identity())
        wait_until(lambda: alpha.is_up() and beta.is_up(), 20, "a session")
        tap, before = wire.Tap(hosts.wire), alpha.drops()
        refused = alpha.peer()["drops"]
        send_all()
        check_equal(drops_since(before, alpha.drops()), {"unprotectable": 5}, "drops")
        check_equal(alpha.peer()["drops"] - refused, 5, "of the peer's")
        check_equal(in_clear(tap), [], "in clear")
        tap.close()

        # What is sealed elsewhere may go by such a route.
        inside = alpha.udp(INSIDE[0]), beta.udp(INSIDE[1], APP)
        for family in 0, 1:
            hosts.make_gateways(
                lambda host, family=family: host.addresses[family : family + 1],
                [[address + "/32"] for address in INSIDE],
            )
            tap, before = wire.Tap(hosts.wire), alpha.drops()
            got = got_by(inside[1], lambda: inside[0].sendto(MARKER, (INSIDE[1], APP)))
            check_equal(got, [MARKER], "what was sealed")
            check_equal(drops_since(before, alpha.drops()), {}, "drops")
            check_equal(in_clear(tap), [], "in clear")
            tap.close()


def shown(tap):
    """What came since in clear."""
    return [frame for frame in tap.take() if MARKER in frame]


@case("nor by one whose device is lo or a VRF, which what is wrapped does not leave by")
def wrapped_by_another():
    if not kernel_wraps():
        skip("a kernel without LWTUNNEL")
    hosts.flush_all()
    route = "route %s %s encap seg6 mode encap segs %s dev %s"
    with wrapping_routes(), alpha.udp(alpha.v4) as sender:
        ip_batch(alpha, "link add vrf0 type vrf table 77", "link set vrf0 up")
        try:
            for device in "lo", "vrf0":
                ip_batch(alpha, route % ("replace", beta.v4, WRAPPED_TO, device))
                tap = wire.Tap(hosts.wire)
                hosts.offer(sender, MARKER, (beta.v4, APP))
                wait_until(lambda: shown(tap), 10, "in clear, the control, " + device)
                alpha.control.set_private_key(Identity().private)
                alpha.control.add_peer(Identity().public, beta.v4)
                before = alpha.drops()
                hosts.offer(sender, MARKER, (beta.v4, APP))
                moved = drops_since(before, alpha.drops())
                check_equal((moved.get("unprotectable"), shown(tap)), (1, []), device)
                tap.close()
                hosts.flush_all()
        finally:
            ip_batch(alpha, route % ("replace", beta.v4, WRAPPED_TO, "eth0"), "link del vrf0")


@case("by a route with a BPF program, which cannot wrap them, packets are sealed as ever")
def programmed():
    if not kernel_wraps():
        skip("a kernel without LWTUNNEL")
    hosts.flush_all()
    senders = [alpha.udp(a) for a in alpha.addresses]

    def run():
        return [
            got_by(state["app"][target], lambda: sender.sendto(MARKER, (target, APP)))
            for sender, target in zip(senders, beta.addresses)
        ]

    with bpf.pinned(bpf.LWT_OUT, bpf.PASS_BY_ROUTE) as path:
        for address in beta.addresses:
            program = "encap", "bpf", "out", "pinned", path, "dev", "eth0"
            alpha.run("ip", "route", "add", address, *program)
        try:
            both(run)
            for address in beta.addresses:
                traffic.transfer(alpha, beta, address, os.urandom(1 << 18))
        finally:
            for address in beta.addresses:
                alpha.run("ip", "route", "del", address)


@case("where a route needs room for what it puts around them, packets are that much shorter")
def narrower():
    if not kernel_wraps():
        skip("a kernel without LWTUNNEL")
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    for host in alpha, beta:
        host.run("ethtool", "-K", "eth0", "sg", "on", "tx", "on")
    with bpf.pinned(bpf.LWT_XMIT, bpf.PASS_BY_ROUTE) as path:
        for address in beta.addresses:
            program = "encap", "bpf", "xmit", "pinned", path, "headroom", "100", "dev", "eth0"
            alpha.run("ip", "route", "add", address, *program)
        try:
            for address in beta.addresses:
                tap = wire.Tap(hosts.wire)
                traffic.transfer(alpha, beta, address, os.urandom(1 << 18))
                longest = max(len(frame) for frame in tap.frames() if frame[6:12] == alpha.mac())
                check_between(longest, 1300, 14 + 1500 - 100, "the longest frame")
                tap.close()
        finally:
            for address in beta.addresses:
                alpha.run("ip", "route", "del", address)
            for host in alpha, beta:
                host.run("ethtool", "-K", "eth0", "sg", "off", "tx", "off")


@case("fragments made by the sender arrive as one datagram, v4 and v6")
def fragments():
    def send4():
        segment = datagram(ENDS4, MARKER * 30)
        for part in packets.fragments_v4(*ENDS4, UDP, segment, 400, 77):
            send(part)

    def send6():
        segment = datagram(ENDS6, MARKER * 30)
        for place in range(0, len(segment), 400):
            more = int(place + 400 < len(segment))
            head = struct.pack(">BxHI", UDP, place | more, 99)
            part = head + segment[place : place + 400]
            send(packets.ipv6(*ENDS6, FRAGMENT, part))

    def run():
        app = state["app"]
        return got_by(app[beta.v4], send4), got_by(app[beta.v6], send6)

    both(run)


@case("fragments that overlap are no datagram, and the next one arrives")
def overlapping_fragments():
    segments = datagram(ENDS4, MARKER * 30), datagram(ENDS6, MARKER * 30)

    def send4(ident, places):
        for place in places:
            more = 0x2000 if place + 400 < len(segments[0]) else 0
            part = segments[0][place : place + 400]
            options = {"ident": ident, "frag": place // 8 | more}
            send(packets.ipv4(*ENDS4, UDP, part, **options))

    def send6(ident, places):
        for place in places:
            more = int(place + 400 < len(segments[1]))
            head = struct.pack(">BxHI", UDP, place | more, ident)
            send(packets.ipv6(*ENDS6, FRAGMENT, head + segments[1][place : place + 400]))

    def run():
        results = []
        for app, send_parts in (
            (state["app"][beta.v4], send4),
            (state["app"][beta.v6], send6),
        ):
            send_parts(7, (0, 200, 400, 800))
            results.append(got_by(app, lambda: send_parts(8, (0, 400, 800))))
        return results

    both(run)


@case("every protocol number arrives as it was sent, in IPv4 and IPv6")
def every_protocol():
    # IPv6's headers of extensions say where the next one is: see above.
    extensions = HOP_BY_HOP, packets.ROUTING, FRAGMENT, DSTOPTS
    sent = [packets.ipv4(*ENDS4, p, MARKER * 2, ident=p + 1) for p in range(256)]
    sent += [
        packets.ipv6(*ENDS6, p, MARKER * 2) for p in range(256) if p not in extensions
    ]
    ours = "ip saddr %s log group 7 queue-threshold 1; ip6 saddr %s" % (alpha.v4, alpha.v6)

    def run():
        with Log(beta, "input", ours) as log:
            for place in range(0, len(sent), 32):
                for packet in sent[place : place + 32]:
                    send(packet)
                log.wait(min(place + 32, len(sent)))
            return sorted(p for p in log.packets() if MARKER * 2 in p)

    both(run)


@case("other protocols arrive: unknown ones, ESP, GRE, IP in IP")
def protocols():
    inner = packets.ipv4("192.0.2.1", "192.0.2.2", UDP, MARKER)

    def run():
        results = []
        for protocol in EXPERIMENT, ESP, GRE, IPIP, IPV6, SCTP:
            payload = inner if protocol == IPIP else MARKER
            sock = listener(protocol)
            packet = packets.ipv4(*ENDS4, protocol, payload, ident=protocol)
            results.append(got_by(sock, lambda: send(packet)))
            sock.close()
            sock = listener(protocol, v6=True)
            packet = packets.ipv6(*ENDS6, protocol, payload)
            results.append(got_by(sock, lambda: send(packet)))
            sock.close()
        return results

    both(run)


@case("UDP without a checksum, with one that is wrong, and without payload")
def checksums():
    good = datagram(ENDS4)
    none = good[:6] + b"\0\0" + good[8:]
    wrong = good[:6] + b"\x12\x34" + good[8:]

    def run():
        sock = listener(UDP)
        results = []
        for segment in none, wrong, good:
            packet = packets.ipv4(*ENDS4, UDP, segment, ident=3)
            results.append(got_by(sock, lambda: send(packet)))
        sock.close()
        # The application gets what its kernel finds right: the wrong one is not.
        results.append(hosts.receive_all(state["app"][beta.v4]))
        empty = packets.ip(*ENDS6, UDP, datagram(ENDS6, b""))
        results.append(got_by(state["app"][beta.v6], lambda: send(empty)))
        return results

    both(run)


@case("DSCP, ECN, TTL and IP ID arrive")
def header_fields():
    def run():
        sock, results = listener(UDP), []
        for tos in 0x00, 0xB8, 0x02, 0x03:
            packet = bytearray(
                packets.ipv4(*ENDS4, UDP, datagram(ENDS4), ident=5, ttl=9)
            )
            packet[1] = tos
            # The kernel fills the header's checksum in.
            results += got_by(sock, lambda: send(bytes(packet)))
        sock.close()
        return results

    both(run)


@case("ICMP of every kind arrives, echo requests of 1 to 60000 bytes are answered")
def icmp():
    def run():
        sock = listener(ICMP)
        results = []
        for kind in 8, 13, 17, 40:
            message = bytes([kind, 0, 0, 0]) + struct.pack(">HH", 9, 1) + MARKER
            message = (
                message[:2] + struct.pack(">H", packets.checksum(message)) + message[4:]
            )
            packet = packets.ipv4(*ENDS4, ICMP, message, ident=kind)
            results.append(got_by(sock, lambda: send(packet)))
        sock.close()
        for size in "1", "1472", "20000", "60000":
            for address in beta.addresses:
                alpha.run("ping", "-q", "-c", "1", "-W", "5", "-s", size, address)
        return results

    both(run)


ktap.run(set_up)
