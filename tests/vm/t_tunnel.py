#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=80
"""Two gateways seal everything between the networks behind them (PROTOCOL 8.3,
STACK A3, B3): any family in any, forwarded and their own packets, and nothing
else gets in or out by these addresses.

    left --- alpha === the wire === beta --- right
"""

import contextlib
import os
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import bpf
import hosts
import ktap
import packets
import wire
from hosts import alpha, beta, drops_since
from ktap import case, check, check_equal, skip, wait_until
from packets import UDP

APP, PORT = 7000, 51888
IP_RECVTTL = 12
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
LANS = "10.1.0.1", "10.1.0.2", "10.2.0.1", "10.2.0.2"
LANS6 = "fd01::1", "fd01::2", "fd02::1", "fd02::2"
# What only looks like Netveil.
RANDOM_INDEX = struct.pack(">BBHIQ", 4, 0, 0, 0x12345678, 9) + MARKER + bytes(40)
state = {}


def set_up():
    hosts.set_up()
    state["left"], state["right"] = hosts.add_networks()
    macs = beta.mac(), alpha.mac()
    state["wire"] = wire.Injector(hosts.wire, "wa", *macs)


def inside(host, v6):
    """An address of the host that the gateways protect."""
    if host is alpha:
        return LANS6[0] if v6 else LANS[0]
    if host is beta:
        return LANS6[2] if v6 else LANS[2]
    return host.addresses[v6]


def datagrams(one, other, v6, payloads=(MARKER,), port=APP):
    """From one to the other and back; what arrives."""
    ends = [(host, inside(host, v6)) for host in (one, other)]
    sockets = [host.udp(address, port) for host, address in ends]
    got = []
    for way in 0, 1:
        for payload in payloads:
            sockets[way].sendto(payload, (ends[1 - way][1], port))
        arrived = []
        wait_until(
            lambda: arrived.extend(hosts.receive_all(sockets[1 - way]))
            or len(arrived) >= len(payloads),
            10,
            "packets from %s to %s" % (ends[way][1], ends[1 - way][1]),
        )
        got.append(arrived)
    for sock in sockets:
        sock.close()
    return got


def too_long_for_one(one, other, v6):
    """A datagram in fragments; the first may be what teaches the sender the MTU."""
    source = one.udp(inside(one, v6), APP)
    sink = other.udp(inside(other, v6), APP)
    payload = bytes(3000) + MARKER

    def sent():
        hosts.offer(source, payload, (inside(other, v6), APP))
        return hosts.receive_all(sink)

    check_equal(wait_until(sent, 10, "fragments", every=0.2)[0], payload, "payload")
    source.close()
    sink.close()


def transfer(one, other, v6, size=200000):
    """A file by TCP."""
    family = socket.AF_INET6 if v6 else socket.AF_INET
    listener = other.socket(family)
    listener.bind((inside(other, v6), 0))
    listener.listen()
    listener.settimeout(30)
    got, data = [], os.urandom(size - len(MARKER)) + MARKER

    def serve():
        connection, _ = listener.accept()
        connection.settimeout(30)
        got.append(b"".join(iter(lambda: connection.recv(1 << 16), b"")))
        connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with one.socket(family) as client:
        client.settimeout(30)
        client.bind((inside(one, v6), 0))
        client.connect((inside(other, v6), listener.getsockname()[1]))
        client.sendall(data)
    thread.join(30)
    listener.close()
    check(got == [data], "the file arrives from %s" % inside(one, v6))


def everything():
    """All pairs that cross the wire, in both families."""
    left, right = state["left"], state["right"]
    for v6 in False, True:
        for one, other in (left, right), (alpha, right), (left, beta), (alpha, beta):
            check_equal(datagrams(one, other, v6), [[MARKER]] * 2, "payloads")
        hosts.ping_once(left, right.addresses[v6])
        transfer(left, right, v6)
        transfer(alpha, right, v6)
        check_equal(datagrams(left, right, v6, (b"",)), [[b""]] * 2, "no payload")
        for one, other in (left, right), (alpha, right):
            too_long_for_one(one, other, v6)


