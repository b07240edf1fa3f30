#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=400 long=faults icount=yes
"""Every call of the module's that allocates fails once, each by itself: nothing is in
clear, and it goes on (invariants 1 and 5); a request that is refused for it changes nothing.
On any kernel, with netveil-faults.ko, whose calls can fail; that they are all is known from
its object file.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ["NETVEIL_KO"] = os.path.join(HERE, "..", "..", "netveil-faults.ko")
sys.path.insert(0, os.path.join(HERE, "..", "lib"))

import devices
import genl
import hosts
import ktap
import packets
import pypeer
import sites
import traffic
import wire
from every_request import REQUESTS, all_or_nothing, ready
from hosts import alpha, beta, drops_since, receive_all
from ktap import case, check, check_equal, note, skip, wait_until
from routers import Routers
from veilproto import PORT, Identity

APP, UDP_SEGMENT = 7000, 103
# What lies in pages from its UDP payload on is said to be all header there.
LONG_HEADER = """
    table ip long {
        chain c {
            type filter hook postrouting priority 300
            udp dport 7000 @nh,0,8 set 0x4f
        }
    }"""
state = {}
# Not reached here: headers and handshakes in pieces; a table of indexes, and on debug
# kernels of keys or of peers that roam, that grows just then; an ICMP error with no room behind it, since 6.3;
# BIG TCP whose header another holds; an inner packet with less room before it than its
# device wants; an AEAD by its name, when its driver is gone.
ELSEWHERE = """
pskb_may_pull>__pskb_pull_tail veil_open_batch>__pskb_pull_tail
veil_pmtu_fit>__pskb_pull_tail veil_index_insert>rhashtable_insert_slow
veil_icmp_deliver>pskb_expand_head veil_hooks_seal>pskb_expand_head
veil_rx_message>__pskb_pull_tail veil_xmit6_out>skb_expand_head
veil_cipher_alloc>crypto_alloc_aead
veil_peer_add_key>rhashtable_insert_slow veil_roam_place>rhashtable_insert_slow
""".split()
# Of loading alone (t_load); and with __GFP_NOFAIL, which the kernel keeps.
LOADING = """
veil_crypto_init veil_cipher_measure veil_cipher_time veil_cipher_prompt
aead_request_alloc veil_init
veil_peer_init veil_rx_init veil_tunnel_init veil_nets_init veil_fence_init veil_wipe_init
veil_netlink_init
""".split()
NEVER = "veil_weaken_touch veil_weaken_end".split()


def set_up():
    hosts.topology_up("--offload")
    state["networks"] = hosts.add_networks()
    hosts.load_module()
    found, others = sites.of_module(hosts.MODULE)
    others = [str(site) for site in others if site.function not in LOADING]
    check_equal(others, [], "calls that allocate and cannot fail")
    state["all"] = found
    state["left"] = [site for site in found if site.function not in LOADING + NEVER]
    # What is used again is called no more after a while: it comes first.
    state["left"].sort(key=lambda site: site.function != "veil_pages_get")
    note("%d calls" % len(state["left"]))


def sweep(what, work, after=lambda: None):
    """work() for each call that has not failed yet; those that do are off the list."""
    failed, tap = [], wire.Tap(hosts.wire, whole=False)
    for site in list(state["left"]):
        if site.fails_during(work):
            state["left"].remove(site)
            failed.append(str(site))
            after()
        clear = traffic.in_clear(tap)
        check_equal(clear, [], "frames in clear when %s failed" % site)
    tap.close()
    note("%s: %d calls failed: %s" % (what, len(failed), " ".join(failed)))


def sends(pairs, sizes, ttl=64):
    """A datagram of each size each way, which may be lost; how many came."""
    arrived = 0
    for source, target, address in pairs:
        with source.udp(source.addresses[":" in address]) as sender, target.udp(address) as sink:
            sender.setsockopt(*((41, 16) if ":" in address else (0, 2)), ttl)
            for size in sizes:
                hosts.offer(sender, traffic.marked(size), sink.getsockname())
                arrived += len(receive_all(sink))
    return arrived


def alive(one, other):
    pairs = list(traffic.each_way(one, other))
    wait_until(lambda: sends(pairs, (100,)) == len(pairs), 60, "datagrams arrive again")


def replaced(control, *addresses):
    """A peer goes, and comes again with the same key."""
    key = next(iter(control.peers()))
    control.apply((genl.PEER_ADD, key, *addresses), (genl.PEER_DEL, key))


def many(control):
    """More peers at once than tables have room for, which grow by a worker else."""
    ready(control)
    changes = []
    for last in range(1, 101):
        more = (genl.P_ROAMING, b"\1"), (genl.P_ENDPOINT, bytes([10, 9, 1, last]))
        changes.append((genl.PEER_ADD, os.urandom(32), "10.9.1.%d" % last, *more))
    control.apply(*changes)


@case("requests, and the beginning and the end of a namespace")
def requests():
    def all_of_them():
        for prepare, request in REQUESTS.values():
            with contextlib.suppress(OSError):
                prepare(alpha.control)
                request(alpha.control)
            alpha.forget_control()

    def many_peers():
        with contextlib.suppress(OSError):
            many(alpha.control)

    def namespace():
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):
                os.unshare(os.CLONE_NEWNET)
                control = genl.Control()
                ready(control)
                control.set_roaming(next(iter(control.peers())), 1)
                control.flush()
                control.close()
        finally:
            os.setns(home, os.CLONE_NEWNET)
            os.close(home)

    with alpha.inside():
        events = genl.Events(alpha.control)
    sweep("requests", all_of_them)
    events.socket.close()
    sweep("many peers", many_peers)
    sweep("a namespace", namespace)
    ready(alpha.control)
    alpha.control.flush()


@case("every request: each of its calls fails; it is done, or nothing of it")
def whole_requests():
    for name in REQUESTS:
        failed, survived = all_or_nothing(alpha.control, name, sites.sweep)
        note("%-28s %3d calls failed, %d survived" % (name, failed, survived))
    ready(alpha.control)
    alpha.control.flush()


@case("traffic between two hosts, and their handshakes")
def transport():
    hosts.make_peers(Identity(), Identity())
    pairs = list(traffic.each_way(alpha, beta))

    def work():
        sends(pairs, (1, 1200, 3000, 20000))
        with contextlib.suppress(OSError, AssertionError):
            traffic.stream(alpha, beta, beta.v4, 100000)

    def afresh():
        """What was learnt of the way is forgotten."""
        for host in alpha, beta:
            for words in "-6 neigh flush dev eth0", "route flush cache", "-6 route flush cache":
                host.run("ip", *words.split())
        # First, before datagrams find out what fits.
        with contextlib.suppress(OSError, AssertionError):
            traffic.stream(alpha, beta, beta.v4, 100000)
        sends(pairs, (100,))

    def handshakes():
        for host in alpha, beta:
            host.control.session_reset()
        alive(alpha, beta)

    def again():
        alive(alpha, beta)
        with contextlib.suppress(OSError):
            replaced(alpha.control, *beta.addresses)

    # While the module has no large pages that it would use again.
    with devices.jumbo_without_large_pages():
        sweep("jumbo frames", work, lambda: alive(alpha, beta))
    sweep("traffic", work, lambda: alive(alpha, beta))
    sweep("traffic afresh", afresh, lambda: alive(alpha, beta))
    sweep("handshakes", handshakes)
    sweep("a peer again", again)
    alive(alpha, beta)
    for port in "wa", "wb":
        hosts.wire.run("ethtool", "-K", port, "tx-udp-segmentation", "off")
    sweep("traffic that the wire cuts", work, lambda: alive(alpha, beta))
    for port in "wa", "wb":
        hosts.wire.run("ethtool", "-K", port, "tx-udp-segmentation", "on")


def told_by_routers():
    """Of as little as one may quote of what it does not forward."""
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    with wire.Relay(hosts.wire) as relay:
        relay.rule = Routers(injector, hops=1, says=24)
        pairs = [way for way in traffic.each_way(alpha, beta) if way[0] is alpha]

        def told():
            sends(pairs, (100,), ttl=1)
            return relay.rule.told >= len(pairs)

        wait_until(told, 20, "a router's words")
    injector.close()


@case("a traceroute, and what routers say of it")
def traceroute():
    def from_the_first():
        hosts.make_peers(Identity(), Identity())
        wait_until(alpha.is_up, 20, "a session")
        told_by_routers()

    sweep("a traceroute", from_the_first)


@case("traffic between networks behind two gateways")
def tunnel():
    hosts.make_gateways()
    pairs = list(traffic.each_way(*state["networks"]))

    def work():
        sends(pairs, (1, 1200, 3000))
        with contextlib.suppress(OSError, AssertionError):
            traffic.stream(*state["networks"], state["networks"][1].v6, 100000)

    def afresh():
        for host in alpha, beta:
            host.run("ip", "-6", "neigh", "flush", "dev", "eth0")
            host.control.session_reset()
        alive(*state["networks"])

    for host in alpha, beta:
        host.run("ethtool", "-K", "eth0", "gro", "on")
    sweep("tunnel", work, lambda: alive(*state["networks"]))
    hosts.make_gateways(lambda host: [host.v6])
    sweep("tunnel in IPv6", work, lambda: alive(*state["networks"]))
    sweep("handshakes in IPv6", afresh)


def comes_up():
    """Whether the device that came to alpha does."""
    try:
        hosts.ip_batch(alpha, "link set came up")
    except AssertionError as error:
        check("no memory for the hook" in str(error), "what ip says", error)
        return False
    return True


def comes_without_hook():
    hosts.ip_batch(hosts.wire, "link set came netns alpha")
    check(not comes_up(), "it stays down")


@case("a header that no memory is left to pull counts as that")
def pull():
    if os.uname().release.startswith("7."):
        skip("this kernel's rules do not write such a header")
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    pulls = [s for s in sites.of_module(hosts.MODULE)[0] if s.callee == "__pskb_pull_tail"]
    moved = []
    with alpha.udp(alpha.v4) as sock, tempfile.TemporaryFile() as file:
        file.write(bytes(1000))
        file.flush()
        sock.connect((beta.v4, APP))
        alpha.run("nft", LONG_HEADER)
        for site in pulls:
            before = alpha.drops()
            if site.fails_during(lambda: os.sendfile(sock.fileno(), file.fileno(), 0, 1000), 1):
                moved.append(drops_since(before, alpha.drops()))
                state["left"] = [each for each in state["left"] if str(each) != str(site)]
        alpha.run("nft", "flush ruleset")
    check_equal(moved, [{"no_memory": 1}], "drops")


@case("what a program sends from a file is not opened where the program may write to it")
def pages_of_files():
    peer = pypeer.connected()
    kind, count, ends = 253, 20, (beta.v4, alpha.v4)
    messages = [peer.session.seal(*ends, kind, os.urandom(1000)) for _ in range(count)]
    sock, got = peer.sockets[beta.v4], []
    sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(messages[0]))
    sock.connect((alpha.v4, PORT))
    sites.parameter("file_pages", 0)
    with alpha.socket(socket.AF_INET, socket.SOCK_RAW, kind) as raw, tempfile.TemporaryFile() as file:
        raw.setblocking(False)
        file.write(b"".join(messages))
        file.flush()
        os.sendfile(sock.fileno(), file.fileno(), 0, file.tell())
        wait_until(lambda: got.extend(receive_all(raw)) or len(got) >= count, 10, "all")
    pypeer.close_all()
    check_equal([len(packet) for packet in got], [1020] * count, "their lengths")
    check_equal(sites.parameter("file_pages"), 0, "pages of files")


@case("a device from another namespace, without memory for its hook, stays down until it has it")
def moved():
    hosts.make_peers(Identity(), Identity())
    fences = [s for s in state["all"] if s.function == "veil_fence_add"]
    check_equal(len(fences), 2, "calls")
    frame = packets.ethernet(beta.mac(), alpha.mac(), packets.ipv4(alpha.v4, beta.v4, 17, b""))
    for site in fences:
        hosts.ip_batch(hosts.wire, "link add came type dummy")
        check_equal(site.fails_during(comes_without_hook), 2, "failed calls")
        check(comes_up(), "it comes up")
        with alpha.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            sock.bind(("came", 0))
            before = alpha.drops()
            sock.send(frame)
        check_equal(drops_since(before, alpha.drops()), {"plaintext_out": 1}, "drops")
        hosts.ip_batch(alpha, "link del came")


def user_without_hooks():
    """Devices that are to come into a protected namespace of a user's."""
    try:
        os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
    except OSError:
        os._exit(100)
    with open("/proc/self/uid_map", "w", encoding="ascii") as file:
        file.write("0 0 1")
    inner = genl.Control()
    inner.set_private_key(Identity().private)
    inner.add_peer(Identity().public, beta.v4)
    lines = "link add type dummy\n" * 40
    subprocess.run(("ip", "-force", "-batch", "-"), input=lines, text=True, check=False)
    os._exit(0)


