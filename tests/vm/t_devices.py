#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
"""Devices and routing of every kind below an encrypted link: strict source
checks, VRF, marks, bonding, VLAN, bridges, programs on the device
(STACK A5, B1 to B3).
"""

import contextlib
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import bpf
import devices
import hosts
import ktap
import packets
import pypeer
import traffic
import wire
from devices import ADDRESSES, moved
from hosts import alpha, beta, drops_since, ip_batch
from ktap import case, check, check_equal, skip, wait_until
from traffic import MARKER
from veilproto import PORT, TUNNEL, Identity

OURS = alpha.addresses + beta.addresses
TCP = 6


def set_up():
    hosts.set_up()


@contextlib.contextmanager
def link(**rules):
    """An encrypted link; in the end it has carried nothing but Netveil, and
    nothing was dropped."""
    hosts.make_peers(Identity(), Identity())
    for address in beta.addresses:
        hosts.ping_once(alpha, address)
    tap, before = wire.Tap(hosts.wire), (alpha.drops(), beta.drops())
    yield tap
    frames = tap.frames()
    tap.close()
    check(frames, "something was on the wire")
    wire.only_netveil(frames, OURS, (MARKER,))
    for host, old in zip((alpha, beta), before):
        check_equal(drops_since(old, host.drops()), {}, "drops on " + host.name)


def traffic_passes(one=alpha, other=beta):
    for way in traffic.each_way(one, other):
        traffic.both_kinds(*way)


@case("rp_filter is strict")
def rp_filter():
    for host in alpha, beta:
        for name in "all", "eth0":
            host.sysctl("ipv4/conf/%s/rp_filter" % name, 1)
    with link():
        traffic_passes()
    for host in alpha, beta:
        for name in "all", "eth0":
            host.sysctl("ipv4/conf/%s/rp_filter" % name, 0)


@case("the device is in a VRF, the programs as well")
def vrf():
    try:
        ip_batch(alpha, "link add red type vrf table 10", "link set red up")
    except AssertionError as error:
        skip("no VRF on this kernel: " + str(error)[-200:])
    ip_batch(
        alpha,
        "link set eth0 master red",
        "addr replace %s dev eth0 nodad" % ADDRESSES["alpha"][1],
    )

    class InVrf(hosts.Host):
        """alpha's sockets belong to the VRF."""

        def socket(self, *kind):
            sock = super().socket(*kind)
            if kind[0] in (socket.AF_INET, socket.AF_INET6):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"red\0")
            return sock

    inside = InVrf("alpha", *alpha.addresses)
    a_identity, b_identity = Identity(), Identity()
    try:
        hosts.flush_all()
        hosts.make_peer(alpha, a_identity, b_identity.public, beta)
        hosts.make_peer(beta, b_identity, a_identity.public, alpha)
        # alpha's first packet waits for a session, which alpha begins.
        with inside.udp(alpha.v4) as sock:
            sock.sendto(MARKER, (beta.v4, 9))
        for address in alpha.addresses:
            hosts.ping_once(beta, address)
        tap, before = wire.Tap(hosts.wire), (alpha.drops(), beta.drops())
        traffic_passes(inside, beta)
        wire.only_netveil(tap.frames(), OURS, (MARKER,))
        for host, old in zip((alpha, beta), before):
            check_equal(drops_since(old, host.drops()), {}, "drops on " + host.name)
        tap.close()
        # The same by IPv6 outside, and in tunnel mode.
        prefix = "10.50.0.7/32"
        ip_batch(alpha, "route add table 10 %s dev eth0" % prefix)
        ip_batch(beta, "addr add %s dev lo" % prefix)
        hosts.make_peer(alpha, a_identity, b_identity.public, beta,
                        addresses=(beta.v6,), prefixes=(prefix,))
        hosts.make_peer(beta, b_identity, a_identity.public, alpha,
                        addresses=(alpha.v6,), prefixes=(alpha.v4 + "/32",))
        with inside.udp(alpha.v4) as sock, beta.udp(prefix[:-3], 7000) as target:

            def arrived():
                hosts.offer(sock, MARKER, (prefix[:-3], 7000))
                return MARKER in hosts.receive_all(target)

            wait_until(arrived, 10, "a datagram inside of IPv6", every=0.1)
    finally:
        hosts.flush_all()
        ip_batch(beta, "addr del 10.50.0.7/32 dev lo")
        ip_batch(alpha, "link del red")
        ip_batch(alpha, "addr replace %s dev eth0 nodad" % ADDRESSES["alpha"][1])


