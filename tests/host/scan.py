#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Dumps a guest's memory and looks for keys: they are there while they are in use,
and nowhere afterwards (PROTOCOL section 7, invariant 4).
usage: scan.py KERNEL [STAGE]

The guest has the module; its peer is this program, on the other end of the
guest's wire, so that the keys it knows are in no other memory of the guest. It
finds the module's ephemeral key as well: in the dump of a moment when it is in
use, as what the public one belongs to. Prints KTAP. With LONG=yes the guest is
suspended and restored from a snapshot as well.
"""

import base64
import json
import mmap
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))

import packets
import veilproto
from veilproto import DATA, INITIATION, RESPONSE, Identity, Initiator, Responder

ME, PEER, HOST = "10.8.0.1", "10.8.0.2", "10.8.0.3"
GUEST_MAC, HOST_MAC = b"RT\0\0\0\1", b"RT\0\0\0\2"
MEMORY = 320
ORDERS = 9000
SECONDS = 900


# In QEMU's place: one that goes on from a state, if one was left to go on from.
QEMU_AGAIN = """#!/bin/bash
%(qemu)s "$@"
while rm %(dir)s/again 2>/dev/null; do
	%(qemu)s "$@" -incoming "exec:cat %(dir)s/state"
done
"""


class Guest:
    """A virtual machine, its wire and its monitor."""

    def __init__(self, kernel, stage):
        self.dir = tempfile.TemporaryDirectory(prefix="netveil-scan-")
        self.wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.wire.bind(("127.0.0.1", 0))
        self.wire.settimeout(0.05)
        self.far = "127.0.0.1", free_port()
        self.monitor_path = monitor = os.path.join(self.dir.name, "qmp")
        words = (
            "-qmp unix:%s,server=on,wait=off "
            "-netdev socket,id=wire,udp=127.0.0.1:%d,localaddr=127.0.0.1:%d "
            "-device virtio-net-pci,netdev=wire,mac=52:54:00:00:00:01 "
            "-device vmgenid,guid=auto"
        ) % (monitor, self.wire.getsockname()[1], self.far[1])
        command = [os.path.join(TOP, "scripts", "vm-run.sh")]
        command += ["--kernel", kernel, "--icount", "--mem", str(MEMORY)]
        command += ["--timeout", str(SECONDS)]
        command += ["--qemu", words] + (["--stage", stage] if stage else [])
        command += ["--", "python3", "tests/host/scan_guest.py"]
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen(command, stdout=sys.stderr, env=self.environment())
        self.messages, self.answers = [], []
        self.wait(lambda: self.answers, "the guest is ready")
        self.answers.clear()
        self.connect()

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def environment(self):
        """Where vm-run.sh finds QEMU_AGAIN."""
        path = self.path("bin")
        os.mkdir(path)
        words = {"qemu": shutil.which("qemu-system-x86_64"), "dir": self.dir.name}
        with open(path + "/qemu-system-x86_64", "w", encoding="ascii") as file:
            file.write(QEMU_AGAIN % words)
            os.fchmod(file.fileno(), 0o755)
        return {**os.environ, "PATH": path + ":" + os.environ["PATH"]}

    def connect(self):
        """To the monitor; a QEMU that ends may still answer there, and then does not."""

        def connected():
            self.monitor = socket.socket(socket.AF_UNIX)
            self.lines = self.monitor.makefile("r")
            try:
                self.monitor.connect(self.monitor_path)
                return self.lines.readline()
            except OSError:
                return ""

        self.wait(connected, "QEMU's monitor")
        self.ask("qmp_capabilities")

    def restore(self):
        """A snapshot is taken, and another virtual machine goes on from it, which has
        another generation ID."""
        before = self.ask("query-vm-generation-id")
        self.ask("stop")
        self.ask("migrate", uri="exec:cat >" + self.path("state"))
        self.wait(lambda: self.migration() == "completed", "the snapshot")
        with open(self.path("again"), "w", encoding="ascii"):
            self.ask("quit")
        self.lines.read()  # until it has ended
        self.connect()
        self.wait(lambda: self.ask("query-status")["status"] == "paused", "the state")
        check(self.ask("query-vm-generation-id") != before, "the generation ID")
        self.ask("cont")

    def migration(self):
        status = self.ask("query-migrate").get("status")
        check(status != "failed", "the snapshot")
        return status

    def ask(self, what, **arguments):
        order = {"execute": what, "arguments": arguments}
        self.monitor.sendall(json.dumps(order).encode())
        while True:
            answer = json.loads(self.lines.readline())
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise AssertionError("QEMU: %s" % answer["error"]["desc"])

    def dump(self):
        """All of its memory. It stays stopped if it was."""
        path = os.path.join(self.dir.name, "memory")
        running = self.ask("query-status")["running"]
        self.ask("stop")
        self.ask("pmemsave", val=0, size=MEMORY << 20, filename=path)
        if running:
            self.ask("cont")
        with open(path, "rb") as file:
            image = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        os.unlink(path)
        return image

    def send(self, source, sport, dport, payload):
        segment = packets.udp(source, ME, sport, dport, payload)
        packet = packets.ipv4(source, ME, packets.UDP, segment)
        frame = packets.ethernet(HOST_MAC, GUEST_MAC, packet)
        self.wire.sendto(frame, self.far)

    def take(self):
        """The frames on the wire, to where they belong."""
        try:
            while True:
                self.sort(packets.parse_frame(self.wire.recv(65536)))
        except socket.timeout:
            pass

    def sort(self, packet):
        if packet is None or packet.protocol != packets.UDP:
            return
        datagram = packets.parse_udp(packet.payload)
        if packet.destination == HOST:
            self.answers.append(datagram.payload)
        elif datagram.dport == veilproto.PORT:
            self.messages.append(datagram.payload)

    def wait(self, condition, what):
        end = time.monotonic() + SECONDS
        while True:
            found = condition()
            if found:
                return found
            check(self.process.poll() is None, "the guest ended before " + what)
            check(time.monotonic() < end, "not within %d s: %s" % (SECONDS, what))
            self.take()

    def do(self, order, meanwhile=lambda: None):
        """The guest carries out a shell command; its output."""
        self.answers.clear()
        self.send(HOST, ORDERS, ORDERS, order.encode())

        def answered():
            meanwhile()
            return self.answers and self.answers.pop()

        answer = self.wait(answered, order[:40])
        code, _, output = answer.partition(b" ")
        check(code == b"0", "%s: %s" % (order[:60], output.decode()))
        return output.decode().strip()

    def newest(self, kind):
        """The newest Netveil message of a kind that has come, or None."""
        self.take()
        found = [m for m in self.messages if m[:1] == bytes([kind])]
        self.messages.clear()
        return found[-1] if found else None

    def message(self, kind):
        return self.wait(lambda: self.newest(kind), "a message of type %d" % kind)

    def end(self):
        self.send(HOST, ORDERS, ORDERS, b"end")
        code = self.process.wait(SECONDS)
        check(code == 0, "the guest ended well", code)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Skip(Exception):
    """The case cannot be shown here."""


def check(condition, what, *details):
    if not condition:
        raise AssertionError("%s %s" % (what, details or ""))


def clamped(key):
    return bytes([key[0] & 248]) + key[1:31] + bytes([key[31] & 127 | 64])


class Keys:
    """What is known, by name, and where it was found."""

    def __init__(self):
        self.known = {}

    def add(self, **keys):
        self.known.update(keys)

    def found(self, image):
        """Names of the keys in a dump, with the first place."""
        places = {}
        for name, key in self.known.items():
            for form in {key, clamped(key) if len(key) == 32 else key}:
                place = image.find(form)
                if place >= 0:
                    places[name] = hex(place)
        return places


class Scan:
    """The run: what the guest is told, and what its memory has to show."""

    def __init__(self, guest):
        self.guest = guest
        self.keys = Keys()
        self.peer, self.psk = Identity(), os.urandom(32)
        self.module = Identity(private=clamped(os.urandom(32)))
        self.long_term, self.session_names, self.count = [], [], 0

    def configure(self):
        do = self.guest.do
        text = lambda key: base64.b64encode(key).decode()
        do("umask 077; echo %s >/tmp/key" % text(self.module.private))
        do("echo %s >/tmp/psk" % text(self.psk))
        do("lsmod | grep -q netveil || insmod netveil.ko")
        do("veil set private-key /tmp/key")
        self.guest.messages.clear()
        do("veil peer add %s address %s psk /tmp/psk" % (text(self.peer.public), PEER))
        ss = veilproto.dh(self.peer.private, self.module.public)
        pair = lambda i, r: veilproto.pair_key(ss, i.public, r.public)
        self.keys.add(
            private=self.module.private,
            psk=self.psk,
            ss=ss,
            pair_in=pair(self.peer, self.module),
            pair_out=pair(self.module, self.peer),
        )
        self.long_term = ["private", "psk", "ss", "pair_in", "pair_out"]

    def found(self):
        """The keys in the guest's memory now, and where."""
        with self.guest.dump() as image:
            return self.keys.found(image)

    def expect(self, wanted, what, tries=1):
        """Exactly these keys are there, at the last of so many tries."""
        found = self.found()
        while set(found) != set(wanted) and tries > 1:
            tries -= 1
            found = self.found()
        check(
            set(found) == set(wanted),
            "%s: found %s, wanted %s" % (what, found, sorted(wanted)),
        )

    def send(self, message):
        self.guest.send(PEER, veilproto.PORT, veilproto.PORT, message)

    def outstanding(self):
        """The module has initiated, and waits: its ephemeral key is found. The
        guest is stopped meanwhile, or its next try would be another."""
        initiation = self.guest.message(INITIATION)
        self.guest.ask("stop")
        initiation = self.guest.newest(INITIATION) or initiation
        responder = Responder(self.peer, initiation)
        check(responder.remote == self.module.public, "who initiates")
        with self.guest.dump() as image:
            ephemeral = find_ephemeral(image, responder)
        self.keys.add(ephemeral=ephemeral, chaining_key=responder.noise.ck)
        return responder

    def answer(self, responder):
        message, session = responder.response(PEER, ME, self.psk, ephemeral=self.own())
        forth, back = responder.noise.split()
        self.learn(session, forth, back)
        self.send(message)
        self.guest.ask("cont")
        self.confirm(session)

    def own(self):
        """A fresh ephemeral key of ours."""
        self.ephemeral = Identity()
        return self.ephemeral

    def initiate(self):
        """A new session, this time from this end. The module passes over an initiation
        that crosses its own (PROTOCOL 7.4), so there may have to be another."""
        initiator, patience = None, 0

        def answered():
            nonlocal initiator, patience
            if time.monotonic() > patience:
                initiator = Initiator(
                    self.peer, self.module.public, PEER, ME, (self.psk,), ephemeral=self.own()
                )
                self.guest.messages.clear()
                self.send(initiator.initiation())
                patience = time.monotonic() + 5
            return self.guest.newest(RESPONSE)

        response = self.guest.wait(answered, "a response")
        session, _ = initiator.finish(response)
        self.learn(session, *initiator.noise.split())
        self.confirm(session)

    def learn(self, session, forth, back):
        """Session keys, and what they came from."""
        self.count += 1
        names = dict(zip(("to", "from"), (session.keys[0], session.keys[1])))
        self.session_names = ["%s_%d" % (name, self.count) for name in names]
        self.keys.add(**dict(zip(self.session_names, names.values())))
        self.keys.add(split_forth=forth, split_back=back)

    def confirm(self, session):
        """Something passes both ways under it."""
        self.send(session.keepalive(PEER, ME))

        def heard():
            order = "veil -j peer show | grep -q '\"state\":\"up\"'"
            try:
                return self.guest.do(order) == ""
            except AssertionError:
                return False

        self.guest.wait(heard, "the session is up")


