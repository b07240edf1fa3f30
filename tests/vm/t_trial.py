#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=80 once=yes
"""A change on trial undoes itself, exactly, unless it is confirmed (README, "Do not
lock yourself out"); tracepoints tell what happens.
"""

import base64
import errno
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import pypeer
from hosts import VEIL, alpha
from ktap import case, check, check_equal, skip, wait_until

KEY, OTHER = (os.urandom(31) + b"\x01" for _ in range(2))
TRACING = "/sys/kernel/tracing"
state = {}


def set_up():
    hosts.set_up()
    with alpha.inside():
        state["events"] = genl.Events(alpha.control)


def control():
    return alpha.control


def configuration():
    peers = {
        key: (peer["addresses"], peer["policy"], peer["confirmed"])
        for key, peer in control().peers().items()
    }
    policies = {prefix: p["policy"] for prefix, p in control().policies().items()}
    return peers, policies


def veil(*words):
    done = subprocess.run(
        [VEIL, "-n", "alpha", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def undone(*words):
    """The change is made, and three seconds later all is as before."""
    before = configuration()
    state["events"].forget()
    check_equal(veil(*words, "confirm", "3"), (0, ""), " ".join(words))
    check(configuration() != before, "it was changed")
    wait_until(lambda: configuration() == before, 10, "all is as before")
    wait_until(lambda: state["events"].named("confirm-expired"), 10, "the event")


@case("policies and peers added, changed and removed are undone, exactly")
def all_kinds():
    control().flush()
    control().add_policy("10.30.0.0/16", "prefer")
    control().add_peer(KEY, "10.7.0.9", policy="prefer")
    undone("policy", "add", "10.31.0.0/16", "require")
    undone("policy", "set", "10.30.0.0/16", "require")
    undone("policy", "del", "10.30.0.0/16")
    undone("peer", "set", hosts_key(KEY), "policy", "require")
    undone("peer", "add", hosts_key(OTHER), "address", "10.7.0.8")


def hosts_key(key):
    return base64.b64encode(key).decode()


@case("a session and what it brought outlive a trial of require and its undo")
def keeps_session():
    peer = pypeer.connected()
    control().set_peer_policy(peer.me.public, "prefer")
    peer.initiate()
    wait_until(lambda: alpha.peer()["confirmed"], 10, "a confirmed session")
    undone("peer", "set", hosts_key(peer.me.public), "policy", "require")
    check(alpha.is_up(), "the session is there still")
    pypeer.close_all()


@case("a peer that takes its next key meanwhile is put back under that key")
def rekeyed():
    peer = pypeer.connected()
    # Its initiations are answered, whatever the module has under way.
    theirs = pypeer.larger_than(peer.module_key)
    control().change_peer(peer.me.public, (genl.P_NEXT_KEY, theirs.public))
    policy = lambda: genl.POLICIES[control().peers()[theirs.public]["policy"]]
    words = "peer", "set", hosts_key(peer.me.public), "policy", "prefer", "confirm", "6"
    check_equal(veil(*words), (0, ""), "a change on trial")
    peer.initiate(me=theirs)
    wait_until(lambda: theirs.public in control().peers(), 5, "the peer's next key")
    check_equal(policy(), "prefer", "on trial still")
    wait_until(lambda: policy() == "require", 20, "it is undone")
    pypeer.close_all()


@case("confirmed, it stays; and there is nothing to confirm twice")
def confirmed():
    control().flush()
    veil("policy", "add", "10.31.0.0/16", "require", "confirm", "5")
    code, said = veil("show")
    check("on trial" in said and "veil confirm" in said, "show says so", said)
    check_equal(veil("confirm"), (0, ""), "confirm")
    after = configuration()
    time.sleep(5.5)
    check_equal(configuration(), after, "configuration")
    code, said = veil("confirm")
    check(code and "nothing is on trial" in said, "refused", code, said)


@case("other changes in between are refused, and flush ends the trial")
def between():
    control().flush()
    control().add_peer(OTHER, "10.7.0.8")
    veil("policy", "add", "10.31.0.0/16", "require", "confirm", "60")
    before = configuration()
    for change in (
        lambda: control().add_policy("10.32.0.0/16", "require"),
        lambda: control().set_policy("10.31.0.0/16", "bypass"),
        lambda: control().delete_policy("10.31.0.0/16"),
        lambda: control().add_peer(KEY, "10.7.0.9"),
        lambda: control().set_peer_policy(OTHER, "bypass"),
        lambda: control().delete_peer(OTHER),
    ):
        try:
            change()
        except genl.Refused as refusal:
            check_equal(refusal.errno, errno.EBUSY, "errno")
            check("veil confirm" in refusal.strerror, "reason", refusal.strerror)
        else:
            raise AssertionError("a change was made while another is on trial")
    check_equal(configuration(), before, "configuration")
    control().flush()
    check("60" not in veil("show")[1], "no trial any more")
    control().add_peer(KEY, "10.7.0.9")


@case("the shell that began it may die")
def shell_dies():
    control().flush()
    words = VEIL, "-n", "alpha", "policy", "add", "10.31.0.0/16", "require"
    shell = alpha.start("sh", "-c", " ".join(words) + " confirm 1; sleep 100")
    wait_until(lambda: control().policies(), 10, "the policy")
    shell.send_signal(signal.SIGKILL)
    shell.wait()
    wait_until(lambda: not control().policies(), 10, "its undo")


@case("what cannot be undone exactly is not tried: a peer's addresses and keys")
def not_tried():
    control().flush()
    control().add_peer(KEY, "10.7.0.9")
    words = "peer", "set", hosts_key(KEY), "address", "10.7.0.10", "confirm", "9"
    code, said = veil(*words)
    check(code and "only its policy" in said, "refused", code, said)
    check_equal(alpha.peer()["addresses"], ["10.7.0.9"], "addresses")
    words = "peer", "set", hosts_key(KEY), "keepalive", "25", "confirm", "9"
    code, said = veil(*words)
    check(code and "only its policy" in said, "refused", code, said)
    check_equal(alpha.peer()["keepalive"], 0, "keepalive")


def trace(switch):
    with open(TRACING + "/events/netveil/enable", "w", encoding="ascii") as file:
        file.write(switch)


@case("tracepoints: a session made, confirmed and ended, steps, a drop with its reason")
def tracepoints():
    if not os.path.exists(TRACING + "/events"):
        subprocess.run(["mount", "-t", "tracefs", "none", TRACING], check=False)
    if not os.path.exists(TRACING + "/events/netveil"):
        skip("this kernel has no tracefs")
    trace("1")
    peer = pypeer.connected()
    name = peer.me.public[:8].hex()
    peer.send(b"\x04" + bytes(40))
    control().flush()
    with open(TRACING + "/trace", encoding="ascii") as file:
        text = file.read()
    trace("0")
    for part in (
        "veil_session_made: ",
        "veil_session_confirmed: ",
        "veil_session_ended: ",
        "step=initiation-sent",
        "step=initiation-received",
        "step=response-sent",
        "veil_drop: ",
        "reason=unknown_index",
        "endpoint=::ffff:10.9.0.2",
    ):
        lines = [line for line in text.splitlines() if part in line]
        check(any("peer=" + name in line for line in lines), part, text[-1500:])


if __name__ == "__main__":
    ktap.run(set_up)
