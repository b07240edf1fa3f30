#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
"""What programs ask of their sockets goes on to work: segmentation and joining of
datagrams, sending without a copy, from files, TLS in the kernel, several paths;
and loopback is left alone (STACK A6, B4, B7).
"""

import contextlib
import ctypes
import errno
import json
import mmap
import os
import select
import socket
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import bpf
import hosts
import ktap
import packets
import traffic
import wire
from hosts import alpha, beta, drops_since, ip_batch
from ktap import case, check, check_equal, skip, wait_until
from nflog import Log
from traffic import MARKER, Stream, each_way, marked
from veilproto import Identity

OURS = alpha.addresses + beta.addresses
UDP_SEGMENT, UDP_GRO = 103, 104
SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
SO_EE_ORIGIN_ZEROCOPY = 5
TCP_ULP, SOL_TLS, TLS_TX, TLS_RX = 31, 282, 1, 2
TLS_1_2, TLS_AES_GCM_128 = 0x0303, 51
IPPROTO_MPTCP = 262
SCTP_PEER_ADDR_PARAMS, SPP_PMTUD_DISABLE = 9, 16
IPIP_PROTOCOL, TCP_PROTOCOL, UDP_PROTOCOL = 4, 6, 17
PACKET_TX_RING, TP_STATUS_SEND_REQUEST = 13, 1
state = {}


def set_up():
    hosts.topology_up("--offload")
    hosts.load_module()
    hosts.make_peers(Identity(), Identity())
    for address in beta.addresses:
        hosts.ping_once(alpha, address)


class Watched:
    """In the end the wire carried nothing but Netveil, and nothing was dropped, but
    for what a protocol may lose while it learns the MTU."""

    def __init__(self, *learning):
        self.learning = learning

    def __enter__(self):
        self.tap = wire.Tap(hosts.wire)
        self.before = alpha.drops(), beta.drops()
        self.clear = []
        return self

    def look(self):
        self.clear += traffic.in_clear(self.tap)

    def __exit__(self, *exception):
        self.look()
        self.tap.close()
        if exception[0]:
            return
        check_equal(self.clear, [], "frames in clear")
        for host, before in zip((alpha, beta), self.before):
            moved = drops_since(before, host.drops())
            check(set(moved) <= set(self.learning), "drops", moved)


@case("UDP segmentation, and a receiver that wants datagrams joined")
def udp_gso_gro():
    with Watched():
        for source, target, address in each_way(alpha, beta):
            with target.udp(address) as receiver, source.udp(
                source.addresses[":" in address]
            ) as sender:
                receiver.setsockopt(socket.SOL_UDP, UDP_GRO, 1)
                sender.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 1000)
                data = marked(1000 * 40 + 300)
                sender.sendto(data, receiver.getsockname())
                got, sizes = [], []

                def complete():
                    try:
                        text, extra, _, _ = receiver.recvmsg(65535, 64)
                    except BlockingIOError:
                        return sum(map(len, got)) >= len(data)
                    got.append(text)
                    joined = [struct.unpack("=i", each[2])[0] for each in extra]
                    sizes.append(joined[0] if joined else len(text))
                    return False

                wait_until(complete, 20, "all datagrams", every=0)
                check(b"".join(got) == data, "the bytes to " + address)
                check(set(sizes[:-1]) <= {1000}, "the datagrams' size", sizes)


