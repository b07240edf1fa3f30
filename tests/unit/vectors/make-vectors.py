#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Writes handshakes with Netveil's prologue and payload lengths as test vectors.

They are made by dissononce (Debian's python3-dissononce), which shares no code
with Netveil.  noise-ikpsk2-netveil.json is this program's output.
"""

import json

from dissononce.cipher.chachapoly import ChaChaPolyCipher
from dissononce.dh.x25519.private import PrivateKey
from dissononce.dh.x25519.x25519 import X25519DH
from dissononce.hash.sha256 import SHA256Hash
from dissononce.processing.handshakepatterns.interactive.IK import IKHandshakePattern
from dissononce.processing.impl.cipherstate import CipherState
from dissononce.processing.impl.handshakestate import HandshakeState
from dissononce.processing.impl.symmetricstate import SymmetricState
from dissononce.processing.modifiers.psk import PSKPatternModifier

# A message 1's clear header: type, version, 0, 0, sender, TAI64N.
HEADER = bytes.fromhex("01010000deadbeef" "400000006b02d94a075bcd15")
PROLOGUE = b"netveil v1" + HEADER
OFFER = 52
CHOICE = 40


def pattern(seed, length):
    return bytes((seed * (i + 1) + (seed ^ 0x5A)) % 256 for i in range(length))


class FixedDH(X25519DH):
    """X25519 whose next key pair is known beforehand."""

    def __init__(self, private):
        super().__init__()
        self.private = private

    def generate_keypair(self, privatekey=None):
        return super().generate_keypair(privatekey or PrivateKey(self.private))


def end(ephemeral):
    symmetric = SymmetricState(CipherState(ChaChaPolyCipher()), SHA256Hash())
    return HandshakeState(symmetric, FixedDH(ephemeral))


def vector(seed, prologue, psk, lengths):
    static = [pattern(seed + i, 32) for i in (1, 3)]
    ephemeral = [pattern(seed + i, 32) for i in (5, 7)]
    payloads = [pattern(seed + 9 + i, length) for i, length in enumerate(lengths)]
    pairs = [X25519DH().generate_keypair(PrivateKey(key)) for key in static]
    ends = [end(key) for key in ephemeral]
    ik = PSKPatternModifier(2).modify(IKHandshakePattern())
    ends[0].initialize(ik, True, prologue, s=pairs[0], rs=pairs[1].public, psks=[psk])
    ends[1].initialize(ik, False, prologue, s=pairs[1], psks=[psk])
    assert ends[0].protocol_name == "Noise_IKpsk2_25519_ChaChaPoly_SHA256"

    sealed, states = [], []
    for number, payload in enumerate(payloads):
        message, opened = bytearray(), bytearray()
        if number < 2:
            states = [ends[number].write_message(payload, message),
                      ends[1 - number].read_message(bytes(message), opened)]
            message, opened = bytes(message), bytes(opened)
        else:
            message = states[0][number % 2].encrypt_with_ad(b"", payload)
            opened = states[1][number % 2].decrypt_with_ad(b"", message)
        assert opened == payload
        sealed.append(message)
    return {
        "protocol_name": ends[0].protocol_name,
        "init_prologue": prologue.hex(),
        "init_psks": [psk.hex()],
        "init_static": static[0].hex(),
        "init_ephemeral": ephemeral[0].hex(),
        "init_remote_static": pairs[1].public.data.hex(),
        "resp_prologue": prologue.hex(),
        "resp_psks": [psk.hex()],
        "resp_static": static[1].hex(),
        "resp_ephemeral": ephemeral[1].hex(),
        "handshake_hash": ends[0].symmetricstate.get_handshake_hash().hex(),
        "messages": [{"payload": payload.hex(), "ciphertext": message.hex()}
                     for payload, message in zip(payloads, sealed)],
    }


print(json.dumps({"vectors": [
    vector(11, PROLOGUE, bytes(32), [OFFER, CHOICE, 0, 1, 64]),
    vector(33, PROLOGUE, pattern(77, 32), [OFFER, CHOICE]),
    vector(55, b"", pattern(99, 32), [0, 0, 0, 0]),
]}, indent=1))
