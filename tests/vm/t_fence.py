#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
"""No other way out for plaintext (STACK A5, PROTOCOL section 5; invariant 1).

Every way is tried first without a peer, when it does put the marker on the wire.
"""

import contextlib
import fcntl
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import packets
import pypeer
import wire
from hosts import alpha, beta, drops_since, ip_batch, receive_all
from ktap import case, check, check_equal, skip, wait_until
from packets import UDP
from veilproto import Identity

APP, PORT = 7000, 51888
VLAN, QINQ, MPLS, MPLS_MULTICAST = 0x8100, 0x88A8, 0x8847, 0x8848
QDISC_BYPASS = 20
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
TUNSETLINK = 0x400454CD
NONE, SERIAL, INFINIBAND = 0xFFFE, (256, 264), 32
BEHIND = "10.1.0.2", "10.2.0.2"
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
OURS = alpha.addresses + beta.addresses
state = {}


def set_up():
    hosts.set_up()
    state["a"], state["b"] = Identity(), Identity()
    state["macs"] = alpha.mac(), beta.mac()
    state["inbox"] = {a: beta.udp(a, APP) for a in beta.addresses}


def protect():
    """Both hosts configured and a session up."""
    hosts.make_peers(state["a"], state["b"])
    sender = alpha.udp(alpha.v4)
    sender.sendto(b"up", (beta.v4, APP))
    wait_until(lambda: b"up" in receive_all(state["inbox"][beta.v4]), 20, "session")
    sender.close()


def pairs():
    return zip(alpha.addresses, beta.addresses)


def datagram(ends, payload=MARKER, dport=APP):
    return packets.ip(*ends, UDP, packets.udp(*ends, APP, dport, payload))


def seen_in_clear(tap):
    return [frame for frame in tap.frames() if MARKER in frame]


def fenced(send, count=1):
    """send() puts the marker on the wire without peers; with them it does not,
    and count packets are dropped as plaintext_out."""
    hosts.flush_all()
    tap = wire.Tap(hosts.wire)
    send()
    wait_until(lambda: len(seen_in_clear(tap)) >= count, 10, "the marker, control")
    tap.close()
    protect()
    tap, before = wire.Tap(hosts.wire), alpha.drops()
    send()
    wait_until(
        lambda: alpha.drops()["plaintext_out"] >= before["plaintext_out"] + count,
        10,
        "plaintext_out",
    )
    moved = drops_since(before, alpha.drops())
    check_equal(moved, {"plaintext_out": count}, "drop counters that moved")
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    tap.close()


def packet_socket(kind):
    sock = alpha.socket(socket.AF_PACKET, kind, 0)
    sock.bind(("eth0", 0))
    return sock


@case("frames of an AF_PACKET socket to the peer are dropped and counted")
def af_packet():
    raw, cooked = packet_socket(socket.SOCK_RAW), packet_socket(socket.SOCK_DGRAM)
    direct = packet_socket(socket.SOCK_RAW)
    direct.setsockopt(wire.SOL_PACKET, QDISC_BYPASS, 1)

    def send():
        for ends in pairs():
            packet = datagram(ends)
            raw.send(packets.ethernet(*state["macs"], packet))
            # Past queues it is told that nothing left.
            with contextlib.suppress(OSError):
                direct.send(packets.ethernet(*state["macs"], packet))
            kind = 0x86DD if ":" in ends[0] else 0x0800
            cooked.sendto(packet, ("eth0", kind, 0, 0, state["macs"][1]))

    fenced(send, 6)


def layered(kind, layers):
    """A frame of this type; between its header and an IP packet are these bytes."""
    source, target = state["macs"]
    return target + source + struct.pack(">H", kind) + layers


@case("behind VLAN tags and MPLS labels as well")
def tagged():
    raw = packet_socket(socket.SOCK_RAW)
    label, bottom = b"\0\1\0\x40", b"\0\1\1\x40"

    def send():
        for ends in pairs():
            packet = datagram(ends)
            tag = b"\0\5" + struct.pack(">H", 0x86DD if ":" in ends[0] else 0x0800)
            inner = b"\0\5" + struct.pack(">H", VLAN) + tag
            for kind, layers in (
                (VLAN, tag),
                (QINQ, inner),
                (MPLS, bottom),
                (MPLS_MULTICAST, label + label + bottom),
                (VLAN, b"\0\5" + struct.pack(">H", MPLS) + bottom),
            ):
                raw.send(layered(kind, layers + packet))

    fenced(send, 10)


