#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120 once=yes
"""veil check finds what is wrong and says what to do; veil stats and top show
what goes on.
"""

import json
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import pypeer
import wire
from hosts import alpha, beta
from ktap import case, check, check_equal, wait_until

MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
state = {}


def set_up():
    hosts.set_up()
    state["a"], state["b"] = pypeer.identities()


def veil(*words):
    done = subprocess.run(
        (hosts.VEIL, "-n", "alpha", *words),
        capture_output=True, text=True, check=False,
    )
    return done.returncode, done.stdout, done.stderr


def checked(*words):
    """Exit code, and result and text by what was looked at."""
    code, out, err = veil("-j", "check", *words)
    check_equal(err, "", "standard error")
    return code, {c["check"]: (c["result"], c["text"]) for c in json.loads(out)}


def found(what, result, word, *words):
    code, told = checked(*words)
    check(what in told, "looked at " + what, told)
    check(told[what][0] == result and word in told[what][1], what, told)
    check_equal(code, int(any(r == "wrong" for r, _ in told.values())), "exit code")
    return told


def connected(psk=None):
    hosts.make_peers(state["a"], state["b"], psk)
    hosts.ping_once(alpha, beta.v4)


@case("check finds nothing where all is well, for every way to name a peer")
def well():
    connected()
    for word in (), (beta.v4,), (beta.v6,), (veil("-j", "peer")[1].split('"')[3][:6],):
        code, told = checked(*word)
        check(code == 0, "exit code", word, told)
        check_equal({w: r for w, (r, _) in told.items() if w != "clock"},
                    dict.fromkeys(("module", "key", "policy", "route", "handshake",
                                   "traffic", "mtu"), "ok"), "results")
    code, out, _ = veil("check")
    check(code == 0 and all(l.split()[0] in ("ok", "doubtful") for l in out.splitlines()),
          "as text", out)
    check("packets of 1458 bytes pass" in out, "the MTU", out)


@case("check without a key, without peers, with a stranger's address")
def nothing():
    hosts.flush_all()
    found("key", "wrong", "veil key generate")
    found("policy", "wrong", "veil peer add")
    code, out, err = veil("check", "10.9.0.99")
    check(code == 1 and "no such peer" in err, "a stranger", code, out, err)


@case("check finds a peer that does not answer")
def silent():
    connected(os.urandom(32))
    alpha.control.set_psk(state["b"].public, os.urandom(32))
    wait_until(lambda: not alpha.is_up(), 5, "the session has ended")
    told = found("handshake", "wrong", "the same psk")
    check("mtu" not in told, "what needs a session is not tried", told)


@case("metrics tell who is up, and who is wanted and is not")
def told_apart():
    connected()

    def values(name):
        return dict(re.findall(r'^netveil_peer_%s\{.*address="([\d.]+)"\} (\d)$' % name,
                               veil("metrics")[1], re.M))

    idle, wanted = "10.9.0.7", "10.9.0.8"
    for address in idle, wanted:
        alpha.control.add_peer(os.urandom(32), address)
    with alpha.udp(alpha.v4) as sock:
        hosts.offer(sock, b"anybody?", (wanted, 9))
        wait_until(lambda: values("handshake_pending")[wanted] == "1", 10, "a handshake")
    check_equal(values("up"), {beta.v4: "1", idle: "0", wanted: "0"}, "up")
    check_equal(values("handshake_pending")[beta.v4], "0", "wanted, of who is up")


@case("check finds that there is no route")
def route():
    hosts.flush_all()
    hosts.make_peer(alpha, state["a"], state["b"].public, hosts.Host("far", "192.0.2.1"))
    found("route", "wrong", "ip route get 192.0.2.1")


@case("check finds a firewall that refuses")
def firewall():
    connected()
    rules = "table inet t { chain o { type filter hook output priority 0; %s drop; }; }"
    alpha.run("nft", rules % "icmp type echo-request")
    try:
        found("firewall", "wrong", "OUTPUT")
    finally:
        alpha.run("nft", "flush ruleset")
    beta.run("nft", rules.replace("output", "input") % "icmp type echo-request")
    try:
        found("traffic", "doubtful", "firewall")
    finally:
        beta.run("nft", "flush ruleset")


@case("check finds a path that swallows long packets")
def black_hole():
    connected()
    hosts.wire.run("ip", "link", "set", "wb", "mtu", "1300")
    try:
        found("mtu", "wrong", "packets of 1458 bytes get lost")
    finally:
        hosts.wire.run("ip", "link", "set", "wb", "mtu", "1500")
    found("mtu", "ok", "1458")


