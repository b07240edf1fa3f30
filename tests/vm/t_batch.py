#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
"""Many segments at once: TCP that is sealed as one UDP GSO packet, cut for the
wire, joined by the receiver's GRO, opened and handed on as one.  On the way
segments are altered, lost and marked, and taps hold on to their pages.
"""

import contextlib
import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import bpf
import hosts
import ktap
import packets
import pypeer
import veilproto
import wire
from hosts import alpha, beta, drops_since
from ktap import case, check, check_equal, note, skip, wait_until
from traffic import MARKER, Stream, marked, transfer
from veilproto import Identity

APP, SIZE = 7000, 4 << 20
UDP_SEGMENT = 103
# Of a data message behind the UDP header's first bit: the low byte of its
# counter, and a byte of its text.
EVERY_16TH = "udp dport 51888 udp length > 1000 @th,184,8 & 0x0f == 7 "
RULES = """
table netdev evil {
    chain from_alpha {
        type filter hook ingress device "wa" priority 0;
        %s
    }
}"""

# meta skuid breaks off for what has no socket.
CLASSES = """
table netdev classes {
    chain out {
        type filter hook egress device "eth0" priority 0;
        udp dport 51888 udp length > 3000 counter
        udp dport 51888 udp length > 3000 meta skuid 0 counter
    }
}"""


def set_up():
    hosts.set_up()
    for host in alpha, beta:
        host.run("ethtool", "-K", "eth0", "gro", "on", "sg", "on", "tx", "on")
    scattered("on")
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    for host in alpha, beta:
        # What TCP sends at once goes by how fast it thinks the path is, down to two
        # segments on a busy machine: then there is little to join.
        host.sysctl("ipv4/tcp_min_tso_segs", 32)


def scattered(how):
    """Whether the wire's ports pass pages on, or copy packets into one piece."""
    for port in "wa", "wb":
        hosts.wire.run("ethtool", "-K", port, "sg", how, "tx", how)


def received(host):
    """IP packets, where those that were joined are one."""
    return host.statistic("IpInReceives") + host.statistic("Ip6InReceives")


def evil(rule):
    """A rule for what comes from alpha, until it is called."""
    hosts.wire.run("nft", "-f", "-", input=RULES % rule)
    return lambda: hosts.wire.run("nft", "delete", "table", "netdev", "evil")


def no_drops(before, host):
    check_equal(drops_since(before, host.drops()), {}, "drops on " + host.name)


@case("segments leave together and arrive together, both ways, IPv4 and IPv6")
def together():
    for source, target in (alpha, beta), (beta, alpha):
        for address in target.addresses:
            before = source.drops(), target.drops()
            packets = target.peer()["rx_packets"]
            seen = received(target)
            transfer(source, target, address, os.urandom(SIZE))
            no_drops(before[0], source)
            no_drops(before[1], target)
            packets = target.peer()["rx_packets"] - packets
            seen = received(target) - seen
            note("%d packets opened of %d that were joined" % (packets, seen))
            check(seen * 3 < packets, "joined on arrival", packets, seen)


def classified(host, act):
    """How many large packets leave meanwhile, and how many of them are a socket's."""
    host.run("nft", "-f", "-", input=CLASSES)
    try:
        act()
        listed = host.run("nft", "list", "chain", "netdev", "classes", "out")
    finally:
        host.run("nft", "delete", "table", "netdev", "classes")
    return tuple(map(int, re.findall(r"counter packets (\d+)", listed)))


@case("each packet that a large one becomes is its socket's, for queues and classes")
def owned():
    sent, owned = classified(
        alpha, lambda: transfer(alpha, beta, beta.v4, os.urandom(SIZE))
    )
    check(sent > 100, "large packets", sent)
    check_equal(owned, sent, "of a socket")