@case("routing by firewall marks: the second way is encrypted as the first")
def marks():
    ip_batch(hosts.wire, "link add wc type veth peer name eth1 netns alpha")
    ip_batch(hosts.wire, "link add wd type veth peer name eth1 netns beta")
    ip_batch(
        hosts.wire,
        "link add br1 type bridge forward_delay 0 mcast_snooping 0",
        *("link set %s master br1 up" % port for port in ("wc", "wd")),
        "link set br1 up",
    )
    for host, other in (alpha, beta), (beta, alpha):
        ip_batch(host, "link set eth1 up", "rule add fwmark 7 lookup 70")
        ip_batch(host, "route add %s dev eth1 table 70" % other.v4)
        host.run(
            "nft",
            "table inet m { chain c { type route hook output priority -150;"
            " meta l4proto tcp meta mark set 7; }; }",
        )
    try:
        hosts.make_peers(Identity(), Identity())
        hosts.ping_once(alpha, beta.v4)
        first, second = wire.Tap(hosts.wire), wire.Tap(hosts.wire, "wc")
        # IPv6's neighbours would not answer for an address of another device.
        traffic.both_kinds(alpha, beta, beta.v4)
        traffic.both_kinds(beta, alpha, alpha.v4)
        frames = second.frames()
        wire.only_netveil(frames, OURS, (MARKER,))
        wire.only_netveil(first.frames(), OURS, (MARKER,))
        check(len(frames) > 20, "the second way carries the streams", len(frames))
        for tap in first, second:
            tap.close()
    finally:
        hosts.flush_all()
        for host in alpha, beta:
            host.run("nft", "delete table inet m")
            ip_batch(host, "rule del fwmark 7 lookup 70")
        ip_batch(hosts.wire, "link del wc", "link del wd", "link del br1")


@case("a bond of two links, one of which fails")
def bonding():
    ip_batch(hosts.wire, "link add wc type veth peer name eth1 netns alpha")
    ip_batch(hosts.wire, "link set wc master br0 up")
    lines = (
        "link add bond0 type bond mode active-backup miimon 50",
        "link set eth0 down",
        "link set eth1 down",
        "link set eth0 master bond0",
        "link set eth1 master bond0",
    )
    try:
        with moved(alpha, "bond0", *lines), link():
            traffic_passes()
            ip_batch(hosts.wire, "link set wa down")
            hosts.ping_once(alpha, beta.v4)
            traffic_passes()
            ip_batch(hosts.wire, "link set wa up")
    finally:
        ip_batch(hosts.wire, "link set wa up", "link del wc")


@case("a VLAN")
def vlan():
    lines = ("link add link eth0 name eth0.5 type vlan id 5",)
    with moved(alpha, "eth0.5", *lines), moved(beta, "eth0.5", *lines), link():
        traffic_passes()


@case("the host's address on a bridge, with br_netfilter")
def bridge():
    with devices.on_bridge(alpha), link():
        traffic_passes()


@case("what a bridge floods is not opened for its other ports")
def flooded():
    """Somebody on the wire may have it do that, by the frame's header."""
    with devices.on_bridge(alpha):
        ip_batch(
            alpha,
            "link add p0 type veth peer name p1 netns wire",
            "link set p0 master br7 up",
        )
        ip_batch(hosts.wire, "link set p1 up")
        try:
            peer = pypeer.connected()
            for target in b"\xff" * 6, b"\1\0\x5e\0\0\x77":
                not_flooded(peer, target, {"malformed": 1})
            # As in a VLAN that the bridge is not in, its own address is unknown.
            own = "02:00:00:00:00:77"
            ip_batch(alpha, "link set br7 address " + own)
            alpha.run("bridge", "fdb", "del", own, "dev", "br7", "self")
            not_flooded(peer, b"\2\0\0\0\0\x77", {})
        finally:
            pypeer.close_all()
            ip_batch(alpha, "link del p0")


@case("the host forwards what it opened on a bridge")
def bridged_gateway():
    """Into its own network, and by NAT."""
    nat = """table ip nat {
        chain c {
            type nat hook prerouting priority -100
            udp dport 7001 dnat to 10.77.0.2
        }
    }"""
    with devices.on_bridge(alpha):
        ip_batch(
            alpha,
            "link add p0 type veth peer name p1 netns wire",
            "addr add 10.77.0.1/24 dev p0",
            "link set p0 up",
            "neigh add 10.77.0.2 lladdr 02:00:00:00:00:78 dev p0",
        )
        ip_batch(hosts.wire, "link set p1 up")
        alpha.sysctl("ipv4/ip_forward", 1)
        alpha.run("nft", nat)
        try:
            peer = pypeer.connected()
            tap, before = wire.Tap(hosts.wire, "p1"), alpha.drops()
            ends = beta.v4, "10.77.0.2"
            inner = packets.ip(*ends, packets.UDP, packets.udp(*ends, 7000, 7000, MARKER))
            for message in (
                peer.session.seal_message(inner, flags=TUNNEL),
                peer.seal_udp(7000, 7001, MARKER),
            ):
                peer.send(message)
                wait_until(lambda: traffic.in_clear(tap), 10, "it in our own network")
            check_equal(drops_since(before, alpha.drops()), {}, "drops")
            tap.close()
        finally:
            pypeer.close_all()
            alpha.run("nft", "flush ruleset")
            alpha.sysctl("ipv4/ip_forward", 0)
            ip_batch(alpha, "link del p0")