def sealed(pick):
    hosts.make_gateways(pick)
    tap = wire.Tap(hosts.wire)
    before = alpha.drops(), beta.drops()
    everything()
    ours = alpha.addresses + beta.addresses + LANS + LANS6
    wire.only_netveil(tap.frames(), ours, (MARKER,))
    tap.close()
    for host, was in zip((alpha, beta), before):
        check_equal(drops_since(was, host.drops()), {}, "drops on " + host.name)


@case("the control: without peers all of it crosses the wire in clear")
def control():
    tap = wire.Tap(hosts.wire)
    everything()
    check(any(MARKER in frame for frame in tap.frames()), "in clear")
    tap.close()


@case("IPv4 and IPv6 inside of IPv4")
def inside_v4():
    sealed(lambda host: [host.v4])


@case("IPv4 and IPv6 inside of IPv6")
def inside_v6():
    sealed(lambda host: [host.v6])


def forged(host, packet, *reasons):
    """A packet in clear from the wire to alpha moves one counter on it, that of such
    a reason, and does not come out at host."""
    tap, before = wire.Tap(host, host.device), alpha.drops()
    state["wire"].packet(packet)
    wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
    drops = drops_since(before, alpha.drops())
    check(drops in [{reason: 1} for reason in reasons], "drops for %s" % (reasons,), drops)
    hosts.ping_once(state["right"], state["left"].v4)
    check(not any(MARKER in frame for frame in tap.frames()), "it does not arrive")
    tap.close()


def udp_packet(source, destination, payload=MARKER, dport=APP):
    segment = packets.udp(source, destination, APP, dport, payload)
    return packets.ip(source, destination, UDP, segment)


@case("in clear, from a source behind the peer: neither for us nor forwarded")
def forged_sources():
    left = state["left"]
    hosts.make_gateways(lambda host: [host.v4])
    for v6 in False, True:
        source = state["right"].addresses[v6]
        for target in left.addresses[v6], inside(alpha, v6), alpha.addresses[v6]:
            packet = udp_packet(source, target)
            forged(left, packet, "plaintext_in")
        # A stranger's, for our own port: silence. Through us: no port exempts it.
        packet = udp_packet(source, alpha.addresses[v6], RANDOM_INDEX, PORT)
        forged(left, packet, "stranger")
        packet = udp_packet(source, left.addresses[v6], RANDOM_INDEX, PORT)
        forged(left, packet, "plaintext_in")
    # The peer's own, from outside into its network: we would seal it, as theirs.
    forged(state["right"], udp_packet(beta.v4, state["right"].v4), "plaintext_in")
    # A third party's source is not protected: the control.
    tap = wire.Tap(left, left.device)
    state["wire"].packet(udp_packet("10.9.0.77", left.v4))
    wait_until(lambda: any(MARKER in f for f in tap.frames()), 10, "the control")
    tap.close()


@case("what looks like Netveil goes through the gateways sealed, both ways")
def random_index():
    hosts.make_gateways(lambda host: [host.v4])
    tap = wire.Tap(hosts.wire)
    for v6 in False, True:
        got = datagrams(state["left"], state["right"], v6, (RANDOM_INDEX,), PORT)
        check_equal(got, [[RANDOM_INDEX]] * 2, "payloads")
    ours = alpha.addresses + beta.addresses + LANS + LANS6
    wire.only_netveil(tap.frames(), ours, (MARKER,))
    tap.close()


@case("into a network behind the peer everything is sealed, whatever its source")
def any_source():
    hosts.make_gateways(lambda host: [host.v4])
    left, right = state["left"], state["right"]
    tap, before = wire.Tap(hosts.wire), beta.drops()
    raw = left.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.sendto(udp_packet("192.0.2.9", right.v4), (right.v4, 0))
    # The other end knows what is behind alpha.
    wait_until(lambda: drops_since(before, beta.drops()), 10, "a drop on beta")
    check_equal(drops_since(before, beta.drops()), {"bad_inner": 1}, "drops")
    check(not any(MARKER in frame for frame in tap.frames()), "nothing in clear")
    raw.close()
    tap.close()