@contextlib.contextmanager
def tun(kind):
    """A device of this kind on alpha whose frames have no header, and the file they are
    read from."""
    if not os.path.exists("/dev/net/tun"):
        os.makedirs("/dev/net", exist_ok=True)
        os.mknod("/dev/net/tun", 0o20600, os.makedev(10, 200))
    with alpha.inside():
        file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
        fcntl.ioctl(file, TUNSETLINK, kind)
    ip_batch(alpha, "link set tun0 up")
    try:
        yield file
    finally:
        os.close(file)


def frames_of(file):
    """What left by the device meanwhile."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(os.read(file, 65535))
    return found


@case("by a device without headers (tun), whatever a packet socket says that it is")
def headerless():
    without_headers(NONE)


@case("by a serial line, as well")
def serial():
    for kind in SERIAL:
        without_headers(kind)


@case("by InfiniBand, whatever a packet socket says that it is")
def infiniband():
    def framed(ends, payload):
        return bytes(20) + struct.pack(">HH", 0x86DD if ":" in ends[0] else 0x0800, 0) + payload

    by_tun(INFINIBAND, socket.SOCK_RAW, framed, (0, 0x88B5))


def without_headers(device):
    kinds = 0x0800, 0x88B5, MPLS, VLAN
    by_tun(device, socket.SOCK_DGRAM, lambda ends, payload: payload, kinds)


def by_tun(device, kind, framed, protocols):
    """What a packet socket sends by a device of this type, each as any of these."""
    sock = alpha.socket(socket.AF_PACKET, kind, 0)

    def send():
        for ends in pairs():
            for protocol in protocols:
                sock.sendto(framed(ends, datagram(ends)), ("tun0", protocol))

    with tun(device) as file:
        hosts.flush_all()
        send()
        left = []
        wait_until(lambda: left.extend(frames_of(file)) or
                   len([f for f in left if MARKER in f]) == 2 * len(protocols), 10, "the control")
        protect()
        before = alpha.drops()
        send()
        # No IP at all: it passes, and is the last.
        sock.sendto(b"\0last", ("tun0", 0x88B5))
        left.clear()
        wait_until(lambda: left.extend(frames_of(file)) or b"\0last" in left, 10, "the last")
        check(not any(MARKER in frame for frame in left), "none in clear", left)
        moved = drops_since(before, alpha.drops())
        check_equal(moved, {"plaintext_out": 2 * len(protocols)}, "drops")
    sock.close()


@case("frames that end before an address pass, and are not read further")
def cut():
    protect()
    raw = packet_socket(socket.SOCK_RAW)
    tap, before = wire.Tap(alpha, "eth0"), alpha.drops()
    sent = []
    for ends in pairs():
        packet = datagram(ends)
        kind = 0x86DD if ":" in ends[0] else 0x0800
        sent += [layered(kind, packet[:n]) for n in (0, 1, 19)]
    for kind in VLAN, MPLS:
        sent += [layered(kind, bytes(n)) for n in (0, 3)]
    for frame in sent:
        raw.send(frame)
    seen = []
    wait_until(lambda: seen.extend(tap.take()) or set(sent) <= set(seen), 10, "all of them")
    check_equal(drops_since(before, alpha.drops()), {}, "drops")
    tap.close()


def passes(raw, mac):
    """Whether a frame between the networks behind alpha and beta leaves, with this
    source; it is counted as plaintext_out otherwise."""
    tap, before = wire.Tap(hosts.wire), alpha.drops()
    moved = lambda: drops_since(before, alpha.drops())
    raw.send(packets.ethernet(mac, state["macs"][1], datagram(BEHIND)))
    wait_until(lambda: seen_in_clear(tap) or moved(), 10, "an end of the frame")
    left = bool(seen_in_clear(tap))
    check_equal(moved(), {} if left else {"plaintext_out": 1}, "drops")
    tap.close()
    return left


@case("between networks behind both what we send is dropped, what a bridge passes is not")
def routed():
    raw = packet_socket(socket.SOCK_RAW)
    ours, strangers, bridges = state["macs"][0], b"\2\0\0\0\0\7", b"\2\0\0\0\0\x70"
    hosts.flush_all()
    check(passes(raw, ours), "the control")
    hosts.make_gateways()
    ip_batch(alpha, "link add br7 type bridge", "link set br7 address 02:00:00:00:00:70")
    try:
        check(not passes(raw, ours), "ours")
        check(passes(raw, strangers), "another host's")
        check(passes(raw, bridges), "one by the MAC of another device")
        ip_batch(alpha, "link set eth0 master br7")
        check(not passes(raw, bridges), "by the MAC of the bridge that eth0 is in")
        check(passes(raw, strangers), "another host's, by the bridge")
    finally:
        ip_batch(alpha, "link del br7")


@case("to all on a link it leaves in clear, though everything is behind the peer")
def to_all():
    hosts.make_gateways(prefixes=(["10.1.0.0/24"], ["0.0.0.0/0", "::/0"]))
    raw, before = packet_socket(socket.SOCK_RAW), alpha.drops()
    for target in "10.9.0.255", "255.255.255.255", "239.1.2.3", "ff02::77":
        tap = wire.Tap(hosts.wire)
        packet = datagram((alpha.addresses[":" in target], target))
        raw.send(packets.ethernet(state["macs"][0], b"\xff" * 6, packet))
        wait_until(lambda: seen_in_clear(tap), 10, "the frame to " + target)
        tap.close()
    check_equal(drops_since(before, alpha.drops()), {}, "drops")
    packet = datagram((alpha.v4, "203.0.113.9"))
    raw.send(packets.ethernet(*state["macs"], packet))
    wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
    check_equal(drops_since(before, alpha.drops()), {"plaintext_out": 1}, "drops")


@case("a frame that only looks like Netveil is dropped as well: port, type, index")
def looks_like_netveil():
    raw = packet_socket(socket.SOCK_RAW)
    header = struct.pack(">BBHIQ", 4, 0, 0, 0x12345678, 9)

    def send():
        for ends in pairs():
            segment = packets.udp(*ends, PORT, PORT, header + MARKER + bytes(16))
            packet = packets.ip(*ends, UDP, segment)
            raw.send(packets.ethernet(*state["macs"], packet))

    fenced(send, 2)


def ended(how):
    """What of two datagrams that are sealed, and wait for a neighbour while how() ends their
    session: data messages on the wire, and alpha's drops."""
    protect()
    key = state["b"].public
    hosts.wire.run("ip", "link", "set", "wb", "down")
    try:
        alpha.run("ip", "neigh", "flush", "dev", "eth0")
        sealed = alpha.control.peers()[key]["tx_packets"] + 2
        tap, before = wire.Tap(hosts.wire), alpha.drops()
        for source, target in pairs():
            with alpha.udp(source) as sender:
                sender.sendto(MARKER, (target, APP))
        check_equal(alpha.control.peers()[key]["tx_packets"], sealed, "sealed packets")
        how(key)
        for target in beta.addresses:
            neighbour = target, "lladdr", state["macs"][1].hex(":"), "dev", "eth0"
            alpha.run("ip", "neigh", "replace", *neighbour)
        check_equal(seen_in_clear(tap), [], "frames in clear")
        messages = [wire.netveil_message(frame)[:1] for frame in tap.frames()]
        tap.close()
        return messages.count(b"\4"), drops_since(before, alpha.drops())
    finally:
        hosts.wire.run("ip", "link", "set", "wb", "up")
        alpha.run("ip", "neigh", "flush", "dev", "eth0")


