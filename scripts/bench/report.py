#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The table, the verdict and bench.json, from what run.py left in a folder."""

import json
import os
import sys

import measure

NAMES = ("plaintext", "wireguard", "esp-gcm", "esp-chacha", "macsec", "netveil-gcm",
         "netveil-chacha")
# What the speed issue asks for: what, ours, theirs, at least (or at most) how many times.
BAR = (
    ("TCP one flow, 1500", "tcp", 1500, "netveil-gcm", "wireguard", 3.5, None),
    ("TCP one flow, 1500", "tcp", 1500, "netveil-gcm", "esp-gcm", 1.5, None),
    ("TCP one flow, 1500", "tcp", 1500, "netveil-gcm", "macsec", 1.5, None),
    ("TCP one flow, 9000", "tcp", 9000, "netveil-gcm", "wireguard", 2.5, None),
    ("TCP one flow, 9000", "tcp", 9000, "netveil-gcm", "esp-gcm", 1.3, None),
    ("UDP 64 B", "udp64", 1500, "netveil-gcm", "wireguard", 1.8, None),
    ("UDP 64 B", "udp64", 1500, "netveil-gcm", "macsec", 1.25, None),
    ("ping RTT", "ping", 1500, "netveil-gcm", "wireguard", None, 0.35),
    ("ping RTT", "ping", 1500, "netveil-gcm", "macsec", None, 1.0),
    ("TCP one flow, ChaCha20", "tcp", 1500, "netveil-chacha", "wireguard", 1.6, None),
    ("TCP one flow, ChaCha20", "tcp", 1500, "netveil-chacha", "esp-chacha", 1.2, None),
)
STRETCH = (
    ("UDP 64 B", "udp64", 1500, "netveil-gcm", "plaintext", 0.85, None),
    ("ping RTT", "ping", 1500, "netveil-gcm", "plaintext", None, 1.4),
)


class Figures:
    def __init__(self, folder):
        with open(os.path.join(folder, "bench.jsonl")) as file:
            self.records = [json.loads(line) for line in file]

    def get(self, figure, **where):
        for record in self.records:
            if record["figure"] == figure and all(
                record.get(name) == value for name, value in where.items()
            ):
                return record["value"]
        return None

    def wire(self, figure, protection, mtu=1500, family=4, segmentation="off"):
        return self.get(figure, protection=protection, mtu=mtu, family=family,
                        segmentation=segmentation)


def ratio(x, y):
    return x / y if x and y else None


def traffic_table(figures):
    wires = []
    for r in figures.records:
        if "family" in r and (key := (r["mtu"], r["family"], r["segmentation"])) not in wires:
            wires.append(key)
    for mtu, family, segmentation in wires:
        print(f"\nMTU {mtu}, IPv{family}, segmentation offload of the wire {segmentation}")
        print(" " * 30 + "".join(f"{name:>15}" for name in NAMES))
        for figure, (unit, what) in measure.FIGURES.items():
            values = [figures.wire(figure, n, mtu, family, segmentation) for n in NAMES]
            if any(values):
                cells = "".join(f"{'-' if v is None else format(v, '.2f'):>15}" for v in values)
                print(f"{what + ', ' + unit:30}{cells}")


# The columns of the table of peers.
PEERS = (("add", "add, s"), ("later", "later, s"), ("dump", "dump, s"), ("memory", "B idle"),
         ("session", "B session"), ("handshake", "handshakes/s"), ("ping", "ping, us"),
         ("tcp", "TCP, Mbit/s"), ("udp64", "UDP 64, kpps"))


def peers_table(figures):
    rows = []
    for r in figures.records:
        if "peers" in r and (key := (r["protection"], r["peers"])) not in rows:
            rows.append(key)
    if rows:
        print(f"\n{'':20}{'peers':>8}" + "".join(f"{head:>14}" for _, head in PEERS))
    for protection, peers in rows:
        cells = ""
        for figure, _ in PEERS:
            value = figures.get(figure, protection=protection, peers=peers)
            cells += f"{'-' if value is None else format(value, '.2f'):>14}"
        print(f"{protection:20}{peers:>8}{cells}")


def judge(what, value, least, most, detail):
    if value is None:
        return None
    met = value >= least if least is not None else value <= most
    bar = f"bar {least:g}" if least is not None else f"bar at most {most:g}"
    return dict(what=what, detail=detail, value=value, bar=bar, met=met)


def verdicts(figures, bars):
    for what, figure, mtu, ours, theirs, least, most in bars:
        value = ratio(figures.wire(figure, ours, mtu), figures.wire(figure, theirs, mtu))
        yield judge(what, value, least, most, f"x {theirs}")


def many(figures, figure, few, lots):
    """How much worse lots is than few; for a ping more is worse."""
    a, b = figures.get(figure, **few), figures.get(figure, **lots)
    if not a or not b:
        return None
    return (b / a if figure == "ping" else a / b) - 1


def peer_verdicts(figures):
    lots = max((r["peers"] for r in figures.records if "peers" in r), default=0)
    plain = dict(protection="plaintext", mtu=1500, family=4, segmentation="off")
    for figure, what in (("tcp", "TCP"), ("udp64", "UDP 64 B"), ("ping", "ping")):
        loss = many(figures, figure, plain, dict(protection="non-peer", peers=lots))
        yield judge(f"non-peer {what}, {lots:,} peers", loss, None, 0.02, "slower than without the module")
    for figure, what in (("tcp", "TCP"), ("udp64", "UDP 64 B"), ("ping", "ping")):
        ours = dict(protection="netveil-gcm")
        loss = many(figures, figure, dict(ours, peers=10), dict(ours, peers=lots))
        yield judge(f"{what}, {lots:,} peers against 10", loss, None, 0.03, "slower")
    for figure, what, most in (("memory", "memory per idle peer", 1.0), ("add", f"{lots:,} peers added", 0.5)):
        value = ratio(figures.get(figure, protection="netveil-gcm", peers=lots),
                      figures.get(figure, protection="wireguard", peers=lots))
        yield judge(what, value, None, most, "x wireguard")


def print_verdicts(title, lines):
    lines = [line for line in lines if line]
    if lines:
        print(f"\n{title}")
    for line in lines:
        value = f"{line['value']:.3f}" if "slower" in line["detail"] else f"{line['value']:.2f}"
        state = "met" if line["met"] else "NOT MET"
        print(f"  {line['what']:32} {value:>7} {line['detail']:32} {line['bar']:18} {state}")
    return lines


def main():
    folder = sys.argv[1]
    figures = Figures(folder)
    traffic_table(figures)
    peers_table(figures)
    bar = print_verdicts("The bar", [*verdicts(figures, BAR), *peer_verdicts(figures)])
    stretch = print_verdicts("Beyond it", verdicts(figures, STRETCH))
    path = os.path.join(folder, "bench.json")
    with open(path, "w") as file:
        json.dump(dict(figures=figures.records, bar=bar, stretch=stretch), file, indent=1)
    met = sum(line["met"] for line in bar)
    print(f"\n{met} of {len(bar)} of the bar's figures are met. All figures: {path}")


if __name__ == "__main__":
    main()
