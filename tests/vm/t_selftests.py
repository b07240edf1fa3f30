#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=180 long=selftests
"""Programs of the kernel's own networking selftests over an encrypted link
(tools/testing/selftests/net of Debian's linux-source): udpgso_bench_tx and _rx,
msg_zerocopy, tcp_mmap and mptcp_connect, which judge by themselves whether the
stack does as it says. `make check-selftests` builds them.
"""

import concurrent.futures
import contextlib
import os
import re
import select
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import traffic
import wire
from hosts import alpha, beta, drops_since
from ktap import case, check, check_equal, skip, wait_until
from veilproto import Identity

PROGRAMS = "/netveil/selftests"
# What the link leaves of 1500 bytes for the payload of UDP, and less.
SEGMENT = "1300"
SKIPPED = 4


def set_up():
    hosts.set_up()
    for host in alpha, beta:
        host.run("ethtool", "-K", "eth0", "gro", "on", "sg", "on", "tx", "on")


def with_and_without(run_it):
    """First the control, for what the programs ask of this kernel and machine."""
    hosts.flush_all()
    run_it()
    with link():
        run_it()


@contextlib.contextmanager
def link():
    """In the end it has carried nothing but Netveil, and dropped nothing but what
    taught a sender the MTU."""
    hosts.make_peers(Identity(), Identity())
    for address in beta.addresses:
        hosts.ping_once(alpha, address)
    tap, before = wire.Tap(hosts.wire, whole=False), (alpha.drops(), beta.drops())
    yield
    wire.only_netveil(tap.frames(), alpha.addresses + beta.addresses)
    tap.close()
    for host, old in zip((alpha, beta), before):
        moved = drops_since(old, host.drops())
        check(set(moved) <= {"too_big"}, "drops on " + host.name, moved)


def start(host, program, *words, **options):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return host.start(os.path.join(PROGRAMS, program), *words, **pipes)


def ended(process, name):
    """It ended well: what it said."""
    text = b"".join(process.communicate(timeout=60)).decode()
    if process.returncode == SKIPPED:
        skip("%s: %s" % (name, text[-200:]))
    check_equal(process.returncode, 0, "%s: %s" % (name, text[-500:]))
    return text


def run(program, *words):
    return ended(start(alpha, program, *words), program)


def listens(host, port, protocol):
    """A socket of the host waits at the port."""

    def found():
        return ":%d " % port in host.run("ss", "-Hnl" + protocol)

    wait_until(found, 20, "a program listens at %d" % port)


def each_family():
    for v6 in False, True:
        yield ("-6" if v6 else "-4"), alpha.addresses[v6], beta.addresses[v6]


@case("udpgso_bench: segments, from memory that is lent and that is copied")
def udpgso_bench():
    def run_it():
        for family, _, target in each_family():
            for more in [], ["-z"]:
                words = ["-p", "8000"] + (["-4"] if family == "-4" else [])
                receiver = start(beta, "udpgso_bench_rx", *words, "-b", target, "-G")
                listens(beta, 8000, "u")
                words = family, "-D", target, "-p", "8000", "-l", "1", "-a"
                run("udpgso_bench_tx", *words, "-S", SEGMENT, *more)
                receiver.terminate()
                receiver.communicate()

    with_and_without(run_it)


@case("msg_zerocopy: TCP and UDP, memory that is lent is given back")
def msg_zerocopy():
    def run_it():
        for family, source, target in each_family():
            for kind in "tcp", "udp":
                size = ["-s", SEGMENT] if kind == "udp" else []
                ends = "-S", source, "-D", target, "-p", "8000"
                words = family, "-i", "eth0", *ends, *size, "-z"
                receiver = start(beta, "msg_zerocopy", *words, "-t", "2", "-r", kind)
                listens(beta, 8000, kind[0])
                text = run("msg_zerocopy", *words, "-t", "1", kind)
                ended(receiver, "msg_zerocopy -r")
                done = re.search(r"tx=(\d+) .* txc=(\d+) zc=(\w)", text)
                check(done, "what it sent", text)
                check_equal(done[2], done[1], "memory given back")

    with_and_without(run_it)


@case("tcp_mmap: what is mapped into the receiver has the sender's SHA-256")
def tcp_mmap():
    def run_it():
        for family, _, target in each_family():
            for more in [], ["-z"]:
                words = family, "-p", "8000", "-i", "-H", target
                # It serves for ever, and on a terminal says each line at once.
                terminal, its_end = os.openpty()
                receiver = start(beta, "tcp_mmap", "-s", *words, *more, stdout=its_end)
                os.close(its_end)
                listens(beta, 8000, "t")
                run("tcp_mmap", *words, *more)
                said = b""
                while b"SHA256" not in said:
                    check(select.select([terminal], [], [], 30)[0], "its judgement")
                    said += os.read(terminal, 4096)
                receiver.kill()
                check(b"SHA256 is correct" in said, "its judgement", said)
                receiver.communicate()
                os.close(terminal)

    with_and_without(run_it)


@case("mptcp_connect: a file both ways over MPTCP, by poll, mmap and sendfile")
def mptcp_connect():
    if not os.path.exists("/proc/sys/net/mptcp"):
        skip("no MPTCP on this kernel")
    data = os.urandom(1 << 20)
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "sent")
    with open(path, "wb") as file:
        file.write(data)

    def run_it():
        for family, _, target in each_family():
            more, anywhere = (["-6"], "::") if family == "-6" else ([], "0.0.0.0")
            for mode in "poll", "mmap", "sendfile":
                words = "-p", "8000", "-t", "20000", "-i", path, "-m", mode, *more
                server = start(beta, "mptcp_connect", "-l", *words, anywhere)
                listens(beta, 8000, "t")
                client = start(alpha, "mptcp_connect", *words, target)
                # Both fill their pipes at once.
                with concurrent.futures.ThreadPoolExecutor() as pool:
                    both = client, server
                    for got in pool.map(lambda each: each.communicate(timeout=60), both):
                        check(got[0] == data, "what arrived", len(got[0]), got[1])
                check_equal([each.returncode for each in both], [0, 0], "exit codes")

    with_and_without(run_it)


ktap.run(set_up)
