#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: icount=yes timeout=1200 once=yes
"""Keys and psks are changed host by host while traffic flows: nothing is lost,
nothing is in clear, and what was before is refused (PROTOCOL sections 6 and 9).
Two modules with steady streams between them.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import wire
from hosts import alpha, beta
from ktap import case, check, check_equal
from streams import Streams
from veilproto import Identity

# What a host counts when the other end tries a key or psk that it has not yet.
TRIALS = {"bad_stamp", "psk_mismatch"}
# And when both try at once.
CROSSING = {"crossed_initiation", "unexpected_response"}


class Pair:
    """Both hosts configured, with a session; and streams between them."""

    def __init__(self, psk=None, prepare=lambda pair: None):
        self.a, self.b = Identity(), Identity()
        hosts.make_peers(self.a, self.b, psk)
        prepare(self)
        hosts.ping_once(alpha, beta.v4)
        self.before = [host.drops() for host in (alpha, beta)]
        self.streams = Streams(interval=0.5)
        self.streams.run(2)

    def until(self, condition, what, seconds=10):
        self.streams.run_until(condition, seconds, what)

    def judge(self):
        """Nothing was lost, and nothing was counted but trials."""
        judge = self.streams.judge()
        for host, before in zip((alpha, beta), self.before):
            moved = set(hosts.drops_since(before, host.drops()))
            check(moved <= TRIALS | CROSSING, "drops on " + host.name, moved)
        return judge


def knows(host, public):
    return public in host.control.peers()


def only(host, public):
    """The host's peer has this key and no other."""
    peers = host.control.peers()
    return set(peers) == {public} and peers[public]["next_key"] is None


def change(host, *attributes):
    key = next(iter(host.control.peers()))
    host.control.change_peer(key, *attributes)


@case("the owner gets its next key first, then its peer: the peer changes at once")
def owner_first():
    pair = Pair()
    new = alpha.control.generate_next()
    pair.streams.run(3)
    check(only(beta, pair.a.public), "the peer knows the current key only")
    change(beta, (genl.P_NEXT_KEY, new))
    pair.until(lambda: only(beta, new), "the peer has changed")
    pair.until(lambda: alpha.peer()["on_next"], "the owner knows that it did")
    alpha.control.retire()
    check_equal(alpha.control.get()["public_key"], new, "the owner's key")
    check_equal(alpha.control.get()["next_key"], None, "its next key")
    pair.streams.run(130)
    judge = pair.judge()
    check(len({i for _, i, _, _ in judge.seen}) >= 6, "a rekey under the new key")


@case("the peer is told first, then the owner: it changes at once")
def peer_first():
    pair = Pair()
    new = Identity()
    change(beta, (genl.P_NEXT_KEY, new.public))
    pair.streams.run(3)
    check(not only(beta, new.public), "the peer has not changed yet")
    alpha.control.set_next_private_key(new.private)
    pair.until(lambda: only(beta, new.public), "the peer has changed")
    pair.until(lambda: alpha.peer()["on_next"], "the owner knows that it did")
    alpha.control.retire()
    pair.streams.run(3)
    pair.judge()


@case("both ends get next keys, and tell each other in opposite order")
def both_at_once():
    pair = Pair()
    new_a, new_b = Identity(), Identity()
    alpha.control.set_next_private_key(new_a.private)
    change(beta, (genl.P_NEXT_KEY, new_a.public))
    change(alpha, (genl.P_NEXT_KEY, new_b.public))
    beta.control.set_next_private_key(new_b.private)
    pair.until(lambda: only(alpha, new_b.public), "alpha knows beta's next key")
    pair.until(lambda: only(beta, new_a.public), "beta knows alpha's next key")
    for host in alpha, beta:
        pair.until(lambda h=host: h.peer()["on_next"], "%s may retire" % host.name)
        host.control.retire()
    pair.streams.run(5)
    pair.judge()


@case("handshakes under the next key are lost for long: the next rekey brings it")
def lost_for_long():
    pair = Pair()
    new = alpha.control.generate_next()
    pair.streams.run(7)
    lost = []

    def lose(_, frame):
        if wire.netveil_message(frame)[:1] == b"\x01":
            lost.append(frame)
            return []
        return [frame]

    with wire.Relay(hosts.wire) as relay:
        relay.rule = lose
        change(beta, (genl.P_NEXT_KEY, new))
        pair.streams.run(40)
        relay.rule = lambda _, frame: [frame]
        check(len(lost) > 4, "initiations lost", len(lost))
        check(beta.is_up() and not only(beta, new), "a session under the old key")
        pair.until(lambda: only(beta, new), "the peer has changed", 150)
    pair.judge()


