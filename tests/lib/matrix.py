# SPDX-License-Identifier: GPL-2.0
"""The matrix: family x mode x protocol x size x offload x MTU. A cell is named by
its place, say v4/transport/udp/1400/off/1500, and sends packets both ways; what
arrives is compared byte for byte with what was sent.

PROTOCOLS holds a function for each protocol: it sends size bytes from one host
to another's address and raises if they do not arrive so. In transport mode the
hosts are alpha and beta; in tunnel mode those behind them, which these two
seal for, in outer packets of IPv4 or (tunnel6) IPv6.
"""

import errno
import fnmatch
import itertools
import os
import socket
import struct

import hosts
import packets
import traffic
import wire
from hosts import alpha, beta, drops_since, ip_batch
from ktap import case, check, check_equal, note, wait_until
from traffic import MARKER
from veilproto import Identity

OURS = alpha.addresses + beta.addresses
FAMILIES = "v4", "v6"
MODES = "transport", "tunnel", "tunnel6"
OFFLOADS = {
    "off": (),
    "on": (alpha, beta),
    "alpha": (alpha,),
    "beta": (beta,),
}
FEATURES = "tx", "sg", "tso", "gso", "gro", "tx-udp-segmentation"
MTUS = 1500, 1280, 9000, 65535
SIZES = 0, 1, 2, 7, 99, 1231, 1232, 1416, 1430, 1431, 1458, 1472, 1473, 2961, 8950, 20000, 65399
QUICK_SIZES = 0, 1, 1400, 1430, 1473, 20000
SECONDS = 10
# What is left of 65535 bytes for IP, once Netveil has taken its part.
LARGEST = 65399
TOS = 0, 1, 2, 3, 0xB8, 0xBB, 0x28
SOCK_DCCP, SOL_DCCP, DCCP_SOCKOPT_SERVICE = 6, 269, 2
IP_RECVTTL, IPV6_DONTFRAG = 12, 62
UDPLITE, GRE, ESP, EXPERIMENT = 136, 47, 50, 253


def blocking(sock):
    sock.settimeout(SECONDS)
    return sock


def marks(size):
    """DSCP, ECN and TTL, others for every size."""
    return TOS[size % len(TOS)], 3 + size % 250


def set_marks(sock, address, size):
    """On what is sent; and the receiver's wish to be told."""
    tos, ttl = marks(size)
    if ":" in address:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)


def want_marks(sock, address):
    if ":" in address:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)


def seen_marks(extra):
    """What recvmsg() said: TOS is a byte, all others are numbers."""
    found = {}
    for level, kind, data in extra:
        value = data[0] if len(data) == 1 else struct.unpack("=i", data)[0]
        found[level, kind] = value
    v4 = found.get((0, socket.IP_TOS)), found.get((0, socket.IP_TTL))
    v6 = found.get((41, socket.IPV6_TCLASS)), found.get((41, socket.IPV6_HOPLIMIT))
    return v4 if v4[1] is not None else v6


def one_datagram(receiver, sender, target, address, size):
    """One datagram with its marks, as it was sent but for the hops it made."""
    set_marks(sender, address, size)
    want_marks(receiver, address)
    data = traffic.marked(size)
    sender.sendto(data, target)
    got, extra, _, source = receiver.recvmsg(65535, 256)
    tos, ttl = marks(size)
    check(got == data, "the payload", len(got), got[:64], data[:64])
    check_equal(seen_marks(extra), (tos, ttl - link["hops"]), "DSCP, ECN and TTL")
    return source


def udp(one, other, address, size, protocol=0):
    own = one.addresses[":" in address]
    kind = traffic.family(address), socket.SOCK_DGRAM, protocol
    with other.socket(*kind) as receiver, one.socket(*kind) as sender:
        receiver.setsockopt(socket.SOL_SOCKET, hosts.SO_RCVBUFFORCE, 1 << 20)
        receiver.bind((address, 0))
        sender.bind((own, 0))
        target = blocking(receiver).getsockname()
        source = one_datagram(receiver, blocking(sender), target, address, size)
        check_equal(source[:2], sender.getsockname()[:2], "its source")


def udplite(one, other, address, size):
    udp(one, other, address, size, UDPLITE)