def find_ephemeral(image, responder):
    """The private key beside the Noise state that belongs to the public one."""
    place = image.find(responder.noise.ck)
    while place >= 0:
        for offset in range(max(place - 256, 0), place + 256, 8):
            key = image[offset : offset + 32]
            if veilproto.public_key(key) == responder.remote_ephemeral:
                return key
        place = image.find(responder.noise.ck, place + 1)
    raise AssertionError("no ephemeral key in the memory of an initiator")


def case_handshake(scan):
    "an outstanding handshake: all of its secrets are found, so the search works"
    scan.configure()
    scan.responder = scan.outstanding()
    scan.expect(scan.keys.known, "in use")


def case_session(scan):
    "a session: its keys are found, and nothing of the handshake"
    scan.answer(scan.responder)
    scan.expect(scan.long_term + scan.session_names, "in use")


def case_expired(scan):
    "an idle session at 190 s: its keys are gone"
    scan.guest.do("sleep 190")
    scan.expect(scan.long_term, "after 190 s")


def case_reset(scan):
    "veil session reset: its keys are gone when it returns"
    scan.initiate()
    scan.expect(scan.long_term + scan.session_names, "in use")
    scan.guest.do("veil session reset")
    scan.expect(scan.long_term, "after the reset")


def case_suspend(scan):
    "suspend: its keys are gone, and a new session comes afterwards"
    scan.initiate()
    scan.expect(scan.long_term + scan.session_names, "in use")
    scan.guest.do("modprobe button || true")
    # The power button is pressed until it wakes.
    press = lambda: scan.guest.ask("system_powerdown")
    scan.guest.do("echo freeze >/sys/power/state", meanwhile=press)
    scan.expect(scan.long_term, "after it slept")
    scan.initiate()
    scan.guest.do("veil session reset")


