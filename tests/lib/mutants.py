# SPDX-License-Identifier: GPL-2.0
"""Hostile packets for alpha, in every state of a session.

Two kinds: mutations of whole frames, at the rate of tests/tools/mutate, of which
hardly one gets past a check of authenticity; and what only the peer can make,
sealed or stamped rightly around a wrong content. What reached something new in the
module is changed further, as it would be in the state and the session of then.
"""

import contextlib
import os
import random
import struct

import attack
import feedback
import genl
import hosts
import packets
import pypeer
import veilproto
import wire
from hosts import alpha, beta
from ktap import check, check_equal, wait_until
from packets import UDP
from veilproto import CHALLENGE, CLOSE, ECHO, PORT, TUNNEL, Identity

MUTATE = os.path.join(hosts.LIB, "..", "tools", "mutate")
FRAMES = "/tmp/netveil-mutate"
APP = pypeer.APP
GENUINE = b"veil-genuine"
ROAMER = "10.9.0.77"


class State:
    """alpha in one state, its Python peer, and seeds that belong to it."""

    def __init__(self, name, chance):
        self.name, self.chance = name, chance
        self.peer, self.sessions = STATES[name](), []
        self.place = ROAMER if name == "roaming" else beta.v4
        if self.peer.session:
            self.sessions.append(self.peer.session)
        self.sessions += list(self.peer.sessions.values())

    # Whole messages, as they would be right now

    def messages(self):
        peer, ends = self.peer, (self.place, alpha.v4)
        yield peer.initiator().initiation()
        yield peer.initiator(me=Identity(), ss=os.urandom(32)).initiation()
        outstanding = self.outstanding()
        if outstanding:
            yield outstanding.response(beta.v4, alpha.v4)[0]
        for session in self.sessions:
            segment = packets.udp(*ends, APP, peer.app_port, GENUINE)
            yield session.seal(*ends, UDP, segment)
            yield session.seal(*ends, UDP, segment, pad=40, lane=3)
            yield session.keepalive(*ends)
            inner = packets.ip(*ends, UDP, segment)
            yield session.seal_message(inner, flags=TUNNEL)
            yield session.token(CHALLENGE, os.urandom(8))
            yield session.token(ECHO, os.urandom(8))
            # each with room for another to follow
            for counter in session.counters:
                session.counters[counter] += 50
        yield veilproto.cookie_reply(
            peer.me.public, outstanding_bytes(peer), os.urandom(16)
        )

    def outstanding(self):
        responder = self.peer.take_initiation()
        return responder or None

    def seeds(self):
        macs = beta.mac(), alpha.mac()
        frames = []
        for message in self.messages():
            for ends in (self.place, alpha.v4), (beta.v6, alpha.v6):
                segment = packets.udp(*ends, PORT, PORT, message)
                frames.append(packets.ip(*ends, UDP, segment))
                back = packets.udp(*ends[::-1], PORT, PORT, message)
                quoted = packets.ip(*ends[::-1], UDP, back)
                frames.append(packets.too_big(ends[0], ends[1], quoted, 1300))
                frames.append(packets.time_exceeded(ends[0], ends[1], quoted))
        return [packets.ethernet(*macs, frame) for frame in frames]

    def mutate(self, count, corpus):
        """So many mutations of the seeds; how many went out."""
        with open(FRAMES, "wb") as file:
            for each in self.seeds():
                file.write(struct.pack(">H", len(each)) + each)
        words = [FRAMES, str(count), str(self.chance.getrandbits(32))]
        if feedback.state and not feedback.BLIND:
            words += feedback.HITS, recipes_of(self.name)
        sent, kept, _ = hosts.wire.run(MUTATE, "wa", *words).split()
        corpus.count += int(kept)
        return int(sent)

    # What only the peer can make: how, and what is odd about it

    def sealed_badly(self):
        """A message that opens, with anything inside."""
        chance = self.chance
        flags = chance.choice((0, 0, TUNNEL, TUNNEL, 2, 4, 8, 16, chance.randrange(256)))
        v6 = chance.random() >= 0.8
        text = self.inner(self.ends(v6), self.peer.app_port)
        if flags & (CHALLENGE | ECHO) and chance.random() < 0.7:
            text = text[:8]
        if flags & CLOSE and chance.random() < 0.9:
            flags &= ~CLOSE
        lane = chance.choice((0, 1, 63, 64, chance.randrange(1 << 16)))
        counter = chance.choice((None, None, chance.getrandbits(64), chance.randrange(4096)))
        how = {"v6": v6, "text": text, "lane": lane, "counter": counter, "flags": flags}
        return self.seal, how

    def ends(self, v6=False):
        return (beta.v6, alpha.v6) if v6 else (self.place, alpha.v4)

    def seal(self, v6, text, flags, **header):
        session, ends = self.chance.choice(self.sessions), self.ends(v6)
        addresses = b"" if flags & TUNNEL else veilproto.packed(*ends)
        return ends, session.seal_message(text, addresses, flags=flags, **header)

    def inner(self, ends, port):
        chance = self.chance
        segment = packets.udp(*ends, APP, port, os.urandom(chance.randrange(60)))
        if chance.random() < 0.3:
            segment = packets.tcp_syn(*ends, APP, port)
        text = packets.ip(*ends, UDP, segment) if chance.random() < 0.5 else segment + b"\0\x11"
        return changed_text(chance, text)

    def stamped_badly(self):
        """An initiation with a right stamp, with anything in the offer."""
        chance = self.chance
        more = {}
        if chance.random() < 0.5:
            more["aeads"] = bytes(chance.randrange(256) for _ in range(2))
        if chance.random() < 0.3:
            more["lanes"] = chance.randrange(256)
        if chance.random() < 0.3:
            more["flags"] = chance.randrange(256)
        if chance.random() < 0.2:
            more["time"] = os.urandom(12)
        if chance.random() < 0.3:
            at = chance.randrange(128)
            more["alter"] = lambda noise1: wire.flip(noise1, at % len(noise1))
        if chance.random() < 0.2:
            more["index"] = 0
        return self.stamp, more

    def stamp(self, **more):
        return (beta.v4, alpha.v4), self.peer.initiator(**more).initiation()

    def answered_badly(self):
        """A response to what alpha asked, with anything in the choice."""
        chance = self.chance
        more = {}
        for name in "psk_choice", "lanes", "flags":
            if chance.random() < 0.4:
                more[name] = chance.randrange(256)
        if chance.random() < 0.3:
            more["index"] = chance.choice((0, 1, 0xFFFFFFFF))
        more["aead"] = chance.choice((None, 1, 2, 0, 255))
        return self.answer, more

    def answer(self, **more):
        ends = beta.v4, alpha.v4
        return ends, self.outstanding().response(*ends, **more)[0]

    def one(self, corpus):
        """A fresh one, or one that reached something new, changed."""
        asked = self.peer.count(veilproto.INITIATION)
        kinds = [self.stamped_badly, self.answered_badly if asked else self.stamped_badly]
        if self.sessions:
            kinds += [self.sealed_badly] * 6
        how, given = self.chance.choice(kinds)()
        old = corpus.parent(how.__name__)
        if old:
            given = {**old, **some_of(self.chance, given)}
        if old and "text" in old:
            given["text"] = changed_text(self.chance, old["text"])
        return how, given

    def authentic(self, count, corpus):
        injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
        for _ in range(count):
            how, given = self.one(corpus)
            ends, message = how(**given)
            with corpus.watch(how.__name__, given):
                injector.udp(*ends, PORT, PORT, message)
        injector.close()
        return count


