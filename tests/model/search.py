#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Two hosts and the network between them, as kmod/PROTOCOL.md has them (sections
4.3, 5.2 and 7; `prefer` and psk-next as well), and every state that they can get
into within some bounds. Whoever owns the network loses, repeats, holds back and
reorders messages, replays old ones, and forges initiations with a host's own key.

Searched for in every state:
  - a responder seals nothing under a session that the initiator did not complete
  - nothing leaves or is taken in clear after a session was confirmed
  - what a forger sends leaves no time behind that genuine initiations fall short of
  - never stuck: once the network delivers, two rounds of handshakes at most lead
    to a session in which each end opens what the other seals; also when somebody
    repeats old initiations to whoever begins

Run as a program it prints KTAP. `--break` also breaks each rule in turn and
expects the search to notice; the rules are told apart by BREAKS.
"""

import sys
from collections import namedtuple

# Host 0 has the larger public key.
LARGER = 0
OLD, NEW = "old", "new"
NEVER = 99  # later than any genuine time

Host = namedtuple(
    "Host",
    "clock sent committed pending out attempts next cur prev policy confirmed psks",
)
# A session: who began it, which initiation, which answer to it.
Session = namedtuple("Session", "initiator number answer time psk")
Initiation = namedtuple("Initiation", "sender number time psks forged")
Response = namedtuple("Response", "session")
Data = namedtuple("Data", "session sender close")
World = namedtuple("World", "hosts network completed budget")
# What may still happen; each is an event of its own.
Budget = namedtuple("Budget", "initiations answers restarts steps forgeries closes")

BREAKS = {
    "unconfirmed": "a responder seals at once",
    "forget": "prefer falls back when the session has ended",
    "no-stale": "a stale initiation makes nobody initiate",
    "commit-early": "a time is committed before its session is confirmed",
    "no-yield": "the larger key ignores the other's initiation for ever",
    "psk-greedy": "the old psk goes when the new one is set",
    "yield-early": "an initiation that may be an old one ends our own",
    "psk-order": "of psks in opposite order the offer's first is taken",
}


class Violation(Exception):
    """A property that does not hold, and where."""


class Model:
    """The rules; a set of names from BREAKS says which of them are broken."""

    def __init__(self, broken=()):
        self.broken = set(broken)

    # What one host does. Each returns (host, [messages it sends]).

    def initiate(self, host, me, number, psks=None):
        time = max(host.clock, host.sent + 1)
        message = Initiation(me, number, time, psks or host.psks, False)
        attempts = min(host.attempts + 1, 2)
        return host._replace(sent=time, out=message, attempts=attempts), [message]

    def crossed(self, host, me):
        if host.out is None or me != LARGER:
            return False
        return host.attempts <= 1 or "no-yield" in self.broken

    def choose_psk(self, host, message):
        opposed = len(host.psks) == 2 and message.psks == host.psks[::-1]
        if opposed and "psk-order" not in self.broken:
            return max(host.psks)
        for psk in message.psks:
            if psk in host.psks:
                return psk
        return None

    def take_initiation(self, host, me, message, answer):
        """None instead of a host where it is stale."""
        if message.time <= host.committed or message.time < host.pending:
            return None, []
        if message.time == host.pending:
            return host, []
        host = host._replace(pending=message.time)
        if self.crossed(host, me):
            return host, []
        psk = self.choose_psk(host, message)
        if psk is None:
            return host, []
        sender = None if message.forged else message.sender
        session = Session(sender, message.number, answer, message.time, psk)
        if me != LARGER and "yield-early" in self.broken:
            host = host._replace(out=None)
        if "commit-early" in self.broken:
            host = host._replace(committed=max(host.committed, message.time))
        if "unconfirmed" in self.broken:
            return self.make_current(host, session), [Response(session)]
        return host._replace(next=session), [Response(session)]

    def make_current(self, host, session):
        return host._replace(prev=host.cur, cur=session)

    def take_response(self, host, me, message):
        session, out = message.session, host.out
        if out is None or session.initiator != me or session.number != out.number:
            return host, []
        host = self.make_current(host, session)._replace(out=None, attempts=0)
        return host, [Data(session, me, False)]

    def confirm(self, host, session):
        psks = host.psks[:1] if session.psk == host.psks[0] else host.psks
        policy = "sticky" if host.policy == "prefer" else host.policy
        return host._replace(confirmed=True, policy=policy, psks=psks, attempts=0)

    def take_data(self, host, message):
        """None instead of a host where the session is not known."""
        session = message.session
        if session == host.next:
            host = self.make_current(host, session)._replace(next=None)
            host = host._replace(committed=max(host.committed, session.time))
        elif session not in (host.cur, host.prev):
            return None
        host = self.confirm(host, session)
        if not message.close:
            return host
        if host.policy == "sticky":
            host = host._replace(policy="prefer", confirmed=False)
        if host.cur == session:
            return host._replace(cur=None)
        return host._replace(prev=None)

    def expire(self, host, slot):
        host = host._replace(**{slot: None})
        if "forget" in self.broken and slot == "cur" and host.policy == "sticky":
            host = host._replace(policy="prefer")
        return host

    def rotate(self, host):
        if "psk-greedy" in self.broken:
            return host._replace(psks=(NEW,))
        return host._replace(psks=(NEW, OLD))


def check_data(world, message):
    session = message.session
    if message.sender != session.initiator and session not in world.completed:
        raise Violation("sealed under a session that nobody completed", world)


def check_host(world, me):
    """What a forger leaves behind; what a host of this policy does in clear."""
    host = world.hosts[me]
    if host.committed == NEVER:
        raise Violation("a forged initiation's time is kept", world)
    if host.policy == "prefer" and host.cur is None and host.confirmed:
        raise Violation("in clear after a session was confirmed", world)


def put(world, me, host, messages=()):
    hosts = tuple(host if i == me else h for i, h in enumerate(world.hosts))
    world = world._replace(hosts=hosts)
    for message in messages:
        if isinstance(message, Data):
            if message.sender == message.session.initiator:
                done = world.completed | {message.session}
                world = world._replace(completed=done)
            check_data(world, message)
        world = world._replace(network=world.network | {message})
    check_host(world, me)
    return world


def spend(world, kind, me=None):
    """The world with less of a budget, or None when it is used up."""
    left = getattr(world.budget, kind)
    if me is not None:
        if not left[me]:
            return None
        left = tuple(n - (i == me) for i, n in enumerate(left))
    elif not left:
        return None
    else:
        left -= 1
    return world._replace(budget=world.budget._replace(**{kind: left}))


def restarted(host, start):
    return start._replace(clock=host.clock, psks=host.psks)


class Search:
    """Every state within the bounds, and the properties in each."""

    def __init__(self, starts, budget, rotating=False, broken=()):
        self.model = Model(broken)
        self.rotating = rotating
        self.starts = starts
        self.first = World(starts, frozenset(), frozenset(), budget)

    def delivered(self, world, me, message):
        model, host = self.model, world.hosts[me]
        if isinstance(message, Initiation):
            number = world.budget.answers
            poorer = spend(world, "answers")
            if poorer is None:
                return None
            host, sent = model.take_initiation(host, me, message, number)
            return host and put(poorer if sent else world, me, host, sent)
        if isinstance(message, Response):
            return put(world, me, *model.take_response(host, me, message))
        host = model.take_data(host, message)
        return host and put(world, me, host)

    def deliveries(self, world):
        for message in world.network:
            if isinstance(message, Response):
                to = message.session.initiator
            else:
                to = 1 - message.sender
            if to is not None:
                yield self.delivered(world, to, message)

    def sends(self, world, me):
        host = world.hosts[me]
        poorer = spend(world, "initiations", me)
        if poorer:
            number = world.budget.initiations[me]
            yield put(poorer, me, *self.model.initiate(host, me, number))
        if host.cur:
            yield put(world, me, host, [Data(host.cur, me, False)])
            poorer = spend(world, "closes")
            if poorer:
                gone = restarted(host, self.starts[me])
                yield put(poorer, me, gone, [Data(host.cur, me, True)])

    def mishaps(self, world, me):
        model, host = self.model, world.hosts[me]
        for slot in "next", "cur", "prev":
            if getattr(host, slot):
                yield put(world, me, model.expire(host, slot))
        poorer = spend(world, "restarts")
        if poorer:
            yield put(poorer, me, restarted(host, self.starts[me]))
        poorer = spend(world, "steps")
        if poorer:
            for clock in {0, 2} - {host.clock}:
                yield put(poorer, me, host._replace(clock=clock))
        poorer = spend(world, "forgeries")
        if poorer:
            forged = Initiation(1 - me, 0, NEVER, host.psks, True)
            yield poorer._replace(network=world.network | {forged})
        if self.rotating and host.psks == (OLD,):
            yield put(world, me, model.rotate(host))

    def successors(self, world):
        yield from self.deliveries(world)
        for me in 0, 1:
            yield from self.sends(world, me)
            yield from self.mishaps(world, me)

    def run(self):
        seen, todo = {self.first}, [self.first]
        settled = {}
        while todo:
            world = todo.pop()
            if world.hosts not in settled:
                settled[world.hosts] = True
                self.check_alive(world)
            for new in self.successors(world):
                if new and new not in seen:
                    seen.add(new)
                    todo.append(new)
        return len(seen), len(settled)

    # Never stuck: from here on the network delivers and time passes.

    def check_alive(self, world):
        for talkers in (0,), (1,), (0, 1), (1, 0):
            for recorded in (0, 0), tuple(h.sent for h in world.hosts):
                if not self.settles(world, talkers, recorded):
                    raise Violation("stuck", world)

    def settles(self, world, talkers, recorded):
        """recorded: the newest initiation of each that somebody repeats."""
        hosts = [h._replace(pending=0) for h in world.hosts]
        for attempt in range(3):
            if self.talk(hosts):
                return True
            if attempt < 2:
                self.handshakes(hosts, talkers, attempt, recorded)
        return False

    def talk(self, hosts):
        """Whether each opens what the other seals."""
        for _ in 0, 1:
            for me in 0, 1:
                session = hosts[me].cur
                if session is None:
                    return False
                other = self.model.take_data(hosts[1 - me], Data(session, me, False))
                if other is None:
                    return False
                hosts[1 - me] = other
        return True

    def handshakes(self, hosts, talkers, attempt, recorded):
        """Who has reason to begins, talkers first."""
        messages = []
        for me in sorted((0, 1), key=(talkers + (0, 1)).index):
            if self.has_reason(hosts[me], hosts[1 - me], me, talkers):
                messages += self.begin(hosts, me, attempt)
                self.repeat(hosts, me, attempt, recorded[1 - me])
        while messages:
            messages += self.hand_over(hosts, messages.pop(0), attempt)

    def has_reason(self, host, other, me, talkers):
        deaf = not self.opens(host, other)
        if me in talkers and (host.cur is None or deaf):
            return True  # nothing to seal with, or 15 s without an answer
        if 1 - me in talkers and other.cur and deaf:
            return True  # data with an unknown index
        return host.out is not None  # a series goes on

    def opens(self, host, other):
        """Whether host opens what other seals."""
        return other.cur is not None and other.cur in (host.cur, host.prev, host.next)

    def begin(self, hosts, me, attempt):
        number = -1 - attempt
        hosts[me], sent = self.model.initiate(hosts[me], me, number)
        return sent

    def repeat(self, hosts, me, attempt, recorded):
        """The next of the other end's old initiations; nobody wants the answer."""
        time = max(hosts[me].pending, hosts[me].committed) + 1
        if time <= recorded:
            old = Initiation(1 - me, "old", time, hosts[1 - me].psks, False)
            answer = "old", attempt
            hosts[me], _ = self.model.take_initiation(hosts[me], me, old, answer)

    def hand_over(self, hosts, message, attempt):
        if isinstance(message, Initiation):
            to = 1 - message.sender
            answer = -1 - attempt, message.sender, message.time
            host, sent = self.model.take_initiation(hosts[to], to, message, answer)
            if host is None:
                stale = "no-stale" not in self.model.broken and hosts[to].out is None
                return self.begin(hosts, to, attempt) if stale else []
        elif isinstance(message, Response):
            to = message.session.initiator
            host, sent = self.model.take_response(hosts[to], to, message)
        else:
            to = 1 - message.sender
            host, sent = self.model.take_data(hosts[to], message), []
        if host is not None:
            hosts[to] = host
        return sent


