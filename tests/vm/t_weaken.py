#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
"""No path by which protection ends silently (DESIGN T5): every change after which
an address under "require" no longer is gets a line in the kernel's log, an audit
record and an event, with the prefix and the reason; and nothing else does.
"""

import os
import re
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
import pypeer
from hosts import alpha, beta
from ktap import case, check, check_between, check_equal, skip, wait_until

KEY, OTHER = (os.urandom(31) + b"\x01" for _ in range(2))
NETLINK_AUDIT, AUDIT_SET, AUDIT_GROUP_READLOG = 9, 1001, 1
AUDIT_KERNEL_OTHER = 1316
LINE = r"netveil: (\S+) is no longer protected in network namespace \d+: (\S+)"
state = {}


def set_up():
    hosts.set_up()
    with alpha.inside():
        state["events"] = genl.Events(alpha.control)
    state["log"] = open("/dev/kmsg", "rb", buffering=0)
    os.set_blocking(state["log"].fileno(), False)


def kernel_log():
    """What was logged since it was read."""
    text = b""
    while True:
        try:
            data = state["log"].read(8192)
        except BlockingIOError:
            return text.decode()
        except BrokenPipeError:
            continue
        if data is None:
            return text.decode()
        text += data


def log_lines():
    return re.findall(LINE, kernel_log())


def control():
    return alpha.control


def weakened(change, *wanted):
    """change() makes these weaker, as (prefix, reason), and says so twice."""
    log_lines()
    state["events"].forget()
    change()
    events = state["events"].named("weakened")
    got = sorted((event["prefix"], event["reason"]) for event in events)
    check_equal(got, sorted(wanted), "events")
    check_equal(sorted(log_lines()), sorted(wanted), "the kernel's log")
    return events


def fresh(*policies):
    control().flush()
    for prefix, policy in policies:
        control().add_policy(prefix, policy)


@case("a policy of require removed, changed to prefer or to bypass")
def changed():
    for weaker in "prefer", "bypass":
        fresh(("10.20.0.0/16", "require"))
        weakened(
            lambda: control().set_policy("10.20.0.0/16", weaker),
            ("10.20.0.0/16", "policy-changed"),
        )
    fresh(("fd20::/32", "require"))
    weakened(
        lambda: control().delete_policy("fd20::/32"), ("fd20::/32", "policy-removed")
    )


@case("a longer prefix of prefer or bypass within one of require")
def longer():
    for weaker in "prefer", "bypass":
        fresh(("10.20.0.0/16", "require"))
        weakened(
            lambda: control().add_policy("10.20.3.0/24", weaker),
            ("10.20.3.0/24", "policy-added"),
        )


@case("everything behind a peer, and a half of it in clear; and not behind it any more")
def everything():
    for most, half in ("0.0.0.0/0", "0.0.0.0/1"), ("::/0", "::/1"):
        fresh()
        control().add_peer(KEY, "10.7.0.2", prefixes=(most,))
        weakened(
            lambda: control().add_policy(half, "bypass"), (half, "policy-added")
        )
        weakened(lambda: control().delete_policy(half))
        weakened(lambda: control().set_prefixes(KEY), (most, "peer-changed"))


@case("a new peer of bypass with an address within a prefix of require, and one outside")
def new_peer():
    fresh(("10.20.0.0/16", "require"))
    bypass = genl.POLICIES.index("bypass")
    ends, policy = ("10.20.0.5", "10.30.0.5"), (genl.P_POLICY, bytes([bypass]))
    for reason, change in (
        ("peer-added", lambda: control().add_peer(KEY, *ends, policy="bypass")),
        ("applied", lambda: control().apply((genl.PEER_ADD, KEY, *ends, policy))),
    ):
        weakened(change, (ends[0], reason))
        check_equal(control().peers()[KEY]["policy"], bypass, "its policy")
        control().delete_peer(KEY)


@case("what does not weaken is not said to: require under require, others' ends")
def not_weaker():
    fresh(("10.20.0.0/16", "require"), ("10.21.0.0/16", "bypass"))
    weakened(lambda: control().add_policy("10.20.3.0/24", "require"))
    weakened(lambda: control().delete_policy("10.20.3.0/24"))
    weakened(lambda: control().set_policy("10.20.0.0/16", "require"))
    weakened(lambda: control().add_policy("10.21.3.0/24", "prefer"))
    weakened(lambda: control().set_policy("10.21.3.0/24", "require"))
    weakened(lambda: control().set_policy("10.21.0.0/16", "prefer"))
    weakened(lambda: control().delete_policy("10.21.0.0/16"))
    weakened(lambda: control().add_peer(KEY, "10.20.0.5"))
    # It falls under the prefix again, which requires as well.
    weakened(lambda: control().delete_peer(KEY))


