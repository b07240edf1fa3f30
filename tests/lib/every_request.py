# SPDX-License-Identifier: GPL-2.0
"""Every request that changes or reads the configuration, and what it begins with."""

import struct

import genl
from genl import attr
from veilproto import Identity

ME, FIRST, OTHER, NEXT = (Identity() for _ in range(4))
PSK = bytes(range(32))


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
    "peer-set policy": (ready, lambda c: c.set_peer_policy(FIRST.public, "prefer")),
    "peer-set roaming": (ready, lambda c: c.set_roaming(FIRST.public, 1)),
    "peer-get, all": (ready, lambda c: c.peers()),
    "peer-del": (ready, lambda c: c.delete_peer(FIRST.public)),
    "session-reset": (ready, lambda c: c.session_reset()),
    "apply": (ready, apply_many),
    "policy-get, all": (ready, lambda c: c.policies()),
    "policy-add": (ready, lambda c: c.add_policy("10.64.0.0/16", "require")),
    "policy-add on trial": (ready, on_trial),
    "policy-set": (ready, lambda c: c.set_policy("10.66.0.0/16", "bypass")),
    "policy-del": (ready, lambda c: c.delete_policy("10.66.0.0/16")),
    "confirm": (tried, lambda c: c.confirm()),
    "flush": (ready, lambda c: c.flush()),
}