def not_flooded(peer, target, dropped):
    """A sealed datagram in a frame to target does not come out at p1 in clear, and
    is delivered, or dropped so."""
    tap, before = wire.Tap(hosts.wire, "p1"), alpha.drops()
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), target)
    injector.udp(beta.v4, alpha.v4, PORT, PORT, peer.sealed(MARKER))
    if dropped:
        wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
    else:
        pypeer.socket_receives(peer.app, MARKER)
    check_equal(drops_since(before, alpha.drops()), dropped, "drops")
    check_equal(traffic.in_clear(tap), [], "frames in clear at the other port")
    injector.close()
    tap.close()


@case("the host's address on a macvlan")
def macvlan():
    lines = ("link add link eth0 name mv0 type macvlan mode bridge",)
    with moved(alpha, "mv0", *lines), link():
        traffic_passes()


def other_inside(v6):
    """The ends of a packet from beta to alpha, of one in the other family, and that
    one, which is to be inside."""
    outer, inner = ((beta.addresses[i], alpha.addresses[i]) for i in (v6, 1 - v6))
    segment = packets.udp(*inner, 7000, 7000, MARKER)
    return outer, inner, packets.ip(*inner, packets.UDP, segment)


@case("what begins anew on a device is not copied to its macvlans")
def copied():
    """A frame to all on the link, with IPv6 inside of IPv4, or the reverse."""
    try:
        ip_batch(alpha, "link add link eth0 name mv0 netns wire type macvlan mode bridge")
    except AssertionError as error:
        skip("no such device on this kernel: " + str(error)[-200:])
    ip_batch(hosts.wire, "link set mv0 up")
    try:
        peer = pypeer.connected()
        for v6 in 0, 1:
            outer, inner, packet = other_inside(v6)
            with alpha.udp(inner[1], 7000) as sock:
                for target, wanted in (alpha.mac(), [MARKER]), (b"\xff" * 6, []):
                    tap, before = wire.Tap(hosts.wire, "mv0"), alpha.drops()
                    injector = wire.Injector(hosts.wire, "wa", beta.mac(), target)
                    message = peer.session.seal_message(packet, flags=TUNNEL)
                    injector.udp(*outer, PORT, PORT, message)
                    if wanted:
                        pypeer.socket_receives(sock, MARKER)
                    else:
                        peer.talk()
                    check_equal(traffic.in_clear(tap), [], "frames in clear")
                    if not wanted:
                        moved = drops_since(before, alpha.drops())
                        check_equal(moved, {"malformed": 1}, "drops")
                        check_equal(hosts.receive_all(sock), [], "what was delivered")
                    injector.close()
                    tap.close()
    finally:
        pypeer.close_all()
        ip_batch(hosts.wire, "link del mv0")


@case("what begins anew is not taken for opened in another namespace")
def elsewhere():
    """Its macvlan has a copy of all that comes from beta, and other peers."""
    gamma = hosts.add_host("gamma", "10.6.0.2", "fd06::2", "down1", alpha)
    line = "link add link eth0 name mv1 netns gamma type macvlan mode source"
    try:
        ip_batch(alpha, line)
    except AssertionError as error:
        skip("no such device on this kernel: " + str(error)[-200:])
    added = "link set mv1 type macvlan macaddr add " + beta.mac().hex(":")
    ip_batch(gamma, "link set mv1 up", added)
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    try:
        peer = pypeer.connected()
        for v6 in 0, 1:
            outer, inner, packet = other_inside(v6)
            nodad = "" if v6 else " nodad"
            ip_batch(gamma, "addr add %s dev mv1%s" % (inner[1], nodad))
            with alpha.udp(inner[1], 7000) as here, gamma.udp(inner[1], 7000) as there:
                for protected in False, True:
                    if protected:
                        hosts.make_peer(gamma, Identity(), Identity().public, beta)
                    before = gamma.drops()
                    message = peer.session.seal_message(packet, flags=TUNNEL)
                    injector.udp(*outer, PORT, PORT, message)
                    pypeer.socket_receives(here, MARKER)
                    if not protected:
                        pypeer.socket_receives(there, MARKER)
                        continue
                    name = "plaintext_in"
                    wait_until(lambda: gamma.drops()[name] > before.get(name, 0), 10, name)
                    check_equal(hosts.receive_all(there), [], "what was delivered")
            gamma.control.flush()
    finally:
        injector.close()
        pypeer.close_all()
        ip_batch(alpha, "link del down1")
        ip_batch(gamma, "link del mv1")


