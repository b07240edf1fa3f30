#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
"""A second tunnel between the same two hosts goes inside of Netveil: WireGuard,
IPsec, GRE, IP in IP, VXLAN (STACK A6, A8). One to another host takes nothing that is
for the peer, and brings what the peer has sealed.
"""

import os
import socket
import struct
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import pypeer
import traffic
import wire
from hosts import Host, alpha, beta, drops_since, ip_batch, receive_all
from ktap import case, check_between, check_equal, skip, wait_until
from traffic import MARKER
from veilproto import Identity

OURS = alpha.addresses + beta.addresses
KEY = "0x" + "42" * 20
ESP, ESP_CIPHER = 50, ("aead", "rfc4106(gcm(aes))", KEY, "128")
ROUTER = "10.9.0.77"
NETLINK_XFRM, XFRM_ACQUIRES = 6, 1
IP_MTU_DISCOVER = 10


def set_up():
    hosts.set_up()
    hosts.make_peers(Identity(), Identity())
    for address in beta.addresses:
        hosts.ping_once(alpha, address)


def sealed(run):
    """run() with nothing but Netveil on the wire, and nothing dropped; with the
    devices' offloads off, then on."""
    for offload in "off", "on":
        for host in alpha, beta:
            words = "tx sg tso gso gro".split()
            features = [each for word in words for each in (word, offload)]
            host.run("ethtool", "-K", "eth0", *features)
        tap, before = wire.Tap(hosts.wire), (alpha.drops(), beta.drops())
        run()
        if offload == "off":
            wire.only_netveil(tap.frames(), OURS, (MARKER,))
        else:
            check_equal(traffic.in_clear(tap), [], "frames in clear")
        tap.close()
        for host, old in zip((alpha, beta), before):
            moved = drops_since(old, host.drops())
            # By which senders learn the MTU.
            moved.pop("too_big", 0)
            check_equal(moved, {}, "drops on " + host.name)
    for host in alpha, beta:
        host.run("ethtool", "-K", "eth0", *"tx off sg off tso off gso off gro off".split())


def ends(number):
    """The hosts as they are called inside a tunnel."""
    v4, v6 = "10.%d.0.%%d" % number, "fd%02d::%%d" % number
    return [
        Host(host.name, v4 % place, v6 % place)
        for place, host in enumerate((alpha, beta), 1)
    ]


def traffic_passes(one, other):
    for way in traffic.each_way(one, other):
        traffic.both_kinds(*way)


def tunnel(number, lines):
    """A tunnel device t0 on both hosts, made by lines(own, other); addresses on
    it; traffic by it."""
    try:
        for host, other in (alpha, beta), (beta, alpha):
            ip_batch(host, *lines(host, other))
    except AssertionError as error:
        for host in alpha, beta:
            host.start("ip", "link", "del", "t0", stderr=-3).wait()
        skip("no such tunnel on this kernel: " + str(error)[-200:])
    inside = ends(number)
    for host in inside:
        ip_batch(
            host,
            "link set t0 up",
            "addr add %s/24 dev t0" % host.v4,
            "addr add %s/64 dev t0 nodad" % host.v6,
        )
    try:
        sealed(lambda: traffic_passes(*inside))
    finally:
        for host in alpha, beta:
            ip_batch(host, "link del t0")


@case("WireGuard inside")
def wireguard():
    keys = {}
    for host in alpha, beta:
        private = host.run("wg", "genkey").strip()
        public = host.run("wg", "pubkey", input=private).strip()
        path = "/tmp/wg-" + host.name
        with open(path, "w", encoding="ascii") as file:
            file.write(private)
        keys[host.name] = path, public
    for number, family in (31, 0), (32, 1):

        def lines(host, other):
            host.run("ip", "link", "add", "t0", "type", "wireguard")
            endpoint = other.addresses[family]
            if family:
                endpoint = "[%s]" % endpoint
            words = "wg", "set", "t0", "listen-port", "51820", "private-key"
            peer = "peer", keys[other.name][1], "endpoint", endpoint + ":51820"
            ranges = "10.0.0.0/8,fd00::/8"
            host.run(*words, keys[host.name][0], *peer, "allowed-ips", ranges)
            return ("link set t0 mtu 1370",)

        tunnel(number, lines)