@case("what was sealed leaves, and is not taken for plaintext, after its session's end")
def after_its_end():
    def replaced(key):
        alpha.control.apply((genl.PEER_ADD, key, *beta.addresses), (genl.PEER_DEL, key))

    def another_port(key):
        alpha.control.change_peer(key, (genl.P_ENDPOINT_PORT, struct.pack("=H", 51999)))

    # The first two say goodbye in one more.
    for how, messages in (alpha.control.session_reset, 3), (replaced, 3), (another_port, 2):
        check_equal(ended(how), (messages, {}), "data messages, drops: " + how.__name__)


def nft_path(verb):
    """Frames that come in on one device of alpha, and that nftables sends out
    by eth0 without the stack."""
    ip_batch(
        alpha,
        "link add in0 type veth peer name in1",
        "link set in0 up",
        "link set in1 up",
    )
    rules = """
        table netdev t {
            chain c {
                type filter hook ingress device in1 priority 0;
                %s to "eth0"
            }
        }"""
    try:
        alpha.run("nft", rules % verb)
    except AssertionError as error:
        ip_batch(alpha, "link del in0")
        if "No such file or directory" not in str(error):
            raise
        skip("this kernel's nftables has no %s" % verb)
    sender = alpha.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sender.bind(("in0", 0))

    def send():
        for ends in pairs():
            sender.send(packets.ethernet(*state["macs"], datagram(ends)))

    try:
        fenced(send, 2)
    finally:
        alpha.run("nft", "delete table netdev t")
        ip_batch(alpha, "link del in0")