def case_hibernate(scan):
    "hibernation is refused while a private key is nowhere but in the kernel"
    do = scan.guest.do
    refusals = "dmesg | grep -c 'netveil: hibernation refused' || true"
    check(do(refusals) == "0", "not refused before")
    do("veil key generate next && ! echo disk >/sys/power/state")
    check(do(refusals) == "1", "refused once, and the log says so")
    do("veil set no-next-private-key")


def case_restored(scan):
    "a virtual machine restored from a snapshot: no key of before is left or used"
    if not scan.guest.do("ls -d /sys/bus/*/drivers/vmgenid 2>/dev/null || true"):
        raise Skip("this kernel has no CONFIG_VMGENID")
    scan.initiate()
    scan.expect(scan.long_term + scan.session_names, "in use")
    scan.guest.restore()
    up = "veil -j peer show | grep -c '\"state\":\"up\"' || true"
    scan.guest.wait(lambda: scan.guest.do(up) == "0", "the session ended")
    # Sessions serve nobody from the first moment on; they are wiped once no CPU
    # looks at them any more, which nothing tells of.
    scan.expect(scan.long_term, "after it was restored", tries=20)
    scan.initiate()
    scan.guest.do("veil session reset")


def case_flush(scan):
    "veil flush: neither session nor private, pre-shared or pair keys are left"
    scan.initiate()
    scan.expect(scan.long_term + scan.session_names, "in use")
    scan.guest.do("veil flush")
    scan.expect([], "after the flush")


