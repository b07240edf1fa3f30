# SPDX-License-Identifier: GPL-2.0
"""Attacks on alpha from the wire, at rates that Python does not reach
(tests/tools/flood), while alpha and beta have a transfer under way.

A flood is a kind of frame, sent so many times; each kind says by which drop
reason its frames are to be counted.
"""

import contextlib
import hashlib
import os
import socket
import struct
import threading

import hosts
import packets
import pypeer
import veilproto
import wire
from hosts import alpha, beta, drops_since
from ktap import check, check_equal, note, wait_until
from veilproto import PORT, Identity, Initiator

FLOOD = os.path.join(hosts.LIB, "..", "tools", "flood")
FRAMES = "/tmp/netveil-flood"
FRAMES_MAX = 4096  # in tests/tools/flood.c
# Offsets in a frame: source address, and the initiation's sender index.
SOURCE_LOW = "28:2"
INDEX = "46:4"
SEALED = "58:32"
UNKNOWN = "172.16.0.0"


def set_up():
    """Two modules with a session, and a third host at a known address."""
    hosts.set_up()
    gamma = hosts.add_gamma()
    # Answers to forged addresses find a way out, as they would in the world.
    hosts.ip_batch(alpha, "route add 172.16.0.0/16 via " + gamma.v4)
    return gamma


def frame(source, message, target_mac=None, target=None):
    """A message in a frame to alpha, as if from source, without a checksum."""
    udp = struct.pack(">HHHH", PORT, PORT, 8 + len(message), 0) + message
    packet = packets.ipv4(source, target or alpha.v4, packets.UDP, udp)
    return packets.ethernet(beta.mac(), target_mac or alpha.mac(), packet)


def write_frames(frames):
    with open(FRAMES, "wb") as file:
        for each in frames:
            file.write(struct.pack(">H", len(each)) + each)


class Flood:
    """frames, in turns, count times; vary: what is random in each."""

    def __init__(self, frames, count, rate=0, vary=(), reasons=(), taken=0):
        """taken: how many may be let in, and not be dropped."""
        self.count, self.reasons, self.least = count, reasons, count - taken
        write_frames(frames)
        self.before = alpha.drops()
        words = FLOOD, "wa", FRAMES, str(count), str(rate), *vary
        self.process = hosts.wire.start(*words, stdout=-1, text=True)

    def running(self):
        return self.process.poll() is None

    def finish(self, seconds=120):
        """All of it was counted, by its reasons; frames a second."""
        out, _ = self.process.communicate(timeout=seconds)
        check_equal(self.process.returncode, 0, "the flood's exit code")

        moved = {}

        def counted():
            moved.update(drops_since(self.before, alpha.drops()))
            return sum(moved.get(r, 0) for r in self.reasons) >= self.least

        try:
            wait_until(counted, 20, "%d drops as %s" % (self.count, self.reasons))
        finally:
            note(moved)
        sent, took = out.split()
        return float(sent) / float(took), moved


# Kinds of floods: frames, what varies, reasons to be dropped


def stranger(_):
    message = Initiator(Identity(), alpha_key(), "10.9.0.99", alpha.v4).initiation()
    return [frame(UNKNOWN, message)], (SOURCE_LOW, INDEX), ("stranger",)


def wrong_stamp(_):
    message = Initiator(Identity(), alpha_key(), beta.v4, alpha.v4).initiation()
    return [frame(beta.v4, message)], (INDEX,), ("bad_stamp",)


def replayed(state):
    return [frame(beta.v4, state["recorded"])], (), (
        "stale_initiation",
        "repeated_initiation",
    )


def right_mac1(_):
    """What a stranger can make who knows alpha's public key."""
    message = Initiator(Identity(), alpha_key(), "10.9.0.99", alpha.v4).initiation()
    return (
        [frame(UNKNOWN, message)],
        (SOURCE_LOW,),
        ("stranger", "no_cookie", "handshake_queue_full", "rate_limited"),
    )


def random_data(state):
    """Data packets with an index that is alive."""
    index = state["index"]
    header = struct.pack(">BBHIQ", veilproto.DATA, 0, 1, index, 1 << 30)
    return [frame(beta.v4, header + bytes(200))], (SEALED,), ("not_authentic",)


KINDS = {
    "initiations from unknown addresses": (stranger, 0),
    "initiations from a peer's address with a wrong stamp": (wrong_stamp, 0),
    "a right initiation, repeated": (replayed, 0),
    "right mac1 and no cookie, one peer roams": (right_mac1, 1),
    "right mac1 and no cookie, 17 peers roam": (right_mac1, 17),
    "random data with a valid index": (random_data, 0),
}


