# SPDX-License-Identifier: GPL-2.0
"""Netveil's generic netlink interface (kmod/uapi/netveil.h) in Python.

Tests configure and read the module through it where starting `veil` hundreds
of times would take the time of the whole run on an emulated CPU.
"""

import ipaddress
import os
import socket
import struct

NETLINK_GENERIC, SOL_NETLINK = 16, 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK = 10, 11
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF
GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 3
CTRL_A_FAMILY_ID, CTRL_A_FAMILY_NAME = 1, 2
NLMSGERR_A_MSG = 1

(GET, SET, PEER_GET, PEER_ADD, PEER_SET, PEER_DEL, FLUSH) = range(1, 8)
SESSION_RESET, APPLY = 9, 10
(
    A_PUBLIC_KEY,
    A_PRIVATE_KEY,
    A_GENERATE,
    A_KEY_ORIGIN,
    A_LISTEN_PORT,
    A_CIPHER,
    A_AEADS,
    A_PEERS,
    A_PEER,
    A_DROP,
    A_EVENT,
    A_NEXT_PUBLIC_KEY,
    A_NEXT_PRIVATE_KEY,
    A_GENERATE_NEXT,
    A_NEXT_KEY_ORIGIN,
    A_NO_NEXT,
    A_RETIRE,
    A_FORCE,
    A_PRIVATE_KEY_SERIAL,
    A_NEXT_PRIVATE_KEY_SERIAL,
) = range(2, 22)
A_CHANGE, A_COMMAND = 22, 23
(
    P_PUBLIC_KEY,
    P_ADDRESS,
    P_ENDPOINT,
    P_ENDPOINT_PORT,
    P_PSK,
    P_NO_PSK,
    P_HAS_PSK,
    P_STATE,
    P_LAST_HANDSHAKE,
    P_SESSION_AGE,
    P_CIPHER,
    P_RX_BYTES,
    P_TX_BYTES,
    P_RX_PACKETS,
    P_TX_PACKETS,
    P_QUEUED,
    P_DROPS,
    P_MTU,
    P_NEXT_KEY,
    P_NO_NEXT_KEY,
    P_PSK_NEXT,
    P_NO_PSK_NEXT,
    P_HAS_PSK_NEXT,
    P_ON_NEXT,
    P_PSK_SERIAL,
    P_PSK_NEXT_SERIAL,
    P_POLICY,
    P_CONFIRMED,
    P_CLEAR_RX_PACKETS,
    P_CLEAR_TX_PACKETS,
    P_CLEAR_LAST,
    P_PREFIX,
    P_NO_PREFIX,
    P_ROAMING,
    P_KEEPALIVE,
) = range(2, 37)
EVENT = 8
POLICY_GET, POLICY_ADD, POLICY_SET, POLICY_DEL, CONFIRM = range(11, 16)
(
    A_PREFIX,
    A_POLICY,
    A_CLEAR_RX_PACKETS,
    A_CLEAR_TX_PACKETS,
    A_CLEAR_LAST,
    A_DROPS,
    A_ADDRESS,
    A_REASON,
    A_CONFIRM,
    A_LOCAL,
    A_NO_LOCAL,
    A_RX_MARK,
    A_RX_MASK,
    A_GENERATION,
) = range(24, 38)
POLICIES = ["none", "require", "prefer", "bypass"]
EVENTS = (
    "unspecified peer-added peer-removed session-up session-down plaintext weakened"
    " peer-rekeyed psk-changed acquire policy-added policy-removed confirm-expired moved"
).split()
NETLINK_ADD_MEMBERSHIP, CTRL_A_GROUPS, GROUP_NAME, GROUP_ID = 1, 7, 1, 2
STATE_NONE, STATE_HANDSHAKE, STATE_UP = range(3)
DROP_REASON, DROP_COUNT = 2, 3

PEER_NUMBERS = {
    P_STATE: "state",
    P_LAST_HANDSHAKE: "last_handshake",
    P_SESSION_AGE: "session_age",
    P_CIPHER: "cipher",
    P_RX_BYTES: "rx_bytes",
    P_TX_BYTES: "tx_bytes",
    P_RX_PACKETS: "rx_packets",
    P_TX_PACKETS: "tx_packets",
    P_QUEUED: "queued",
    P_DROPS: "drops",
    P_MTU: "mtu",
    P_ROAMING: "roaming",
    P_KEEPALIVE: "keepalive",
    P_POLICY: "policy",
    P_CLEAR_RX_PACKETS: "clear_rx",
    P_CLEAR_TX_PACKETS: "clear_tx",
}
POLICY_NUMBERS = {
    A_POLICY: "policy",
    A_CLEAR_RX_PACKETS: "clear_rx",
    A_CLEAR_TX_PACKETS: "clear_tx",
    A_DROPS: "drops",
}


