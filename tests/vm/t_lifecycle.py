#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=150 once=yes
"""Hosts come and go: a peer that restarts, a link that goes down, a peer that is
removed. Sessions come back by themselves, and nothing is ever in
clear meanwhile.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import pypeer
import wire
from hosts import alpha, beta, receive, receive_all
from ktap import case, check, check_equal, note, wait_until

APP = 7000
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
OURS = alpha.addresses + beta.addresses
# What a user would call at once, on an emulated CPU.
SECONDS = 6
OTHER = pypeer.identities()[0].public, "10.9.0.77"
state = {}


def set_up():
    hosts.set_up()
    state["a"], state["b"] = pypeer.identities()
    for host in alpha, beta:
        host.sysctl("ipv6/conf/eth0/keep_addr_on_down", 1)
    state["inbox"] = {a: h.udp(a, APP) for h in (alpha, beta) for a in h.addresses}


def say(source, target):
    state["inbox"][source].sendto(MARKER, (target, APP))


def arrives(source, target, seconds=SECONDS):
    """Sends until something arrives; how long that took."""
    start = time.monotonic()
    receive_all(state["inbox"][target])

    def arrived():
        hosts.offer(state["inbox"][source], MARKER, (target, APP))
        return receive(state["inbox"][target])

    wait_until(arrived, seconds, "%s hears %s" % (target, source), every=0.1)
    return time.monotonic() - start


def both_ways(seconds=SECONDS):
    spent = arrives(alpha.v4, beta.v4, seconds), arrives(beta.v6, alpha.v6, seconds)
    note("after %.1f and %.1f s" % spent)


def configure():
    hosts.make_peers(state["a"], state["b"])


def crash(host):
    """All that the host's module knew is gone, and it had no time to say so."""
    with wire.Relay(hosts.wire) as relay:
        relay.rule = lambda to, frame: []
        host.control.flush()
        wait_until(lambda: relay.seen, 5, "the goodbye, which is lost")
    if host is beta:
        hosts.make_peer(beta, state["b"], state["a"].public, alpha)
    else:
        hosts.make_peer(alpha, state["a"], state["b"].public, beta)


@case("a peer that crashed and restarted is back in seconds, whoever speaks first")
def peer_restarts():
    for host, first in (
        (beta, (alpha, beta)),
        (beta, (beta, alpha)),
        (alpha, (alpha, beta)),
    ):
        configure()
        both_ways()
        tap = wire.Tap(hosts.wire)
        crash(host)
        for source, target in (first, first[::-1]):
            note("%.1f s" % arrives(source.v4, target.v4))
        wire.only_netveil(tap.frames(), OURS, (MARKER,))
        tap.close()


@case("a peer that leaves in order says so, and the session ends at once")
def close_is_heard():
    configure()
    both_ways()
    beta.control.flush()
    wait_until(lambda: not alpha.is_up(), 3, "alpha's session has ended")


@contextlib.contextmanager
def small_buffers():
    """Of sockets that are opened meanwhile, so that few events are too many."""
    size = pathlib.Path("/proc/sys/net/core/rmem_default")
    before = size.read_text(encoding="ascii")
    size.write_text("16384", encoding="ascii")
    try:
        yield
    finally:
        size.write_text(before, encoding="ascii")


def monitor_ends(meanwhile, *why):
    """The exit code and words of a monitor, during which the module goes."""
    hosts.flush_all()
    with tempfile.TemporaryFile() as log:
        monitor = alpha.start(
            hosts.VEIL, "monitor", stdout=log, stderr=subprocess.PIPE, text=True
        )

        def hears():
            change_peers()
            return os.fstat(log.fileno()).st_size

        wait_until(hears, 20, "an event", every=0.2)
        check(monitor.poll() is None, "it goes on")
        try:
            meanwhile(monitor)
            _, said = monitor.communicate(timeout=20)
        finally:
            monitor.kill()
            hosts.load_module()
        check(monitor.returncode == 1 and all(each in said for each in why),
              "why it ends", monitor.returncode, said)


def change_peers():
    alpha.control.add_peer(*OTHER)
    alpha.control.delete_peer(OTHER[0])


