#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
"""The netlink interface as a program meets it: every refusal has an errno, a
reason in words and the attribute at fault, and changes nothing; no key but a
public one ever comes back; only administrators get in; garbage does no harm
(invariants 4 and 5).
"""

import errno
import ipaddress
import os
import random
import re
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import genl
import hosts
import ktap
from genl import attr
from ktap import case, check, check_equal, skip, wait_until
from veilproto import Identity

EVENT_COMMAND, A_EVENT = 8, 12
A_LAST, P_LAST = genl.A_GENERATION, genl.P_NO_PREFIX
KEY_ATTRS = range(13, 22)
NETWORK_ATTRS = range(genl.A_LOCAL, genl.A_RX_MASK + 1)
FROM_KERNEL = (
    genl.P_HAS_PSK_NEXT,
    genl.P_ON_NEXT,
    genl.P_CONFIRMED,
    genl.P_CLEAR_RX_PACKETS,
    genl.P_CLEAR_TX_PACKETS,
    genl.P_CLEAR_LAST,
)
NLMSGERR_A_OFFSET, NLMSGERR_A_MISS_TYPE = 2, 5
NLM_F_DUMP_INTR = 0x10
NETLINK_ADD_MEMBERSHIP = 1
CTRL_A_GROUPS, GROUP_NAME, GROUP_ID = 7, 1, 2
TRACING = "/sys/kernel/tracing/"
NESTED = genl.NLA_NESTED

KEY, OTHER, FIXED = (os.urandom(31) + b"\x01" for _ in range(3))
PSK, PRIVATE = os.urandom(32), os.urandom(32)
ZERO = bytes(32)
state = {}


def set_up():
    """A namespace of our own, which goes when we do."""
    os.unshare(os.CLONE_NEWNET)
    hosts.load_module()
    hosts.command("ip", "link", "set", "lo", "up")
    hosts.command("ip", "addr", "add", "10.7.0.1/32", "dev", "lo")
    state["control"] = genl.Control()
    state["control"].set_private_key(PRIVATE)
    state["control"].add_peer(FIXED, "10.7.0.9", psk=PSK)


def control():
    return state["control"]


def ip(text):
    return ipaddress.ip_address(text).packed


def peer(*inner):
    return attr(genl.A_PEER | NESTED, b"".join(inner))


def key(value=KEY):
    return attr(genl.P_PUBLIC_KEY, value)


def address(text):
    return attr(genl.P_ADDRESS, ip(text))


def u16(value):
    return struct.pack("=H", value)


def u32(value):
    return struct.pack("=I", value)


def configuration():
    """All that a request could change."""
    ours = control().get()
    peers = {
        name: (p["addresses"], p["has_psk"]) for name, p in control().peers().items()
    }
    return ours["public_key"], ours["listen_port"], ours["aeads"], peers


def find_attr(body, offset):
    """The type of the attribute that begins at offset, in a nest or not."""
    place = 20
    while place + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, place)
        if place == offset:
            return kind & genl.NLA_TYPE_MASK
        nested = kind & NESTED
        place += 4 if nested else (max(length, 4) + 3) & ~3
    return None


class Answer:
    """What the kernel made of a request: code, text, blamed and missing."""

    def __init__(self, sent, body, flags):
        self.code = -struct.unpack_from("=i", body)[0]
        self.text, self.blamed, self.missing = "", None, None
        if not flags & genl.NLM_F_ACK_TLVS:
            return
        size = (
            20
            if flags & genl.NLM_F_CAPPED
            else 4 + struct.unpack_from("=I", body, 4)[0]
        )
        for kind, value in genl.attrs(body[size:]):
            if kind == genl.NLMSGERR_A_MSG:
                self.text = value.rstrip(b"\0").decode()
            elif kind == NLMSGERR_A_OFFSET:
                self.blamed = find_attr(sent, genl.number(value))
            elif kind == NLMSGERR_A_MISS_TYPE:
                self.missing = genl.number(value)


