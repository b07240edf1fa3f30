# SPDX-License-Identifier: GPL-2.0
"""The control plane, and what many peers cost: time, memory, packets."""

import base64
import json
import os
import secrets
import subprocess
import time

import hub
import measure
import quiet
import setups

PEERS = os.path.join(setups.TOP, "peers")
PASSING = ("ping", "tcp", "udp64")


def peers(host, *words):
    return json.loads(setups.run(PEERS, host, *map(str, words)))["seconds"]


def free_kib():
    """Free memory once nothing is left to be freed: RCU, caches, dead namespaces."""
    last = -1
    for _ in range(50):
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3\n")
        time.sleep(0.2)
        with open("/proc/meminfo") as file:
            now = next(int(line.split()[1]) for line in file if line.startswith("MemFree"))
        if abs(now - last) < 64:
            return now
        last = now
    return last


def timed(*words):
    start = time.monotonic()
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - start


def wireguard_file(count):
    with open("/tmp/wg.conf", "w") as file:
        file.write(f"[Interface]\nPrivateKey = {key()}\nListenPort = 51820\n")
        for number in range(count):
            address = f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
            file.write(
                f"[Peer]\nPublicKey = {key()}\nAllowedIPs = {address}/32\n"
                f"Endpoint = {address}:51820\n"
            )
    return file.name


def key():
    return base64.b64encode(secrets.token_bytes(32)).decode()


def wireguard_peers(plan, count):
    where = dict(protection="wireguard", peers=count)
    setups.wire_up(1500, False)
    try:
        setups.batch("alpha", "link add wg0 type wireguard", "link set wg0 up")
        file = wireguard_file(count)
        inside = ("ip", "netns", "exec", "alpha")
        before = free_kib()
        plan.take("add", lambda: timed(*inside, "wg", "setconf", "wg0", file), **where)
        plan.take("later", lambda: quiet.wait() / 1e9, **where)
        plan.take("memory", lambda: (before - free_kib()) * 1024 / count, **where)
        plan.take("dump", lambda: timed(*inside, "wg", "show", "wg0"), **where)
    finally:
        setups.wire_down()


def netveil_peers(plan, count):
    """Time and memory, and then the price of so many on the packet path."""
    where = dict(protection="netveil-gcm", peers=count)
    setups.wire_up(1500, False)
    try:
        ends = setups.PROTECTIONS["netveil-gcm"](1500, 4)
        measure.load(ends, "ping", 3)
        before = free_kib()
        plan.take("add", lambda: peers("alpha", "add", 0, count), **where)
        plan.take("later", lambda: quiet.wait() / 1e9, **where)
        # Of a few it would be that of the hooks.
        if count >= 1000:
            plan.take("memory", lambda: (before - free_kib()) * 1024 / count, **where)
        plan.take("dump", lambda: timed(setups.VEIL, "-n", "alpha", "show"), **where)
        peers("beta", "add", 0, count)
        quiet.wait()
        packets(plan, "netveil-gcm", ends, count)
    finally:
        setups.wire_down()


def packets(plan, name, ends, count):
    # Making and adding peers leaves the page allocator's lists full of single pages,
    # and the first flow after it pays for that: what is asked is the price of later ones.
    measure.measure("tcp", name, ends, 1500)
    for figure in PASSING:
        plan.take(
            figure,
            lambda: measure.measure(figure, name, ends, 1500),
            protection=name if name != "plaintext" else "non-peer",
            mtu=1500,
            peers=count,
        )


def strangers(count):
    """Plaintext between hosts that have the module, and count other peers."""
    setups.load_module()
    for host in setups.HOSTS if count else ():
        setups.run(setups.VEIL, "-n", host, "key", "generate")
        peers(host, "add", 0, count)
    quiet.wait()
    return setups.WIRE[4]


def non_peer(plan, count):
    setups.wire_up(1500, False)
    try:
        ends = strangers(count)
        measure.load(ends, "ping", 3)
        packets(plan, "plaintext", ends, count)
    finally:
        setups.wire_down()


def sessions(plan, count):
    hub.measure(plan, count, free_kib)


def steps(mode):
    """(function, peers, figures it takes)"""
    counts = (2000,) if mode == "quick" else (1000, 10000)
    for count in counts:
        yield wireguard_peers, count, 4
    for count in (10,) + counts:
        yield netveil_peers, count, 3 + (count >= 1000) + len(PASSING)
    for count in counts if mode == "quick" else (0, 10, 10000):
        yield non_peer, count, len(PASSING)
    if mode != "quick":
        yield sessions, 100, 4


def run(plan, chosen):
    for step, number, _ in chosen:
        try:
            step(plan, number)
        except (measure.Lost, RuntimeError, OSError, subprocess.SubprocessError) as error:
            plan.failed(f"{step.__name__} {number}", error)
