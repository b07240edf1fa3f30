# SPDX-License-Identifier: GPL-2.0
"""Which inputs reached something new in the module, and are worth to be changed further:
by the number of its places that ran (tests/coverage/hits.c), in whatever context and for
whichever host. What a timer or a worker reached meanwhile is the input's, too.

Without such a module, or with NETVEIL_BLIND set, every input is a fresh one.
"""

import contextlib
import os

import elf
import hosts
from ktap import note

HITS = "/sys/module/netveil/parameters/hits"
BLIND = bool(os.environ.get("NETVEIL_BLIND"))
state = {}


def open_hits():
    """Before a child gives up the right to read them."""
    if os.path.exists(HITS):
        state["file"] = os.open(HITS, os.O_RDONLY)
        places = elf.Object(hosts.MODULE).calls_to("__sanitizer_cov_trace_pc")
        state["places"] = sum(1 for _ in places)


def reached():
    """How many places ran so far."""
    return int(os.pread(state["file"], 24, 0)) if state else 0


class Corpus:
    """Inputs of some kinds that reached something new."""

    def __init__(self, chance):
        self.chance, self.kept, self.count = chance, {}, 0

    def parent(self, kind):
        """What to change further: any, or rather one of the newest; or None, for a fresh
        input."""
        kept, chance = self.kept.get(kind), self.chance
        if not kept or chance.random() < 0.5:
            return None
        if chance.random() < 0.5:
            return chance.choice(kept)
        at = len(kept) - 1
        while at and chance.random() < 0.5:
            at -= 1
        return kept[at]

    @contextlib.contextmanager
    def watch(self, kind, given):
        """Around the sending of an input."""
        before = reached()
        yield
        if reached() > before and not BLIND:
            self.kept.setdefault(kind, []).append(given)
            self.count += 1

    def report(self):
        if state:
            numbers = reached(), state["places"], self.count
            note("%d of %d blocks of the module reached, %d inputs kept" % numbers)
