#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=80
"""`veil verify` says what a tap sees: sealed, exempt, in clear; and finds plaintext
that leaves by a hole which neither hooks nor fence can close (DESIGN, README "Paths
around netfilter"): tc mirred at the ingress of another device.
"""

import ipaddress
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import packets
import wire
from hosts import VEIL, alpha, beta, drops_since, receive_all
from ktap import case, check, check_equal, skip, wait_until
from packets import UDP
from veilproto import Identity

APP = 7000
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
state = {}


def set_up():
    hosts.set_up()
    state["inbox"] = beta.udp(beta.v4, APP)
    state["sender"] = alpha.udp(alpha.v4, APP)
    hosts.make_peers(Identity(), Identity())
    wait_until(lambda: alpha.is_up() and beta.is_up(), 20, "a session")


def begin(seconds, *words):
    """veil verify, when it listens."""
    process = alpha.start(
        VEIL, "-j", "verify", "-t", str(seconds), *words, stdout=subprocess.PIPE, text=True
    )
    path = "/proc/%d/net/packet" % process.pid

    def listening():
        # sk, RefCnt, Type, Proto (3 is all): 0 until the socket is bound
        with open(path, encoding="ascii") as file:
            return any(line.split()[3] == "0003" for line in file)

    wait_until(listening, 10, "veil verify listens")
    return process


def end(process, prefix=beta.v4):
    """Its exit code and what it tells of the prefix."""
    said = json.loads(process.communicate(timeout=60)[0])
    entry = [e for e in said["protected"] if e["prefix"] == prefix][0]
    return process.returncode, said, entry


def verify(meanwhile, *words, prefix=beta.v4):
    process = begin(100, *words)
    meanwhile()
    process.send_signal(signal.SIGINT)
    return end(process, prefix)


def verify_late(meanwhile, *words):
    """It does not get to run from then on until its time is up."""
    process = begin(4, *words)
    over = time.monotonic() + 4.1
    process.send_signal(signal.SIGSTOP)
    meanwhile()
    wait_until(lambda: time.monotonic() > over, 20, "its time is up")
    process.send_signal(signal.SIGCONT)
    return end(process)


def talk(size=100):
    for _ in range(5):
        state["sender"].sendto(MARKER + bytes(size), (beta.v4, APP))
    wait_until(lambda: receive_all(state["inbox"]), 10, "datagrams")


@case("sealed traffic, in fragments as well: nothing in clear, exit 0")
def clean():
    def meanwhile():
        talk()
        talk(3000)
        hosts.ping_once(alpha, beta.v6)

    code, said, entry = verify(meanwhile, "-i", "eth0")
    check_equal((code, said["plaintext"]), (0, False), "exit code, plaintext")
    check(entry["sent"]["sealed"]["packets"] >= 20, "sealed packets", entry)
    check_equal(entry["sent"]["plaintext"]["packets"], 0, "sent in clear")
    check_equal(entry["received"]["plaintext"]["packets"], 0, "received in clear")


def refused(injector, packet):
    """Sent, and counted by alpha, whose tap saw it before."""
    before = alpha.drops()
    injector.packet(packet)
    wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")


@case("plaintext that claims to come from the peer is seen and told, exit 1")
def inbound():
    ends = beta.v4, alpha.v4
    packet = packets.ip(*ends, UDP, packets.udp(*ends, APP, APP, MARKER))
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    code, said, entry = verify(lambda: refused(injector, packet))
    check_equal((code, said["plaintext"]), (1, True), "exit code, plaintext")
    check_equal(entry["received"]["plaintext"]["packets"], 1, "received in clear")
    code, _, entry = verify_late(lambda: refused(injector, packet))
    check_equal(code, 1, "exit code, of what was not read when the time was up")
    check_equal(entry["received"]["plaintext"]["packets"], 1, "received in clear")


@case("an address that comes while it listens is this host's")
def new_address():
    new = "10.9.0.3"
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())

    def meanwhile():
        for address in alpha.v4, new:
            alpha.run("ip", "addr", "replace", address + "/24", "dev", "eth0")
            segment = packets.udp(beta.v4, address, APP, APP, MARKER)
            refused(injector, packets.ip(beta.v4, address, UDP, segment))

    code, _, entry = verify(meanwhile)
    alpha.run("ip", "addr", "del", new + "/24", "dev", "eth0")
    check_equal(code, 1, "exit code")
    check_equal(entry["received"]["plaintext"]["packets"], 2, "received in clear")


