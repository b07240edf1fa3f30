#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=90
"""traceroute and tracepath tell the truth: what routers say about sealed packets
reaches the socket that sent the inner one (STACK B10).

    left --- alpha === two routers === beta --- right
"""

import errno
import os
import re
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import devices
import hosts
import ktap
import packets
import wire
from hosts import alpha, beta, drops_since
from ktap import case, check, check_equal, wait_until
from routers import R4, R6, Routers
from veilproto import DATA, Identity

CLOSED = 33434
MSG_ERRQUEUE = 0x2000
# level, RECVERR, TTL, MTU_DISCOVER, by "is IPv6"
OPTIONS = {False: (0, 11, 2, 10), True: (41, 25, 16, 23)}
UNREACHABLE, EXCEEDED, TOO_BIG = (
    {False: 3, True: 1},
    {False: 11, True: 3},
    {False: 3, True: 2},
)
# Type and code: what TCP that begins takes for its end, and a connected UDP socket
ENDS_TCP = {
    False: ((3, 0), (3, 1), (3, 13), (11, 0)),
    True: ((1, 0), (1, 1), (1, 3), (3, 0)),
}
ENDS_UDP = {False: (6, 7, 8, 9, 10, 13, 14, 15), True: (1, 5, 6, 7)}
HOST_UNREACHABLE = {False: 1, True: 3}
state = {}


def set_up():
    hosts.set_up()
    state["left"], state["right"] = hosts.add_networks()
    state["wire"] = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())


def peers():
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    hosts.ping_once(alpha, beta.v6)


def probe_socket(host, address):
    v6 = ":" in address
    level, recverr, _, discover = OPTIONS[v6]
    sock = host.udp(host.addresses[v6])
    sock.setsockopt(level, recverr, 1)
    sock.setsockopt(level, discover, 3)
    return sock


def read_error(sock):
    """What the error queue holds: errno, ICMP type, info, who said so, payload."""
    try:
        payload, control, _, _ = sock.recvmsg(2048, 512, MSG_ERRQUEUE)
    except BlockingIOError:
        return None
    for level, kind, data in control:
        if (level, kind) not in ((0, 11), (41, 25)):
            continue
        number, _, what, _, _, info, _ = struct.unpack_from("=IBBBBII", data)
        if level == 0:
            offender = socket.inet_ntop(socket.AF_INET, data[20:24])
        else:
            offender = socket.inet_ntop(socket.AF_INET6, data[24:40])
        return number, what, info, offender, payload
    return None


def probe(sock, address, ttl, payload=b"probe"):
    """One packet of that TTL: what its sender hears."""
    level, _, option, _ = OPTIONS[":" in address]
    sock.setsockopt(level, option, ttl)
    sock.sendto(payload, (address, CLOSED))
    return wait_until(lambda: read_error(sock), 10, "an answer to TTL %d" % ttl)


def trace(host, address, path, last):
    """Every router says that it was there, and then the target that it is."""
    v6 = ":" in address
    sock = probe_socket(host, address)
    for ttl, router in enumerate(path, 1):
        payload = b"probe %d" % ttl
        wanted = errno.EHOSTUNREACH, EXCEEDED[v6], 0, router, payload
        check_equal(probe(sock, address, ttl, payload), wanted, "hop %d" % ttl)
    wanted = errno.ECONNREFUSED, UNREACHABLE[v6], 0, last, b"there"
    got = probe(sock, address, len(path) + 1, b"there")
    check_equal(got, wanted, "the target")
    sock.close()


def everything_behind():
    """The routers are under "require" themselves."""
    behind_alpha = "10.1.0.0/24", "fd01::/64"
    hosts.make_gateways(prefixes=(behind_alpha, ("0.0.0.0/0", "::/0")))
    hosts.ping_once(alpha, beta.v4)
    hosts.ping_once(alpha, beta.v6)


@case("two routers and the peer, in IPv4 and IPv6, as without peers")
def transport():
    for set_peers in hosts.flush_all, peers, everything_behind:
        set_peers()
        before = alpha.drops()
        with wire.Relay(hosts.wire) as relay:
            relay.rule = Routers(state["wire"], hops=2)
            for address, path in (beta.v4, R4), (beta.v6, R6):
                trace(alpha, address, path, address)
        check_equal(drops_since(before, alpha.drops()), {}, "drops")


@case("ping sees them too")
def ping():
    peers()
    with wire.Relay(hosts.wire) as relay:
        relay.rule = Routers(state["wire"], hops=2)
        for address, router in (beta.v4, R4[1]), (beta.v6, R6[1]):
            words = "ping", "-n", "-c", "1", "-W", "5", "-t", "2", address
            with alpha.inside():
                done = hosts.subprocess.run(
                    words, stdout=hosts.subprocess.PIPE, text=True, check=False
                )
            check(router in done.stdout, "the router's address", done.stdout)


