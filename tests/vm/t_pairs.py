#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: icount=yes timeout=150 once=yes
"""Two keys at either end, message by message: which are answered, which are
refused, and what a configuration may say (PROTOCOL sections 4.5 and 6).

The module is on alpha, its peer in Python (veilproto) on beta.
"""

import itertools
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import veilproto
from hosts import alpha, drops_since
from ktap import case, check, check_equal, wait_until
from pypeer import boottime, fresh
from veilproto import INITIATION, RESPONSE, Identity

PSK, PSK_NEXT = os.urandom(32), os.urandom(32)


def change(peer, *attributes):
    alpha.control.change_peer(peer.me.public, *attributes)


def beyond(keys, above):
    """An identity whose public key is above all keys, or below."""
    while True:
        found = Identity()
        if all((found.public > key) == above for key in keys):
            return found


def with_next(larger="peer"):
    """Next keys at both ends of a fresh configuration: peer's, module's. Whose
    are larger, and so who stays initiator, is the same for all pairs."""
    peer = fresh(larger)
    ends = peer.me.public, peer.module_key
    theirs = beyond(ends, larger == "peer")
    ours = beyond(ends, larger == "module")
    alpha.control.set_next_private_key(ours.private)
    change(peer, (genl.P_NEXT_KEY, theirs.public))
    wait_until(lambda: peer.count(INITIATION), 10, "an initiation")
    peer.forget()
    return peer, theirs, ours


def initiate(peer, me, module_key):
    """A handshake under these keys, and data both ways."""
    peer.module_key = module_key
    peer.initiate(me=me)
    peer.me = me
    peer.talk()


@case("as responder it answers each pair of keys, until one is proven newer")
def responder():
    peer, theirs, ours = with_next()
    old, current = peer.me, peer.module_key
    for module_key in current, ours.public, current:
        initiate(peer, old, module_key)
    check(peer.module_host.peer()["next_key"], "the peer may still be known by two")
    initiate(peer, theirs, current)
    wait_until(lambda: theirs.public in alpha.control.peers(), 5, "the change")
    check_equal(alpha.peer()["next_key"], None, "no next key is left")
    initiate(peer, theirs, ours.public)
    for module_key in current, ours.public:
        peer.module_key = module_key
        peer.refused("bad_stamp", peer.initiator(me=old).initiation())
    peer.talk()


def next_initiation(peer, keys):
    """The module's next initiation, as (module's key, peer's key)."""

    def came():
        entry = peer.take(INITIATION)
        if entry is None:
            return None
        for me in keys:
            try:
                return veilproto.Responder(me, entry[3]), me
            except veilproto.ProtocolError:
                pass
        raise AssertionError("an initiation for a key that is nobody's")

    return wait_until(came, 10, "an initiation")


@case("as initiator it tries all pairs, the newest first, within seconds")
def initiator():
    peer, theirs, ours = with_next()
    old, current = peer.me, peer.module_key
    wanted = [(a, b) for a in (ours.public, current) for b in (theirs, old)]
    found = []
    # A whole round, whenever we begin to listen; what is restarted says a thing
    # twice.
    while len(found) < 9 and found[-4:] != wanted:
        responder, me = next_initiation(peer, (old, theirs))
        if found[-1:] != [(responder.remote, me)]:
            found.append((responder.remote, me))
    check_equal(found[-4:], wanted, "module's and peer's keys, in turn")
    responder, peer.me = next_initiation(peer, (old, theirs))
    check_equal(responder.remote, ours.public, "then from the start again")
    peer.respond(responder)
    peer.wait_confirmed()
    peer.send_keepalive()
    wait_until(lambda: theirs.public in alpha.control.peers(), 5, "the change")
    check(alpha.peer()["on_next"], "the session is under our next key")
    peer.module_key = ours.public
    peer.talk()


@case("without a session, what worked last is tried first")
def proven_first():
    peer, theirs, _ = with_next()
    old, current = peer.me, peer.module_key
    initiate(peer, old, current)
    peer.forget()
    alpha.control.set_cipher(1)
    responder, me = next_initiation(peer, (old, theirs))
    check_equal((responder.remote, me), (current, old), "the first attempt")


def cross(larger):
    """Both initiate at once, the module under its newest pair. With the larger key
    it stays initiator, for half a second; then it answers as well."""
    peer, theirs, ours = with_next(larger)
    change(peer, (genl.P_NEXT_KEY, theirs.public))
    first, me = next_initiation(peer, (theirs, peer.me))
    before = alpha.drops()
    mine = peer.initiator()
    peer.send(mine.initiation())
    crossed = lambda: drops_since(before, alpha.drops()).get("crossed_initiation")
    wait_until(lambda: crossed() or peer.count(RESPONSE), 5, "the module's choice")
    if peer.count(RESPONSE):
        peer.finish(mine)
        peer.send_keepalive()
    else:
        check(larger == "module", "the smaller one answers")
        peer.me, peer.module_key = me, first.remote
        peer.respond(first)
        peer.wait_confirmed()
    wait_until(alpha.is_up, 5, "a session")
    peer.talk()


