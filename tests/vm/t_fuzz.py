#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=300 long=fuzz
"""Hostile bytes in every state (make fuzz-vm, on the debug kernel): packets from
the wire, whole and authentic, and requests by netlink. The kernel stays sound,
nothing leaves or is delivered in clear, and afterwards there is a session
(invariants 1, 2 and 5). With a module that counts which of its places ran, inputs
that reached something new are changed further.

NETVEIL_FUZZ is for how many seconds, NETVEIL_SEED the seed of chance; NETVEIL_BLIND=y
counts without using it, to compare.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import feedback
import hosts
import ktap
import mutants
import wire
from hosts import alpha
from ktap import case, check_equal, note, skip
from mutants import APP, STATES, State

SECONDS = int(os.environ.get("NETVEIL_FUZZ", "60"))
SEED = int(os.environ.get("NETVEIL_SEED", str(time.time_ns() & 0xFFFFFFFF)))
FRAMES, AUTHENTIC, REQUESTS = 20000, 600, 2000
chance = mutants.chance_of(SEED)
corpus = feedback.Corpus(chance)


def set_up():
    note("NETVEIL_SEED=%d" % SEED)
    hosts.set_up()
    feedback.open_hits()


def round_of_packets(name):
    """Mutations in one state; how many, and of them by the peer."""
    state = State(name, chance)
    tap = wire.packet_socket(hosts.wire, "wa", outgoing=False)
    tap.setblocking(False)
    inbox = alpha.udp(alpha.v4, APP)
    sent = state.mutate(FRAMES, corpus)
    authentic = state.authentic(AUTHENTIC, corpus)
    mutants.settle()
    left = [frame for frame in hosts.receive_all(tap) if mutants.in_clear(frame)]
    check_equal(left, [], "frames in clear from alpha in state " + name)
    delivered = mutants.delivered_in_clear(inbox)
    check_equal(delivered, [], "datagrams delivered in clear in state " + name)
    tap.close()
    inbox.close()
    mutants.alive(name)
    return sent, authentic


def for_seconds(seconds, work):
    """work(round) again and again; what it returned, added up."""
    end, total, number = time.monotonic() + seconds, None, 0
    while total is None or time.monotonic() < end:
        found = work(number)
        total = found if total is None else tuple(map(sum, zip(total, found)))
        number += 1
    return total


@case("packets from the wire in every state of a session")
def from_the_wire():
    names = list(STATES)
    start = time.monotonic()
    for name in names:
        note("%-12s %s" % (name, round_of_packets(name)))
        corpus.report()
    left = SECONDS * 0.7 - (time.monotonic() - start)
    total = for_seconds(left, lambda n: round_of_packets(names[n % len(names)]))
    spent = time.monotonic() - start
    note("%d and %d packets more; %.0f s" % (*total, spent))
    corpus.report()


def in_child(function):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fuzz_requests(seconds, seed):
    requests = mutants.Requests(mutants.chance_of(seed))
    sent, done = for_seconds(seconds, lambda _: (REQUESTS, requests.send(REQUESTS, corpus)))
    note("%d requests, %d of them done" % (sent, done))
    corpus.report()


@case("requests from root, in a namespace of its own")
def from_root():
    def child():
        os.unshare(os.CLONE_NEWNET)
        fuzz_requests(SECONDS * 0.15, SEED + 1)

    check_equal(in_child(child), 0, "exit code")


@case("requests from an unprivileged user's own namespace")
def from_a_user():
    if not os.path.exists("/proc/self/ns/user"):
        skip("no user namespaces here")

    def child():
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
        fuzz_requests(SECONDS * 0.15, SEED + 2)

    check_equal(in_child(child), 0, "exit code")
    mutants.alive("requests from a user")


ktap.run(set_up)