@case("a prefix that longer ones share out among them weakens nobody")
def covered():
    fresh(
        ("10.20.0.0/16", "require"),
        ("10.20.0.0/17", "bypass"),
        ("10.20.128.0/18", "bypass"),
    )
    weakened(
        lambda: control().add_policy("10.20.192.0/18", "bypass"),
        ("10.20.192.0/18", "policy-added"),
    )
    weakened(lambda: control().delete_policy("10.20.0.0/16"))


@case("a peer removed, an address taken away; with its public key")
def peers():
    fresh()
    control().add_peer(KEY, "10.7.0.2", "10.7.0.3", "fd07::2")
    events = weakened(
        lambda: control().add_peer(KEY, "10.7.0.2", "fd07::2", command=genl.PEER_SET),
        ("10.7.0.3", "peer-changed"),
    )
    check_equal(events[0]["public_key"], KEY, "whose it was")
    weakened(
        lambda: control().delete_peer(KEY),
        ("10.7.0.2", "peer-removed"),
        ("fd07::2", "peer-removed"),
    )


@case("prefixes behind a peer taken away, given a policy, or made a network of ours")
def prefixes():
    fresh()
    both = "10.40.0.0/16", "fd40::/32"
    control().add_peer(KEY, "10.7.0.2", prefixes=both)
    events = weakened(
        lambda: control().set_prefixes(KEY, both[1]), (both[0], "peer-changed")
    )
    check_equal(events[0]["public_key"], KEY, "behind whom it was")
    weakened(lambda: control().set_prefixes(KEY, *both))
    events = weakened(
        lambda: control().set_locals("10.40.3.0/24", "10.41.0.0/24"),
        ("10.40.3.0/24", "local-changed"),
    )
    check_equal(events[0]["public_key"], KEY, "behind whom it was")
    weakened(
        lambda: control().set_locals("10.40.3.0/24"),
        ("10.41.0.0/24", "local-changed"),
    )
    weakened(lambda: control().set_locals())
    weakened(
        lambda: control().add_policy("10.40.5.0/24", "bypass"),
        ("10.40.5.0/24", "policy-added"),
    )
    weakened(lambda: control().delete_policy("10.40.5.0/24"))
    weakened(
        lambda: control().delete_peer(KEY),
        ("10.7.0.2", "peer-removed"),
        *((prefix, "peer-removed") for prefix in both),
    )


@case("a network of ours that is not any more: its traffic with peers' own addresses")
def locals_removed():
    fresh()
    control().set_locals("10.41.0.0/16", "10.42.0.0/16")
    weakened(lambda: control().set_locals("10.42.0.0/16"))  # nobody to talk to
    control().add_peer(KEY, "10.7.0.2", policy="prefer")
    weakened(lambda: control().set_locals("10.41.0.0/16"))
    control().set_peer_policy(KEY, "require")
    weakened(lambda: control().set_locals("10.41.0.0/16", "fd41::/32"))
    weakened(lambda: control().set_locals("10.40.0.0/15", "fd41::/32"))
    parts = "10.40.0.0/16", "10.41.0.0/17", "10.41.128.0/17"
    weakened(lambda: control().set_locals(*parts, "fd41::/32"))  # the same in parts
    weakened(
        lambda: control().set_locals(*parts[:2], "fd41::/32"),
        ("10.41.128.0/17", "local-changed"),
    )
    weakened(lambda: control().set_locals("10.40.0.0/15", "fd41::/32"))
    weakened(
        lambda: control().set_locals("10.40.0.0/16"),
        ("10.40.0.0/15", "local-changed"),
        ("fd41::/32", "local-changed"),
    )
    control().set_prefixes(KEY, "10.32.0.0/12")
    # It is behind the peer now, and protected as such.
    weakened(lambda: control().set_locals())
    control().flush()
    control().add_policy("10.7.0.0/16", "require")
    control().set_locals("10.41.0.0/16")
    weakened(lambda: control().set_locals(), ("10.41.0.0/16", "local-changed"))
    # A policy without a peer protects what this host itself says, no network.
    control().flush()
    control().add_policy("10.32.0.0/12", "require")
    control().add_peer(KEY, "10.7.0.2")
    control().set_locals("10.41.0.0/16")
    weakened(lambda: control().set_locals(), ("10.41.0.0/16", "local-changed"))
    # Nor does it lose what it had not, as ours within what is.
    fresh()
    control().add_peer(KEY, "10.7.0.2", prefixes=("10.40.0.0/13",))
    weakened(lambda: control().set_locals("10.41.0.0/16"), ("10.41.0.0/16", "local-changed"))
    weakened(lambda: control().set_locals("10.40.0.0/14"), ("10.40.0.0/14", "local-changed"))
    # It had the policy's protection, and gets none of the peer's with the same step.
    wide = "10.32.0.0/11"
    fresh((wide, "require"))
    control().set_locals("10.41.0.0/16")
    control().add_peer(KEY, "10.7.0.2", policy="bypass", prefixes=("10.40.0.0/13",))
    weakened(
        lambda: control().apply((genl.POLICY_SET, wide, "bypass"), local=[]),
        (wide, "applied"),
        ("10.41.0.0/16", "applied"),
    )