def message(command, body=b"", flags=genl.NLM_F_ACK, version=1):
    body = struct.pack("=BBH", command, version, 0) + body
    head = 16 + len(body), control().family, genl.NLM_F_REQUEST | flags, 7, 0
    return struct.pack("=IHHII", *head) + body


def ask(command, body=b"", sock=None, flags=genl.NLM_F_ACK):
    """The answer to a request that is to be refused."""
    sock = sock or control().socket
    sent = message(command, body, flags)
    sock.send(sent)
    while True:
        data = sock.recv(1 << 17)
        _, kind, flags, _, _ = struct.unpack_from("=IHHII", data)
        if kind == genl.NLMSG_ERROR:
            return Answer(sent, data[16:], flags)


def receive(sock):
    """All of an answer, as it came, and the flags of all messages in it."""
    raw, flags, last = b"", 0, False
    while not last:
        data = sock.recv(1 << 17)
        raw += data
        while data:
            length, kind, more, _, _ = struct.unpack_from("=IHHII", data)
            flags |= more
            last = kind in (genl.NLMSG_ERROR, genl.NLMSG_DONE)
            data = data[(length + 3) & ~3 :]
    return raw, flags


def refuse_all(table):
    """Rows: command, attributes, errno, a part of the text, attribute blamed."""
    before = configuration()
    for command, body, code, text, blamed in table:
        answer = ask(command, body)
        row = command, body, answer.code, answer.text, answer.blamed
        check_equal(answer.code, code, "errno of %r" % (row,))
        check(text in answer.text, "text with %r" % text, row)
        check_equal(answer.blamed, blamed, "attribute blamed in %r" % (row,))
    check_equal(configuration(), before, "configuration")


@case("what set refuses, it names")
def set_refusals():
    port, cipher = genl.A_LISTEN_PORT, genl.A_CIPHER
    private = genl.A_PRIVATE_KEY
    refuse_all(
        [
            (genl.SET, b"", errno.EINVAL, "nothing to set", None),
            (genl.SET, attr(private, ZERO), errno.EINVAL, "zeros", private),
            (genl.SET, attr(private, KEY[:31]), errno.ERANGE, "size", private),
            (genl.SET, attr(private, KEY + b"1"), errno.ERANGE, "size", private),
            (genl.SET, attr(private, b""), errno.ERANGE, "size", private),
            (
                genl.SET,
                attr(private, OTHER) + attr(genl.A_GENERATE),
                errno.EINVAL,
                "not both",
                genl.A_GENERATE,
            ),
            (genl.SET, attr(port, u16(0)), errno.ERANGE, "", port),
            (genl.SET, attr(port, u16(65473)), errno.ERANGE, "", port),
            (genl.SET, attr(port, b"1"), errno.EINVAL, "length", port),
            (genl.SET, attr(cipher, b"\3"), errno.ERANGE, "", cipher),
            (
                genl.SET,
                attr(port, u16(50001)) + attr(genl.A_RETIRE, bytes(4)),
                errno.ENOENT,
                "no next key",
                None,
            ),
            (
                genl.SET,
                attr(port, u16(50001)) + attr(genl.A_LOCAL, b"\x0a\x28\0\1\x10"),
                errno.EINVAL,
                "",
                genl.A_LOCAL,
            ),
        ]
    )


@case("set is all or nothing: no port is set with a key that is a peer's")
def all_or_nothing():
    both = Identity()
    control().add_peer(both.public, "10.7.0.2")
    body = attr(genl.A_LISTEN_PORT, u16(50000)) + attr(genl.A_CIPHER, b"\2")
    body += attr(genl.A_PRIVATE_KEY, both.private)
    refuse_all([(genl.SET, body, errno.EINVAL, "peer", None)])
    control().delete_peer(both.public)


