# SPDX-License-Identifier: GPL-2.0
"""The AEADs of the kernel's crypto API: which there are, who uses them, and others put
in front of them (cryptd, made through AF_ALG, which ranks above what it is around).
"""

import os
import re
import socket

import hosts
from hosts import alpha, beta
from ktap import wait_until

# By the numbers that the wire and netlink give them.
CIPHERS = {1: "gcm(aes)", 2: "rfc7539(chacha20,poly1305)"}


def algorithms():
    """What /proc/crypto lists, each as a dictionary."""
    with open("/proc/crypto", encoding="ascii") as file:
        for block in file.read().strip().split("\n\n"):
            yield dict(re.findall(r"^(\w+)\s*: (.*)$", block, re.MULTILINE))


def users(name):
    """Transforms of the cryptd version of an algorithm."""
    return sum(
        int(entry["refcnt"])
        for entry in algorithms()
        if entry["name"] == name and entry["driver"].startswith("cryptd(")
    )


def best(name):
    """The driver of an AEAD that the crypto API likes best, of those that finish
    at once, which are what cryptd takes."""
    found = [
        entry
        for entry in algorithms()
        if entry["name"] == name
        and entry.get("internal") == "no"
        and entry.get("async") == "no"
    ]
    return max(found, key=lambda entry: int(entry["priority"]))["driver"]


def has_aes_instructions():
    """UML shows the flags of its host, and uses none."""
    if os.environ.get("NETVEIL_KERNEL", "").startswith("uml"):
        return False
    with open("/proc/cpuinfo", encoding="ascii") as file:
        return bool(re.search(r"^flags\s*:.*\baes\b", file.read(), re.MULTILINE))


def put_off(name):
    """From now on the crypto API's first choice for this AEAD is cryptd's."""
    plain = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
    plain.bind(("aead", name))
    queued = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
    queued.bind(("aead", "cryptd(%s)" % best(name)))
    plain.close()
    return queued


def pin(cipher):
    for host in alpha, beta:
        host.control.set_cipher(cipher)
    hosts.ping_once(alpha, beta.v4)
    wait_until(
        lambda: alpha.peer().get("cipher") == cipher,
        10,
        "a session with " + CIPHERS[cipher],
    )
