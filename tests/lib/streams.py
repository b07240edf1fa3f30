# SPDX-License-Identifier: GPL-2.0
"""Steady traffic between the two hosts, while a test changes something: what
arrives has to be all that was sent, once and in order."""

import time

import wire
from hosts import alpha, beta, receive_all
from hosts import wire as wire_host
from ktap import check, check_equal, wait_until
from pypeer import boottime

APP = 7001
INTERVAL = 0.1


class Stream:
    """Numbered datagrams one way; what came, in its order."""

    def __init__(self, source, target, address):
        self.receiver = target.udp(address, APP)
        self.sender = source.udp(source.addresses[":" in address])
        self.to, self.sent, self.got = (address, APP), 0, []

    def step(self):
        self.sender.sendto(b"%d" % self.sent, self.to)
        self.sent += 1
        self.take()

    def take(self):
        self.got += [int(text) for text in receive_all(self.receiver)]
        return len(self.got) >= self.sent

    def close(self):
        self.sender.close()
        self.receiver.close()

    def judge(self):
        wait_until(self.take, 10, "the last datagrams", every=0.1)
        check_equal(self.got, list(range(self.sent)), "all, once, in order")


class TcpStream:
    """A connection that says a little all the time, and never stalls."""

    def __init__(self, patience):
        self.patience = patience
        listener = beta.socket()
        listener.bind((beta.v4, 0))
        listener.listen()
        self.client = alpha.socket()
        self.client.connect(listener.getsockname())
        self.server, _ = listener.accept()
        listener.close()
        self.server.setblocking(False)
        self.sent, self.got, self.longest, self.last = 0, 0, 0, boottime()

    def step(self):
        self.client.sendall(b"%1000d" % self.sent)
        self.sent += 1000
        self.take()

    def take(self):
        try:
            self.got += len(self.server.recv(1 << 16))
            now = boottime()
            self.longest = max(self.longest, now - self.last)
            self.last = now
        except BlockingIOError:
            pass
        return self.got == self.sent

    def judge(self):
        wait_until(self.take, 10, "the last bytes", every=0.1)
        check(self.longest < self.patience, "TCP never stalls", self.longest)

    def close(self):
        self.client.close()
        self.server.close()


class Streams:
    """Datagrams of both families both ways, and TCP; and a tap on the wire."""

    def __init__(self, interval=INTERVAL):
        self.interval = interval
        self.tap = wire.Tap(wire_host)
        pairs = (alpha, beta, beta.v4), (alpha, beta, beta.v6), (beta, alpha, alpha.v4)
        self.all = [Stream(*pair) for pair in pairs] + [TcpStream(1 + interval)]

    def run(self, seconds):
        end = boottime() + seconds
        while boottime() < end:
            self.step()

    def step(self):
        for stream in self.all:
            stream.step()
        time.sleep(self.interval)

    def run_until(self, condition, seconds, what):
        """Traffic goes on until something happened."""
        end = boottime() + seconds
        while not condition():
            check(boottime() < end, "within %s s: %s" % (seconds, what))
            self.step()

    def judge(self):
        """All arrived, and the wire saw nothing but Netveil: its judgement."""
        for stream in self.all:
            stream.judge()
            stream.close()
        ours = alpha.addresses + beta.addresses
        judge = wire.only_netveil(self.tap.frames(), ours)
        self.tap.close()
        return judge
