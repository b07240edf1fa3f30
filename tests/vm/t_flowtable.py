#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=100
"""Flow tables hand forwarded connections from device to device, past the hooks:
those with a peer stay out of them, and leave them when the peer is added
(STACK A4).

    delta --- down0 alpha eth0 --- the wire --- beta

alpha masquerades: to beta its packets are alpha's own.
"""

import os
import re
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
from ktap import case, check, check_equal, note, skip, wait_until
from traffic import MARKER, Stream, in_clear
from veilproto import Identity

RULES = """
    table inet flows {
        flowtable f { hook ingress priority 0; devices = { %s }; }
        chain forward {
            type filter hook forward priority 0;
            meta l4proto { tcp, udp } flow add @f
        }
        chain out {
            type nat hook postrouting priority 100;
            oifname "%s" masquerade
        }
    }"""
state = {}


def set_up():
    hosts.set_up()
    state["delta"] = hosts.add_host("delta", "10.7.0.2", "fd07::2", "down0", alpha)
    hosts.forwards(alpha)
    hosts.ip_batch(
        alpha, "addr add 10.7.0.1/24 dev down0", "addr add fd07::1/64 dev down0 nodad"
    )
    routes_of_delta()


def routes_of_delta():
    hosts.ip_batch(state["delta"], "route replace default via 10.7.0.1")
    state["delta"].run("ip", "-6", "route", "replace", "default", "via", "fd07::1")


def protect():
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)


def in_table():
    with alpha.inside():
        listed = hosts.command("conntrack", "-L", "-o", "extended")
    return [line for line in listed.splitlines() if "OFFLOAD" in line]


def use_table(devices="eth0, down0", out="eth0"):
    hosts.flush_all()
    alpha.run("nft", "flush ruleset")
    alpha.run("conntrack", "-F")
    use_rules(RULES % (devices, out), "flow tables")


def use_rules(rules, what):
    try:
        alpha.run("nft", rules)
    except AssertionError as error:
        if "No such file" in str(error) or "not supported" in str(error):
            skip("this kernel has no " + what)
        raise


def until_offloaded(stream):
    """The stream is in the flow table, by which it passes."""

    def moved():
        stream.exchange(2000)
        return in_table()

    wait_until(moved, 20, "the connection is offloaded")


def new_connections(devices="eth0, down0", out="eth0"):
    """With a peer no connection gets into the table; without one it does."""
    for address in beta.addresses:
        use_table(devices, out)
        with Stream(state["delta"], beta, address) as stream:
            until_offloaded(stream)
        protect()
        tap, before = wire.Tap(hosts.wire), alpha.drops()
        with Stream(state["delta"], beta, address) as stream:
            for _ in range(5):
                stream.exchange(20000)
            check_equal(in_table_to(stream), [], "connections in the table")
        check_equal(in_clear(tap), [], "frames in clear")
        check_equal(drops_since(before, alpha.drops()), {}, "drops")
        tap.close()


def release():
    return tuple(map(int, re.match(r"(\d+)\.(\d+)", os.uname().release).groups()))


def in_table_to(stream):
    port = "dport=%d " % stream.client.getpeername()[1]
    return [line for line in in_table() if port in line]


@case("a connection with a peer stays out of a flow table")
def stays_out():
    new_connections()


@case("a connection that was in the table when the peer came leaves it, and goes on")
def leaves():
    for address in beta.addresses:
        use_table()
        with Stream(state["delta"], beta, address) as stream:
            until_offloaded(stream)
            protect()
            tap, before = wire.Tap(hosts.wire), alpha.drops()
            check_equal(in_table(), [], "connections in the table")
            for _ in range(5):
                stream.exchange(20000)
            check_equal(in_clear(tap), [], "frames in clear")
            check_equal(drops_since(before, alpha.drops()), {}, "drops")
            check_equal(in_table(), [], "connections in the table")
            tap.close()


NET, WITHIN = "10.9.0.0/24", "10.9.0.2/32"
NOBODY = Identity().public


