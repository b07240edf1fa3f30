#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=200 uml-debug=no once=yes
"""Loaded and unloaded 50 times under traffic: what is protected is never in
clear, unloading is refused while it would end protection, and no memory is
left behind.
"""

import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import memory
import wire
from hosts import alpha, beta, receive_all
from ktap import case, check, check_equal, note, wait_until
from veilproto import Identity

APP = 7000
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
OURS = alpha.addresses + beta.addresses
CYCLES, WARM_UP = 50, 10
# A page for each cycle.
LEAK_KIB = 4 * (CYCLES - WARM_UP)
state = {}


class Traffic:
    """Datagrams both ways all the time; marked while `marked` is set."""

    def __init__(self):
        self.pairs = []
        for source, target in (alpha, beta), (beta, alpha):
            for one, other in zip(source.addresses, target.addresses):
                self.pairs.append((source.udp(one), target.udp(other, APP), other))
        self.marked = self.stopped = False
        self.arrived = [0] * len(self.pairs)
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stopped:
            with self.lock:
                text = MARKER if self.marked else b"clear"
                for sender, _, address in self.pairs:
                    hosts.offer(sender, text, (address, APP))
            for number, (_, receiver, _) in enumerate(self.pairs):
                self.arrived[number] += receive_all(receiver).count(MARKER)
            time.sleep(0.005)

    def mark(self, marked):
        """From the next datagram on; the last one has been sent when this
        returns."""
        with self.lock:
            self.marked = marked

    def flows(self):
        """Wait until marked datagrams arrive in every direction."""
        before = list(self.arrived)
        wait_until(
            lambda: all(now > then for now, then in zip(self.arrived, before)),
            20,
            "marked datagrams in every direction",
        )

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.thread.join()
        for sender, receiver, _ in self.pairs:
            sender.close()
            receiver.close()


def set_up():
    hosts.topology_up()
    state["a"], state["b"] = Identity(), Identity()


def rmmod():
    done = subprocess.run(
        ["rmmod", "netveil"], stderr=subprocess.PIPE, text=True, check=False
    )
    return done.returncode, done.stderr


@case("unloading is refused while peers are protected, and protection goes on")
def unload_refused():
    hosts.load_module()
    hosts.make_peers(state["a"], state["b"])
    tap = wire.Tap(hosts.wire)
    with Traffic() as traffic:
        traffic.mark(True)
        traffic.flows()
        code, text = rmmod()
        check(code != 0 and "in use" in text, "rmmod is refused", code, text)
        traffic.flows()
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    tap.close()
    hosts.flush_all()
    hosts.unload_module()


@case("50 times: load, configure, traffic, flush, unload; memory stays the same")
def cycles():
    tap = wire.Tap(hosts.wire)
    with Traffic() as traffic:
        for number in range(CYCLES):
            if number == WARM_UP:
                before = memory.least_kept_kib()
            cycle(traffic, waiting=number % 5 == 4)
            leaked = [frame for frame in tap.take() if MARKER in frame]
            check_equal(leaked, [], "marked frames in clear in cycle %d" % number)
    tap.close()
    grown = memory.least_kept_kib() - before
    note("%d KiB more after %d cycles" % (grown, CYCLES - WARM_UP))
    check(grown < LEAK_KIB, "less than a page for each cycle is left behind", grown)


def cycle(traffic, waiting):
    """Load, protect, unload. waiting: the flush meets packets that wait for a
    session, and not those of one."""
    hosts.load_module()
    if waiting:
        hosts.make_peer(alpha, state["a"], Identity().public, beta)
        hosts.make_peer(beta, state["b"], Identity().public, alpha)
        traffic.mark(True)
        for host in alpha, beta:
            wait_until(lambda: host.peer()["queued"] > 10, 20, "packets that wait")
    else:
        for _ in range(2):
            hosts.make_peers(state["a"], state["b"])
        traffic.mark(True)
        traffic.flows()
    traffic.mark(False)
    hosts.flush_all()
    hosts.unload_module()


ktap.run(set_up)