def case_unload(scan):
    "unloading: nothing is left"
    scan.configure()
    scan.responder = scan.outstanding()
    scan.answer(scan.responder)
    scan.expect(scan.long_term + scan.session_names, "in use")
    scan.guest.do("veil flush && rmmod netveil")
    scan.expect([], "after unloading")


LONG = os.environ.get("LONG") == "yes"
CASES = (
    case_handshake,
    case_session,
    case_expired,
    case_reset,
    *((case_suspend,) if LONG else ()),
    case_hibernate,
    *((case_restored,) if LONG else ()),
    case_flush,
    case_unload,
)


def run(number, case, scan):
    """The case's outcome, which it prints: True, False or None, if skipped."""
    start, passed, more = time.monotonic(), True, ""
    try:
        case(scan)
    except Skip as why:
        passed, more = None, " # SKIP %s" % why
    except AssertionError as why:
        print("# %s" % why, flush=True)
        passed = False
    print("# %.1f s" % (time.monotonic() - start))
    word = "not ok" if passed is False else "ok"
    print("%s %d %s%s" % (word, number, case.__doc__, more), flush=True)
    return passed


def main():
    kernel, stage = (sys.argv[1:] + [None])[:2]
    print("KTAP version 1\n1..%d" % (len(CASES) + 1), flush=True)
    guest = Guest(kernel, stage)
    scan = Scan(guest)
    results = [run(i, case, scan) for i, case in enumerate(CASES, 1)]

    def case_end(_):
        "the guest ends, and its log is clean"
        guest.end()

    results.append(run(len(CASES) + 1, case_end, scan))
    if guest.process.poll() is None:
        guest.process.terminate()
    counts = tuple(results.count(outcome) for outcome in (True, False, None))
    print("# %d passed, %d failed, %d skipped" % counts)
    sys.exit(1 if False in results else 0)


main()
