#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What holds for one address while many changes are made as one step: the rules of
kmod/policy.c and kmod/netlink_apply.c, and configurations drawn at random, each of up to
four prefixes around the address, that a step turns into others.

Demanded at every moment, also of a look-up that searches the tables and only then reads
what it has found, as late as a grace period lets it:
  - nothing is in clear that is not so before the step or after it; as long as the step
    can be refused, before it
  - what is sealed is for the peer that has the address before the step or after it

Run as a program it prints KTAP. `--break` also breaks each rule in turn and expects to
notice; the rules are told apart by BREAKS. NETVEIL_SEED=N is the seed of chance.
"""

import os
import random
import sys

LEVELS = range(4)  # a prefix's length is its place here
SAMPLES = 100_000
PATIENCE = 400_000  # samples until a broken rule has to be noticed

# Weaker and weaker.
KINDS = REQUIRE, PREFER, BYPASS = range(3)
CLEAR = BYPASS  # nothing is said, or: as it comes
COMES, GOES = 1, 2

BREAKS = {
    "weak at once": "what is new is as weak as it is to be from the beginning",
    "ours forgotten": "what is new is as weak as a peer that has not what is ours within",
    "new not held": "what is preferred follows a new peer that has no session",
    "left not held": "what is preferred follows a leaving peer that has no session",
    "bypass leaves": "a leaving peer that was confirmed once bypasses to the end",
    "set not held": "what is preferred follows a peer whose sessions have ended",
    "sets in one": "policies are set in the order given",
    "order given": "policies leave in the order given, before the peers",
    "require first": "policies that require leave before the peers",
    "narrow first": "the addresses of leaving peers go, the longer prefix first",
    "locals late": "our networks change last",
    "locals bare": "what a network of ours hides is in clear while that comes or goes",
    "no grace": "a look-up may begin before the step and end after it",
}


class Violation(Exception):
    """What does not hold, and when."""


class Node:
    """A prefix of one table."""

    def __init__(self, level, new=False):
        self.level = level
        self.new = new
        self.leaving = False


class Peer(Node):
    """Who has a prefix; its session, if it is confirmed, is the one that it has."""

    def __init__(self, level, kind, confirmed=False, new=False):
        super().__init__(level, new)
        self.kind = self.wanted = kind
        self.confirmed = confirmed
        self.held = False


class Policy(Node):
    def __init__(self, level, kind, new=False):
        super().__init__(level, new)
        self.kind = self.wanted = kind


class Local(Node):
    """A network of ours."""

    def __init__(self, level, new=False):
        super().__init__(level, new)
        self.between = 0


def longest(table, most=len(LEVELS)):
    return max((node for node in table if node.level <= most), key=lambda n: n.level, default=None)


class Host:
    """The tables, and look-ups as in kmod/policy.c."""

    def __init__(self, nodes, broken=()):
        self.peers = [node for node in nodes if isinstance(node, Peer)]
        self.policies = [node for node in nodes if isinstance(node, Policy)]
        self.locals = [node for node in nodes if isinstance(node, Local)]
        self.broken = broken

    def unsettled(self, own, local):
        seen = 0
        while local and local.level > own.level:
            seen |= local.between
            if not local.between or seen == COMES | GOES:
                return False
            local = longest(self.locals, local.level - 1)
        return True

    def search(self, most=len(LEVELS)):
        own, policy, local = (
            longest(table, most) for table in (self.peers, self.policies, self.locals)
        )
        hidden = None
        if own and local and local.level > own.level:
            if self.unsettled(own, local) and "locals bare" not in self.broken:
                hidden = own
            own = None
        return own, policy, hidden

    @staticmethod
    def read(found):
        """How strict, and which peer's it is."""
        own, policy, hidden = found
        kind = own.kind if own else CLEAR
        by_policy = policy and (not own or policy.level > own.level)
        if by_policy:
            kind = policy.kind
        if kind == PREFER and own and (own.confirmed or (by_policy and own.held)):
            kind = REQUIRE
        if hidden and not (by_policy and kind == BYPASS and policy.level > hidden.level):
            return REQUIRE, None
        return kind, own

    def stricter(self, node):
        own, policy, _ = self.search(node.level)
        kind = min(node.wanted, self.read((own, policy, None))[0])
        if isinstance(node, Policy) and policy and "ours forgotten" not in self.broken:
            kind = min(kind, policy.kind)
        return kind


