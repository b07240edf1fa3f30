#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=300 long=soak
"""Mixed traffic for an hour with new keys every three seconds (make soak): every
byte arrives, nothing is dropped, nothing is in clear, and memory stays the same.

Where the host has no time for the guest, a packet may be on its way for longer than
two sessions last. Then what is lost is what was dropped for that, to the packet.

With netveil-times.ko, the module built with short times. NETVEIL_SOAK is for how
many seconds.

    left --- alpha === the wire === beta --- right
                            |
                          gamma
"""

import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ["NETVEIL_KO"] = os.path.join(HERE, "..", "..", "netveil-times.ko")
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import flows
import hosts
import ktap
import memory
import traffic
import wire
from hosts import alpha, beta
from ktap import case, check, check_equal, note, wait_until
from veilproto import Identity

SECONDS = int(os.environ.get("NETVEIL_SOAK", "60"))
# Sessions are made every 3 s, and the timer looks once a second.
REKEY = 5
REPORT = 10
BEHIND = {"alpha": ("10.1.0.0/24", "fd01::/64"), "beta": ("10.2.0.0/24", "fd02::/64")}
SMALL, CUT = (1, 100, 1200), (2000, 5000)
everyone = []
state = {}


def set_up():
    hosts.topology_up("--offload")
    gamma = hosts.add_gamma()
    left, right = hosts.add_networks()
    everyone.extend((alpha, beta, gamma))
    # gamma's segments are not joined, nor cut late.
    gamma.run("ethtool", "-K", "eth0", "tx", "off", "sg", "off", "tso", "off", "gso", "off", "gro", "off")
    for host in left, right:
        never_forgets(host)
    # So that there are always some on their way when keys change.
    for port in "wa", "wb", "wg":
        hosts.wire.run("tc", "qdisc", "add", "dev", port, "root", "netem", "delay", "5ms", "limit", "100000")
    state["pairs"] = [(alpha, beta), (beta, alpha), (alpha, gamma), (gamma, beta), (left, right)]
    hosts.load_module()


def never_forgets(host):
    """What fits the path is learnt once, at the price of a packet."""
    for key in "ipv4/route/mtu_expires", "ipv6/route/mtu_expires":
        host.sysctl(key, 1000000)


def make_peers():
    """All of the wire know each other."""
    keys = {host: Identity() for host in everyone}
    state["keys"] = keys
    for host in everyone:
        host.control.set_private_key(keys[host].private)
    for host in everyone:
        for other in everyone:
            if other is not host:
                prefixes = BEHIND.get(other.name, ())
                host.control.add_peer(keys[other].public, *other.addresses, prefixes=prefixes)
    wait_until(
        lambda: all(host.is_up(key) for host in everyone for key in host.control.peers()),
        30,
        "sessions between all",
    )


def make_flows():
    found = []
    for source, target in state["pairs"]:
        for address in target.addresses:
            found.append(flows.Datagrams(source, target, address, SMALL))
            found.append(flows.Stream(source, target, address))
            found.append(flows.Pings(source, target, address))
            if source in everyone:
                found.append(flows.Datagrams(source, target, address, CUT))
        found.append(flows.Connections(source, target, target.v4))
    return found


def learn_mtu():
    """TCP of each pair finds out what fits; what that cost is no loss."""
    for source, target in state["pairs"]:
        for address in target.addresses:
            traffic.stream(source, target, address, 300000)


