# SPDX-License-Identifier: GPL-2.0
"""Every request that changes or reads the configuration, what it begins with, and what is
left of one that fails."""

import contextlib
import errno
import struct

import genl
from genl import attr
from ktap import check, check_equal
from veilproto import Identity

ME, FIRST, OTHER, NEXT = (Identity() for _ in range(4))
PSK = bytes(range(32))
STABLE = """
addresses prefixes endpoint port has_psk has_psk_next next_key policy roaming keepalive
""".split()
OWN = "public_key next_key listen_port aeads peers".split()


def ready(control):
    """What every request begins with: an identity, a peer, policies."""
    control.flush()
    control.set_locals()
    control.set_cipher(0)
    control.request(genl.SET, attr(genl.A_LISTEN_PORT, struct.pack("=H", 51888)))
    control.set_private_key(ME.private)
    control.add_peer(FIRST.public, "10.9.0.7", "fd09::7", psk=PSK, prefixes=["10.77.0.0/16"])
    control.add_policy("10.66.0.0/16", "require")


def on_trial(control):
    body = attr(genl.A_PREFIX, genl.prefix_bytes("10.65.0.0/16"))
    body += attr(genl.A_POLICY, b"\1") + attr(genl.A_CONFIRM, struct.pack("=I", 3600))
    control.request(genl.POLICY_ADD, body)


def next_keys(control):
    ready(control)
    control.set_next_private_key(NEXT.private)


def tried(control):
    ready(control)
    on_trial(control)


def add_everything(control):
    control.add_peer(
        OTHER.public,
        "10.9.0.8",
        "fd09::8",
        psk=PSK,
        prefixes=["10.78.0.0/16", "fd78::/64"],
        keepalive=25,
    )


def apply_many(control):
    control.apply(
        (genl.PEER_ADD, OTHER.public, "10.9.0.8", (genl.P_PSK, PSK)),
        (genl.PEER_DEL, FIRST.public),
    )


def prefix_and_next_key(control):
    """A peer that has one of each, which others take the place of."""
    ready(control)
    control.change_peer(FIRST.public, (genl.P_NEXT_KEY, NEXT.public))


def set_everything(control):
    """All that one request can set of a peer, with a next psk, whose arrival shows."""
    control.change_peer(
        FIRST.public,
        (genl.P_ADDRESS, bytes([10, 9, 0, 9])),
        (genl.P_ADDRESS, genl.prefix_bytes("fd09::9")[:16]),
        (genl.P_PREFIX, genl.prefix_bytes("10.80.0.0/16")),
        (genl.P_PREFIX, genl.prefix_bytes("fd80::/64")),
        (genl.P_ROAMING, b"\1"),
        (genl.P_ENDPOINT, bytes([10, 9, 0, 10])),
        (genl.P_ENDPOINT_PORT, struct.pack("=H", 50102)),
        (genl.P_KEEPALIVE, struct.pack("=H", 30)),
        (genl.P_POLICY, b"\2"),
        (genl.P_NO_PSK, b""),
        (genl.P_PSK_NEXT, bytes(31) + b"\2"),
        (genl.P_NEXT_KEY, OTHER.public),
    )


def apply_sets(control):
    """A peer is added, and another one set."""
    more = (genl.P_ROAMING, b"\1"), (genl.P_NEXT_KEY, NEXT.public), (genl.P_PSK_NEXT, PSK)
    control.apply((genl.PEER_ADD, OTHER.public, "10.9.0.8"), (genl.PEER_SET, FIRST.public, *more))


def set_port_and_local(control):
    body = attr(genl.A_LISTEN_PORT, struct.pack("=H", 50101))
    body += attr(genl.A_LOCAL, genl.prefix_bytes("10.9.0.0/24"))
    body += attr(genl.A_LOCAL, genl.prefix_bytes("fd09::/64"))
    control.request(genl.SET, body)


def set_many(control):
    body = attr(genl.A_LOCAL, genl.prefix_bytes("10.9.0.0/24"))
    body += attr(genl.A_NEXT_PRIVATE_KEY, NEXT.private)
    control.request(genl.SET, body)


