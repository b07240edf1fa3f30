#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Packets that were to be sealed, and wait while what they were judged by changes: in
a program's queue behind our hook, or for a session. None of them leaves in clear, and
each is counted.
"""

import contextlib
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import nfqueue
import packets
import wire
from hosts import alpha, beta, drops_since
from ktap import case, check_equal, skip, wait_until
from pypeer import socket_receives
from veilproto import PORT, Identity

APP = 7000
OURS = alpha.addresses + beta.addresses
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
OUT = "policy_changed", "no_route", "no_session", "no_memory", "plaintext_out"
# Somebody who keeps the hooks there when the other peer goes.
OTHER = Identity().public, "10.9.0.77"
HOLD = """
    table inet hold {
        chain c {
            type filter hook postrouting priority %d;
            udp dport %d queue num 6
        }
    }"""
# Before our hook, and behind it.
BEHIND = 2147483647
PRIORITIES = 300, BEHIND
# Whether programs and rules are held to whole IP headers, as seen in 7.2.
KERNEL_CHECKS = os.uname().release.startswith("7.")
# The header of joined TCP segments, which are two at least, is said to be shorter than
# one is.
SHORT_TCP = """
    table inet short {
        chain c { type filter hook postrouting priority 300; meta length > 2000 @th,96,8 set 0x10; }
    }"""

SHORT = """
    table ip short {
        chain first {
            type filter hook prerouting priority -450;
            ip protocol udp @nh,0,8 set 0x40
        }
    }"""


@contextlib.contextmanager
def program(priority):
    """One that gets alpha's datagrams at a step of POST_ROUTING: its queue."""
    alpha.run("nft", HOLD % (priority, APP))
    try:
        with nfqueue.Queue(alpha, 6) as queued:
            yield queued
    finally:
        alpha.run("nft", "flush ruleset")


def held_while(change, priority=BEHIND):
    """A datagram in each family is in a program's queue when change() is called:
    which counters moved since."""
    hosts.make_peers(Identity(), Identity())
    alpha.control.add_peer(*OTHER)
    hosts.ping_once(alpha, beta.v4)
    tap = wire.Tap(hosts.wire)
    with program(priority) as queued:
        for own, address in zip(alpha.addresses, beta.addresses):
            with alpha.udp(own) as sock:
                sock.sendto(MARKER, (address, APP))
            wait_until(lambda: held() == 1 + alpha.addresses.index(own), 5, "it is held")
        before = alpha.drops()
        change()
        for _ in alpha.addresses:
            queued.accept()
        wait_until(lambda: held() == 0, 5, "they go on")
        moved = drops_since(before, alpha.drops())
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    tap.close()
    return moved


def held():
    """Packets in alpha's queues."""
    with alpha.inside(), open(
        "/proc/thread-self/net/netfilter/nfnetlink_queue", encoding="ascii"
    ) as file:
        return sum(int(line.split()[2]) for line in file)


@case("the peer is removed while a program behind our hook holds its packets")
def peer_removed():
    moved = held_while(lambda: alpha.control.delete_peer(beta_key()))
    check_equal(moved, {"policy_changed": 2}, "counters that moved")


def beta_key():
    return next(key for key in alpha.control.peers() if key != OTHER[0])


@case("its session ends while they are held: they wait for the next one")
def session_reset():
    with beta.udp(beta.v4, APP) as four, beta.udp(beta.v6, APP) as six:
        moved = held_while(lambda: alpha.control.session_reset(beta_key()))
        check_equal(moved, {}, "counters that moved")
        for sock in four, six:
            socket_receives(sock, MARKER)


@case("the route ends while a program before our hook holds them: no MTU is learned of it")
def route_ended():
    def routes(verb):
        change = ("route %s %s dev eth0 metric 1" % (verb, each) for each in beta.addresses)
        hosts.ip_batch(alpha, *change)

    def end():
        routes("del")
        # A device goes after a grace period, as routes do (elsewhere: where our hooks are
        # on it, it takes what is in a queue along).
        hosts.ip_batch(hosts.wire, "link add r0 type veth peer name r1", "link del r0")

    routes("add")
    moved = held_while(end, 300)
    check_equal(moved, {"no_route": 2}, "counters that moved")


def dropped(before):
    """That the one packet is; by the kernel itself it does not count."""
    if KERNEL_CHECKS:
        wait_until(lambda: held() == 0, 10, "it is gone")
        check_equal(drops_since(before, alpha.drops()), {}, "drops")
        return
    moved = wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
    check_equal(moved, {"unprotectable": 1}, "drops")


@case("a program before or behind our hook cuts a packet short, within its IP header")
def cut_short():
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v6)
    ends = alpha.v6, beta.v6
    packet = packets.ip(*ends, packets.UDP, packets.udp(*ends, APP, APP, MARKER))
    # Of what such a socket sends the kernel does not know where the header ends.
    raw = alpha.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    tap = wire.Tap(hosts.wire)
    for priority in PRIORITIES:
        with program(priority) as queued:
            for length in 0, 10, 39:
                before = alpha.drops()
                raw.sendto(packet, (beta.v6, 0))
                queued.accept(lambda whole, n=length: whole[:n])
                dropped(before)
    raw.close()
    hosts.ping_once(alpha, beta.v6)
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    tap.close()