@case("GRE, IP in IP and VXLAN inside")
def plain_tunnels():
    for number, kind in (33, "gre"), (34, "sit mode any"), (35, "ip6gre"), (36, "vxlan id 9"):
        place = int(kind.startswith("ip6"))

        def lines(host, other):
            ends_of = host.addresses[place], other.addresses[place]
            words = "local %s remote %s" % ends_of
            more = " dstport 4789" if kind.startswith("vxlan") else ""
            return ("link add t0 type %s %s%s" % (kind, words, more),)

        tunnel(number, lines)


def xfrm(mode, selectors, cross=False):
    """ESP between the hosts, for what the selectors name; cross: by their addresses of
    the other family."""
    for host, other in (alpha, beta), (beta, alpha):
        for v6 in False, True:
            own, far = host.addresses[v6 ^ cross], other.addresses[v6 ^ cross]
            for source, target, number in (own, far, 1), (far, own, 2):
                spi = "0x%d%d" % (v6 + 1, number if host is alpha else 3 - number)
                host.run(
                    *("ip", "xfrm", "state", "add", "src", source, "dst", target),
                    *("proto", "esp", "spi", spi, "mode", mode),
                    *(("flag", "af-unspec") if cross else ()),
                    *ESP_CIPHER,
                )
            for way, (source, target) in (
                ("out", (own, far)),
                ("in", (far, own)),
            ):
                ours = selectors(host, other, v6)
                ours = ours if way == "out" else ours[::-1]
                host.run(
                    *("ip", "xfrm", "policy", "add", "src", ours[0], "dst", ours[1]),
                    *("dir", way, "tmpl", "src", source, "dst", target),
                    *("proto", "esp", "mode", mode),
                )


def no_xfrm():
    for host in alpha, beta:
        host.run("ip", "xfrm", "policy", "flush")
        host.run("ip", "xfrm", "state", "flush")


@case("IPsec inside, transport mode: the same addresses twice")
def ipsec_transport():
    try:
        xfrm("transport", lambda host, other, v6: (host.addresses[v6], other.addresses[v6]))
    except AssertionError as error:
        no_xfrm()
        skip("no IPsec on this kernel: " + str(error)[-200:])
    try:
        sealed(lambda: traffic_passes(alpha, beta))
        # In clear it would be seen neither: ESP says how it looked inside.
        before = alpha.run("ip", "-s", "xfrm", "state", "list", "spi", "0x11")
        traffic.datagrams(alpha, beta, beta.v4)
        after = alpha.run("ip", "-s", "xfrm", "state", "list", "spi", "0x11")
        check_equal(before == after, False, "ESP was used")
    finally:
        no_xfrm()


@case("IPsec inside, tunnel mode")
def ipsec_tunnel():
    inside = ends(37)
    for host in inside:
        ip_batch(
            host,
            "link add d0 type dummy",
            "link set d0 up",
            "addr add %s/32 dev d0" % host.v4,
            "addr add %s/128 dev d0 nodad" % host.v6,
        )
    try:
        for (host, other), far in zip((inside, inside[::-1]), (beta, alpha)):
            ip_batch(host, "route add %s via %s src %s" % (other.v4, far.v4, host.v4))
            words = "via", far.v6, "src", host.v6
            host.run("ip", "-6", "route", "add", other.v6, *words)
        names = {host.name: host for host in inside}
        try:
            xfrm(
                "tunnel",
                lambda host, other, v6: (
                    names[host.name].addresses[v6],
                    names[other.name].addresses[v6],
                ),
            )
        except AssertionError as error:
            skip("no IPsec on this kernel: " + str(error)[-200:])
        sealed(lambda: traffic_passes(*inside))
    finally:
        no_xfrm()
        for host in inside:
            ip_batch(host, "link del d0")


def passes_by(pick, behind):
    """Gateways that know each other by pick get a session, and by it a packet passes."""
    tap = wire.Tap(hosts.wire)
    hosts.make_gateways(pick)
    before = alpha.drops(), beta.drops()
    with alpha.udp("10.1.0.1") as sock, beta.udp("0.0.0.0", 7000) as own:
        sock.sendto(MARKER, ("10.2.0.5", 7000))
        wait_until(lambda: traffic.in_clear(behind), 10, "the packet behind beta")
        check_equal(receive_all(own), [], "what beta took for its own")
    moved = [drops_since(old, host.drops()) for host, old in zip((alpha, beta), before)]
    check_equal(moved, [{}, {}], "drops")
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    tap.close()