CONGESTED = """table netdev congestion {
  chain c {
    type filter hook ingress device "wa" priority 0;
    ip ecn set ce
  }
};"""


def outer_marks(tap):
    """TOS and TTL of what alpha sealed."""
    frames = [f for f in tap.take() if wire.netveil_message(f)[:1] == b"\4"]
    return [(f[15], f[22]) for f in frames if f[6:12] == alpha.mac()]


def inner_marks(sender, receiver, tos):
    """TOS and TTL of a packet that was sent with this TOS; None if it was dropped."""
    before = beta.drops()
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
    sender.sendto(MARKER, receiver.getsockname())

    def arrived():
        with contextlib.suppress(BlockingIOError):
            return receiver.recvmsg(2048, 256)[1]
        return drops_since(before, beta.drops())

    found = wait_until(arrived, 10, "a packet or a drop")
    if isinstance(found, dict):
        check_equal(found, {"bad_inner": 1}, "drops on beta")
        return None
    values = {kind: data[0] for _, kind, data in found}
    return values[socket.IP_TOS], values[socket.IP_TTL]


@case("DSCP and ECN follow RFC 6040, and the tunnel is one hop")
def marks():
    hosts.make_gateways(lambda host: [host.v4])
    left, right = state["left"], state["right"]
    sender, receiver = left.udp(left.v4), right.udp(right.v4, APP)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 9)
    for option in socket.IP_RECVTOS, IP_RECVTTL:
        receiver.setsockopt(socket.IPPROTO_IP, option, 1)
    hosts.ping_once(left, right.v4)
    tap = wire.Tap(hosts.wire)
    for tos in 0, 0xB8, 0xB9, 0xBA, 0xBB:
        tap.take()
        check_equal(inner_marks(sender, receiver, tos), (tos, 9 - 2), "inner marks")
        check_equal(outer_marks(tap), [(tos, 64)], "outer marks")
    hosts.wire.run("nft", CONGESTED)
    try:
        for tos in 0, 0xB8, 0xB9, 0xBA, 0xBB:
            # Whoever does not know ECN learns of congestion by loss.
            wanted = (tos | 3, 9 - 2) if tos & 3 else None
            check_equal(inner_marks(sender, receiver, tos), wanted, "congestion")
    finally:
        hosts.wire.run("nft", "delete table netdev congestion")
        for each in sender, receiver, tap:
            each.close()


@case("XDP on the device sees no opened packet, of whichever family")
def xdp():
    hosts.make_gateways(lambda host: [host.v6])
    # An IPv4 header where an IPv6 packet was.
    with bpf.xdp(beta, bpf.drop_frames(at12=0x86, at13=0xDD, at14=0x45)):
        got = datagrams(state["left"], state["right"], False)
    check_equal(got, [[MARKER]] * 2, "payloads")


@case("without a session nothing leaves")
def no_session():
    hosts.make_gateways(lambda host: [host.v4])
    beta.control.flush()
    tap, left, right = wire.Tap(hosts.wire), state["left"], state["right"]
    wait_until(lambda: not alpha.is_up(), 10, "the session's end")
    for v6 in False, True:
        for host in left, alpha:
            sock = host.udp(inside(host, v6))
            for _ in range(3):
                hosts.offer(sock, MARKER, (right.addresses[v6], APP))
            sock.close()
    wait_until(lambda: alpha.peer()["queued"] >= 12, 10, "queued packets")
    check(not any(MARKER in frame for frame in tap.frames()), "nothing in clear")
    tap.close()


def first_piece(error, size):
    """The first fragment of an ICMP error, with so much of it."""
    if error[0] >> 4 == 4:
        one = packets.parse_ipv4(error)
        piece = one.payload[:size]
        return packets.ipv4(one.source, one.destination, packets.ICMP, piece, frag=0x2000)
    one = packets.parse_ipv6(error)
    piece = struct.pack(">BxHI", packets.ICMPV6, 1, 9) + one.payload[:size]
    return packets.ipv6(one.source, one.destination, packets.FRAGMENT, piece)


