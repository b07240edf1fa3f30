#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=180
"""Everything two hosts say to each other arrives unharmed, and the wire shows
only Netveil packets, from before the first one on (DESIGN section 1, T1).

Configured by `veil` as a user would do it. The last cases judge what the tap
saw during all others.
"""

import base64
import hashlib
import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import packets
import traffic
import wire
from hosts import alpha, beta, receive_all, wire as wire_host
from ktap import case, check, check_equal, note, wait_until

MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
CAPTURE = "/tmp/traffic.pcap"
SIZES = 1, 2, 3, 16, 100, 1399, 1424, 1426, 1427, 1472, 1473, 3000, 9000, 30000, 60000
state = {}


def marked(size):
    """Random bytes that show the marker in every packet that they may fill."""
    data = bytearray(os.urandom(size))
    for place in range(0, size - len(MARKER) + 1, 300):
        data[place : place + len(MARKER)] = MARKER
    return bytes(data)


def set_up():
    hosts.set_up()
    keys = {h: h.veil("key", "generate").strip() for h in (alpha, beta)}
    command = "tcpdump", "-Z", "root", "-i", "wa", "-n", "-U", "-s", "0"
    log = open(CAPTURE + ".log", "w", encoding="ascii")
    state["tcpdump"] = wire_host.start(
        *command, "-B", "65536", "--immediate-mode", "-w", CAPTURE, stderr=log
    )
    wait_until(lambda: "listening on" in tcpdump_log(), 10, "tcpdump listens")
    # As hosts.make_peers() does it, by the hand of a user.
    first, second = sorted(keys, key=lambda h: base64.b64decode(keys[h]))
    with second.udp(second.v4, hosts.PORT) as silent:
        add_peer(first, second, keys[second])
        wait_until(lambda: receive_all(silent), 10, "an initiation")
    add_peer(second, first, keys[first])


def add_peer(host, other, key):
    addresses = [word for a in other.addresses for word in ("address", a)]
    host.veil("peer", "add", key, *addresses)


def tcpdump_log():
    with open(CAPTURE + ".log", encoding="ascii") as log:
        return log.read()


def each_way():
    """Sender, receiver and its address: both directions, both families."""
    for source, target in (alpha, beta), (beta, alpha):
        for address in target.addresses:
            yield source, target, address


def serve(listener, received):
    connection, _ = listener.accept()
    with connection:
        chunks = list(iter(lambda: connection.recv(1 << 16), b""))
        received.append(b"".join(chunks))
        connection.sendall(hashlib.sha256(received[-1]).digest())


def tcp_listener(host, address):
    kind = (10 if ":" in address else 2), 1
    listener = host.socket(*kind)
    listener.bind((address, 0))
    listener.listen(64)
    listener.settimeout(60)
    return listener


def tcp_send(host, address, port, data):
    """Send data; the digest that the other end answers with."""
    client = host.socket((10 if ":" in address else 2), 1)
    with client:
        client.settimeout(60)
        client.connect((address, port))
        client.sendall(data)
        client.shutdown(1)
        return client.recv(64)


@case("ping over IPv4 and IPv6, both ways")
def ping():
    for source, _, address in each_way():
        family = "-6" if ":" in address else "-4"
        words = "ping", family, "-q", "-c", "3", "-i", "0.02", "-W", "5"
        for size in "8", "1400", "5000":
            source.run(*words, "-s", size, "-p", MARKER[:8].hex(), address)


@case("TCP: a file both ways over IPv4 and IPv6 arrives with its checksum")
def tcp_files():
    data = marked(1 << 20)
    digest = hashlib.sha256(data).digest()
    for source, target, address in each_way():
        listener, received = tcp_listener(target, address), []
        server = threading.Thread(target=serve, args=(listener, received))
        server.start()
        echoed = tcp_send(source, address, listener.getsockname()[1], data)
        server.join()
        listener.close()
        check_equal(echoed, digest, "digest of %s to %s" % (source.name, address))


@case("iperf3 both ways, TCP and UDP")
def iperf():
    server = beta.start("iperf3", "-s", stdout=-3)
    try:
        for way in (), ("-R",), ("-u", "-b", "5M"):
            words = "iperf3", "-c", beta.v4, "-n", "1M", "-i", "0.1", "-J", *way
            end = wait_until(lambda: try_iperf(words), 60, "iperf3 connects")["end"]
            # The client's own count, by which it ends: a slow server has not
            # counted its last block yet when it is asked.
            own = end["sum_received"] if "-R" in way else end.get("sum_sent") or end["sum"]
            note("%s %.0f Mbit/s" % (" ".join(way), own["bits_per_second"] / 1e6))
            check(own["bytes"] >= 1 << 20, "1 MiB passes", way, own)
    finally:
        server.kill()
        server.wait()


def try_iperf(words):
    """iperf3's report; it fails by itself when the two ends do not agree. The server
    refuses, or resets, who comes before it is done with the one before."""
    try:
        return json.loads(alpha.run(*words))
    except AssertionError as error:
        if "unable to connect" in str(error):
            return None
        raise


