#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=300 once=yes
"""Many changes as one step: all or nothing, and in between nothing is weaker than both
before and after it.
"""

import concurrent.futures
import contextlib
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import conffiles
import genl
import hosts
import ktap
import memory
import wire
from conffiles import path_of, policies, same_session, session, state, stranger, up
from hosts import alpha, beta, drops_since
from ktap import case, check, check_equal, wait_until
from steps import BYPASS, MARKER, OURS, all_the_while, in_clear, network, sending
from steps import sending_to, step_refused, strangers

MANY = 2000
# Of policies that make a step take its time.
PREFIXES = ["10.79.%d.%d/32" % divmod(n, 256) for n in range(3 * MANY)]
SLOWLY = [(genl.POLICY_SET, each, "require") for each in PREFIXES]
WIDE, OURS_TOO = "10.64.0.0/10", "10.70.1.0/24"
PREFER = genl.P_POLICY, bytes([genl.POLICIES.index("prefer")])
REQUIRE = genl.P_POLICY, bytes([genl.POLICIES.index("require")])


def set_up():
    """Networks that are behind beta, or in clear by it; and requests may be long."""
    conffiles.set_up()
    for each in "10.70.0.0/16", "10.88.0.0/16":
        alpha.run("ip", "route", "add", each, "via", beta.v4)
    alpha.control.socket.setsockopt(socket.SOL_SOCKET, hosts.SO_SNDBUFFORCE, 32 << 20)


@case("within a step a weaker policy never holds where before and after it none does")
def weaker_meanwhile():
    up()
    apply = alpha.control.apply
    wide, narrow, twice = stranger(), stranger(), (BYPASS, "10.77.0.9")
    behind = network("10.70.0.0/20")
    others = list(strangers(MANY))
    more = [(genl.POLICY_ADD, each, "require") for each in PREFIXES]
    # What is preferred follows the sessions of whoever has the network.
    right = state["b"].public
    alpha.control.set_prefixes(right, "10.70.0.0/16")
    alpha.control.add_policy("10.70.1.0/24", "prefer")
    half = network("10.70.0.0/17")
    with sending_to("10.70.1.1"):
        step_refused(
            "given to two peers",
            (genl.PEER_ADD, wide, half, "10.77.0.1"),
            *others,
            *((genl.PEER_ADD, stranger(), *twice) for _ in range(2)),
        )
    alpha.control.delete_policy("10.70.1.0/24")
    for _ in range(10):
        apply((genl.POLICY_ADD, "10.70.1.0/24", "prefer"),
              *((genl.POLICY_ADD, prefix, "bypass") for _, prefix, _ in more))
        with sending_to("10.70.1.1"):
            gone = ("10.70.1.0/24", *(prefix for _, prefix, _ in more))
            apply((genl.PEER_ADD, wide, half, "10.77.0.1"),
                  *((genl.POLICY_DEL, prefix) for prefix in gone))
        alpha.control.delete_peer(wide)
    alpha.control.set_prefixes(right)
    alpha.control.add_policy("10.70.0.0/16", "require")
    with sending_to("10.70.1.1"):
        weak = genl.PEER_ADD, wide, BYPASS, behind, "10.77.0.1"
        apply(weak, *others, (genl.PEER_ADD, narrow, "10.70.1.1"))
        apply(*((genl.PEER_DEL, key) for _, key, *_ in ((0, narrow), *others, (0, wide))))
    with sending_to("10.70.1.1"):
        apply((genl.POLICY_ADD, "10.70.0.0/20", "bypass"), *more,
              (genl.POLICY_ADD, "10.70.1.0/24", "require"))
        gone = ("10.70.1.0/24", *(prefix for _, prefix, _ in more), "10.70.0.0/20")
        apply(*((genl.POLICY_DEL, prefix) for prefix in gone))
    with sending_to("10.70.1.1"):
        step_refused(
            "given to two peers",
            weak,
            *others,
            (genl.POLICY_ADD, "10.70.1.0/24", "require"),
            *((genl.PEER_ADD, stranger(), *twice) for _ in range(2)),
        )
    # What the step is to weaken at its end is not weak before, since it has none.
    for weaker in weak, (genl.POLICY_ADD, "10.70.0.0/20", "bypass"):
        with sending_to("10.70.1.1"):
            step_refused(
                "given to two peers",
                weaker,
                *others,
                *((genl.PEER_ADD, stranger(), *twice) for _ in range(2)),
            )
    check_equal(policies(), {"10.70.0.0/16": "require"}, "what is left")
    step_refused(
        "a peer and a policy",
        (genl.POLICY_ADD, "10.70.1.1/32", "require"),
        (genl.PEER_ADD, narrow, "10.70.1.1"),
    )