PEER_FLAGS = {
    P_HAS_PSK: "has_psk",
    P_HAS_PSK_NEXT: "has_psk_next",
    P_ON_NEXT: "on_next",
    P_CONFIRMED: "confirmed",
}


def attr(kind, data=b""):
    raw = struct.pack("=HH", 4 + len(data), kind) + data
    return raw + bytes(-len(raw) % 4)


def attrs(data):
    """(type, value) of every attribute in data."""
    place = 0
    while place + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, place)
        yield kind & NLA_TYPE_MASK, data[place + 4 : place + length]
        place += (length + 3) & ~3


def number(value):
    return int.from_bytes(value, "little")


def prefix_bytes(text):
    network = ipaddress.ip_network(text, strict=False)
    return ipaddress.ip_interface(text).ip.packed + bytes([network.prefixlen])


def locals_attrs(prefixes):
    """What says that these are our networks, and no others."""
    body = b"".join(attr(A_LOCAL, prefix_bytes(each)) for each in prefixes)
    return body or attr(A_NO_LOCAL)


def prefix_text(data):
    """As `veil` writes it: without its length if it is of one host."""
    address = ipaddress.ip_address(data[:-1])
    whole = data[-1] == address.max_prefixlen
    return str(address) if whole else "%s/%d" % (address, data[-1])


class Refused(OSError):
    """The kernel said no; strerror is its extended ack text, if it gave one."""


def raise_error(body, flags):
    code = struct.unpack_from("=i", body)[0]
    if code == 0:
        return
    text = os.strerror(-code)
    if flags & NLM_F_ACK_TLVS:
        size = 20 if flags & NLM_F_CAPPED else 4 + struct.unpack_from("=I", body, 4)[0]
        for kind, value in attrs(body[size:]):
            if kind == NLMSGERR_A_MSG:
                text = value.rstrip(b"\0").decode()
    raise Refused(-code, text)


