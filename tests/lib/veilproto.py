#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The Netveil protocol, version 1, written a second time and on its own.

Nothing here does I/O: bytes go in and come out, so that tests can play either
end against the module, or an attacker who builds what no honest end would.
Run as a program it tests itself; a file of Noise test vectors (the JSON layout
of cacophony and snow) may be named as argument.
"""

import hashlib
import hmac
import ipaddress
import os
import struct
import sys
import time
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

NOISE_NAME = b"Noise_IKpsk2_25519_ChaChaPoly_SHA256"
PORT = 51888
VERSION = 1
INITIATION, RESPONSE, COOKIE, DATA = 1, 2, 3, 4
AES_256_GCM, CHACHA20_POLY1305 = 1, 2
AEADS = {AES_256_GCM: AESGCM, CHACHA20_POLY1305: ChaCha20Poly1305}
TUNNEL, CSUM_PARTIAL, CLOSE, CHALLENGE, ECHO = 1, 2, 4, 8, 16
ROAMS = 1
NO_PSK = bytes(32)
LANES_MAX = 64

INITIATION_HEADER = struct.Struct(">BB2xI12s")
RESPONSE_HEADER = struct.Struct(">BBBxI")
DATA_HEADER = struct.Struct(">BBHIQ")
OFFER = struct.Struct(">2sBB16s16s16s")
CHOICE = struct.Struct(">BBBxI16s16s")
COOKIE_REPLY = struct.Struct(">B3xI32s32s")

NOISE1 = INITIATION_HEADER.size + 8
INITIATION_LEN = NOISE1 + 32 + 48 + OFFER.size + 16 + 32
RESPONSE_LEN = RESPONSE_HEADER.size + 32 + CHOICE.size + 16 + 32


class ProtocolError(Exception):
    """A message that an honest end would drop, and why."""


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def hmac256(key, *parts):
    return hmac.digest(key, b"".join(parts), "sha256")


def hkdf(key, material, count):
    """HKDF of the Noise specification, section 4.3."""
    temp = hmac256(key, material)
    out, last = [], b""
    for i in range(1, count + 1):
        last = hmac256(temp, last, bytes([i]))
        out.append(last)
    return out


def siphash24(key, data):
    """SipHash-2-4 of data under 16 bytes of key, as an integer."""
    mask = (1 << 64) - 1

    def rotate(x, bits):
        return ((x << bits) | (x >> (64 - bits))) & mask

    def rounds(v, count):
        v0, v1, v2, v3 = v
        for _ in range(count):
            v0, v2 = (v0 + v1) & mask, (v2 + v3) & mask
            v1, v3 = rotate(v1, 13) ^ v0, rotate(v3, 16) ^ v2
            v0 = rotate(v0, 32)
            v2, v0 = (v2 + v1) & mask, (v0 + v3) & mask
            v1, v3 = rotate(v1, 17) ^ v2, rotate(v3, 21) ^ v0
            v2 = rotate(v2, 32)
        return v0, v1, v2, v3

    k0, k1 = struct.unpack("<QQ", key)
    v = (
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    )
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v = rounds((v[0], v[1], v[2], v[3] ^ word), 2)
        v = (v[0] ^ word, v[1], v[2], v[3])
    v = rounds((v[0], v[1], v[2] ^ 0xFF, v[3]), 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def dh(private, public):
    """X25519; a zero result is an error, as it is for every honest end."""
    key = X25519PrivateKey.from_private_bytes(private)
    try:
        return key.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise ProtocolError("X25519 gave zero") from error


def public_key(private):
    key = X25519PrivateKey.from_private_bytes(private).public_key()
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return key.public_bytes(*raw)


class Identity:
    """A static key pair, or, for a forger, a public key without its other half."""

    def __init__(self, private=None, public=None):
        if public is None:
            private = private or os.urandom(32)
            public = public_key(private)
        self.private, self.public = private, public


class Noise:
    """One handshake's state (Noise, revision 34), for the pattern IKpsk2:
    <- s; -> e, es, s, ss; <- e, ee, se, psk."""

    def __init__(self, prologue, responder_public):
        self.h = self.ck = sha256(NOISE_NAME)
        self.k, self.n = b"", 0
        self.mix_hash(prologue)
        self.mix_hash(responder_public)

    def mix_hash(self, data):
        self.h = sha256(self.h, data)

    def mix_key(self, material):
        self.ck, self.k = hkdf(self.ck, material, 2)
        self.n = 0

    def mix_psk(self, psk):
        self.ck, mixed, self.k = hkdf(self.ck, psk, 3)
        self.n = 0
        self.mix_hash(mixed)

    def mix_ephemeral(self, public):
        self.mix_hash(public)
        self.mix_key(public)

    def nonce(self):
        self.n += 1
        return struct.pack("<4xQ", self.n - 1)

    def encrypt(self, plaintext):
        sealed = ChaCha20Poly1305(self.k).encrypt(self.nonce(), plaintext, self.h)
        self.mix_hash(sealed)
        return sealed

    def decrypt(self, sealed):
        try:
            text = ChaCha20Poly1305(self.k).decrypt(self.nonce(), sealed, self.h)
        except InvalidTag as error:
            raise ProtocolError("a Noise message did not authenticate") from error
        self.mix_hash(sealed)
        return text

    def write1(self, me, remote, payload, ephemeral, ss=None, es=None):
        """Message 1. A forger without me.private gives ss, and one whose
        ephemeral is of low order the es that it leads to."""
        self.mix_ephemeral(ephemeral.public)
        message = ephemeral.public
        self.mix_key(es or dh(ephemeral.private, remote))
        message += self.encrypt(me.public)
        self.mix_key(ss or dh(me.private, remote))
        return message + self.encrypt(payload)

    def read1(self, me, message):
        """Message 1: the initiator's static and ephemeral keys, the payload."""
        ephemeral = message[:32]
        self.mix_ephemeral(ephemeral)
        self.mix_key(dh(me.private, ephemeral))
        static = self.decrypt(message[32:80])
        self.mix_key(dh(me.private, static))
        return static, ephemeral, self.decrypt(message[80:])

    def write2(self, remote, remote_ephemeral, psk, payload, ephemeral):
        """Message 2. An ephemeral of low order, without its private half,
        leads to zero."""
        self.mix_ephemeral(ephemeral.public)
        for other in remote_ephemeral, remote:
            known = ephemeral.private is None
            self.mix_key(bytes(32) if known else dh(ephemeral.private, other))
        self.mix_psk(psk)
        return ephemeral.public + self.encrypt(payload)

    def read2(self, me, ephemeral, psk, message):
        self.mix_ephemeral(message[:32])
        self.mix_key(dh(ephemeral.private, message[:32]))
        self.mix_key(dh(me.private, message[:32]))
        self.mix_psk(psk)
        return self.decrypt(message[32:])

    def split(self):
        return hkdf(self.ck, b"", 2)