def with_gateway():
    """The key of a peer that has the network; what no peer has is bypassed."""
    up()
    gateway = stranger()
    alpha.control.apply(
        (genl.PEER_ADD, gateway, network("10.70.0.0/16"), "10.77.0.1"),
        *((genl.POLICY_ADD, each, "bypass") for each in (WIDE, *PREFIXES)),
    )
    return gateway


@case("nor where a network of ours comes or goes with the step, and is a peer's else")
def locals_meanwhile():
    apply, gateway = alpha.control.apply, with_gateway()
    for _ in range(3):
        with sending_to("10.70.1.1"):
            # The peer's, then ours under a policy; the peer's again.
            apply(*SLOWLY, (genl.POLICY_SET, WIDE, "require"), local=[OURS_TOO])
            apply(*SLOWLY, (genl.POLICY_SET, WIDE, "bypass"), local=[])
            apply(*SLOWLY, (genl.POLICY_SET, WIDE, "require"), local=[OURS_TOO])
            alpha.control.add_peer(gateway, policy="bypass", command=genl.PEER_SET)
            apply(*SLOWLY, (genl.POLICY_SET, WIDE, "bypass"), (genl.PEER_SET, gateway, REQUIRE),
                  local=[])


@case("nor what is ours, where a policy takes the place of a peer around it")
def ours_within():
    up()
    gone, twice = stranger(), (BYPASS, "10.77.0.9")
    alpha.control.apply(
        (genl.PEER_ADD, gone, BYPASS, network("10.70.0.0/20"), "10.77.0.1"),
        (genl.POLICY_ADD, WIDE, "require"),
        local=[OURS_TOO],
    )
    with sending_to("10.70.1.1"):
        step_refused(
            "given to two peers",
            (genl.PEER_DEL, gone),
            (genl.POLICY_ADD, "10.70.0.0/20", "bypass"),
            *strangers(MANY),
            *((genl.PEER_ADD, stranger(), *twice) for _ in range(2)),
        )
    alpha.control.set_locals()


@case("nor is what one request makes a peer's as weak as the peer, whom it makes stricter")
def wider_and_stricter():
    up()
    peer, sock = stranger(), alpha.udp(alpha.v4, 7001)
    networks = [OURS_TOO, *("10.80.%d.%d/30" % divmod(4 * n, 256) for n in range(1000))]
    alpha.control.add_policy(WIDE, "require")
    alpha.control.add_peer(peer, "10.77.0.1", policy="bypass")
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    # They come in one by one, whatever else the CPU is at.
    hosts.wire.run("tc", "qdisc", "add", "dev", "wa", "root", "netem", "rate", "2mbit",
                   "limit", "10000")
    count = 5000
    before = alpha.drops()
    for _ in range(count):
        injector.udp("10.70.1.1", alpha.v4, 7000, 7001, MARKER)

    def arrived():
        moved = drops_since(before, alpha.drops())
        return moved.get("no_peer", 0) + moved.get("plaintext_in", 0)

    while arrived() < count / 2:
        alpha.control.add_peer(peer, policy="require", prefixes=networks, command=genl.PEER_SET)
        alpha.control.set_prefixes(peer)
        alpha.control.add_peer(peer, policy="bypass", command=genl.PEER_SET)
    hosts.wire.run("tc", "qdisc", "del", "dev", "wa", "root")
    check(hosts.receive(sock) is None, "nothing came in clear")
    injector.close()
    sock.close()


