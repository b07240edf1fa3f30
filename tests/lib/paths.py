# SPDX-License-Identifier: GPL-2.0
"""Whether what the module's tracepoints tell is a path of the model in
tests/model/search.py.

The trace says that a host did something, and the model what it may do: all
worlds that fit what was seen so far are kept, and none is left when the module
did what the rules do not have.
"""

import os
import re
import sys
from collections import namedtuple

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "model"))

import search

TRACING = "/sys/kernel/tracing/"
EVENTS = ("session_made", "session_confirmed", "session_ended", "handshake", "drop")
MARK = "netveil-model:"
# Seconds, as in PROTOCOL: a session ends; one that is not confirmed; a pending
# time lapses. Less a second, since ages and clocks are cut off differently.
EXPIRES, UNCONFIRMED, LAPSES, FRESH = 179, 14, 14, 0.5
REFUSED = ("stale_initiation", "repeated_initiation", "crossed_initiation")

Event = namedtuple("Event", "time host what fields")
# indexes: (host, index, session) of all that are not ended; sealable: (host,
# session) that were current there; leaving: (host, session) that ended because
# another takes their place; wiped: hosts that forget all; closing: sessions that
# the other end may close.
Place = namedtuple(
    "Place", "hosts network indexes sealable leaving wiped closing since made"
)


def write(name, text):
    with open(TRACING + name, "w", encoding="ascii") as file:
        file.write(text)


def start():
    write("events/netveil/enable", "0")
    write("trace", "")
    write("buffer_size_kb", "16384")
    for name in EVENTS:
        write("events/netveil/veil_%s/enable" % name, "1")


def mark(what, host):
    """The test does something to a host (its number), from here on."""
    write("trace_marker", "%s %s %d" % (MARK, what, host))


def stop():
    """The trace since start(), as text."""
    write("events/netveil/enable", "0")
    with open(TRACING + "trace", encoding="ascii") as file:
        return file.read()


def read(text, hosts):
    """Events in their order; hosts: the number of each network namespace."""
    found = []
    for line in text.splitlines():
        parts = re.match(r".*\s([0-9.]+): (\w+): (.*)", line)
        if not parts or line.startswith("#"):
            continue
        time, name, rest = float(parts[1]), parts[2], parts[3]
        if rest.startswith(MARK):
            _, what, host = rest.split()
            found.append(Event(time, int(host), what, {}))
        elif name.startswith("veil_"):
            fields = dict(word.split("=", 1) for word in rest.split())
            host = hosts.get(int(fields["netns"]))
            if host is not None:
                what = fields.get("step") or name[5:]
                found.append(Event(time, host, what, fields))
    return found


class Wrong(Exception):
    """What happened is not what the model may do."""


def change(place, me, host, **more):
    hosts = tuple(host if i == me else h for i, h in enumerate(place.hosts))
    return place._replace(hosts=hosts, **more)


def slots(host):
    return {s for s in (host.next, host.cur, host.prev) if s}


