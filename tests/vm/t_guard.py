#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=90 uml=no uml-debug=no
"""What is required stays shut whether the module is configured, loaded or not
(invariant 1, T5): the ruleset of `veil guard`, in any order with the module.
"""

import os
import re
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import wire
from hosts import VEIL, alpha, beta, command, drops_since, receive_all
from ktap import case, check, check_equal, wait_until
from packets import UDP
from veilproto import PORT, Identity

APP = 7000
IP_TRANSPARENT, IPV6_FREEBIND = 19, 78
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
    # Neighbours are asked for anew, too.
    for host in alpha, beta:
        host.run("ip", "-6", "neigh", "flush", "dev", "eth0")
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


@case("what a program sends from an address that is no device's is shut as well")
def foreign_source():
    hosts.flush_all()
    guard_on(state["rules"])
    before = guard_counts()["plaintext_out"]
    tap = wire.Tap(hosts.wire)
    for family, source, target, level, option in (
        (socket.AF_INET, "10.9.0.99", beta.v4, socket.IPPROTO_IP, IP_TRANSPARENT),
        (socket.AF_INET6, "fd09::99", beta.v6, socket.IPPROTO_IPV6, IPV6_FREEBIND),
    ):
        with alpha.socket(family, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(level, option, 1)
            sock.bind((source, APP))
            hosts.offer(sock, b"from elsewhere", (target, APP))
    gamma_says(b"after it")
    check(not any(b"from elsewhere" in frame for frame in tap.frames()), "none in clear")
    tap.close()
    check_equal(guard_counts()["plaintext_out"], before + 2, "what it dropped")
    guard_off()


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


def guard_counts(*words):
    """What veil metrics tells of the guard, by reason."""
    text = alpha.veil("metrics", *words)
    return {reason: int(value) for reason, value in re.findall(
        r'^netveil_guard_dropped_packets_total\{reason="(\w+)"\} (\d+)$', text, re.M)}


@case("its drops are in veil metrics, both ways and by themselves")
def counted():
    beta.control.flush()
    marker = b"in clear"
    for words in (), ("openmetrics",):
        guard_off()
        check_equal(guard_counts(*words), {}, "without the guard")
        guard_on(state["rules"])
        check_equal(guard_counts(*words), {"plaintext_in": 0, "plaintext_out": 0}, "at first")
        before = alpha.drops()
        for source in state["inbox"][beta], state["inbox6"][beta]:
            six = source is state["inbox6"][beta]
            for _ in range(3):
                hosts.offer(source, marker, (alpha.v6 if six else alpha.v4, APP))
        wait_until(lambda: guard_counts(*words)["plaintext_in"] >= 6, 10, "counted")
        gamma_says(b"after it")
        check_equal(guard_counts(*words)["plaintext_in"], 6, "what came in clear")
        check_equal(drops_since(before, alpha.drops()).get("plaintext_in", 0), 0,
                    "what Netveil saw of it")
    hosts.flush_all()
    hosts.offer(state["inbox"][alpha], marker, (beta.v4, APP))
    check_equal(guard_counts(), {"plaintext_in": 6, "plaintext_out": 1}, "out")
    guard_off()
    configured()
    guard_on(state["rules"])


@case("fragments of sealed packets pass")
def fragments():
    word = os.urandom(3000)
    for inboxes in state["inbox"], state["inbox6"]:
        for source, target in (alpha, beta), (beta, alpha):
            to = inboxes[target].getsockname()[0]
            receive_all(inboxes[target])
            inboxes[source].sendto(word, (to, APP))
            wait_until(lambda: word in receive_all(inboxes[target]), 10, "3000 bytes to " + to)


@case("flushed and unloaded: nothing passes any more")
def gone():
    hosts.flush_all()
    check_equal(passes()[0], [], "datagrams that arrive after a flush")
    # By Netveil's own port a program of this host sends as little.
    before = guard_counts()["plaintext_out"]
    with alpha.udp(alpha.v4, PORT) as sock:
        hosts.offer(sock, b"by that port", (beta.v4, APP))
    check_equal(guard_counts()["plaintext_out"], before + 1, "what the guard dropped")
    hosts.unload_module()
    got, clear = passes()
    check_equal((got, clear), ([], 2), "what passes without the module")
    guard_off()
    check_equal(passes(), (BOTH, 4), "without the guard: the control")
    hosts.load_module()


EVERYTHING = ("0.0.0.0/0", "::/0")
NETWORK = ("10.2.0.0/24", "fd02::/64")


def gateways(behind_beta):
    """A session; alpha's network behind alpha, and that behind beta, but for the
    stranger of gamma_says()."""
    hosts.make_gateways(prefixes=(("10.1.0.0/24", "fd01::/64"), behind_beta))
    alpha.control.set_locals("10.1.0.0/24", "fd01::/64")
    alpha.control.add_policy("10.9.0.64/26", "bypass")


def across():
    """Datagrams that arrive between left and right, and how many are in clear on the
    wire; alpha's own network is open to it whatever happens."""
    tap, marker = wire.Tap(hosts.wire), os.urandom(8).hex().encode()
    inboxes = state["across"]
    for sock in inboxes:
        receive_all(sock)
    for sock, to in inboxes.items():
        hosts.offer(sock, marker, (to, APP))
    left, lan = state["sides"][0].udp("10.1.0.2"), alpha.udp("10.1.0.1", APP)
    with left, lan:
        for one, other in (left, lan), (lan, left):
            one.sendto(marker, other.getsockname())
            wait_until(lambda: marker in receive_all(other), 10, "on alpha's own link")
    gamma_says(b"after " + marker)
    got = [to for sock, to in inboxes.items() if marker in arrived(to)]
    clear = [f for f in tap.frames() if marker in f and b"after" not in f]
    tap.close()
    return got, len(clear)


def arrived(to):
    sock = next(s for s in state["across"] if s.getsockname()[0] == to)
    return receive_all(sock)


def networks(behind_beta):
    gateways(behind_beta)
    text = command(VEIL, "-n", "alpha", "guard")
    everyone = list(state["across"].values())
    hosts.flush_all()
    wait_until(lambda: across() == (everyone, 4), 10, "without the guard: the control")
    guard_on(text)
    wait_until(lambda: across()[0] == [], 10, "shut")
    # Two are beta's own, which has no guard.
    check_equal(across(), ([], 2), "what arrives, and in clear")
    gateways(behind_beta)
    wait_until(lambda: across()[0] == everyone, 20, "traffic between the networks")
    check_equal(across(), (everyone, 0), "what arrives, and in clear")
    guard_off()


@case("prefixes behind a peer are shut for what is forwarded as well")
def prefixes():
    left, right = state["sides"] = hosts.add_networks()
    state["across"] = {
        left.udp("10.1.0.2", APP): "10.2.0.2",
        right.udp("10.2.0.2", APP): "10.1.0.2",
        left.udp("fd01::2", APP): "fd02::2",
        right.udp("fd02::2", APP): "fd01::2",
    }
    networks(NETWORK)


@case("all addresses behind a peer: but for those in a network of ours")
def all_behind():
    networks(EVERYTHING)
    hosts.flush_all()


@case("what is forwarded gets through by no port that Netveil itself uses")
def forwarded_ports():
    gateways(NETWORK)
    guard_on(command(VEIL, "-n", "alpha", "guard"))
    hosts.flush_all()
    left, right = state["sides"]
    with left.udp("10.1.0.2", PORT) as one, right.udp("10.2.0.2", PORT) as other:
        for sock, to in (one, "10.2.0.2"), (other, "10.1.0.2"):
            sock.sendto(b"by that port", (to, PORT))
        gamma_says(b"after it")
        check_equal(receive_all(one) + receive_all(other), [], "arrived")
        guard_off()
        for sock, to in (one, "10.2.0.2"), (other, "10.1.0.2"):
            sock.sendto(b"by that port", (to, PORT))
        for sock in one, other:
            wait_until(lambda: receive_all(sock), 10, "without the guard: the control")


def quoted(family, ports, fragment, protocol=UDP):
    """An outer packet of ours, or the first fragment of one, as a router quotes it."""
    source, target = alpha.addresses[family], beta.addresses[family]
    segment = packets.udp(source, target, *ports, b"\4\0\0\1" + bytes(96))
    if fragment:
        header = struct.pack(">BBHI", protocol, 0, 1, 7)
        return packets.ip(source, target, packets.FRAGMENT, header + segment)
    return packets.ip(source, target, protocol, segment)


def message(family, kind, packet):
    """An ICMP message of this type from beyond beta that quotes packet."""
    ends = ("10.2.0.9", "fd02::9")[family], alpha.addresses[family]
    protocol = (packets.ICMP, packets.ICMPV6)[family]
    body = struct.pack(">BBHI", kind, 0, 0, 0) + packet[:548]
    check_sum = packets.l4_checksum(*ends, protocol, body) if family else packets.checksum(body)
    return packets.ip(*ends, protocol, body[:2] + struct.pack(">H", check_sum) + body[4:])


@case("an error about a sealed packet passes, to whatever port; about another it does not")
def errors():
    gateways(NETWORK)
    guard_on(command(VEIL, "-n", "alpha", "guard"))
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    dropped = 0
    for family, router in enumerate(("10.2.0.9", "fd02::9")):
        for ports, passed in (
            ((PORT, PORT), True),
            ((PORT + 63, 4444), True),
            ((PORT + 64, PORT), False),
            ((APP, PORT), False),
        ):
            for fragment in range(1 + family):
                packet = quoted(family, ports, fragment)
                ends = router, alpha.addresses[family]
                injector.packet(packets.too_big(*ends, packet, 1300))
                gamma_says(b"after it")
                dropped += not passed
                what = "what the guard dropped, with %s of %s" % (ports, router)
                check_equal(guard_counts()["plaintext_in"], dropped, what)
    guard_off()


@case("errors of each type pass, other messages that look like one do not, nor errors about TCP")
def messages():
    gateways(NETWORK)
    guard_on(command(VEIL, "-n", "alpha", "guard"))
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    dropped = 0
    for family, errors_of, others in (0, (3, 11, 12), (0, 5, 8, 14)), (1, (1, 2, 3, 4), (0, 5, 127, 128)):
        for fragment in range(1 + family):
            ours = quoted(family, (PORT, PORT), fragment)
            tcp = quoted(family, (PORT, PORT), fragment, packets.TCP)
            for kind, packet, passed in (
                *((kind, ours, True) for kind in errors_of),
                *((kind, tcp, False) for kind in errors_of),
                *((kind, ours, False) for kind in others),
            ):
                injector.packet(message(family, kind, packet))
                gamma_says(b"after it")
                dropped += not passed
                what = "what the guard dropped, with type %d" % kind
                check_equal(guard_counts()["plaintext_in"], dropped, what)
    guard_off()


@case("the error gets to Netveil, which judges it")
def judged():
    gateways(NETWORK)
    guard_on(command(VEIL, "-n", "alpha", "guard"))
    before = alpha.drops()
    packet = packets.too_big("10.2.0.9", alpha.v4, quoted(0, (PORT, PORT), False), 1300)
    wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac()).packet(packet)
    gamma_says(b"after it")
    check_equal(drops_since(before, alpha.drops()), {"icmp_unproven": 1}, "drops")
    guard_off()


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