@case("what is ours before and after a step, or bypasses the peer, passes all the while")
def locals_stay():
    apply, gateway = alpha.control.apply, with_gateway()
    alpha.control.set_locals(OURS_TOO)
    in_clear("10.70.1.1")
    alpha.control.add_policy("10.70.2.0/24", "bypass")
    before = alpha.drops()
    with sending("10.70.1.1", 0.001), sending("10.70.2.1", 0.001):
        for local in (
            ("10.70.1.0/28", OURS_TOO, "10.70.2.0/28"),
            (OURS_TOO,),
            ("10.70.0.0/20", OURS_TOO),
            ("10.70.0.0/20",),
            ("10.70.1.0/25", "10.70.1.128/25"),
            (OURS_TOO,),
        ):
            apply(*SLOWLY, local=local)
    check_equal(alpha.peer(gateway)["queued"], 0, "packets that wait for the peer")
    moved = drops_since(before, alpha.drops())
    moved.pop("no_route", None)  # a handshake with the gateway, that there is none to
    check_equal(moved, {}, "drops")
    twins = ((genl.PEER_ADD, stranger(), "10.77.0.9") for _ in range(2))
    step_refused("given to two peers", *twins, local=[])
    in_clear("10.70.1.1")
    alpha.control.set_locals()
    with sending_to("10.70.1.1"):
        wait_until(lambda: alpha.peer(gateway)["queued"], 10, "packets that wait for the peer")


@case("a peer who would have an address only amid a step gets nothing")
def nobodys():
    up()
    apply, right, gateway = alpha.control.apply, state["b"].public, stranger()
    others = [each[:-1] for each in strangers(MANY)]
    alpha.control.set_prefixes(right, "10.70.0.0/16")
    apply((genl.PEER_ADD, gateway, network(OURS_TOO), "10.77.0.1"), *others)
    hosts.ping_once(alpha, beta.v4)
    sent = alpha.peer(right)["tx_packets"]
    with sending("10.70.1.1"):
        gone = (gateway, *(key for _, key, *_ in others))
        apply(*((genl.PEER_DEL, key) for key in gone), local=[OURS_TOO])
    check_equal(alpha.peer(right)["tx_packets"], sent, "packets for the other peer")
    alpha.control.set_locals()
    # Nor one that leaves as well, with a network around it.
    for own, within, weaker in ((REQUIRE, [], "require"), (PREFER, ["10.70.1.0/28"], "prefer")):
        gateway, = wide_and_gone(OURS_TOO, policy=own)
        apply(*((genl.POLICY_ADD, each, "require") for each in within),
              *((genl.POLICY_ADD, each, weaker) for each in PREFIXES))
        before = beta.peer()["rx_packets"]
        with sending("10.70.1.1"):
            gone = [(genl.POLICY_DEL, each) for each in PREFIXES]
            apply((genl.PEER_DEL, gateway), *gone, (genl.PEER_DEL, right))
        wait_until(lambda: not beta.is_up(), 10, "the goodbye")
        check_equal(beta.peer()["rx_packets"], before, "packets for the one that left as well")
    # And where all go at once, in the order they came in.
    gateway, = wide_and_gone(OURS_TOO)
    alpha.control.delete_peer(right)
    apply(*strangers(4 * MANY))
    alpha.control.add_peer(right, *beta.addresses, prefixes=["10.70.0.0/16"])
    hosts.ping_once(alpha, beta.v4)
    before = beta.peer()["rx_packets"]
    with sending("10.70.1.1"):
        alpha.control.flush()
    wait_until(lambda: not beta.is_up(), 10, "the goodbye")
    check_equal(beta.peer()["rx_packets"], before, "packets at a flush")