@case("a smaller link is told to a probe of low TTL as what fits inside")
def too_big():
    peers()
    with wire.Relay(hosts.wire) as relay:
        relay.rule = Routers(state["wire"], hops=2, mtu=1360)
        for address in beta.addresses:
            v6 = ":" in address
            sock = probe_socket(alpha, address)
            payload = bytes(1350 - (48 if v6 else 28))
            got = probe(sock, address, 5, payload)
            wanted = errno.EMSGSIZE, TOO_BIG[v6], 1360 - 42
            check_equal(got[:3], wanted, "the error")
            check_equal(got[3], (R6 if v6 else R4)[1], "who said so")
            sock.close()


@case("what quotes a packet that was not sent is told to nobody")
def forged():
    peers()
    for address in beta.addresses:
        v6 = ":" in address
        sock = probe_socket(alpha, address)
        tap = wire.Tap(hosts.wire)
        sock.setsockopt(OPTIONS[v6][0], OPTIONS[v6][2], 9)
        sock.sendto(b"probe", (address, CLOSED))
        wanted = errno.ECONNREFUSED, UNREACHABLE[v6]
        got = wait_until(lambda: read_error(sock), 10, "the target's answer")
        check_equal(got[:2], wanted, "the control")
        frames = [f for f in tap.frames() if wire.netveil_message(f)[:1] == b"\4"]
        sent = next(f[14:] for f in frames if f[6:12] == alpha.mac())
        place = (48 if v6 else 28) + 15
        quoted = sent[:place] + bytes([sent[place] ^ 0x40]) + sent[place + 1 :]
        router, before = (R6 if v6 else R4)[0], alpha.drops()
        state["wire"].packet(packets.time_exceeded(router, alpha.addresses[v6], quoted))
        wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
        check_equal(drops_since(before, alpha.drops()), {"icmp_unproven": 1}, "drops")
        check_equal(read_error(sock), None, "errors")
        # The control: the same about what was sent.
        state["wire"].packet(packets.time_exceeded(router, alpha.addresses[v6], sent))
        got = wait_until(lambda: read_error(sock), 10, "the router's word")
        check_equal((got[1], got[3]), (EXCEEDED[v6], router), "type and router")
        tap.close()
        sock.close()


@case("a host that alpha hides behind its own address hears of them as well")
def masqueraded():
    peers()
    left = state["left"]
    rules = "table ip t { chain c { type nat hook postrouting priority 100; masquerade; }; }"
    alpha.run("nft", rules)
    try:
        with wire.Relay(hosts.wire) as relay:
            relay.rule = Routers(state["wire"], hops=2)
            trace(left, beta.v4, ("10.1.0.1",) + R4, beta.v4)
    finally:
        alpha.run("nft", "delete table ip t")


@case("through gateways it shows these, and not what is in between")
def gateways():
    hosts.make_gateways()
    left, right = state["left"], state["right"]
    with wire.Relay(hosts.wire) as relay:
        relay.rule = Routers(state["wire"], hops=2)
        # beta answers by the address that its route to the left has.
        trace(left, right.v4, ("10.1.0.1", "10.2.0.1"), right.v4)
        trace(left, right.v6, ("fd01::1", "fd02::1"), right.v6)


class Answers:
    """Somebody on the path, who drops nothing, has an error about each packet of
    alpha's there before the peer's answer."""

    def __init__(self, kind, code, word=0):
        self.error = kind, code, word

    def __call__(self, to, frame):
        if to == "wb" and wire.netveil_message(frame)[:1] == bytes([DATA]):
            sent = packets.parse_frame(frame)
            router = (R6 if sent.version == 6 else R4)[0]
            error = packets.icmp_error(router, sent.source, frame[14:], *self.error)
            state["wire"].packet(error)
        return (frame,)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listen_to_icmp(v6):
    """What a program sees that looks for errors by itself, as mtr does."""
    protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    sock = alpha.socket(family_of("::" if v6 else ""), socket.SOCK_RAW, protocol)
    sock.setblocking(False)
    return sock


def heard(sock, kind):
    """Codes and quoted ports of that type's, since the last call."""
    v6 = sock.family == socket.AF_INET6
    start, ports = (0, 48) if v6 else (20, 28)
    messages = [message[start:] for message in hosts.receive_all(sock)]
    return {
        (message[1], *struct.unpack_from(">HH", message, ports))
        for message in messages
        if message[0] == kind
    }


