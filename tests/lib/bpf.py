# SPDX-License-Identifier: GPL-2.0
"""BPF programs of a few instructions, loaded by bpf(2): what a test attaches to a
device or a control group, without a compiler.
"""

import contextlib
import ctypes
import os
import socket
import struct

import hosts

SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
PROG_LOAD, OBJ_PIN, PROG_ATTACH = 5, 6, 8
SCHED_CLS, CGROUP_SKB, XDP, LWT_OUT, LWT_XMIT = 3, 8, 6, 11, 12
CGROUP_INET_EGRESS = 1
XDP_DROP, XDP_PASS = 1, 2
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(SYS_BPF, command, buffer, 128)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, "bpf command %d: %s" % (command, os.strerror(error)))
    return result


def load(kind, code):
    """A program; code holds (opcode, registers, offset, immediate)."""
    text = b"".join(struct.pack("=BBhi", *each) for each in code)
    instructions = ctypes.create_string_buffer(text, len(text))
    licence = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(1 << 16)
    head = struct.pack(
        "=IIQQIIQ",
        kind,
        len(code),
        ctypes.addressof(instructions),
        ctypes.addressof(licence),
        1,
        len(log),
        ctypes.addressof(log),
    )
    try:
        return bpf(PROG_LOAD, head)
    except OSError as error:
        raise OSError(error.errno, "%s: %s" % (error, log.value.decode())) from error


def pin(program, path):
    name = ctypes.create_string_buffer(path.encode())
    bpf(OBJ_PIN, struct.pack("=QI", ctypes.addressof(name), program))


@contextlib.contextmanager
def pinned(kind, code):
    """The path of a program for `ip` in Host.run(): `ip netns exec` and `ip -n` have
    another mount of /sys."""
    if not os.path.ismount("/sys/fs/bpf"):
        hosts.command("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
    program, path = load(kind, code), "/sys/fs/bpf/program"
    pin(program, path)
    try:
        yield path
    finally:
        os.unlink(path)
        os.close(program)


@contextlib.contextmanager
def xdp(host, code):
    """Generic XDP on the host's eth0 meanwhile."""
    words = "ip", "link", "set", "eth0", "xdpgeneric"
    with pinned(XDP, code) as path:
        host.run(*words, "pinned", path)
        try:
            yield
        finally:
            host.run(*words, "off")


@contextlib.contextmanager
def ingress(host, code):
    """Traffic control's ingress of the host's eth0 meanwhile."""
    with pinned(SCHED_CLS, code) as path:
        host.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
        try:
            words = "tc filter add dev eth0 ingress bpf direct-action object-pinned"
            host.run(*words.split(), path)
            yield
        finally:
            host.run("tc", "qdisc", "del", "dev", "eth0", "clsact")


def attach(program, target, kind):
    bpf(PROG_ATTACH, struct.pack("=III", target, program, kind))


def drop_frames(**places):
    """XDP: frames of 54 bytes and more that hold these bytes, by where ("at12=8"),
    are dropped."""
    checks = []
    rest = 2 * len(places)
    for place, value in places.items():
        rest -= 2
        checks.append((0x71, 0x25, int(place[2:]), 0))  # r5 = the byte
        checks.append((0x55, 0x05, rest + 2, value))  # if r5 != value goto pass
    return (
        (0x61, 0x12, 0, 0),  # r2 = data
        (0x61, 0x13, 4, 0),  # r3 = data_end
        (0xBF, 0x24, 0, 0),  # r4 = r2
        (0x07, 0x04, 0, 54),  # r4 += 54
        (0x2D, 0x34, len(checks) + 2, 0),  # if r4 > r3 goto pass
        *checks,
        (0xB7, 0x00, 0, XDP_DROP),
        (0x95, 0x00, 0, 0),
        (0xB7, 0x00, 0, XDP_PASS),
        (0x95, 0x00, 0, 0),
    )


def drop_protocol_in_frames(protocol):
    """XDP: frames that hold an IPv4 packet of this protocol are dropped."""
    return drop_frames(at12=8, at13=0, at23=protocol)


def to_socket(source, target, port):
    """Ingress: what comes is for the UDP socket that a datagram between these IPv4
    addresses, from port to port, would be for."""

    def word(packed):
        return struct.unpack("=i", packed)[0]

    return (
        (0xBF, 0x16, 0, 0),  # r6 = context
        (0x62, 0x0A, -16, word(socket.inet_aton(source))),
        (0x62, 0x0A, -12, word(socket.inet_aton(target))),
        (0x62, 0x0A, -8, word(struct.pack(">HH", port, port))),
        (0xBF, 0xA2, 0, 0),
        (0x07, 0x02, 0, -16),  # r2 = these three
        (0xB7, 0x03, 0, 12),
        (0xB7, 0x04, 0, -1),  # this namespace
        (0xB7, 0x05, 0, 0),
        (0x85, 0x00, 0, 85),  # bpf_sk_lookup_udp()
        (0x15, 0x00, 7, 0),  # if none goto pass
        (0xBF, 0x07, 0, 0),  # r7 = it
        (0xBF, 0x61, 0, 0),
        (0xBF, 0x02, 0, 0),
        (0xB7, 0x03, 0, 0),
        (0x85, 0x00, 0, 124),  # bpf_sk_assign()
        (0xBF, 0x71, 0, 0),
        (0x85, 0x00, 0, 86),  # bpf_sk_release()
        (0xB7, 0x00, 0, 0),
        (0x95, 0x00, 0, 0),
    )


# Route: whatever goes by it goes on.
PASS_BY_ROUTE = (0xB7, 0x00, 0, 0), (0x95, 0x00, 0, 0)

# Control group: nothing leaves.
DROP_OF_SOCKETS = (0xB7, 0x00, 0, 0), (0x95, 0x00, 0, 0)


def drop_protocol_of_sockets(protocol):
    """Control group: IPv4 packets of this protocol are dropped."""
    return (
        (0x61, 0x12, 76, 0),  # r2 = data, which begins with the IP header
        (0x61, 0x13, 80, 0),  # r3 = data_end
        (0xBF, 0x24, 0, 0),  # r4 = r2
        (0x07, 0x04, 0, 20),  # r4 += 20
        (0x2D, 0x34, 2, 0),  # if r4 > r3 goto pass
        (0x71, 0x25, 9, 0),  # r5 = its protocol
        (0x15, 0x05, 2, protocol),  # if r5 == protocol goto drop
        (0xB7, 0x00, 0, 1),
        (0x95, 0x00, 0, 0),
        (0xB7, 0x00, 0, 0),
        (0x95, 0x00, 0, 0),
    )