@case("veil monitor ends with the module, whose events it would never hear again")
def monitored():
    monitor_ends(lambda monitor: hosts.unload_module(), "module was removed")


@case("veil monitor ends with the module when that is among the events it lost")
def monitor_overrun():
    def overrun(monitor, then):
        monitor.send_signal(signal.SIGSTOP)
        for _ in range(50):
            change_peers()
        hosts.unload_module()
        then()
        monitor.send_signal(signal.SIGCONT)

    with small_buffers():
        monitor_ends(lambda monitor: overrun(monitor, lambda: None), "some are lost", "not loaded")
        monitor_ends(lambda monitor: overrun(monitor, hosts.load_module), "some are lost",
                     "module was removed")


@case("a peer of before the module was reloaded, which goes on sealing, gets a new session")
def module_reloaded():
    hosts.flush_all()
    hosts.make_peer(alpha, state["a"], state["b"].public, beta)
    peer = pypeer.PythonPeer(beta, state["b"], alpha, state["a"].public)
    old = peer.initiate()
    peer.send_udp(APP, APP, b"before")
    pypeer.socket_receives(state["inbox"][alpha.v4], b"before")
    alpha.control.flush()
    hosts.unload_module()
    hosts.load_module()
    hosts.make_peer(alpha, state["a"], state["b"].public, beta)
    peer.forget()
    start = time.monotonic()

    def asked():
        peer.send_udp(APP, APP, b"sealed long ago", session=old)
        return peer.take_initiation()

    peer.respond(wait_until(asked, SECONDS, "an initiation", every=0.2))
    peer.wait(pypeer.veilproto.DATA)
    peer.send_udp(APP, APP, b"after")
    pypeer.socket_receives(state["inbox"][alpha.v4], b"after")
    note("after %.1f s" % (time.monotonic() - start))
    peer.close()


@case("a link that goes down and up again: traffic goes on")
def link_flaps():
    configure()
    both_ways()
    tap = wire.Tap(hosts.wire)
    for host in alpha, beta:
        hosts.ip_batch(host, "link set eth0 down")
        hosts.offer(state["inbox"][alpha.v4], MARKER, (beta.v4, APP))
        hosts.ip_batch(host, "link set eth0 up")
        both_ways()
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    tap.close()


@case("the listen port changes under traffic: its sockets are replaced, never missing")
def port_changes():
    configure()
    both_ways()
    before = alpha.drops()
    for port in *range(52000, 52007), 51888:
        change = alpha.start(hosts.VEIL, "set", "listen-port", str(port))
        while change.poll() is None:
            say(alpha.v4, beta.v4)
            say(alpha.v6, beta.v6)
        check_equal(change.returncode, 0, "veil set listen-port")
        beta.control.add_peer(state["a"].public, port=port, command=genl.PEER_SET)
        both_ways()
    moved = hosts.drops_since(before, alpha.drops())
    check(not moved.get("no_memory"), "none is lost for want of a socket", moved)


@case("packets that wait when the peer is removed are dropped, not sent in clear")
def removed_while_waiting():
    hosts.flush_all()
    # Somebody listens at beta and says nothing: an ICMP error would come in clear.
    silent = beta.udp(beta.v4, hosts.PORT)
    hosts.make_peer(alpha, state["a"], state["b"].public, beta)
    tap = wire.Tap(hosts.wire)
    for _ in range(20):
        say(alpha.v4, beta.v4)
    wait_until(lambda: alpha.peer()["queued"] == 20, 5, "20 packets wait")
    before = alpha.drops()
    alpha.control.delete_peer(state["b"].public)
    moved = hosts.drops_since(before, alpha.drops())
    check_equal(moved, {"policy_changed": 20}, "drop counters that moved")
    silent.close()
    say(alpha.v4, beta.v4)
    pypeer.socket_receives(state["inbox"][beta.v4], MARKER)
    seen = [frame for frame in tap.frames() if MARKER in frame]
    check_equal(len(seen), 1, "frames in clear: the one sent after")
    tap.close()


ktap.run(set_up)
