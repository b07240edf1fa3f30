#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=150 once=yes
"""Under attack (DESIGN 1 T2 and T6, PROTOCOL sections 5 and 6): floods, replays and
a hostile path, while two modules have a transfer under way. The short version;
t_attack_long has more of everything.
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import attack
import hosts
import ktap
import pypeer
import veilproto
import wire
from hosts import alpha, beta, drops_since, receive_all
from ktap import case, check, check_equal, note, skip, wait_until
from veilproto import PORT, Identity

COUNT, SIZE = 8000, 2 << 20
if os.environ.get("NETVEIL_ATTACK") == "long":
    COUNT, SIZE = 120000, 64 << 20
state = {}


def set_up():
    state["gamma"] = attack.set_up()


def flood_case(name):
    @case("%d: %s" % (COUNT, name))
    def run():
        attack.under_flood(state, state["gamma"], name, COUNT, SIZE)


for kind in attack.KINDS:
    flood_case(kind)


@case("everything recorded, sent again: nothing is delivered twice")
def replay():
    attack.session_under_attack(state, 0)
    tap = wire.Tap(hosts.wire)
    sink = alpha.udp(alpha.v4, 7000)
    with beta.udp(beta.v4) as source:
        for number in range(50):
            source.sendto(b"datagram %d" % number, (alpha.v4, 7000))
    wait_until(lambda: b"datagram 49" in receive_all(sink), 10, "datagrams")
    attack.Transfer(min(SIZE, 8 << 20)).finish()
    frames = [f for f in tap.frames() if wire.netveil_message(f) and is_to_alpha(f)]
    tap.close()
    for each in range(0, len(frames), attack.FRAMES_MAX):
        some = frames[each : each + attack.FRAMES_MAX]
        attack.Flood(some, len(some), reasons=attack.REPLAYED).finish()
    check_equal(receive_all(sink), [], "datagrams delivered again")
    hosts.ping_once(beta, alpha.v4)


def is_to_alpha(frame):
    return frame[:6] == alpha.mac()


@case("an old session's packets: refused after its keys are gone")
def old_session():
    peer = pypeer.connected()
    old = peer.session
    kept = [peer.seal_udp(7000, 7000, b"old", session=old) for _ in range(100)]
    sink = alpha.udp(alpha.v4, 7000)
    # Three handshakes later it is neither current nor previous.
    for _ in range(3):
        peer.initiate()
        wait_until(alpha.is_up, 10, "a session")
    before = alpha.drops()
    for message in kept:
        peer.send(message)
    wait_until(
        lambda: drops_since(before, alpha.drops()).get("unknown_index", 0) >= 100,
        10,
        "drops",
    )
    check_equal(receive_all(sink), [], "delivered")
    peer.talk()


@case("a path that loses, repeats, delays, reorders and alters packets")
def hostile_path():
    attack.session_under_attack(state, 0)
    words = "delay 2ms 1ms 25% loss 1% duplicate 2% corrupt 1% reorder 5%".split()
    for port in "wa", "wb":
        with hosts.wire.inside():
            done = subprocess.run(
                ("tc", "qdisc", "add", "dev", port, "root", "netem", *words),
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        if done.returncode:
            skip("no netem here: " + done.stderr.strip())
    before = alpha.drops()
    try:
        attack.Transfer(SIZE).finish(300)
    finally:
        for port in "wa", "wb":
            hosts.wire.run("tc", "qdisc", "del", "dev", port, "root")
    moved = drops_since(before, alpha.drops())
    note(moved)
    check(moved.get("replayed"), "repeated packets were seen", moved)
    check(moved.get("not_authentic"), "altered packets were seen", moved)


@case("cookie replies that are forged: no cookie, no end of the handshake")
def cookie_replies():
    peer = pypeer.fresh()
    first = peer.wait(veilproto.INITIATION)[3]
    forger = Identity()
    reply = veilproto.cookie_reply(forger.public, first, os.urandom(16))
    flood = attack.Flood(
        [attack.frame(beta.v4, reply)],
        COUNT // 4,
        vary=("50:16",),
        reasons=("handshake_failed", "handshake_queue_full", "unexpected_response"),
    )
    flood.finish()
    responder = peer.wait_initiation()
    peer.respond(responder)
    peer.send_keepalive()
    wait_until(alpha.is_up, 10, "a session")
    check_equal(responder.header[0], veilproto.INITIATION, "type")


ktap.run(set_up)
