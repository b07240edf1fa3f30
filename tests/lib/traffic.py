# SPDX-License-Identifier: GPL-2.0
"""Traffic between two hosts that says by itself whether it arrived as it was
sent: streams and datagrams of random bytes with a marker in every packet, so
that a tap can tell whether one was in clear.
"""

import contextlib
import os
import select
import socket
import threading
import time
import traceback

from ktap import check, check_equal, wait_until

MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
SECONDS = 30
# Bytes of a datagram that no link here cuts
WHOLE = 1200


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def marked(size):
    """Random bytes that show the marker in every packet that they may fill."""
    data = bytearray(os.urandom(size))
    for place in range(0, size - len(MARKER) + 1, 300):
        data[place : place + len(MARKER)] = MARKER
    return bytes(data)


def in_clear(tap):
    """Frames that show the marker; the tap is emptied, for these are many."""
    return [frame for frame in tap.take() if MARKER in frame]


def check_shown(tap, one, other):
    """Between hosts that do not protect it, the tap does see the marker."""
    datagrams(one, other, other.v4)
    check(in_clear(tap), "frames in clear")
    tap.close()


def each_way(one, other):
    """Source, target and the target's address: both ways, both families."""
    for source, target in (one, other), (other, one):
        for address in target.addresses:
            yield source, target, address


def on_cpu(cpu, work):
    """A process that does it on that CPU; what it sends is handled there as well."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.sched_setaffinity(0, {cpu})
        work()
        code = 0
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
    finally:
        os._exit(code)


class Stream:
    """A connection: exchange() sends data both ways at once and compares. prepare
    is called with both sockets before."""

    def __init__(self, source, target, address, protocol=0, listen=None, own=None, prepare=None):
        kind = family(address), socket.SOCK_STREAM, protocol
        listener, self.client = target.socket(*kind), source.socket(*kind)
        self.listener = listener
        for sock in (listener, self.client) if prepare else ():
            prepare(sock)
        if own:
            self.client.bind((own, 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(listen or (address, 0))
        listener.listen()
        listener.settimeout(SECONDS)
        self.client.settimeout(SECONDS)
        self.client.connect((address, listener.getsockname()[1]))
        self.server, self.seen_as = listener.accept()
        self.ends = self.client, self.server
        for end in self.ends:
            end.setblocking(False)

    def exchange(self, size=100000, back=None):
        """size bytes from client to server, back (as many) bytes the other way."""
        sizes = size, size if back is None else back
        data = {end: marked(each) for end, each in zip(self.ends, sizes)}
        left = {end: memoryview(data[end]) for end in self.ends}
        got = {end: bytearray() for end in self.ends}
        other = {self.client: self.server, self.server: self.client}

        def done():
            return all(len(got[end]) >= len(data[other[end]]) for end in self.ends)

        while not done():
            writers = [end for end in self.ends if left[end]]
            ready = select.select(self.ends, writers, (), SECONDS)
            check(any(ready), "a stream goes on", [len(got[e]) for e in self.ends])
            for end in ready[0]:
                more = end.recv(1 << 18)
                check(more, "the connection stays open")
                got[end] += more
            for end in ready[1]:
                with contextlib.suppress(BlockingIOError):
                    left[end] = left[end][end.send(left[end][: 1 << 16]) :]
        for end in self.ends:
            check(got[end] == data[other[end]], "the bytes are those that were sent")

    def close(self):
        for sock in *self.ends, self.listener:
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def stream(source, target, address, size=100000, **more):
    """One connection, data both ways, and its end; whom the server saw."""
    with Stream(source, target, address, **more) as connection:
        connection.exchange(size)
        return connection.seen_as[0]


def transfer(source, target, address, data, pieces=(1 << 20,)):
    """A file one way, handed over in pieces of these sizes in turn; it arrives as it
    is.
    """
    got = []
    listener = target.socket(family(address))
    listener.bind((address, 0))
    listener.listen()
    listener.settimeout(SECONDS * 2)

    def serve():
        connection, _ = listener.accept()
        connection.settimeout(SECONDS * 2)
        got.append(b"".join(iter(lambda: connection.recv(1 << 16), b"")))
        connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with source.socket(family(address)) as client:
        client.settimeout(SECONDS * 2)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect((address, listener.getsockname()[1]))
        place = turn = 0
        while place < len(data):
            size = pieces[turn % len(pieces)]
            client.sendall(data[place : place + size])
            place, turn = place + size, turn + 1
        # It is the program's until all has arrived.
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
    thread.join(SECONDS * 2)
    listener.close()
    check(got == [data], "a file to " + address, [len(each) for each in got])


def transfer_promptly(source, target, address, data):
    """The same without a stall: TCP never waits for long for what does not come.
    (Of its timer, which doubles each time, four in a row are three seconds; what an
    answer shows to have been too early, on a slow machine, does not count.)
    """

    def late():
        return source.statistic("TcpExtTCPTimeouts") - source.statistic("TcpExtTCPLossUndo")

    before = late()
    transfer(source, target, address, data)
    timeouts = late() - before
    check(timeouts < 4, "without a stall: TCP's timeouts", timeouts)


def collect(receiver, count, what, seconds=20):
    """count datagrams, and from whom."""
    got = []

    def complete():
        with contextlib.suppress(BlockingIOError):
            while True:
                got.append(receiver.recvfrom(65535))
        return len(got) >= count

    wait_until(complete, seconds, "%d %s" % (count, what), every=0.002)
    return got


def check_arrived(got, sent, what):
    """All of them, and whole ones in order. Fragments are a flow of their own, as for
    ECMP and RSS: WireGuard hands its packets the hash of what is inside, and they
    may overtake others on another lane."""
    check(sorted(got) == sorted(sent), what)
    order = [[data for data in each if len(data) <= WHOLE] for each in (got, sent)]
    check_equal(*order, "the order of " + what)


@contextlib.contextmanager
def on_one_cpu():
    """Where a sender moves to another CPU, what it sent before may wait at the one that it
    left (ksoftirqd), and be overtaken."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cpus)


def datagrams(source, target, address, sizes=(1, 100, 1400, 5000), bind=None):
    """Datagrams of these sizes arrive as they are, and are answered; whom the
    receiver saw."""
    own = source.addresses[":" in address] if bind is None else bind
    with on_one_cpu(), target.udp(address) as receiver, source.udp(own) as sender:
        sent = [marked(size) for size in sizes]
        for data in sent:
            sender.sendto(data, receiver.getsockname())
        got = collect(receiver, len(sent), "datagrams to " + address)
        check_arrived([data for data, _ in got], sent, "datagrams to " + address)
        seen = got[0][1]
        for data in sent:
            receiver.sendto(data, seen)
        answers = collect(sender, len(sent), "answers from " + address)
        check_arrived([data for data, _ in answers], sent, "answers from " + address)
    return seen[0]


def both_kinds(source, target, address):
    """TCP and UDP arrive; whom the target saw, which must be the same."""
    seen = stream(source, target, address)
    check_equal(datagrams(source, target, address), seen, "whom UDP came from")
    return seen