def obscured(error):
    """First fragments of an ICMPv6 error that end before what it quotes; and all of
    it behind more headers than kernels from 7.2 on look at."""
    one = packets.parse_ipv6(error)
    options, fragment, icmp = packets.DSTOPTS, packets.FRAGMENT, packets.ICMPV6

    def option(kind, length=0):
        return struct.pack(">BBBB4x", kind, length, 1, 4)

    def piece(kind, place, more=0):
        return struct.pack(">BxHI", kind, place + more, 9)

    for kind, payload in (
        (fragment, piece(options, 0, 1) + option(icmp)),
        # Of this one there is more, and another one behind this.
        (fragment, piece(options, 0, 1) + option(icmp, 1)),
        (fragment, piece(options, 0, 1) + option(options)),
        # Pieces of pieces, the first and a later one
        (fragment, piece(fragment, 0, 1) + piece(icmp, 0)),
        (fragment, piece(fragment, 0, 1) + piece(icmp, 8)),
        (fragment, piece(fragment, 0) + piece(icmp, 0, 1) + one.payload[:8]),
        (options, 12 * option(options) + option(icmp) + one.payload),
    ):
        yield packets.ipv6(one.source, one.destination, kind, payload)


@case("what went into a network behind the peer, no router in between complains about")
def complaints():
    left, right = state["left"], state["right"]
    hosts.make_gateways()
    for v6 in False, True:
        to, stranger = left.addresses[v6], ("10.9.0.77", "fd09::77")[v6]
        # About a packet to a third party: the control.
        tap = wire.Tap(left, left.device)
        quoted = udp_packet(to, stranger)
        state["wire"].packet(packets.time_exceeded(stranger, to, quoted))
        wait_until(lambda: any(MARKER in f for f in tap.frames()), 10, "the control")
        tap.close()
        quoted = udp_packet(to, right.addresses[v6])
        for router in stranger, beta.addresses[v6]:
            for error in (
                packets.time_exceeded(router, to, quoted),
                packets.too_big(router, to, quoted, 1300),
            ):
                forged(left, error, "icmp_forged")
                forged(left, first_piece(error, 64), "icmp_forged")
                forged(left, first_piece(error, 8), "malformed")
            for packet in obscured(error) if v6 else ():
                forged(left, packet, "malformed", "icmp_forged")


@case("what a local network exchanges with the peer itself is protected on demand")
def local_networks():
    left = state["left"]
    ours = alpha.addresses + beta.addresses
    for locals_a, clear in ((), True), (("10.1.0.0/24", "fd01::/64"), False):
        hosts.make_gateways()
        alpha.control.set_locals(*locals_a)
        for v6 in False, True:
            sink = beta.udp(beta.addresses[v6], APP)
            tap = wire.Tap(hosts.wire)
            sock, before = left.udp(left.addresses[v6], APP), beta.drops()
            sock.sendto(MARKER, (beta.addresses[v6], APP))
            if clear:
                # beta knows the network to be behind alpha, and is not fooled.
                wait_until(lambda: drops_since(before, beta.drops()), 10, "a drop")
                check(any(MARKER in frame for frame in tap.frames()), "in clear")
            else:
                wait_until(lambda: hosts.receive_all(sink), 10, "a datagram")
                wire.only_netveil(tap.frames(), ours, (MARKER,))
                # And back: in clear it does not come through alpha.
                packet = udp_packet(beta.addresses[v6], left.addresses[v6])
                forged(left, packet, "plaintext_in")
            for each in sink, tap, sock:
                each.close()
    alpha.control.set_locals()


REJECT = """table inet t { chain f { type filter hook forward priority 0;
  tcp dport 9 reject with tcp reset; }; }"""
REDIRECT = """table inet t { chain p { type nat hook prerouting priority -100;
  udp dport 9 redirect to :7000; }; }"""


@contextlib.contextmanager
def ruled(rules):
    """alpha has them meanwhile, and no local networks afterwards."""
    alpha.run("nft", rules)
    try:
        yield
    finally:
        alpha.run("nft", "delete table inet t")
        alpha.control.set_locals()


