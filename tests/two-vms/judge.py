#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""judge.py CAPTURE...: what QEMU captured between two virtual machines shows the
control in clear, and nothing of what was sent after it.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import wire
from packets import UDP, parse_frame
from words import CONTROL, MARKER


def faults(frames):
    clear = [i for i, frame in enumerate(frames) if CONTROL in frame]
    if not clear:
        yield "the control was not seen"
        return
    for frame in frames:
        if MARKER in frame:
            yield "a marker in clear: " + frame[:80].hex()
    kinds = {packet.protocol for packet in map(parse_frame, frames[clear[-1] + 1 :]) if packet}
    if UDP not in kinds:
        yield "no Netveil on the wire"


def main(paths):
    bad = 0
    for path in paths:
        frames = wire.read_pcap(path)
        for fault in faults(frames):
            print("# %s: %s" % (path, fault))
            bad += 1
        print("# %s: %d frames" % (path, len(frames)))
    print("%s %d the wire between the two machines" % ("not ok" if bad else "ok", 1))
    sys.exit(bool(bad))


main(sys.argv[1:])