def peer_set_to(*addresses, **more):
    alpha.control.add_peer(NOBODY, *addresses, **more)


def sync():
    with open("/tmp/netveil-sync.conf", "w", encoding="ascii") as file:
        file.write("policy add %s require\n" % NET)
    alpha.veil("sync", "/tmp/netveil-sync.conf")


# What holds before, and the change by which beta is protected: of alpha's, which
# has no session with anybody, so that nothing to beta leaves any more.
CHANGES = {
    "a policy is added": (
        lambda c: None,
        lambda c: c.add_policy(NET, "require"),
    ),
    "a policy is changed": (
        lambda c: c.add_policy(NET, "bypass"),
        lambda c: c.set_policy(NET, "require"),
    ),
    "a longer policy is removed": (
        lambda c: (c.add_policy(NET, "require"), c.add_policy(WITHIN, "bypass")),
        lambda c: c.delete_policy(WITHIN),
    ),
    "a peer's policy is changed": (
        lambda c: peer_set_to(beta.v4, policy="bypass"),
        lambda c: c.set_peer_policy(NOBODY, "require"),
    ),
    "a peer under bypass is removed": (
        lambda c: (c.add_policy(NET, "require"), peer_set_to(beta.v4, policy="bypass")),
        lambda c: c.delete_peer(NOBODY),
    ),
    "a prefix is put behind a peer": (
        lambda c: peer_set_to("10.9.0.77"),
        lambda c: c.set_prefixes(NOBODY, "10.9.0.0/28"),
    ),
    "a local network is none any more": (
        lambda c: (
            peer_set_to("10.9.0.77", prefixes=("10.9.0.0/28",)),
            c.set_locals("10.9.0.0/29"),
        ),
        lambda c: c.set_locals(),
    ),
    "files are applied": (lambda c: None, lambda c: sync()),
}


def shut(stream):
    """What is sent is dropped; and it is not sent again by whom it is closed."""
    tap, counted = wire.Tap(hosts.wire), alpha.drops()
    stream.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.client.send(traffic.marked(1000))
    wait_until(lambda: drops_since(counted, alpha.drops()), 10, "a drop")
    check_equal(in_clear(tap), [], "frames in clear")
    tap.close()


def leaves_by(before, change):
    use_table()
    alpha.control.set_locals()
    before(alpha.control)
    with Stream(state["delta"], beta, beta.v4) as stream:
        until_offloaded(stream)
        change(alpha.control)
        check_equal(in_table(), [], "connections in the table")
        shut(stream)


@case("whatever else comes to protect its end: it leaves the table")
def leaves_anyhow():
    for name, (before, change) in CHANGES.items():
        note(name)
        leaves_by(before, change)


@case("a change on trial that let it into the table, undone: it leaves it")
def leaves_undone():
    use_table()
    alpha.control.add_policy(NET, "require")
    alpha.veil("policy", "set", NET, "bypass", "confirm", "10")
    with Stream(state["delta"], beta, beta.v4) as stream:
        until_offloaded(stream)
        wait_until(lambda: not in_table(), 20, "the table is empty")
        shut(stream)


def forged(receiver, seen, target):
    """A datagram that claims to be target's answer to what it saw."""
    source, port = target
    segment = packets.udp(source, seen[0], port, seen[1], MARKER)
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    injector.packet(packets.ip(source, seen[0], packets.UDP, segment))
    injector.close()


@case("what is forged for a connection that was in the table is not delivered")
def forged_answers():
    delta = state["delta"]
    for own, address in zip(delta.addresses, beta.addresses):
        use_table()
        with beta.udp(address) as server, delta.udp(own) as client:
            target = server.getsockname()[:2]

            def talk():
                client.sendto(MARKER, target)
                seen = traffic.collect(server, 1, "request")[0][1]
                server.sendto(MARKER, seen)
                traffic.collect(client, 1, "answer")
                return seen[:2] if in_table() else None

            seen = wait_until(talk, 20, "UDP is offloaded")
            forged(client, seen, target)
            traffic.collect(client, 1, "forged answer, the control")
            hosts.make_peers(Identity(), Identity())
            before = alpha.drops()
            forged(client, seen, target)
            moved = wait_until(
                lambda: drops_since(before, alpha.drops()), 10, "a drop"
            )
            check_equal(moved, {"plaintext_in": 1}, "drops")
            check_equal(hosts.receive_all(client), [], "delivered")
            # Now the peer's own word, by the same connection.
            talk()