def connect(address, ttl, ask=False, back=False):
    """alpha connects to beta, or has what beta connects to: the ports of both."""
    level, recverr, option, _ = OPTIONS[":" in address]
    kind = family_of(address), socket.SOCK_STREAM
    ends = (beta, alpha) if back else (alpha, beta)
    with ends[1].socket(*kind) as listener, ends[0].socket(*kind) as client:
        alphas = listener if back else client
        alphas.setsockopt(level, option, ttl)
        alphas.setsockopt(level, recverr, int(ask))
        listener.bind((ends[1].addresses[":" in address], 0))
        listener.listen()
        client.settimeout(10)
        listener.settimeout(10)
        client.connect(listener.getsockname())
        listener.accept()[0].close()
        return client.getsockname()[1], listener.getsockname()[1]


def families():
    """For each: a relay, beta's address, and what a program hears at alpha."""
    peers()
    with wire.Relay(hosts.wire) as relay:
        for address in beta.addresses:
            with listen_to_icmp(":" in address) as listener:
                yield relay, address, listener


@case("an error ahead of the answer ends no connection that TCP begins")
def connections():
    for relay, address, listener in families():
        for kind, code in ENDS_TCP[":" in address]:
            relay.rule = Answers(kind, code)
            for ttl in 1, 32:
                before = alpha.statistic("TcpExtOutOfWindowIcmps")
                ports = connect(address, ttl)
                found = heard(listener, kind)
                check((code, *ports) in found, "told to who listens", found)
                after = alpha.statistic("TcpExtOutOfWindowIcmps")
                check(after > before, "TCP saw what is not its own", before, after)
            connect(address, 1, back=True)


@case("a TCP socket that asked for errors is told of them")
def connections_ask():
    for relay, address, _ in families():
        relay.rule = Answers(EXCEEDED[":" in address], 0)
        try:
            connect(address, 1, ask=True)
            got = None
        except OSError as error:
            got = error.errno
        check_equal(got, errno.EHOSTUNREACH, "the error")


def question(address, ask=False):
    """alpha asks beta by a connected socket of UDP: the error that it has, or None,
    and the ports of both."""
    level, recverr, option, _ = OPTIONS[":" in address]
    with beta.udp(address) as server, alpha.udp(alpha.addresses[":" in address]) as client:
        client.setsockopt(level, option, 1)
        client.setsockopt(level, recverr, int(ask))
        client.connect(server.getsockname())
        client.send(b"question")
        wait_until(lambda: hosts.receive(server), 10, "the question")
        server.sendto(b"answer", client.getsockname())
        ports = client.getsockname()[1], server.getsockname()[1]
        try:
            wait_until(lambda: hosts.receive(client), 10, "the answer")
            return None, ports
        except OSError as error:
            return error.errno, ports


@case("nor what a connected UDP socket does, unless that asked")
def datagrams():
    for relay, address, listener in families():
        v6 = ":" in address
        kind = UNREACHABLE[v6]
        for code in 0, *ENDS_UDP[v6]:
            relay.rule = Answers(kind, code)
            told = HOST_UNREACHABLE[v6] if code else code
            got, ports = question(address)
            check_equal(got, None, "the error by code %d" % code)
            check_equal(heard(listener, kind), {(told, *ports)}, "told to who listens")
        relay.rule = Answers(kind, ENDS_UDP[v6][0])
        got, ports = question(address, ask=True)
        wanted = errno.EACCES if v6 else errno.ENETUNREACH
        check_equal(got, wanted, "the error of who asked")
        check_equal(heard(listener, kind), {(ENDS_UDP[v6][0], *ports)}, "and code")
        for mtu in 1300, 0:
            relay.rule = Answers(TOO_BIG[v6], 0 if v6 else 4, mtu)
            check_equal(question(address)[0], None, "the error by MTU %d" % mtu)
            check_equal(heard(listener, TOO_BIG[v6]), set(), "told to who listens")


MARKS = """
    table inet t {
        chain early {
            type filter hook prerouting priority -450
            meta mark set 0x51
        }
        chain c {
            type filter hook input priority 0
            icmp type time-exceeded meta mark 0x51 counter
            icmp type destination-unreachable meta mark 0x51 counter
            icmpv6 type time-exceeded meta mark 0x51 counter
            icmpv6 type destination-unreachable meta mark 0x51 counter
        }
    }"""


@case("on a bridge they are told as well, and do not pass for what arrived sealed")
def bridge():
    # The routes to the networks go with the addresses: this is the last.
    with devices.on_bridge(alpha):
        peers()
        alpha.control.set_rx_mark(0x51, 0xFF)
        alpha.run("nft", MARKS)
        injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
        try:
            with wire.Relay(hosts.wire) as relay:
                relay.rule = Routers(injector, hops=2)
                for address, path in (beta.v4, R4), (beta.v6, R6):
                    trace(alpha, address, path, address)
            counted = re.findall(r"packets (\d+)", alpha.run("nft", "list table inet t"))
            check_equal(counted, ["0", "1"] * 2, "errors of routers, and the peer's")
        finally:
            injector.close()
            alpha.control.set_rx_mark(0, 0)
            alpha.run("nft", "delete table inet t")


ktap.run(set_up)
