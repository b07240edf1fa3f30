#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120 uml-debug=no once=yes
"""Volume of a key, and forgeries under it (PROTOCOL section 9): new keys are asked
for in time, and no key is used beyond its limit, whatever happens to the handshake.

With netveil-limits.ko, the module built with limits that a test can reach.
"""

import os
import socket
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ["NETVEIL_KO"] = os.path.join(HERE, "..", "..", "netveil-limits.ko")
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import hosts
import ktap
import pypeer
import wire
from hosts import alpha, beta, receive_all
from ktap import case, check, check_equal, wait_until
from veilproto import DATA, INITIATION

APP = 7000
GCM, CHACHA = 1, 2
REJECT = {GCM: 1 << 23, CHACHA: 1 << 13}  # bytes, packets: kmod/messages.h
FORGERIES = {GCM: 1 << 7, CHACHA: 1 << 6}
SIZE, UDP_SEGMENT = 1000, 103
state = {}


def set_up():
    hosts.set_up()
    state["inbox"] = beta.udp(beta.v4, APP)
    state["out"] = alpha.udp(alpha.v4)


def fresh(cipher):
    """A session under one AEAD."""
    hosts.make_peers(*pypeer.identities())
    for host in alpha, beta:
        host.control.set_cipher(cipher)
    hosts.ping_once(alpha, beta.v4)
    wait_until(lambda: alpha.peer().get("cipher") == cipher, 10, "a session")
    receive_all(state["inbox"])


def send(count):
    """Numbered datagrams of one flow, and so on one lane; those that arrive."""
    arrived = []
    for number in range(count):
        hosts.offer(state["out"], number.to_bytes(8, "big").ljust(SIZE), (beta.v4, APP))
        arrived += receive_all(state["inbox"])
    return [int.from_bytes(data[:8], "big") for data in arrived]


def indexes(tap):
    """The sessions that alpha sealed under, by the index that beta gave them."""
    found = map(wire.data_of, (p for p in tap.packets() if p.source == alpha.v4))
    return {data[2] for data in found if data}


def rekeys(cipher, count):
    fresh(cipher)
    tap = wire.Tap(hosts.wire)
    seen = set()
    for _ in range(3):
        check_equal(send(count), list(range(count)), "datagrams, once and in order")
        wait_until(lambda: new_index(tap, seen), 10, "new keys for the volume")
        seen |= indexes(tap)
    tap.close()


def new_index(tap, seen):
    """Whether what is sent now goes under a session that was not seen before."""
    send(1)
    return bool(indexes(tap) - seen) and len(indexes(tap)) > max(1, len(seen))


@case("AES-256-GCM: after so many bytes there are new keys, and nothing is lost")
def gcm_rekey():
    rekeys(GCM, 400)


@case("ChaCha20-Poly1305: the same after so many packets")
def chacha_rekey():
    rekeys(CHACHA, 300)


def no_handshakes(_, frame):
    return [] if wire.netveil_message(frame)[:1] in (b"\1", b"\2") else [frame]


def stops(cipher):
    """With handshakes lost: the key stops at its limit, and traffic with it."""
    fresh(cipher)
    before = alpha.drops()
    with wire.Relay(hosts.wire) as relay:
        relay.rule = no_handshakes
        got = send(REJECT[cipher] // (SIZE if cipher == GCM else 1))
        moved = hosts.drops_since(before, alpha.drops())
        check(moved.get("limit_reached", 0) > 0, "the limit is reached", moved)
        check(0 < len(got), "some passed before", len(got))
        check_equal(send(20), [], "what arrives beyond the limit")
    wait_until(lambda: len(send(20)) == 20, 15, "traffic under new keys")


@case("AES-256-GCM: no byte is sealed beyond the limit, with all handshakes lost")
def gcm_stop():
    stops(GCM)


@case("ChaCha20-Poly1305: no packet is sealed beyond the limit, the same")
def chacha_stop():
    stops(CHACHA)


def forge(peer, count):
    """So many packets that do not authenticate; each costs a look at the key."""
    before = alpha.drops()
    for _ in range(count):
        message = peer.sealed(b"forged")
        peer.send(message[:-1] + bytes([message[-1] ^ 1]))

    def moved():
        return hosts.drops_since(before, alpha.drops()) == {"not_authentic": count}

    wait_until(moved, 10, "%d forgeries" % count)


@case("forgeries that the way has joined end the session as well")
def joined_forgeries():
    alpha.run("ethtool", "-K", "eth0", "gro", "on")
    # The sender's device has to take them as one.
    beta.run("ethtool", "-K", "eth0", "sg", "on", "tx", "on")
    peer = pypeer.connected(cipher=CHACHA)
    peer.talk()
    forge(peer, FORGERIES[CHACHA] - 4)
    peer.forget()
    before, late = alpha.drops(), peer.sealed(b"late")
    forged = [wire.flip(peer.sealed(b"forged"), -1) for _ in range(8)]
    peer.sockets[beta.v4].setsockopt(socket.SOL_UDP, UDP_SEGMENT, len(forged[0]))
    seen = alpha.statistic("IpInReceives")
    peer.send(b"".join(forged))
    # The last ones find none.
    wanted = {"not_authentic": 4, "unknown_index": 4}
    moved = lambda: hosts.drops_since(before, alpha.drops())
    wait_until(lambda: sum(moved().values()) >= 8, 10, "drops")
    check_equal(moved(), wanted, "drops")
    check(alpha.statistic("IpInReceives") - seen < 8, "joined")
    check(not alpha.is_up(), "the session has ended")
    peer.refused("unknown_index", late, DATA)


@case("forgeries: new keys at half of so many, and at all of them the session ends")
def forgeries():
    for cipher in GCM, CHACHA:
        peer = pypeer.connected(cipher=cipher)
        peer.talk()
        half = FORGERIES[cipher] // 2
        forge(peer, half - 1)
        peer.talk()
        check_equal(peer.count(INITIATION), 0, "initiations before half of them")
        forge(peer, 1)
        peer.say()
        peer.wait(INITIATION)
        forge(peer, half - 1)
        check(alpha.is_up(), "the session is up")
        late = peer.sealed(b"late")
        forge(peer, 1)
        wait_until(lambda: not alpha.is_up(), 10, "the session's end")
        peer.refused("unknown_index", late, DATA)
        peer.forget()
        peer.respond()
        peer.wait_confirmed()
        peer.talk()


ktap.run(set_up)