@case("BIG TCP: segments of up to 185000 bytes, IPv6 and IPv4")
def big_tcp():
    for host in alpha, beta:
        for word in "gso_max_size", "gro_max_size", "gso_ipv4_max_size":
            try:
                host.run("ip", "link", "set", "eth0", word, "185000")
            except AssertionError as error:
                skip("no BIG TCP: " + str(error)[-200:])
    # TCP makes them as large as they may be, however slow this machine is: by the
    # round trip time their size shrinks, and CUBIC's slow start ends early.
    for key in "tcp_tso_rtt_log=31", "tcp_congestion_control=reno":
        alpha.run("sysctl", "-qw", "net.ipv4." + key)
    link = json.loads(alpha.run("ip", "-d", "-j", "link", "show", "eth0"))[0]
    addresses = [beta.v6]
    if "gso_ipv4_max_size" in link:  # since 6.3
        addresses.append(beta.v4)
    with Watched() as watched:
        for address in addresses:
            with Log(alpha, "postrouting", "meta length > 65536") as large:
                with Stream(alpha, beta, address) as stream:
                    # The window has to grow first.
                    for _ in range(40):
                        stream.exchange(1 << 20, 1000)
                        watched.look()
                        if large.packets():
                            break
                check(large.packets(), "segments that are really big, to " + address)
    for host in alpha, beta:
        for word in "gso_max_size", "gro_max_size", "gso_ipv4_max_size":
            host.run("ip", "link", "set", "eth0", word, "65536")


def zerocopy_done(sock):
    """How many sends the kernel reports as finished by now."""
    done = 0
    while True:
        try:
            _, extra, _, _ = sock.recvmsg(1, 512, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            return done
        for _, _, error in extra:
            _, origin, _, _, _, low, high = struct.unpack_from("=IBBBBII", error)
            check_equal(origin, SO_EE_ORIGIN_ZEROCOPY, "the notification's origin")
            done += high - low + 1


def send_zerocopy(sock, memory, size, read):
    """Sends memory[:size], piece by piece; once the kernel says that it is done with it
    the memory is overwritten. read() empties the other end meanwhile."""
    buffer = (ctypes.c_char * size).from_buffer(memory)
    place = sends = done = 0
    while place < size or done < sends:
        read()
        if place < size:
            sent = ctypes.CDLL(None, use_errno=True).send(
                sock.fileno(),
                ctypes.byref(buffer, place),
                min(size - place, 60000),
                MSG_ZEROCOPY | socket.MSG_DONTWAIT,
            )
            if sent > 0:
                place += sent
                sends += 1
        done += zerocopy_done(sock)
        select.select([], [], [], 0.002)
    del buffer
    memory[:size] = bytes(size)


@case("MSG_ZEROCOPY: the memory may be used again when the kernel says so")
def zerocopy():
    size = 600000
    with Watched():
        for _, _, address in list(each_way(alpha, beta))[:2]:
            with Stream(alpha, beta, address) as stream:
                stream.client.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
                memory = mmap.mmap(-1, size)
                data = marked(size)
                memory[:] = data
                got = bytearray()

                def read():
                    try:
                        got.extend(stream.server.recv(1 << 20))
                    except BlockingIOError:
                        return False
                    return True

                send_zerocopy(stream.client, memory, size, read)
                wait_until(lambda: read() or len(got) >= size, 20, "it", every=0)
                wait_until(
                    lambda: len(got) >= size or not read(), 20, "the rest", every=0
                )
                check(bytes(got) == data, "the bytes to " + address)


@case("sendfile, from a file in memory")
def sendfile():
    size = 600000
    data = marked(size)
    with Watched():
        for _, _, address in list(each_way(alpha, beta))[:2]:
            with tempfile.TemporaryFile(dir="/dev/shm") as file, Stream(
                alpha, beta, address
            ) as stream:
                file.write(data)
                file.flush()
                place, got = 0, bytearray()
                while len(got) < size:
                    if place < size:
                        try:
                            place += os.sendfile(
                                stream.client.fileno(), file.fileno(), place, size
                            )
                        except BlockingIOError:
                            pass
                    ready = select.select([stream.server], [], [], 0.5)
                    if ready[0]:
                        got += stream.server.recv(1 << 20)
                check(bytes(got) == data, "the bytes to " + address)


def tls_keys(sock):
    """The kernel does TLS 1.2 with these keys, the same in both directions."""
    info = struct.pack("=HH", TLS_1_2, TLS_AES_GCM_128)
    info += bytes(8) + b"k" * 16 + b"salt" + bytes(8)
    sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
    for way in TLS_TX, TLS_RX:
        sock.setsockopt(SOL_TLS, way, info)


@case("TLS in the kernel (kTLS)")
def ktls():
    with Watched():
        for _, _, address in list(each_way(alpha, beta))[:2]:
            with Stream(alpha, beta, address) as stream:
                try:
                    for end in stream.ends:
                        tls_keys(end)
                except (FileNotFoundError, OSError) as error:
                    skip("no kTLS: %s" % error)
                stream.exchange(200000)


@case("MPTCP, with a second subflow to another of the host's addresses")
def mptcp():
    try:
        alpha.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP).close()
    except OSError as error:
        skip("no MPTCP: %s" % error)
    second, before = "10.9.0.11", alpha.addresses
    alpha.run("ip", "addr", "add", second + "/24", "dev", "eth0")
    for host in alpha, beta:
        host.run("ip", "mptcp", "limits", "set", "subflow", "2")
    alpha.run("ip", "mptcp", "endpoint", "add", second, "dev", "eth0", "subflow")
    alpha.addresses = before + (second,)
    try:
        hosts.make_peers(Identity(), Identity())
        hosts.ping_once(alpha, beta.v4)
        with Watched(), Stream(alpha, beta, beta.v4, IPPROTO_MPTCP) as stream:

            def joined():
                stream.exchange(100000)
                return alpha.run("ss", "-Htn", "state", "established", "src", second)

            wait_until(joined, 20, "a second subflow")
            stream.exchange(500000)
    finally:
        alpha.addresses = before
        alpha.run("ip", "mptcp", "endpoint", "flush")
        alpha.run("ip", "addr", "del", second + "/24", "dev", "eth0")
        hosts.make_peers(Identity(), Identity())
        hosts.ping_once(alpha, beta.v4)