def tcp(one, other, address, size, protocol=0):
    with traffic.Stream(one, other, address, protocol) as stream:
        stream.exchange(size, size // 3)


def sctp(one, other, address, size):
    tcp(one, other, address, size, socket.IPPROTO_SCTP)


def dccp(one, other, address, size):
    # It does not cut what it is given.
    if not 0 < size <= min(1232, link["mtu"] - 200):
        return
    kind = traffic.family(address), SOCK_DCCP, 33
    with other.socket(*kind) as listener, one.socket(*kind) as client:
        for sock in listener, client:
            blocking(sock).setsockopt(SOL_DCCP, DCCP_SOCKOPT_SERVICE, b"veil")
        listener.bind((address, 0))
        listener.listen()
        client.connect(listener.getsockname())
        server = blocking(listener.accept()[0])
        data = traffic.marked(size)
        client.send(data)
        check(server.recv(65535) == data, "the payload")
        server.close()


def icmp(one, other, address, size):
    """An echo request is answered with what it brought."""
    own = one.addresses[":" in address]
    v6 = ":" in address
    protocol = packets.ICMPV6 if v6 else packets.ICMP
    data = traffic.marked(size)
    ident = os.getpid() & 0xFFFF
    request = packets.echo_request(own, address, ident, data)
    with one.socket(traffic.family(address), socket.SOCK_RAW, protocol) as sock:
        sock.setsockopt(socket.SOL_SOCKET, hosts.SO_RCVBUFFORCE, 4 << 20)
        blocking(sock).sendto(request, (address, 0))
        while True:
            got = sock.recv(65535)
            got = got if v6 else got[4 * (got[0] & 15) :]
            if got[:2] == (b"\x81\0" if v6 else b"\0\0"):
                break
    check(got[4:] == request[4:], "the echo reply", len(got))


def raw(protocol):
    """Packets of a protocol that nobody knows the inside of."""

    def send(one, other, address, size):
        v6 = ":" in address
        own = one.addresses[v6]
        kind = traffic.family(address), socket.SOCK_RAW, protocol
        tos, ttl = marks(size)
        data = traffic.marked(size)
        with other.socket(*kind) as receiver, one.socket(*kind) as sender:
            receiver.setsockopt(socket.SOL_SOCKET, hosts.SO_RCVBUFFORCE, 4 << 20)
            sender.bind((own, 0))
            receiver.bind((address, 0))
            blocking(receiver)
            if v6:
                one_datagram(receiver, blocking(sender), (address, 0), address, size)
                return
            set_marks(blocking(sender), address, size)
            sender.sendto(data, (address, 0))
            packet = receiver.recv(65535)
            head = packet[0], packet[1], packet[8], packet[9]
            wanted = 0x45, tos, ttl - link["hops"], protocol
            check_equal(head, wanted, "header length, TOS, TTL, protocol")
            ends = packets.address(own).packed + packets.address(address).packed
            check_equal(packet[12:20], ends, "the addresses")
            check(packet[20:] == data, "the payload", len(packet))

    return send


PROTOCOLS = {
    "icmp": icmp,
    "udp": udp,
    "tcp": tcp,
    "udplite": udplite,
    "sctp": sctp,
    "dccp": dccp,
    "gre": raw(GRE),
    "esp": raw(ESP),
    "unknown": raw(EXPERIMENT),
}
MISSING = errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EPROTOTYPE
missing = set()
# Of the set-up that is being run: between whom, how many routers, what MTU.
link = {"ends": (alpha, beta), "hops": 0, "mtu": 1500}


def use_mode(mode):
    """Without peers."""
    if mode == "transport":
        link.update(ends=(alpha, beta), hops=0)
        return
    if "networks" not in link:
        link["networks"] = hosts.add_networks()
    link.update(ends=link["networks"], hops=2)


def make_peers(mode):
    if mode == "transport":
        hosts.make_peers(Identity(), Identity())
    else:
        hosts.make_gateways(lambda host: [host.v6 if mode == "tunnel6" else host.v4])


def one_cell(family, protocol, size):
    """Both ways."""
    v6 = family == "v6"
    for one, other in link["ends"], link["ends"][::-1]:
        try:
            PROTOCOLS[protocol](one, other, other.addresses[v6], size)
        except OSError as error:
            if error.errno not in MISSING:
                raise
            missing.add(protocol)


def devices(host):
    """Those by which a host of the two takes part."""
    yield host, "eth0"
    if link["hops"]:
        yield host, "lan0"
        yield link["networks"][host is beta], "eth0"


def offload(used):
    for side in alpha, beta:
        words = [w for f in FEATURES for w in (f, "on" if side in used else "off")]
        for host, device in devices(side):
            host.run("ethtool", "-K", device, *words)


def set_mtu(mtu):
    for port in "wa", "wb", "br0":
        ip_batch(hosts.wire, "link set %s mtu %d" % (port, mtu))
    link["mtu"] = mtu
    for side in alpha, beta:
        for host, device in devices(side):
            ip_batch(host, "link set %s mtu %d" % (device, mtu))


def refused(sender, data, target):
    try:
        sender.sendto(data, target)
    except OSError as error:
        check_equal(error.errno, errno.EMSGSIZE, "why %d bytes are refused" % len(data))
        return True
    return False


def learn_mtu(mtu):
    """What fits the devices, but not once it is sealed, is refused; from then on the
    sender's route has the right MTU. With an MTU of 1280, IPv6's least, there is
    nothing to refuse: outer packets are cut."""
    for one, _, address in traffic.each_way(*link["ends"]):
        v6 = ":" in address
        # What was learnt in the set-up before.
        one.run("ip", "-6" if v6 else "-4", "route", "flush", "cache")
        hosts.ping_once(one, address)
        with one.udp(one.addresses[v6]) as sender:
            level, discover, do = (41, 23, 2) if v6 else (0, 10, 2)
            sender.setsockopt(level, discover, do)
            if v6:
                sender.setsockopt(41, IPV6_DONTFRAG, 1)
            data = bytes(mtu - (48 if v6 else 28))
            if not v6 or mtu > 1280:
                what = "%d bytes to %s are refused" % (len(data), address)
                wait_until(lambda: refused(sender, data, (address, 9)), 10, what)


def run_group(cells, mode, offloads, mtu):
    """The cells of one set-up of the link; those that fail are named, all of
    them. In the end the wire has carried no marker, and nothing was dropped."""
    hosts.flush_all()
    use_mode(mode)
    offload(OFFLOADS[offloads])
    set_mtu(mtu)
    make_peers(mode)
    learn_mtu(mtu)
    before = alpha.drops(), beta.drops()
    tap, clear, failed = wire.Tap(hosts.wire, whole=False), 0, []
    for family, protocol, size in cells:
        name = "%s/%s/%s/%d/%s/%d" % (family, mode, protocol, size, offloads, mtu)
        try:
            one_cell(family, protocol, size)
        except (AssertionError, OSError) as error:
            note("%s: %s" % (name, error))
            failed.append(name)
        clear += len(traffic.in_clear(tap))
    tap.close()
    check_equal(failed, [], "cells that failed, of %d" % len(cells))
    check_equal(clear, 0, "frames in clear")
    for host, old in zip((alpha, beta), before):
        check_equal(drops_since(old, host.drops()), {}, "drops on " + host.name)
    if missing:
        note("not on this kernel: " + " ".join(sorted(missing)))


def control():
    """Without peers the tap does see the marker."""
    hosts.flush_all()
    tap = wire.Tap(hosts.wire)
    udp(alpha, beta, beta.v4, 1000)
    check(any(MARKER in frame for frame in tap.frames()), "the marker in clear")
    tap.close()


def plan(pattern, sizes, set_ups=None):
    """Makes the cases: a control, then one for each set-up (mode, offload, MTU) that
    has a cell whose name matches the pattern."""
    case("the control: without peers the wire shows what is sent")(control)
    everything = itertools.product(MODES, OFFLOADS, MTUS)
    for mode, offloads_name, mtu in set_ups or everything:
        cells = [
            (family, protocol, size)
            for family, protocol, size in itertools.product(FAMILIES, PROTOCOLS, sizes)
            if fnmatch.fnmatch(
                "%s/%s/%s/%d/%s/%d" % (family, mode, protocol, size, offloads_name, mtu),
                pattern,
            )
        ]
        if cells:
            name = "*/%s/*/*/%s/%d: %d cells" % (mode, offloads_name, mtu, len(cells))
            case(name)(
                lambda cells=cells, rest=(mode, offloads_name, mtu): run_group(
                    cells, *rest
                )
            )
