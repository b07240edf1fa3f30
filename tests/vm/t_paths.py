#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=1500 icount=yes long=yes uml=no
"""What two modules do, by their tracepoints, is what the model of the protocol's
states may do (tests/model/search.py): handshakes that cross, rekeys, restarts,
resets, lost messages.

NETVEIL_SEED is the seed of what happens.
"""

import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import paths
import wire
from hosts import alpha, beta
from ktap import case, check, check_equal, note, skip, wait_until
from veilproto import Identity

SEED = int(os.environ.get("NETVEIL_SEED", str(time.time_ns() & 0xFFFFFFFF)))
chance = random.Random(SEED)
state = {}


def set_up():
    note("NETVEIL_SEED=%d" % SEED)
    hosts.set_up()
    if not os.path.exists(paths.TRACING + "events"):
        subprocess.run(["mount", "-t", "tracefs", "none", paths.TRACING], check=False)


def namespace_of(host):
    return os.stat("/run/netns/" + host.name).st_ino


def begin(policy="require"):
    """Both hosts know each other; number 0 has the larger key."""
    if not os.path.exists(paths.TRACING + "events/netveil"):
        skip("this kernel has no tracefs")
    hosts.flush_all()
    a, b = Identity(), Identity()
    pair = [(alpha, a, beta, b), (beta, b, alpha, a)]
    pair.sort(key=lambda each: each[1].public, reverse=True)
    state["ends"], state["policy"] = pair, policy
    paths.start()
    for number in 1, 0:
        configure(number)
    talk()


def configure(number):
    host, me, other, them = state["ends"][number]
    hosts.make_peer(host, me, them.public, other)
    if state["policy"] != "require":
        host.control.set_peer_policy(them.public, state["policy"])


def send(number):
    """A datagram that begins a handshake where there is no session."""
    host, _, other, _ = state["ends"][number]
    sock = host.udp(host.v4)
    hosts.offer(sock, b"x" * 100, (other.v4, 7))
    sock.close()


def talk():
    """A session that serves both ways."""
    hosts.ping_once(alpha, beta.v4, seconds=60)
    hosts.ping_once(beta, alpha.v4, seconds=60)


def reset(*numbers):
    for number in numbers:
        paths.mark("reset", number)
    for number in numbers:
        state["ends"][number][0].control.session_reset()
    for number in numbers:
        paths.mark("settled", number)


def restart(number):
    paths.mark("restart", number)
    configure(number)
    paths.mark("settled", number)


def judge():
    ends = state["ends"]
    numbers = {namespace_of(each[0]): i for i, each in enumerate(ends)}
    events = paths.read(paths.stop(), numbers)
    count = paths.follow(events)
    kinds = {}
    for event in events:
        kinds[event.what] = kinds.get(event.what, 0) + 1
    note("%d events, %d places at the end: %s" % (len(events), count, kinds))
    return events


@case("rekeys by the clock are a path of the model, and so is the end of sessions")
def rekeys():
    begin()
    for _ in range(40):
        time.sleep(10)
        send(0)
        send(1)
    time.sleep(200)
    events = judge()
    made = sum(event.what == "session_made" for event in events)
    check(made >= 8, "three rekeys at least", made)
    ended = sum(event.what == "session_ended" for event in events)
    check_equal(ended, made, "sessions that ended")


@case("handshakes that cross are")
def crossing():
    begin()
    held = []

    def rule(to, frame):
        """Initiations wait for each other."""
        if wire.netveil_message(frame)[:1] != b"\1":
            return [frame]
        held.append((to, frame))
        if len(held) == 2:
            for each in held:
                relay.send(*each)
            held.clear()
        return []

    with wire.Relay(hosts.wire) as relay:
        for _ in range(10):
            relay.rule = rule
            reset(0, 1)
            send(0)
            send(1)
            talk()
            relay.rule = None
    events = judge()
    crossed = [e for e in events if e.fields.get("reason") == "crossed_initiation"]
    check(crossed, "some crossed")


@case("restarts of either end are")
def restarts():
    begin()
    for number in (0, 1) * 4:
        restart(number)
        talk()
    judge()


@case("resets of either end are, with prefer too")
def resets():
    for policy in "require", "prefer":
        begin(policy)
        for number in (0, 1, 1, 0) * 2:
            reset(number)
            talk()
        judge()


@case("whatever happens in any order, with messages lost, is")
def at_random():
    begin()
    lost = [0]

    def rule(_, frame):
        kind = wire.netveil_message(frame)[:1]
        if kind in (b"\1", b"\2", b"\4") and chance.random() < lost[0]:
            return []
        return [frame]

    with wire.Relay(hosts.wire) as relay:
        relay.rule = rule
        for _ in range(80):
            what = chance.randrange(12)
            if what == 0:
                reset(chance.randrange(2))
            elif what == 1:
                restart(chance.randrange(2))
            elif what == 2:
                reset(0, 1)
            elif what == 3:
                time.sleep(chance.uniform(0, 40))
            elif what == 4:
                lost[0] = chance.choice((0, 0.3, 0.6))
            else:
                send(chance.randrange(2))
                time.sleep(chance.choice((0, 0, 0.01, 0.3, 2, 7)))
        lost[0] = 0
        talk()
    state["events"] = judge()


@case("the control: a trace that lacks an event is no path")
def control():
    events = state["events"]
    noticed = 0
    wanted = "session_made", "initiation-received", "response-received"
    places = [i for i, e in enumerate(events) if e.what in wanted]
    for place in places[:20]:
        try:
            paths.follow(events[:place] + events[place + 1 :])
        except AssertionError:
            noticed += 1
    check_equal(noticed, len(places[:20]), "events left out and missed")
    wait_until(lambda: alpha.is_up() or beta.is_up(), 10, "a session")


ktap.run(set_up)