@case("crossing initiations under different keys make one session in one round trip")
def crossing():
    for larger in "peer", "module":
        cross(larger)


@case("times are kept for each pair of keys")
def times():
    peer, theirs, _ = with_next()
    old, now = peer.me, veilproto.tai64n()
    ahead = veilproto.tai64n(int.from_bytes(now[:8], "big") - 2**62 - 10 + 1000)
    peer.initiate(me=old, time=ahead)
    peer.talk()
    peer.refused("stale_initiation", peer.initiator(me=old).initiation())
    peer.initiate(me=theirs)
    peer.me = theirs
    peer.talk()


@case("times outlive a key given again, and a peer made anew in one step")
def times_kept():
    peer = fresh()
    again = lambda: alpha.control.set_private_key(peer.module_identity.private)
    anew = lambda: alpha.control.apply(
        (genl.PEER_DEL, peer.me.public),
        (genl.PEER_ADD, peer.me.public, *peer.host.addresses),
    )
    for change_something in again, anew:
        initiation = peer.initiator().initiation()
        peer.send(initiation)
        peer.wait(RESPONSE)
        peer.initiate()
        peer.talk()
        change_something()
        peer.refused("stale_initiation", initiation)


@case("psks: the newest that both have is named, and nothing else is taken")
def psks():
    peer = fresh(psk=PSK)
    change(peer, (genl.P_PSK_NEXT, PSK_NEXT))
    for offered, choice in ((PSK,), 1), ((os.urandom(32), PSK), 2):
        peer.initiate(psks=offered, confirm=False)
        check_equal(last_choice(peer, offered), choice, "the psk named")
    peer.refused("psk_mismatch", peer.initiator(psks=()).initiation())
    peer.refused("psk_mismatch", peer.initiator(psks=(os.urandom(32),)).initiation())
    peer.initiate(psks=(PSK_NEXT, PSK))
    peer.talk()
    wait_until(lambda: not alpha.peer()["has_psk_next"], 5, "the change")
    peer.refused("psk_mismatch", peer.initiator(psks=(PSK,)).initiation())


@case("psks in opposite order: the larger id is named, whoever has it as the next one")
def psks_opposed():
    larger = max(PSK, PSK_NEXT, key=veilproto.psk_id)
    for psk, psk_next in (PSK, PSK_NEXT), (PSK_NEXT, PSK):
        peer = fresh(psk=psk)
        change(peer, (genl.P_PSK_NEXT, psk_next))
        offered = psk, psk_next
        choice = 1 + offered.index(larger)
        check_equal(last_choice(peer, offered), choice, "the psk named")
        peer.initiate(psks=offered)
        peer.talk()
        kept = larger == psk
        wait_until(
            lambda k=kept: alpha.peer()["has_psk_next"] == k, 5, "whether one is left"
        )


@case("a psk that the module has not is never left out, wherever the offer has it")
def psk_unknown():
    peer = fresh()
    for offered in (PSK,), (veilproto.NO_PSK, PSK):
        peer.refused("psk_mismatch", peer.initiator(psks=offered).initiation())
    peer.initiate()
    peer.talk()


def last_choice(peer, offered):
    """The psk choice of the response to an initiation with this offer."""
    initiator = peer.initiator(psks=offered)
    peer.send(initiator.initiation())
    response = peer.wait(RESPONSE)[3]
    initiator.finish(response)
    return response[2]


@case("the module offers both psks, the newer first, and takes either")
def psks_offered():
    for answer in PSK, PSK_NEXT:
        peer = fresh(psk=PSK)
        change(peer, (genl.P_PSK_NEXT, PSK_NEXT))
        peer.forget()
        change(peer, (genl.P_PSK_NEXT, PSK_NEXT))
        responder = peer.wait_initiation()
        wanted = [veilproto.psk_id(key) for key in (PSK_NEXT, PSK)]
        check_equal(responder.psk_ids, wanted, "psk ids")
        peer.respond(responder, psk=answer)
        peer.wait_confirmed()
        peer.talk()
        kept = answer == PSK
        wait_until(
            lambda k=kept: alpha.peer()["has_psk_next"] == k, 5, "whether one is left"
        )


def refused(text, call, *args):
    try:
        call(*args)
    except genl.Refused as why:
        check(text in why.strerror, "the reason", why.strerror)
        return
    raise AssertionError("taken, where %r was expected" % text)


