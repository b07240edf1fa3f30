#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=150
"""What happens to a packet: the table of the README, a case for each policy and
state of the session, a cell for each kind of packet (DESIGN section 3; invariants
1, 2, 6, 7).

alpha has the module; its peer on beta is in Python; a router that is nobody's
peer speaks from the wire.
"""

import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import packets
import pypeer
import wire
from hosts import alpha, beta, drops_since, receive_all
from ktap import case, check_equal, wait_until
from packets import ICMP, ICMPV6, UDP

APP, PORT = 7000, 51888
ROUTER = "10.9.0.77"
EXPIRY = 180
CLOSE = 4
DATA, RESPONSE = 4, 2
state = {}


def set_up():
    hosts.set_up()
    state["tap"] = wire.Tap(hosts.wire)
    state["wire"] = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    with alpha.inside():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        raw.bind(("eth0", 0))
    state["raw"] = raw
    state["app"] = alpha.udp(alpha.v4, APP)
    # Beta says nothing by itself.
    state["listening"] = beta.udp(beta.v4, APP)


def result(seen, what):
    """What seen() tells, or the drop counter that moved first."""
    before = state["before"]

    def look():
        found = seen()
        if found:
            return found
        moved = drops_since(before, alpha.drops())
        return moved and "drop " + " ".join(moved)

    return wait_until(look, 10, what)


def begin():
    state["tap"].take()
    state["before"] = alpha.drops()
    for sock in state["app"], *state["peer"].sockets.values():
        receive_all(sock)
    state["peer"].waiting.clear()
    return os.urandom(8).hex().encode()


def in_clear(marker):
    return any(marker in frame for frame in state["tap"].frames())


def sent(marker):
    peer = state["peer"]
    if in_clear(marker):
        return "clear"
    if peer.session and peer.take_udp() == marker:
        return "seal"
    if (alpha.peer()["queued"] if state["is_peer"] else 0) > state["queued"]:
        return "wait"
    return None


def out():
    """A datagram of a program on alpha."""
    marker = begin()
    state["queued"] = alpha.peer()["queued"] if state["is_peer"] else 0
    hosts.offer(state["app"], marker, (beta.v4, APP))
    return result(lambda: sent(marker), "a datagram that leaves")


def out_past():
    """The same, past the hooks."""
    marker = begin()
    ends = alpha.v4, beta.v4
    packet = packets.ip(*ends, UDP, packets.udp(*ends, APP, APP, marker))
    state["raw"].send(packets.ethernet(alpha.mac(), beta.mac(), packet))
    return result(lambda: in_clear(marker) and "clear", "a frame")


def received(marker):
    return marker in receive_all(state["app"]) and "deliver"


def in_plain():
    """A datagram in clear from beta's address."""
    marker = begin()
    ends = beta.v4, alpha.v4
    packet = packets.ip(*ends, UDP, packets.udp(*ends, APP, APP, marker))
    state["wire"].packet(packet)
    return result(lambda: received(marker), "a datagram in clear")


def in_sealed():
    """What the peer sealed, under the newest session it knows of."""
    marker, peer = begin(), state["peer"]
    if peer.session:
        peer.send_udp(APP, APP, marker)
    else:
        peer.send(struct.pack(">BBHIQ", DATA, 0, 0, 0x1234, 0) + bytes(32))
    return result(lambda: received(marker), "a sealed datagram")


def in_handshake():
    begin()
    peer = state["peer"]
    peer.send(peer.initiator().initiation())
    return result(lambda: peer.take(RESPONSE) and "answer", "a handshake")


def in_error():
    """A router's ICMP error about a datagram in clear from alpha to beta."""
    begin()
    sock = alpha.udp(alpha.v4, APP + 1)
    sock.connect((beta.v4, APP))
    quoted = packets.ip(
        alpha.v4, beta.v4, UDP, packets.udp(alpha.v4, beta.v4, APP + 1, APP, b"quote")
    )
    body = struct.pack(">BBHI", 3, 3, 0, 0) + quoted
    body = body[:2] + struct.pack(">H", packets.checksum(body)) + body[4:]
    state["wire"].packet(packets.ip(ROUTER, alpha.v4, ICMP, body))

    def told():
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) and "deliver"

    try:
        return result(told, "an ICMP error")
    finally:
        sock.close()


def in_neighbour():
    """A neighbour solicitation from beta's address: alpha answers in clear."""
    begin()
    target = packets.address(alpha.v6).packed
    option = b"\x01\x01" + beta.mac()
    message = struct.pack(">BBHI", 135, 0, 0, 0) + target + option
    pseudo = packets.l4_checksum(beta.v6, alpha.v6, ICMPV6, message)
    message = message[:2] + struct.pack(">H", pseudo) + message[4:]
    packet = packets.ip(beta.v6, alpha.v6, ICMPV6, message, hop_limit=255)
    state["wire"].packet(packet)

    def answered():
        found = [
            p
            for p in state["tap"].packets()
            if p.source == alpha.v6 and p.protocol == ICMPV6 and p.payload[0] == 136
        ]
        return found and "answer"

    return result(answered, "an answer to a solicitation")