@case("what is ours within a peer's network in clear, where a policy holds for it alone")
def ours_within():
    ours, inner = "10.41.0.0/16", "10.40.0.0/14"
    fresh(("10.32.0.0/11", "require"))
    control().set_locals(ours, "10.45.0.0/16")
    control().add_peer(KEY, "10.7.0.2", policy="bypass", prefixes=("10.40.0.0/13",))
    weakened(lambda: control().add_policy(inner, "bypass"), (ours, "policy-added"))
    weakened(lambda: control().set_policy(inner, "require"))
    weakened(
        lambda: control().set_policy(inner, "bypass"),
        (inner, "policy-changed"),
        (ours, "policy-changed"),
    )
    weakened(lambda: control().delete_policy(inner))
    weakened(
        lambda: control().apply((genl.POLICY_ADD, inner, "bypass")), (ours, "applied")
    )
    # The same where all else in it is behind a peer, whose networks are longer.
    control().delete_policy(inner)
    control().set_prefixes(KEY, "10.40.0.0/15", "10.42.0.0/15")
    weakened(lambda: control().add_policy(inner, "bypass"), (ours, "policy-added"))
    # What has a policy of its own keeps it.
    control().delete_policy(inner)
    control().add_policy(ours, "require")
    weakened(lambda: control().add_policy(inner, "bypass"))
    control().set_locals()


@case("a peer's policy from require to prefer and bypass; a peer that only prefers")
def peer_policy():
    fresh()
    control().add_peer(KEY, "10.7.0.2")
    weakened(
        lambda: control().set_peer_policy(KEY, "prefer"), ("10.7.0.2", "peer-changed")
    )
    weakened(lambda: control().set_peer_policy(KEY, "require"))
    weakened(
        lambda: control().set_peer_policy(KEY, "bypass"), ("10.7.0.2", "peer-changed")
    )
    weakened(lambda: control().delete_peer(KEY))
    fresh(("10.7.0.0/16", "require"))
    weakened(
        lambda: control().add_peer(KEY, "10.7.0.2", policy="prefer"),
        ("10.7.0.2", "peer-added"),
    )


@case("flush, once for each prefix; and only for those that were required")
def flush():
    fresh(("10.20.0.0/16", "require"), ("10.21.0.0/16", "prefer"))
    control().add_peer(KEY, "10.7.0.2")
    control().add_peer(OTHER, "10.7.0.3", policy="prefer")
    weakened(
        lambda: control().flush(), ("10.20.0.0/16", "flush"), ("10.7.0.2", "flush")
    )
    weakened(lambda: control().flush())


def preferred():
    """A session with the Python peer, which is preferred."""
    pypeer.close_all()
    ours, theirs = pypeer.identities()
    peer = pypeer.PythonPeer(beta, theirs, alpha, ours.public)
    pypeer.open_peers.append(peer)
    control().set_private_key(ours.private)
    control().add_peer(theirs.public, beta.v4, policy="prefer")
    peer.initiate()
    wait_until(lambda: alpha.peer()["confirmed"], 10, "a confirmed session")
    return peer


@case("a preferred peer's goodbye, once there was a session")
def closed():
    peer = preferred()
    log_lines()
    state["events"].forget()
    peer.send(peer.session.keepalive(beta.v4, alpha.v4, flags=4))
    events = wait_until(lambda: state["events"].named("weakened"), 10, "weakened")
    check_equal(
        [(e["prefix"], e["reason"]) for e in events], [(beta.v4, "closed")], "events"
    )
    check_equal(log_lines(), [(beta.v4, "closed")], "the kernel's log")


