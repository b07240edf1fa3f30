#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=200 once=yes
"""Peers that roam: behind NAT, from network to network, and who pretends to be
elsewhere (PROTOCOL section 8.6).

    delta --- gamma, a NAT router ---\\
                       the wire ------+--- alpha
    somewhere on the wire -----------/

alpha has the module. The peer is the module on delta, or one in Python on gamma.
"""

import hashlib
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import devices
import genl
import hosts
import ktap
import packets
import pypeer
import veilproto
import wire
from hosts import alpha, beta, drops_since, receive, receive_all
from ktap import case, check, check_equal, wait_until
from veilproto import CHALLENGE, DATA, ECHO, INITIATION, PORT, TUNNEL, Identity

INNER, SERVER, APP = "10.50.0.7", "10.50.0.1", 7000
UDP_SEGMENT = 103
state = {}


def set_up():
    hosts.set_up()
    gamma = hosts.add_gamma()
    delta = hosts.add_host("delta", "192.168.7.2", "fd77::2", "down0", gamma)
    hosts.ip_batch(gamma, "addr add 192.168.7.1/24 dev down0")
    hosts.ip_batch(
        delta,
        "route add default via 192.168.7.1",
        "addr add %s/32 dev lo" % INNER,
        "route add %s/32 dev eth0 src %s" % (SERVER, INNER),
    )
    hosts.ip_batch(
        alpha,
        "addr add %s/32 dev lo" % SERVER,
        "route add 10.50.0.0/24 dev eth0 src %s" % SERVER,
    )
    hosts.forwards(gamma)
    state["gamma"], state["delta"] = gamma, delta
    nat("51900-51999")


def nat(ports):
    """gamma has its clients go out by its own address, from these ports."""
    rules = """
    table ip t
    delete table ip t
    table ip t {
        chain post {
            type nat hook postrouting priority srcnat
            ip saddr 192.168.7.0/24 udp dport %d masquerade to :%s
        }
    }
    """ % (PORT, ports)
    state["gamma"].run("nft", "-f", "-", input=rules)
    state["gamma"].run("sh", "-c", "conntrack -F 2>&1")


# Between two modules


def connect(**more):
    """alpha and delta know each other; delta has gone first."""
    pypeer.close_all()
    delta = state["delta"]
    delta.control.flush()
    ours, theirs = Identity(), Identity()
    alpha.control.set_private_key(ours.private)
    alpha.control.add_peer(theirs.public, roaming=1, prefixes=(INNER + "/32",))
    delta.control.set_private_key(theirs.private)
    prefixes = (SERVER + "/32",)
    delta.control.add_peer(ours.public, alpha.v4, prefixes=prefixes, **more)
    wait_until(lambda: alpha.is_up() and delta.is_up(), 10, "a session")


def place():
    """Where alpha thinks that its peer is."""
    peer = alpha.peer()
    return peer.get("endpoint"), peer.get("port")


def crosses(one, there, other, here, seconds=10):
    """A datagram from address there of one to address here of other arrives."""
    with one.udp(there) as source, other.udp(here, APP) as target:
        payload = os.urandom(16)

        def sent():
            hosts.offer(source, payload, (here, APP))
            return payload in receive_all(target)

        wait_until(sent, seconds, "a datagram to " + here, every=0.1)


def both_ways():
    crosses(state["delta"], INNER, alpha, SERVER)
    crosses(alpha, SERVER, state["delta"], INNER)
    # The address outside as well, from the one inside.
    crosses(state["delta"], INNER, alpha, alpha.v4)
    crosses(alpha, alpha.v4, state["delta"], INNER)


