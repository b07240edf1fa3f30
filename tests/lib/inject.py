# SPDX-License-Identifier: GPL-2.0
"""A host under attack: alpha has the module, its peer on beta is in Python and
holds the keys, and an injector on the wire sends whatever it likes to alpha.

A packet counts as refused when it moved the right drop counter, and when a right
packet sent after it the same way has arrived and the other has not.
"""

import hosts
import pypeer
import veilproto
import wire
from hosts import alpha, beta, drops_since, receive_all
from ktap import check_equal, wait_until

APP = 7000
A2, B2 = ("10.9.0.3", "fd09::3"), ("10.9.0.4", "fd09::4")
state = {}


def set_up():
    """alpha with the module, a Python peer on beta, a second address on each."""
    hosts.set_up()
    hosts.ip_batch(alpha, *("addr add %s dev eth0 %s" % a for a in second(A2)))
    hosts.ip_batch(beta, *("addr add %s dev eth0 %s" % a for a in second(B2)))
    beta.addresses += B2
    alpha.addresses += A2
    state["app"] = {a: alpha.udp(a, APP) for a in alpha.addresses}
    macs = beta.mac(), alpha.mac()
    state["wire"] = wire.Injector(hosts.wire, "wa", *macs)
    state["alpha"], state["me"] = pypeer.identities()
    connect()


def second(addresses):
    return (addresses[0] + "/24", ""), (addresses[1] + "/64", "nodad")


def connect():
    """A fresh configuration on alpha and a session with the Python peer."""
    alpha.control.flush()
    if "peer" in state:
        state["peer"].close()
    alpha.control.set_private_key(state["alpha"].private)
    alpha.control.add_peer(state["me"].public, *beta.addresses)
    peer = pypeer.PythonPeer(beta, state["me"], alpha, state["alpha"].public)
    state["peer"] = peer
    peer.initiate()
    wait_until(alpha.is_up, 10, "a session")
    return peer


def arrives(payload, local=None):
    """The payload reaches alpha's socket, sealed and sent as an honest peer
    would; returns what came to any socket before it."""
    peer = state["peer"]
    local = local or beta.v4
    peer.send_udp(APP, APP, payload, local)
    sock = state["app"][peer.remote_of(local)]
    before = pypeer.socket_receives(sock, payload)
    for each in state["app"].values():
        before += receive_all(each)
    return before


def refused(reason, send, local=None):
    """send() gets nothing delivered and adds one to one drop counter."""
    for sock in state["app"].values():
        receive_all(sock)
    before = alpha.drops()
    send()

    def moved():
        return drops_since(before, alpha.drops())

    wait_until(moved, 10, "a drop for " + reason)
    check_equal(arrives(b"right", local), [], "delivered before the right packet")
    check_equal(moved(), {reason: 1}, "drop counters that moved")


def readdress(message, sport, ends):
    """Sent from and to these addresses, whatever it was sealed for."""
    state["wire"].udp(*ends, sport, veilproto.PORT, message)