@case("SCTP")
def sctp():
    # 6.1's fills the path before it asks how long a packet may be.
    with Watched("too_big"):
        for _, _, address in list(each_way(alpha, beta))[:2]:
            try:
                with Stream(alpha, beta, address, socket.IPPROTO_SCTP) as stream:
                    stream.exchange(100000)
            except OSError as error:
                skip("no SCTP: %s" % error)


def no_discovery(sock):
    """SCTP's packets are as long as the device takes, and may be cut on the way."""
    anybody = struct.pack("=H", socket.AF_INET)
    flags = struct.pack("=iIHIII", 0, 0, 0, 0, 0, SPP_PMTUD_DISABLE)
    option = flags[:4] + anybody.ljust(128, b"\0") + flags[4:] + bytes(2)
    sock.setsockopt(socket.IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, option)


@case("SCTP that does not look for the MTU is cut inside of a tunnel, and keeps its checksum")
def sctp_cut():
    ends = (alpha, "10.1.0.1", beta), (beta, "10.2.0.1", alpha)
    for (host, own, via), (_, far, _) in zip(ends, ends[::-1]):
        ip_batch(
            host,
            "addr add %s/32 dev lo" % own,
            "route add %s/32 via %s src %s" % (far, via.v4, own),
        )
    hosts.make_gateways()
    try:
        with Watched():
            kind = socket.IPPROTO_SCTP, None, "10.1.0.1", no_discovery
            with Stream(alpha, beta, "10.2.0.1", *kind) as stream:
                stream.exchange(100000)
    except OSError as error:
        check_equal(error.errno, errno.EPROTONOSUPPORT, "no SCTP here")
        skip("no SCTP: %s" % error)
    finally:
        for (host, own, _), (_, far, _) in zip(ends, ends[::-1]):
            ip_batch(host, "route del %s/32" % far, "addr del %s/32 dev lo" % own)
        hosts.make_peers(Identity(), Identity())
        hosts.ping_once(alpha, beta.v4)


@case("loopback is left alone, also to the host's own address")
def loopback():
    before = alpha.peer()["tx_packets"], alpha.drops()
    lo = wire.Tap(alpha, "lo", whole=False)
    for address in "127.0.0.1", "::1", alpha.v4, alpha.v6:
        with Stream(alpha, alpha, address) as stream:
            stream.exchange(300000)
        frames = lo.take()
        check(any(MARKER in frame for frame in frames), "in clear on lo: " + address)
        traffic.datagrams(alpha, alpha, address, bind=address)
        lo.take()
    lo.close()
    check_equal(drops_since(before[1], alpha.drops()), {}, "drops")
    sealed = alpha.peer()["tx_packets"] - before[0]
    check(sealed < 10, "nothing of it was sealed", sealed)