@case("behind NAT: a session, both ways, one port, nothing in clear")
def behind_nat():
    tap = wire.Tap(hosts.wire)
    connect()
    both_ways()
    address, port = place()
    check_equal(address, "10.9.0.3", "the endpoint's address")
    check(51900 <= port <= 51999, "the port is NAT's", port)
    seen = [p for p in tap.packets() if alpha.v4 in (p.source, p.destination)]
    datagrams = [packets.parse_udp(p.payload) for p in seen if p.protocol == packets.UDP]
    check_equal(len(datagrams), len(seen), "packets that are UDP")
    check_equal({d.sport for d in datagrams} | {d.dport for d in datagrams},
                {PORT, port}, "ports")
    data = [d.payload for d in datagrams if d.payload[0] == DATA]
    check(data and all(m[1] & TUNNEL for m in data), "tunnel mode only")
    check_equal(alpha.peer()["roaming"], 1, "roaming")
    # Made anew in one step it is still where it was, and called there.
    key = next(iter(alpha.control.peers()))
    attributes = ((genl.P_ROAMING, b"\1"), (genl.P_PREFIX, genl.prefix_bytes(INNER)))
    alpha.control.apply((genl.PEER_DEL, key), (genl.PEER_ADD, key, *attributes))
    check_equal(place(), (address, port), "the place of the same peer")
    wait_until(alpha.is_up, 10, "a session, by our own word")
    # Where it was heard is forgotten with the word: its own port again.
    home = "10.50.0.9"
    change = {"roaming": 0, "endpoint": home, "command": genl.PEER_SET}
    alpha.control.add_peer(next(iter(alpha.control.peers())), home, **change)
    check_equal((alpha.peer()["endpoint"], alpha.peer()["port"]), (home, PORT), "place")


class Transfer(threading.Thread):
    """Bytes from delta to alpha by TCP, slowly enough to be under way for a
    while; digest() is what arrived."""

    SIZE = 4 << 20

    def __init__(self):
        super().__init__(daemon=True)
        self.sent = self.got = None
        self.listener = alpha.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind((SERVER, 0))
        self.listener.listen()
        self.client = state["delta"].socket(socket.AF_INET, socket.SOCK_STREAM)
        self.client.connect(self.listener.getsockname())
        self.server = self.listener.accept()[0]
        self.writer = threading.Thread(target=self.write, daemon=True)
        self.progress = 0
        self.writer.start()
        self.start()

    def write(self):
        sent = hashlib.sha256()
        for _ in range(self.SIZE >> 14):
            chunk = os.urandom(1 << 14)
            self.client.sendall(chunk)
            sent.update(chunk)
            time.sleep(0.01)
        self.client.close()
        self.sent = sent.digest()

    def run(self):
        got = hashlib.sha256()
        while True:
            chunk = self.server.recv(1 << 16)
            if not chunk:
                break
            got.update(chunk)
            self.progress += len(chunk)
        self.got = got.digest()

    def part(self, share):
        wait_until(lambda: self.progress > self.SIZE * share, 60, "%.1f of it" % share)

    def finish(self):
        wait_until(lambda: self.got and self.sent, 60, "the end of the transfer")
        check_equal(self.got, self.sent, "digest of what arrived")
        for sock in self.listener, self.client, self.server:
            sock.close()


@case("a transfer goes on when NAT changes the port, and when the host moves")
def moves():
    connect()
    delta = state["delta"]
    age = alpha.peer()["last_handshake"]
    transfer = Transfer()
    transfer.part(0.2)
    before = place()
    nat("52000-52099")
    wait_until(lambda: place() != before, 20, "another port")
    check_equal(place()[0], "10.9.0.3", "the same address")
    transfer.part(0.5)
    # To another network: an address of its own on the wire.
    hosts.ip_batch(
        hosts.wire,
        "link add wd type veth peer name eth1 netns delta",
        "link set wd master br0 up",
    )
    hosts.ip_batch(
        delta,
        "link set eth1 up",
        "addr add 10.9.0.77/24 dev eth1",
        "link set eth0 down",
        "route replace %s/32 dev eth1 src %s" % (SERVER, INNER),
    )
    wait_until(lambda: place() == ("10.9.0.77", PORT), 20, "the new place")
    transfer.finish()
    check_equal(alpha.peer()["last_handshake"], age, "the session is the same")
    both_ways()
    hosts.ip_batch(hosts.wire, "link del wd")
    hosts.ip_batch(
        delta,
        "link set eth0 up",
        "route replace default via 192.168.7.1",
        "route replace %s/32 dev eth0 src %s" % (SERVER, INNER),
    )