class Paths:
    """All places in the model where two hosts may be."""

    def __init__(self, start_host):
        self.model = search.Model()
        self.start_host = start_host
        pair = (start_host, start_host)
        empty = frozenset()
        self.places = {
            Place(pair, empty, empty, empty, empty, empty, empty, (0, 0), (None, None))
        }
        self.number = 0
        self.sent = [-9.0, -9.0]

    def feed(self, event):
        self.number += 1
        name = "on_" + event.what.replace("-", "_")
        handler = getattr(self, name, None)
        if handler is None:
            return
        after = set()
        for place in self.places:
            after.update(handler(place, event))
        if not after:
            raise Wrong(event, next(iter(self.places)))
        self.places = after
        if event.what == "initiation-sent":
            self.sent[event.host] = event.time

    # The test's own doing

    def on_reset(self, place, event):
        """Sessions are forgotten on purpose, and the other end is told."""
        host = place.hosts[event.host]
        closing = place.closing | slots(host)
        yield place._replace(wiped=place.wiped | {event.host}, closing=closing)

    def on_restart(self, place, event):
        """A configuration anew: nothing is known of before."""
        host = place.hosts[event.host]
        closing = place.closing | slots(host)
        host = self.start_host._replace(next=host.next, cur=host.cur, prev=host.prev)
        place = change(place, event.host, host, closing=closing)
        yield place._replace(wiped=place.wiped | {event.host})

    def on_settled(self, place, event):
        """Whatever the test did to a host is over."""
        yield place._replace(wiped=place.wiped - {event.host})

    # What the module did

    def on_initiation_sent(self, place, event):
        me = event.host
        # clocks go on
        host = place.hosts[me]._replace(clock=self.number)
        host, messages = self.model.initiate(host, me, self.number)
        yield change(place, me, host, network=place.network | set(messages))

    def lapsed(self, place, event):
        """Also as it is when what was pending has lapsed."""
        yield place
        me = event.host
        host = place.hosts[me]
        if host.pending and event.time - place.since[me] > LAPSES:
            yield change(place, me, host._replace(pending=0))

    def initiations(self, place, me):
        for message in place.network:
            if isinstance(message, search.Initiation) and message.sender != me:
                yield message

    def on_initiation_received(self, place, event):
        """The newest that it may take; when its own is no longer fresh it takes
        one that crosses."""
        me = event.host
        for start in self.lapsed(place, event):
            host = start.hosts[me]
            if event.time - self.sent[me] > FRESH:
                host = host._replace(attempts=2)
            for message in self.initiations(start, me):
                after, sent = self.model.take_initiation(host, me, message, self.number)
                if after is None or not sent:
                    continue
                after = after._replace(attempts=start.hosts[me].attempts)
                since = tuple(
                    event.time if i == me else t for i, t in enumerate(start.since)
                )
                made = tuple(
                    sent[0].session if i == me else m for i, m in enumerate(start.made)
                )
                # it is in its slot when the trace says so
                after = after._replace(next=host.next)
                yield change(start, me, after, since=since, made=made)

    def on_response_sent(self, place, event):
        session = place.hosts[event.host].next
        if session and session.initiator != event.host:
            response = search.Response(session)
            yield place._replace(network=place.network | {response})

    def on_response_received(self, place, event):
        me = event.host
        host = place.hosts[me]
        for message in place.network:
            if not isinstance(message, search.Response):
                continue
            after, sent = self.model.take_response(host, me, message)
            if not sent:
                continue
            made = tuple(
                message.session if i == me else m for i, m in enumerate(place.made)
            )
            after = after._replace(cur=host.cur, prev=host.prev)
            yield change(place, me, after, made=made)

    def on_session_made(self, place, event):
        me = event.host
        session, host = place.made[me], place.hosts[me]
        initiator = event.fields["role"] == "initiator"
        if session is None or initiator != (session.initiator == me):
            return
        leaving = set(place.leaving)
        sealable = set(place.sealable)
        if initiator:
            if host.prev:
                leaving.add((me, host.prev))
            host = self.model.make_current(host, session)
            sealable.add((me, session))
        else:
            if host.next:
                leaving.add((me, host.next))
            host = host._replace(next=session)
        made = tuple(None if i == me else m for i, m in enumerate(place.made))
        indexes = place.indexes | {(me, event.fields["index"], session)}
        yield change(
            place,
            me,
            host,
            made=made,
            indexes=indexes,
            leaving=frozenset(leaving),
            sealable=frozenset(sealable),
        )

    def known(self, place, event):
        for me, index, session in place.indexes:
            if (me, index) == (event.host, event.fields["index"]):
                yield session

    def on_session_confirmed(self, place, event):
        """Something opened: the other end had it as its current session."""
        me = event.host
        for session in self.known(place, event):
            if (1 - me, session) not in place.sealable:
                continue
            host = place.hosts[me]
            message = search.Data(session, 1 - me, False)
            old = host.prev if session == host.next else None
            after = self.model.take_data(host, message)
            if after is None:
                # it ended while the packet was on its way
                yield place
                continue
            sealable = place.sealable
            if after.cur == session:
                sealable = sealable | {(me, session)}
            # what gave way has ended just before
            if old and any(i[0] == me and i[2] == old for i in place.indexes):
                continue
            yield change(place, me, after, sealable=sealable)

    def on_session_ended(self, place, event):
        me = event.host
        age = int(event.fields["age"].rstrip("ms")) / 1000
        for session in self.known(place, event):
            indexes = frozenset(
                i for i in place.indexes if i[:2] != (me, event.fields["index"])
            )
            host = place.hosts[me]
            slot = next(
                (n for n in ("next", "cur", "prev") if getattr(host, n) == session), None
            )
            after = place._replace(indexes=indexes)
            if (me, session) in place.leaving:
                yield after._replace(leaving=place.leaving - {(me, session)})
                continue
            # previous gives way to one that is about to be confirmed
            may = slot is None or slot == "prev" and host.next is not None
            may = may or me in place.wiped or session in place.closing
            may = may or age >= EXPIRES or slot == "next" and age >= UNCONFIRMED
            if not may:
                continue
            if slot:
                after = change(after, me, host._replace(**{slot: None}))
            yield after

    def on_drop(self, place, event):
        """A refusal of an initiation has its reason in the model."""
        me, reason = event.host, event.fields["reason"]
        if reason not in REFUSED:
            yield place
            return
        for start in self.lapsed(place, event):
            host = start.hosts[me]
            for message in self.initiations(start, me):
                older = message.time < host.pending
                stale = message.time <= host.committed or older
                repeated = message.time == host.pending
                crossed = self.model.crossed(host, me)
                fits = {
                    "stale_initiation": stale,
                    "repeated_initiation": repeated and not stale,
                    "crossed_initiation": crossed and not stale and not repeated,
                }
                if fits[reason]:
                    if reason == "crossed_initiation":
                        host = host._replace(pending=message.time)
                        since = tuple(
                            event.time if i == me else t
                            for i, t in enumerate(start.since)
                        )
                        start = change(start, me, host, since=since)
                    yield start
                    break

    def check_end(self):
        """Sessions that the trace left alive are those in the model's slots."""
        for place in self.places:
            alive = {(i[0], i[2]) for i in place.indexes}
            held = {(me, s) for me in (0, 1) for s in slots(place.hosts[me])}
            if alive == held:
                return
        raise Wrong("the sessions that are left", place)


def follow(events):
    """Raises where the events leave the model; how many places were left."""
    paths = Paths(search.fresh(psks=(search.OLD,)))
    for number, event in enumerate(events):
        try:
            paths.feed(event)
        except Wrong as wrong:
            before = "\n".join(map(str, events[max(0, number - 12) : number + 1]))
            raise AssertionError(
                "the model has no such step:\n%s\nfrom, say, %s" % (before, wrong.args[1])
            ) from wrong
    paths.check_end()
    return len(paths.places)