def some_of(chance, given):
    return {name: value for name, value in given.items() if chance.random() < 0.3}


def changed_text(chance, text):
    changed = bytearray(text)
    for _ in range(chance.randrange(4)):
        if changed:
            at = chance.randrange(len(changed))
            changed[at] = chance.choice((0, 1, 0x45, 0x60, 0xFF, chance.randrange(256)))
    if chance.random() < 0.2:
        del changed[chance.randrange(len(changed) + 1) :]
    if chance.random() < 0.2:
        changed += os.urandom(chance.randrange(1200))
    # what goes into a frame when it is sealed
    return bytes(changed[:1400])


def recipes_of(name):
    """Where tests/tools/mutate keeps how it made what reached something new."""
    return FRAMES + "-" + name.replace(" ", "-")


def outstanding_bytes(peer):
    """Something that looks like an initiation of alpha's, to answer."""
    return peer.initiator().initiation()


# The states


def no_session():
    return pypeer.fresh()


def initiated():
    peer = pypeer.fresh()
    peer.say()
    return peer


def unconfirmed():
    peer = pypeer.fresh()
    peer.initiate(confirm=False)
    return peer


def current():
    return pypeer.connected()


def previous():
    """Two sessions that open, and a third that is not confirmed."""
    peer = pypeer.connected()
    peer.initiate()
    peer.talk()
    peer.initiate(confirm=False)
    return peer


