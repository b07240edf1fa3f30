#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=60 once=yes
"""Forward secrecy: who recorded a session and gets both private keys and the psk
later opens the offer in its first message, and no data (DESIGN T3, PROTOCOL 8).

The attack derives whatever follows from the record and these keys. Its control:
with one ephemeral key more it opens everything; but nothing without the psk (T4).
"""

import copy
import itertools
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import veilproto
import wire
from cryptography.exceptions import InvalidTag
from hosts import alpha, beta, receive_all
from ktap import case, check, check_equal, wait_until
from pypeer import fresh
from veilproto import DATA, INITIATION, RESPONSE, Identity, ProtocolError, dh

APP = 7000
PSK = os.urandom(32)
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()


def recorded(tap):
    """(kind, source, destination, message) of all Netveil messages."""
    record = []
    for frame in tap.frames():
        message = wire.netveil_message(frame)
        if message:
            packet = packets.parse_frame(frame)
            record.append((message[0], packet.source, packet.destination, message))
    return record


class Attacker:
    """Has the record, both static keys, the psk if not told otherwise, and maybe an
    ephemeral key."""

    def __init__(self, record, statics, ephemeral=None, psks=(PSK,)):
        self.record, self.psks = record, psks
        self.statics = {key.public: key.private for key in statics}
        self.ephemeral = ephemeral
        self.offers, self.opened = [], []

    def messages(self, kind):
        return [entry[3] for entry in self.record if entry[0] == kind]

    def run(self):
        for initiation in self.messages(INITIATION):
            for private in self.statics.values():
                try:
                    responder = veilproto.Responder(Identity(private), initiation)
                except ProtocolError:
                    continue
                self.offers.append((responder.source, responder.destination))
                for response in self.messages(RESPONSE):
                    self.try_response(private, responder, response)
        return self

    def secrets(self, responder, remote, responder_private):
        """All that may stand for ee: products of known private keys with public
        ones of the record, what else is known, and zeros."""
        privates = [self.statics[responder.remote], responder_private]
        if self.ephemeral:
            privates.append(self.ephemeral.private)
        publics = responder.remote_ephemeral, remote, *self.statics
        products = [dh(a, b) for a, b in itertools.product(privates, publics)]
        known = bytes(32), *self.psks, responder.noise.ck, responder.noise.k
        return products + list(known)

    def try_response(self, private, responder, response):
        header = response[: veilproto.RESPONSE_HEADER.size]
        if veilproto.RESPONSE_HEADER.unpack(header)[3] != responder.remote_index:
            return
        remote = response[len(header) : len(header) + 32]
        sealed = response[len(header) + 32 : -32]
        static_ephemeral = dh(self.statics[responder.remote], remote)
        for ee, psk in itertools.product(
            self.secrets(responder, remote, private), (*self.psks, veilproto.NO_PSK)
        ):
            noise = copy.copy(responder.noise)
            noise.mix_ephemeral(remote)
            noise.mix_key(ee)
            noise.mix_key(static_ephemeral)
            noise.mix_psk(psk)
            try:
                noise.decrypt(sealed)
            except ProtocolError:
                noise.mix_hash(sealed)
            self.try_data(noise, header)

    def try_data(self, noise, header):
        """What opens under the keys that this state leads to."""
        for split, aead in itertools.product(noise.split(), veilproto.AEADS):
            key = veilproto.data_key(split, aead, header, noise.h)
            for kind, source, destination, message in self.record:
                if kind == DATA:
                    self.open(aead, key, source, destination, message)

    def open(self, aead, key, source, destination, message):
        head, sealed = message[:16], message[16:]
        _, flags, lane, _, counter = veilproto.DATA_HEADER.unpack(head)
        more = b"" if flags & veilproto.TUNNEL else veilproto.packed(source, destination)
        nonce = struct.pack(">H2xQ", lane, counter)
        try:
            text = veilproto.AEADS[aead](key).decrypt(nonce, sealed, head + more)
        except InvalidTag:
            return
        self.opened.append(text)


def holds_marker(texts):
    return any(MARKER in text for text in texts)


@case("two modules: with both private keys and the psk, no data of a recorded session")
def two_modules():
    statics = Identity(), Identity()
    hosts.flush_all()
    tap = wire.Tap(hosts.wire)
    receiver, sender = beta.udp(beta.v4, APP), alpha.udp(alpha.v4)
    hosts.make_peers(*statics, PSK)
    hosts.ping_once(alpha, beta.v4)
    sender.sendto(MARKER, (beta.v4, APP))
    wait_until(lambda: MARKER in receive_all(receiver), 10, "the datagram")
    record = recorded(tap)
    tap.close()
    attacker = Attacker(record, statics).run()
    check(len(attacker.messages(DATA)) >= 3, "data recorded")
    offers = {veilproto.address_bytes(a) for a in (alpha.v4, beta.v4)}
    check(attacker.offers, "an offer was opened, so the keys are right")
    check(all(set(offer) == offers for offer in attacker.offers), "and is right")
    check_equal(attacker.opened, [], "data messages opened")
    sender.close()
    receiver.close()


def with_ephemeral(role):
    """A recorded session, its static keys, and the ephemeral one of that role."""
    hosts.flush_all()
    tap = wire.Tap(hosts.wire)
    peer, ephemeral = fresh(psk=PSK), Identity()
    if role == "responder":
        peer.respond(ephemeral=ephemeral)
        peer.wait_confirmed()
    else:
        peer.initiate(ephemeral=ephemeral)
        wait_until(alpha.is_up, 10, "a session")
    peer.talk(MARKER)
    record = recorded(tap)
    tap.close()
    return record, (peer.me, peer.module_identity), ephemeral


@case("with one ephemeral key more, of either role, the same attack opens everything")
def control():
    for role in "responder", "initiator":
        record, statics, ephemeral = with_ephemeral(role)
        check_equal(Attacker(record, statics).run().opened, [], "without it")
        opened = Attacker(record, statics, ephemeral).run().opened
        check(sum(MARKER in text for text in opened) == 2, "with it, as " + role)


@case("X25519 broken, all private keys known, but not the psk: nothing opens")
def only_psk():
    for role in "responder", "initiator":
        known = with_ephemeral(role)
        check_equal(Attacker(*known, psks=()).run().opened, [], "opened, as " + role)
        check(Attacker(*known).run().opened, "with the psk, as " + role)


ktap.run(hosts.set_up)