def address_bytes(text):
    """An address as payloads have it: 16 bytes, IPv4 mapped."""
    address = ipaddress.ip_address(text)
    if address.version == 4:
        return bytes(10) + b"\xff\xff" + address.packed
    return address.packed


def pair_key(ss, initiator, responder):
    return hmac256(ss, b"netveil v1 pair", initiator, responder)[:16]


def stamp(key, header, noise1):
    return struct.pack(">Q", siphash24(key, header + noise1))


def psk_id(psk):
    return bytes(8) if psk == NO_PSK else hmac256(psk, b"netveil v1 psk id")[:8]


def mac1(receiver, message):
    return hmac256(sha256(b"netveil v1 mac1", receiver), message)[:16]


def with_macs(receiver, message, cookie=None):
    """mac1 for the receiver, and mac2, which is zero without a cookie."""
    message += mac1(receiver, message)
    return message + (mac2(cookie, message) if cookie else bytes(16))


def stamped_response(key, receiver, message):
    """mac1 for the receiver, and the stamp of their pair's key."""
    message += mac1(receiver, message)
    return message + siphash24(key, message).to_bytes(8, "big") + bytes(8)


def mac2(cookie, message):
    return hmac256(cookie, message)[:16]


def make_cookie(secret, address, port):
    """The cookie of a sender's address and port, under the receiver's secret."""
    packed_address = ipaddress.ip_address(address).packed
    family = bytes([4 if len(packed_address) == 4 else 6])
    return hmac256(secret, family, packed_address, struct.pack(">H", port))[:16]


def cookie_cipher(sender, salt):
    return ChaCha20Poly1305(hmac256(sha256(b"netveil v1 cookie", sender), salt))


