#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=100
"""A namespace that is deleted under load lets nothing out in clear, to its very
end, and other namespaces work as before.
"""

import contextlib
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import wire
from hosts import alpha, beta, command, receive
from ktap import case, check, note, wait_until
from veilproto import Identity

MARKER = b"veil-marker-" + os.urandom(8).hex().encode()


# Sends from a namespace that only this program and its socket keep alive.
FLOOD = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("ready", flush=True)
while True:
    try:
        s.sendto(b"%s" * 20, ("%s", 7000))
    except OSError:
        pass
"""


@contextlib.contextmanager
def program(host, text):
    running = host.start("python3", "-c", text, stdout=subprocess.PIPE)
    running.stdout.readline()
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


@contextlib.contextmanager
def asked(gamma):
    """Echo requests in clear, as if from beta: a namespace's kernel would answer
    them to its very end, when no program holds it any more."""
    injector = wire.Injector(hosts.wire, "wg", beta.mac(), gamma.mac())
    echo = packets.echo_request(beta.v4, gamma.v4, 7, MARKER)
    request = packets.ip(beta.v4, gamma.v4, packets.ICMP, echo)
    stopped = threading.Event()

    def ask():
        while not stopped.is_set():
            try:
                injector.packet(request)
            except OSError:
                return  # the device is gone

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        injector.close()


def wire_has(device):
    with hosts.wire.inside(), open("/proc/thread-self/net/dev", encoding="ascii") as f:
        return device + ":" in f.read()


def delete_under_load():
    hosts.flush_all()
    gamma, me, other = hosts.add_gamma(), Identity(), Identity()
    hosts.make_peer(gamma, me, other.public, beta)
    hosts.make_peer(beta, other, me.public, gamma)
    ours = gamma.addresses + beta.addresses
    inbox, tap, mac = beta.udp(beta.v4, 7000), wire.Tap(hosts.wire, "wg"), gamma.mac()
    text = FLOOD % (MARKER.decode(), beta.v4)
    with asked(gamma):
        with program(gamma, text):
            wait_until(lambda: receive(inbox), 20, "the flood arrives")
            gamma.forget_control()
            command("ip", "netns", "del", "gamma")
        wait_until(lambda: not wire_has("wg"), 20, "the namespace is gone")
    frames = [frame for frame in tap.kept + tap.take() if frame[6:12] == mac]
    judge = wire.only_netveil(frames, ours, (MARKER,))
    note("messages of the namespace by type: %s" % judge.messages)
    check(judge.messages[4] > 0, "data messages", judge.messages)
    tap.close()
    inbox.close()


@case("a namespace deleted under load lets nothing out in clear, three times")
def deleted():
    for _ in range(3):
        delete_under_load()


@case("the others work as before")
def others_work():
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)


ktap.run(hosts.set_up)