@case("what peer add refuses, it names")
def add_refusals():
    add, bad, where = genl.PEER_ADD, errno.EINVAL, genl.P_ADDRESS
    good, size = address("10.7.0.2"), errno.ERANGE
    many = b"".join(address("10.7.1.%d" % i) for i in range(65))
    refuse_all(
        [
            (add, peer(key(KEY[:31]), good), size, "size", genl.P_PUBLIC_KEY),
            (add, peer(key(), attr(where, b"12345")), bad, "4 or 16", where),
            (add, peer(key(), attr(where, b"123")), size, "size", where),
            (add, peer(key(), attr(where, bytes(17))), size, "size", where),
            (add, peer(key(), good, good), bad, "twice", where),
            (add, peer(key(), many), errno.E2BIG, "at most 64", where),
            (add, peer(key(), address("0.0.0.0")), bad, "one other host", where),
            (add, peer(key(), address("127.0.0.1")), bad, "one other host", where),
            (add, peer(key(), address("224.0.0.1")), bad, "one other host", where),
            (add, peer(key(), address("255.255.255.255")), bad, "one other", where),
            (add, peer(key(), address("::")), bad, "one other host", where),
            (add, peer(key(), address("::1")), bad, "one other host", where),
            (add, peer(key(), address("ff02::1")), bad, "one other host", where),
            (add, peer(key(), address("fe80::1")), bad, "link-local", where),
            (add, peer(key(), address("::ffff:1.2.3.4")), bad, "4 bytes", where),
            (add, peer(key(), address("10.7.0.1")), bad, "this host's own", where),
            (add, peer(key(), address("10.7.0.9")), errno.EADDRINUSE, "another", where),
            (
                add,
                peer(key(), good, attr(genl.P_PSK, ZERO)),
                bad,
                "zeros",
                genl.P_PSK,
            ),
            (
                add,
                peer(key(), good, attr(genl.P_ENDPOINT_PORT, u16(65473))),
                errno.ERANGE,
                "",
                genl.P_ENDPOINT_PORT,
            ),
            (
                add,
                peer(key(), good, attr(genl.P_ENDPOINT, ip("10.7.0.3"))),
                bad,
                "one of the peer's addresses",
                genl.P_PUBLIC_KEY,
            ),
            (add, peer(key(FIXED), good), errno.EEXIST, "known", genl.P_PUBLIC_KEY),
            (
                add,
                peer(key(control().get()["public_key"]), good),
                bad,
                "own public key",
                genl.P_PUBLIC_KEY,
            ),
            (
                add,
                peer(key(ZERO), good),
                errno.EKEYREJECTED,
                "valid",
                genl.P_PUBLIC_KEY,
            ),
        ]
    )


@case("what set, del and get of a peer refuse, they name")
def other_refusals():
    no_psk, change = attr(genl.P_NO_PSK), genl.PEER_SET
    gone = errno.ENOENT, "no such peer", genl.P_PUBLIC_KEY
    refuse_all(
        [
            (change, peer(key(), no_psk), *gone),
            (genl.PEER_DEL, peer(key()), *gone),
            (genl.PEER_GET, peer(key()), *gone),
            (
                change,
                peer(key(FIXED)),
                errno.EINVAL,
                "nothing to change",
                genl.P_PUBLIC_KEY,
            ),
            (
                change,
                peer(key(FIXED), attr(genl.P_PSK, PSK), no_psk),
                errno.EINVAL,
                "not both",
                genl.P_NO_PSK,
            ),
        ]
    )


