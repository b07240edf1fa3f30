# SPDX-License-Identifier: GPL-2.0
"""A host that speaks Netveil in Python (veilproto), against the real module.

It lives in a namespace where the module has no peers, and so sees what the wire
brings: handshakes and sealed packets, as UDP.
"""

import socket
import time

import hosts
import packets
import veilproto
from hosts import alpha, beta
from ktap import check, check_equal, wait_until
from veilproto import (
    CLOSE,
    DATA,
    INITIATION,
    PORT,
    RESPONSE,
    Initiator,
    ProtocolError,
    Responder,
)

APP = 7000
open_peers = []


class PythonPeer:
    """The far end of the module on `module_host`, at `host`'s addresses."""

    def __init__(self, host, me, module_host, module_key, psks=()):
        self.host, self.me = host, me
        self.module_host, self.module_key = module_host, module_key
        self.psks = tuple(psks)
        self.sockets = {address: host.udp(address, PORT) for address in host.addresses}
        self.lane_sockets = {}
        self.session = None
        self.sessions = {}
        self.waiting = []
        self.closed = []

    def close(self):
        for sock in *self.sockets.values(), *self.lane_sockets.values():
            sock.close()

    def remote_of(self, local):
        """The module's address of the same family, at the same place."""
        family = ":" in local
        mine = [a for a in self.host.addresses if (":" in a) == family]
        theirs = [a for a in self.module_host.addresses if (":" in a) == family]
        return theirs[min(mine.index(local), len(theirs) - 1)]

    # Messages

    def send(self, message, lane=0, local=None, remote=None):
        local = local or self.host.v4
        sock = self.sockets[local] if lane == 0 else self.lane_socket(local, lane)
        sock.sendto(message, (remote or self.remote_of(local), PORT))

    def lane_socket(self, local, lane):
        key = local, lane
        if key not in self.lane_sockets:
            self.lane_sockets[key] = self.host.udp(local, PORT + lane)
        return self.lane_sockets[key]

    def poll(self):
        """Take what came: (local address, source, port, message), to
        self.waiting. The module's goodbyes are left out: to what indexes is in self.closed."""
        for local, sock in self.sockets.items():
            while True:
                try:
                    message, source = sock.recvfrom(65535)
                except BlockingIOError:
                    break
                if message[:1] == bytes([DATA]) and message[1] & CLOSE:
                    self.closed.append(int.from_bytes(message[4:8], "big"))
                    continue
                self.waiting.append((local, source[0], source[1], message))
        return self.waiting

    def take(self, kind):
        """The oldest message of a kind that came, or None."""
        for place, entry in enumerate(self.poll()):
            if entry[3][:1] == bytes([kind]):
                return self.waiting.pop(place)
        return None

    def count(self, kind):
        """How many messages of a kind wait."""
        return sum(entry[3][:1] == bytes([kind]) for entry in self.poll())

    def take_initiation(self):
        """The newest initiation that came, for older ones are given up by now;
        or None."""
        newest = None
        while True:
            entry = self.take(INITIATION)
            if entry is None:
                return newest and Responder(self.me, newest[3])
            newest = entry

    def wait(self, kind, seconds=10):
        what = "a message of type %d from the module" % kind
        return wait_until(lambda: self.take(kind), seconds, what)

    def forget(self):
        self.poll()
        self.waiting.clear()

    def adopt(self, session):
        """From now on, seal under session; what comes may be under any."""
        self.sessions[session.local] = self.session = session
        return session

    # Handshakes

    def initiator(self, **forged):
        local = forged.pop("local", self.host.v4)
        forged.setdefault("psks", self.psks)
        remote = self.remote_of(local)
        me = forged.pop("me", self.me)
        return Initiator(me, self.module_key, local, remote, **forged)

    def initiate(self, seconds=10, local=None, confirm=True, **forged):
        """A whole handshake as initiator: the new session."""
        local = local or self.host.v4
        initiator = self.initiator(local=local, **forged)
        self.send(initiator.initiation(), local=local)
        session = self.finish(initiator, seconds)
        if confirm:
            self.send_keepalive(local)
        return session

    def finish(self, initiator, seconds=10):
        """The session of the response to an initiation of ours."""

        def answered():
            entry = self.take(veilproto.RESPONSE)
            if entry is None:
                return None
            try:
                return initiator.finish(entry[3])[0]
            except ProtocolError:
                return None

        return self.adopt(wait_until(answered, seconds, "a response from the module"))

    def wait_initiation(self, seconds=10):
        """The module's next initiation, read and found right."""
        what = "an initiation from the module"
        return wait_until(self.take_initiation, seconds, what)

    def respond(self, responder=None, local=None, seconds=10, **forged):
        """Answer the module's initiation: the new session."""
        responder = responder or self.wait_initiation(seconds)
        local = local or self.host.v4
        psk = forged.pop("psk", self.psk_of(responder))
        message, session = responder.response(
            local, self.remote_of(local), psk, **forged
        )
        self.send(message, local=local)
        return self.adopt(session)

    def has_heard(self, session):
        """Whether the module has sent something under it."""
        index = session.local.to_bytes(4, "big")
        return any(e[3][:1] == bytes([DATA]) and e[3][4:8] == index for e in self.poll())

    def wait_confirmed(self, seconds=10):
        """Until the module has sent something under our last session."""
        wait_until(
            lambda: self.has_heard(self.session), seconds, "data under the new session"
        )

    def psk_of(self, responder):
        offered = [p for p in self.psks if veilproto.psk_id(p) in responder.psk_ids]
        return offered[0] if offered else None

    def refused(self, reason, message, answer=RESPONSE):
        """message is counted under reason and gets no answer of that type."""
        before = self.module_host.drops()
        self.forget()
        self.send(message)

        def moved():
            return hosts.drops_since(before, self.module_host.drops())

        wait_until(lambda: reason in moved(), 10, "drop " + reason)
        check_equal(moved(), {reason: 1}, "drop counters that moved")
        check_equal(self.count(answer), 0, "answers")

    # Data

    def say(self, payload=b"x"):
        """A datagram from the module's host's application to the peer."""
        self.app.sendto(payload, (self.host.v4, APP))

    def talk(self, payload=b"hello"):
        """Sealed data passes both ways."""
        self.say(payload)
        check_equal(self.wait_udp(), payload, "what the peer opened")
        self.send(self.sealed(payload))
        socket_receives(self.app, payload)

    def sealed(self, payload, session=None):
        """A sealed datagram to the application on the module's host."""
        return self.seal_udp(APP, self.app_port, payload, session=session)

    def send_keepalive(self, local=None, session=None):
        local = local or self.host.v4
        session = session or self.session
        self.send(session.keepalive(local, self.remote_of(local)), local=local)

    def seal_udp(self, sport, dport, payload, local=None, session=None, **more):
        """A sealed UDP datagram to the module's host."""
        local = local or self.host.v4
        ends = local, self.remote_of(local)
        segment = packets.udp(*ends, sport, dport, payload)
        return (session or self.session).seal(*ends, packets.UDP, segment, **more)

    def send_udp(self, sport, dport, payload, local=None, lane=0, **more):
        message = self.seal_udp(sport, dport, payload, local, lane=lane, **more)
        self.send(message, lane, local)

    def take_data(self, session=None):
        """The next packet that opens: (next header, L4 bytes), a keepalive as
        (None, b""); None if nothing came. What does not open, or not under the
        session asked for, fails the test."""
        entry = self.take(veilproto.DATA)
        if entry is None:
            return None
        local, source, _, message = entry
        index = int.from_bytes(message[4:8], "big")
        check(index in self.sessions, "data under a session of ours", message[:16])
        used = self.sessions[index]
        check(session in (None, used), "data under the right session")
        return used.open(source, local, message)

    def take_udp(self, session=None):
        """The payload of the next sealed UDP datagram, keepalives skipped."""
        while True:
            opened = self.take_data(session)
            if opened is None:
                return None
            if opened[0] == packets.UDP:
                return packets.parse_udp(opened[1]).payload
            if opened[0] in (4, 41):
                raise AssertionError("a datagram that fits came in tunnel mode")

    def wait_udp(self, seconds=10, session=None):
        what = "a sealed datagram from the module"
        return wait_until(lambda: self.take_udp(session), seconds, what)


