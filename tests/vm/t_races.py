#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=90 boot=poison
"""Everything at once, by programs side by side: traffic, configuration, dumps, new
keys, sessions that are reset, links and addresses that come and go, namespaces that
are deleted. The kernel stays sound, what is protected is never in clear, and
afterwards all is well. Debug kernels (KASAN, lockdep; KCSAN in make check-races) see
what else there is.
"""

import contextlib
import os
import random
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import traffic
import wire
from hosts import alpha, beta, ip_batch
from ktap import case, check, check_equal, note, wait_until
from veilproto import Identity

APP = 7000
KERNEL = os.environ.get("NETVEIL_KERNEL")
# Longer where everything is slow, for minutes on kernels that are built to look for
# this; NETVEIL_RACES says how many seconds.
PATIENCE = int(os.environ.get("NETVEIL_PATIENCE", 1))
SECONDS = int(os.environ.get("NETVEIL_RACES", 180 if KERNEL in ("debug", "kcsan") else 5 * PATIENCE))
SEED = int(os.environ.get("NETVEIL_SEED", str(time.time_ns() & 0xFFFFFFFF)))
KCSAN = "/sys/kernel/debug/kcsan"
state = {}


def set_up():
    note("NETVEIL_SEED=%d, %d s" % (SEED, SECONDS))
    hosts.topology_up("--offload")
    hosts.load_module()
    state["a"], state["b"] = Identity(), Identity()
    state["flow"] = alpha.udp(alpha.v4), beta.udp(beta.v4)
    for host in alpha, beta:
        host.sysctl("ipv6/conf/eth0/keep_addr_on_down", 1)


# The programs: each has one thing that it does again and again


def datagrams(_, source, target):
    """Of many flows, and so on many lanes; what arrives is read."""
    pairs = []
    for address in target.addresses:
        receiver = target.udp(address)
        for _ in range(8):
            pairs.append((source.udp(source.addresses[":" in address]), receiver))

    def step():
        for sender, receiver in pairs:
            for size in 10, 1200, 3000:
                hosts.offer(sender, traffic.marked(size), receiver.getsockname())
            hosts.receive_all(receiver)

    return step


def one_flow(_, _host, cpu):
    """With its twin on the other CPU: packets of one lane on both at once."""
    sender, receiver = state["flow"]
    os.sched_setaffinity(0, {cpu})

    def step():
        for size in (10, 1200) * 20:
            hosts.offer(sender, traffic.marked(size), receiver.getsockname())
        hosts.receive_all(receiver)

    return step


def connections(_, source, target):
    """TCP, which may break off when a link is down for long."""
    for host in source, target:
        host.sysctl("ipv4/tcp_retries2", 3)

    def step():
        with contextlib.suppress(OSError, AssertionError):
            traffic.stream(source, target, target.addresses[random.random() < 0.5], 200000)

    return step


def changes(chance, host, stranger):
    """Peers and policies that have no traffic, and what all have in common."""
    other, prefixes = Identity(), ("10.77.0.0/16", "fd77::/64")
    control = host.control
    choices = (
        lambda: control.add_peer(other.public, stranger, prefixes=prefixes, keepalive=1),
        lambda: control.add_peer(other.public, stranger, command=genl.PEER_SET, roaming=1),
        lambda: control.add_peer(other.public, stranger, command=genl.PEER_SET, roaming=0),
        lambda: control.set_prefixes(other.public, *prefixes[: chance.randrange(3)]),
        lambda: control.set_psk(other.public, chance.randbytes(32)),
        lambda: control.delete_peer(other.public),
        lambda: control.add_policy("10.66.0.0/16", "require"),
        lambda: control.set_policy("10.66.0.0/16", chance.choice(["prefer", "bypass"])),
        lambda: control.delete_policy("10.66.0.0/16"),
        lambda: control.set_cipher(chance.randrange(3)),
        lambda: control.set_locals(*prefixes[: chance.randrange(3)]),
        lambda: control.set_rx_mark(chance.randrange(1, 4), 3),
    )

    def step():
        with contextlib.suppress(OSError):
            chance.choice(choices)()

    return step


def steps(chance, host, *strangers):
    """Configurations that take each other's place, each as one step: keys and
    addresses change hands, or are given back where the step asks too much."""
    keys = [Identity().public for _ in range(3)]
    more = (
        (genl.P_ROAMING, b"\1"),
        (genl.P_KEEPALIVE, struct.pack("=H", 1)),
        (genl.P_PREFIX, genl.prefix_bytes("10.78.0.0/16")),
        (genl.P_PSK, chance.randbytes(32)),
    )
    inner, sock = "10.78.1.0/24", host.udp(host.v4)

    def new(key):
        parts = chance.sample(more, chance.randrange(len(more)))
        return genl.PEER_ADD, key, chance.choice(strangers), *parts

    def step():
        there = [key for key in host.control.peers() if key in keys]
        listed = [(genl.PEER_DEL, key) for key in there if chance.random() < 0.9]
        listed += [new(key) for key in chance.sample(keys, chance.randrange(1, 4))]
        listed += [(genl.PEER_SET, key, (genl.P_NEXT_KEY, Identity().public)) for key in there]
        listed.append((chance.choice([genl.POLICY_ADD, genl.POLICY_SET]), inner, "require"))
        listed.append((genl.POLICY_DEL, inner))
        chance.shuffle(listed)
        with contextlib.suppress(OSError):
            host.control.apply(*listed[: chance.randrange(1, len(listed) + 1)])
        for stranger in strangers:
            hosts.offer(sock, b"whoever that is", (stranger, APP))

    return step