def ended():
    peer = pypeer.connected()
    alpha.control.session_reset()
    return peer


def with_psk():
    return pypeer.connected(psk=os.urandom(32))


def tunnel():
    """alpha is a gateway and so is the peer: tunnel mode within prefixes."""
    peer = pypeer.connected()
    alpha.control.set_locals("10.1.0.0/24")
    alpha.control.set_prefixes(peer.me.public, "10.2.0.0/24", "fd02::/64")
    return peer


def roaming():
    """The peer may be anywhere, and sixteen more that never come."""
    peer = pypeer.fresh()
    alpha.control.flush()
    alpha.control.set_private_key(peer.module_identity.private)
    alpha.control.add_peer(peer.me.public, *beta.addresses, roaming=1)
    attack.roamers(16)
    return peer


STATES = {
    "no session": no_session,
    "initiated": initiated,
    "next": unconfirmed,
    "current": current,
    "previous": previous,
    "ended": ended,
    "psk": with_psk,
    "tunnel": tunnel,
    "roaming": roaming,
}


# Judging


def in_clear(frame):
    """What alpha sent to beta that is neither sealed nor a handshake."""
    packet = packets.parse_frame(frame)
    ours = set(alpha.addresses), set(beta.addresses)
    if packet is None or packet.source not in ours[0] or packet.destination not in ours[1]:
        return False
    if wire.is_exempt(packet) or packet.is_fragment():
        return False
    if packet.protocol != UDP:
        return True
    datagram = packets.parse_udp(packet.payload)
    return not PORT <= datagram.sport < PORT + 64 or datagram.payload[:1] not in (
        b"\1",
        b"\2",
        b"\3",
        b"\4",
    )


def delivered_in_clear(sock):
    """Datagrams from beta's addresses that nobody sealed."""
    found = []
    while True:
        try:
            payload, source = sock.recvfrom(65535)
        except BlockingIOError:
            return found
        if source[0] in beta.addresses and not payload.startswith(GENUINE):
            found.append((source, payload[:80]))


def alive(name):
    """A session with a peer of now, and data both ways."""
    peer = pypeer.connected()
    peer.talk()
    check(alpha.is_up(), "a session after " + name)


# Requests


ATTRS = range(0, genl.A_GENERATION + 2)
PEER_ATTRS = range(0, genl.P_KEEPALIVE + 2)
COMMANDS = range(0, genl.CONFIRM + 2)
SETTABLE = (
    genl.P_ADDRESS,
    genl.P_ENDPOINT,
    genl.P_ENDPOINT_PORT,
    genl.P_PSK,
    genl.P_NO_PSK,
    genl.P_NEXT_KEY,
    genl.P_NO_NEXT_KEY,
    genl.P_PSK_NEXT,
    genl.P_NO_PSK_NEXT,
    genl.P_POLICY,
    genl.P_PREFIX,
    genl.P_NO_PREFIX,
    genl.P_ROAMING,
    genl.P_KEEPALIVE,
)
KEYS = [Identity().public for _ in range(6)]