@case("the same where the table works on the devices below VLANs")
def vlan():
    delta = state["delta"]
    places = (
        (alpha, "eth0", "10.9.0.1", "fd09::1"),
        (beta, "eth0", "10.9.0.2", "fd09::2"),
        (alpha, "down0", "10.7.0.1", "fd07::1"),
        (delta, "eth0", "10.7.0.2", "fd07::2"),
    )

    def move(host, old, new, v4, v6):
        hosts.ip_batch(
            host,
            "addr del %s/24 dev %s" % (v4, old),
            "addr del %s/64 dev %s" % (v6, old),
            "addr add %s/24 dev %s" % (v4, new),
            "addr add %s/64 dev %s nodad" % (v6, new),
        )

    for host, device, *addresses in places:
        tagged = device + ".5"
        words = "link add link %s name %s type vlan id 5" % (device, tagged)
        hosts.ip_batch(host, words, "link set %s up" % tagged)
        move(host, device, tagged, *addresses)
    routes_of_delta()
    try:
        new_connections("eth0, down0", "eth0.5")
    finally:
        hosts.flush_all()
        for host, device, *addresses in places:
            move(host, device + ".5", device, *addresses)
            hosts.ip_batch(host, "link del %s.5" % device)
        routes_of_delta()


COPY = """
    table %s copy {
        chain forward {
            type filter hook forward priority 10;
            %s daddr %s dup to %s
        }
    }"""


@case("a copy of what stays out, for this host itself, is delivered to it")
def copied():
    delta = state["delta"]
    for own, address, here, family, anywhere in (
        (delta.v4, beta.v4, "10.7.0.1", "ip", "0.0.0.0"),
        (delta.v6, beta.v6, "fd07::1", "ip6", "::"),
    ):
        use_table()
        protect()
        use_rules(COPY % (family, family, address, here), "nft dup")
        with beta.udp(address) as server, delta.udp(own) as client:
            with alpha.udp(anywhere, server.getsockname()[1]) as copy:
                client.sendto(MARKER, server.getsockname()[:2])
                for sock, what in (server, "datagram"), (copy, "copy"):
                    check_equal(traffic.collect(sock, 1, what)[0][0], MARKER, what)


@case("what is forwarded into an IP tunnel to a peer stays out of the table, too")
def tunnels():
    try:
        for number, (host, other) in enumerate(((alpha, beta), (beta, alpha)), 1):
            hosts.ip_batch(
                host,
                "link add t0 type ipip local %s remote %s" % (host.v4, other.v4),
                "link set t0 up",
                "addr add 10.6.0.%d/24 dev t0" % number,
            )
    except AssertionError as error:
        skip("no such tunnel on this kernel: " + str(error)[-200:])
    use_table(out="t0")
    with Stream(state["delta"], beta, "10.6.0.2") as stream:
        until_offloaded(stream)
        protect()
        if release() >= (6, 19):
            check_equal(in_table_to(stream), [], "what was in the table before")
    tap, before = wire.Tap(hosts.wire), alpha.drops()
    with Stream(state["delta"], beta, "10.6.0.2") as stream:
        for _ in range(5):
            stream.exchange(20000)
        check_equal(in_table_to(stream), [], "connections in the table")
    check_equal(in_clear(tap), [], "frames in clear")
    moved = drops_since(before, alpha.drops())
    # By which the tunnel learns the MTU.
    moved.pop("too_big", 0)
    check_equal(moved, {}, "drops")
    tap.close()


ktap.run(set_up)
