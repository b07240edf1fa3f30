#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=100
"""Path MTU: senders learn the inner MTU and it stays put; routers are believed
when they quote what was really sent, and no further than they should (STACK A2,
B9, B10, PROTOCOL section 5).
"""

import contextlib
import errno
import itertools
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import traffic
import wire
from hosts import alpha, beta, drops_since
from ktap import case, check, check_equal, note, wait_until
from veilproto import Identity

APP, UDP_SEGMENT = 7000, 103
OVERHEAD = 42  # UDP, data header, trailer and tag
IP_HEADERS = {False: 28, True: 48}  # with UDP's, by "is IPv6"
DISCOVER, MTU = {False: (0, 10, 14), True: (41, 23, 24)}, 2
ROUTER = {False: "10.9.0.254", True: "fd09::fe"}
state = {}


def set_up():
    hosts.set_up()
    state["wire"] = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    state["inbox"] = {a: beta.udp(a, APP) for a in beta.addresses}


def fresh():
    """Peers without history, and a tap."""
    for host in alpha, beta:
        host.run("ip", "route", "flush", "cache")
        host.run("ip", "-6", "route", "flush", "cache")
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    hosts.ping_once(alpha, beta.v6)


def connected(address):
    """A socket of alpha that forbids fragments."""
    sock = alpha.udp(alpha.addresses[":" in address])
    level, discover, _ = DISCOVER[":" in address]
    sock.setsockopt(level, discover, 2)
    sock.connect((address, APP))
    return sock


def known_mtu(sock, address):
    level, _, mtu = DISCOVER[":" in address]
    return sock.getsockopt(level, mtu)


def refused_as_too_long(sock, size):
    try:
        sock.send(bytes(size))
    except OSError as error:
        check_equal(error.errno, errno.EMSGSIZE, "errno")
        return True
    return False


def arrives(address, sock, size):
    hosts.receive_all(state["inbox"][address])
    sock.send(bytes(size))
    got = wait_until(lambda: hosts.receive_all(state["inbox"][address]), 10, "it")
    check_equal([len(each) for each in got], [size], "bytes that arrive")


@case("too long and not to be fragmented: EMSGSIZE and the inner MTU, 100 times over")
def too_long():
    fresh()
    for address in beta.addresses:
        sock = connected(address)
        headers = IP_HEADERS[":" in address]
        inner = 1500 - OVERHEAD
        # The first refusal marks the socket's cached route as old; from its next
        # call on the socket knows.
        check(refused_as_too_long(sock, inner - headers + 1), "EMSGSIZE")
        for _ in range(100):
            check(refused_as_too_long(sock, inner - headers + 1), "EMSGSIZE")
            check_equal(known_mtu(sock, address), inner, "MTU that the socket knows")
        arrives(address, sock, inner - headers)
        sock.close()


@contextlib.contextmanager
def least_mtu_link():
    try:
        for host in alpha, beta:
            hosts.ip_batch(host, "link set eth0 mtu 1280")
        yield
    finally:
        for host in alpha, beta:
            hosts.ip_batch(host, "link set eth0 mtu 1500")


@case("IPv6's least MTU of 1280 on the link: full packets pass, and TCP")
def least_mtu():
    with least_mtu_link():
        fresh()
        for address in beta.addresses:
            sock = alpha.udp(alpha.addresses[":" in address])
            sock.connect((address, APP))
            for size in 1200, 1280 - IP_HEADERS[":" in address], 5000:
                arrives(address, sock, size)
            sock.close()
            transfer(address)


@case("the same for segments of 1280 bytes that are handed over joined: UDP and SCTP")
def least_mtu_joined():
    size, count = 1280 - IP_HEADERS[True], 5
    with least_mtu_link():
        fresh()
        before = alpha.drops(), beta.drops()
        with alpha.udp(alpha.v6) as sock:
            sock.setsockopt(socket.SOL_UDP, UDP_SEGMENT, size)
            sock.connect((beta.v6, APP))
            hosts.receive_all(state["inbox"][beta.v6])
            data = [bytes([number]) * size for number in range(count)]
            try:
                sock.send(b"".join(data))
            except OSError as error:
                # 6.1 joins nothing for a device that fills no checksums.
                check_equal(error.errno, errno.EIO, "why they are refused")
            else:
                check_equal(received(beta.v6, count), data, "segments")
        try:
            with traffic.Stream(alpha, beta, beta.v6, socket.IPPROTO_SCTP) as stream:
                stream.exchange(200000)
        except OSError as error:
            check_equal(error.errno, errno.EPROTONOSUPPORT, "no SCTP here")
        for host, old in zip((alpha, beta), before):
            check_equal(drops_since(old, host.drops()), {}, "drops on " + host.name)