@case("what is wrong of prefixes, policies and marks is named")
def prefix_refusals():
    add, bad = genl.POLICY_ADD, errno.EINVAL
    whole, policy = genl.prefix_bytes("10.8.0.0/16"), attr(genl.A_POLICY, b"\1")
    long, mapped = ip("10.8.0.0") + b"\x21", ip("::ffff:10.8.0.0") + b"\x70"
    many = [
        attr(genl.P_PREFIX, genl.prefix_bytes("10.8.%d.%d/32" % divmod(number, 256)))
        for number in range(1025)
    ]

    def fixed(*inner):
        return genl.PEER_SET, peer(key(FIXED), *inner)

    refuse_all(
        [
            (add, b"", bad, "no prefix", None),
            (add, attr(genl.A_PREFIX, whole), bad, "which policy", None),
            (add, attr(genl.A_PREFIX, long) + policy, bad, "4 or 16", genl.A_PREFIX),
            (add, attr(genl.A_PREFIX, mapped) + policy, bad, "4 bytes", genl.A_PREFIX),
            (*fixed(attr(genl.P_PREFIX, long)), bad, "4 or 16", genl.P_PREFIX),
            (*fixed(*many), errno.E2BIG, "too many", genl.P_PREFIX),
            (*fixed(*[attr(genl.P_PREFIX, whole)] * 2), bad, "twice", genl.P_PREFIX),
            (
                *fixed(attr(genl.P_PREFIX, whole), attr(genl.P_NO_PREFIX)),
                bad,
                "not both",
                genl.P_NO_PREFIX,
            ),
            (
                genl.SET,
                attr(genl.A_LOCAL, whole) + attr(genl.A_NO_LOCAL),
                bad,
                "not both",
                genl.A_NO_LOCAL,
            ),
            (genl.SET, attr(genl.A_RX_MARK, bytes(4)), bad, "value and a mask", None),
            (
                genl.SET,
                attr(genl.A_RX_MARK, u32(3)) + attr(genl.A_RX_MASK, u32(2)),
                bad,
                "not in its mask",
                genl.A_RX_MARK,
            ),
            (
                genl.SET,
                attr(genl.A_NEXT_PRIVATE_KEY, OTHER) + attr(genl.A_NO_NEXT),
                bad,
                "either given, made, forgotten",
                None,
            ),
            (
                genl.SET,
                attr(genl.A_PRIVATE_KEY, OTHER) + attr(genl.A_RETIRE, bytes(4)),
                bad,
                "either given, made, forgotten",
                None,
            ),
        ]
    )


@case("a change of a prefix in a step brings no peer, and a peer's no policy")
def mixed_changes():
    def step(command, *inner):
        change = attr(genl.A_COMMAND, bytes([command])) + b"".join(inner)
        return genl.APPLY, attr(genl.A_CHANGE | NESTED, change)

    mixed = errno.EINVAL, "not of both", genl.A_PEER
    prefix = attr(genl.A_PREFIX, genl.prefix_bytes("10.8.0.0/16"))
    policy = attr(genl.A_POLICY, b"\1")
    new = peer(key(), address("10.7.0.9"))
    control().add_policy("10.8.0.0/16", "require")
    refuse_all(
        [
            (*step(genl.POLICY_SET, prefix, policy, new), *mixed),
            (*step(genl.POLICY_DEL, prefix, new), *mixed),
            (*step(genl.PEER_ADD, policy, new), *mixed),
            (*step(genl.PEER_DEL, prefix, peer(key(FIXED))), *mixed),
        ]
    )
    control().delete_policy("10.8.0.0/16")


@case("an address that is a VRF's own is not a peer's")
def own_in_vrf():
    try:
        hosts.command("ip", "link", "add", "red", "type", "vrf", "table", "10")
    except AssertionError as error:
        skip("no VRF on this kernel: " + str(error)[-200:])
    for words in (
        "link set red up",
        "link add own type dummy",
        "link set own master red up",
        "addr add 10.7.5.1/32 dev own",
    ):
        hosts.command("ip", *words.split())
    own = peer(key(), address("10.7.5.1"))
    refuse_all([(genl.PEER_ADD, own, errno.EINVAL, "this host's own", genl.P_PUBLIC_KEY)])
    hosts.command("ip", "link", "del", "red")
    hosts.command("ip", "link", "del", "own")