@case("stats has the rates of an interval")
def stats():
    connected()
    sock = alpha.udp(alpha.v4)
    reader = subprocess.Popen(
        (hosts.VEIL, "-n", "alpha", "-j", "stats", "interval", "2"),
        stdout=subprocess.PIPE, text=True)
    while reader.poll() is None:
        sock.sendto(bytes(972), (beta.v4, 9))
        time.sleep(0.01)
    peer, = json.loads(reader.stdout.read())
    packets = peer["tx_packets_per_second"]
    check(10 < packets <= 105, "packets a second", peer)
    check(abs(peer["tx_bits_per_second"] / packets - 8000) < 300, "bits", peer)
    code, out, _ = veil("stats")
    lines = out.splitlines()
    check(code == 0 and len(lines) == 2 and lines[1].startswith(beta.v4), "as text", out)
    check(veil("stats", "interval", "0")[0] == 2, "no interval of 0")


@case("top draws on a terminal, and leaves it as it was")
def top():
    connected()
    code, out, err = veil("top")
    check(code == 2 and "veil -j stats" in err and not out, "without a terminal", err)
    leader, follower = pty.openpty()
    with alpha.inside():
        process = subprocess.Popen((hosts.VEIL, "top", "interval", "1"), stdin=follower,
                                   stdout=follower, stderr=follower)
    seen = b""

    def drawn():
        nonlocal seen
        while select.select([leader], [], [], 0)[0]:
            seen += os.read(leader, 4096)
        return seen.count(b"1 of 1 peers up") >= 2 and beta.v4.encode() in seen

    wait_until(drawn, 20, "two screens")
    os.write(leader, b"q")
    check_equal(process.wait(10), 0, "exit code")
    drawn()
    check(seen.startswith(b"\033[?1049h") and seen.endswith(b"\033[?1049l"), "screens", seen)


@case("check looks at the networks behind a gateway, and at a host in one")
def networks():
    _, right = hosts.add_networks()
    hosts.make_gateways()
    found("networks", "ok", "(2)")
    found("traffic", "ok", "there and back", right.v4)
    found("traffic", "doubtful", "no such host", "10.2.0.77")
    route = "10.2.0.0/24", "via", beta.v4
    alpha.run("ip", "route", "del", *route)
    told = found("networks", "wrong", "ip route add 10.2.0.0/24 via " + beta.v4)
    check_equal(told["traffic"][0], "ok", "the gateway itself")
    code, out, err = veil("check", "10.3.0.1")
    check(code == 1 and "no such peer" in err, "behind nobody", code, out, err)


def in_clear(address):
    """Whether a datagram is, on the wire; else it is sealed."""
    before = alpha.peer()["tx_packets"]
    tap = wire.Tap(hosts.wire)
    with alpha.udp(alpha.v4) as sock:
        hosts.offer(sock, MARKER, (address, 9))
        seen = lambda: any(MARKER in frame for frame in tap.frames())
        wait_until(lambda: seen() or alpha.peer()["tx_packets"] > before, 10, "it leaves")
    found = seen()
    tap.close()
    return found


@case("check tells that the module is another version than veil, as after an upgrade")
def other_version():
    connected()
    found("module", "ok", "as new as veil")
    version = "/sys/module/netveil/version"
    with tempfile.NamedTemporaryFile("w") as other:
        other.write("0.0.7\n")
        other.flush()
        hosts.command("mount", "--bind", other.name, version)
        try:
            found("module", "doubtful", "netveil 0.0.7 is loaded, and this is veil")
        finally:
            hosts.command("umount", version)


@case("an address behind a gateway of which a longer policy or a network of ours decides")
def decided():
    hosts.make_gateways()
    hosts.ping_once(alpha, beta.v4)
    alpha.run("ip", "route", "replace", "10.2.0.0/24", "via", beta.v4)
    control = alpha.control
    # A peer that is confirmed is not weakened by prefer; what is required is sealed for it.
    for policy, result, word in (
        ("bypass", "doubtful", "by the policy for 10.2.0.8/29: veil policy set"),
        ("prefer", "ok", "encrypted or dropped"),
        ("require", "ok", "encrypted or dropped"),
    ):
        control.add_policy("10.2.0.8/29", policy)
        found("policy", result, word, "10.2.0.9")
        found("policy", "ok", "encrypted or dropped", "10.2.0.1")
        check_equal(in_clear("10.2.0.9"), policy == "bypass", "in clear, with " + policy)
        control.delete_policy("10.2.0.8/29")
    before = json.loads(veil("-j", "show")[1])["local"]
    words = [word for each in before + ["10.2.0.8/29"] for word in ("local", each)]
    check_equal(veil("set", *words)[0], 0, "set local")
    found("policy", "doubtful", "is in clear: it is in a network of this host's", "10.2.0.9")
    control.add_policy("10.2.0.8/29", "require")
    found("policy", "doubtful", "is dropped: it is in a network of this host's", "10.2.0.9")