def received(address, count):
    """Datagrams at beta, of which so many are under way."""
    got = []
    wait_until(
        lambda: got.extend(hosts.receive_all(state["inbox"][address]))
        or len(got) >= count,
        10,
        "%d datagrams" % count,
    )
    return got


def transfer(address):
    traffic.transfer_promptly(alpha, beta, address, os.urandom(300000))


def sent_lately(address):
    """The last sealed packet to address that the wire saw, from its IP header."""
    tap = wire.Tap(hosts.wire)
    sock = alpha.udp(alpha.addresses[":" in address])
    sock.sendto(bytes(400), (address, APP))
    sock.close()

    def sealed():
        frames = [f for f in tap.frames() if wire.netveil_message(f)[:1] == b"\4"]
        return [f[14:] for f in frames if len(f) > 400]

    found = wait_until(sealed, 10, "a sealed packet")[-1]
    tap.close()
    return found


def tell(address, quoted, mtu):
    """A router's word about a packet; the drop counters that moved, and the
    path MTU that the peer has now."""
    v6 = ":" in address
    before = alpha.drops()
    packet = packets.too_big(ROUTER[v6], alpha.addresses[v6], quoted, mtu)
    state["wire"].packet(packet)
    hosts.ping_once(alpha, address)
    return drops_since(before, alpha.drops()), alpha.peer()["mtu"]


def altered(packet, address, place, value):
    """A quoted packet with other bytes in its Netveil header."""
    place += IP_HEADERS[":" in address]
    return packet[:place] + value + packet[place + len(value) :]


@case("a router that quotes what was not sent is not believed")
def unproven():
    fresh()
    for address in beta.addresses[::-1]:
        before = alpha.peer()["mtu"]
        real = sent_lately(address)
        v6 = ":" in address
        plain = packets.ip(
            alpha.addresses[v6],
            address,
            packets.UDP,
            packets.udp(alpha.addresses[v6], address, 1000, APP, bytes(100)),
        )
        for quoted, reason in (
            (plain, "icmp_forged"),
            (altered(real, address, 4, b"\1\2\3\4"), "icmp_unproven"),
            (altered(real, address, 8, struct.pack(">Q", 1 << 40)), "icmp_unproven"),
            (altered(real, address, 0, b"\1"), "icmp_unproven"),
            # RFC 792's least, which names no index; and one without a counter
            (real[: IP_HEADERS[v6]], "icmp_unproven"),
            (real[: IP_HEADERS[v6] + 8], "icmp_unproven"),
        ):
            outcome = tell(address, quoted, 1300)
            check_equal(outcome, ({reason: 1}, before), "drops and MTU")


def forged6():
    """Words of nobody's that a packet in clear was too long, which the stack takes:
    to whom it does not care, and they may come in fragments. Also why each is dropped:
    not to us, the first fragment has to say what they are about."""
    echo = packets.echo_request(alpha.v6, beta.v6, 1, bytes(100))
    plain = packets.ipv6(alpha.v6, beta.v6, packets.ICMPV6, echo)
    for target in alpha.v6, "ff02::1", "fd09::":
        whole = packets.too_big(ROUTER[True], target, plain, 1300)
        yield "to " + target, [whole], "icmp_forged"
        ends, error = (ROUTER[True], target), whole[40:]
        shapes = (
            ("", b"", packets.ICMPV6, error),
            ("behind options, ", options(packets.FRAGMENT), packets.ICMPV6, error),
            ("before options, ", b"", packets.DSTOPTS, options(packets.ICMPV6) + error),
        )
        # No more of it in the first one than the stack asks for, or the quoted header.
        for (name, before, first, body), size in itertools.product(shapes, (8, 48)):
            cut = len(body) - len(error) + size
            parts = []
            for place, part in (1, body[:cut]), (cut, body[cut:]):
                head = struct.pack(">BxHI", first, place, len(before) + first + size)
                kind = packets.HOP_BY_HOP if before else packets.FRAGMENT
                parts.append(packets.ipv6(*ends, kind, before + head + part))
            ours = target == alpha.v6 or size > 8
            name = "to %s, %sin fragments, %d bytes first" % (target, name, size)
            yield name, parts, "icmp_forged" if ours else "malformed"


def forged6_behind():
    """Fragments of an echo reply, with an error where it would begin if the first one
    had the options of the last."""
    ends = ROUTER[True], alpha.v6
    echo = packets.echo_request(alpha.v6, beta.v6, 1, bytes(100))
    plain = packets.ipv6(alpha.v6, beta.v6, packets.ICMPV6, echo)
    body = bytes([129]) + bytes(7) + packets.too_big(*ends, plain, 1300)[40:]
    for place, part in (1, body[:16]), (16, body[16:]):
        head = struct.pack(">BxHI", packets.ICMPV6, place, 4711)
        if place == 1:
            yield packets.ipv6(*ends, packets.FRAGMENT, head + part)
        else:
            head = options(packets.FRAGMENT) + head
            yield packets.ipv6(*ends, packets.HOP_BY_HOP, head + part)


