#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
"""A switch on the path that loses, repeats, delays, swaps and alters frames:
traffic survives what is not dropped, and nothing that was altered or repeated is
delivered (DESIGN section 1, T2).

Two modules; the bridge between them is a program with a die.
"""

import hashlib
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import wire
from hosts import alpha, beta, drops_since, receive_all
from ktap import case, check, check_equal, note, wait_until
from veilproto import Identity

APP, COUNT, KEEPALIVE = 7000, 300, 32
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
OURS = alpha.addresses + beta.addresses
SEED = int(os.environ.get("SEED", "1"))


def set_up():
    hosts.set_up()
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)


class Switch:
    """What becomes of datagrams on their way to beta: the share of each evil, in percent."""

    def __init__(self, relay, lose=0, repeat=0, delay=0, alter=0):
        self.relay, self.dice = relay, random.Random(SEED)
        self.shares = lose, repeat, delay, alter
        self.held, self.count, self.seen = [], {}, 0
        self.lock = threading.Lock()

    def evil(self):
        roll = self.dice.randrange(100)
        for name, share in zip(("lost", "repeated", "delayed", "altered"), self.shares):
            if roll < share:
                self.count[name] = self.count.get(name, 0) + 1
                return name
            roll -= share
        return None

    def __call__(self, to, frame):
        message = wire.netveil_message(frame)
        if to != "wb" or message[:1] != b"\4" or len(message) == KEEPALIVE:
            return [frame]
        self.seen += 1
        with self.lock:
            return self.treat(to, frame, self.evil())

    def treat(self, to, frame, evil):
        if evil == "delayed":
            self.held.append((to, frame))
            return []
        if len(self.held) > 5:
            self.release()
        if evil == "altered":
            return [self.alter(frame)]
        return [frame] * {"lost": 0, "repeated": 2}.get(evil, 1)

    def alter(self, frame):
        """Another bit anywhere in the message, with a right UDP checksum."""

        def change(message):
            return wire.flip(message, self.dice.randrange(1, len(message)))

        return wire.rewritten(frame, change)

    def release(self):
        """Held frames go on, behind later ones."""
        for port, frame in self.held:
            self.relay.send(port, frame)
        self.held.clear()


def send_numbered(sender, address):
    """Datagrams at a pace that a program between the hosts can take."""
    for number in range(COUNT):
        sender.sendto(b"%s %d" % (MARKER, number), (address, APP))
        if number % 10 == 9:
            time.sleep(0.01)


def through(address, **evils):
    """Datagrams through such a switch: those that came, and how it treated
    them."""
    receiver = beta.udp(address, APP)
    sender = alpha.udp(alpha.addresses[":" in address])
    got, before = [], beta.drops()
    with wire.Relay(hosts.wire) as relay:
        relay.rule = switch = Switch(relay, **evils)
        send_numbered(sender, address)
        wait_until(lambda: switch.seen >= COUNT, 20, "the relay has seen all")
        relay.rule = None
        with switch.lock:
            switch.release()

        def last():
            sender.sendto(b"last", (address, APP))
            got.extend(receive_all(receiver))
            return b"last" in got

        wait_until(last, 20, "a datagram after all others", every=0.1)
    got = [text for text in got + receive_all(receiver) if text != b"last"]
    sender.close()
    receiver.close()
    note("%s; drops %s" % (switch.count, drops_since(before, beta.drops())))
    return got, switch.count, drops_since(before, beta.drops())


def numbers(got):
    """Their numbers, all as they were sent and none twice."""
    wanted = {b"%s %d" % (MARKER, number): number for number in range(COUNT)}
    strange = [text for text in got if text not in wanted]
    check_equal(strange, [], "datagrams that nobody sent")
    check_equal(len(set(got)), len(got), "datagrams, each once")
    return [wanted[text] for text in got]


@case("repeated frames are delivered once, and counted")
def repeats():
    for address in beta.addresses:
        got, evils, drops = through(address, repeat=40)
        check_equal(sorted(numbers(got)), list(range(COUNT)), "datagrams")
        check_equal(drops, {"replayed": evils["repeated"]}, "drops")


@case("delayed frames are delivered, in another order")
def delays():
    got, evils, drops = through(beta.v4, delay=20)
    check_equal(sorted(numbers(got)), list(range(COUNT)), "datagrams")
    check(numbers(got) != list(range(COUNT)), "another order", evils)
    check_equal(drops, {}, "drops")


@case("altered frames are not delivered, and all others are")
def alterations():
    for address in beta.addresses:
        got, evils, drops = through(address, alter=30)
        check_equal(len(numbers(got)), COUNT - evils["altered"], "datagrams")
        check_equal(sum(drops.values()), evils["altered"], "drops")
        check(drops["not_authentic"] > len(got) // 10, "not_authentic", drops)


@case("lost frames are all that is lost")
def losses():
    got, evils, drops = through(beta.v4, lose=20)
    check_equal(len(numbers(got)), COUNT - evils["lost"], "datagrams")
    check_equal(drops, {}, "drops")


@case("TCP gets a file through all of that")
def tcp():
    data = os.urandom(1 << 18)
    listener = beta.socket()
    listener.bind((beta.v4, 0))
    listener.listen()
    listener.settimeout(90)
    got = []

    def serve():
        connection, _ = listener.accept()
        connection.settimeout(90)
        got.append(b"".join(iter(lambda: connection.recv(1 << 16), b"")))
        connection.close()

    with wire.Relay(hosts.wire) as relay:
        relay.rule = switch = Switch(relay, lose=1, repeat=3, delay=3, alter=1)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with alpha.socket() as client:
            client.settimeout(90)
            client.connect(listener.getsockname())
            client.sendall(data)
        thread.join(90)
    note(switch.count)
    check(len(switch.count) == 4, "every evil was done", switch.count)
    digests = [hashlib.sha256(each).hexdigest() for each in got]
    check_equal(digests, [hashlib.sha256(data).hexdigest()], "the file")
    listener.close()


@case("everything altered: nothing delivered; the control: the same relay, honest")
def everything_altered():
    receiver, sender = beta.udp(beta.v6, APP), alpha.udp(alpha.v6)
    with wire.Relay(hosts.wire) as relay:
        relay.rule = Switch(relay, alter=100)
        before = beta.drops()
        for _ in range(50):
            sender.sendto(MARKER, (beta.v6, APP))
        dropped = lambda: sum(drops_since(before, beta.drops()).values()) >= 50
        wait_until(dropped, 20, "50 drops")
        check_equal(receive_all(receiver), [], "delivered")
        relay.rule = None
        sender.sendto(MARKER, (beta.v6, APP))
        wait_until(lambda: receive_all(receiver) == [MARKER], 20, "the control")


ktap.run(set_up)