@case("what is missing is named")
def missing():
    nest = genl.A_PEER
    for command in genl.PEER_ADD, genl.PEER_SET, genl.PEER_DEL, genl.PEER_GET:
        answer = ask(command)
        check_equal((answer.code, answer.missing), (errno.EINVAL, nest), "no peer")
        answer = ask(command, peer())
        check_equal(
            (answer.code, answer.missing), (errno.EINVAL, genl.P_PUBLIC_KEY), "no key"
        )
    answer = ask(genl.PEER_ADD, peer(key()))
    check_equal(
        (answer.code, answer.missing), (errno.EINVAL, genl.P_ADDRESS), "no address"
    )
    change = attr(genl.A_CHANGE | NESTED, peer(key()))
    refuse_all([(genl.APPLY, change, errno.EINVAL, "its command", genl.A_CHANGE)])


@case("attributes that a command does not know are refused")
def strict():
    before = configuration()
    known = {
        genl.GET: (),
        genl.FLUSH: (),
        genl.SET: (
            genl.A_PRIVATE_KEY,
            genl.A_GENERATE,
            genl.A_LISTEN_PORT,
            genl.A_CIPHER,
            *KEY_ATTRS,
            *NETWORK_ATTRS,
        ),
        genl.SESSION_RESET: (genl.A_PEER,),
        genl.PEER_GET: (genl.A_PEER,),
        genl.PEER_ADD: (genl.A_PEER, genl.A_CONFIRM),
        genl.PEER_SET: (genl.A_PEER, genl.A_CONFIRM),
        genl.CONFIRM: (),
        genl.PEER_DEL: (genl.A_PEER,),
        genl.POLICY_ADD: (genl.A_PREFIX, genl.A_POLICY, genl.A_CONFIRM),
        genl.POLICY_SET: (genl.A_PREFIX, genl.A_POLICY, genl.A_CONFIRM),
        genl.POLICY_DEL: (genl.A_PREFIX, genl.A_POLICY, genl.A_CONFIRM),
    }
    for command, takes in known.items():
        for kind in [*range(1, A_LAST + 2), 0x3FFF]:
            if kind not in takes:
                answer = ask(command, attr(kind, bytes(4)))
                check_equal(answer.code, errno.EINVAL, "%d with %d" % (command, kind))
    status = *range(genl.P_HAS_PSK, genl.P_MTU + 1), *FROM_KERNEL, P_LAST + 1
    for command in genl.PEER_ADD, genl.PEER_SET, genl.PEER_DEL, genl.PEER_GET:
        for kind in [1, *status]:
            body = peer(key(), address("10.7.0.2"), attr(kind, bytes(8)))
            check_equal(ask(command, body).code, errno.EINVAL, "nest with %d" % kind)
    flat = attr(genl.A_PEER, key() + address("10.7.0.2"))
    check_equal(ask(genl.PEER_ADD, flat).code, errno.EINVAL, "a nest not marked so")
    check_equal(ask(99).code, errno.EOPNOTSUPP, "an unknown command")
    check_equal(ask(EVENT_COMMAND).code, errno.EOPNOTSUPP, "an event as a request")
    check_equal(configuration(), before, "configuration")


def groups():
    """Numbers of the family's multicast groups by name."""
    body = attr(genl.CTRL_A_FAMILY_NAME, b"netveil\0")
    answers = control().exchange(genl.GENL_ID_CTRL, genl.CTRL_CMD_GETFAMILY, body)
    found = {}
    for _, group in genl.attrs(dict(answers[0])[CTRL_A_GROUPS]):
        fields = dict(genl.attrs(group))
        found[fields[GROUP_NAME].rstrip(b"\0")] = genl.number(fields[GROUP_ID])
    return found