def dumps(chance, host):
    control = host.control
    choices = control.get, control.peers, control.policies

    def step():
        chance.choice(choices)()

    return step


def sessions(chance, host, key):
    """Sessions end and begin; next keys come and go."""
    choices = (
        lambda: host.control.session_reset(),
        lambda: host.control.session_reset(key),
        lambda: host.control.generate_next(),
        lambda: host.control.no_next(),
    )

    def step():
        with contextlib.suppress(OSError):
            chance.choice(choices)()
        time.sleep(chance.random())

    return step


def links(chance, host):
    """The device, its MTU, and a further address."""
    choices = (
        ("link set eth0 down", "link set eth0 up"),
        ("link set eth0 mtu 1400", "link set eth0 mtu 1500"),
        ("addr add 10.9.1.1/24 dev eth0", "addr del 10.9.1.1/24 dev eth0"),
        ("link add veil0 type dummy", "link set veil0 up", "link del veil0"),
    )

    def step():
        ip_batch(host, *chance.choice(choices))
        time.sleep(chance.random())

    return step


def namespaces(chance):
    """A namespace with peers and traffic of its own, and its end."""

    def step():
        os.unshare(os.CLONE_NEWNET)
        hosts.command("ip", "link", "set", "lo", "up")
        hosts.command("ip", "link", "add", "eth0", "type", "dummy")
        hosts.command("ip", "addr", "add", "10.9.5.1/24", "dev", "eth0")
        hosts.command("ip", "link", "set", "eth0", "up")
        control = genl.Control()
        control.set_private_key(Identity().private)
        for last in range(2, 2 + chance.randrange(1, 4)):
            control.add_peer(Identity().public, "10.9.5.%d" % last, keepalive=1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(50):
                hosts.offer(sock, traffic.marked(500), ("10.9.5.2", APP))
        control.close()

    return step


def programs():
    a, b = state["a"].public, state["b"].public
    yield datagrams, alpha, beta
    yield datagrams, beta, alpha
    for cpu in range(min(2, os.cpu_count())):
        yield one_flow, alpha, cpu
    yield connections, alpha, beta
    yield changes, alpha, "10.9.0.77"
    yield changes, beta, "10.9.0.78"
    yield steps, alpha, "10.9.0.79", "10.9.0.80"
    yield dumps, alpha
    yield dumps, beta
    yield sessions, alpha, b
    yield sessions, beta, a
    yield links, alpha
    yield (namespaces,)


def start(number, what, *more):
    """A child that does it for SECONDS; it says how often in its exit code, or that
    it failed."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        hosts.forget_controls()
        step = what(random.Random(SEED + number), *more)
        end, count = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            step()
            count += 1
        note("%-12s %-6s %d times" % (what.__name__, more[0].name if more else "", count))
        code = 0 if count else 2
    except Exception as error:  # pylint: disable=broad-except
        note("%s: %r" % (what.__name__, error))
    finally:
        sys.stdout.flush()
        os._exit(code)


def at_once():
    """All programs; the frames in clear that a tap saw meanwhile."""
    children = [start(number, *each) for number, each in enumerate(programs())]
    tap = wire.Tap(hosts.wire, whole=False)
    clear, seen, codes = [], 0, []
    for child in children:
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            frames = tap.take()
            seen += len(frames)
            clear += [frame for frame in frames if traffic.MARKER in frame]
            if pid:
                codes.append(os.waitstatus_to_exitcode(status))
                break
            time.sleep(0.02)
    tap.close()
    note("%d frames" % seen)
    check_equal(codes, [0] * len(codes), "exit codes")
    check(seen, "the tap saw frames")
    return clear


@case("the control: without peers the wire shows what is sent")
def control():
    traffic.check_shown(wire.Tap(hosts.wire, whole=False), alpha, beta)


@case("traffic, changes, new sessions, links and namespaces at once: never in clear")
def all_at_once():
    hosts.make_peers(state["a"], state["b"])
    check_equal(at_once(), [], "frames in clear")
    if os.path.exists(KCSAN):
        with open(KCSAN) as counters:
            note("KCSAN: " + ", ".join(counters.read().split("\n")[1:5]))


@case("afterwards the hosts talk as before, and the module can be unloaded")
def afterwards():
    for host in alpha, beta:
        host.control.set_cipher(0)
        host.control.set_locals()
        host.control.set_rx_mark(0, 0)
    hosts.make_peers(state["a"], state["b"])
    for source, target, address in traffic.each_way(alpha, beta):
        hosts.ping_once(source, address)
        traffic.both_kinds(source, target, address)
    hosts.flush_all()
    if KERNEL != "uml-debug":
        hosts.forget_controls()
        wait_until(hosts.try_rmmod, 30, "rmmod netveil")


ktap.run(set_up)
