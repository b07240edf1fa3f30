#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: icount=yes timeout=900 once=yes
"""A rekey loses nothing: two modules, steady streams, minutes of guest time
(PROTOCOL section 2). Runs where idle time passes at once.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import wire
from hosts import alpha, beta
from ktap import case, check, check_equal, note
from streams import Streams
from veilproto import Identity


def set_up():
    hosts.set_up()


def run_streams(seconds):
    """Streams for this long: what the tap saw."""
    streams = Streams()
    streams.run(seconds)
    return streams.judge()


def fresh():
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)


def no_drops():
    for host in alpha, beta:
        drops = {k: v for k, v in host.drops().items() if v}
        check_equal(drops, {}, "drops on " + host.name)


def judge_wire(judge, sessions):
    """Data under at least that many keys."""
    indexes = {index for _, index, _, _ in judge.seen}
    note("messages %s, %d indexes" % (judge.messages, len(indexes)))
    check(len(indexes) >= 2 * sessions, "sessions seen", len(indexes))


@case("streams over two rekeys: every packet arrives once and in order")
def rekey():
    fresh()
    before = alpha.peer()["last_handshake"]
    judge = run_streams(260)
    judge_wire(judge, 3)
    check_equal(judge.messages[1], 2, "rekeys, one initiation each")
    check(alpha.peer()["last_handshake"] > before, "a later handshake is shown")
    no_drops()


@case("streams over a rekey whose first handshake messages are lost")
def rekey_under_loss():
    fresh()
    lost = {1: 2, 2: 1}

    def lose(_, frame):
        kind = wire.netveil_message(frame)[:1]
        kind = kind[0] if kind else 0
        if lost.get(kind):
            lost[kind] -= 1
            return []
        return [frame]

    with wire.Relay(hosts.wire) as relay:
        relay.rule = lose
        judge = run_streams(145)
    check_equal(lost, {1: 0, 2: 0}, "messages yet to be lost")
    judge_wire(judge, 2)
    no_drops()


ktap.run(set_up)