@case("new sessions, and a tunnel between networks, of hosts that have IPsec for each other")
def ipsec_below():
    """What Netveil sends goes by no IPsec of theirs, which is inside of it."""
    same = lambda host, other, v6: (host.addresses[v6], other.addresses[v6])
    # A tunnel's ends may be other addresses than those that handshakes go between.
    cases = [(mode, False, slice(v6, v6 + 1)) for mode in ("transport", "tunnel") for v6 in (0, 1)]
    cases += [("tunnel", True, slice(None, None, step)) for step in (1, -1)]
    try:
        for host, address in (alpha, "10.1.0.1"), (beta, "10.2.0.1"):
            ip_batch(host, "link add d0 type dummy", "link set d0 up")
            ip_batch(host, "addr add %s/24 dev d0" % address)
        ip_batch(beta, "neigh add 10.2.0.5 lladdr 02:00:00:00:02:05 dev d0 nud permanent")
        ip_batch(alpha, "route add 10.2.0.0/24 via %s src 10.1.0.1" % beta.v4)
        beta.sysctl("ipv4/ip_forward", 1)
        behind = wire.Tap(beta, "d0")
        for mode, cross, chosen in cases:
            hosts.flush_all()
            try:
                xfrm(mode, same, cross)
            except AssertionError as error:
                skip("no IPsec on this kernel: " + str(error)[-200:])
            passes_by(lambda host, chosen=chosen: host.addresses[chosen], behind)
            no_xfrm()
        behind.close()
    finally:
        no_xfrm()
        beta.sysctl("ipv4/ip_forward", 0)
        for host in alpha, beta:
            host.start("ip", "link", "del", "d0", stderr=-3).wait()
        hosts.make_peers(Identity(), Identity())
        hosts.ping_once(alpha, beta.v4)


@case("while IPsec between the hosts waits for its keys, the handshakes that it drops are counted")
def ipsec_unready():
    tap = wire.Tap(hosts.wire)
    with alpha.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM) as daemon:
        # Somebody who would make the keys.
        daemon.bind((0, XFRM_ACQUIRES))
        try:
            alpha.run(
                *("ip", "xfrm", "policy", "add", "src", alpha.v4, "dst", beta.v4, "dir", "out"),
                *("tmpl", "src", alpha.v4, "dst", beta.v4, "proto", "esp", "mode", "transport"),
            )
        except AssertionError as error:
            skip("no IPsec on this kernel: " + str(error)[-200:])
        try:
            # The kernel drops what has to wait, or keeps it. Then it leaks a reference to
            # the route with each look-up: dst_destroy() releases the child of a bundle
            # that has a state only (seen in 6.12).
            for drop in (1,) if os.path.exists(ktap.KMEMLEAK) else (0, 1):
                alpha.sysctl("core/xfrm_larval_drop", drop)
                hosts.flush_all()
                before = alpha.drops()
                hosts.make_peer(alpha, Identity(), Identity().public, beta)
                wait_until(lambda b=before: drops_since(b, alpha.drops()), 10, "a drop")
                check_equal(set(drops_since(before, alpha.drops())), {"no_route"}, "drops")
            daemon.settimeout(10)
            daemon.recv(4096)
        finally:
            alpha.sysctl("core/xfrm_larval_drop", 1)
            no_xfrm()
    check_equal([p for p in tap.packets() if p.source == alpha.v4], [], "what left")
    tap.close()
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)


@case("what IPsec would decrypt, but Netveil did not carry, is not delivered")
def bare_esp():
    before = alpha.drops()
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    for ends_of in (beta.v4, alpha.v4), (beta.v6, alpha.v6):
        injector.packet(packets.ip(*ends_of, ESP, b"\0\0\0\x11" + bytes(40)))
    wait_until(
        lambda: drops_since(before, alpha.drops()) == {"plaintext_in": 2}, 10, "drops"
    )
    injector.close()


def tunnel_state(source, target):
    """alpha has an IPsec tunnel between these."""
    try:
        alpha.run(
            *("ip", "xfrm", "state", "add", "src", source, "dst", target),
            *("proto", "esp", "spi", "0x77", "mode", "tunnel", *ESP_CIPHER),
        )
    except AssertionError as error:
        skip("no IPsec on this kernel: " + str(error)[-200:])


