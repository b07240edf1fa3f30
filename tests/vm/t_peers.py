#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=100 once=yes
"""200 peers, each with its own key, address and session, played in Python."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import pypeer
from hosts import Host, alpha, beta, receive_all
from ktap import case, check, check_equal, wait_until
from veilproto import Identity

APP, COUNT = 7000, 200
me = Identity()


def many_hosts(count):
    """beta with more addresses, and a Python peer with its own key at each."""
    names = ["10.9.%d.%d" % (1 + i // 100, 1 + i % 100) for i in range(count)]
    hosts.ip_batch(beta, *("addr add %s/32 dev eth0" % name for name in names))
    hosts.ip_batch(alpha, "route add 10.9.0.0/16 dev eth0")
    hosts.ip_batch(beta, "route add 10.9.0.0/16 dev eth0")
    key = me.public
    return [
        pypeer.PythonPeer(Host("beta", name), Identity(), alpha, key) for name in names
    ]


@case("200 peers, each with its own key and session")
def many_peers():
    hosts.flush_all()
    alpha.control.set_private_key(me.private)
    peers = many_hosts(COUNT)
    sender = alpha.udp(alpha.v4, 0)
    sender.setblocking(True)
    sent = {}

    def send_to(peer):
        sender.sendto(b"for " + peer.me.public, (peer.host.v4, APP))
        sent[peer] = time.monotonic()

    for peer in peers:
        alpha.control.add_peer(peer.me.public, peer.host.v4)
        send_to(peer)
    waiting = set(peers)

    def answered():
        for peer in list(waiting):
            responder = peer.take_initiation()
            if responder:
                peer.respond(responder)
            if peer.session and peer.take_udp() == b"for " + peer.me.public:
                waiting.discard(peer)
            # None waits for a session longer than 10 s, which a slow guest may take.
            elif time.monotonic() - sent[peer] > 10:
                send_to(peer)
        return not waiting

    wait_until(answered, 90, "every peer got its own datagram")
    states = [peer["state"] for peer in alpha.control.peers().values()]
    check_equal(states, [genl.STATE_UP] * COUNT, "states of the peers")
    receiver = alpha.udp(alpha.v4, 0)
    port = receiver.getsockname()[1]
    for peer in peers:
        peer.send_udp(APP, port, peer.me.public)
    got = set()
    wait_until(
        lambda: got.update(receive_all(receiver)) or len(got) == COUNT,
        20,
        "a datagram of every peer",
    )
    check_equal(got, {peer.me.public for peer in peers}, "datagrams by peer")
    shown = alpha.veil("show")
    check(all(peer.host.v4 in shown for peer in peers), "veil show lists them")
    for peer in peers:
        peer.close()
    alpha.control.flush()
    check_equal(alpha.control.peers(), {}, "peers after flush")


ktap.run(hosts.set_up)
