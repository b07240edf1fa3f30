#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Which lines of the module never ran: usage: report.py NETVEIL.KO FOLDER, where
the folder holds what tests/coverage/rmmod kept.

The places are the basic blocks, by the calls that the compiler put there; a line ran
if any block of it did, in whatever function it was inlined.
"""

import collections
import glob
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import elf

CALLBACK = "__sanitizer_cov_trace_pc"
REACH = 1 << 19
# A function that loading alone runs is gone before anybody asks.
NOT_COUNTED = ".init.text", ".exit.text"


def blocks(module):
    """(section, return address in it) of every block."""
    for name, offset in module.calls_to(CALLBACK):
        if not name.startswith(NOT_COUNTED):
            yield name, offset + 4


def ran(module, found, path):
    """Those of the blocks that one loaded module ran."""
    section, value = next((s, v) for n, _, s, v, _ in module.symbols() if n == CALLBACK)
    bases = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            name, address = re.fullmatch(r".*/([^/:]+):(0x[0-9a-f]+)\n", line).groups()
            bases[name] = int(address, 16)
    zero = bases[module.name(module.sections[section])] + value - REACH
    with open(path + ".hits", "rb") as file:
        bits = file.read()
    for block in found:
        place = bases[block[0]] + block[1] - zero
        if 0 <= place < 2 * REACH and bits[place // 8] >> place % 8 & 1:
            yield block


def lines(path, found):
    """The source line of every block: "kmod/x.c", number, and its function."""
    where = {}
    for section in {each[0] for each in found}:
        places = [each for each in found if each[0] == section]
        text = "".join("%#x\n" % (place - 1) for _, place in places)
        words = "addr2line", "-f", "-j", section, "-e", path
        out = subprocess.run(words, input=text, capture_output=True, text=True, check=True)
        pairs = iter(out.stdout.splitlines())
        for place, function, line in zip(places, pairs, pairs):
            match = re.search(r"(kmod/[^/]+\.[ch]):(\d+)", line)
            if match:
                where[place] = match[1], int(match[2]), function
    return where


def main(path, folder):
    module = elf.Object(path)
    found = list(blocks(module))
    run = set()
    for each in glob.glob(folder + "/*.hits"):
        run.update(ran(module, found, each[: -len(".hits")]))
    where = lines(path, found)
    good = {line[:2] for block, line in where.items() if block in run}
    every = {line[:2]: line[2] for line in where.values()}
    files = collections.defaultdict(list)
    for name, number in sorted(every):
        files[name].append(number)
    for name, numbers in files.items():
        missed = [number for number in numbers if (name, number) not in good]
        print("%s: %d of %d" % (name, len(numbers) - len(missed), len(numbers)))
        by_function = collections.defaultdict(list)
        for number in missed:
            by_function[every[name, number]].append(number)
        for function, some in by_function.items():
            print("    %s: %s" % (function, " ".join(map(str, some))))
    print(
        "all: %.1f %% of %d lines, %.1f %% of %d blocks"
        % (100 * len(good) / len(every), len(every), 100 * len(run) / len(found), len(found))
    )


main(*sys.argv[1:])