class Requests:
    """Random requests: most are of attributes that are nearly right."""

    def __init__(self, chance):
        self.chance = chance

    def value(self):
        chance = self.chance
        return chance.choice(
            (
                b"",
                bytes([chance.randrange(5)]),
                bytes([chance.randrange(256)]),
                struct.pack("=H", chance.choice((0, 1, 51888, 65472, 65535))),
                struct.pack("=I", chance.choice((0, 1, 60, 86400, 0xFFFFFFFF))),
                bytes([10, 9, 0, chance.randrange(1, 255)]),
                bytes([10, chance.randrange(256), 0, 0, chance.choice((0, 8, 24, 32, 33, 255))]),
                b"\xfd" + bytes(14) + bytes([chance.randrange(1, 255)]),
                b"\xfd" + bytes(15) + bytes([chance.choice((0, 64, 128, 129))]),
                chance.choice(KEYS),
                os.urandom(32),
                bytes(32),
                os.urandom(chance.randrange(80)),
            )
        )

    def attribute(self, kinds, depth):
        chance = self.chance
        kind = chance.choice(kinds)
        if chance.random() < 0.02:
            kind = chance.randrange(1 << 16)
        nested = chance.random() < (0.5 if depth == 0 else 0.1)
        if nested and depth < 3:
            inner = PEER_ATTRS if chance.random() < 0.8 else ATTRS
            count = chance.randrange(8)
            body = b"".join(self.attribute(inner, depth + 1) for _ in range(count))
            flag = genl.NLA_NESTED if chance.random() < 0.95 else 0
            if depth == 0:
                kind = chance.choice((genl.A_PEER, genl.A_PEER, genl.A_CHANGE, kind))
                body = genl.attr(genl.P_PUBLIC_KEY, chance.choice(KEYS)) + body
            return genl.attr(kind | flag, body)
        return genl.attr(kind, self.value())

    def host(self):
        return bytes([10, 9, 1, self.chance.randrange(1, 30)])

    def prefix(self):
        return bytes([10, self.chance.randrange(20), 0, 0, self.chance.choice((16, 24, 30))])

    def right(self, kind):
        """An attribute of a peer's with a value that its policy lets through."""
        chance = self.chance
        values = {
            genl.P_ADDRESS: self.host,
            genl.P_ENDPOINT: self.host,
            genl.P_ENDPOINT_PORT: lambda: struct.pack("=H", 51000 + chance.randrange(3)),
            genl.P_PSK: lambda: os.urandom(32),
            genl.P_PSK_NEXT: lambda: os.urandom(32),
            genl.P_NEXT_KEY: lambda: chance.choice(KEYS),
            genl.P_POLICY: lambda: bytes([chance.randrange(1, 4)]),
            genl.P_PREFIX: self.prefix,
            genl.P_ROAMING: lambda: bytes([chance.randrange(2)]),
            genl.P_KEEPALIVE: lambda: struct.pack("=H", chance.randrange(100)),
        }
        return genl.attr(kind, values.get(kind, bytes)())

    def likely_peer(self):
        chance = self.chance
        nest = genl.attr(genl.P_PUBLIC_KEY, chance.choice(KEYS))
        command = chance.choice((genl.PEER_ADD, genl.PEER_SET, genl.PEER_DEL))
        if command == genl.PEER_ADD:
            nest += self.right(genl.P_ADDRESS)
        if command != genl.PEER_DEL:
            for _ in range(chance.randrange(1, 4)):
                nest += self.right(chance.choice(SETTABLE))
        return command, genl.attr(genl.A_PEER | genl.NLA_NESTED, nest)

    def likely(self):
        """A request that may well be done."""
        chance = self.chance
        command, body = self.likely_peer()
        if chance.random() < 0.3:
            change = genl.attr(genl.A_COMMAND, bytes([command])) + body
            return genl.APPLY, genl.attr(genl.A_CHANGE | genl.NLA_NESTED, change) * (
                1 + chance.randrange(3)
            )
        if chance.random() < 0.3:
            policy = genl.attr(genl.A_POLICY, bytes([chance.randrange(1, 4)]))
            body = genl.attr(genl.A_PREFIX, self.prefix()) + policy
            command = chance.choice((genl.POLICY_ADD, genl.POLICY_SET, genl.POLICY_DEL))
        elif chance.random() < 0.3:
            command, body = genl.SET, chance.choice(
                (
                    genl.attr(genl.A_PRIVATE_KEY, os.urandom(32)),
                    genl.attr(genl.A_GENERATE_NEXT),
                    genl.attr(genl.A_NO_NEXT),
                    genl.attr(genl.A_RETIRE, bytes(4)) + genl.attr(genl.A_FORCE),
                    genl.attr(genl.A_LISTEN_PORT, struct.pack("=H", 51000)),
                    genl.attr(genl.A_LOCAL, self.prefix()),
                )
            )
        elif chance.random() < 0.1:
            return chance.choice((genl.CONFIRM, genl.SESSION_RESET, genl.FLUSH)), b""
        if chance.random() < 0.1:
            body += genl.attr(genl.A_CONFIRM, struct.pack("=I", 1))
        return command, body

    def one(self):
        chance = self.chance
        if chance.random() < 0.6:
            command, body = self.likely()
        else:
            command = chance.choice(COMMANDS)
            body = b"".join(self.attribute(ATTRS, 0) for _ in range(chance.randrange(5)))
        if chance.random() < 0.1:
            body = bytearray(body)
            for _ in range(chance.randrange(4)):
                if body:
                    body[chance.randrange(len(body))] = chance.randrange(256)
            body = bytes(body[: chance.randrange(len(body) + 1)])
        flags = genl.NLM_F_DUMP if chance.random() < 0.1 else genl.NLM_F_ACK
        return command, body, flags

    def changed(self, body, depth=0):
        """One of its attributes is another, is gone, comes twice or is changed inside."""
        chance, pieces = self.chance, split(body)
        if not pieces:
            return body + self.attribute(ATTRS, depth)
        at = chance.randrange(len(pieces))
        kind, value = pieces[at]
        if kind & genl.NLA_NESTED and depth < 3 and chance.random() < 0.8:
            pieces[at] = kind, self.changed(value, depth + 1)
        else:
            other = chance.choice(pieces)
            new = (kind, self.value()), (kind, other[1]), other
            pieces[at : at + 1] = chance.choice(([], [pieces[at]] * 2, *([each] for each in new)))
        return b"".join(genl.attr(*each) for each in pieces)

    def next(self, corpus):
        """A fresh one, or one that reached something new, changed."""
        command, body, flags = self.one()
        old = corpus.parent("request")
        if old and len(old[1]) < 4000:
            body = old[1]
            for _ in range(1 + self.chance.randrange(3)):
                body = self.changed(body)
            if self.chance.random() < 0.9:
                command, flags = old[0], old[2]
        return command, body, flags

    def send(self, count, corpus):
        """So many, in the namespace of the calling thread; how many were done."""
        control = genl.Control()
        done = 0
        for _ in range(count):
            request = self.next(corpus)
            with corpus.watch("request", request), contextlib.suppress(OSError):
                control.request(*request)
                done += 1
        # nothing is left on trial, and the family still answers
        control.flush()
        check_equal(control.get()["peers"], 0, "peers after a flush")
        control.close()
        return done


def split(body):
    """Its attributes with their flags, up to what is none."""
    found, place = [], 0
    while place + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, place)
        if length < 4:
            break
        found.append((kind, body[place + 4 : place + length]))
        place += (length + 3) & ~3
    return found


def chance_of(seed):
    return random.Random(seed)


def settle():
    """Nothing waits to be judged any more."""
    before = None

    def quiet():
        nonlocal before
        now = alpha.drops()
        same, before = now == before, now
        return same

    wait_until(quiet, 30, "counters at rest", every=0.1)
