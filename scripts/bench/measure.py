# SPDX-License-Identifier: GPL-2.0
"""The figures: what is run on a protected wire, and in which unit it counts."""

import json
import os
import shutil
import subprocess

import setups

LOAD = os.path.join(setups.TOP, "load")
MIB = 1 << 20

# What goes over the wire in a stream, so that all take about as long.
AMOUNT = {
    "plaintext": 96,
    "wireguard": 10,
    "esp-gcm": 20,
    "esp-chacha": 12,
    "macsec": 20,
    "netveil-gcm": 24,
    "netveil-chacha": 16,
}

# Traffic by name: unit, what people call it.
FIGURES = {
    "tcp": ("Mbit/s", "TCP, one flow"),
    "tcp8": ("Mbit/s", "TCP, eight flows"),
    "both": ("Mbit/s", "TCP, both directions"),
    "udp64": ("kpps", "UDP, 64 B"),
    "udp1400": ("kpps", "UDP, 1400 B"),
    "ping": ("us", "ping RTT"),
    "rr": ("per s", "TCP request/response"),
    "crr": ("per s", "TCP connections"),
}


UNITS = dict(
    FIGURES,
    add=("s", "peers added"),
    later=("s", "worked off behind it"),
    dump=("s", "peers dumped"),
    memory=("B", "memory per idle peer"),
    session=("B", "memory with a session"),
    handshake=("per s", "handshakes, both ends"),
)


results = []  # of every load
# A real machine is some ten times faster than an instruction a nanosecond.
NATIVE = os.environ.get("NETVEIL_NATIVE")
PERF_FILE = "/tmp/bench-perf"
EVENTS = "instructions,cycles,cache-misses"


class Lost(Exception):
    """Nothing came through."""


def perf_words():
    """On a real machine perf counts along, on all CPUs."""
    if not NATIVE or not shutil.which("perf"):
        return []
    return ["perf", "stat", "-a", "-x", ",", "-e", EVENTS, "-o", PERF_FILE, "--"]


def perf_counts():
    counts = {}
    with open(PERF_FILE) as file:
        for line in file:
            words = line.split(",")
            if len(words) > 2 and words[0].isdigit():
                counts[words[2].partition(":")[0]] = int(words[0])
    return counts


def load(ends, *words):
    perf = perf_words()
    done = subprocess.run(
        [*perf, LOAD, "alpha", ends[0], "beta", ends[1], *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=3000,
    )
    if done.returncode:
        raise Lost(f"load {' '.join(map(str, words))}: {done.stderr.strip()}")
    results.append(json.loads(done.stdout))
    if perf:
        results[-1].update(perf_counts())
    return results[-1]


def bits(result):
    return result["bytes"] * 8 / result["seconds"] / 1e6


def measure(figure, protection, ends, mtu, scale=1.0):
    """One figure on a wire that is up; the median of three where it depends on
    when the scheduler lets the reader run."""
    values = [once(figure, protection, ends, mtu, scale)
              for _ in range(3 if figure in ("tcp", "udp64") and scale == 1.0 else 1)]
    return sorted(values)[len(values) // 2]


def once(figure, protection, ends, mtu, scale):
    scale *= 10 if NATIVE else 1
    amount = int(AMOUNT[protection] * MIB * scale * (1 if mtu < 4000 else 2))
    if figure == "tcp":
        return bits(load(ends, "tcp", 1, amount))
    if figure == "tcp8":
        return bits(load(ends, "tcp", 8, amount))
    if figure == "both":
        return bits(load(ends, "both", 2, amount))
    if figure in ("udp64", "udp1400"):
        result = load(ends, "udp", int(figure[3:]), int(8000 * scale))
        return result["packets"] / result["seconds"] / 1e3
    if figure in ("rr", "crr"):
        result = load(ends, figure, int((4000 if figure == "rr" else 1000) * scale))
        return result["times"] / result["seconds"]
    result = load(ends, "ping", int(100 * scale))
    if result["lost"]:
        raise Lost(f"{result['lost']} echo requests were lost")
    return result["median"]


class Plan:
    """Counts what is done, and prints a line for each figure as it comes."""

    def __init__(self, total, out):
        self.total, self.done, self.failures, self.out = total, 0, 0, out

    def take(self, figure, work, **where):
        """Measure one figure; one that fails is told, and does not end the run."""
        self.done += 1
        try:
            value, note = work(), ""
        except (Lost, RuntimeError, subprocess.SubprocessError) as error:
            value, note = None, str(error)
            self.failures += 1
        unit, what = UNITS[figure]
        shown = "failed" if value is None else f"{value:.2f}"
        print(
            f"[{self.done:3}/{self.total}] {what:24} {shown:>9} {unit:9} {place(where)} {note}",
            flush=True,
        )
        record = dict(where, figure=figure, value=value, unit=unit)
        if figure in FIGURES and results:
            record["run"] = results[-1]
        self.out.write(json.dumps(record) + "\n")
        self.out.flush()

    def failed(self, what, error):
        self.failures += 1
        print(f"{what}: {error}", flush=True)


def place(where):
    words = [where["protection"]]
    if "mtu" in where:
        words.append(f"MTU {where['mtu']}")
    if "family" in where:
        words.append(f"IPv{where['family']}")
    if where.get("segmentation") == "on":
        words.append("segmentation on")
    if "peers" in where:
        words.append(f"{where['peers']} peers")
    return ", ".join(words)
