#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=60
"""A host that routes for others leaves their packets alone, even those that look
like Netveil (PROTOCOL section 5, STACK B3).

    delta --- alpha, router and Netveil host --- the wire --- beta, gamma
"""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import wire
from hosts import alpha, beta, drops_since
from ktap import case, check_equal, wait_until
from veilproto import Identity

PORT = 51888
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
# Data, an initiation, a response, and something else.
LOOKS = [
    struct.pack(">BBHIQ", 4, 0, 0, 0x12345678, 9) + MARKER + bytes(40),
    b"\1\1\0\0" + MARKER + bytes(208 - 4 - len(MARKER)),
    b"\2\1\0\0" + MARKER + bytes(128 - 4 - len(MARKER)),
    MARKER,
]
state = {}


def set_up():
    hosts.set_up()
    gamma = hosts.add_gamma()
    delta = hosts.add_host("delta", "10.7.0.2", "fd07::2", "down0", alpha)
    hosts.ip_batch(
        alpha, "addr add 10.7.0.1/24 dev down0", "addr add fd07::1/64 dev down0 nodad"
    )
    hosts.forwards(alpha)
    for host, to in (gamma, "7"), (beta, "7"), (delta, "9"):
        via = "7" if host is delta else "9"
        hosts.ip_batch(host, "route add 10.%s.0.0/24 via 10.%s.0.1" % (to, via))
        words = "route", "add", "fd0%s::/64" % to, "via", "fd0%s::1" % via
        host.run("ip", "-6", *words)
    state["gamma"], state["delta"] = gamma, delta


def exchange(one, other):
    """What looks like Netveil, both ways, IPv4 and IPv6: what arrives."""
    results = []
    for v6 in False, True:
        ends = [(h, h.addresses[v6]) for h in (one, other)]
        sockets = [host.udp(address, PORT) for host, address in ends]
        for way in 0, 1:
            for look in LOOKS:
                sockets[way].sendto(look, (ends[1 - way][1], PORT))
            got = []
            wait_until(
                lambda: got.extend(hosts.receive_all(sockets[1 - way]))
                or len(got) >= len(LOOKS),
                10,
                "packets from " + ends[way][1],
            )
            results.append(got)
        for sock in sockets:
            sock.close()
    return results


def protect():
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)


@case("packets of third parties on our port pass a gateway, both ways")
def third_parties():
    hosts.flush_all()
    wanted = [LOOKS] * 4
    check_equal(exchange(state["gamma"], state["delta"]), wanted, "without peers")
    protect()
    before = alpha.drops()
    check_equal(exchange(state["gamma"], state["delta"]), wanted, "with a peer")
    check_equal(drops_since(before, alpha.drops()), {}, "drops")


@case("a third party behind the gateway talks to the peer as before")
def to_the_peer():
    hosts.flush_all()
    wanted = [[MARKER]] * 4
    check_equal(plain(state["delta"], beta), wanted, "without peers")
    protect()
    before = alpha.drops()
    check_equal(plain(state["delta"], beta), wanted, "with a peer")
    check_equal(drops_since(before, alpha.drops()), {}, "drops")


def plain(one, other):
    results = []
    for v6 in False, True:
        ends = [(h, h.addresses[v6]) for h in (one, other)]
        sockets = [host.udp(address, 7000) for host, address in ends]
        for way in 0, 1:
            sockets[way].sendto(MARKER, (ends[1 - way][1], 7000))
            results.append(
                wait_until(
                    lambda: hosts.receive_all(sockets[1 - way]),
                    10,
                    "a packet from " + ends[way][1],
                )
            )
        for sock in sockets:
            sock.close()
    return results


MOVED = "10.7.0.9"


def from_peer(delta):
    """Whether a packet of beta's to MOVED arrives at delta, and what alpha dropped."""
    before = alpha.drops()
    with delta.udp("0.0.0.0", 7001) as there, beta.udp(beta.v4) as sock:
        sock.sendto(MARKER, (MOVED, 7001))
        wait_until(
            lambda: hosts.receive_all(there) or drops_since(before, alpha.drops()),
            10,
            "an end of the packet to " + MOVED,
        )
    return drops_since(before, alpha.drops())


@case("an address that was the gateway's own and is a third party's now, and back")
def moved():
    """Each CPU remembers which address was its own last."""
    protect()
    delta = state["delta"]
    for _ in range(2):
        hosts.ip_batch(alpha, "addr add %s/32 dev down0" % MOVED)
        for _ in range(4):
            check_equal(from_peer(delta), {"plaintext_in": 1}, "alpha's own, in clear")
        hosts.ip_batch(
            alpha, "addr del %s/32 dev down0" % MOVED, "route add %s via 10.7.0.2" % MOVED
        )
        hosts.ip_batch(delta, "addr add %s/32 dev eth0" % MOVED)
        check_equal(from_peer(delta), {}, "delta's")
        hosts.ip_batch(delta, "addr del %s/32 dev eth0" % MOVED)
        hosts.ip_batch(alpha, "route del %s" % MOVED)


@case("the gateway's own packets to the peer are sealed all the while")
def own_packets():
    protect()
    tap = wire.Tap(hosts.wire)
    check_equal(plain(alpha, beta), [[MARKER]] * 4, "packets")
    wire.only_netveil(tap.frames(), alpha.addresses + beta.addresses, (MARKER,))


ktap.run(set_up)
