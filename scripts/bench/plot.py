#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Bars of the figures that matter most, as SVG and PNG, by gnuplot.
usage: plot.py FOLDER: reads bench.jsonl there and writes tcp.* and packets.*; the
README shows those of the run that it tells of, from scripts/pictures/bench-*.svg."""

import os
import subprocess
import sys

import report

LABELS = {
    "plaintext": "plaintext",
    "wireguard": "WireGuard",
    "esp-gcm": "ESP\\nAES-GCM",
    "esp-chacha": "ESP\\nChaCha20",
    "macsec": "MACsec",
    "netveil-gcm": "Netveil\\nAES-GCM",
    "netveil-chacha": "Netveil\\nChaCha20",
}
HEAD = """
set terminal {terminal}
set output "{output}"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.9 noborder
set boxwidth 0.9
set grid y lc rgb "#dddddd"
set border 3 lc rgb "#888888"
set xtics nomirror scale 0
set ytics nomirror
set yrange [0:*]
set key above right
set bmargin 4
"""
TERMINALS = {
    "svg": 'svg size 820,360 font "sans,12" background "white"',
    "png": "pngcairo size 820,360",
}


def draw(folder, name, title, unit, columns, rows):
    """A group of bars for each row (label, values); a colour for each column."""
    rows = [row for row in rows if any(row[1])]
    if not rows:
        return
    data = "$data << END\n"
    for label, values in rows:
        cells = " ".join("0" if value is None else f"{value:.2f}" for value in values)
        data += f'"{label}" {cells}\n'
    data += "END\n"
    colours = ("#2a6f97", "#e07a1f")
    bars = ", ".join(
        f"$data using {index + 2}:xtic(1) title \"{column}\" lc rgb \"{colours[index]}\""
        for index, column in enumerate(columns)
    )
    for kind, terminal in TERMINALS.items():
        head = HEAD.format(terminal=terminal, output=os.path.join(folder, f"{name}.{kind}"))
        script = f'{head}set title "{title}"\nset ylabel "{unit}"\n{data}plot {bars}\n'
        done = subprocess.run(["gnuplot"], input=script, text=True, stderr=subprocess.PIPE)
        if done.returncode:
            sys.exit(f"plot.py: gnuplot: {done.stderr.strip()}")


def main():
    folder = sys.argv[1]
    figures = report.Figures(folder)
    draw(folder, "tcp", "One TCP flow, both ends on one CPU of 10^9 instructions a second",
         "Mbit/s", ("MTU 1500", "MTU 9000"),
         [(label, [figures.wire("tcp", name, mtu) for mtu in (1500, 9000)])
          for name, label in LABELS.items() if name != "plaintext"])
    draw(folder, "packets", "Small packets, both ends on the same CPU", "kpps, us",
         ("UDP 64 B, kpps (more is better)", "ping RTT, us (less is better)"),
         [(label, [figures.wire("udp64", name), figures.wire("ping", name)])
          for name, label in LABELS.items()])


if __name__ == "__main__":
    main()