class Bulk(threading.Thread):
    """Bytes from alpha to delta by TCP."""

    def __init__(self, size):
        super().__init__(daemon=True)
        self.data = os.urandom(size)
        self.got = b""
        self.listener = state["delta"].socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind((INNER, 0))
        self.listener.listen()
        self.client = alpha.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.client.bind((SERVER, 0))
        self.client.connect(self.listener.getsockname())
        self.server = self.listener.accept()[0]
        threading.Thread(target=self.client.sendall, args=(self.data,), daemon=True).start()
        self.start()

    def run(self):
        while len(self.got) < len(self.data):
            self.got += self.server.recv(1 << 16)


def link_mtu(mtu):
    hosts.ip_batch(state["gamma"], "link set down0 mtu %d" % mtu)
    hosts.ip_batch(state["delta"], "link set eth0 mtu %d" % mtu)


@case("the MTU behind NAT is learned from its router's ICMP errors")
def path_mtu():
    connect()
    both_ways()
    link_mtu(1300)
    try:
        bulk = Bulk(1 << 18)
        wait_until(lambda: len(bulk.got) == len(bulk.data), 20, "all of it")
        check(bulk.got == bulk.data, "what arrived")
        for sock in bulk.listener, bulk.client, bulk.server:
            sock.close()
    finally:
        link_mtu(1500)


def mapping_timeout(seconds):
    for name in "udp_timeout", "udp_timeout_stream":
        state["gamma"].sysctl("netfilter/nf_conntrack_" + name, seconds)


@case("keepalives hold the mapping of NAT, and nothing else does")
def keepalives():
    nat("51900-51999")
    mapping_timeout(3)
    try:
        connect(keepalive=1)
        both_ways()
        time.sleep(6)
        crosses(alpha, SERVER, state["delta"], INNER, seconds=2)
        connect()
        both_ways()
        # 10 s after the last packet a passive keepalive would open it again.
        time.sleep(5)
        with alpha.udp(SERVER) as source, state["delta"].udp(INNER, APP) as target:
            for _ in range(10):
                hosts.offer(source, b"late", (INNER, APP))
                time.sleep(0.1)
            check_equal(receive_all(target), [], "arrived without a mapping")
    finally:
        mapping_timeout(120)


# Against the second implementation


def connected(**forged):
    """A roaming peer in Python on gamma, with a session."""
    pypeer.close_all()
    state["delta"].control.flush()
    ours, theirs = Identity(), Identity()
    alpha.control.set_private_key(ours.private)
    alpha.control.add_peer(theirs.public, INNER, roaming=1)
    peer = pypeer.PythonPeer(state["gamma"], theirs, alpha, ours.public)
    pypeer.open_peers.append(peer)
    peer.initiate(**forged)
    wait_until(alpha.is_up, 10, "a session")
    check_equal(place(), ("10.9.0.3", PORT), "the first place")
    peer.forget()
    if "app" not in state:
        state["app"] = alpha.udp(alpha.v4, APP)
    return peer


def inner(payload):
    segment = packets.udp(INNER, alpha.v4, APP, APP, payload)
    return packets.ipv4(INNER, alpha.v4, packets.UDP, segment)


def send_from(sock, peer, payload, **more):
    message = peer.session.seal_message(inner(payload), flags=TUNNEL, **more)
    sock.sendto(message, (alpha.v4, PORT))
    return message


