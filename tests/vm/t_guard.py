#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=90 uml=no uml-debug=no
"""What is required stays shut whether the module is configured, loaded or not
(invariant 1, T5): the ruleset of `veil guard`, in any order with the module.
"""

import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import wire
from hosts import VEIL, alpha, beta, command, receive_all
from ktap import case, check, check_equal, wait_until
from packets import UDP
from veilproto import Identity

APP = 7000
state = {}


def set_up():
    hosts.set_up()
    state["a"], state["b"] = Identity(), Identity()
    state["inbox"] = {h: h.udp(h.v4, APP) for h in (alpha, beta)}
    state["inbox6"] = {h: h.udp(h.v6, APP) for h in (alpha, beta)}


def guard_on(text):
    command("nft", "-c", "-f", "-", input=text)
    alpha.run("nft", "-f", "-", input=text)


def guard_off():
    alpha.run("nft", "flush", "ruleset")


def passes():
    """Which of alpha's and beta's datagrams, v4 and v6, arrive in the end; and
    whether the marker was on the wire."""
    tap, marker = wire.Tap(hosts.wire), os.urandom(8).hex().encode()
    inboxes = [*state["inbox"].items(), *state["inbox6"].items()]
    for _, sock in inboxes:
        receive_all(sock)
    for host, sock in inboxes:
        other = beta if host is alpha else alpha
        six = sock in state["inbox6"].values()
        hosts.offer(sock, marker, (other.v6 if six else other.v4, APP))
    # What comes after: the same way, between addresses that nobody guards.
    gamma_says(b"after " + marker)
    got = [h.name for h, sock in inboxes if marker in receive_all(sock)]
    clear = [f for f in tap.frames() if marker in f and b"after" not in f]
    tap.close()
    return got, len(clear)


def gamma_says(word):
    ends = "10.9.0.77", alpha.v4
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    packet = packets.ip(*ends, UDP, packets.udp(*ends, APP, APP + 1, word))
    with alpha.udp(alpha.v4, APP + 1) as sock:

        def heard():
            injector.packet(packet)
            return word in receive_all(sock)

        wait_until(heard, 10, "a stranger's datagram")


BOTH = ["alpha", "beta", "alpha", "beta"]


def everything():
    wait_until(lambda: passes()[0] == BOTH, 20, "traffic both ways, v4 and v6")
    check_equal(passes(), (BOTH, 0), "what passes, and in clear")


def configured():
    hosts.make_peers(state["a"], state["b"])
    wait_until(lambda: alpha.is_up() and beta.is_up(), 20, "a session")


@case("it is made from the configuration, and nft takes it")
def made():
    hosts.flush_all()
    alpha.control.add_policy("10.0.0.0/8", "require")
    alpha.control.add_policy("10.9.0.64/26", "bypass")
    alpha.control.add_peer(state["b"].public, *beta.addresses)
    text = state["rules"] = command(VEIL, "-n", "alpha", "guard")
    for part in "10.9.0.2 ", "fd09::2 ", "10.9.0.64/26 } accept", "10.0.0.0/8":
        check(part in text, part, text)
    check(text.index("10.9.0.64/26") < text.index("10.0.0.0/8"), "longest first")
    guard_on(text)
    guard_off()


@case("the module is there and knows nobody: nothing in clear passes, either way")
def unconfigured():
    hosts.flush_all()
    check(passes()[1] == 4, "without the guard: the control")
    guard_on(state["rules"])
    wait_until(lambda: passes() == ([], 0) or passes()[1] == 2, 10, "shut")
    got, clear = passes()
    check_equal(got, [], "datagrams that arrive")
    check_equal(clear, 2, "frames in clear: beta's own, which has no guard")


@case("configured: traffic flows, sealed, with the guard before it")
def flows():
    configured()
    everything()


@case("the other order: the guard comes when there is a session; conntrack too")
def other_order():
    guard_off()
    configured()
    guard_on(state["rules"])
    alpha.run("nft", "add table inet t")
    alpha.run("nft", "add chain inet t c { type filter hook output priority 0; }")
    alpha.run("nft", "add rule inet t c ct state new counter")
    everything()
    alpha.run("nft", "delete table inet t")


@case("fragments of sealed packets pass")
def fragments():
    word = os.urandom(3000)
    sock = state["inbox"][beta]
    receive_all(sock)
    state["inbox"][alpha].sendto(word, (beta.v4, APP))
    wait_until(lambda: word in receive_all(sock), 10, "3000 bytes to beta")
    state["inbox"][beta].sendto(word, (alpha.v4, APP))
    wait_until(
        lambda: word in receive_all(state["inbox"][alpha]), 10, "3000 bytes to alpha"
    )


@case("flushed and unloaded: nothing passes any more")
def gone():
    hosts.flush_all()
    check_equal(passes()[0], [], "datagrams that arrive after a flush")
    hosts.unload_module()
    got, clear = passes()
    check_equal((got, clear), ([], 2), "what passes without the module")
    guard_off()
    check_equal(passes(), (BOTH, 4), "without the guard: the control")
    hosts.load_module()


@case("install and remove, in a folder: the ruleset, and a unit before the network")
def install():
    alpha.control.add_policy("10.0.0.0/8", "require")
    with tempfile.TemporaryDirectory() as root:
        command(VEIL, "-n", "alpha", "guard", "install", "--root", root)
        with open(root + "/etc/netveil/guard.nft", encoding="ascii") as file:
            check("10.0.0.0/8" in file.read(), "the prefix")
        units = root + "/etc/systemd/system/"
        link = units + "sysinit.target.wants/netveil-guard.service"
        with open(link, encoding="ascii") as file:
            text = file.read()
        check("Before=network-pre.target" in text, "order", text)
        command(VEIL, "guard", "remove", "--root", root)
        check(not os.path.lexists(link), "removed")
        check(not os.path.exists(root + "/etc/netveil/guard.nft"), "removed")
    hosts.flush_all()


if __name__ == "__main__":
    ktap.run(set_up)
