#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=90
"""Known answers, not written here, for the primitives as the module uses them:
RFC 7748 and 8439, OpenSSL, and where tests/vectors has them those of Wycheproof.

X25519 is asked in the module: a host of the vector's private key initiates
towards a peer of its public key, and only the right secret makes the right stamp.
The AEADs are the kernel's, by the names that kmod/cipher.c asks for.
"""

import errno
import glob
import json
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import veilproto
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hosts import alpha, beta, receive_all
from ktap import case, check, check_equal, note, skip, wait_until

VECTORS = os.path.join(hosts.LIB, "..", "vectors")
GCM, CHACHA = "gcm(aes)", "rfc7539(chacha20,poly1305)"
hexed = bytes.fromhex
state = {}


def set_up():
    hosts.set_up()
    state["wire"] = beta.udp(beta.v4, veilproto.PORT)


def wycheproof(name):
    """(test, its group) of a file of Wycheproof's."""
    found = glob.glob(os.path.join(VECTORS, "wycheproof-%s*.json" % name))
    if not found:
        skip("no vectors of Wycheproof's here (a clone has none)")
    with open(found[0], encoding="ascii") as file:
        groups = json.load(file)["testGroups"]
    return [(test, group) for group in groups for test in group["tests"]]


def secret_is(test):
    """Whether the module's secret of the vector is what it says: None where it
    refuses the peer."""
    private, public, shared = (hexed(test[n]) for n in ("private", "public", "shared"))
    alpha.control.flush()
    receive_all(state["wire"])
    alpha.control.set_private_key(private)
    try:
        alpha.control.add_peer(public, beta.v4)
    except genl.Refused as error:
        check_equal(error.errno, errno.EKEYREJECTED, "errno")
        return None

    def initiation():
        return [m for m in receive_all(state["wire"]) if m[:1] == b"\1"]

    message = wait_until(initiation, 10, "an initiation")[-1]
    header, noise1 = message[:20], message[veilproto.NOISE1 : -32]
    key = veilproto.pair_key(shared, veilproto.public_key(private), public)
    return message[20:28] == veilproto.stamp(key, header, noise1)


ALICE = (
    "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
    "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
)
BOB = (
    "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
)
SHARED = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"


@case("RFC 7748, section 6.1: public keys and the secret of both")
def rfc7748():
    for (private, public), (_, other) in (ALICE, BOB), (BOB, ALICE):
        test = {"private": private, "public": other, "shared": SHARED}
        check_equal(secret_is(test), True, "the secret")
        check_equal(alpha.control.get()["public_key"].hex(), public, "public key")
        wrong = {**test, "shared": SHARED[::-1]}
        check_equal(secret_is(wrong), False, "the control: another secret")


@case("X25519 by Wycheproof: the same secrets, and none of zeros")
def x25519():
    agreed, refused = 0, 0
    for test, _ in wycheproof("x25519"):
        zero = not any(hexed(test["shared"]))
        if zero:
            check_equal(secret_is(test), None, "a zero secret, %d" % test["tcId"])
            refused += 1
        else:
            check_equal(secret_is(test), True, "vector %d" % test["tcId"])
            agreed += 1
    note("%d secrets as they should be, %d refused" % (agreed, refused))
    check(agreed > 400 and refused > 20, "vectors", agreed, refused)


class Aead:
    """An AEAD of the kernel's under one key."""

    def __init__(self, name, key, tag=16):
        self.sock = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
        self.sock.bind(("aead", name))
        self.sock.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, key)
        self.sock.setsockopt(socket.SOL_ALG, socket.ALG_SET_AEAD_AUTHSIZE, None, tag)

    def run(self, what, nonce, aad, text, length):
        operation, _ = self.sock.accept()
        with operation:
            operation.sendmsg_afalg(
                [aad + text], op=what, iv=nonce, assoclen=len(aad)
            )
            return operation.recv(max(1, len(aad) + length))[len(aad) :]

    def seal(self, nonce, aad, text):
        return self.run(socket.ALG_OP_ENCRYPT, nonce, aad, text, len(text) + 16)

    def open(self, nonce, aad, sealed):
        """The text, or None where it is not authentic."""
        try:
            return self.run(socket.ALG_OP_DECRYPT, nonce, aad, sealed, len(sealed) - 16)
        except OSError as error:
            if error.errno == errno.EBADMSG:
                return None
            raise

    def close(self):
        self.sock.close()


def need_af_alg():
    try:
        Aead(GCM, bytes(32)).close()
        Aead(CHACHA, bytes(32)).close()
    except OSError as error:
        skip("no AF_ALG here: %s" % error)


@case("RFC 8439, section 2.8.2")
def rfc8439():
    need_af_alg()
    aead = Aead(CHACHA, bytes(range(0x80, 0xA0)))
    text = b"Ladies and Gentlemen of the class of '99: If I could offer you"
    text += b" only one tip for the future, sunscreen would be it."
    nonce, aad = hexed("070000004041424344454647"), hexed("50515253c0c1c2c3c4c5c6c7")
    sealed = aead.seal(nonce, aad, text)
    check_equal(sealed[-16:].hex(), "1ae10b594f09e26a7e902ecbd0600691", "tag")
    check_equal(sealed[:16].hex(), "d31a8d34648e60db7b86afbc53ef7ec2", "text")
    check_equal(aead.open(nonce, aad, sealed), text, "opened")


@case("the kernel's AEADs are OpenSSL's, for every length, and see each changed bit")
def like_openssl():
    need_af_alg()
    for name, other in (GCM, AESGCM), (CHACHA, ChaCha20Poly1305):
        key = os.urandom(32)
        ours, theirs = Aead(name, key), other(key)
        for length in [*range(1, 130), 255, 256, 1399, 1400]:
            nonce, aad, text = os.urandom(12), os.urandom(24), os.urandom(length)
            sealed = theirs.encrypt(nonce, text, aad)
            check_equal(ours.seal(nonce, aad, text), sealed, "%s, %d" % (name, length))
            bad = bytearray(sealed)
            bad[length % len(sealed)] ^= 1 << length % 8
            check_equal(ours.open(nonce, aad, bytes(bad)), None, "a changed bit")
        ours.close()


def by_wycheproof(name, file):
    need_af_alg()
    used = {"valid": 0, "invalid": 0}
    for test, group in wycheproof(file):
        sizes = group["ivSize"], group["keySize"], group["tagSize"]
        # An AF_ALG socket returns no empty text.
        if sizes != (96, 256, 128) or not test["msg"]:
            continue
        aead = Aead(name, hexed(test["key"]))
        sealed = hexed(test["ct"] + test["tag"])
        got = aead.open(hexed(test["iv"]), hexed(test["aad"]), sealed)
        aead.close()
        wanted = hexed(test["msg"]) if test["result"] == "valid" else None
        check_equal(got, wanted, "vector %d" % test["tcId"])
        used[test["result"]] += 1
    note(used)
    check(all(used.values()), "vectors of both kinds", used)


@case("AES-256-GCM by Wycheproof")
def gcm():
    by_wycheproof(GCM, "aes_gcm")


@case("ChaCha20-Poly1305 by Wycheproof")
def chacha():
    by_wycheproof(CHACHA, "chacha20")


ktap.run(set_up)