def opened(sock, peer, flag):
    """The token in the next message with flag that comes to sock, or None."""
    while True:
        message = receive(sock)
        if message is None:
            return None
        if message[0] == DATA and message[1] & flag:
            check_equal(message[1], flag | TUNNEL, "flags")
            return peer.session.open_message(message)


def challenged(sock, peer):
    token = wait_until(lambda: opened(sock, peer, CHALLENGE), 10, "a challenge")
    check_equal(len(token), 8, "bytes of the token")
    return token


def reaches(peer, sock=None):
    """alpha's next packet to the peer comes to sock, or to where it first was."""
    payload = os.urandom(8)
    with alpha.udp(alpha.v4) as source:
        source.sendto(payload, (INNER, APP))

    def arrived():
        message = receive(sock) if sock else (peer.take(DATA) or [None] * 4)[3]
        return message and payload in peer.session.open_message(message)

    wait_until(arrived, 10, "alpha's packet")


def called_at(peer, sock):
    """The module's initiation there; the peer goes on with its own meanwhile."""

    def called():
        sock.sendto(peer.initiator().initiation(), (alpha.v4, PORT))
        got = receive_all(sock)
        return next((each for each in got if each[0] == INITIATION), None)

    return wait_until(called, 80, "an initiation", every=1)


@case("a peer whose clock went back, and that is elsewhere now, gets a session there")
def clock_back():
    peer = connected(time=veilproto.tai64n(time.time() + 86400))
    with state["gamma"].udp("10.9.0.3", 40000) as sock:
        responder = veilproto.Responder(peer.me, called_at(peer, sock))
        message, session = responder.response("10.9.0.3", alpha.v4)
        check_equal(place(), ("10.9.0.3", PORT), "the place, until it is proven")
        sock.sendto(message, (alpha.v4, PORT))
        keepalive = session.seal_message(b"", flags=TUNNEL)
        wait_until(lambda: receive_all(sock), 10, "the module's word under the session")
        sock.sendto(keepalive, (alpha.v4, PORT))
        wait_until(lambda: place() == ("10.9.0.3", 40000), 10, "the new place")
        check(alpha.is_up(), "a session")


@case("the same where the place before has no route any more")
def clock_back_no_route():
    peer = connected(time=veilproto.tai64n(time.time() + 86400))
    state["gamma"].run("ip", "addr", "add", "10.9.0.78/32", "dev", "lo")
    alpha.run("ip", "route", "add", "unreachable", "10.9.0.3/32")
    try:
        with state["gamma"].udp("10.9.0.78", 40000) as sock:
            called_at(peer, sock)
    finally:
        alpha.run("ip", "route", "del", "unreachable", "10.9.0.3/32")
        state["gamma"].run("ip", "addr", "del", "10.9.0.78/32", "dev", "lo")


@case("the same for a peer that has not roamed before")
def clock_back_and_turned():
    peer = connected(time=veilproto.tai64n(time.time() + 86400))
    alpha.control.add_peer(peer.me.public, roaming=0, command=genl.PEER_SET)
    alpha.control.add_peer(peer.me.public, roaming=1, command=genl.PEER_SET)
    with state["gamma"].udp("10.9.0.3", 40000) as sock:
        called_at(peer, sock)


@case("the same while somebody repeats an old initiation from elsewhere, and faster")
def clock_back_and_repeated():
    peer = connected(time=veilproto.tai64n(time.time() + 86400))
    old = peer.initiator(time=veilproto.tai64n(time.time() - 1000)).initiation()
    stop = threading.Event()

    def repeat(sock):
        while not stop.wait(0.01):
            sock.sendto(old, (alpha.v4, PORT))

    with state["gamma"].udp("10.9.0.3", 40000) as sock, beta.udp(beta.v4, 40001) as other:
        thread = threading.Thread(target=repeat, args=(other,))
        thread.start()
        try:
            called_at(peer, sock)
        finally:
            stop.set()
            thread.join()


