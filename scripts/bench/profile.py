#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Where the instructions go, by function and way, from what profile.c counted."""

import bisect
import collections
import json
import os
import sys

USER = 1 << 63
ROWS = 60


class Symbols:
    def __init__(self, path):
        symbols = []
        with open(path) as file:
            for line in file:
                words = line.split()
                if words[1] in "tTwW":
                    symbols.append((int(words[0], 16), words[2], words[3] if words[3:] else ""))
        symbols.sort()
        self.starts = [symbol[0] for symbol in symbols]
        self.symbols = symbols

    def find(self, address):
        """(function, module) of an address."""
        if address < USER:
            return "(user space)", ""
        index = bisect.bisect_right(self.starts, address) - 1
        return self.symbols[index][1:] if index >= 0 else ("?", "")


def units(told):
    """How many of what were measured."""
    result = told["result"]
    if "bytes" in result:
        return result["bytes"] / 1448, "1448 bytes"
    for name, what in (("packets", "packet"), ("times", "time")):
        if name in result:
            return result[name], what
    return 100, "echo"


def main():
    folder = sys.argv[1]
    with open(os.path.join(folder, "profile.json")) as file:
        told = json.load(file)
    symbols = Symbols(os.path.join(folder, "kallsyms"))
    functions = collections.defaultdict(collections.Counter)
    modules, ways = collections.Counter(), collections.Counter()
    with open(os.path.join(folder, "plugin.out")) as file:
        for line in file:
            address, way, count = line.split()
            name, module = symbols.find(int(address, 16))
            functions[name, module][way] += int(count)
            modules[module or ("user space" if name == "(user space)" else "kernel")] += int(count)
            ways[way] += int(count)
    number, what = units(told)
    total = sum(ways.values())
    columns = [way for way, _ in ways.most_common()]
    print(f"{told['figure']}, {told['protection']}: {total / number:.0f} instructions a {what}, "
          f"over {number:.0f} of them")
    print(f"\n{'function':44}{'all':>8}{'%':>6}" + "".join(f"{way:>9}" for way in columns))
    rows = sorted(functions.items(), key=lambda item: -sum(item[1].values()))
    for (name, module), counts in rows[:ROWS]:
        count = sum(counts.values())
        cells = "".join(f"{counts[way] / number:9.0f}" for way in columns)
        print(f"{name + ' ' + module:44}{count / number:8.0f}{100 * count / total:6.1f}{cells}")
    rest = sum(sum(counts.values()) for _, counts in rows[ROWS:])
    print(f"{'(the others)':44}{rest / number:8.0f}{100 * rest / total:6.1f}")
    print(f"{'':44}{total / number:8.0f}{100:6.1f}"
          + "".join(f"{ways[way] / number:9.0f}" for way in columns))
    print("\nby module: " + ", ".join(
        f"{name} {count / number:.0f}" for name, count in modules.most_common(12)))


if __name__ == "__main__":
    main()