@case("networks without a route, with one that refuses, and the widest one")
def routes():
    connected()
    key = veil("-j", "peer")[1].split('"')[3]
    for prefix, route in (
        ("10.60.0.0/16", ""),
        ("10.60.0.0/16", "blackhole 10.60.0.0/16"),
        ("10.60.0.0/16", "prohibit 10.60.0.0/16"),
        ("10.60.0.0/16", "unreachable 10.60.0.0/16"),
        ("::/0", ""),
    ):
        check_equal(veil("peer", "set", key, "prefix", prefix), (0, "", ""), "peer set")
        if route:
            alpha.run("ip", "route", "add", *route.split())
        found("networks", "wrong", "no route to " + prefix)
        if route:
            alpha.run("ip", "route", "del", *route.split())
    check_equal(veil("peer", "set", key, "prefix", "0.0.0.0/0"), (0, "", ""), "peer set")
    alpha.run("ip", "route", "add", "default", "via", beta.v4)
    found("networks", "ok", "(1)")
    # What no policy reaches, though the prefix covers it.
    found("policy", "doubtful", "is in clear: it is of a kind that is in no network (link-local", "169.254.169.254")
    check_equal(in_clear("169.254.169.254"), True, "in clear")
    alpha.run("ip", "route", "del", "default")


@case("metrics tell what is not protected, and what passed in clear")
def metrics_clear():
    connected()

    def value(name, label):
        found = re.search(r'^netveil_%s\{.*%s.*\} (\d+)$' % (name, re.escape(label)), veil("metrics")[1], re.M)
        return int(found.group(1))

    check_equal(value("peer_protected", beta.v4), 1, "protected")
    beta.control.flush()
    key = veil("-j", "peer")[1].split('"')[3]
    veil("peer", "del", key)
    words = "address", beta.v4, "address", beta.v6, "policy", "prefer"
    check_equal(veil("peer", "add", key, *words), (0, "", ""), "peer add")
    alpha.control.add_policy("10.77.0.0/16", "prefer")
    alpha.control.add_policy("10.78.0.0/16", "require")
    hosts.ping_once(alpha, beta.v4)
    check_equal(value("peer_protected", key), 0, "protected")
    check(value("peer_clear_sent_packets_total", beta.v4) > 0, "sent in clear")
    check(value("peer_clear_received_packets_total", beta.v4) > 0, "received in clear")
    alpha.run("ip", "route", "add", "10.76.0.0/14", "via", beta.v4)
    with alpha.udp(alpha.v4) as sock:
        for address in "10.77.0.1", "10.78.0.1":
            hosts.offer(sock, b"anybody?", (address, 9))
    check_equal(value("policy_clear_sent_packets_total", "10.77.0.0/16"), 1, "sent in clear")
    check_equal(value("policy_dropped_packets_total", "10.78.0.0/16"), 1, "dropped")
    alpha.run("ip", "route", "del", "10.76.0.0/14", "via", beta.v4)
    hosts.flush_all()


@case("check looks at a peer that roams and has networks only, heard or not")
def roams():
    connected()
    key = veil("-j", "peer")[1].split('"')[3]
    words = "prefix", "10.50.0.7/32", "roaming"
    for endpoint in (), ("endpoint", beta.v4):
        veil("peer", "del", key)
        check_equal(veil("peer", "add", key, *words, *endpoint), (0, "", ""), "peer add")
        for word in (), (key[:6],):
            found("policy", "ok", "10.50.0.7 is encrypted", *word)
            _, told = checked(*word)
            check_equal("handshake" in told, not endpoint, "waits for it to begin")
    code, _, err = veil("peer", "set", key, "no-prefix")
    check(code == 1 and "veil peer del" in err, "nothing would be left", code, err)


ktap.run(set_up)