@case("an old initiation, and ours passed on from there, do not move a peer")
def passed_on():
    """What the attacker gets at his place is made for the peer, and shows to it alone."""
    peer = connected()
    with state["gamma"].udp("10.9.0.3", 40000) as sock:
        old = peer.initiator(time=veilproto.tai64n(time.time() - 1000)).initiation()

        def caught():
            sock.sendto(old, (alpha.v4, PORT))
            got = receive_all(sock)
            return next((each for each in got if each[0] == INITIATION), None)

        first = wait_until(caught, 80, "an initiation at the attacker's", every=1)
        message, session = veilproto.Responder(peer.me, first).response("10.9.0.3", alpha.v4)
        peer.refused("unexpected_response", message)
        peer.adopt(session)
        check_equal(place(), ("10.9.0.3", PORT), "the place")


@case("what its device or the way joined is opened message by message")
def joined():
    peer, count = connected(), 5
    alpha.run("ethtool", "-K", "eth0", "gro", "on", "sg", "on", "tx", "on")
    before, seen = alpha.drops(), alpha.statistic("IpInReceives")
    sent = [b"joined %d" % number for number in range(count)]
    messages = [peer.session.seal_message(inner(each), flags=TUNNEL) for each in sent]
    sock = peer.sockets["10.9.0.3"]
    sock.setsockopt(socket.SOL_UDP, UDP_SEGMENT, len(messages[0]))
    peer.send(b"".join(messages))
    got = []
    wait_until(lambda: got.extend(receive_all(state["app"])) or len(got) == count, 10, "all")
    check_equal(got, sent, "what arrived")
    check_equal(drops_since(before, alpha.drops()), {}, "drops")
    seen = alpha.statistic("IpInReceives") - seen
    check(seen < count, "joined", seen)
    alpha.run("ethtool", "-K", "eth0", "gro", "off", "sg", "off", "tx", "off")


@case("fragments of its packets, from wherever it is, are put together")
def fragments():
    peer, before = connected(), alpha.drops()
    payload = os.urandom(3000)
    with state["gamma"].udp("10.9.0.3", 40000) as there:
        for sock in peer.sockets["10.9.0.3"], there:
            send_from(sock, peer, payload)
            pypeer.socket_receives(state["app"], payload)
    check_equal(drops_since(before, alpha.drops()), {}, "drops")


@case("the endpoint moves after a challenge was echoed from there, not before")
def challenge():
    peer = connected()
    with state["gamma"].udp("10.9.0.3", 40000) as there:
        send_from(there, peer, b"moved")
        pypeer.socket_receives(state["app"], b"moved")
        token = challenged(there, peer)
        check_equal(place(), ("10.9.0.3", PORT), "the place before an echo")
        reaches(peer)
        there.sendto(peer.session.token(ECHO, token), (alpha.v4, PORT))
        wait_until(lambda: place() == ("10.9.0.3", 40000), 10, "the new place")
        reaches(peer, there)


@case("it may be where another peer is, or behind it, or where nobody may be")
def anywhere():
    peer = connected()
    other = Identity().public

    def talks():
        payload = os.urandom(8)
        peer.send(peer.session.seal_message(inner(payload), flags=TUNNEL))
        pypeer.socket_receives(state["app"], payload)
        reaches(peer)
        before = alpha.drops()
        segment = packets.udp("10.9.0.3", alpha.v4, APP, APP, b"in clear")
        packet = packets.ipv4("10.9.0.3", alpha.v4, packets.UDP, segment)
        wire.Injector(hosts.wire, "wa", hosts.beta.mac(), alpha.mac()).packet(packet)
        wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
        check_equal(receive(state["app"]), None, "in clear from there")

    alpha.control.add_policy("10.9.0.3/32", "require")
    talks()
    alpha.control.delete_policy("10.9.0.3/32")
    for addresses, prefixes in ((hosts.beta.v4,), ("10.9.0.0/29",)), (("10.9.0.3",), ()):
        alpha.control.add_peer(other, *addresses, prefixes=prefixes)
        talks()
        alpha.control.delete_peer(other)