@case("UDP of 1 byte to 60 KB, both ways, IPv4 and IPv6")
def udp_sizes():
    for source, target, address in each_way():
        receiver = target.udp(address, 7000)
        sender = source.udp(source.addresses[":" in address])
        for size in SIZES:
            data = marked(size)
            sender.sendto(data, (address, 7000))
            got = wait_until(lambda: receive_all(receiver), 10, "%d bytes" % size)
            check(got == [data], "%d bytes to %s unharmed" % (size, address), len(got))
        receiver.close()
        sender.close()


@case("30 TCP and 30 UDP flows at once")
def many_flows():
    data = [marked(20000 + 100 * i) for i in range(30)]
    listeners = [tcp_listener(beta, beta.addresses[i % 2]) for i in range(30)]
    received, digests = [], {}
    threads = [threading.Thread(target=serve, args=(l, received)) for l in listeners]
    for i, listener in enumerate(listeners):
        address, port = listener.getsockname()[:2]
        arguments = digests, i, address, port, data[i]
        threads.append(threading.Thread(target=send_one, args=arguments))
    for thread in threads:
        thread.start()
    udp_flows(30)
    for thread in threads:
        thread.join()
    for i, each in enumerate(data):
        check_equal(digests.get(i), hashlib.sha256(each).digest(), "flow %d" % i)


def send_one(digests, i, address, port, data):
    digests[i] = tcp_send(alpha, address, port, data)


def udp_flows(count):
    """Numbered datagrams in count flows: each flow's come in order."""
    receivers = [beta.udp(beta.v4, 8000 + i) for i in range(count)]
    senders = [alpha.udp(alpha.v4) for _ in range(count)]
    wanted = [b"%s %d" % (MARKER, n) for n in range(10)]
    for text in wanted:
        for i, sender in enumerate(senders):
            sender.sendto(text, (beta.v4, 8000 + i))
    got = [[] for _ in receivers]

    def complete():
        for texts, receiver in zip(got, receivers):
            texts.extend(receive_all(receiver))
        return all(len(texts) >= len(wanted) for texts in got)

    wait_until(complete, 20, "all datagrams of %d flows" % count)
    check(all(texts == wanted for texts in got), "every flow in order, once", got)
    for sock in receivers + senders:
        sock.close()


@case("two CPUs send on one flow, and so on one lane, at once")
def one_lane():
    receiver = beta.udp(beta.v4, 9000)
    sender = alpha.udp(alpha.v4)
    sender.setblocking(True)
    sender.connect((beta.v4, 9000))
    cpus = sorted(os.sched_getaffinity(0))
    count = 1000
    children = [traffic.on_cpu(cpu, lambda: send_numbered(sender, count)) for cpu in (cpus + cpus)[:2]]
    got = set()

    def complete():
        got.update(receive_all(receiver))
        return len(got) == 2 * count

    wait_until(complete, 60, "%d datagrams" % (2 * count))
    for child in children:
        os.waitpid(child, 0)
    receiver.close()
    sender.close()


def send_numbered(sock, count):
    for number in range(count):
        sock.send(b"%s %d %d" % (MARKER, os.getpid(), number))


@case("no packet was dropped, for no reason, on either host")
def no_drops():
    for host in alpha, beta:
        shown = json.loads(host.veil("-j", "show"))
        drops = shown["drops"]
        dropped = {name: count for name, count in drops.items() if count}
        check_equal(dropped, {}, "drops on " + host.name)
        check_equal(drops, host.drops(), "veil -j show and netlink")


@case("the tap saw only Netveil packets and no marker, and no counter twice")
def tap():
    size = -1

    def settled():
        nonlocal size
        before, size = size, os.path.getsize(CAPTURE)
        return before == size

    wait_until(settled, 10, "the capture is written", every=0.3)
    state["tcpdump"].terminate()
    state["tcpdump"].wait()
    check("\n0 packets dropped by kernel" in tcpdump_log(), "whole", tcpdump_log())
    frames = wire.read_pcap(CAPTURE)
    ours = alpha.addresses + beta.addresses
    judge = wire.only_netveil(frames, ours, (MARKER, MARKER[:8] * 2))
    note("%d frames, messages by type %s" % (len(frames), judge.messages))
    check(judge.messages[4] > 3000, "data packets seen", judge.messages)
    check_equal((judge.messages[1], judge.messages[2]), (2, 1), "handshakes")
    check(len(judge.lanes()) > 1, "more than one lane is in use", judge.lanes())


@case("the control: after `veil flush` the same tap sees the marker")
def control():
    with_tap = wire.Tap(wire_host)
    for host in alpha, beta:
        host.veil("flush")
    receiver, sender = beta.udp(beta.v4, 7000), alpha.udp(alpha.v4)
    sender.sendto(MARKER, (beta.v4, 7000))
    wait_until(lambda: receive_all(receiver) == [MARKER], 10, "the datagram")
    check(any(MARKER in frame for frame in with_tap.frames()), "marker on the wire")
    seen = [p for p in with_tap.packets() if p.protocol == packets.UDP]
    check(any(MARKER in p.payload for p in seen), "and in a packet")


ktap.run(set_up)