KINDS = {
    "out": out,
    "out past the hooks": out_past,
    "plaintext in": in_plain,
    "sealed in": in_sealed,
    "ICMP error": in_error,
    "neighbour discovery": in_neighbour,
    "handshake in": in_handshake,
}

# Policy, session: what becomes of each kind.  README, "What happens to a packet".
CLEAR = "clear clear deliver"
TABLE = {
    ("none", "none"): CLEAR + "|drop stranger|deliver|answer|drop stranger",
    ("bypass", "none"): CLEAR + "|drop stranger|deliver|answer|drop stranger",
    ("require", "no key"): "drop no_key|drop plaintext_out|drop plaintext_in"
    "|drop unknown_index|drop icmp_forged|answer|drop no_key",
    ("require", "handshake"): "wait|drop plaintext_out|drop plaintext_in"
    "|drop unknown_index|drop icmp_forged|answer|answer",
    ("require", "up"): "seal|drop plaintext_out|drop plaintext_in"
    "|deliver|drop icmp_forged|answer|answer",
    ("require", "closed"): "wait|drop plaintext_out|drop plaintext_in"
    "|drop unknown_index|drop icmp_forged|answer|answer",
    ("prefer", "no key"): CLEAR + "|drop unknown_index|deliver|answer|drop no_key",
    ("prefer", "handshake"): CLEAR + "|drop unknown_index|deliver|answer|answer",
    ("prefer", "up"): "seal|drop plaintext_out|drop plaintext_in"
    "|deliver|drop icmp_forged|answer|answer",
    ("prefer", "closed"): CLEAR + "|drop unknown_index|deliver|answer|answer",
    ("require, no peer", "none"): "drop no_peer|drop no_peer|drop no_peer"
    "|drop stranger|drop icmp_forged|answer|drop stranger",
    ("prefer, no peer", "none"): CLEAR + "|drop stranger|deliver|answer|drop stranger",
    ("bypass, no peer", "none"): CLEAR + "|drop stranger|deliver|answer|drop stranger",
}
# Once a session was confirmed, both are the same.
EXPIRED = {
    (policy, "expired"): "wait|drop plaintext_out|drop plaintext_in"
    "|drop unknown_index|drop icmp_forged|answer|answer"
    for policy in ("require", "prefer")
}
if os.environ.get("NETVEIL_POLICY") == "expired":
    TABLE = EXPIRED


def configure(policy, session):
    """alpha's peer, or a policy of beta's prefixes without one."""
    pypeer.close_all()
    ours, theirs = pypeer.identities()
    peer = pypeer.PythonPeer(beta, theirs, alpha, ours.public)
    pypeer.open_peers.append(peer)
    state["peer"] = peer
    state["is_peer"] = policy in ("require", "prefer", "bypass")
    if session != "no key":
        alpha.control.set_private_key(ours.private)
    if state["is_peer"]:
        alpha.control.add_peer(theirs.public, *beta.addresses, policy=policy)
    elif policy != "none":
        alpha.control.add_policy("10.9.0.2/31", policy.partition(",")[0])
        alpha.control.add_policy("fd09::2/127", policy.partition(",")[0])
    else:
        # Hooks that have nothing to say about beta.
        alpha.control.add_policy("192.0.2.0/24", "require")
    if session in ("up", "closed", "expired"):
        peer.initiate()
        wait_until(alpha.is_up, 10, "a session")
    if session == "expired":
        time.sleep(EXPIRY)
        wait_until(lambda: not alpha.is_up(), 20, "the end of the session")
    if session == "closed":
        peer.send(peer.session.keepalive(beta.v4, alpha.v4, flags=CLOSE))
        wait_until(lambda: not alpha.is_up(), 10, "the end of the session")
        if policy == "prefer":
            wait_until(lambda: not alpha.peer()["confirmed"], 10, "both forms again")


def row(policy, session, wanted):
    def run():
        configure(policy, session)
        got = {name: kind() for name, kind in KINDS.items()}
        check_equal(got, wanted, "what happened")

    return run


for (its_policy, its_session), line in TABLE.items():
    cells = [
        cell
        for part in line.split("|")
        for cell in (part.split() if part == CLEAR else [part])
    ]
    case("%s, session %s: %s" % (its_policy, its_session, " | ".join(cells)))(
        row(its_policy, its_session, dict(zip(KINDS, cells)))
    )


if __name__ == "__main__":
    ktap.run(set_up)