@case("no echo but the right one, from the right place, in time, moves it")
def wrong_echoes():
    peer = connected()
    seal = peer.session.token
    gamma = state["gamma"]
    with gamma.udp("10.9.0.3", 40000) as there, gamma.udp("10.9.0.3", 40001) as other:
        send_from(there, peer, b"one")
        token = challenged(there, peer)
        flipped = bytes([token[0] ^ 1]) + token[1:]
        before = alpha.drops()
        there.sendto(seal(ECHO, flipped), (alpha.v4, PORT))
        there.sendto(seal(CHALLENGE | ECHO, token), (alpha.v4, PORT))
        there.sendto(seal(ECHO, token + b"x"), (alpha.v4, PORT))
        peer.send(seal(ECHO, token))
        other.sendto(seal(ECHO, token), (alpha.v4, PORT))
        send_from(other, peer, b"two")
        pypeer.socket_receives(state["app"], b"two")
        check_equal(place(), ("10.9.0.3", PORT), "the place")
        check_equal(drops_since(before, alpha.drops()), {"malformed": 2}, "drops")
        # What was echoed from elsewhere can still be echoed from there, once.
        right = seal(ECHO, token)
        there.sendto(right, (alpha.v4, PORT))
        wait_until(lambda: place() == ("10.9.0.3", 40000), 10, "the new place")
        other.sendto(right, (alpha.v4, PORT))
        wait_until(
            lambda: drops_since(before, alpha.drops()).get("replayed"), 10, "a replay"
        )
        check_equal(place(), ("10.9.0.3", 40000), "the place after a replay")


@case("copies and old packets from elsewhere draw nothing, others one a second")
def amplification():
    peer = connected()
    with state["gamma"].udp("10.9.0.3", 40000) as there:
        peer.send(peer.session.seal_message(inner(b"new"), flags=TUNNEL, counter=50))
        pypeer.socket_receives(state["app"], b"new")
        send_from(there, peer, b"late", counter=40)
        pypeer.socket_receives(state["app"], b"late")
        copy = peer.session.seal_message(inner(b"own"), flags=TUNNEL, counter=60)
        peer.send(copy)
        pypeer.socket_receives(state["app"], b"own")
        there.sendto(copy, (alpha.v4, PORT))
        wait_until(lambda: alpha.drops()["replayed"], 10, "a replay")
        check_equal(receive_all(there), [], "sent to the other place")
        start = time.monotonic()
        for number in range(100, 300):
            send_from(there, peer, b"many%d" % number, counter=number)
        pypeer.socket_receives(state["app"], b"many299")
        allowed = 2 + int(time.monotonic() - start)
        sent = receive_all(there)
        check(0 < len(sent) <= allowed, "challenges", len(sent), allowed)
        check(all(len(message) == 40 for message in sent), "bytes of each")


@case("the module echoes a challenge, where it came from")
def echoes():
    peer = pypeer.connected()
    token = os.urandom(8)
    session = peer.session
    peer.send(session.token(CHALLENGE, token))
    answer = wait_until(lambda: peer.take(DATA), 10, "an echo")[3]
    check_equal(answer[1], TUNNEL | ECHO, "flags")
    check_equal(session.open_message(answer), token, "token")
    # Nothing is sealed any more under a session that has a successor.
    peer.initiate()
    wait_until(lambda: peer.talk() or True, 10, "the new session")
    peer.send(session.token(CHALLENGE, os.urandom(8)))
    peer.send(peer.session.token(CHALLENGE, token))
    answer = wait_until(lambda: peer.take(DATA), 10, "an echo")[3]
    check_equal(peer.session.open_message(answer), token, "under the new session")