@case("what comes in clear from where peers change amid a step is not forwarded")
def forwarded_meanwhile():
    up()
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    tap = wire.Tap(hosts.wire)
    hosts.forwards(alpha)

    def offer():
        injector.udp("10.70.1.17", "10.88.0.1", 7000, 7000, MARKER)

    def forwarded():
        return [each for each in tap.take() if MARKER in each and each[6:12] == alpha.mac()]

    offer()
    wait_until(forwarded, 10, "what is forwarded, the control")
    before, after, others = stranger(), stranger(), [each[:-1] for each in strangers(MANY)]
    alpha.control.apply(
        (genl.PEER_ADD, before, network("10.70.1.16/28"), "10.77.0.1"),
        (genl.PEER_ADD, after, network("10.70.0.0/16"), "10.77.0.2"),
        *others,
        local=["10.70.1.0/24"],
    )
    with all_the_while(offer):
        gone = (before, *(key for _, key, *_ in others))
        alpha.control.apply(*((genl.PEER_DEL, key) for key in gone), local=[])
    check_equal(forwarded(), [], "what was forwarded")
    for key in "ipv4/ip_forward", "ipv6/conf/all/forwarding":
        alpha.sysctl(key, 0)
    injector.close()
    tap.close()


def wide_and_gone(*prefixes, policy=REQUIRE):
    """What is preferred in 10.70.1.0/24 is protected by beta: it has 10.70.0.0/16. Keys
    of peers without a session that have these instead.
    """
    up()
    right = state["b"].public
    alpha.control.set_prefixes(right, "10.70.0.0/16")
    hosts.ping_once(alpha, beta.v4)
    wait_until(lambda: alpha.peer(right)["confirmed"], 10, "a session that holds")
    keys = [stranger() for _ in prefixes]
    alpha.control.apply(*(
        (genl.PEER_ADD, key, policy, network(prefix), f"10.77.0.{number}")
        for number, (key, prefix) in enumerate(zip(keys, prefixes), 1)
    ))
    return keys


@case("what is preferred within the network of a peer that leaves is in clear in no order")
def preferred_within():
    gone = [(genl.POLICY_DEL, each) for each in PREFIXES]
    for _ in range(3):
        leaves, = wide_and_gone("10.70.0.0/20")
        alpha.control.apply(
            (genl.POLICY_ADD, OURS_TOO, "require"),
            *((genl.POLICY_ADD, each, "prefer") for each in PREFIXES),
        )
        with sending_to("10.70.1.1"):
            alpha.control.apply(
                (genl.POLICY_SET, OURS_TOO, "prefer"), *gone, (genl.PEER_DEL, leaves)
            )
        narrow, wide = wide_and_gone("10.70.1.0/26", "10.70.0.0/20")
        alpha.control.apply(
            (genl.POLICY_ADD, OURS_TOO, "prefer"),
            *((genl.POLICY_ADD, each, "require") for each in PREFIXES),
        )
        with sending_to("10.70.1.1"):
            alpha.control.apply((genl.PEER_DEL, narrow), *gone, (genl.PEER_DEL, wide))


@case("nor where that peer bypasses, and was confirmed before it did")
def bypasses_within():
    right = state["b"].public
    for _ in range(3):
        wide_and_gone(WIDE)
        alpha.control.add_peer(right, policy="bypass", command=genl.PEER_SET)
        gone = (OURS_TOO, *PREFIXES)
        alpha.control.apply(*((genl.POLICY_ADD, each, "prefer") for each in gone))
        with sending_to("10.70.1.1"):
            alpha.control.apply(
                *((genl.POLICY_DEL, each) for each in gone), (genl.PEER_DEL, right)
            )


@contextlib.contextmanager
def link_down():
    """Nothing reaches beta, whom alpha goes on to send to."""
    neighbour = beta.v4, "lladdr", beta.mac().hex(":"), "dev", "eth0"
    alpha.run("ip", "neigh", "replace", *neighbour)
    hosts.wire.run("ip", "link", "set", "wb", "down")
    try:
        yield
    finally:
        hosts.wire.run("ip", "link", "set", "wb", "up")
        alpha.run("ip", "neigh", "del", *neighbour)