@case("retiring a key that a peer still needs is refused; a date does it by itself")
def retire():
    pair = Pair()
    try:
        alpha.control.retire()
        check(False, "retired without a next key")
    except genl.Refused as refused:
        check("no next key" in refused.strerror, "the reason", refused.strerror)
    new = alpha.control.generate_next()
    pair.streams.run(1)
    try:
        alpha.control.retire()
        check(False, "retired a key that is needed")
    except genl.Refused as refused:
        check("retire force" in refused.strerror, "the way out", refused.strerror)
    change(beta, (genl.P_NEXT_KEY, new))
    alpha.control.retire(100)
    check(80 < alpha.control.get()["retire"] <= 100, "the date is told")
    pair.until(lambda: only(beta, new), "the peer has changed")
    pair.until(lambda: alpha.peer()["on_next"], "the owner knows that it did")
    for give_up in alpha.control.no_next, alpha.control.generate_next:
        try:
            give_up()
            check(False, "given up a key that a peer knows alone")
        except genl.Refused as refused:
            check("key retire" in refused.strerror, "the way out", refused.strerror)
    pair.streams.run(80)
    check_equal(alpha.control.get()["next_key"], new, "both keys, before the date")
    pair.until(lambda: not alpha.control.get()["next_key"], "the date", 30)
    check_equal(alpha.control.get()["public_key"], new, "the only key")
    pair.judge()
    fresh = Pair()
    new = alpha.control.generate_next()
    alpha.control.retire(force=True)
    check_equal(alpha.control.get()["public_key"], new, "retired by force")
    check(only(beta, fresh.a.public), "the peer does not know it")
    fresh.streams.judge()


@case("the same next key given again is no change: date, peers and sessions stay")
def given_again():
    pair = Pair()
    new = Identity()
    alpha.control.set_next_private_key(new.private)
    change(beta, (genl.P_NEXT_KEY, new.public))
    pair.until(lambda: alpha.peer()["on_next"], "the owner knows that it did")
    alpha.control.retire(60)
    sent = alpha.peer()["session_age"]
    alpha.control.set_next_private_key(new.private)
    check(0 < alpha.control.get()["retire"] <= 60, "the date stays")
    check(alpha.peer()["on_next"], "who uses it is known")
    pair.streams.run(8)
    check(alpha.peer()["session_age"] > sent + 5000, "the session stays")
    # As when a file that has both is loaded again, and after the date.
    both = lambda: alpha.control.set_private_keys(pair.a.private, new.private)
    both()
    check_equal(alpha.control.get()["public_key"], pair.a.public, "both keys")
    pair.until(lambda: not alpha.control.get()["next_key"], "the date", 70)
    both()
    check_equal(alpha.control.get()["public_key"], new.public, "the new key alone")
    check_equal(alpha.control.get()["next_key"], None, "its next key")
    pair.streams.run(3)
    pair.judge()


@case("next keys are given up again: what there was stays")
def given_up():
    pair = Pair()
    new = Identity()
    change(beta, (genl.P_NEXT_KEY, new.public))
    change(beta, (genl.P_NO_NEXT_KEY, b""))
    alpha.control.set_next_private_key(new.private)
    pair.streams.run(8)
    check(only(beta, pair.a.public), "the peer knows the current key only")
    alpha.control.no_next()
    check_equal(alpha.control.get()["next_key"], None, "next key")
    pair.streams.run(5)
    check(alpha.is_up() and beta.is_up(), "sessions go on")
    pair.judge()


PSKS = [os.urandom(32) for _ in range(3)]


def settled(host):
    return host.peer()["has_psk"] and not host.peer()["has_psk_next"]


@case("a next psk at one end after the other, across rekeys")
def psk():
    pair = Pair(PSKS[0])
    change(alpha, (genl.P_PSK_NEXT, PSKS[1]))
    pair.streams.run(130)
    check(alpha.peer()["has_psk_next"], "the old psk serves until both have the new")
    change(beta, (genl.P_PSK_NEXT, PSKS[1]))
    for host in alpha, beta:
        pair.until(lambda h=host: settled(h), "%s has wiped the old" % host.name)
    change(beta, (genl.P_PSK_NEXT, PSKS[2]))
    change(alpha, (genl.P_PSK_NEXT, PSKS[2]))
    for host in alpha, beta:
        pair.until(lambda h=host: settled(h), "%s has wiped the old" % host.name)
    pair.judge()


@case("psks in unequal order at both ends: they agree on one, across rekeys")
def psk_order():

    def prepare(pair):
        alpha.control.set_psk(pair.b.public, PSKS[1])
        change(alpha, (genl.P_PSK_NEXT, PSKS[0]))
        change(beta, (genl.P_PSK_NEXT, PSKS[1]))

    pair = Pair(PSKS[0], prepare)
    pair.until(lambda: settled(alpha) or settled(beta), "one end has one psk", 20)
    pair.streams.run(130)
    check(alpha.is_up() and beta.is_up(), "sessions go on")
    pair.judge()


@case("a first psk is rolled out without an outage")
def first_psk():
    pair = Pair()
    change(beta, (genl.P_PSK_NEXT, PSKS[0]))
    pair.streams.run(5)
    check(not beta.peer()["has_psk"], "none is used before both have it")
    change(alpha, (genl.P_PSK_NEXT, PSKS[0]))
    for host in alpha, beta:
        pair.until(lambda h=host: settled(h), "%s has the psk" % host.name)
    pair.streams.run(5)
    pair.judge()
    alpha.control.change_peer(pair.b.public, (genl.P_NO_PSK, b""))
    before = beta.drops()
    ktap.wait_until(
        lambda: hosts.drops_since(before, beta.drops()).get("psk_mismatch"),
        20,
        "a psk is not left out any more",
    )


ktap.run(hosts.set_up)