def says(*words, **options):
    """veil's exit code and what it says."""
    done = subprocess.run((VEIL, *words), text=True, capture_output=True, **options)
    return done.returncode, done.stderr


@case("of another namespace nothing is installed where the host's own guard is, nor removed")
def elsewhere():
    alpha.control.add_policy("10.0.0.0/8", "require")
    for word in "install", "remove":
        code, said = says("-n", "alpha", "guard", word)
        check(code == 2 and "own network namespace" in said, "-n alpha " + word, code, said)
        with alpha.inside():
            code, said = says("guard", word)
        check(code == 2 and "own network namespace" in said, "there " + word, code, said)
    check(not os.path.exists("/etc/netveil/guard.nft"), "nothing is written")
    check_equal(command("nft", "list", "tables"), "", "nothing is loaded")
    check_equal(alpha.run("nft", "list", "tables"), "", "there neither")
    hosts.flush_all()


@case("what nft refuses takes no place of a ruleset, and what is linked elsewhere is no unit")
def install_refused():
    rules, link = "/etc/netveil/guard.nft", "/etc/systemd/system/sysinit.target.wants"
    link += "/netveil-guard.service"
    command(VEIL, "policy", "add", "10.0.0.0/8", "require")
    try:
        check_equal(says("guard", "install"), (0, ""), "install")
        check("inet netveil" in command("nft", "list", "tables"), "it is loaded")
        with open(rules, encoding="ascii") as file:
            before = file.read()
        command(VEIL, "policy", "add", "172.16.0.0/12", "require")
        with tempfile.TemporaryDirectory() as folder:
            with open(folder + "/nft", "w", encoding="ascii") as file:
                file.write("#!/bin/sh\nexit 1\n")
            os.chmod(folder + "/nft", 0o755)
            path = "%s:%s" % (folder, os.environ["PATH"])
            code, said = says("guard", "install", env={**os.environ, "PATH": path})
        check(code == 1 and "nft does not take" in said, "refused", code, said)
        with open(rules, encoding="ascii") as file:
            check_equal(file.read(), before, "the ruleset")
        check_equal(os.listdir("/etc/netveil"), ["guard.nft"], "the folder")
        os.unlink(link)
        os.symlink("/dev/null", link)
        code, said = says("guard", "install")
        check(code == 1 and "something else" in said, "masked", code, said)
    finally:
        command(VEIL, "guard", "remove")
        command(VEIL, "flush")


@case("another port, and other local networks, are said to want another ruleset")
def outdated():
    hosts.make_peers(state["a"], state["b"])
    for words in ("listen-port", "4000"), ("local", "10.3.0.0/16"), ("no-local",):
        check_equal(says("-n", "alpha", "set", *words), (0, ""), "without the guard")
        guard_on(command(VEIL, "-n", "alpha", "guard"))
        code, said = says("-n", "alpha", "set", *words)
        check(code == 0 and "make it anew" in said, "with it", words, code, said)
        guard_off()
    guard_on(command(VEIL, "-n", "alpha", "guard"))
    for text, wanted in ("cipher auto", ""), ("listen-port 4001", "make it anew"):
        code, said = says("-n", "alpha", "load", "-", input="set " + text)
        check(code == 0 and (wanted in said if wanted else not said), text, code, said)
    guard_off()
    hosts.flush_all()


if __name__ == "__main__":
    ktap.run(set_up)