@case("the host's address on an ipvlan")
def ipvlan():
    lines = ("link add link eth0 name iv0 type ipvlan mode l2",)
    with moved(alpha, "iv0", *lines), link():
        traffic_passes()


def tcp_fails():
    """A control: a connection is not made."""
    with beta.socket() as listener, alpha.socket() as client:
        listener.bind((beta.v4, 0))
        listener.listen()
        client.settimeout(1.5)
        try:
            client.connect(listener.getsockname())
            return False
        except TimeoutError:
            return True


@case("tc on the device sees ciphertext, both ways: it drops TCP, which passes")
def tc_bpf():
    # Classic BPF: IPv4, and its protocol is TCP.
    code = "6,40 0 0 12,21 0 3 2048,48 0 0 23,21 0 1 6,6 0 0 4294967295,6 0 0 0"
    alpha.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
    try:
        for way in "ingress", "egress":
            words = "filter", "add", "dev", "eth0", way, "prio", "1", "protocol", "all"
            try:
                alpha.run("tc", *words, "bpf", "bytecode", code, "action", "drop")
            except AssertionError as error:
                skip("no BPF classifier on this kernel: " + str(error)[-200:])
        hosts.flush_all()
        check(tcp_fails(), "without peers TCP is dropped")
        with link():
            traffic_passes()
    finally:
        alpha.run("tc", "qdisc", "del", "dev", "eth0", "clsact")


@case("XDP on the device sees ciphertext: it drops TCP, which passes")
def xdp():
    with bpf.xdp(alpha, bpf.drop_protocol_in_frames(TCP)):
        hosts.flush_all()
        check(tcp_fails(), "without peers TCP is dropped")
        with link():
            traffic_passes()


@case("a program on the device chooses a socket for what comes: opened, it has its own")
def sk_assign():
    with link(), alpha.udp(alpha.v4) as sink, beta.udp(beta.v4) as sender:
        with bpf.ingress(alpha, bpf.to_socket(beta.v4, alpha.v4, PORT)):
            sender.sendto(MARKER, sink.getsockname())
            pypeer.socket_receives(sink, MARKER)


@case("SO_BINDTODEVICE")
def bind_to_device():
    class Bound(hosts.Host):
        """Sockets are bound to the device."""

        def socket(self, *kind):
            sock = super().socket(*kind)
            if kind[0] in (socket.AF_INET, socket.AF_INET6):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\0")
            return sock

    with link():
        traffic_passes(Bound("alpha", *alpha.addresses), Bound("beta", *beta.addresses))


def group_sockets():
    """Receivers on beta of a group, a broadcast and an IPv6 group, with where to
    send to reach them."""
    group = beta.udp("0.0.0.0", 7001)
    request = socket.inet_aton("239.1.2.3") + socket.inet_aton(beta.v4)
    group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    group6 = beta.udp("::", 7002)
    with beta.inside():
        index = socket.if_nametoindex("eth0")
    request = packets.address("ff05::77").packed + struct.pack("=I", index)
    group6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    return (
        (group, ("239.1.2.3", 7001)),
        (group, ("10.9.0.255", 7001)),
        (group, ("255.255.255.255", 7001)),
        (group6, ("ff05::77", 7002)),
    )


def groups(receivers):
    """What arrives of what alpha sends to groups and all."""
    results = []
    for receiver, target in receivers:
        v6 = ":" in target[0]
        sender = alpha.udp(alpha.addresses[v6])
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if not v6:
            own = socket.inet_aton(alpha.v4)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
        else:
            with alpha.inside():
                index = socket.if_nametoindex("eth0")
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sender.sendto(MARKER, target)
        got = traffic.collect(receiver, 1, "datagram to %s" % target[0])
        results += [(data, seen[0]) for data, seen in got]
        sender.close()
    return results


@case("multicast and broadcast are untouched, with a peer as without")
def multicast():
    hosts.flush_all()
    for host in alpha, beta:
        ip_batch(host, "route add 239.0.0.0/8 dev eth0", "route add default dev eth0")
    receivers = group_sockets()
    wanted = [(MARKER, own) for own in (alpha.v4,) * 3 + (alpha.v6,)]
    check_equal(groups(receivers), wanted, "without peers")
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    tap, before = wire.Tap(hosts.wire), (alpha.drops(), beta.drops())
    check_equal(groups(receivers), wanted, "with a peer")
    check_equal(len(traffic.in_clear(tap)), 4, "frames in clear")
    for host, old in zip((alpha, beta), before):
        check_equal(drops_since(old, host.drops()), {}, "drops on " + host.name)
    tap.close()


ktap.run(set_up)