@case("nor within that of one whose sessions end, since it is to be preferred again")
def preferred_again():
    right = state["b"].public
    for _ in range(3):
        wide_and_gone()
        alpha.control.apply(
            (genl.POLICY_ADD, "10.70.0.0/20", "require"),
            (genl.POLICY_ADD, OURS_TOO, "prefer"),
            *((genl.POLICY_ADD, each, "prefer") for each in PREFIXES),
        )
        with link_down():
            with sending_to("10.70.1.1"):
                gone = [(genl.POLICY_DEL, each) for each in (*PREFIXES, OURS_TOO)]
                alpha.control.apply((genl.PEER_SET, right, PREFER), *gone)
            alpha.control.add_policy("10.70.2.0/24", "prefer")
            in_clear("10.70.2.1")


@case("a peer that is preferred and protects leaves after those that do not")
def preferred_leaves():
    right = state["b"].public
    gone = [(genl.POLICY_DEL, each) for each in PREFIXES]
    for _ in range(5):
        up()
        wide, narrower = stranger(), stranger()
        alpha.control.add_peer(right, policy="prefer", command=genl.PEER_SET)
        alpha.control.set_prefixes(right, "10.70.1.0/24")
        hosts.ping_once(alpha, beta.v4)
        wait_until(lambda: alpha.peer(right)["confirmed"], 10, "a session that holds")
        alpha.control.apply(
            (genl.PEER_ADD, wide, network("10.70.0.0/16"), "10.77.0.1"),
            (genl.PEER_ADD, narrower, PREFER, network("10.70.0.0/20"), "10.77.0.2"),
            *((genl.POLICY_ADD, each, "prefer") for each in PREFIXES),
        )
        in_clear("10.70.2.1")
        with sending_to("10.70.1.1"):
            alpha.control.apply((genl.PEER_DEL, right), *gone, (genl.PEER_DEL, narrower))
        check_equal(set(alpha.control.peers()), {wide}, "who is left")


@case("an address that moves on in the same step stays protected")
def moves():
    up()
    tap = wire.Tap(hosts.wire)
    right = state["b"].public
    wrong = stranger()
    alpha.control.apply(
        (genl.PEER_DEL, right), (genl.PEER_ADD, wrong, *beta.addresses)
    )
    check_equal(set(alpha.control.peers()), {wrong}, "the peers")
    sock = alpha.udp(alpha.v4)
    hosts.offer(sock, MARKER, (beta.v4, 7000))
    alpha.control.apply(
        (genl.PEER_ADD, right, *beta.addresses), (genl.PEER_DEL, wrong)
    )
    hosts.ping_once(alpha, beta.v4)
    # One of them, with another peer's key.
    alpha.control.apply(
        (genl.PEER_DEL, right),
        (genl.PEER_ADD, wrong, beta.v6),
        (genl.PEER_ADD, right, beta.v4),
    )
    hosts.ping_once(alpha, beta.v4)
    hosts.offer(alpha.udp(alpha.v6), MARKER, (beta.v6, 7000))
    check_equal(alpha.peer(wrong)["queued"], 1, "packets that wait for the other")
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    tap.close()