def listen():
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, genl.NETLINK_GENERIC)
    sock.bind((0, 0))
    group = groups()[b"events"]
    sock.setsockopt(genl.SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    sock.setblocking(False)
    return sock


def read_events(sock):
    """(event, public key), and the bytes they came in."""
    events, raw = [], b""
    while True:
        try:
            data = sock.recv(1 << 16)
        except BlockingIOError:
            return events, raw
        raw += data
        fields = dict(genl.attrs(data[20:]))
        nest = dict(genl.attrs(fields.get(genl.A_PEER, b"")))
        events.append((fields[A_EVENT][0], nest.get(genl.P_PUBLIC_KEY)))


@case("events tell what changed, in this namespace alone")
def events():
    here, home = listen(), os.open("/proc/self/ns/net", os.O_RDONLY)
    os.unshare(os.CLONE_NEWNET)
    there, elsewhere = listen(), genl.Control()
    os.setns(home)
    elsewhere.add_peer(OTHER, "10.7.0.2")
    wait_until(lambda: read_events(there)[0] == [(1, OTHER)], 5, "peer added there")
    check_equal(read_events(here)[0], [], "events here of what happened there")
    control().add_peer(KEY, "10.7.0.2", "10.7.0.3", psk=PSK)
    control().add_peer(KEY, "10.7.0.2", command=genl.PEER_SET)
    control().delete_peer(KEY)
    seen, raw = read_events(here)
    names = [event for event, name in seen if name == KEY]
    check(
        names[0] == 1 and 2 in names and 6 in names, "added, weakened, removed", names
    )
    check_equal(read_events(there)[0], [], "events there of what happened here")
    check(PSK not in raw, "no psk in an event")


@case("no secret ever comes back")
def no_secrets():
    for command, body, flags in (
        (genl.GET, b"", genl.NLM_F_ACK),
        (genl.PEER_GET, peer(key(FIXED)), genl.NLM_F_ACK),
        (genl.PEER_GET, b"", genl.NLM_F_DUMP),
        (genl.SET, attr(genl.A_PRIVATE_KEY, PRIVATE), genl.NLM_F_ACK),
    ):
        control().socket.send(message(command, body, flags))
        raw, _ = receive(control().socket)
        check(
            control().family.to_bytes(2, "little") in raw, "an answer to %d" % command
        )
        for secret in PRIVATE, PSK:
            check(secret not in raw, "no secret in the answer to %d" % command)


@case("keys are wiped from an error that quotes the request")
def quoted_requests():
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, genl.NETLINK_GENERIC)
    sock.bind((0, 0))
    for command, body in (
        (genl.SET, attr(genl.A_PRIVATE_KEY, OTHER) + attr(genl.A_GENERATE)),
        (genl.PEER_ADD, peer(key(FIXED), address("10.7.0.2"), attr(genl.P_PSK, OTHER))),
    ):
        sock.send(message(command, body))
        data = sock.recv(1 << 16)
        check(len(data) > len(body), "the request is quoted", len(data))
        check(OTHER not in data, "the key is not", command)


@case("a dump that a change cuts in says so")
def interrupted_dump():
    names = [os.urandom(31) + b"\x01" for _ in range(8)]
    for i, name in enumerate(names):
        control().add_peer(name, *("fd77::%x:%x" % (i, j) for j in range(1, 65)))
    other = genl.Control()
    other.socket.send(message(genl.PEER_GET, flags=genl.NLM_F_DUMP))
    control().delete_peer(names[0])
    _, flags = receive(other.socket)
    check(flags & NLM_F_DUMP_INTR, "NLM_F_DUMP_INTR is set", flags)
    whole = control().peers()
    for name in names[1:]:
        check_equal(len(whole[name]["addresses"]), 64, "addresses after it")
        control().delete_peer(name)


def in_child(function):
    """What function returns, a small number, in a process of its own."""
    child = os.fork()
    if child == 0:
        code = 200
        try:
            code = function()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# Told by the module, or only asked for as a list.
NO_ACTS = genl.EVENT, genl.POLICY_GET


