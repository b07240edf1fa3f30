#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=900 long=faults icount=yes
"""Every allocation of the module's fails in turn (make check-faults, on the debug
kernel): a request that is refused for it changes nothing, a namespace is whole or
not there, nothing leaves in clear, sessions live on, nothing leaks (invariants 1
and 5).
"""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import faults
import genl
import hosts
import ktap
import wire
from every_request import REQUESTS, all_or_nothing, ready
from hosts import alpha, beta, drops_since, receive_all
from ktap import case, check, check_equal, note, wait_until
from veilproto import Identity

APP = 7000
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()


def set_up():
    hosts.topology_up("--offload")
    hosts.load_module()


@case("every request: each of its allocations fails; it is done, or nothing of it")
def requests():
    faults.need(by_stack=False)
    faults.aim_at_module()
    control, bad = alpha.control, []
    for name in REQUESTS:
        try:
            failed, survived = all_or_nothing(control, name, faults.sweep)
            note("%-28s %3d points failed, %d survived" % (name, failed, survived))
        except AssertionError as error:
            bad.append("%s: %s" % (name, error))
            note(bad[-1])
    ready(control)
    control.flush()
    check_equal(bad, [], "requests that were half done")


@case("a namespace begins while allocations fail: it is whole, or not there")
def namespaces():
    faults.need()
    faults.aim_at_module()
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    def attempt(arm, disarm):
        arm()
        try:
            os.unshare(os.CLONE_NEWNET)
            made = True
        except OSError:
            made = False
        reached = disarm()
        if made:
            control = genl.Control()
            ready(control)
            check_equal(len(control.peers()), 1, "peers there")
            control.flush()
            control.close()
            os.setns(home, os.CLONE_NEWNET)
        return reached

    note("%d points failed" % faults.sweep(attempt))


# Traffic


class Traffic:
    """Datagrams of many sizes both ways, and a short TCP transfer."""

    def __init__(self):
        self.pairs = []
        for source, target in (alpha, beta), (beta, alpha):
            for one, other in zip(source.addresses, target.addresses):
                ends = source.udp(one), target.udp(other, APP)
                self.pairs.append((*ends, (other, APP)))
        self.listener = beta.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind((beta.v4, 0))
        self.listener.listen()

    def close(self):
        self.listener.close()
        for sender, receiver, _ in self.pairs:
            sender.close()
            receiver.close()

    def datagrams(self):
        arrived = 0
        for size in 1, 40, 200:
            for sender, receiver, to in self.pairs:
                hosts.offer(sender, MARKER * size, to)
                arrived += len(receive_all(receiver))
        return arrived

    def stream(self):
        """It may need its time, and arrives."""
        client = alpha.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.settimeout(60)
        client.connect(self.listener.getsockname())
        server = self.listener.accept()[0]
        server.settimeout(60)
        text = MARKER * 1500
        client.sendall(text)
        client.close()
        got = b""
        while len(got) < len(text):
            chunk = server.recv(1 << 16)
            check(chunk, "the stream goes on", len(got))
            got += chunk
        server.close()
        check(got == text, "the stream arrives as sent")

    def alive(self):
        wait_until(lambda: self.datagrams() == 12, 60, "all datagrams arrive again")


def sessions():
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    hosts.ping_once(beta, alpha.v4)
    wait_until(lambda: alpha.is_up() and beta.is_up(), 30, "sessions")


def sweep_functions(times, work):
    """work() once for each function of the module, the first allocations of which
    fail: those where some did."""
    hit = {}
    for name, start, end in faults.functions():
        with faults.failing(start, end, times) as failed:
            work()
        if failed[0]:
            hit[name] = failed[0]
            yield name
    note("%d functions' allocations failed: %s" % (len(hit), " ".join(sorted(hit))))
    wanted.difference_update(hit)


# Where packets and sessions are allocated for; none that a compiler hides in its
# caller.
wanted = set(
    "veil_seal veil_seal_batch veil_open veil_open_batch veil_request_alloc veil_xmit"
    " veil_socket_send veil_session_create veil_cipher_alloc veil_responder_handle".split()
)


def in_clear(tap):
    return [frame for frame in tap.frames() if MARKER in frame]


@case("traffic, while each function's allocations fail: nothing in clear, and it goes on")
def under_traffic():
    faults.need()
    sessions()
    traffic, tap = Traffic(), wire.Tap(hosts.wire, whole=False)
    before = [h.drops() for h in (alpha, beta)]

    def work():
        traffic.datagrams()
        traffic.stream()

    for _ in sweep_functions(3, work):
        traffic.alive()
        check_equal(in_clear(tap), [], "frames in clear")
    note([drops_since(b, h.drops()) for b, h in zip(before, (alpha, beta))])
    check_equal(in_clear(tap), [], "frames in clear of %d" % len(tap.kept))
    tap.close()
    traffic.close()


@case("handshakes, while each function's allocations fail: a session comes all the same")
def under_handshakes():
    faults.need()
    sessions()
    traffic, tap = Traffic(), wire.Tap(hosts.wire, whole=False)

    def work():
        for host in alpha, beta:
            host.control.session_reset()
        traffic.alive()

    for _ in sweep_functions(2, work):
        check_equal(in_clear(tap), [], "frames in clear")
    check_equal(in_clear(tap), [], "frames in clear of %d" % len(tap.kept))
    tap.close()
    traffic.close()
    check_equal(sorted(wanted), [], "functions whose allocations never failed")


ktap.run(set_up)