@case("a step that is undone half-way leaves what was there, and its session")
def undone():
    up()
    before, tap = session(), wire.Tap(hosts.wire)
    right, one, two = state["b"].public, stranger(), stranger()
    step_refused(
        "given to two peers",
        (genl.PEER_DEL, right),
        (genl.PEER_ADD, one, *beta.addresses),
        (genl.PEER_ADD, two, beta.v4),
    )
    step_refused(
        "a key is given to two peers",
        (genl.PEER_DEL, right),
        (genl.PEER_ADD, right, beta.v4),
        (genl.PEER_ADD, right, beta.v6),
    )
    step_refused(
        "removed twice", (genl.PEER_DEL, right), (genl.PEER_DEL, right)
    )
    step_refused("no such peer", (genl.PEER_ADD, one, "10.9.0.60"), (genl.PEER_DEL, two))
    step_refused("not set in such a step", (genl.PEER_SET, right, "10.9.0.60"))
    step_refused(
        "set and removed",
        (genl.PEER_SET, right, (genl.P_KEEPALIVE, bytes(2))),
        (genl.PEER_DEL, right),
    )
    for _ in range(2):
        step_refused(
            "set twice",
            (genl.PEER_SET, right, (genl.P_KEEPALIVE, bytes(2))),
            (genl.PEER_SET, right, (genl.P_KEEPALIVE, b"\7\0")),
        )
    alpha.control.apply((genl.PEER_SET, right, (genl.P_KEEPALIVE, bytes(2))))
    step_refused("cannot be part", (genl.FLUSH, right))
    alpha.control.add_policy(PREFIXES[0], "prefer")
    for _ in range(2):
        kinds = "bypass", "require"
        step_refused("set twice", *((genl.POLICY_SET, PREFIXES[0], kind) for kind in kinds))
    alpha.control.apply((genl.POLICY_SET, PREFIXES[0], "bypass"))
    alpha.control.delete_policy(PREFIXES[0])
    same_session(before)
    hosts.ping_once(alpha, beta.v4)
    hosts.ping_once(alpha, beta.v6)
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    tap.close()


def least_free(done):
    """The least memory that was free until then, in KiB."""
    least = memory.meminfo()["MemFree"]
    while not done.is_set():
        least = min(least, memory.meminfo()["MemFree"])
        time.sleep(0.001)
    return least


@case("a step of very many changes takes little memory for each")
def many_changes():
    # Without a key of our own no peer has to have a handshake.
    hosts.flush_all()
    apply = alpha.control.apply
    peers = list(strangers(4 * MANY))
    apply(*peers)
    changes = [(genl.PEER_SET, key, (genl.P_KEEPALIVE, b"\7\0")) for _, key, *_ in peers]
    done, before = threading.Event(), memory.meminfo()["MemFree"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        least = pool.submit(least_free, done)
        apply(*changes)
        done.set()
    # Each would have 32 KiB for all that may be in one.
    check(before - least.result() < 8 * len(changes), "KiB", before - least.result())
    check_equal({peer["keepalive"] for peer in alpha.control.peers().values()}, {7}, "keepalives")
    hosts.flush_all()


@case("events tell what a step has done, and no more")
def events():
    up()
    with open(path_of("events"), "w", encoding="ascii") as log:
        monitor = alpha.start(hosts.VEIL, "monitor", stdout=log)

    def seen(word):
        """In lines that are whole. The monitor's file has an offset of its own."""
        with open(path_of("events"), encoding="ascii") as log:
            return sum(line.split()[2] == word for line in log if line.endswith("\n"))

    def joined():
        alpha.control.apply((genl.PEER_ADD, one, "10.9.0.60"))
        alpha.control.apply((genl.PEER_DEL, one))
        return seen("peer-removed")

    def told(prefix):
        """All of what was before this: events are told in their order."""
        count = seen("policy-added")
        alpha.control.add_policy(prefix, "bypass")
        wait_until(lambda: seen("policy-added") > count, 20, "an event")
        alpha.control.delete_policy(prefix)

    one, right = stranger(), state["b"].public
    wait_until(joined, 20, "the monitor has joined", every=0.2)
    told("10.99.0.0/16")
    start = {w: seen(w) for w in ("peer-added", "peer-removed", "weakened")}
    step_refused("given to two", (genl.POLICY_ADD, "10.98.0.0/16", "require"),
                 (genl.PEER_ADD, one, "10.9.0.60"), (genl.PEER_ADD, stranger(), "10.9.0.60"))
    alpha.control.apply((genl.PEER_DEL, right), (genl.PEER_ADD, one, *beta.addresses))
    told("10.99.0.0/16")
    moved = {word: seen(word) - count for word, count in start.items()}
    check_equal(moved, {"peer-added": 1, "peer-removed": 1, "weakened": 0}, "events")
    with open(path_of("events"), encoding="ascii") as log:
        check("10.98.0.0/16" not in log.read(), "no policy of a step that was undone")
    monitor.terminate()
    monitor.wait()


ktap.run(set_up)