@case("an IPsec tunnel to another host gets nothing that is for the peer")
def ipsec_elsewhere():
    tunnel_state(alpha.v4, ROUTER)
    tap, before = wire.Tap(hosts.wire), alpha.drops()
    try:
        alpha.run(
            *("ip", "xfrm", "policy", "add", "src", alpha.v4, "dst", beta.v4),
            *("proto", "udp", "dport", "7000", "dir", "out"),
            *("tmpl", "src", alpha.v4, "dst", ROUTER, "proto", "esp", "mode", "tunnel"),
        )
        neighbour = "lladdr 02:00:00:00:00:77 dev eth0 nud permanent"
        ip_batch(alpha, "neigh replace %s %s" % (ROUTER, neighbour))
        with alpha.udp(alpha.v4, 0) as sock:
            sock.sendto(MARKER, (beta.v4, 7000))
        wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
        check_equal(drops_since(before, alpha.drops()), {"unprotectable": 1}, "drops")
        gone = [p for p in tap.packets() if p.destination == ROUTER]
        check_equal(gone, [], "what the other host had")
    finally:
        no_xfrm()
        tap.close()


@case("what is sealed between networks goes by an IPsec tunnel to another host, in one piece")
def sealed_elsewhere():
    routers = ROUTER, "fd09::77"
    long = MARKER * 48
    try:
        for host, address in (alpha, "10.1.0.1"), (beta, "10.2.0.1"):
            ip_batch(host, "link add d0 type dummy", "link set d0 up")
            ip_batch(host, "addr add %s/24 dev d0" % address)
        ip_batch(alpha, "route add 10.2.0.0/24 via %s src 10.1.0.1" % beta.v4)
        for router, own, far in zip(routers, alpha.addresses, beta.addresses):
            hosts.make_gateways(lambda host, v6=router != ROUTER: [host.addresses[v6]])
            tunnel_state(own, router)
            alpha.run(
                *("ip", "xfrm", "policy", "add", "src", own, "dst", far, "dir", "out"),
                *("tmpl", "src", own, "dst", router, "proto", "esp", "mode", "tunnel"),
            )
            neighbour = "lladdr 02:00:00:00:00:77 dev eth0 nud permanent"
            ip_batch(alpha, "neigh replace %s %s" % (router, neighbour))
            before = alpha.drops()
            tap = wire.Tap(hosts.wire)
            with alpha.udp("10.1.0.1") as sock:
                hosts.offer(sock, MARKER, ("10.2.0.5", 7000))
                # As long as what goes by the device: in ESP it is longer.
                sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, 0)
                hosts.offer(sock, long, ("10.2.0.5", 7000))
            sent = tap.packets()
            ends = {(p.protocol, p.destination) for p in sent if p.source == own}
            check_equal(ends, {(ESP, router)}, "what left")
            check_between(len(sent), 2, 4, "packets")
            check_equal(drops_since(before, alpha.drops()), {}, "drops")
            tap.close()
            no_xfrm()
    finally:
        no_xfrm()
        for host in alpha, beta:
            host.start("ip", "link", "del", "d0", stderr=-3).wait()


def in_esp(sequence, inner):
    """inner in ESP from ROUTER to alpha (RFC 4303, 4106)."""
    head, iv = struct.pack(">II", 0x77, sequence), os.urandom(8)
    pad = -(len(inner) + 2) % 4
    text = inner + bytes(range(1, pad + 1)) + bytes([pad, 4])
    key = bytes.fromhex(KEY[2:])
    sealed = AESGCM(key[:16]).encrypt(key[16:] + iv, text, head)
    return packets.ip(ROUTER, alpha.v4, ESP, head + iv + sealed)


@case("what the peer sealed is opened, also when an IPsec tunnel of another host brings it")
def sealed_in_ipsec():
    peer = pypeer.fresh()
    tunnel_state(ROUTER, alpha.v4)
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())

    def bring(sequence, message):
        segment = packets.udp(beta.v4, alpha.v4, wire.PORT, wire.PORT, message)
        inner = packets.ip(beta.v4, alpha.v4, packets.UDP, segment)
        injector.packet(in_esp(sequence, inner))

    try:
        initiator = peer.initiator()
        bring(1, initiator.initiation())
        session = peer.finish(initiator)
        check_equal(alpha.is_up(), False, "a session before it is confirmed")
        bring(2, session.keepalive(beta.v4, alpha.v4))
        wait_until(alpha.is_up, 10, "a session")
    finally:
        no_xfrm()
        injector.close()
        pypeer.close_all()


ktap.run(set_up)