@case("the path MTU: forged errors hide no true one, and another place has its own")
def icmp_errors():
    peer = connected()
    # More than those that the hook looks at one by one.
    for number in range(16):
        alpha.control.add_peer(Identity().public, "10.50.0.%d" % (100 + number), roaming=1)
    key = peer.me.public

    def quote(port, message):
        datagram = packets.udp(alpha.v4, "10.9.0.3", PORT, port, message)
        return packets.ipv4(alpha.v4, "10.9.0.3", packets.UDP, datagram)

    def tell(quoted, mtu):
        injector.packet(packets.too_big("10.9.0.3", alpha.v4, quoted, mtu))

    injector = wire.Injector(hosts.wire, "wa", state["gamma"].mac(), alpha.mac())
    with alpha.udp(alpha.v4) as source:
        hosts.offer(source, b"quoted", (INNER, APP))
    sent = wait_until(lambda: peer.take(DATA), 10, "alpha's packet")[3]
    for port in range(40000, 40300):
        tell(quote(port, sent), 700)
    tell(quote(PORT, wire.flip(sent, 4)), 700)
    tell(quote(PORT, sent), 1300)
    wait_until(lambda: alpha.peer(key)["mtu"], 10, "an MTU")
    check_equal(alpha.peer(key)["mtu"], 1300, "the MTU of the true one")
    # It comes from elsewhere with a handshake, which proves the place.
    with state["gamma"].udp("10.9.0.3", 40000) as there:
        initiator = peer.initiator()
        there.sendto(initiator.initiation(), (alpha.v4, PORT))
        answer = wait_until(lambda: receive(there), 10, "a response")
        session = peer.adopt(initiator.finish(answer)[0])
        there.sendto(session.seal_message(b"", flags=TUNNEL), (alpha.v4, PORT))
        wait_until(lambda: alpha.peer(key)["port"] == 40000, 10, "the new place")
    check_equal(alpha.peer(key)["mtu"], 0, "the MTU of the new path")


@case("challenges to where it is not hold no keepalive back")
def unproven_place():
    peer = connected()
    change = {"keepalive": 1, "command": genl.PEER_SET}
    alpha.control.add_peer(peer.me.public, **change)
    peer.forget()
    with state["gamma"].udp("10.9.0.3", 40000) as there:

        def kept():
            send_from(there, peer, b"from elsewhere")
            peer.poll()
            return len([e for e in peer.waiting if e[3][0] == DATA]) >= 4

        wait_until(kept, 20, "keepalives to where it was proven to be", every=0.05)
    receive_all(state["app"])


def nothing_beside(delta, key):
    """While the VRF has no address outside, no handshake takes another way."""
    hosts.ip_batch(
        delta,
        "link add mgmt type dummy",
        "link set mgmt up",
        "addr add 198.51.100.2/24 dev mgmt",
        "route replace default via 198.51.100.1 dev mgmt",
        "neigh add 198.51.100.1 lladdr 02:00:00:00:00:01 dev mgmt",
        "route add table 10 unreachable default metric 9999",
    )
    tap = wire.Tap(delta, "mgmt")
    hosts.ip_batch(delta, "addr del 192.168.7.9/24 dev eth0")
    before = delta.drops()

    def astray():
        return [frame for frame in tap.frames() if wire.netveil_message(frame)]

    # Whoever renews has a session still.
    delta.control.change_peer(key, (genl.P_PSK_NEXT, os.urandom(32)))
    wait_until(
        lambda: astray() or drops_since(before, delta.drops()).get("no_route"),
        20,
        "a handshake that finds no way",
    )
    check_equal(astray(), [], "handshakes by another way")
    check(delta.is_up(), "the session is still there")
    tap.close()


