#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=180 boot=own kernels=6.12
"""AEADs that finish later: the same traffic when the crypto API puts every
request off to a worker (cryptd), as real hardware does.

cryptd(X) is made through AF_ALG; it ranks above X, so the module gets it when it
asks for X by its plain name. Debian's 6.1 refuses to: there cryptd fails the
kernel's own self-test of AEADs.
"""

import hashlib
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import aead
import hosts
import ktap
import pypeer
from hosts import alpha, beta
from ktap import case, check, check_equal, wait_until

state = {}


def set_up():
    # With AES instructions gcm(aes) may finish later by itself, and ranks above
    # what cryptd can be put around.
    ciphers = (2,) if aead.has_aes_instructions() else (1, 2)
    state["algorithms"] = {each: aead.put_off(aead.CIPHERS[each]) for each in ciphers}
    hosts.set_up()
    hosts.make_peers(*pypeer.identities())


def serve(listener, received):
    connection, _ = listener.accept()
    with connection:
        while chunk := connection.recv(1 << 16):
            received.update(chunk)
        connection.sendall(received.digest())


def transfer(source, target, address, data):
    """Send data; what the other end says is its digest."""
    kind = (socket.AF_INET6 if ":" in address else socket.AF_INET), 1
    listener, received = target.socket(*kind), hashlib.sha256()
    listener.bind((address, 0))
    listener.listen(1)
    listener.settimeout(60)
    server = threading.Thread(target=serve, args=(listener, received))
    server.start()
    with source.socket(*kind) as client:
        client.settimeout(60)
        client.connect((address, listener.getsockname()[1]))
        client.sendall(data)
        client.shutdown(1)
        digest = client.recv(64)
    server.join()
    listener.close()
    return digest


def through(cipher):
    if cipher not in state["algorithms"]:
        ktap.skip("this CPU's own gcm(aes) ranks above cryptd's")
    data = os.urandom(1 << 20)
    aead.pin(cipher)
    check(aead.users(aead.CIPHERS[cipher]) >= 4, "sessions use cryptd", aead.users(aead.CIPHERS[cipher]))
    for source, target in (alpha, beta), (beta, alpha):
        for address in target.addresses:
            hosts.ping_once(source, address)
            check_equal(
                transfer(source, target, address, data),
                hashlib.sha256(data).digest(),
                "digest of %s to %s" % (source.name, address),
            )


@case("AES-256-GCM, every request finished later: ping and TCP, IPv4 and IPv6")
def gcm():
    through(1)


@case("ChaCha20-Poly1305, the same")
def chacha():
    through(2)


@case("sessions that end while requests are under way: the module forgets them all")
def under_way():
    sock = alpha.udp(alpha.v4)
    sock.setblocking(False)
    for _ in range(20):
        for _ in range(50):
            hosts.offer(sock, bytes(1000), (beta.v4, 7000))
        alpha.control.flush()
        hosts.make_peers(*pypeer.identities())
        hosts.ping_once(alpha, beta.v4)
    sock.close()
    hosts.flush_all()
    for name in aead.CIPHERS.values():
        wait_until(lambda n=name: aead.users(n) <= 2, 10, "no session uses " + name)


ktap.run(set_up)