def refused_commands():
    """How many of all commands someone without privilege is refused."""
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, genl.NETLINK_GENERIC)
    sock.bind((0, 0))
    asked = [(c, genl.NLM_F_ACK) for c in range(genl.GET, genl.CONFIRM + 1) if c not in NO_ACTS]
    asked += [(c, genl.NLM_F_DUMP) for c in (genl.PEER_GET, genl.POLICY_GET)]
    refused = sum(ask(c, b"", sock, flags).code == errno.EPERM for c, flags in asked)
    try:
        group = groups()[b"events"]
        sock.setsockopt(genl.SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    except PermissionError:
        refused += 1
    return refused


@case("without privilege every command and the events are refused")
def unprivileged():
    check_equal(in_child(refused_commands), 16, "refusals: 13 commands, two lists, events")


def add_peer():
    inner = genl.Control()
    inner.set_private_key(OTHER)
    inner.add_peer(KEY, "10.7.0.2")
    return len(inner.peers())


def own_user_namespace():
    try:
        os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
    except OSError:
        return 100
    return add_peer()


@case("the administrator of a user namespace configures its own network")
def user_namespace():
    found = in_child(own_user_namespace)
    if found == 100:
        skip("no user namespaces here")
    check_equal(found, 1, "peers there")
    check(KEY not in control().peers(), "and none here")


def trace(path, value=None):
    if value is None:
        with open(TRACING + path, encoding="ascii") as file:
            return file.read()
    with open(TRACING + path, "w", encoding="ascii") as file:
        file.write(value)
    return None


def add_for_nothing():
    os.unshare(os.CLONE_NEWNET)
    return add_peer()


def queues_used(function):
    """Names of the module's work queues that a child's requests put something in."""
    trace("trace", "")
    in_child(function)
    return set(re.findall("workqueue=(netveil[^ ]*)", trace("trace")))


@case("works of a user namespace wait in queues of their own")
def queues():
    event = "events/workqueue/workqueue_queue_work/enable"
    if not os.path.exists(TRACING + "events"):
        subprocess.run(["mount", "-t", "tracefs", "none", TRACING], check=False)
    if not os.path.exists(TRACING + event):
        skip("this kernel has no tracefs")
    trace(event, "1")
    try:
        host, user = queues_used(add_for_nothing), queues_used(own_user_namespace)
    finally:
        trace(event, "0")
    check_equal(host, {"netveil-peer"}, "queues of the host's works")
    check_equal(user, {"netveil-user-peer"}, "queues of a user's")


def mutated(chance, good):
    data = bytearray(good)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(20, len(data))
        data[place] = chance.choice((0, 1, 0xFF, chance.randrange(256)))
    if chance.random() < 0.3:
        del data[chance.randrange(20, len(data)) :]
    struct.pack_into("=I", data, 0, len(data))
    return bytes(data)


@case("thousands of garbled requests do no harm")
def garbage():
    chance = random.Random(7)
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, genl.NETLINK_GENERIC)
    sock.bind((0, 0))
    sock.settimeout(5)
    everything = peer(
        key(),
        address("10.7.0.2"),
        address("fd77::2"),
        attr(genl.P_ENDPOINT, ip("10.7.0.2")),
        attr(genl.P_ENDPOINT_PORT, u16(5)),
        attr(genl.P_PSK, PSK),
    )
    goods = [
        message(
            genl.SET, attr(genl.A_LISTEN_PORT, u16(50000)) + attr(genl.A_CIPHER, b"\0")
        ),
        message(genl.PEER_ADD, everything),
        message(genl.PEER_SET, everything),
        message(genl.PEER_DEL, peer(key())),
        message(genl.PEER_GET, peer(key(FIXED))),
    ]
    for _ in range(3000):
        sock.send(mutated(chance, chance.choice(goods)))
        while sock.recv(1 << 16)[4:6] != b"\2\0":
            pass
    check(FIXED in control().peers(), "the module still answers")


ktap.run(set_up)