def fresh(policy="require", psks=(OLD,)):
    return Host(1, 0, 0, 0, None, 0, None, None, None, policy, False, psks)


OPPOSED = fresh(psks=(NEW, OLD)), fresh(psks=(OLD, NEW))

# Name, how the hosts start, what may happen, whether psks change.
SCENES = (
    ("crossing", (fresh(),) * 2, Budget((2, 1), 3, 0, 0, 0, 0), False),
    ("restarts and clocks", (fresh(),) * 2, Budget((2, 1), 2, 1, 1, 0, 0), False),
    ("forged initiations", (fresh(),) * 2, Budget((1, 1), 3, 0, 0, 1, 0), False),
    ("prefer", (fresh("prefer"),) * 2, Budget((1, 1), 2, 1, 0, 1, 1), False),
    ("psk rotation", (fresh(),) * 2, Budget((2, 1), 2, 0, 0, 0, 0), True),
    ("psks in opposite order", OPPOSED, Budget((2, 1), 2, 0, 0, 0, 0), False),
)


def search(broken=()):
    for name, starts, budget, rotating in SCENES:
        try:
            yield name, Search(starts, budget, rotating, broken).run(), None
        except Violation as violation:
            yield name, None, violation


def report(number, ok, text):
    print("%s %d %s" % ("ok" if ok else "not ok", number, text), flush=True)
    return ok


def main():
    broken = BREAKS if "--break" in sys.argv[1:] else ()
    print("KTAP version 1\n1..%d" % (len(SCENES) + len(broken)))
    good, number = True, 0
    for name, counts, violation in search():
        number += 1
        text = "%s # %d states, %d pairs of hosts" % ((name,) + (counts or (0, 0)))
        good &= report(number, violation is None, text)
        if violation:
            print("# %s\n# %s" % violation.args)
    for name in broken:
        number += 1
        found = any(violation for _, _, violation in search([name]))
        good &= report(number, found, "noticed: " + BREAKS[name])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
