#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""One of two virtual machines that a virtio-net wire joins: `virtio.py beta` does
what it is told by a connection, `virtio.py alpha` tells it and compares. Run by
scripts/two-vms.sh, which looks at the capture afterwards.

First comes a control in clear, then with peers every combination of the devices'
offloads at either end.
"""

import hashlib
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import ktap
from hosts import MODULE, command
from ktap import case, check, check_equal, note
from veilproto import Identity
from words import CONTROL, MARKER

HOSTS = {"alpha": ("10.9.0.1", "fd09::1"), "beta": ("10.9.0.2", "fd09::2")}
# Known to both: there is no other way between them but the wire.
KEYS = {name: Identity(hashlib.sha256(name.encode()).digest()) for name in HOSTS}
DEVICE, ORDERS, SIZE = "eth0", 7000, 300000
state = {}
ALL = "tx on sg on tso on gso on gro on"
NOTHING = "tx off sg off tso off gso off gro off"
# Name, features at this end, features at the other.
COMBINATIONS = (
    ("all on", ALL, ALL),
    ("all off", NOTHING, NOTHING),
    ("TSO here, none there", "tx on sg on tso on", "tx off sg off tso off gro off"),
    ("none here, GRO there", "tx off sg off tso off", "gro on"),
    ("checksums only", "tx on sg on tso off gso off", "tx on sg on tso off gso off"),
    ("GRO of more than 64 KiB", ALL, ALL),
)


def set_up(name):
    command("modprobe", "virtio_net")
    for word in HOSTS[name]:
        length = "/64" if ":" in word else "/24"
        nodad = ("nodad",) if ":" in word else ()
        command("ip", "addr", "add", word + length, "dev", DEVICE, *nodad)
    command("ip", "link", "set", DEVICE, "up")
    command("insmod", MODULE)


def protect(name):
    other = "beta" if name == "alpha" else "alpha"
    control = genl.Control()
    control.set_private_key(KEYS[name].private)
    control.add_peer(KEYS[other].public, *HOSTS[other])
    state["control"] = control


def marked(text):
    return (text + os.urandom(100 - len(text))) * (SIZE // 100)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def receive(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(1 << 18)
        if not more:
            break
        data += more
    return data


def serve(orders):
    """Echoes what comes by TCP and UDP."""
    words = orders.readline().split()
    while words:
        kind, rest = words[0], words[1:]
        if kind == "offload":
            offload(rest)
        elif kind == "big":
            big_tcp()
        elif kind == "protect":
            protect("beta")
        elif kind == "echo":
            echo(rest[0], orders)
        if kind != "echo":
            orders.write("done\n")
            orders.flush()
        words = orders.readline().split()


def echo(address, orders):
    with socket.socket(family(address)) as tcp, socket.socket(
        family(address), socket.SOCK_DGRAM
    ) as udp:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for sock in tcp, udp:
            sock.bind((address, ORDERS + 1))
            sock.settimeout(120)
        tcp.listen()
        orders.write("done\n")
        orders.flush()
        connection, _ = tcp.accept()
        connection.settimeout(120)
        connection.sendall(receive(connection, SIZE))
        connection.close()
        for _ in range(4):
            data, source = udp.recvfrom(65535)
            udp.sendto(data, source)


def beta():
    set_up("beta")
    with socket.socket() as listener:
        listener.bind((HOSTS["beta"][0], ORDERS))
        listener.listen()
        listener.settimeout(600)
        connection, _ = listener.accept()
    connection.settimeout(600)
    serve(connection.makefile("rw"))


def order(*words, meanwhile=None):
    state["orders"].write(" ".join(words) + "\n")
    state["orders"].flush()
    if meanwhile:
        meanwhile()
    check_equal(state["orders"].readline(), "done\n", "beta's answer to " + words[0])


def alpha():
    set_up("alpha")
    end = time.monotonic() + 300
    while True:
        sock = socket.socket()
        sock.settimeout(5)
        try:
            sock.connect((HOSTS["beta"][0], ORDERS))
            break
        except OSError as error:
            sock.close()
            check(time.monotonic() < end, "beta answers", error)
            time.sleep(0.5)
    sock.settimeout(300)
    state["orders"] = sock.makefile("rw")


def compare(text):
    for address in HOSTS["beta"]:
        order("echo", address)
        data = marked(text)
        with socket.create_connection((address, ORDERS + 1), timeout=120) as tcp:
            tcp.sendall(data)
            check(receive(tcp, SIZE) == data, "the stream to %s and back" % address)
        with socket.socket(family(address), socket.SOCK_DGRAM) as udp:
            udp.settimeout(120)
            udp.connect((address, ORDERS + 1))
            for size in 10, 1400, 1430, 20000:
                udp.send(data[:size])
                check(udp.recv(65535) == data[:size], "%d bytes, and back" % size)


@case("the control, in clear")
def control():
    compare(CONTROL)


@case("the first session")
def protection():
    # beta's answer comes sealed.
    order("protect", meanwhile=lambda: protect("alpha"))
    compare(MARKER)


def big_tcp():
    """Sending so is more than this device can."""
    for kind in "gso", "gro":
        for word in "_max_size", "_ipv4_max_size":
            try:
                command("ip", "link", "set", DEVICE, kind + word, "185000")
            except AssertionError as error:
                note("%s%s: %s" % (kind, word, str(error)[-100:]))


def offload(words):
    """As far as the device can: QEMU's wire of sockets leaves it none but those
    that the kernel does itself, so here it is one without NETIF_F_HW_CSUM."""
    for feature, value in zip(words[::2], words[1::2]):
        try:
            command("ethtool", "-K", DEVICE, feature, value)
        except AssertionError:
            note("%s cannot be %s" % (feature, value))


def combination(name, here, there):
    @case(name)
    def run():
        offload(here.split())
        order("offload", there)
        if "64 KiB" in name:
            big_tcp()
            order("big")
        compare(MARKER)
        dropped = {k: v for k, v in state["control"].drops().items() if v}
        dropped.pop("too_big", None)
        check_equal(dropped, {}, "drops")


if sys.argv.pop(1) == "beta":
    beta()
else:
    for each in COMBINATIONS:
        combination(*each)
    ktap.run(alpha)
