# SPDX-License-Identifier: GPL-2.0
"""Traffic without end, for a soak: flows that compare every byte that arrives with
what was sent, that count what does not arrive, and that may not stand still. All are
driven by step(), which never waits; finish() sends no more and tells whether all has
arrived or is lost.
"""

import contextlib
import re
import socket
import subprocess
import time

import traffic
from ktap import check

# What every flow sends, from wherever it is: longer than any buffer.
SIZE = 1 << 20
TEXT = traffic.marked(SIZE)
TWICE = memoryview(TEXT * 2)
# A flow on a busy machine that gets nothing for so long stands still; what a window
# of datagrams has not brought by then is lost.
PATIENCE, WINDOW_PATIENCE = 600, 30


def piece(place, length):
    """What is to be at that place of a flow."""
    start = place % SIZE
    return TWICE[start : start + length]


class Flow:
    """What all have: a name, counts, and the time of the last progress."""

    def __init__(self, kind, source, target, address):
        self.name = "%s %s to %s" % (kind, source.name, address)
        self.kind, self.ended, self.arrived, self.bytes, self.lost = kind, False, 0, 0, 0
        self.last = time.monotonic()

    def progress(self, length):
        self.arrived += 1
        self.bytes += length
        self.last = time.monotonic()

    def is_alive(self):
        check(time.monotonic() - self.last < PATIENCE, self.name + " goes on", self.arrived)

    def finish(self):
        self.ended = True
        self.step()
        return self.is_done()


class Datagrams(Flow):
    """Numbered ones, a few of them under way at a time: they arrive once and in order."""

    WINDOW = 8
    MOST = 65507

    def __init__(self, source, target, address, sizes):
        super().__init__("UDP", source, target, address)
        self.receiver = target.udp(address)
        self.sender = source.udp(source.addresses[":" in address])
        self.to, self.sizes = self.receiver.getsockname(), sizes
        self.sent, self.next = 0, 0

    def skip(self, number):
        """Those before are lost."""
        self.lost += number - self.next
        self.next = number

    def datagram(self, number):
        size = self.sizes[number % len(self.sizes)]
        return number.to_bytes(8, "big") + piece(number * 977, size)

    def step(self):
        got = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self.receiver.recv(self.MOST)
                number = int.from_bytes(data[:8], "big")
                check(number >= self.next, "in order: " + self.name, number, self.next)
                check(data == self.datagram(number), "as it was sent: " + self.name)
                self.skip(number)
                self.next += 1
                self.progress(len(data))
                got += 1
        if time.monotonic() > self.last + WINDOW_PATIENCE:
            self.skip(self.sent)
        while not self.ended and self.sent < self.next + self.WINDOW:
            try:
                self.sender.sendto(self.datagram(self.sent), self.to)
            except BlockingIOError:
                break
            self.sent += 1
        return got

    def is_done(self):
        return self.next == self.sent

    def close(self):
        self.sender.close()
        self.receiver.close()


class Stream(Flow):
    """A connection that sends both ways all the time."""

    CHUNK = 1 << 16

    def __init__(self, source, target, address):
        super().__init__("TCP", source, target, address)
        self.stream = traffic.Stream(source, target, address)
        self.sent, self.got = dict.fromkeys(self.stream.ends, 0), dict.fromkeys(self.stream.ends, 0)

    def step(self):
        got = 0
        for end in self.stream.ends:
            with contextlib.suppress(BlockingIOError):
                data = end.recv(self.CHUNK)
                check(data, "open: " + self.name)
                check(data == piece(self.got[end], len(data)), "as it was sent: " + self.name)
                self.got[end] += len(data)
                self.progress(len(data))
                got += 1
            if not self.ended:
                with contextlib.suppress(BlockingIOError):
                    self.sent[end] += end.send(piece(self.sent[end], self.CHUNK))
        return got

    def is_done(self):
        one, other = self.stream.ends
        return self.sent[one] == self.got[other] and self.sent[other] == self.got[one]

    def close(self):
        self.stream.close()


class Connections(Flow):
    """One connection after the other, each of few bytes both ways."""

    EVERY = 1

    def __init__(self, source, target, address):
        super().__init__("TCP connections", source, target, address)
        self.way = source, target, address

    def step(self):
        if self.ended or time.monotonic() < self.last + self.EVERY:
            return 0
        size = 1 + self.arrived * 997 % 40000
        traffic.stream(*self.way, size)
        self.progress(2 * size)
        return 1

    def is_done(self):
        return True

    def close(self):
        pass


class Pings(Flow):
    """`ping`, again and again."""

    COUNT = 20

    def __init__(self, source, target, address):
        super().__init__("ping", source, target, address)
        self.source, self.address, self.ping = source, address, None

    def step(self):
        if self.ping is None and not self.ended:
            family = "-6" if traffic.family(self.address) == socket.AF_INET6 else "-4"
            size = str(16 + self.arrived * 37 % 1300)
            words = "ping", family, "-q", "-i", "0.2", "-c", str(self.COUNT), "-s", size
            self.ping = self.source.start(
                *words, "-W", str(PATIENCE), self.address, stdout=subprocess.PIPE, text=True
            )
        elif self.ping is not None and self.ping.poll() is not None:
            text = self.ping.communicate()[0]
            self.ping = None
            sums = re.search(r"(\d+) packets transmitted, (\d+) received", text)
            check(sums and int(sums[1]) == self.COUNT, "echoes: " + self.name, text)
            self.lost += self.COUNT - int(sums[2])
            self.progress(0)
        return 0

    def is_done(self):
        return self.ping is None

    def close(self):
        if self.ping is not None:
            self.ping.kill()
            self.ping.wait()
