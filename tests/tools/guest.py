#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The guest's part of scripts/check-tools.sh: a session from the first message to
the last, captured; what veil prints of it; what the kernel checks requests by.
All of it goes to $NETVEIL_OUT, where programs of the host judge it.
"""

import json
import os
import pty
import select
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import pypeer
import wire
from hosts import alpha, beta
from ktap import wait_until

OUT = os.environ["NETVEIL_OUT"]
CTRL_CMD_GETPOLICY, CTRL_ATTR_POLICY, CTRL_ATTR_OP_POLICY = 10, 8, 9
POLICY = ("", "type", "min_s", "max_s", "min", "max", "min_len", "max_len", "nested")
YNL = "/netveil/ynl"


def write(name, text):
    with open(os.path.join(OUT, name), "w", encoding="ascii") as file:
        file.write(text)


def write_pcap(name, frames):
    with open(os.path.join(OUT, name), "wb") as file:
        file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for second, frame in enumerate(frames):
            file.write(struct.pack("=IIII", second, 0, len(frame), len(frame)) + frame)


def ask(answer=b"name,salary\r\nAda,TOP-SECRET-31337\r\n"):
    """One request by HTTP from alpha to beta, as the tap would like to read it."""
    server = beta.socket()
    server.setsockopt(hosts.socket.SOL_SOCKET, hosts.socket.SO_REUSEADDR, 1)
    server.bind((beta.v4, 80))
    server.listen()

    def serve():
        with server, server.accept()[0] as connection:
            connection.recv(1000)
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer)
            connection.sendall(head + answer)

    thread = threading.Thread(target=serve)
    thread.start()
    with alpha.socket() as client:
        client.connect((beta.v4, 80))
        client.sendall(b"GET /payroll.csv HTTP/1.1\r\nHost: beta\r\n\r\n")
        while client.recv(1000):
            pass
    thread.join()


def screen():
    """What veil top shows while a stream runs, and two peers do not answer."""
    for number in 7, 8:
        alpha.control.add_peer(os.urandom(32), "10.9.0.%d" % number)
    sock, stop = alpha.udp(alpha.v4), time.monotonic() + 5
    leader, follower = pty.openpty()
    with alpha.inside():
        top = subprocess.Popen((hosts.VEIL, "top", "interval", "1"), stdin=follower,
                               stdout=follower, env={"TERM": "xterm"})
    seen = b""
    while time.monotonic() < stop:
        for address in beta.v4, "10.9.0.7":
            hosts.offer(sock, bytes(1200), (address, 9))
        time.sleep(0.002)
        while select.select([leader], [], [], 0)[0]:
            seen += os.read(leader, 65536)
    os.write(leader, b"q")
    top.wait()
    return seen.decode().split("\033[H\033[J")[-1].split("\033[?25h")[0]


def policies():
    """What the kernel itself says of every operation's attributes."""
    control = alpha.control
    body = genl.attr(genl.CTRL_A_FAMILY_ID, struct.pack("=H", control.family))
    told = {"operations": {}, "policies": {}}
    for answer in control.exchange(
        genl.GENL_ID_CTRL, CTRL_CMD_GETPOLICY, body, flags=genl.NLM_F_DUMP
    ):
        for kind, value in answer:
            if kind == CTRL_ATTR_OP_POLICY:
                for command, uses in genl.attrs(value):
                    for _, index in genl.attrs(uses):
                        told["operations"][command] = genl.number(index)
            elif kind == CTRL_ATTR_POLICY:
                for index, attributes in genl.attrs(value):
                    for attribute, properties in genl.attrs(attributes):
                        told["policies"].setdefault(index, {})[attribute] = {
                            POLICY[what]: genl.number(number)
                            for what, number in genl.attrs(properties)
                            if what < len(POLICY)
                        }
    return told


def ynl(*words):
    """linux-source's own command line for a family's description."""
    with alpha.inside():
        return subprocess.run(
            (
                sys.executable,
                YNL + "/cli.py",
                "--spec",
                "/netveil/netveil.yaml",
                "--no-schema",
                "--output-json",
                *words,
            ),
            env={"PYTHONPATH": YNL},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout


def use_ynl(peer):
    write("ynl-get.json", ynl("--do", "get"))
    write("ynl-peers.json", ynl("--dump", "peer-get"))
    # What it sets is there.
    ynl("--do", "set", "--json", json.dumps({"cipher": "chacha20-poly1305"}))
    assert alpha.control.get()["aeads"] == (2,), alpha.control.get()
    one = {"public-key": "11" * 32, "address": ["0a090037"]}
    ynl("--do", "peer-add", "--json", json.dumps({"peer": one}))
    assert bytes.fromhex("11" * 32) in alpha.control.peers()
    ynl("--do", "peer-del", "--json", json.dumps({"peer": {"public-key": "11" * 32}}))
    assert set(alpha.control.peers()) == {peer}, alpha.control.peers()
    alpha.control.set_cipher(0)


def main():
    hosts.set_up()
    tap = wire.Tap(hosts.wire)
    ask()
    write_pcap("before.pcap", tap.take())
    mine, other = pypeer.identities()
    hosts.make_peers(mine, other)
    for address in beta.addresses:
        hosts.ping_once(alpha, address)
    ask()
    # IP options cannot go in transport mode.
    alpha.run("ping", "-q", "-c", "1", "-R", beta.v4)
    # So that all that JSON can have is there.
    alpha.veil("set", "local", "10.1.0.0/16", "rx-mark", "0x1/0x1")
    alpha.control.set_prefixes(other.public, "10.2.0.0/16", "fd02::/48", "10.3.0.1/32")
    alpha.control.add_policy("10.4.0.1/32", "require")
    alpha.run("nft", "-f", "-", input=alpha.veil("guard"))
    for name, words in {
        "metrics.prom": ("metrics",),
        "metrics.open": ("metrics", "openmetrics"),
        "show.json": ("-j", "show"),
        "peer.json": ("-j", "show", beta.v4),
        "show.txt": ("show",),
    }.items():
        write(name, alpha.veil(*words))
    alpha.run("nft", "flush", "ruleset")
    alpha.control.flush()
    wait_until(lambda: not beta.is_up(), 5, "the goodbye was heard")
    write_pcap("session.pcap", tap.frames())
    hosts.make_peers(mine, other)
    hosts.ping_once(alpha, beta.v4)
    write("top.ansi", screen())
    hosts.make_peers(mine, other)
    hosts.ping_once(alpha, beta.v4)
    write("policies.json", json.dumps(policies()))
    if os.path.exists(YNL):
        use_ynl(other.public)


main()