def fallback_tunnels(everywhere):
    """Whether new namespaces have tunl0, sit0 and their like, where these are built in."""
    path = "/proc/sys/net/core/fb_tunnels_only_for_init_net"
    with open(path, "w", encoding="ascii") as file:
        file.write("0" if everywhere else "1")


def lines_of_hooks():
    """Of the kernel's log."""
    log = subprocess.run("dmesg", capture_output=True, text=True, check=True).stdout
    return [line for line in log.split("\n") if "no memory for the hook" in line]


@case("a user's devices without memory for their hooks cannot fill the log, and are told from others")
def users():
    fences = [s for s in state["all"] if s.function == "veil_fence_add"]
    before = len(lines_of_hooks())

    def work():
        child = os.fork()
        if not child:
            try:
                user_without_hooks()
            finally:
                os._exit(2)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 100:
            skip("no user namespaces here")
        check_equal(code, 0, "the child")

    # With tunnel devices in it from the start the namespace would not be protected.
    fallback_tunnels(False)
    try:
        check_equal(fences[0].fails_during(work, times=40), 40, "failed calls")
    finally:
        fallback_tunnels(True)
    lines = lines_of_hooks()[before:]
    check_equal(len(lines), 16, "lines")
    check(all("in network namespace" in line for line in lines), "names", lines)


@case("alpha's addresses on a bridge, with br_netfilter")
def bridge():
    # The routes to the networks go with the addresses: this is the last.
    with devices.on_bridge(alpha):
        hosts.make_peers(Identity(), Identity())
        alive(alpha, beta)
        pairs = list(traffic.each_way(alpha, beta))

        def work():
            sends(pairs, (100,))
            with contextlib.suppress(OSError, AssertionError):
                traffic.stream(beta, alpha, alpha.v4, 100000)

        sweep("on a bridge", work, lambda: alive(alpha, beta))
        sweep("a traceroute on a bridge", told_by_routers, lambda: alive(alpha, beta))


@case("there is no other call that allocates, but those that this does not reach")
def none_left():
    left = {str(site) for site in state["left"]}
    note("%d not reached: %s" % (len(state["left"]), " ".join(sorted(left))))
    check_equal(sorted(left - set(ELSEWHERE)), [], "calls that never failed")


ktap.run(set_up)
