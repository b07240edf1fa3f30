#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: icount=yes timeout=300
"""Packets that wait for a session do not keep a namespace or a device alive for
long, do not leave in clear when it goes, and take little memory.
"""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import wire
from hosts import alpha, beta, command
from ktap import case, check, check_equal, note, wait_until
from pypeer import boottime
from veilproto import Identity

MARKER = b"veil-marker-" + os.urandom(8).hex().encode()


@case("a namespace deleted with packets that wait for a session")
def namespace_deleted():
    gamma, me = hosts.add_gamma(), Identity()
    hosts.make_peer(gamma, me, Identity().public, beta)
    tap, mac = wire.Tap(hosts.wire, "wg"), gamma.mac()
    with gamma.udp(gamma.v4) as sender:
        for _ in range(200):
            hosts.offer(sender, MARKER, (beta.v4, 7000))
        wait_until(lambda: gamma.drops()["queue_full"] > 0, 10, "the queue is full")
    gamma.forget_control()
    command("ip", "netns", "del", "gamma")
    start = boottime()
    # They keep their sockets, and those the namespace, until they are given up.
    wait_until(lambda: not wire_has("wg"), 95, "the namespace is gone", every=0.1)
    note("gone after %.1f s" % (boottime() - start))
    frames = [frame for frame in tap.kept + tap.take() if frame[6:12] == mac]
    ours = gamma.addresses + beta.addresses
    judge = wire.only_netveil(frames, ours, (MARKER,))
    check_equal(judge.messages[4], 0, "data messages")
    tap.close()


def wire_has(device):
    with hosts.wire.inside(), open("/proc/thread-self/net/dev", encoding="ascii") as f:
        return device + ":" in f.read()


@case("a device that is deleted with packets waiting for a session")
def device_deleted():
    hosts.flush_all()
    hosts.ip_batch(
        alpha,
        "link add away0 type veth peer name away1",
        "addr add 10.8.0.1/24 dev away0",
        "link set away0 up",
        "link set away1 up",
        "neigh add 10.8.0.2 lladdr 02:00:00:00:00:02 dev away0",
    )
    alpha.control.set_private_key(Identity().private)
    alpha.control.add_peer(Identity().public, "10.8.0.2")
    sender = alpha.udp("10.8.0.1")
    for _ in range(20):
        hosts.offer(sender, MARKER, ("10.8.0.2", 7000))
    wait_until(lambda: alpha.peer()["queued"] == 20, 5, "20 packets wait")
    hosts.ip_batch(alpha, "link del away0")
    # They look for another way when a session comes; after 10 s they go.
    wait_until(lambda: alpha.peer()["queued"] == 0, 15, "no packet waits")
    sender.close()


@case("packets that wait take 1 MiB at most")
def memory():
    hosts.flush_all()
    hosts.make_peer(alpha, Identity(), Identity().public, beta)
    before = alpha.drops()["queue_full"]
    with alpha.udp(alpha.v4) as sender:
        for _ in range(24):
            hosts.offer(sender, bytes(60000), (beta.v4, 7000))
        queued = alpha.peer()["queued"]
        check(5 <= queued <= (1 << 20) // 60000, "large packets that wait", queued)
        dropped = alpha.drops()["queue_full"] - before
        check_equal(queued + dropped, 24, "packets that wait, or went for others")
        # What has left makes room again.
        wait_until(lambda: alpha.peer()["queued"] == 0, 15, "no packet waits")
        for _ in range(200):
            hosts.offer(sender, MARKER, (beta.v4, 7000))
        check_equal(alpha.peer()["queued"], 128, "small packets that wait")


@case("a socket whose packets to one peer wait sends to others meanwhile")
def others():
    hosts.flush_all()
    hosts.make_peer(alpha, Identity(), Identity().public, beta)
    with alpha.udp(alpha.v4) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        sender.settimeout(3)
        # More than the socket may have under way.
        for _ in range(120):
            sender.sendto(bytes(1300), (beta.v4, 7000))
        sender.sendto(MARKER, ("10.9.0.200", 7000))
        check_equal(alpha.peer()["queued"], 120, "packets that wait")
        wait_until(lambda: alpha.peer()["queued"] == 0, 15, "no packet waits")
        # Bound to a device: its packets are to leave by that, and are still the socket's.
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        try:
            for _ in range(120):
                sender.sendto(bytes(1300), (beta.v4, 7000))
            check(False, "it waits")
        except TimeoutError:
            pass


ktap.run(hosts.set_up)
