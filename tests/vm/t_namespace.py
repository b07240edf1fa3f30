#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: icount=yes timeout=300
"""A namespace or a device that is deleted under load lets nothing out in clear,
and goes."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import pypeer
import wire
from hosts import alpha, beta, command, receive, receive_all
from ktap import case, check, note, wait_until
from pypeer import boottime
from veilproto import Identity

MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
state = {}


FLOOD = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
print("ready", flush=True)
while True:
    for _ in range(20):
        try:
            s.sendto(b"%s" * 20, ("%s", 7000))
        except OSError:
            pass
    time.sleep(0.001)
"""


def delete_under_load(answering):
    """gamma floods beta when it is deleted: with a session, or with none and a
    queue that is full."""
    gamma, me = hosts.add_gamma(), Identity()
    hosts.flush_all()
    hosts.make_peer(gamma, me, state["b"].public, beta)
    if answering:
        hosts.make_peer(beta, state["b"], me.public, gamma)
    tap = wire.Tap(hosts.wire, "wg")
    text = FLOOD % (MARKER.decode(), beta.v4)
    flood = gamma.start("python3", "-c", text, stdout=-1)
    flood.stdout.readline()
    if answering:
        wait_until(lambda: receive(state["inbox"]), 20, "the flood arrives")
    else:
        wait_until(lambda: gamma.drops()["queue_full"] > 100, 20, "the queue is full")
    gamma.forget_control()
    mac = gamma.mac()
    command("ip", "netns", "del", "gamma")
    flood.kill()
    flood.wait()
    flood.stdout.close()
    start = boottime()
    # Packets in a queue keep their sockets, and those the namespace, until they
    # are given up.
    seconds = 10 if answering else 95
    wait_until(lambda: not wire_has("wg"), seconds, "the namespace is gone", 0.2)
    note("gone after %.1f s" % (boottime() - start))
    frames = [f for f in tap.kept + tap.take() if f[6:12] == mac]
    judge = wire.only_netveil(frames, (gamma.v4, gamma.v6) + beta.addresses, (MARKER,))
    check(bool(judge.messages[4]) == answering, "data messages", judge.messages)
    receive_all(state["inbox"])
    beta.control.flush()


def wire_has(device):
    with hosts.wire.inside(), open("/proc/thread-self/net/dev", encoding="ascii") as f:
        return device + ":" in f.read()


@case("a namespace deleted under load, with a session")
def deleted_with_session():
    for _ in range(3):
        delete_under_load(answering=True)


@case("a namespace deleted with packets that wait for a session")
def deleted_while_waiting():
    delete_under_load(answering=False)


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
    alpha.control.set_private_key(state["a"].private)
    alpha.control.add_peer(Identity().public, "10.8.0.2")
    sender = alpha.udp("10.8.0.1")
    for _ in range(20):
        hosts.offer(sender, MARKER, ("10.8.0.2", 7000))
    wait_until(lambda: alpha.peer()["queued"] == 20, 5, "20 packets wait")
    hosts.ip_batch(alpha, "link del away0")
    # They look for another way when a session comes; after 10 s they go.
    wait_until(lambda: alpha.peer()["queued"] == 0, 15, "no packet waits")
    sender.close()


@case("the other host's namespace works as before")
def others_work():
    hosts.make_peers(state["a"], state["b"])
    hosts.ping_once(alpha, beta.v4)
    hosts.flush_all()


def set_up():
    hosts.set_up()
    state["a"], state["b"] = pypeer.identities()
    state["inbox"] = beta.udp(beta.v4, 7000)


ktap.run(set_up)
