#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: icount=yes timeout=900
"""A rekey loses nothing: two modules, steady streams, minutes of guest time
(PROTOCOL section 2). Runs where idle time passes at once.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import wire
from hosts import alpha, beta, receive_all
from ktap import case, check, check_equal, note, wait_until
from pypeer import boottime
from veilproto import Identity

APP = 7000
INTERVAL = 0.1


def set_up():
    hosts.set_up()


class Stream:
    """Numbered datagrams one way; what came, in its order."""

    def __init__(self, source, target, address):
        self.receiver = target.udp(address, APP)
        self.sender = source.udp(source.addresses[":" in address])
        self.to, self.sent, self.got = (address, APP), 0, []

    def step(self):
        self.sender.sendto(b"%d" % self.sent, self.to)
        self.sent += 1
        self.take()

    def take(self):
        self.got += [int(text) for text in receive_all(self.receiver)]
        return len(self.got) >= self.sent

    def close(self):
        self.sender.close()
        self.receiver.close()

    def judge(self):
        wait_until(self.take, 10, "the last datagrams", every=0.1)
        check_equal(self.got, list(range(self.sent)), "all, once, in order")


class TcpStream:
    """A connection that says a little all the time, and never stalls."""

    def __init__(self):
        listener = beta.socket()
        listener.bind((beta.v4, 0))
        listener.listen()
        self.client = alpha.socket()
        self.client.connect(listener.getsockname())
        self.server, _ = listener.accept()
        listener.close()
        self.server.setblocking(False)
        self.sent, self.got, self.longest, self.last = 0, 0, 0, boottime()

    def step(self):
        self.client.sendall(b"%1000d" % self.sent)
        self.sent += 1000
        self.take()

    def take(self):
        try:
            self.got += len(self.server.recv(1 << 16))
            now = boottime()
            self.longest = max(self.longest, now - self.last)
            self.last = now
        except BlockingIOError:
            pass
        return self.got == self.sent

    def judge(self):
        wait_until(self.take, 10, "the last bytes", every=0.1)
        check(self.longest < 1, "TCP never waits a second", self.longest)

    def close(self):
        self.client.close()
        self.server.close()


def run_streams(seconds, relay_rule=None):
    """Streams of both families both ways, and TCP, for this long; the tap."""
    tap = wire.Tap(hosts.wire)
    pairs = (alpha, beta, beta.v4), (alpha, beta, beta.v6), (beta, alpha, alpha.v4)
    streams = [Stream(*pair) for pair in pairs] + [TcpStream()]
    end = boottime() + seconds
    while boottime() < end:
        for stream in streams:
            stream.step()
        time.sleep(INTERVAL)
    for stream in streams:
        stream.judge()
        stream.close()
    return tap


def fresh():
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)


def no_drops():
    for host in alpha, beta:
        drops = {k: v for k, v in host.drops().items() if v}
        check_equal(drops, {}, "drops on " + host.name)


def judge_wire(tap, sessions):
    """Only Netveil, no counter twice, and data under at least that many keys."""
    judge = wire.only_netveil(tap.frames(), alpha.addresses + beta.addresses)
    indexes = {index for _, index, _, _ in judge.seen}
    note("messages %s, %d indexes" % (judge.messages, len(indexes)))
    check(len(indexes) >= 2 * sessions, "sessions seen", len(indexes))
    tap.close()
    return judge


@case("streams over two rekeys: every packet arrives once and in order")
def rekey():
    fresh()
    before = alpha.peer()["last_handshake"]
    tap = run_streams(260)
    judge = judge_wire(tap, 3)
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
        tap = run_streams(145)
    check_equal(lost, {1: 0, 2: 0}, "messages yet to be lost")
    judge_wire(tap, 2)
    no_drops()


ktap.run(set_up)