def left(tap, count):
    """As many frames of the hole were on the wire."""
    seen = []

    def all_of_them():
        seen.extend(f for f in tap.take() if f[12:14] == b"\x08\x00" and UDP == f[23])
        return len([f for f in seen if not wire.netveil_message(f)]) >= count

    wait_until(all_of_them, 10, "frames of the hole on the wire")


def dig():
    """A hole in alpha: hole0 on the wire's side goes straight out by eth0."""
    # Its other end is another host's: on alpha the fence would be there too.
    hosts.ip_batch(
        alpha, "link add hole1 type veth peer name hole0 netns wire", "link set hole1 up"
    )
    hosts.ip_batch(hosts.wire, "link set hole0 up")
    try:
        alpha.run("tc", "qdisc", "add", "dev", "hole1", "clsact")
        alpha.run(
            *"tc filter add dev hole1 ingress matchall action mirred egress redirect"
            " dev eth0".split()
        )
    except AssertionError as error:
        skip("no tc mirred here: %s" % error)


@case("a device that goes while it listens: what passes later is not vouched for, exit 1")
def gone():
    for when in verify, verify_late:
        alpha.run("ip", "link", "add", "gone", "type", "veth", "peer", "name", "other")
        code, said, _ = when(lambda: alpha.run("ip", "link", "del", "gone"), "-i", "gone")
        check_equal((code, said["plaintext"]), (1, False), "exit code, plaintext")


@case("what came faster than it was read is not vouched for, exit 1")
def lost():
    process = begin(100, "-i", "eth0")
    process.send_signal(signal.SIGSTOP)
    # More than its buffer of 8 MiB holds.
    for _ in range(12000):
        hosts.offer(state["sender"], bytes(1300), (beta.v4, APP))
        receive_all(state["inbox"])
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGINT)
    code, said, _ = end(process)
    check_equal((code, said["plaintext"]), (1, False), "exit code, plaintext")
    check(said["lost"] > 0, "lost", said["lost"])