@contextlib.contextmanager
def control_group(code):
    """This process is in one whose packets the program judges."""
    root = "/tmp/cgroup"
    os.makedirs(root, exist_ok=True)
    try:
        hosts.command("mount", "-t", "cgroup2", "none", root)
    except AssertionError as error:
        skip("no control groups: %s" % error)
    try:
        program = bpf.load(bpf.CGROUP_SKB, code)
    except OSError as error:
        hosts.command("umount", root)
        # What the verifier does not take is a fault of the program's.
        check(" R1=" not in error.strerror, "the program is taken", error.strerror)
        skip("no programs on control groups: %s" % error)
    group = root + "/test"
    os.makedirs(group, exist_ok=True)
    folder = os.open(group, os.O_RDONLY)
    bpf.attach(program, folder, bpf.CGROUP_INET_EGRESS)

    def enter(path):
        with open(path + "/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(os.getpid()))

    enter(group)
    try:
        yield
    finally:
        enter(root)
        os.close(folder)
        os.rmdir(group)
        hosts.command("umount", root)


@case("what gets to the port behind the hook's back is dropped, counted, and kept nowhere")
def behind_headers():
    injector = wire.Injector(hosts.wire, "wa", beta.mac(), alpha.mac())
    stranger, own = "fd09::77", alpha.addresses[1]
    options = bytes([UDP_PROTOCOL, 0, 1, 4, 0, 0, 0, 0])
    before = alpha.drops()
    segment = packets.udp(stranger, own, 4000, wire.PORT, bytes(64))
    injector.packet(packets.ipv6(stranger, own, 60, options + segment))
    wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
    check_equal(drops_since(before, alpha.drops()), {"stranger": 1}, "drops")
    with alpha.udp("127.0.0.1", 0) as sock:
        sock.sendto(bytes(64), ("127.0.0.1", wire.PORT))
    wait_until(
        lambda: drops_since(before, alpha.drops()) == {"stranger": 2}, 10, "a drop, by lo"
    )
    with alpha.inside():
        for name in "udp", "udp6":
            with open("/proc/net/" + name, encoding="ascii") as file:
                lines = [line.split() for line in file]
            queues = [f[4] for f in lines if f[1].endswith(":%04X" % wire.PORT)]
            check_equal(queues, ["00000000:00000000"], "queue of " + name)
    injector.close()


@case("a control group's program sees what its processes send, not what is sealed")
def judged():
    with control_group(bpf.drop_protocol_of_sockets(UDP_PROTOCOL)):
        # Its packets are TCP, and leave as UDP.
        with Stream(alpha, beta, beta.v4) as stream:
            stream.exchange(50000)
        with alpha.udp(alpha.v4) as sock, beta.udp(beta.v4) as receiver:
            before = alpha.drops()
            hosts.offer(sock, MARKER, receiver.getsockname())
            moved = wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
            check_equal(moved, {"cgroup": 1}, "drops")


@contextlib.contextmanager
def tunnel():
    """An IPIP device over the link: alpha's and beta's addresses of it."""
    ends = (alpha, "10.99.0.1", beta), (beta, "10.99.0.2", alpha)
    with contextlib.ExitStack() as stack:
        for here, address, there in ends:
            try:
                ip_batch(here, "link add ip1 type ipip local %s remote %s" % (here.v4, there.v4))
            except AssertionError as error:
                skip("no IPIP on this kernel: " + str(error)[-200:])
            stack.callback(ip_batch, here, "link del ip1")
            ip_batch(here, "addr add %s/24 dev ip1" % address, "link set ip1 up")
        yield tuple(address for _, address, _ in ends)


def alpha_waits():
    """alpha knows beta, which does not know it yet; what makes it do so."""
    first, second = sorted((Identity(), Identity()), key=lambda identity: identity.public)
    hosts.flush_all()
    hosts.make_peer_unheard(alpha, first, second.public, beta)
    return lambda: hosts.make_peer(beta, second, first.public, alpha)


@case("of what a tunnel device sends such a program sees the inner packet alone")
def judged_inside():
    with tunnel() as (source, target), control_group(
        bpf.drop_protocol_of_sockets(IPIP_PROTOCOL)
    ):
        before = alpha.drops()
        with Stream(alpha, beta, target) as stream:
            stream.exchange(50000)
        traffic.datagrams(alpha, beta, target, bind=source)
        meet = alpha_waits()
        with alpha.udp(source) as sender, beta.udp(target) as receiver:
            sender.sendto(MARKER, receiver.getsockname())
            check_equal(alpha.peer()["queued"], 1, "datagrams that wait")
            # A connection's packets wait with their socket.
            with alpha.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
                client.setblocking(False)
                client.connect_ex((target, 9))
                check_equal(alpha.peer()["queued"], 2, "packets that wait")
                meet()
                check_equal(traffic.collect(receiver, 1, "datagrams")[0][0], MARKER, "what arrives")
                wait_until(
                    lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    == errno.ECONNREFUSED,
                    10,
                    "the answer to a connection",
                )
        # The device learns what fits.
        moved = set(drops_since(before, alpha.drops())) - {"too_big"}
        check_equal(moved, set(), "drops")


@case("what waits for a session is judged as well")
def judged_later():
    with control_group(bpf.drop_protocol_of_sockets(TCP_PROTOCOL)):
        meet = alpha_waits()
        before = alpha.drops()
        with alpha.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.setblocking(False)
            client.connect_ex((beta.v4, 9))
            check_equal(alpha.peer()["queued"], 1, "packets that wait")
            meet()
            moved = wait_until(lambda: drops_since(before, alpha.drops()), 10, "a drop")
        check_equal(set(moved), {"cgroup"}, "drops")
        hosts.ping_once(alpha, beta.v4)


@case("handshakes are no business of the control group that veil ran in")
def not_judged():
    with control_group(bpf.DROP_OF_SOCKETS):
        hosts.make_peers(Identity(), Identity())
    hosts.ping_once(alpha, beta.v4)
    hosts.ping_once(alpha, beta.v6)


@case("a socket's send buffer counts what is under way, and is given back")
def send_buffer():
    with alpha.udp(alpha.v4) as sock, beta.udp(beta.v4) as receiver:
        for _ in range(200):
            sock.sendto(bytes(1400), receiver.getsockname())
        traffic.collect(receiver, 200, "datagrams")
        words = "ss", "-Huanm", "src", "%s:%d" % sock.getsockname()

        def memory():
            return [w for w in alpha.run(*words).split() if w.startswith("skmem")][0]

        wait_until(lambda: ",t0," in memory(), 10, "nothing is accounted any more")


@case("frames in a packet socket's ring, by a tunnel to the peer: each is its program's again")
def packet_ring():
    with tunnel() as (source, target), alpha.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as sock:
        packet = packets.ipv4(source, target, packets.UDP, MARKER)
        # One block of two frames.
        sock.setsockopt(wire.SOL_PACKET, PACKET_TX_RING, struct.pack("=4I", 4096, 1, 2048, 2))
        sock.bind(("ip1", 0x0800))
        ring = mmap.mmap(sock.fileno(), 4096)
        with Watched():
            for frame in 0, 2048:
                ring[frame + 32 : frame + 32 + len(packet)] = packet
                # Status, and length.
                ring[frame : frame + 12] = struct.pack("=QI", TP_STATUS_SEND_REQUEST, len(packet))
            before = alpha.peer()["tx_packets"]
            sock.send(b"")
            check_equal(alpha.peer()["tx_packets"], before + 2, "sealed packets")
            statuses = [struct.unpack_from("=Q", ring, frame)[0] for frame in (0, 2048)]
            check_equal(statuses, [0, 0], "frames that are the program's again")


ktap.run(set_up)