@case("what nftables forwards at ingress (fwd) is dropped and counted")
def nft_fwd():
    nft_path("fwd")


@case("what nftables duplicates at ingress (dup) is dropped and counted")
def nft_dup():
    nft_path("dup")


@case("raw sockets with their own IP header are sealed")
def raw_sockets():
    protect()
    tap, before = wire.Tap(hosts.wire), alpha.drops()
    raw4 = alpha.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw6 = alpha.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw4.sendto(datagram((alpha.v4, beta.v4)), (beta.v4, 0))
    raw6.sendto(datagram((alpha.v6, beta.v6)), (beta.v6, 0))
    for address in beta.addresses:
        pypeer.socket_receives(state["inbox"][address], MARKER)
    wire.only_netveil(tap.frames(), OURS, (MARKER,))
    check_equal(drops_since(before, alpha.drops()), {}, "drops")


@case("an application's own datagrams on our port are sealed like any other")
def own_port_is_not_exempt():
    protect()
    tap = wire.Tap(hosts.wire)
    header = struct.pack(">BBHIQ", 4, 0, 0, 0x12345678, 9)
    fakes = header + MARKER, b"\1\1\0\0" + MARKER + bytes(188)
    peer = alpha.control.peers()[state["b"].public]
    for ends in pairs():
        sender = alpha.udp(ends[0])
        for fake in fakes:
            sender.sendto(fake, (ends[1], PORT))
        sender.close()

    def sealed():
        now = alpha.control.peers()[state["b"].public]
        return now["tx_packets"] >= peer["tx_packets"] + 4

    wait_until(sealed, 10, "4 sealed packets")
    wire.only_netveil(tap.frames(), OURS, (MARKER,))


@case("a peer's address that becomes our own: handshakes to it go nowhere")
def own_address():
    hosts.flush_all()
    hosts.make_peer(alpha, state["a"], state["b"].public, beta)
    ip_batch(alpha, "addr add %s/32 dev lo" % beta.v4)
    try:
        before = alpha.drops()
        # Begins another one.
        alpha.control.set_private_key(Identity().private)
        wait_until(lambda: drops_since(before, alpha.drops()).get("no_route"), 10, "a drop")
    finally:
        ip_batch(alpha, "addr del %s/32 dev lo" % beta.v4)


@case("before the first session nothing leaves in clear, whatever sends it")
def before_the_first_session():
    hosts.flush_all()
    tap = wire.Tap(hosts.wire)
    hosts.make_peer(alpha, state["a"], state["b"].public, beta)
    mac = alpha.mac()
    for address, target in pairs():
        udp = alpha.udp(address)
        udp.sendto(MARKER * 200, (target, APP))
        tcp = alpha.socket(udp.family, socket.SOCK_STREAM)
        tcp.setblocking(False)
        tcp.connect_ex((target, APP))
        ping = "ping", "-c", "1", "-W", "1", "-p", MARKER[:8].hex(), target
        alpha.start(*ping, stdout=-3).wait()
    wait_until(lambda: alpha.peer()["queued"] >= 6, 10, "packets wait")
    frames = [frame for frame in tap.frames() if frame[6:12] == mac]
    judge = wire.only_netveil(frames, OURS, (MARKER, MARKER[:8] * 2))
    check(judge.messages[1] > 0, "initiations are seen", judge.messages)
    check_equal(judge.messages[4], 0, "data messages")


ktap.run(set_up)
