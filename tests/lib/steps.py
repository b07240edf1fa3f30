# SPDX-License-Identifier: GPL-2.0
"""Changes as one step, and packets that are sent all the while."""

import concurrent.futures
import contextlib
import itertools
import os
import threading
import time

import genl
import hosts
import traffic
import wire
from conffiles import config
from hosts import alpha, beta
from ktap import check, check_equal, wait_until

BYPASS = genl.P_POLICY, bytes([genl.POLICIES.index("bypass")])
MARKER = b"veil-marker-" + os.urandom(8).hex().encode()
OURS = alpha.addresses + beta.addresses


@contextlib.contextmanager
def all_the_while(call, pause=0):
    """It is called again and again, pause seconds apart: on the caller's CPU, for while
    that is emulated QEMU may not run another one for a tenth of a second."""
    done = threading.Event()

    def repeat():
        while not done.is_set():
            call()
            time.sleep(pause)

    with concurrent.futures.ThreadPoolExecutor() as pool, traffic.on_one_cpu():
        calls = pool.submit(repeat)
        try:
            yield
        finally:
            done.set()
        calls.result()


@contextlib.contextmanager
def sending(address, pause=0, tap=None):
    """Packets to address. What the tap has meanwhile is read, or that may be too much."""
    numbers = itertools.count(1)
    with alpha.udp(alpha.v4) as sock:

        def send():
            hosts.offer(sock, MARKER, (address, 7000))
            if tap and next(numbers) % 1000 == 0:
                tap.frames()

        with all_the_while(send, pause):
            yield


@contextlib.contextmanager
def sending_to(address, pause=0):
    """The same, and none of them leaves in clear."""
    tap = wire.Tap(hosts.wire)
    with sending(address, pause, tap):
        yield
    wire.only_netveil(tap.frames(), (*OURS, address), (MARKER,))
    tap.close()


def in_clear(address):
    """A packet to it leaves as it is."""
    tap = wire.Tap(hosts.wire)
    with alpha.udp(alpha.v4) as sock:
        hosts.offer(sock, MARKER, (address, 7000))
    wait_until(lambda: any(MARKER in frame for frame in tap.take()), 10, "a packet in clear")
    tap.close()


def network(text):
    """That it is behind a peer, in a change."""
    return genl.P_PREFIX, genl.prefix_bytes(text)


def strangers(count):
    """Changes that add peers, and take their time."""
    for number in range(count):
        key, address = os.urandom(31) + b"\1", "10.78.%d.%d" % divmod(number, 256)
        yield genl.PEER_ADD, key, address, BYPASS


def step_refused(reason, *changes, local=None):
    before = config()
    try:
        alpha.control.apply(*changes, local=local)
    except genl.Refused as error:
        check(reason in error.strerror, "the reason", reason, error.strerror)
    else:
        check(False, "the step was taken", changes)
    check_equal(config(), before, "the configuration")