def cookie_reply(sender, message, cookie, salt=None):
    """The answer to a handshake message by the owner of the public key sender."""
    salt = salt or os.urandom(32)
    sealed = cookie_cipher(sender, salt).encrypt(bytes(12), cookie, message[-32:-16])
    return COOKIE_REPLY.pack(COOKIE, int.from_bytes(message[4:8], "big"), salt, sealed)


def open_cookie_reply(sender, message, reply):
    """The cookie in sender's answer to a message of ours."""
    if len(reply) != COOKIE_REPLY.size or any(reply[1:4]):
        raise ProtocolError("not a cookie reply")
    kind, index, salt, sealed = COOKIE_REPLY.unpack(reply)
    if kind != COOKIE or index != int.from_bytes(message[4:8], "big"):
        raise ProtocolError("not an answer to this message")
    try:
        mac = message[-32:-16]
        return cookie_cipher(sender, salt).decrypt(bytes(12), sealed, mac)
    except InvalidTag as error:
        raise ProtocolError("a cookie reply did not authenticate") from error


def data_key(split, aead, response_header, h):
    aead = bytes([aead])
    return hmac256(split, b"netveil v1 data", aead, response_header, h, b"\x01")


def tai64n(now=None):
    """Seconds and nanoseconds since 1970 as 12 bytes of TAI64N."""
    now = time.time_ns() if now is None else int(now * 10**9)
    return struct.pack(">QI", 2**62 + 10 + now // 10**9, now % 10**9)


def random_index():
    return int.from_bytes(os.urandom(4), "big")


def choose_aead(mine, theirs):
    """The AEAD of the lowest sum of ranks, AES-256-GCM on a tie, or None."""
    common = [a for a in mine if a in theirs]
    rank = {a: (mine.index(a) + theirs.index(a), a) for a in common}
    return min(common, key=rank.get, default=None)


class Session:
    """The data keys of a finished handshake, as one end has them; lanes is the
    number that the other end receives on, tunnel whether only that mode is."""

    tunnel = False

    def __init__(self, aead, send_key, receive_key, local, remote, lanes):
        self.aead, self.lanes = aead, lanes
        self.keys = send_key, receive_key
        self.sealer = AEADS[aead](send_key)
        self.opener = AEADS[aead](receive_key)
        self.local, self.remote = local, remote
        self.counters = {}

    def next_counter(self, lane):
        self.counters[lane] = self.counters.get(lane, -1) + 1
        return self.counters[lane]

    def seal_message(self, plaintext, addresses=b"", lane=0, counter=None, flags=0):
        """A data message with just this plaintext."""
        if counter is None:
            counter = self.next_counter(lane)
        header = DATA_HEADER.pack(DATA, flags, lane, self.remote, counter)
        nonce = struct.pack(">H2xQ", lane, counter)
        return header + self.sealer.encrypt(nonce, plaintext, header + addresses)

    def seal(self, source, destination, next_header, l4, pad=0, **header):
        """A transport mode packet: the bytes after its IP header."""
        plaintext = l4 + bytes(pad) + bytes([pad, next_header])
        return self.seal_message(plaintext, packed(source, destination), **header)

    def token(self, flag, token, **header):
        """A challenge, or the echo of one."""
        return self.seal_message(token, flags=TUNNEL | flag, **header)

    def keepalive(self, source, destination, **header):
        if self.tunnel:
            return self.seal_message(b"", flags=TUNNEL, **header)
        return self.seal_message(b"", packed(source, destination), **header)

    def open_message(self, message, addresses=b""):
        header, sealed = message[: DATA_HEADER.size], message[DATA_HEADER.size :]
        kind, _, lane, index, counter = DATA_HEADER.unpack(header)
        if kind != DATA or index != self.local:
            raise ProtocolError("not a data message of this session")
        nonce = struct.pack(">H2xQ", lane, counter)
        try:
            return self.opener.decrypt(nonce, sealed, header + addresses)
        except InvalidTag as error:
            raise ProtocolError("a data message did not authenticate") from error

    def open(self, source, destination, message):
        """Next header and L4 bytes of a transport mode packet, or 4 or 41 and
        the inner packet in tunnel mode; None and nothing for a keepalive."""
        tunnel = message[1] & TUNNEL
        addresses = b"" if tunnel else packed(source, destination)
        plaintext = self.open_message(message, addresses)
        if not plaintext:
            return None, b""
        if tunnel:
            return (4 if plaintext[0] >> 4 == 4 else 41), plaintext
        if len(plaintext) < 2 or plaintext[-2] > len(plaintext) - 2:
            raise ProtocolError("malformed transport plaintext")
        end = len(plaintext) - 2 - plaintext[-2]
        if any(plaintext[end:-2]):
            raise ProtocolError("padding that is not zero")
        return plaintext[-1], plaintext[:end]


def packed(source, destination):
    return b"".join(ipaddress.ip_address(a).packed for a in (source, destination))


@dataclass
class Initiator:
    """A handshake as its initiator; what is not given is as an honest end
    would choose it. alter changes message 1 before it is stamped."""

    me: Identity
    remote: bytes
    source: str
    destination: str
    psks: tuple = ()
    aeads: tuple = (AES_256_GCM, CHACHA20_POLY1305)
    lanes: int = LANES_MAX
    index: int = field(default_factory=random_index)
    time: bytes = None
    ephemeral: Identity = field(default_factory=Identity)
    ss: bytes = None
    es: bytes = None
    header: bytes = None
    alter: callable = None
    cookie: bytes = None
    flags: int = 0

    def initiation(self):
        if self.header is None:
            when = self.time or tai64n()
            self.header = INITIATION_HEADER.pack(INITIATION, VERSION, self.index, when)
        ss = self.ss or dh(self.me.private, self.remote)
        self.noise = Noise(b"netveil v1" + self.header, self.remote)
        offer = OFFER.pack(
            bytes(self.aeads),
            self.lanes,
            self.flags,
            address_bytes(self.source),
            address_bytes(self.destination),
            b"".join(map(psk_id, self.psks)),
        )
        noise1 = self.noise.write1(
            self.me, self.remote, offer, self.ephemeral, ss, self.es
        )
        if self.alter:
            noise1 = self.alter(noise1)
        key = pair_key(ss, self.me.public, self.remote)
        stamped = self.header + stamp(key, self.header, noise1)
        self.message = with_macs(self.remote, stamped + noise1, self.cookie)
        return self.message

    def stamped(self, response):
        """What is the responder's to do."""
        key = pair_key(dh(self.me.private, self.remote), self.me.public, self.remote)
        return stamped_response(key, self.me.public, response)

    def take_cookie(self, reply):
        """Further initiations will carry a mac2 by this reply's cookie."""
        self.cookie = open_cookie_reply(self.remote, self.message, reply)

    def finish(self, response):
        """Read message 2: the session, and what the responder chose."""
        header, choice, used = read_response(self, response)
        aead = choice[0]
        if aead not in self.aeads:
            raise ProtocolError("an AEAD that was not offered")
        forth, back = used.split()
        session = Session(
            aead,
            data_key(forth, aead, header, used.h),
            data_key(back, aead, header, used.h),
            self.index,
            choice[3],
            choice[1],
        )
        session.tunnel = bool(choice[2] & ROAMS)
        return session, choice


def read_response(initiator, response):
    """Header, payload 2 and the Noise state after it."""
    if len(response) != RESPONSE_LEN:
        raise ProtocolError("a response of a wrong length")
    if response != initiator.stamped(response[:-32]):
        raise ProtocolError("a response with a wrong mac1 or stamp")
    header = response[: RESPONSE_HEADER.size]
    kind, version, psk_choice, receiver = RESPONSE_HEADER.unpack(header)
    if (kind, version, receiver) != (RESPONSE, VERSION, initiator.index):
        raise ProtocolError("not a response to this initiation")
    if psk_choice > len(initiator.psks):
        raise ProtocolError("a psk that was not offered")
    psk = initiator.psks[psk_choice - 1] if psk_choice else NO_PSK
    noise = initiator.noise
    payload = noise.read2(
        initiator.me, initiator.ephemeral, psk, response[len(header) : -32]
    )
    return header, CHOICE.unpack(payload), noise


class Responder:
    """A handshake as its responder, from a received initiation."""

    def __init__(self, me, initiation, cookie=None):
        if len(initiation) != INITIATION_LEN:
            raise ProtocolError("an initiation of a wrong length")
        self.me = me
        self.header = initiation[: INITIATION_HEADER.size]
        kind, version, self.remote_index, self.time = INITIATION_HEADER.unpack(
            self.header
        )
        if (kind, version) != (INITIATION, VERSION) or any(self.header[2:4]):
            raise ProtocolError("not an initiation")
        if initiation[-32:-16] != mac1(me.public, initiation[:-32]):
            raise ProtocolError("an initiation with a wrong mac1")
        wanted = mac2(cookie, initiation[:-16]) if cookie else bytes(16)
        if initiation[-16:] != wanted:
            raise ProtocolError("not the mac2 that belongs to this cookie, or to none")
        self.noise = Noise(b"netveil v1" + self.header, me.public)
        noise1 = initiation[NOISE1:-32]
        self.remote, self.remote_ephemeral, payload = self.noise.read1(me, noise1)
        self.pair_key = pair_key(dh(me.private, self.remote), self.remote, me.public)
        wanted = stamp(self.pair_key, self.header, noise1)
        if initiation[INITIATION_HEADER.size : NOISE1] != wanted:
            raise ProtocolError("an initiation with a wrong stamp")
        self.read_offer(payload)

    def read_offer(self, payload):
        aeads, self.lanes, self.flags, *ends, ids = OFFER.unpack(payload)
        self.source, self.destination = ends
        if self.flags & ~ROAMS or not 1 <= self.lanes <= LANES_MAX:
            raise ProtocolError("a malformed offer")
        self.aeads = aeads.rstrip(b"\0")
        self.psk_ids = [ids[:8], ids[8:]]

    def response(self, source, destination, psk=None, aead=None, **forged):
        """Message 2 and the session. psk: one that the initiator offered;
        forged: psk_choice, index, lanes, flags, ephemeral as they would not be."""
        psk_choice = 0 if psk is None else 1 + self.psk_ids.index(psk_id(psk))
        psk_choice = forged.get("psk_choice", psk_choice)
        index = forged.get("index", random_index())
        aead = aead or self.aeads[0]
        header = RESPONSE_HEADER.pack(
            RESPONSE, VERSION, psk_choice, self.remote_index
        )
        choice = CHOICE.pack(
            aead,
            forged.get("lanes", LANES_MAX),
            forged.get("flags", 0),
            index,
            address_bytes(source),
            address_bytes(destination),
        )
        noise2 = self.noise.write2(
            self.remote,
            self.remote_ephemeral,
            psk or NO_PSK,
            choice,
            forged.get("ephemeral", Identity()),
        )
        forth, back = self.noise.split()
        # What was not offered has no keys: such a response leads nowhere.
        known = aead if aead in AEADS else AES_256_GCM
        session = Session(
            known,
            data_key(back, aead, header, self.noise.h),
            data_key(forth, aead, header, self.noise.h),
            index,
            self.remote_index,
            self.lanes,
        )
        return self.stamped(header + noise2), session

    def stamped(self, message):
        """A response from its first byte to the choice, made one to be looked at."""
        return stamped_response(self.pair_key, self.remote, message)


def test_siphash():
    key, data = bytes(range(16)), bytes(range(15))
    assert siphash24(key, data) == 0xA129CA6149BE45E5  # the SipHash paper
    assert siphash24(key, b"") == 0x726FDB47DD0E0E31


def test_choice_of_aead():
    gcm, chacha = AES_256_GCM, CHACHA20_POLY1305
    assert choose_aead([gcm, chacha], [chacha, gcm]) == gcm
    assert choose_aead([chacha, gcm], [chacha, gcm]) == chacha
    assert choose_aead([chacha], [gcm, chacha]) == chacha
    assert choose_aead([chacha], [gcm]) is None


def must_fail(what, *args):
    try:
        what(*args)
    except ProtocolError:
        return
    raise AssertionError("accepted: %r" % (args,))


def flipped(message, place):
    return message[:place] + bytes([message[place] ^ 1]) + message[place + 1 :]


def handshake(psk=None, aead=None):
    """Two ends of one handshake in memory: their sessions."""
    a, b = Identity(), Identity()
    psks = (psk,) if psk else ()
    initiator = Initiator(a, b.public, "10.9.0.1", "10.9.0.2", psks)
    message = initiator.initiation()
    assert len(message) == INITIATION_LEN == 208
    for place in range(0, len(message), 7):
        must_fail(Responder, b, flipped(message, place))
    responder = Responder(b, message)
    assert responder.remote == a.public
    response, theirs = responder.response("10.9.0.2", "10.9.0.1", psk, aead)
    assert len(response) == RESPONSE_LEN == 128
    ours, choice = initiator.finish(response)
    assert choice[4:] == (address_bytes("10.9.0.2"), address_bytes("10.9.0.1"))
    return ours, theirs


def test_round_trip():
    for psk in None, os.urandom(32):
        for aead in AEADS:
            ours, theirs = handshake(psk, aead)
            addresses = "fd09::1", "fd09::2"
            for lane in 0, 63:
                sealed = ours.seal(*addresses, 17, b"segment", lane=lane, pad=3)
                assert theirs.open(*addresses, sealed) == (17, b"segment")
                must_fail(theirs.open, "fd09::2", "fd09::1", sealed)
                for place in range(8, len(sealed)):
                    must_fail(theirs.open, *addresses, flipped(sealed, place))
            sealed = theirs.keepalive(*addresses)
            assert ours.open(*addresses, sealed) == (None, b"")


def test_cookies():
    a, b = Identity(), Identity()
    initiator = Initiator(a, b.public, "10.9.0.1", "10.9.0.2")
    message = initiator.initiation()
    cookie = make_cookie(os.urandom(32), "10.9.0.1", PORT)
    reply = cookie_reply(b.public, message, cookie)
    assert len(reply) == 72 < len(message)
    for place in range(len(reply)):
        must_fail(initiator.take_cookie, flipped(reply, place))
    must_fail(open_cookie_reply, a.public, message, reply)
    must_fail(open_cookie_reply, b.public, flipped(message, -32), reply)
    initiator.take_cookie(reply)
    initiator.header = None
    message = initiator.initiation()
    assert Responder(b, message, cookie).remote == a.public
    must_fail(Responder, b, message)
    must_fail(Responder, b, message, os.urandom(16))


def test_low_order():
    must_fail(dh, os.urandom(32), bytes(32))


def test_forged_with_the_responders_key():
    """KCI: message 1 can be forged so, and what is sealed for it not opened."""
    a, b = Identity(), Identity()
    forger = Identity(public=a.public)
    ss = dh(b.private, a.public)
    initiator = Initiator(forger, b.public, "10.9.0.1", "10.9.0.2", ss=ss)
    assert Responder(b, initiator.initiation()).remote == a.public


def run_vector(vector):
    """Messages, hash and transport keys of one published handshake."""
    get = lambda name: bytes.fromhex(vector[name])
    messages = [
        (bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"]))
        for m in vector["messages"]
    ]
    psk = bytes.fromhex(vector["init_psks"][0])
    i, r = Identity(get("init_static")), Identity(get("resp_static"))
    ie, re = Identity(get("init_ephemeral")), Identity(get("resp_ephemeral"))
    ours = Noise(get("init_prologue"), get("init_remote_static"))
    theirs = Noise(get("resp_prologue"), r.public)
    assert ours.write1(i, r.public, messages[0][0], ie) == messages[0][1]
    static, remote, payload = theirs.read1(r, messages[0][1])
    assert (static, remote, payload) == (i.public, ie.public, messages[0][0])
    assert theirs.write2(static, remote, psk, messages[1][0], re) == messages[1][1]
    assert ours.read2(i, ie, psk, messages[1][1]) == messages[1][0]
    assert ours.h == theirs.h == get("handshake_hash")
    for number, (payload, sealed) in enumerate(messages[2:]):
        key = ours.split()[number % 2]
        nonce = struct.pack("<4xQ", number // 2)
        assert ChaCha20Poly1305(key).encrypt(nonce, payload, b"") == sealed


def test_vectors(path):
    import json

    with open(path, encoding="ascii") as file:
        vectors = json.load(file)["vectors"]
    ours = [v for v in vectors if v["protocol_name"] == NOISE_NAME.decode()]
    assert ours, "no vectors of " + NOISE_NAME.decode()
    for vector in ours:
        run_vector(vector)


def self_test(paths):
    tests = [v for k, v in globals().items() if k.startswith("test_")]
    for test in tests:
        if test is test_vectors:
            for path in paths:
                test(path)
        else:
            test()
    print("veilproto: self-test passed" + " with vectors" * bool(paths))


if __name__ == "__main__":
    self_test(sys.argv[1:])
