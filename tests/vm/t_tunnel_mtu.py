#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=90
"""Path MTU between two gateways: of what they forward and of their own, across a
smaller link, on a link of 1280, where nobody says a word, and on a wide one
(STACK A2, B9).

    left --- alpha === the wire, or a router === beta --- right
"""

import errno
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import traffic
import wire
from hosts import alpha, beta
from ktap import case, check, check_equal, wait_until
from routers import Routers

APP = 7000
HEADERS = {False: 28, True: 48}  # IP and UDP
OUTER = {False: 20 + 40, True: 40 + 40}  # what a tunnel in this family adds
DISCOVER, MTU = {False: (0, 10, 14), True: (41, 23, 24)}, 2
KNOWN = {"IPv4": lambda host: [host.v4], "IPv6": lambda host: [host.v6]}
state = {}


def set_up():
    hosts.set_up()
    state["left"], state["right"] = hosts.add_networks()
    state["wire"] = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    state["inbox"] = {a: state["right"].udp(a, APP) for a in state["right"].addresses}


def fresh(outer):
    for host in alpha, beta, state["left"], state["right"]:
        host.run("ip", "route", "flush", "cache")
        host.run("ip", "-6", "route", "flush", "cache")
    hosts.make_gateways(KNOWN[outer])


def sender(host, v6):
    """A socket that forbids fragments, to the right host."""
    number = 1 if host is alpha else 2
    sock = host.udp("fd01::%d" % number if v6 else "10.1.0.%d" % number)
    level, discover, _ = DISCOVER[v6]
    sock.setsockopt(level, discover, 2)
    sock.connect((state["right"].addresses[v6], APP))
    return sock


def known_mtu(sock, v6):
    level, _, mtu = DISCOVER[v6]
    return sock.getsockopt(level, mtu)


def refused(sock, size):
    try:
        sock.send(bytes(size))
    except OSError as error:
        check_equal(error.errno, errno.EMSGSIZE, "errno")
        return True
    return False


def arrives(sock, v6, size):
    inbox = state["inbox"][state["right"].addresses[v6]]
    hosts.receive_all(inbox)

    def sent():
        # An error about a packet before is the socket's next answer.
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        refused(sock, size)
        return hosts.receive_all(inbox)

    got = wait_until(sent, 10, "%d bytes" % size)
    check_equal({len(each) for each in got}, {size}, "bytes that arrive")


def transfer(host, v6, size=300000, how=traffic.transfer_promptly):
    right = state["right"]
    how(host, right, right.addresses[v6], os.urandom(size))


@case("too long and not to be fragmented: the inner MTU, and it stays put")
def too_long():
    for outer in KNOWN:
        fresh(outer)
        inner = 1500 - OUTER[outer == "IPv6"]
        for host in alpha, state["left"]:
            for v6 in False, True:
                sock, size = sender(host, v6), inner - HEADERS[v6]

                def knows():
                    return refused(sock, size + 1) and known_mtu(sock, v6) == inner

                wait_until(knows, 10, "the MTU that %s has" % host.name)
                for _ in range(100):
                    check(refused(sock, size + 1), "EMSGSIZE")
                check_equal(known_mtu(sock, v6), inner, "MTU")
                arrives(sock, v6, size)
                sock.close()


@case("a link of 1280 bytes: full IPv6 packets pass, in outer fragments, and TCP")
def least_mtu():
    for host in alpha, beta:
        hosts.ip_batch(host, "link set eth0 mtu 1280")
    try:
        for outer in KNOWN:
            fresh(outer)
            for host in alpha, state["left"]:
                for v6 in False, True:
                    sock = sender(host, v6)
                    arrives(sock, v6, (1280 if v6 else 1200) - HEADERS[v6])
                    sock.close()
                    transfer(host, v6)
    finally:
        for host in alpha, beta:
            hosts.ip_batch(host, "link set eth0 mtu 1500")


@case("a smaller link behind a router: TCP, UDP with and without fragments")
def smaller_in_between():
    for outer in KNOWN:
        inner = 1360 - OUTER[outer == "IPv6"]
        # Each host in each family once.
        for host in alpha, state["left"]:
            for v6 in ((host is alpha) == (outer == "IPv6"),):
                fresh(outer)
                with wire.Relay(hosts.wire) as relay:
                    relay.rule = Routers(state["wire"], hops=1, mtu=1360)
                    transfer(host, v6)
                    check(relay.rule.told, "the router had to say so")
                    sock, size = sender(host, v6), inner - HEADERS[v6]
                    wait_until(lambda: refused(sock, size + 1), 10, "EMSGSIZE")
                    arrives(sock, v6, size)
                    sock.close()


@case("nobody says a word: TCP that probes gets through, as without peers")
def black_hole():
    for outer, host in zip(KNOWN, (alpha, state["left"])):
        fresh(outer)
        host.sysctl("ipv4/tcp_mtu_probing", 1)
        with wire.Relay(hosts.wire) as relay:
            relay.rule = Routers(state["wire"], hops=1, mtu=1360, says=0)
            transfer(host, False, 60000, traffic.transfer)
            check(relay.rule.dropped, "the link is too small")
        host.sysctl("ipv4/tcp_mtu_probing", 0)


@case("9000 bytes: jumbo frames between the gateways, 1500 behind them, and both")
def jumbo():
    ports = (hosts.wire, "wa"), (hosts.wire, "wb"), (hosts.wire, "br0")
    ports += (alpha, "eth0"), (beta, "eth0"), (alpha, "lan0"), (beta, "lan0")
    ports += (state["left"], "eth0"), (state["right"], "eth0")
    for host, device in ports:
        hosts.ip_batch(host, "link set %s mtu 9000" % device)
    try:
        for outer in KNOWN:
            fresh(outer)
            for host in alpha, state["left"]:
                for v6 in False, True:
                    sock = sender(host, v6)
                    size = 9000 - OUTER[outer == "IPv6"] - HEADERS[v6]
                    wait_until(lambda: refused(sock, size + 1), 10, "EMSGSIZE")
                    arrives(sock, v6, size)
                    sock.close()
                    transfer(host, v6, 3000000)
    finally:
        for host, device in ports:
            hosts.ip_batch(host, "link set %s mtu 1500" % device)


@case("where a route's MTU leaves no room for a fragment, the packet is dropped")
def no_room():
    fresh("IPv4")
    ends = alpha.v4, state["right"].v4
    packet = packets.ip(*ends, packets.UDP, packets.udp(*ends, APP, APP, bytes(100)))
    route = "route replace 10.2.0.0/24 via 10.9.0.2 src 10.1.0.1"
    hosts.ip_batch(alpha, route + " mtu lock 27")
    before = alpha.drops()
    try:
        with alpha.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(packet, (ends[1], 0))
        wait_until(lambda: hosts.drops_since(before, alpha.drops()), 10, "a drop")
        check_equal(hosts.drops_since(before, alpha.drops()), {"too_big": 1}, "drops")
    finally:
        hosts.ip_batch(alpha, route)


ktap.run(set_up)