@case("a preferred peer that says goodbye all the time: events, but few lines")
def goodbyes():
    peer = preferred()
    kernel_log()
    state["events"].forget()
    text, said, told, start = "", 0, 0, time.monotonic()
    # Ten seconds after the first goodbye the log tells how many it left out.
    while "suppressed" not in text:
        check(time.monotonic() < start + 60, "it is said how many were left out", said)
        peer.send(peer.session.keepalive(beta.v4, alpha.v4, flags=4))
        wait_until(lambda: not alpha.peer()["confirmed"], 10, "that it is heard")
        said += 1
        text += kernel_log()
        told += len(state["events"].named("weakened"))
        state["events"].forget()
        # No more than 50 initiations a second are let in.
        time.sleep(0.03)
        peer.initiate()
        wait_until(lambda: alpha.peer()["confirmed"], 10, "a new session")
    check(said > 12, "more were said than lines are left", said)
    check_equal(told, said, "events")
    seconds = time.monotonic() - start
    lines = len(re.findall(LINE, text))
    check_between(lines, 3, 3 * (1 + seconds // 10), "lines")
    check(re.search(r"veil_weaken_end: \d+ callbacks suppressed", text), "how many")


def change_in_user_namespace():
    """Changes that are logged, each with a line."""
    try:
        os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
    except OSError:
        return 100
    inner = genl.Control()
    inner.set_private_key(KEY)
    for _ in range(40):
        inner.generate_next()
        inner.retire(force=True)
    return 40


@case("a user's namespace cannot fill the log with changes of keys, and is named")
def users():
    kernel_log()
    child = os.fork()
    if not child:
        done = 0
        try:
            done = change_in_user_namespace()
        finally:
            os._exit(done)
    done = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if done == 100:
        skip("no user namespaces here")
    check_equal(done, 40, "changes")
    text = kernel_log()
    check_equal(len(re.findall("the next private key is", text)), 16, "lines")
    check_equal(len(re.findall(r"only one in network namespace \d+", text)), 16, "names")


@case("an operator's word that takes back what the first session brought")
def word():
    peer = preferred()
    weakened(
        lambda: control().set_peer_policy(peer.me.public, "prefer"),
        (beta.v4, "peer-changed"),
    )
    check(not alpha.peer()["confirmed"], "both forms again")
    weakened(lambda: control().set_peer_policy(peer.me.public, "prefer"))


@case("what is preferred within a network that changes hands, or is behind nobody then")
def within():
    public, network, part = preferred().me.public, "10.40.0.0/16", "10.40.3.0/24"
    control().set_prefixes(public, network)
    weakened(lambda: control().add_policy(part, "prefer"))
    # With the one there was a session, with the other one not yet.
    weakened(
        lambda: control().add_peer(OTHER, "10.7.0.3", prefixes=("10.40.0.0/20",)),
        (part, "peer-added"),
    )
    weakened(lambda: control().delete_peer(OTHER), ("10.7.0.3", "peer-removed"))
    weakened(
        lambda: control().set_prefixes(public),
        (network, "peer-changed"),
        (part, "peer-changed"),
    )
    # The same where it is made our own; its halves take all of the network there.
    weakened(lambda: control().set_prefixes(public, network))
    ours, halves = "10.40.0.0/20", ("10.40.0.0/21", "10.40.8.0/21")
    for half in halves:
        weakened(lambda prefix=half: control().add_policy(prefix, "prefer"))
    weakened(
        lambda: control().set_locals(ours),
        (part, "local-changed"),
        *((half, "local-changed") for half in halves),
    )
    weakened(lambda: control().set_locals())


@case("many at once: a line for 16, and how many more")
def many():
    fresh(*(("10.30.%d.0/24" % i, "require") for i in range(20)))
    log_lines()
    state["events"].forget()
    control().flush()
    check_equal(len(state["events"].named("weakened")), 20, "events")
    check_equal(len(log_lines()), 16, "lines")


def audit_socket():
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
        sock.bind((0, 0))
        sock.setsockopt(genl.SOL_NETLINK, genl.NETLINK_ADD_MEMBERSHIP, 1)
    except OSError:
        skip("this kernel has no audit subsystem")
    # struct audit_status: mask ENABLED, enabled 1
    body = struct.pack("=II", 1, 1) + bytes(40)
    sock.send(struct.pack("=IHHII", 16 + len(body), AUDIT_SET, 5, 1, 0) + body)
    sock.setblocking(False)
    return sock


def audit_records(sock):
    found = []
    while True:
        try:
            data = sock.recv(1 << 16)
        except BlockingIOError:
            return found
        kind = struct.unpack_from("=IH", data)[1]
        if kind == AUDIT_KERNEL_OTHER:
            found.append(data[16:].rstrip(b"\0").decode())


@case("the audit subsystem has a record")
def audit():
    sock = audit_socket()
    fresh(("10.20.0.0/16", "require"))
    audit_records(sock)
    control().delete_policy("10.20.0.0/16")
    record = wait_until(lambda: audit_records(sock), 10, "an audit record")[0]
    for part in "netveil", "op=weakened", "reason=policy-removed", "10.20.0.0/16":
        check(part in record, "the record has " + part, record)
    sock.close()


if __name__ == "__main__":
    ktap.run(set_up)