def draw_node(rng, level, new=False):
    what = rng.choice((None, Policy, Policy, Peer, Peer, Local))
    if what is Policy:
        return Policy(level, rng.choice(KINDS), new)
    if what is Peer:
        kind = rng.choice(KINDS)
        return Peer(level, kind, not new and rng.random() < 0.5, new)
    return what and what(level, new)


class Step:
    """One drawn at random: on each level what is there stays, is set, or makes room."""

    def __init__(self, rng, broken=()):
        self.broken = broken
        self.added, self.sets, after = [], [], []
        before = [node for node in (draw_node(rng, level) for level in LEVELS) if node]
        known = {node.level: node for node in before}
        for level in LEVELS:
            node, chance = known.get(level), rng.random()
            if node and chance < 0.4:
                after.append(node)
            elif node and chance < 0.6 and not isinstance(node, Local):
                self.sets.append((node, rng.choice(KINDS)))
            else:
                after += self.replace(node, draw_node(rng, level, True))
        self.given = before + self.added
        rng.shuffle(self.given)
        rng.shuffle(self.sets)
        self.host = Host(before, broken)
        self.before = self.host.read(self.host.search())
        self.after = self.settled(after)
        self.found = []
        self.refusable = True

    def replace(self, old, new):
        """One of the same kind of table is the same node, but for a peer."""
        if isinstance(new, (Policy, Local)) and type(new) is type(old):
            return [old]
        if old:
            old.leaving = True
        if new:
            self.added.append(new)
        return [new] if new else []

    def settled(self, after):
        """By what is told, and not by how it is done."""
        for node, kind in self.sets:
            twin = type(node)(node.level, kind)
            if isinstance(node, Peer):
                twin.confirmed = node.confirmed and kind != PREFER
                twin.origin = node
            after.append(twin)
        kind, peer = Host.read(Host(after).search())
        return kind, getattr(peer, "origin", peer)

    def check(self, what):
        """Now, and of each look-up that no grace period has ended."""
        if "no grace" not in self.broken and what == "grace":
            self.found.clear()
        self.found.append(self.host.search())
        ends = [self.before] if self.refusable else [self.before, self.after]
        for found in self.found:
            kind, peer = self.host.read(found)
            if kind != REQUIRE and all(end[0] == REQUIRE for end in ends):
                raise Violation(f"in clear, and not before and after: {what}")
            if peer and kind == REQUIRE and peer.confirmed and peer not in [e[1] for e in ends]:
                raise Violation(f"sealed for another one: {what}")

    def of(self, kind_of, nodes=None):
        return [n for n in (self.given if nodes is None else nodes) if isinstance(n, kind_of)]

    def gone(self, kind_of):
        return [node for node in self.of(kind_of) if node.leaving]

    def add(self):
        for kind in KINDS:
            for node in self.added:
                if not isinstance(node, Local) and node.wanted == kind:
                    self.add_one(node)
                    self.check("an addition")

    def add_one(self, node):
        if "weak at once" not in self.broken:
            node.kind = self.host.stricter(node)
        if isinstance(node, Policy):
            self.host.policies.append(node)
            return
        node.held = "new not held" not in self.broken
        # It takes the place of one that leaves.
        self.host.peers = [peer for peer in self.host.peers if peer.level != node.level]
        self.host.peers.append(node)

    def make_locals(self):
        for local in self.of(Local, self.added):
            local.between = COMES
            self.host.locals.append(local)
            self.check("a network of ours comes")
        for local in self.gone(Local):
            local.between = GOES
            self.check("a network of ours goes")

    def set_policies(self, *kinds):
        for node, kind in self.sets:
            if isinstance(node, Policy) and kind in kinds:
                node.kind = kind
                self.check("a policy is set")

    def hold(self):
        for peer in self.gone(Peer):
            peer.held = "left not held" not in self.broken
            if peer.kind == BYPASS and "bypass leaves" not in self.broken:
                peer.kind = PREFER
            self.check("a leaving peer is held")
        for peer, kind in self.sets:
            if isinstance(peer, Peer) and kind == PREFER:
                peer.held = "set not held" not in self.broken
                peer.kind = min(peer.kind, PREFER)
                self.check("a peer that is set is held")

    def set_peers(self):
        for peer, kind in self.sets:
            if isinstance(peer, Peer):
                peer.confirmed = peer.confirmed and kind != PREFER
                self.check("a peer's sessions end")
                peer.kind = kind
                self.check("a peer is set")

    def remove_policies(self, *kinds):
        for node in self.gone(Policy):
            if node in self.host.policies and node.kind in kinds:
                self.host.policies.remove(node)
                self.check("a policy leaves")

    def take_addresses(self):
        narrow_first = "narrow first" in self.broken
        for peer in sorted(self.gone(Peer), key=lambda n: n.level, reverse=narrow_first):
            if peer in self.host.peers:
                self.host.peers.remove(peer)
                self.check("a peer leaves")

    def keep(self):
        for node in self.of((Peer, Policy), self.given):
            if isinstance(node, Peer) and not node.leaving:
                node.held = False
                self.check("a peer is let go")
            if node.new:
                node.kind = node.wanted
                self.check("what is new is kept")

    def put_locals(self):
        for local in self.of(Local, self.added):
            local.between = 0
            self.check("a network of ours is there")
        for local in self.gone(Local):
            self.host.locals.remove(local)
            self.check("a network of ours is gone")

    def run(self):
        broken = self.broken
        self.check("the beginning")
        self.add()
        if "locals late" not in broken:
            self.make_locals()
            self.check("grace")
        self.refusable = False
        self.set_policies(*(KINDS if "sets in one" in broken else [REQUIRE]))
        self.hold()
        self.check("grace")
        self.set_peers()
        self.set_policies(PREFER, BYPASS)
        if "order given" in broken:
            self.remove_policies(*KINDS)
        self.remove_policies(BYPASS)
        self.remove_policies(PREFER)
        if "require first" in broken:
            self.remove_policies(REQUIRE)
        self.take_addresses()
        self.remove_policies(REQUIRE)
        self.check("grace")
        self.keep()
        if "locals late" in broken:
            self.make_locals()
        self.put_locals()
        self.found.clear()
        if self.host.read(self.host.search()) != self.after:
            raise Violation("not what was told in the end")


def search(seed, samples, broken=()):
    """How many steps held, and what did not of the next one."""
    rng = random.Random(seed)
    for number in range(samples):
        try:
            Step(rng, broken).run()
        except Violation as violation:
            return number, violation
    return samples, None


def main():
    broken = BREAKS if "--break" in sys.argv[1:] else ()
    seed = os.environ.get("NETVEIL_SEED", "0")
    print("KTAP version 1\n1..%d" % (1 + len(broken)))
    count, violation = search(seed, SAMPLES)
    good = not violation
    print("%sok 1 no step weakens # %d steps, seed %s" % ("" if good else "not ", count, seed))
    if violation:
        print("# step %d: %s" % (count, violation))
    for number, name in enumerate(broken, 2):
        count, violation = search(seed, PATIENCE, [name])
        good &= bool(violation)
        print("%sok %d noticed: %s # step %d: %s" % (
            "" if violation else "not ", number, BREAKS[name], count, violation), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