@case("a program before or behind our hook writes another length into an IP header")
def other_length():
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    tap = wire.Tap(hosts.wire)
    for priority in PRIORITIES:
        with program(priority) as queued, alpha.udp(alpha.v4) as sock:
            # Less than a header, and more than the packet.
            for first in b"\x40", b"\x44", b"\x4f":
                before = alpha.drops()
                sock.sendto(MARKER, (beta.v4, APP))
                queued.accept(lambda whole, b=first: b + whole[1:])
                dropped(before)
    hosts.ping_once(alpha, beta.v4)
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    tap.close()


@case("segments that a rule has made impossible to cut do not count as want of memory")
def not_to_be_cut():
    hosts.make_peers(Identity(), Identity())
    with beta.socket() as listener, alpha.socket() as client:
        listener.bind((beta.v4, APP))
        listener.listen()
        client.connect((beta.v4, APP))
        server, _ = listener.accept()
        server.setblocking(False)
        alpha.run("nft", SHORT_TCP)
        before, data = alpha.drops(), MARKER * 300

        def arrived():
            with contextlib.suppress(BlockingIOError):
                return len(server.recv(len(data), socket.MSG_PEEK)) == len(data)

        try:
            client.sendall(data)
            wait_until(lambda: drops_since(before, alpha.drops()) or arrived(), 10, "either")
        finally:
            alpha.run("nft", "flush ruleset")
        if KERNEL_CHECKS and not drops_since(before, alpha.drops()):
            skip("this kernel's rules do not write such a header")
        check_equal(set(drops_since(before, alpha.drops())), {"unprotectable"}, "drops")
        server.settimeout(20)
        with server, server.makefile("rb") as file:
            check_equal(file.read(len(data)), data, "all arrives afterwards")


@case("an IPv6 packet from an IPv4 address is no packet to seal")
def mapped_source():
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v6)
    ends = "::ffff:" + alpha.v4, beta.v6
    packet = packets.ip(*ends, packets.UDP, packets.udp(*ends, APP, APP, MARKER))
    tap = wire.Tap(hosts.wire)
    before = alpha.drops()
    with alpha.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(packet, (beta.v6, 0))
    moved = wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
    check_equal(moved, {"unprotectable": 1}, "drops")
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    tap.close()


@case("a rule before our hook says that fragments have no IP header")
def no_header():
    if KERNEL_CHECKS:
        skip("this kernel's rules do not write such a header")
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    datagram = packets.udp(beta.v4, alpha.v4, PORT, PORT, MARKER * 20)
    inject = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    alpha.run("nft", SHORT)
    before = alpha.drops()
    try:
        for piece in packets.fragments_v4(beta.v4, alpha.v4, packets.UDP, datagram, 400, 77):
            inject.packet(piece)
        dropped = lambda: drops_since(before, alpha.drops())
        wait_until(lambda: sum(dropped().values()) >= 2, 10, "drops")
        check_equal(dropped(), {"malformed": 2}, "drops")
    finally:
        alpha.run("nft", "flush ruleset")
        inject.close()


def waits_while(change):
    """A datagram waits for a session when change() is called, and then a session
    comes by IPv6: which counters of packets on their way out moved since."""
    a, b = Identity(), Identity()
    hosts.flush_all()
    hosts.make_peer_unheard(alpha, a, b.public, beta)
    alpha.control.add_peer(b.public, command=genl.PEER_SET, endpoint=beta.v6)
    tap = wire.Tap(hosts.wire)
    with alpha.udp(alpha.v4) as sock:
        sock.sendto(MARKER, (beta.v4, APP))
    wait_until(lambda: alpha.peer()["queued"] == 1, 5, "it waits")
    before = alpha.drops()
    change(b.public)
    hosts.make_peer(beta, b, a.public, alpha)
    hosts.ping_once(alpha, beta.v6)
    wait_until(lambda: alpha.peer()["queued"] == 0, 5, "it does not wait any more")
    # Beta may have said in clear that nobody listens there yet.
    in_clear = [frame for frame in tap.frames() if MARKER in frame]
    check_equal(in_clear, [], "frames in clear")
    tap.close()
    moved = drops_since(before, alpha.drops())
    return {reason: count for reason, count in moved.items() if reason in OUT}


@case("the address that a packet waits for is taken from the peer")
def address_removed():
    moved = waits_while(
        lambda key: alpha.control.add_peer(key, beta.v6, command=genl.PEER_SET)
    )
    check_equal(moved, {"policy_changed": 1}, "counters that moved")


@case("the route of a packet that waits goes away")
def route_removed():
    def no_route(_):
        hosts.ip_batch(alpha, "addr del 10.9.0.1/24 dev eth0")

    try:
        moved = waits_while(no_route)
    finally:
        hosts.ip_batch(alpha, "addr add 10.9.0.1/24 dev eth0")
    check_equal(moved, {"no_route": 1}, "counters that moved")


ktap.run(hosts.set_up)