@case("a hole: frames that tc mirred sends out past the fence are found, exit 1")
def hole():
    if os.uname().release.startswith("6.1."):
        skip("on 6.1 packet sockets do not see these frames (README, Limits)")
    dig()
    injector = wire.Injector(hosts.wire, "hole0", alpha.mac(), beta.mac())
    ends = alpha.v4, beta.v4
    whole = packets.ip(*ends, UDP, packets.udp(*ends, APP, APP, MARKER))
    segment = packets.udp(*ends, APP, APP, MARKER + bytes(1000))
    parts = packets.fragments_v4(*ends, UDP, segment, 512, 77)
    tap = wire.Tap(hosts.wire)

    def meanwhile():
        for packet in whole, *parts:
            injector.packet(packet)
        left(tap, 1 + len(parts))

    code, said, entry = verify(meanwhile, "-i", "eth0")
    check_equal((code, said["plaintext"]), (1, True), "exit code, plaintext")
    count = entry["sent"]["plaintext"]["packets"]
    check_equal(count, 1 + len(parts), "frames in clear, fragments one by one")
    text = subprocess.run(
        [VEIL, "-n", "alpha", "verify", "-t", "1"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    check("no plaintext was seen" in text.stdout, "afterwards", text.stdout)
    alpha.run("ip", "link", "del", "hole1")


LEFT, RIGHT, BEHIND = "10.1.0.2", "10.2.0.2", "10.2.0.0/24"


def gateways():
    """alpha and beta are gateways for left's and right's network."""
    if "sides" not in state:
        state["sides"] = hosts.add_networks()
    left, right = state["sides"]
    hosts.make_gateways()
    return left.udp(LEFT, APP), right.udp(RIGHT, APP)


@case("networks behind gateways: in clear on their own side, sealed between: exit 0")
def networks():
    left, right = gateways()

    def meanwhile():
        for size in 100, 3000:
            left.sendto(MARKER + bytes(size), (RIGHT, APP))
            right.sendto(MARKER + bytes(size), (LEFT, APP))
        got = wait_until(lambda: receive_all(left), 10, "datagrams to the left")
        check(MARKER in got[0], "the marker", got)
        wait_until(lambda: receive_all(right), 10, "datagrams to the right")

    # All devices: lan0, where the same packets are plain, as well.
    code, said, entry = verify(meanwhile, prefix=BEHIND)
    check_equal((code, said["plaintext"]), (0, False), "exit code, plaintext: %s" % said)
    check_equal(entry["sent"]["sealed"]["packets"], 0, "outer packets: the hosts'")


@case("plaintext that claims to come from a network behind a peer is seen, exit 1")
def behind_inbound():
    gateways()
    packet = packets.ip(RIGHT, LEFT, UDP, packets.udp(RIGHT, LEFT, APP, APP, MARKER))
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    code, said, entry = verify(lambda: refused(injector, packet), prefix=BEHIND)
    check_equal((code, said["plaintext"]), (1, True), "exit code, plaintext")
    check_equal(entry["received"]["plaintext"]["packets"], 1, "received in clear")


@case("plaintext that leaves to a network behind a peer is seen, exit 1")
def behind_hole():
    if os.uname().release.startswith("6.1."):
        skip("on 6.1 packet sockets do not see these frames (README, Limits)")
    gateways()
    dig()
    injector = wire.Injector(hosts.wire, "hole0", alpha.mac(), beta.mac())
    packet = packets.ip(LEFT, RIGHT, UDP, packets.udp(LEFT, RIGHT, APP, APP, MARKER))
    tap = wire.Tap(hosts.wire)

    def meanwhile():
        injector.packet(packet)
        left(tap, 1)

    code, said, entry = verify(meanwhile, "-i", "eth0", prefix=BEHIND)
    alpha.run("ip", "link", "del", "hole1")
    check_equal((code, said["plaintext"]), (1, True), "exit code, plaintext")
    check_equal(entry["sent"]["plaintext"]["packets"], 1, "sent in clear")


@case("where a roaming peer is, or a stranger, under a policy of its own: messages, and a router's errors")
def roaming_place():
    at_a_place("203.0.113.7")


@case("where a roaming peer gets to while it listens")
def roaming_moves():
    at_a_place("203.0.113.8")


def at_a_place(first):
    """A roaming peer is at its first place, and at the other when it is listened to."""
    place, router, net = "203.0.113.7", "203.0.113.1", "203.0.113.0/24"
    stranger = "203.0.113.9", alpha.v4
    inside, key = "10.99.0.1", Identity().public
    for target in net, inside:
        alpha.run("ip", "route", "replace", target, "via", beta.v4)
    alpha.control.add_peer(key, inside, roaming=1, endpoint=first, port=4242)
    alpha.control.add_policy(net, "require")
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    ends, tap = (alpha.v4, place), wire.Tap(hosts.wire)
    quoted = packets.ip(*ends, UDP, packets.udp(*ends, 51888, 4242, b"\4" + bytes(63)))

    def meanwhile():
        tap.take()  # what was sent before anybody listened
        if first != place:
            more = {"endpoint": place, "port": 4242, "command": genl.PEER_SET}
            alpha.control.add_peer(key, **more)
        with alpha.udp(alpha.v4) as sender:
            hosts.offer(sender, MARKER, (inside, APP))
        there = ipaddress.ip_address(place).packed
        wait_until(lambda: any(f[30:34] == there for f in tap.frames()), 10, "an initiation")
        refused(injector, packets.time_exceeded(router, alpha.v4, quoted))
        message = packets.udp(*stranger, 51888, 51888, b"\4" + bytes(63))
        refused(injector, packets.ip(*stranger, UDP, message))

    code, said, entry = verify(meanwhile, "-i", "eth0", prefix=net)
    tap.close()
    alpha.control.delete_peer(key)
    alpha.control.delete_policy(net)
    check_equal(entry["sent"]["plaintext"]["packets"], 0, "sent in clear")
    check(entry["sent"]["sealed"]["packets"], "initiations", entry)
    check_equal(entry["received"]["plaintext"]["packets"], 0, "received in clear")
    check_equal(entry["received"]["sealed"]["packets"], 1, "messages for our port")
    check_equal(entry["received"]["exempt"]["packets"], 1, "errors of routers")
    check_equal((code, said["plaintext"]), (0, False), "exit code, plaintext")


if __name__ == "__main__":
    ktap.run(set_up)