@case("in a VRF, the address that follows one that went is in the VRF, too")
def vrf():
    delta = state["delta"]
    server = SERVER + "/32 dev eth0 src " + INNER
    try:
        hosts.ip_batch(delta, "link add red type vrf table 10", "link set red up")
    except AssertionError as error:
        ktap.skip("no VRF on this kernel: " + str(error)[-200:])
    hosts.ip_batch(
        delta,
        "link set eth0 master red",
        "addr del %s/32 dev lo" % INNER,
        "addr add %s/32 dev red" % INNER,
        "route add table 10 default via 192.168.7.1",
        "route add table 10 " + server,
    )
    waiting = delta.socket(socket.AF_INET, socket.SOCK_DGRAM)
    waiting.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"red\0")
    waiting.bind((INNER, 0))

    def speaks():
        """alpha gets what a program in the VRF sends."""
        word = os.urandom(16)
        with alpha.udp(SERVER, APP) as target:

            def arrived():
                hosts.offer(waiting, word, (SERVER, APP))
                return word in receive_all(target)

            wait_until(arrived, 20, "a datagram from the VRF", every=0.1)

    back = (
        "addr add 192.168.7.9/24 dev eth0",
        "route replace table 10 default via 192.168.7.1",
        "route replace table 10 " + server,
    )
    try:
        pypeer.close_all()
        delta.control.flush()
        ours, theirs = Identity(), Identity()
        alpha.control.set_private_key(ours.private)
        alpha.control.add_peer(theirs.public, roaming=1, prefixes=(INNER + "/32",))
        delta.control.set_private_key(theirs.private)
        delta.control.add_peer(ours.public, alpha.v4, prefixes=(SERVER + "/32",))
        speaks()
        age = alpha.peer()["last_handshake"]
        hosts.ip_batch(delta, "addr del 192.168.7.2/24 dev eth0", *back)
        speaks()
        check_equal(alpha.peer()["last_handshake"], age, "the session is the same")
        nothing_beside(delta, ours.public)
        hosts.ip_batch(delta, *back)
        speaks()
    finally:
        waiting.close()
        hosts.ip_batch(
            delta,
            "link del red",
            "link del mgmt",
            "addr flush dev eth0 scope global",
            "addr add 192.168.7.2/24 dev eth0",
            "addr add fd77::2/64 dev eth0 nodad",
            "addr replace %s/32 dev lo" % INNER,
            "route replace default via 192.168.7.1",
            "route replace " + server,
        )


@case("a peer that does not roam is heard from its own addresses only")
def fixed():
    peer = pypeer.connected()
    alpha.control.add_peer(Identity().public, INNER, roaming=1)
    injector = wire.Injector(hosts.wire, "wa", hosts.beta.mac(), alpha.mac())
    for source, reason in ("10.9.0.3", "wrong_source"), ("10.9.0.2", None):
        before = alpha.drops()
        message = peer.session.keepalive(source, alpha.v4)
        injector.udp(source, alpha.v4, PORT, PORT, message)
        if reason:
            wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
            check_equal(drops_since(before, alpha.drops()), {reason: 1}, "drops")
    peer.talk()


@case("what alpha's bridge passes on to somebody else is not opened")
def bridged():
    foreign = b"\2\0\0\0\0\x77"
    with devices.on_bridge(alpha):
        roams = connected()
        stays = Identity()
        alpha.control.add_peer(stays.public, "10.9.0.77")
        for source in "10.9.0.3", "10.9.0.77":
            message = roams.session.seal_message(inner(b"passed on"), flags=TUNNEL)
            for target, moved in (foreign, {"bridged": 1}), (alpha.mac(), {}):
                injector = wire.Injector(hosts.wire, "wa", hosts.beta.mac(), target)
                before = alpha.drops()
                injector.udp(source, alpha.v4, PORT, PORT, message)
                if moved:
                    wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
                    check_equal(receive(state["app"]), None, "what was opened")
                else:
                    pypeer.socket_receives(state["app"], b"passed on")
                check_equal(drops_since(before, alpha.drops()), moved, "drops")
                injector.close()


ktap.run(set_up)