# Why what was recorded is refused, however old its session is by now.
REPLAYED = (
    "replayed",
    "unknown_index",
    "expired",
    "stale_initiation",
    "repeated_initiation",
    "unexpected_response",
)


def alpha_key():
    return alpha.control.get()["public_key"]


def roamers(count):
    """So many further peers of alpha that roam, and never come; none with 0."""
    if count:
        for number in range(count):
            key = Identity().public
            alpha.control.add_peer(key, "10.50.0.%d" % (number + 1), roaming=1)


def session_under_attack(state, roaming):
    """The two modules anew, and what a tap recorded of their handshake."""
    pypeer.close_all()
    tap = wire.Tap(hosts.wire)
    a, b = Identity(), Identity()
    hosts.make_peers(a, b)
    hosts.ping_once(beta, alpha.v4)
    wait_until(lambda: alpha.is_up() and beta.is_up(), 20, "sessions")
    # alpha has the smaller key or beta has: make beta the initiator again.
    found = tap.packets()
    state["recorded"] = recorded_initiation(found) or made_initiation(a, b)
    data = wire.messages(found, veilproto.DATA, beta.v4)
    state["index"] = int.from_bytes(data[-1][4:8], "big")
    tap.close()
    state["peer"] = b.public
    roamers(roaming)


def recorded_initiation(found):
    sent = wire.messages(found, veilproto.INITIATION, beta.v4)
    return sent[-1] if sent else None


def made_initiation(a, b):
    """beta's own, of a while ago: alpha initiated, so none of beta's was seen."""
    when = veilproto.tai64n(1000)
    return Initiator(b, a.public, beta.v4, alpha.v4, time=when).initiation()


class Transfer:
    """Bytes by TCP from beta to alpha, and a thread at each end."""

    def __init__(self, size):
        self.size = size
        self.digests = {}
        listener = alpha.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind((alpha.v4, 0))
        listener.listen()
        self.client = beta.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.client.connect(listener.getsockname())
        self.server = listener.accept()[0]
        listener.close()
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self.write, self.read)]
        for thread in self.threads:
            thread.start()

    def write(self):
        digest, left = hashlib.sha256(), self.size
        while left:
            chunk = os.urandom(min(left, 1 << 16))
            self.client.sendall(chunk)
            digest.update(chunk)
            left -= len(chunk)
        self.client.close()
        self.digests["sent"] = digest.digest()

    def read(self):
        digest = hashlib.sha256()
        while True:
            chunk = self.server.recv(1 << 16)
            if not chunk:
                break
            digest.update(chunk)
        self.digests["received"] = digest.digest()

    def finish(self, seconds=120):
        wait_until(lambda: len(self.digests) == 2, seconds, "the end of a transfer")
        check_equal(self.digests["received"], self.digests["sent"], "what arrived")
        for thread in self.threads:
            thread.join()
        self.server.close()


def kilobytes():
    """What the kernel has in use that a flood could grow."""
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = dict(line.split(":") for line in file)
    return sum(int(lines[name].split()[0]) for name in ("Slab", "Percpu"))


@contextlib.contextmanager
def bounded_memory(limit):
    """The kernel's memory does not grow by more than limit kB meanwhile."""
    peak, stop = [kilobytes()], threading.Event()
    start = peak[0]

    def look():
        while not stop.wait(0.05):
            peak[0] = max(peak[0], kilobytes())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()
    note("kernel memory: %+d kB at most" % (peak[0] - start))
    check(peak[0] - start < limit, "kernel memory is bounded", peak[0] - start)


def newcomer(gamma):
    """A new peer at a known address gets its session now."""
    me = pypeer.larger_than(alpha_key())
    peer = pypeer.PythonPeer(gamma, me, alpha, alpha_key())
    pypeer.open_peers.append(peer)
    alpha.control.add_peer(me.public, gamma.v4)
    peer.initiate(seconds=20)
    wait_until(lambda: alpha.is_up(me.public), 10, "the newcomer's session")


def under_flood(state, gamma, name, count, size):
    """A transfer and a new session while a flood of that kind comes."""
    make, roaming = KINDS[name]
    session_under_attack(state, roaming)
    frames, vary, reasons = make(state)
    with bounded_memory(32 << 10):
        transfer = Transfer(size)
        # One that alpha has not seen yet is taken, once while it is pending.
        taken = 4 if make is replayed else 0
        flood = Flood(frames, count, vary=vary, reasons=reasons, taken=taken)
        newcomer(gamma)
        rate, moved = flood.finish()
        transfer.finish()
    note("%d at %d a second" % (count, rate))
    for reason in moved:
        check(reason in reasons or reason in HARMLESS, "drops", moved)


# What a transfer or a handshake beside the flood may lead to by itself.
HARMLESS = "crossed_initiation", "no_session"