def for_seconds(all_flows, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not sum(flow.step() for flow in all_flows):
            time.sleep(0.001)


def come_to_rest(all_flows):
    def done():
        return all([flow.finish() for flow in all_flows])

    wait_until(done, flows.PATIENCE, "all that was sent has arrived")


def look_at_wire():
    """What crosses now is not in clear; how many frames that were."""
    tap = wire.Tap(hosts.wire, whole=False)
    for_seconds(state["flows"], 0.2)
    frames = tap.take()
    tap.close()
    clear = [frame for frame in frames if traffic.MARKER in frame]
    check_equal(clear, [], "frames in clear of %d" % len(frames))
    return len(frames)


class Handshakes:
    """How many there were, and that none is long ago."""

    def __init__(self):
        self.last, self.count, self.longest = {}, 0, 0
        self.look()
        self.count = 0

    def look(self):
        now = time.time()
        for host in everyone:
            for key, peer in host.control.peers().items():
                when = peer["last_handshake"]
                self.count += self.last.get((host, key)) != when
                self.last[host, key] = when
                self.longest = max(self.longest, now - when)


def drops():
    return {host.name: host.drops() for host in everyone}


def dropped():
    found = drops()
    moved = {name: hosts.drops_since(state["drops"][name], now) for name, now in found.items()}
    return {name: each for name, each in moved.items() if each}


def report(start, handshakes):
    sums = {}
    for flow in state["flows"]:
        flow.is_alive()
        count, size = sums.get(flow.kind, (0, 0))
        sums[flow.kind] = count + flow.arrived, size + flow.bytes
    info = memory.meminfo()
    note(
        "%5d s: TCP %d MB, %d connections; UDP %d; echoes %d; new keys %d times; slab %d KiB, "
        "available %d MiB; dropped %s"
        % (
            time.monotonic() - start,
            sums["TCP"][1] >> 20,
            sums["TCP connections"][0],
            sums["UDP"][0],
            sums["ping"][0] * flows.Pings.COUNT,
            handshakes.count,
            info["SUnreclaim"],
            info["MemAvailable"] >> 10,
            dropped() or "nothing",
        )
    )


def soak(seconds, handshakes):
    """All flows at once, and then at rest."""
    start = shown = time.monotonic()
    state["flows"] = make_flows()
    while time.monotonic() < start + seconds:
        for_seconds(state["flows"], 1)
        handshakes.look()
        if time.monotonic() >= shown + REPORT:
            shown = time.monotonic()
            state["frames"] += look_at_wire()
            report(start, handshakes)
    come_to_rest(state["flows"])
    report(start, handshakes)
    state["lost"] += sum(flow.lost for flow in state["flows"])
    for flow in state["flows"]:
        flow.close()


@case("the control: without peers the wire shows what is sent")
def control():
    traffic.check_shown(wire.Tap(hosts.wire, whole=False), alpha, beta)


@case("traffic with new keys all the time: nothing is lost, memory stays the same")
def soaked():
    make_peers()
    learn_mtu()
    state.update(drops=drops(), frames=0, lost=0)
    # As long as it takes until all that is made once has been made.
    soak(min(60, SECONDS / 4), Handshakes())
    before = memory.least_kept_kib()
    handshakes = Handshakes()
    soak(SECONDS, handshakes)
    grown = memory.least_kept_kib() - before
    note("a peer had new keys %d times, %.0f s apart at most" % (handshakes.count, handshakes.longest))
    note("%d frames looked at; %d KiB more memory" % (state["frames"], grown))
    check(handshakes.longest < REKEY * 3, "new keys all the time", handshakes.longest)
    check(grown * 1024 < 64 * handshakes.count + (96 << 10), "memory stays the same", grown)
    arrived_is_sent()


def arrived_is_sent():
    """By the flows and by the peers' own counters; what is not was dropped, and late."""
    late = {name: each.pop("unknown_index", 0) for name, each in dropped().items()}
    moved = {name: each for name, each in dropped().items() if set(each) != {"unknown_index"}}
    check_equal(moved, {}, "drop counters that moved")
    check(state["lost"] <= sum(late.values()), "what is lost was dropped", state["lost"], late)
    for host in everyone:
        others = [other for other in everyone if other is not host]
        sent = sum(each.peer(state["keys"][host].public)["tx_packets"] for each in others)
        got = sum(host.peer(state["keys"][each].public)["rx_packets"] for each in others)
        check_equal(got + late.get(host.name, 0), sent, "packets that %s opened" % host.name)


ktap.run(set_up)