@case("that a gateway refuses a peer's connection to its local network, the peer is told")
def refused():
    hosts.make_gateways()
    alpha.control.set_locals(*LOCALS)
    with ruled(REJECT):
        for v6 in False, True:
            with beta.socket((socket.AF_INET, socket.AF_INET6)[v6]) as client:
                client.settimeout(10)
                client.bind((beta.addresses[v6], 0))
                try:
                    client.connect((state["left"].addresses[v6], 9))
                except ConnectionRefusedError:
                    continue
                check(False, "a connection that is refused")


@case("what a gateway answers in the name of its local network arrives")
def redirected():
    hosts.make_gateways()
    alpha.control.set_locals(*LOCALS)
    with ruled(REDIRECT):
        for v6 in False, True:
            with alpha.udp(alpha.addresses[v6], APP) as here, beta.udp(beta.addresses[v6]) as sock:
                sock.sendto(MARKER, (state["left"].addresses[v6], 9))
                wait_until(lambda h=here: hosts.receive_all(h) == [MARKER], 10, "a datagram")
                here.sendto(MARKER, sock.getsockname()[:2])
                wait_until(lambda s=sock: hosts.receive_all(s) == [MARKER], 10, "the answer")


# Addresses that are routed to alpha and nobody's, and what alpha makes of them.
ALIASES = "192.0.2.9", "2001:db8::9"
LOCALS = "10.1.0.0/24", "fd01::/64"
NAT = """table inet t {
  chain in {
    type nat hook prerouting priority -100;
    ip daddr 192.0.2.9 dnat ip to 10.1.0.2;
    ip6 daddr 2001:db8::9 dnat ip6 to fd01::2;
    ip daddr 192.0.2.10 dnat ip to 10.2.0.2;
  };
  chain out {
    type nat hook postrouting priority 100;
    ip saddr 10.1.0.2 ip daddr 10.9.0.2 snat ip to 192.0.2.9;
    ip6 saddr fd01::2 ip6 daddr fd09::2 snat ip6 to 2001:db8::9;
  };
};
"""


@contextlib.contextmanager
def translates(rules):
    routes = ["route %%s %s via %s" % way for way in zip(ALIASES, alpha.addresses)]
    hosts.ip_batch(beta, *(words % "add" for words in routes))
    try:
        with ruled(rules):
            yield
    finally:
        hosts.ip_batch(beta, *(words % "del" for words in routes))


@case("in clear from the peer, to what only NAT makes an address of a protected network")
def translated_in():
    left, right = state["left"], state["right"]
    hosts.make_gateways()
    with translates(NAT):
        for v6 in False, True:
            packet = udp_packet(beta.addresses[v6], ALIASES[v6])
            # Between a peer and a network that we only route for: the control.
            tap = wire.Tap(left, left.device)
            state["wire"].packet(packet)
            wait_until(lambda: any(MARKER in f for f in tap.frames()), 10, "the control")
            tap.close()
            alpha.control.set_locals("10.1.0.0/24", "fd01::/64")
            forged(left, packet, "plaintext_in")
            alpha.control.set_locals()
        # We would seal it, as theirs.
        forged(right, udp_packet(beta.v4, "192.0.2.10"), "plaintext_in")


@case("from a local network to the peer it is sealed, whatever source NAT gives it")
def translated_out():
    left, behind_beta = state["left"], ("10.2.0.0/24", "fd02::/64")
    for locals_a, aliases in ((), ()), (LOCALS, ()), (LOCALS, ALIASES):
        hosts.make_gateways(prefixes=(LOCALS + aliases, behind_beta))
        alpha.control.set_locals(*locals_a)
        with translates(NAT):
            for v6 in False, True:
                address = beta.addresses[v6]
                sink, sock = beta.udp(address, APP), left.udp(left.addresses[v6], APP)
                tap, before = wire.Tap(hosts.wire), beta.drops()
                sock.sendto(MARKER, (address, APP))
                if not locals_a:
                    wait_until(lambda: hosts.receive_all(sink), 10, "the control")
                    check(any(MARKER in frame for frame in tap.frames()), "in clear")
                elif not aliases:
                    wait_until(lambda: drops_since(before, beta.drops()), 10, "a drop")
                    check_equal(drops_since(before, beta.drops()), {"bad_inner": 1}, "drops")
                else:
                    wait_until(lambda: hosts.receive_all(sink), 10, "a datagram")
                    sink.sendto(MARKER, (ALIASES[v6], APP))
                    wait_until(lambda: hosts.receive_all(sock), 10, "an answer")
                if locals_a:
                    ours = alpha.addresses + beta.addresses
                    wire.only_netveil(tap.frames(), ours, (MARKER,))
                for each in sink, tap, sock:
                    each.close()