class Control:
    """The module's control interface in the namespace where this is made."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self.socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self.socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self.socket.bind((0, 0))
        self.sequence = 0
        self.family = self.find_family()

    def close(self):
        self.socket.close()

    def find_family(self):
        body = attr(CTRL_A_FAMILY_NAME, b"netveil\0")
        answers = self.exchange(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, body)
        return number(dict(answers[0])[CTRL_A_FAMILY_ID])

    def exchange(self, family, command, body, flags=NLM_F_ACK):
        """Attributes of every answer to one request."""
        self.sequence += 1
        body = struct.pack("=BBH", command, 1, 0) + body
        head = 16 + len(body), family, NLM_F_REQUEST | flags, self.sequence, 0
        self.socket.send(struct.pack("=IHHII", *head) + body)
        answers = []
        while not self.take(self.socket.recv(1 << 17), answers):
            pass
        return answers

    @staticmethod
    def take(data, answers):
        """Read one datagram; whether it was the last."""
        while data:
            length, kind, flags, _, _ = struct.unpack_from("=IHHII", data)
            body = data[16:length]
            if kind in (NLMSG_ERROR, NLMSG_DONE):
                raise_error(body, flags)
                return True
            answers.append(list(attrs(body[4:])))
            data = data[(length + 3) & ~3 :]
        return False

    def request(self, command, body=b"", flags=NLM_F_ACK):
        return self.exchange(self.family, command, body, flags)

    def get(self):
        """The namespace's own state, with "drops" by their reasons."""
        state = {"drops": {}, "public_key": None, "next_key": None, "retire": 0}
        for kind, value in self.request(GET)[0]:
            if kind == A_PUBLIC_KEY:
                state["public_key"] = value
            elif kind == A_NEXT_PUBLIC_KEY:
                state["next_key"] = value
            elif kind == A_RETIRE:
                state["retire"] = number(value)
            elif kind == A_LISTEN_PORT:
                state["listen_port"] = number(value)
            elif kind == A_AEADS:
                state["aeads"] = tuple(value)
            elif kind == A_PEERS:
                state["peers"] = number(value)
            elif kind == A_DROP:
                drop = dict(attrs(value))
                reason = drop[DROP_REASON].rstrip(b"\0").decode()
                state["drops"][reason] = number(drop[DROP_COUNT])
        return state

    def drops(self):
        return self.get()["drops"]

    def peers(self):
        """All peers' properties by public key."""
        flags = NLM_F_DUMP
        return dict(
            read_peer(value)
            for answer in self.request(PEER_GET, flags=flags)
            for kind, value in answer
            if kind == A_PEER
        )

    def set_private_key(self, key):
        self.request(SET, attr(A_PRIVATE_KEY, key))

    def set_cipher(self, cipher):
        """0: the faster one; else that AEAD alone."""
        self.request(SET, attr(A_CIPHER, bytes([cipher])))

    def policies(self):
        """All policies of prefixes, by prefix."""
        found = {}
        for answer in self.request(POLICY_GET, flags=NLM_F_DUMP):
            fields = dict(answer)
            found[prefix_text(fields[A_PREFIX])] = {
                name: number(fields[kind]) for kind, name in POLICY_NUMBERS.items()
            }
        return found

    def change_policy(self, command, prefix, policy=None):
        body = attr(A_PREFIX, prefix_bytes(prefix))
        if policy:
            body += attr(A_POLICY, bytes([POLICIES.index(policy)]))
        self.request(command, body)

    def add_policy(self, prefix, policy):
        self.change_policy(POLICY_ADD, prefix, policy)

    def set_policy(self, prefix, policy):
        self.change_policy(POLICY_SET, prefix, policy)

    def delete_policy(self, prefix):
        self.change_policy(POLICY_DEL, prefix)

    def set_peer_policy(self, public_key, policy):
        self.add_peer(public_key, policy=policy, command=PEER_SET)

    def confirm(self):
        self.request(CONFIRM)

    def set_locals(self, *prefixes):
        self.request(SET, locals_attrs(prefixes))

    def set_rx_mark(self, mark, mask):
        body = attr(A_RX_MARK, struct.pack("=I", mark))
        self.request(SET, body + attr(A_RX_MASK, struct.pack("=I", mask)))

    def set_prefixes(self, public_key, *prefixes):
        nest = attr(P_PUBLIC_KEY, public_key)
        for each in prefixes:
            nest += attr(P_PREFIX, prefix_bytes(each))
        nest += b"" if prefixes else attr(P_NO_PREFIX)
        self.request(PEER_SET, attr(A_PEER | NLA_NESTED, nest))

    def add_peer(
        self,
        public_key,
        *addresses,
        psk=None,
        policy=None,
        command=PEER_ADD,
        prefixes=(),
        **more,
    ):
        """more: roaming, keepalive, endpoint, port."""
        nest = attr(P_PUBLIC_KEY, public_key)
        for each in prefixes:
            nest += attr(P_PREFIX, prefix_bytes(each))
        for address in addresses:
            nest += attr(P_ADDRESS, ipaddress.ip_address(address).packed)
        if psk:
            nest += attr(P_PSK, psk)
        if policy:
            nest += attr(P_POLICY, bytes([POLICIES.index(policy)]))
        if "endpoint" in more:
            nest += attr(P_ENDPOINT, ipaddress.ip_address(more["endpoint"]).packed)
        if "port" in more:
            nest += attr(P_ENDPOINT_PORT, struct.pack("=H", more["port"]))
        if "roaming" in more:
            nest += attr(P_ROAMING, bytes([more["roaming"]]))
        if "keepalive" in more:
            nest += attr(P_KEEPALIVE, struct.pack("=H", more["keepalive"]))
        self.request(command, attr(A_PEER | NLA_NESTED, nest))

    def set_next_private_key(self, key):
        self.request(SET, attr(A_NEXT_PRIVATE_KEY, key))

    def set_private_keys(self, key, next_key):
        self.request(SET, attr(A_PRIVATE_KEY, key) + attr(A_NEXT_PRIVATE_KEY, next_key))

    def generate_next(self):
        """The kernel makes the next private key: its public half."""
        return dict(self.request(SET, attr(A_GENERATE_NEXT))[0])[A_NEXT_PUBLIC_KEY]

    def no_next(self):
        self.request(SET, attr(A_NO_NEXT))

    def retire(self, seconds=0, force=False):
        body = attr(A_RETIRE, struct.pack("=I", seconds))
        self.request(SET, body + (attr(A_FORCE) if force else b""))

    def change_peer(self, public_key, *attributes):
        """A PEER_SET with (type, value) pairs."""
        nest = attr(P_PUBLIC_KEY, public_key)
        nest += b"".join(attr(*each) for each in attributes)
        self.request(PEER_SET, attr(A_PEER | NLA_NESTED, nest))

    def apply(self, *changes, local=None):
        """(command, public_key, address or (attribute, value)...) of each, or
        (command, prefix, policy if any), as one step; local: our networks after it."""
        body = bytearray()  # appended to: bytes would be copied for each change
        if local is not None:
            body += locals_attrs(local)
        for command, name, *more in changes:
            change = attr(A_COMMAND, bytes([command]))
            if isinstance(name, str):
                change += attr(A_PREFIX, prefix_bytes(name))
                for each in more:
                    change += attr(A_POLICY, bytes([POLICIES.index(each)]))
            else:
                nest = attr(P_PUBLIC_KEY, name)
                for each in more:
                    if isinstance(each, str):
                        each = P_ADDRESS, ipaddress.ip_address(each).packed
                    nest += attr(*each)
                change += attr(A_PEER | NLA_NESTED, nest)
            body += attr(A_CHANGE | NLA_NESTED, change)
        self.request(APPLY, bytes(body))

    def set_psk(self, public_key, psk):
        self.add_peer(public_key, psk=psk, command=PEER_SET)

    def set_roaming(self, public_key, roaming):
        self.add_peer(public_key, command=PEER_SET, roaming=roaming)

    def delete_peer(self, public_key):
        self.add_peer(public_key, command=PEER_DEL)

    def session_reset(self, public_key=None):
        nest = attr(P_PUBLIC_KEY, public_key) if public_key else b""
        body = attr(A_PEER | NLA_NESTED, nest) if nest else b""
        self.request(SESSION_RESET, body)

    def flush(self):
        self.request(FLUSH)


