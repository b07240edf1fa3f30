#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120 once=yes
"""Hosts that do not agree get nothing through, in clear or otherwise: wrong key,
wrong psk, psk at one end, no peer at the other side (invariants 1 and 2).

Each case ends with its control: with the fault mended, the same socket delivers.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import pypeer
import wire
from hosts import alpha, beta, receive_all
from ktap import case, check, check_equal, wait_until
from veilproto import Identity

APP = 7000
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
PSK, OTHER_PSK = bytes(range(1, 33)), bytes(range(2, 34))
OURS = alpha.addresses + beta.addresses
state = {}


def set_up():
    hosts.set_up()
    state["apps"] = {
        address: host.udp(address, APP)
        for host in (alpha, beta)
        for address in host.addresses
    }
    # alpha comes first, and so answers beta's first initiation (hosts.py).
    state["a"], state["b"] = pypeer.identities()


def say_all():
    """The marker from every address to its counterpart."""
    pairs = list(zip(alpha.addresses, beta.addresses))
    for one, other in pairs + [(b, a) for a, b in pairs]:
        hosts.offer(state["apps"][one], MARKER, (other, APP))


def delivered():
    """Addresses at which the marker arrived."""
    apps = state["apps"].items()
    return {address for address, sock in apps if MARKER in receive_all(sock)}


def drops():
    """Counters of both hosts together."""
    ours, theirs = alpha.drops(), beta.drops()
    return {name: ours[name] + theirs[name] for name in ours}


def nothing_passes(reason, a_knows, b_knows, a_psk=None, b_psk=None):
    """So configured, traffic in all directions: nothing in clear, nothing
    delivered, and drops of this reason counted."""
    hosts.flush_all()
    tap, before = wire.Tap(hosts.wire), drops()
    hosts.make_peer_unheard(alpha, state["a"], a_knows, beta, a_psk)
    hosts.make_peer(beta, state["b"], b_knows, alpha, b_psk)
    say_all()
    wait_until(lambda: drops()[reason] > before[reason], 20, "drops " + reason)
    say_all()
    for host in alpha, beta:
        for peer in host.control.peers().values():
            check(peer["state"] != genl.STATE_UP, "no session on " + host.name)
            check(peer["queued"] >= 2, "packets wait on " + host.name, peer["queued"])
    check_equal(delivered(), set(), "delivered")
    judge = wire.only_netveil(tap.frames(), OURS, (MARKER,))
    check(judge.messages[1] > 0, "initiations are seen", judge.messages)
    check_equal(judge.messages[4], 0, "data messages")
    tap.close()


def everything_passes():
    """The control: as nothing_passes(), with the fault mended."""
    got = set()

    def all_delivered():
        say_all()
        got.update(delivered())
        return got == set(OURS)

    wait_until(all_delivered, 20, "the marker at every address", every=0.2)


def mend(psk=None):
    hosts.make_peers(state["a"], state["b"], psk)
    everything_passes()


@case("the wrong public key of the other end: no session, nothing passes")
def wrong_key():
    right = state["b"].public, state["a"].public
    for keys in (Identity().public, right[1]), (right[0], Identity().public):
        nothing_passes("bad_stamp", *keys)
        mend()


@case("different psks: no session, nothing passes")
def wrong_psk():
    keys = state["b"].public, state["a"].public
    nothing_passes("psk_mismatch", *keys, PSK, OTHER_PSK)
    mend(PSK)


@case("a psk at one end only: no session, nothing passes")
def one_sided_psk():
    keys = state["b"].public, state["a"].public
    for psks in (PSK, None), (None, PSK):
        nothing_passes("psk_mismatch", *keys, *psks)
        mend()


def frames_from(tap, host):
    mac = host.mac()
    return [frame for frame in tap.frames() if frame[6:12] == mac]


@case("no peer at the other side: nothing passes, either way")
def no_peer():
    identities = {alpha: state["a"], beta: state["b"]}
    for host, silent in (alpha, beta), (beta, alpha):
        hosts.flush_all()
        tap, before = wire.Tap(hosts.wire), host.drops()["plaintext_in"]
        hosts.make_peer(host, identities[host], identities[silent].public, silent)
        say_all()
        wait_until(lambda: host.drops()["plaintext_in"] >= before + 2, 10, "drops")
        wait_until(lambda: host.peer()["queued"] >= 2, 10, "queued packets")
        check_equal(delivered(), set(), "delivered")
        frames = wait_until(lambda: frames_from(tap, host), 10, "initiations")
        judge = wire.only_netveil(frames, OURS, (MARKER,))
        check(judge.messages[1] > 0, "initiations are seen", judge.messages)
        tap.close()
        mend()


@case("a peer without a key of our own: everything is dropped as no_key")
def no_key():
    for host in alpha, beta:
        host.control.flush()
    alpha.control.add_peer(state["b"].public, *beta.addresses)
    tap, before = wire.Tap(hosts.wire), alpha.drops()
    for address, target in zip(alpha.addresses, beta.addresses):
        hosts.offer(state["apps"][address], MARKER, (target, APP))
    wait_until(lambda: alpha.drops()["no_key"] >= before["no_key"] + 2, 10, "no_key")
    judge = wire.only_netveil(tap.frames(), OURS, (MARKER,))
    check_equal(sum(judge.messages.values()), 0, "messages sent")
    check_equal(delivered(), set(), "delivered")
    tap.close()
    mend()


@case("the queue for a session is bounded: the rest is counted as queue_full")
def queue_is_bounded():
    hosts.flush_all()
    hosts.make_peer(alpha, state["a"], state["b"].public, beta)
    before = alpha.drops()["queue_full"]
    state["apps"][alpha.v4].setblocking(True)
    for _ in range(1000):
        state["apps"][alpha.v4].sendto(MARKER, (beta.v4, APP))
    state["apps"][alpha.v4].setblocking(False)
    queued = alpha.peer()["queued"]
    dropped = alpha.drops()["queue_full"] - before
    check(0 < queued <= 256, "packets in the queue", queued)
    check_equal(queued + dropped, 1000, "queued and dropped")
    mend()
    wait_until(lambda: alpha.peer()["queued"] == 0, 10, "the queue is empty")


ktap.run(set_up)