SERVICES = "192.0.2.100", "2001:db8::100"


@contextlib.contextmanager
def balances():
    """IPVS at alpha, with NAT's connections: datagrams to SERVICES go to beta."""
    try:
        alpha.run("ipvsadm", "-C")
    except AssertionError as error:
        skip("no IPVS: " + str(error)[-200:])
    alpha.sysctl("ipv4/vs/conntrack", 1)
    addrs = ["addr %%s %s dev lo" % service for service in SERVICES]
    hosts.ip_batch(alpha, *(words % "add" for words in addrs))
    try:
        for form, ends in ("%s:%d", (SERVICES[0], beta.v4)), ("[%s]:%d", (SERVICES[1], beta.v6)):
            service, real = (form % (address, APP) for address in ends)
            alpha.run("ipvsadm", "-A", "-u", service, "-s", "rr")
            alpha.run("ipvsadm", "-a", "-u", service, "-r", real, "-m")
        yield
    finally:
        alpha.run("ipvsadm", "-C")
        alpha.sysctl("ipv4/vs/conntrack", 0)
        hosts.ip_batch(alpha, *(words % "del" for words in addrs))


@case("nor what IPVS makes of a packet that was for this host")
def translated_by_ipvs():
    left, behind_beta = state["left"], ("10.2.0.0/24", "fd02::/64")
    for locals_a, aliases in ((), ()), (LOCALS, ALIASES):
        hosts.make_gateways(prefixes=(LOCALS + aliases, behind_beta))
        alpha.control.set_locals(*locals_a)
        with translates(NAT), balances():
            for v6 in False, True:
                sink, sock = beta.udp(beta.addresses[v6], APP), left.udp(left.addresses[v6], APP)
                tap = wire.Tap(hosts.wire)
                sock.sendto(MARKER, (SERVICES[v6], APP))
                wait_until(lambda: hosts.receive_all(sink), 10, "a datagram")
                if locals_a:
                    sink.sendto(MARKER, (ALIASES[v6], APP))
                    wait_until(lambda: hosts.receive_all(sock), 10, "an answer")
                    ours = alpha.addresses + beta.addresses
                    wire.only_netveil(tap.frames(), ours, (MARKER,))
                else:
                    check(any(MARKER in f for f in tap.frames()), "the control")
                for each in sink, tap, sock:
                    each.close()


@case("all that there is behind a peer, but for our own network")
def everything_behind():
    any_of_it = ["0.0.0.0/0", "::/0"]
    hosts.make_gateways(prefixes=(["10.1.0.0/24", "fd01::/64"], any_of_it))
    alpha.control.set_locals("10.1.0.0/24", "fd01::/64")
    left, tap = state["left"], wire.Tap(hosts.wire)
    try:
        for v6 in False, True:
            for one, other in (left, state["right"]), (alpha, beta):
                check_equal(datagrams(one, other, v6), [[MARKER]] * 2, "payloads")
            # Between the gateway and its own network nothing is sealed.
            check_equal(datagrams(left, alpha, v6), [[MARKER]] * 2, "payloads")
            # From a router, which is behind the peer as everybody else: a word
            # about what we sent is heard.
            check_equal(heard(v6), 1300, "the path's MTU")
        ours = alpha.addresses + beta.addresses + LANS + LANS6
        wire.only_netveil(tap.frames(), ours, (MARKER,))
        # To whom it may be, and from whom.
        before, source = alpha.drops(), left.udp(left.v4)
        sealed = alpha.peer()["tx_packets"]
        source.sendto(MARKER, ("10.9.0.77", APP))
        wait_until(lambda: alpha.peer()["tx_packets"] > sealed, 10, "it is sealed")
        state["wire"].packet(udp_packet("203.0.113.5", left.v4))
        wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
        check_equal(drops_since(before, alpha.drops()), {"plaintext_in": 1}, "drops")
        wire.only_netveil(tap.frames()[:-1], ours, ())
        source.close()
    finally:
        alpha.control.set_locals()
        tap.close()