REQUESTS = {
    "get": (ready, lambda c: c.get()),
    "set private-key": (ready, lambda c: c.set_private_key(OTHER.private)),
    "set next-private-key": (ready, lambda c: c.set_next_private_key(NEXT.private)),
    "set next-private-key, another": (
        next_keys,
        lambda c: c.set_next_private_key(OTHER.private),
    ),
    "set local, next": (ready, set_many),
    "set listen-port, local": (ready, set_port_and_local),
    "set generate-next": (ready, lambda c: c.generate_next()),
    "set no-next": (next_keys, lambda c: c.no_next()),
    "set retire": (next_keys, lambda c: c.retire(0, force=True)),
    "set local": (ready, lambda c: c.set_locals("10.9.0.0/24", "fd09::/64")),
    "set cipher": (ready, lambda c: c.set_cipher(2)),
    "set listen-port": (
        ready,
        lambda c: c.request(genl.SET, attr(genl.A_LISTEN_PORT, struct.pack("=H", 50100))),
    ),
    "peer-add, the first": (lambda c: c.flush(), add_everything),
    "peer-add": (ready, add_everything),
    "peer-add roaming": (ready, lambda c: c.add_peer(OTHER.public, "10.9.0.8", roaming=1)),
    "peer-set addresses": (
        ready,
        lambda c: c.add_peer(FIRST.public, "10.9.0.9", "fd09::9", command=genl.PEER_SET),
    ),
    "peer-set prefixes": (
        ready,
        lambda c: c.set_prefixes(FIRST.public, "10.80.0.0/16", "10.81.0.0/16"),
    ),
    "peer-set next-key, next psk": (
        ready,
        lambda c: c.change_peer(
            FIRST.public, (genl.P_NEXT_KEY, NEXT.public), (genl.P_PSK_NEXT, bytes(31) + b"\1")
        ),
    ),
    "peer-set everything": (prefix_and_next_key, set_everything),
    "peer-set another next-key": (
        prefix_and_next_key,
        lambda c: c.change_peer(FIRST.public, (genl.P_NEXT_KEY, OTHER.public)),
    ),
    "peer-set policy": (ready, lambda c: c.set_peer_policy(FIRST.public, "prefer")),
    "peer-set roaming": (ready, lambda c: c.set_roaming(FIRST.public, 1)),
    "peer-get, all": (ready, lambda c: c.peers()),
    "peer-del": (ready, lambda c: c.delete_peer(FIRST.public)),
    "session-reset": (ready, lambda c: c.session_reset()),
    "apply": (ready, apply_many),
    "apply, peer-set": (ready, apply_sets),
    "policy-get, all": (ready, lambda c: c.policies()),
    "policy-add": (ready, lambda c: c.add_policy("10.64.0.0/16", "require")),
    "policy-add on trial": (ready, on_trial),
    "policy-set": (ready, lambda c: c.set_policy("10.66.0.0/16", "bypass")),
    "policy-del": (ready, lambda c: c.delete_policy("10.66.0.0/16")),
    "confirm": (tried, lambda c: c.confirm()),
    "flush": (ready, lambda c: c.flush()),
}


def configuration(control):
    """What a request could change, without what comes and goes."""
    own = control.get()
    peers = {
        key: {name: peer.get(name) for name in STABLE}
        for key, peer in control.peers().items()
    }
    policies = {prefix: each["policy"] for prefix, each in control.policies().items()}
    own = {name: own.get(name) for name in OWN}
    own["local"] = [v for kind, v in control.request(genl.GET)[0] if kind == genl.A_LOCAL]
    return own, peers, policies


def without_generated(found, name):
    if "generate" in name:
        found[0]["next_key"] = bool(found[0]["next_key"])
    return found


def drained(control):
    """Nothing of an answer that was given up waits to be read."""
    control.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while control.socket.recv(1 << 17):
            pass
    control.socket.setblocking(True)
    return control


def all_or_nothing(control, name, sweep):
    """The request while sweep() lets one thing after the other fail: it is done, or nothing of
    it. Points that failed, and how many of them it survived."""
    prepare, request = REQUESTS[name]
    prepare(control)
    request(control)
    wanted = without_generated(configuration(control), name)
    survived = []

    def attempt(arm, disarm):
        prepare(control)
        before = without_generated(configuration(control), name)
        arm()
        code = None
        try:
            request(control)
        except OSError as error:
            code = error.errno
        reached = disarm()
        # A lost answer says nothing of what was done.
        after = without_generated(configuration(drained(control)), name)
        refused = code is not None
        if code == errno.ENOBUFS:
            check(after in (before, wanted), "%s: all or nothing" % name, after)
        elif refused:
            check(reached, "%s: refused with nothing failed" % name)
            check_equal(after, before, "%s refused with %d: the configuration" % (name, code))
        else:
            check_equal(after, wanted, "%s done: the configuration" % name)
        if reached and not refused:
            survived.append(name)
        return reached

    return sweep(attempt), len(survived)