def identities():
    """Two key pairs, the first with the smaller public key."""
    pair = veilproto.Identity(), veilproto.Identity()
    return sorted(pair, key=lambda i: i.public)


def larger_than(public_key):
    """A key pair whose owner stays initiator, beside that of public_key."""
    while True:
        pair = veilproto.Identity()
        if pair.public > public_key:
            return pair


def close_all():
    """No host is configured, and no Python peer holds a port."""
    hosts.flush_all()
    while open_peers:
        open_peers.pop().close()


def fresh(larger="peer", psk=None, peer_psk=None, cipher=0):
    """alpha configured anew, with the module, and its Python peer on beta; both
    with an application's socket. larger: whose public key is the larger one."""
    small, large = identities()
    ours, theirs = (small, large) if larger == "peer" else (large, small)
    close_all()
    psks = [key for key in (peer_psk or psk,) if key]
    peer = PythonPeer(beta, theirs, alpha, ours.public, psks)
    open_peers.append(peer)
    peer.module_identity = ours
    peer.app = alpha.udp(alpha.v4, 0)
    peer.app_port = peer.app.getsockname()[1]
    alpha.control.set_cipher(cipher)
    hosts.make_peer(alpha, ours, theirs.public, beta, psk)
    return peer


def connected(**how):
    """The same with a session that the peer initiated, and nothing waiting."""
    peer = fresh(**how)
    peer.initiate()
    wait_until(alpha.is_up, 10, "a session")
    peer.forget()
    return peer


def arrivals(peer, kind, seconds, also=lambda: None):
    """When messages of a kind came within seconds from now, and the messages."""
    start, found = boottime(), []
    while boottime() < start + seconds:
        also()
        while True:
            entry = peer.take(kind)
            if entry is None:
                break
            found.append((boottime() - start, entry[3]))
        time.sleep(0.1)
    return found


def boottime():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def socket_receives(sock, wanted, seconds=10):
    """Wait until a socket gets the wanted datagram; what came before it."""
    got = []

    def arrived():
        while True:
            try:
                got.append(sock.recv(65535))
            except (BlockingIOError, socket.timeout):
                return False
            if got[-1] == wanted:
                return True

    wait_until(arrived, seconds, "the datagram %r" % wanted[:40])
    return got[:-1]