def heard(v6):
    """A router tells alpha of an MTU of 1300: what alpha then knows."""
    tap = wire.Tap(hosts.wire)
    hosts.ping_once(alpha, beta.addresses[v6])
    frames = [f for f in tap.frames() if wire.netveil_message(f)[:1] == b"\4"]
    sent = next(f[14:] for f in frames if f[6:12] == alpha.mac())
    tap.close()
    router = "2001:db8::77" if v6 else "198.51.100.7"
    target = packets.parse_ipv6(sent) if v6 else packets.parse_ipv4(sent)
    state["wire"].packet(packets.too_big(router, target.source, sent, 1300))
    return wait_until(lambda: alpha.peer()["mtu"], 10, "an MTU")


FIREWALL = """table inet t {
  chain c {
    type filter hook input priority 0; policy accept;
    udp dport 7001 meta mark and 0xff == 0x51 counter accept;
    udp dport 7001 counter drop;
  };
};
"""


@case("rx-mark tells what arrived sealed, and nothing else can have it")
def rx_mark():
    hosts.make_gateways()
    beta.control.set_locals("10.2.0.0/24", "fd02::/64")
    forger = """table inet f {
      chain c { type filter hook prerouting priority -450; meta mark set 0x351; };
    };"""
    gamma = state.setdefault("gamma", hosts.add_gamma())
    right = state["right"]
    alpha.control.set_rx_mark(0x51, 0xFF)
    alpha.run("nft", FIREWALL + forger)
    try:
        for v6 in False, True:
            for target in inside(alpha, v6), alpha.addresses[v6]:
                sink = alpha.udp(target, 7001)
                # One that is in clear, then one that is not, in the other family.
                for host in gamma, right:
                    sock = host.udp(host.addresses[v6])
                    if host is right or target == alpha.addresses[v6]:
                        sock.sendto(host.name.encode(), (target, 7001))
                    sock.close()
                got = wait_until(lambda: hosts.receive_all(sink), 10, "a datagram")
                check_equal(got, [b"right"], "what the firewall let in")
                sink.close()
        counted = alpha.run("nft", "list table inet t")
        check("packets 2 bytes" in counted.split("drop")[0], "drops", counted)
        # Other bits are left alone: the forger's 0x300 is on all of them.
        alpha.run("nft", "add rule inet t c udp dport 7002 meta mark 0x351 accept")
        alpha.run("nft", "add rule inet t c udp dport 7002 drop")
        sink = alpha.udp(alpha.v4, 7002)
        sock = right.udp(right.v4)
        sock.sendto(MARKER, (alpha.v4, 7002))
        wait_until(lambda: hosts.receive_all(sink), 10, "a datagram")
        sink.close()
        sock.close()
    finally:
        beta.control.set_locals()
        alpha.control.set_rx_mark(0, 0)
        alpha.run("nft", "delete table inet t; delete table inet f")


@case("IPv6 that comes inside of IPv4 by a device that takes none is dropped, and counted")
def no_ipv6_there():
    hosts.make_gateways(lambda host: [host.v4])
    check_equal(datagrams(state["left"], state["right"], True), [[MARKER]] * 2, "the control")
    # Its IPv6 addresses and routes are gone with it: this is the last case.
    alpha.sysctl("ipv6/conf/eth0/disable_ipv6", 1)
    try:
        before = alpha.drops()
        with state["right"].udp(inside(state["right"], True), APP) as sock:
            hosts.offer(sock, MARKER, (inside(state["left"], True), APP))
        wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
        check_equal(drops_since(before, alpha.drops()), {"no_route": 1}, "drops")
    finally:
        alpha.sysctl("ipv6/conf/eth0/disable_ipv6", 0)


ktap.run(set_up)