class Events:
    """What the module tells in the namespace where this is made."""

    def __init__(self, control):
        self.socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC
        )
        self.socket.bind((0, 0))
        self.socket.setsockopt(
            SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, events_group(control)
        )
        self.socket.setblocking(False)
        self.seen = []

    def poll(self):
        """All so far: (name, its address, prefix or key, policy, reason)."""
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except BlockingIOError:
                return self.seen
            self.seen.append(read_event(dict(attrs(data[20:]))))

    def named(self, *names):
        return [event for event in self.poll() if event["event"] in names]

    def forget(self):
        self.poll()
        self.seen = []


def events_group(control):
    body = attr(CTRL_A_FAMILY_NAME, b"netveil\0")
    answer = control.exchange(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, body)[0]
    for _, group in attrs(dict(answer)[CTRL_A_GROUPS]):
        fields = dict(attrs(group))
        if fields[GROUP_NAME].rstrip(b"\0") == b"events":
            return number(fields[GROUP_ID])
    raise LookupError("no group of events")


def read_event(fields):
    event = {"event": EVENTS[fields[A_EVENT][0]]}
    if A_PEER in fields:
        event["public_key"] = dict(attrs(fields[A_PEER]))[P_PUBLIC_KEY]
    if A_ADDRESS in fields:
        event["address"] = str(ipaddress.ip_address(fields[A_ADDRESS]))
    if A_PREFIX in fields:
        event["prefix"] = prefix_text(fields[A_PREFIX])
    if A_POLICY in fields:
        event["policy"] = POLICIES[fields[A_POLICY][0]]
    if A_REASON in fields:
        event["reason"] = fields[A_REASON].rstrip(b"\0").decode()
    return event


def read_peer(nest):
    peer = {"has_psk": False, "addresses": [], "prefixes": [], "state": STATE_NONE}
    peer.update(next_key=None, has_psk_next=False, on_next=False)
    peer["confirmed"] = False
    key = None
    for kind, value in attrs(nest):
        if kind == P_PUBLIC_KEY:
            key = value
        elif kind == P_ADDRESS:
            peer["addresses"].append(str(ipaddress.ip_address(value)))
        elif kind in PEER_FLAGS:
            peer[PEER_FLAGS[kind]] = True
        elif kind == P_NEXT_KEY:
            peer["next_key"] = value
        elif kind == P_PREFIX:
            peer["prefixes"].append(prefix_text(value))
        elif kind == P_ENDPOINT:
            peer["endpoint"] = str(ipaddress.ip_address(value))
        elif kind == P_ENDPOINT_PORT:
            peer["port"] = number(value)
        elif kind in PEER_NUMBERS:
            peer[PEER_NUMBERS[kind]] = number(value)
    return key, peer