def answered(peer, me=None, psks=(None,), ours=None):
    """The session of the module's initiation to this key of the peer's, with this
    psk, from this key of ours; nothing was opened under it. One may be overtaken by the
    next, which a change brings about: its answer comes too late."""
    me, wanted = me or peer.me, psks[0] and veilproto.psk_id(psks[0])
    sessions = []

    def taken():
        for session in filter(peer.has_heard, sessions):
            return peer.adopt(session)
        if peer.count(INITIATION):
            responder, found = next_initiation(peer, (peer.me, me))
            right = not ours or responder.remote == ours
            if found is me and right and (not wanted or wanted in responder.psk_ids):
                sessions.append(peer.respond(responder, psk=psks[0]))
        return None

    return wait_until(taken, 20, "data under the new session")


@case("a session that waits for its first packet goes with its key or psk")
def unconfirmed():
    initiate_only = lambda peer, **how: peer.initiate(confirm=False, **how)

    def keys():
        peer, theirs, _ = with_next()
        return peer, {"me": theirs}, lambda: change(peer, (genl.P_NO_NEXT_KEY, b""))

    def psks():
        peer = fresh(psk=PSK)
        change(peer, (genl.P_PSK_NEXT, PSK_NEXT))
        cut = lambda: change(peer, (genl.P_NO_PSK_NEXT, b""))
        return peer, {"psks": (PSK_NEXT,)}, cut

    for begin in initiate_only, answered:
        for configure, taken in itertools.product((keys, psks), (False, True)):
            peer, how, take = configure()
            session = begin(peer, **how)
            if taken:
                take()
                message = session.keepalive(peer.host.v4, alpha.v4)
                peer.refused("unknown_index", message, veilproto.DATA)
            else:
                peer.send_keepalive()
                wait_until(alpha.is_up, 10, "the session, the control")


@case("no session any more, for our next key is taken back: the next handshake is at once")
def begins_anew():
    peer, theirs, ours = with_next()
    answered(peer, theirs, ours=ours.public)
    peer.forget()
    start = boottime()
    alpha.control.no_next()
    check(not alpha.is_up(), "the session is gone")
    peer.say()
    next_initiation(peer, (peer.me, theirs))
    check(boottime() - start < 4, "before 5 s are over", boottime() - start)


@case("no key belongs to two, and none to nobody")
def unique():
    peer, theirs, ours = with_next()
    third, fourth = Identity(), Identity()
    alpha.control.add_peer(third.public, "10.9.0.77")
    change_third = lambda *a: alpha.control.change_peer(third.public, *a)
    for key in peer.me.public, theirs.public:
        refused("a peer has this key", change_third, (genl.P_NEXT_KEY, key))
        refused("known already", alpha.control.add_peer, key, "10.9.0.78")
    for key in ours.public, alpha.control.get()["public_key"]:
        refused("host's own", change_third, (genl.P_NEXT_KEY, key))
        refused("host's own", alpha.control.add_peer, key, "10.9.0.78")
    refused("present one", change_third, (genl.P_NEXT_KEY, third.public))
    refused("no valid public key", change_third, (genl.P_NEXT_KEY, bytes(31) + b"\x80"))
    refused("zeros", change_third, (genl.P_NEXT_KEY, bytes(32)))
    refused("zeros", change_third, (genl.P_PSK_NEXT, bytes(32)))
    both = (genl.P_NEXT_KEY, fourth.public), (genl.P_NO_NEXT_KEY, b"")
    refused("not both", change_third, *both)
    for private in third.private, theirs.private:
        refused("a peer has this key", alpha.control.set_private_key, private)
        refused("a peer has this key", alpha.control.set_next_private_key, private)
    refused("must differ", alpha.control.set_private_key, ours.private)
    refused("zeros", alpha.control.set_next_private_key, bytes(32))
    change_third((genl.P_NEXT_KEY, fourth.public))
    alpha.control.change_peer(fourth.public, (genl.P_NO_NEXT_KEY, b""))
    check_equal(alpha.control.peers()[third.public]["next_key"], None, "next key")
    alpha.control.add_peer(fourth.public, "10.9.0.78")
    alpha.control.delete_peer(theirs.public)
    alpha.control.add_peer(peer.me.public, "10.9.0.79")
    # In one step, of which no half is taken.
    key = genl.P_NEXT_KEY, Identity().public
    one, other = (genl.PEER_SET, third.public, key), (genl.PEER_SET, fourth.public, key)
    new = genl.PEER_ADD, Identity().public, "10.9.0.80"
    for step in (one, other), (one, (*new, key)), (one, (genl.PEER_ADD, key[1], new[2])):
        refused("given to two peers", alpha.control.apply, *step)
        check_equal(alpha.control.peers()[third.public]["next_key"], None, "next key")


ktap.run(hosts.set_up)