@case("writes of all sizes, which end anywhere in a segment, in pages or not")
def sizes():
    before = beta.drops()
    scattered("off")
    sizes = (1, 1405, 1406, 1407, 13, 30000, 65535, 100, 2813, 70001)
    transfer(alpha, beta, beta.v4, os.urandom(SIZE // 2), sizes)
    scattered("on")
    transfer(alpha, beta, beta.v6, os.urandom(SIZE // 2), sizes)
    no_drops(before, beta)


@case("without timestamps; with ECN, and congestion marked on the way")
def options():
    for host in alpha, beta:
        host.run("sysctl", "-qw", "net.ipv4.tcp_timestamps=0", "net.ipv4.tcp_ecn=1")
    transfer(alpha, beta, beta.v4, os.urandom(SIZE // 2))
    marked_before = beta.statistic("IpExtInCEPkts")
    undo = evil(EVERY_16TH + "ip ecn set ce")
    transfer(alpha, beta, beta.v4, os.urandom(SIZE // 2))
    undo()
    check(beta.statistic("IpExtInCEPkts") > marked_before, "marks arrived")
    for host in alpha, beta:
        host.run("sysctl", "-qw", "net.ipv4.tcp_timestamps=1", "net.ipv4.tcp_ecn=2")


@case("AccECN: together as well, with any count of marks in the TCP header")
def accecn():
    try:
        for host in alpha, beta:
            host.sysctl("ipv4/tcp_ecn", 3)
    except OSError:
        skip("this kernel has no AccECN")
    with Stream(alpha, beta, beta.v4) as stream:
        for _ in range(4):
            # What beta tells of those that came with a mark is a number of three bits.
            undo = evil("udp dport 51888 udp length > 1000 ip ecn set ce")
            stream.exchange(2000, 1)
            undo()
            opened, seen = alpha.peer()["rx_packets"], received(alpha)
            sent, _ = classified(beta, lambda: stream.exchange(1, SIZE))
            opened, seen = alpha.peer()["rx_packets"] - opened, received(alpha) - seen
            check(sent > 100, "large packets", sent)
            check(seen * 3 < opened, "joined on arrival", opened, seen)
    for host in alpha, beta:
        host.sysctl("ipv4/tcp_ecn", 2)


@case("altered segments are dropped and counted, and the others are delivered")
def altered():
    before = beta.drops()
    undo = evil(EVERY_16TH + "@th,1600,8 set 0xaa")
    transfer(alpha, beta, beta.v4, os.urandom(SIZE // 2))
    undo()
    moved = drops_since(before, beta.drops())
    check_equal(list(moved), ["not_authentic"], "reasons")
    note("%d altered" % moved["not_authentic"])


@case("lost segments are sent again")
def lost():
    before = beta.drops()
    undo = evil(EVERY_16TH + "drop")
    transfer(alpha, beta, beta.v4, os.urandom(SIZE // 2))
    transfer(alpha, beta, beta.v6, os.urandom(SIZE // 2))
    undo()
    no_drops(before, beta)


@case("joined messages whose packets have no payload are delivered one by one")
def empty():
    peer = pypeer.connected()
    kind, count, ends = 253, 5, (beta.v4, alpha.v4)
    raw = alpha.socket(socket.AF_INET, socket.SOCK_RAW, kind)
    raw.setblocking(False)
    messages = [peer.session.seal(*ends, kind, b"") for _ in range(count)]
    sock, before = peer.sockets[beta.v4], alpha.drops()
    sock.setsockopt(socket.SOL_UDP, UDP_SEGMENT, len(messages[0]))
    peer.send(b"".join(messages))
    got = []
    wait_until(lambda: got.extend(hosts.receive_all(raw)) or len(got) >= count, 10, "all")
    check_equal([len(packet) for packet in got], [20] * count, "their lengths")
    no_drops(before, alpha)
    raw.close()
    pypeer.close_all()


class Crafted:
    """Messages of one length, for the sender's device to join."""

    TEXT = 280

    def __init__(self, peer):
        self.peer = peer
        self.ends = peer.host.v4, peer.module_host.v4

    def carries(self, next_header, l4, **header):
        """l4, which may be a little shorter than the text, in transport mode."""
        session = header.pop("session", self.peer.session)
        pad = self.TEXT - 2 - len(l4)
        return session.seal(*self.ends, next_header, l4, pad, **header)

    def datagram(self, name, **header):
        """To alpha's application; name is how its payload begins."""
        ports = APP, self.peer.app_port
        segment = packets.udp(*self.ends, *ports, name.ljust(self.TEXT - 10))
        return self.carries(packets.UDP, segment, **header)

    def tunnelled(self, name):
        segment = packets.udp(*self.ends, APP, self.peer.app_port, name)
        packet = packets.ipv4(*self.ends, packets.UDP, segment)
        text = packet.ljust(self.TEXT, b"\0")
        return self.peer.session.seal_message(text, flags=veilproto.TUNNEL)


@contextlib.contextmanager
def without_mac_header():
    """All goes by an IPIP tunnel, a device that has no link-layer header. What comes out
    of it lies as far into its buffer as with a real device: XDP makes that room."""
    outside = ("10.99.0.1", alpha), ("10.99.0.2", beta)
    for (own, host), (far, other) in (outside, outside[::-1]):
        host.run("ip", "addr", "add", own + "/24", "dev", "eth0")
        host.run("ip", "link", "add", "ipip1", "up", "type", "ipip", "local", own, "remote", far)
        host.run("ip", "route", "add", other.v4, "dev", "ipip1", "src", host.v4)
    try:
        with bpf.xdp(alpha, bpf.drop_protocol_in_frames(253)):
            yield
    finally:
        for own, host in outside:
            host.run("ip", "link", "del", "ipip1")
            host.run("ip", "addr", "del", own + "/24", "dev", "eth0")


@case("what is wrong with a message of those joined is its own fault")
def crafted():
    joined()


@case("and where they come from a device without a link-layer header")
def crafted_tunnel():
    with without_mac_header():
        joined(outside=True)
        hosts.make_peers(Identity(), Identity())
        hosts.ping_once(alpha, beta.v4)
        before = beta.drops()
        transfer(alpha, beta, beta.v4, os.urandom(SIZE // 2))
        no_drops(before, beta)


def joined(outside=False):
    """Whether each arrives in a packet of its own before it is joined."""
    peer = pypeer.connected()
    before, older = alpha.drops(), peer.session
    peer.initiate()
    wait_until(lambda: peer.take(veilproto.DATA), 10, "the new session")
    make = Crafted(peer)
    syn = packets.tcp_syn(*make.ends, 1, 2)
    no_header = syn[:12] + b"\0" + syn[13:] + bytes(200)
    too_long = syn[:12] + b"\xf0" + syn[13:] + bytes(3)
    good = make.datagram(b"first")
    messages = [
        good,
        good,
        make.datagram(b"of before", session=older),
        make.datagram(b"lane", lane=77),
        make.carries(0, bytes(200)),
        make.carries(packets.TCP, no_header),
        make.carries(253, bytes(200), flags=veilproto.CSUM_PARTIAL),
        make.tunnelled(b"tunnelled"),
        wire.flip(make.datagram(b"flipped"), -1),
        make.carries(packets.TCP, too_long),
        make.datagram(b"last"),
        # The last one may be shorter: too much padding.
        peer.session.seal_message(b"x\xff\x11", veilproto.packed(*make.ends)),
    ]
    peer.sockets[beta.v4].setsockopt(socket.SOL_UDP, UDP_SEGMENT, len(good))
    seen = received(alpha)
    peer.send(b"".join(messages))
    peer.send(make.datagram(b"another") + good[:10])
    got = []

    def arrived():
        got.extend(data.rstrip() for data in hosts.receive_all(peer.app))
        return len(got) >= 5

    wait_until(arrived, 10, "the right ones")
    seen = received(alpha) - seen - (len(messages) + 2 if outside else 0)
    check(seen < len(messages) / 2, "joined", seen)
    # Those for another session and in tunnel mode take another way.
    check_equal(sorted(got), [b"another", b"first", b"last", b"of before", b"tunnelled"], "payloads")
    wanted = {"replayed": 1, "wrong_lane": 1, "bad_inner": 5}
    wanted |= {"not_authentic": 1, "malformed": 1}
    moved = lambda: drops_since(before, alpha.drops())
    wait_until(lambda: sum(moved().values()) >= sum(wanted.values()), 10, "drops")
    check_equal(moved(), wanted, "drops")
    pypeer.close_all()


@case("what taps hold is still sealed when it was opened")
def taps():
    data = marked(SIZE // 2)
    hosts.flush_all()
    control = wire.Tap(hosts.wire, "wb")
    transfer(alpha, beta, beta.v4, data[: 1 << 16])
    check(any(MARKER in frame for frame in control.take()), "the control is in clear")
    control.close()
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    held = [
        wire.packet_socket(host, device)
        for host, device in ((hosts.wire, "wb"), (beta, "eth0"), (alpha, "eth0"))
    ]
    for sock in held:
        sock.setblocking(False)
    for address in beta.addresses:
        transfer(alpha, beta, address, data)
    for sock in held:
        frames = list(iter(lambda sock=sock: hosts.receive(sock), None))
        sock.close()
        check(len(frames) > 100, "frames", len(frames))
        check(not any(MARKER in frame for frame in frames), "none in clear")


ktap.run(set_up)