def forged6_tracked():
    """Fragments behind options, of an error behind what may be options as well."""
    ends = ROUTER[True], alpha.v6
    echo = packets.echo_request(alpha.v6, beta.v6, 1, bytes(100))
    plain = packets.ipv6(alpha.v6, beta.v6, packets.ICMPV6, echo)
    body = options(packets.ICMPV6) + packets.too_big(*ends, plain, 1300)[40:]
    for place, part in (1, body[:24]), (24, body[24:]):
        head = struct.pack(">BxHI", packets.ICMPV6, place, 4712)
        head = options(packets.FRAGMENT) + head
        yield packets.ipv6(*ends, packets.DSTOPTS, head + part)


def options(next_header):
    """A header of options that is all padding."""
    return bytes([next_header, 0, 1, 4, 0, 0, 0, 0])


def inner_mtu():
    with connected(beta.v6) as sock:
        return known_mtu(sock, beta.v6)


@case("what nobody sent in clear is not believed, wherever that goes and in pieces")
def forged_anyhow():
    alpha.sysctl("ipv6/conf/all/forwarding", 1)
    try:
        hosts.flush_all()
        for name, parts, _ in forged6():
            alpha.run("ip", "-6", "route", "flush", "cache")
            for part in parts:
                state["wire"].packet(part)
            wait_until(lambda: inner_mtu() == 1300, 10, "without a peer: " + name)
        fresh()
        wanted = inner_mtu()
        # Where it begins is for the first one to say.
        for part in forged6_behind():
            state["wire"].packet(part)
        hosts.ping_once(alpha, beta.v6)
        check_equal(inner_mtu(), wanted, "by the last one's options")
        alpha.run("nft", "add table inet t { chain c { ct state new; }; }")
        for part in forged6_tracked():
            state["wire"].packet(part)
        hosts.ping_once(alpha, beta.v6)
        check_equal(inner_mtu(), wanted, "collected by connection tracking")
        alpha.run("nft", "delete table inet t")
        for name, parts, reason in forged6():
            before = alpha.drops()
            for part in parts:
                state["wire"].packet(part)
            hosts.ping_once(alpha, beta.v6)
            moved = drops_since(before, alpha.drops())
            check_equal((moved, inner_mtu()), ({reason: 1}, wanted), name)
    finally:
        alpha.sysctl("ipv6/conf/all/forwarding", 0)


@case("a router that quotes what was sent lowers the MTU, not below the least")
def proven():
    # IPv6 first: its least MTU is the higher one, and it never rises.
    for address, least in (beta.v6, 1280), (beta.v4, 576):
        fresh()
        sock, headers = connected(address), IP_HEADERS[":" in address]
        for told, wanted in (1400, 1400), (1450, 1400), (68, least), (0, least):
            outcome = tell(address, sent_lately(address), told)
            check_equal(outcome, ({}, wanted), "drops and MTU after %d" % told)
            if told == 1400:
                size = 1400 - OVERHEAD - headers
                for _ in range(2):
                    check(refused_as_too_long(sock, size + 1), "EMSGSIZE")
                check_equal(known_mtu(sock, address), 1400 - OVERHEAD, "inner MTU")
                arrives(address, sock, size)
        transfer(address)
        sock.close()


class Router:
    """A rule for the relay: longer packets than its MTU are not passed on, and
    their sender is told."""

    def __init__(self, mtu):
        self.mtu, self.told = mtu, 0

    def __call__(self, to, frame):
        packet = packets.parse_frame(frame)
        if to != "wb" or packet is None or len(frame) - 14 <= self.mtu:
            return [frame]
        self.told += 1
        v6 = packet.version == 6
        state["wire"].packet(
            packets.too_big(ROUTER[v6], packet.source, frame[14:], self.mtu)
        )
        return []


@case("TCP and UDP through a router with a smaller MTU")
def smaller_in_between():
    for address in beta.addresses:
        fresh()
        with wire.Relay(hosts.wire) as relay:
            relay.rule = router = Router(1360)
            transfer(address)
            check(router.told, "the router had to say so")
            sock = alpha.udp(alpha.addresses[":" in address])
            sock.connect((address, APP))
            arrives(address, sock, 1300)
            arrives(address, sock, 5000)
            sock.close()
            note("told %d times" % router.told)


ktap.run(set_up)
