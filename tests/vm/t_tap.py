#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=40
"""What a virtual machine hands its host by a tap device: packets that it has joined,
rightly or not. They come with the sizes that the machine says, unlike those that the
host's own GRO has joined.

alpha is the host; this test writes to the tap device as the machine would, with what
its peer in Python (on beta) has sealed.
"""

import errno
import fcntl
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import pypeer
from hosts import alpha, beta, drops_since
from ktap import case, check, check_equal, skip, wait_until
from veilproto import PORT, Identity

APP = 7000
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 2, 0x1000, 0x4000
NEEDS_CSUM, GSO_TCPV4, GSO_UDP, GSO_UDP_L4 = 1, 1, 3, 5
MAC, MACHINES = b"\2\0\0\0\0\xaa", b"\2\0\0\0\0\xbb"
ENDS = beta.v4, alpha.v4
MACHINE = "10.77.0.2"
MASQUERADE = """
    table ip t {
        chain c { type nat hook postrouting priority 100; ip saddr %s masquerade; }
    }""" % MACHINE
WITHOUT_OPTIONS = """
    table ip shorter {
        chain c { type filter hook postrouting priority 300; oifname big0 @nh,0,8 set 0x45; }
    }"""
state = {}


def set_up():
    hosts.set_up()
    if not os.path.exists("/dev/net/tun"):
        os.makedirs("/dev/net", exist_ok=True)
        os.mknod("/dev/net/tun", 0o20600, os.makedev(10, 200))
    with alpha.inside():
        state["tap"] = os.open("/dev/net/tun", os.O_RDWR)
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
        fcntl.ioctl(state["tap"], TUNSETIFF, struct.pack("16sH22x", b"tap0", flags))
    hosts.ip_batch(alpha, "link set tap0 address 02:00:00:00:00:aa up")


def hand_over(kind, size, payload, length=None):
    """A UDP packet to our port, of a GSO type, to be cut after every size bytes; whether
    the kernel takes it. length: what its header says."""
    segment = packets.udp(*ENDS, PORT, PORT, payload, length)
    frame = packets.ethernet(MACHINES, MAC, packets.ipv4(*ENDS, packets.UDP, segment))
    header = struct.pack("<BBHHHH", NEEDS_CSUM, kind, 14 + 20 + 8, size, 14 + 20, 6)
    try:
        os.write(state["tap"], header + frame)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def leaves_to_be_cut(payload):
    """The machine sends beta a UDP packet that is to go on in IP fragments."""
    segment = packets.udp(MACHINE, beta.v4, APP, APP + 1, payload)
    packet = packets.ipv4(MACHINE, beta.v4, packets.UDP, segment)
    header = struct.pack("<BBHHHH", NEEDS_CSUM, GSO_UDP, 14 + 20 + 8, 1480, 14 + 20, 6)
    os.write(state["tap"], header + packets.ethernet(MACHINES, MAC, packet))


@case("a datagram of the machine's that is to be cut into IP fragments arrives whole")
def fragments():
    hosts.ip_batch(alpha, "addr add 10.77.0.1/24 dev tap0")
    alpha.sysctl("ipv4/ip_forward", 1)
    alpha.run("nft", MASQUERADE)
    payload = os.urandom(4000)
    with beta.udp(beta.v4, APP + 1) as sock:
        for protected in False, True:
            hosts.flush_all()
            if protected:
                hosts.make_peers(Identity(), Identity())
            hosts.ping_once(alpha, beta.v4)
            before = beta.drops()
            leaves_to_be_cut(payload)
            pypeer.socket_receives(sock, payload)
            check_equal(drops_since(before, beta.drops()), {}, "drops")


@case("segments that fit the device but no length field are dropped, and it goes on")
def too_long():
    if os.uname().release.startswith("7."):
        skip("this kernel's rules do not write another header length, as seen in 7.2")
    hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    # Long TCP options, which are IP options until alpha's rule takes those away: the
    # kernel counts the headers of segments before, without the TCP options.
    tcp = bytearray(b"\1" * 60)
    tcp[12:14], tcp[52] = b"\xf0\x10", 0
    payload = bytes(65434)
    packet = packets.ipv4(alpha.v4, beta.v4, packets.TCP, bytes(tcp[40:]) + payload, bytes(tcp[:40]))
    header = struct.pack("<BBHHHH", NEEDS_CSUM, GSO_TCPV4, 14 + 80, 65433, 14 + 20, 16)
    lines = "link add big0 type dummy", "link set big0 mtu 70000 up", "route add 10.9.0.2 dev big0"
    alpha.run("nft", WITHOUT_OPTIONS)
    hosts.ip_batch(alpha, *lines)
    for key in "conf/tap0/accept_local", "ip_forward":
        alpha.sysctl("ipv4/" + key, 1)
    before = alpha.drops()
    try:
        os.write(state["tap"], header + packets.ethernet(MACHINES, MAC, packet))
        wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
        check_equal(drops_since(before, alpha.drops()), {"too_big": 1}, "drops")
    finally:
        alpha.run("nft", "flush ruleset")
        hosts.ip_batch(alpha, "link del big0")
    hosts.ping_once(alpha, beta.v4)


@case("messages that the machine joined are opened one by one")
def joined():
    peer, count = pypeer.connected(), 5
    before = alpha.drops()
    sent = [b"joined %d" % number for number in range(count)]
    messages = [peer.sealed(each) for each in sent]
    if not hand_over(GSO_UDP_L4, len(messages[0]), b"".join(messages)):
        skip("this kernel's tap devices take no such packets, as before 6.2")
    got = []
    wait_until(lambda: got.extend(hosts.receive_all(peer.app)) or len(got) == count, 10, "all")
    check_equal(got, sent, "what arrived")
    check_equal(drops_since(before, alpha.drops()), {}, "drops")


@case("of one that is to be cut, into IP fragments or its own pieces, none is taken")
def wrongly_joined():
    peer = pypeer.connected()
    message = peer.sealed(bytes(2500))
    taken = []
    for kind in GSO_UDP, GSO_UDP_L4:
        before = alpha.drops()
        taken.append(hand_over(kind, 1000, message))
        if taken[-1]:
            dropped = lambda b=before: sum(drops_since(b, alpha.drops()).values())
            wait_until(lambda d=dropped: d() >= 3, 10, "drops")
            check_equal(dropped(), 3, "drops")
        peer.talk()
        check_equal(hosts.receive_all(peer.app), [], "what was delivered")
    check(taken[0], "IP fragments were tried")


@case("a piece of an IP packet that looks like a whole message is none")
def whole_pieces():
    """The machine has each fragment begin with a UDP header of its length."""
    peer, size = pypeer.connected(), 1000
    sent = [bytes([number]) * (size - 8 - 42) for number in range(2)]
    messages = [peer.sealed(each) for each in sent]
    check_equal([len(each) for each in messages], [size - 8] * 2, "bytes of messages")
    second = packets.udp(*ENDS, PORT, PORT, messages[1])
    before = alpha.drops()
    check(hand_over(GSO_UDP, size, messages[0] + second, size), "it is taken")
    dropped = lambda: drops_since(before, alpha.drops())
    wait_until(lambda: sum(dropped().values()) >= 2, 10, "drops")
    check_equal(dropped(), {"malformed": 2}, "drops")
    for message, each in zip(messages, sent):
        peer.send(message)
        pypeer.socket_receives(peer.app, each)


ktap.run(set_up)
