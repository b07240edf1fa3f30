# SPDX-License-Identifier: GPL-2.0
"""Packets as a host's own stack has them at a netfilter hook: a log rule of
nftables sends them here whole. This is where plaintext shows (a packet socket
sees ciphertext).
"""

import contextlib
import socket
import struct

from hosts import SO_RCVBUFFORCE, receive
from ktap import wait_until

NETLINK_NETFILTER = 12
NFNL_SUBSYS_ULOG = 4
NFULNL_MSG_PACKET, NFULNL_MSG_CONFIG = 0, 1
NFULA_CFG_CMD, NFULA_CFG_MODE = 1, 2
NFULNL_CFG_CMD_BIND = 1
NFULNL_COPY_PACKET = 2
NFULA_PAYLOAD = 9
TABLE = """
    table inet nflog%(group)d {
        chain c {
            type filter hook %(hook)s priority %(priority)d;
            %(match)s log group %(group)d queue-threshold 1
        }
    }"""


def attribute(kind, data):
    padding = bytes(-len(data) % 4)
    return struct.pack("=HH", 4 + len(data), kind) + data + padding


def attributes(data):
    place, found = 0, {}
    while place + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, place)
        found[kind & 0x7FFF] = data[place + 4 : place + length]
        place += (length + 3) & ~3
    return found


class Log:
    """The packets that pass a hook of a host and match a rule, from now on."""

    def __init__(self, host, hook, match="", priority=-250, group=7):
        self.host, self.group, self.kept = host, group, []
        names = {"hook": hook, "match": match, "priority": priority, "group": group}
        host.run("nft", TABLE % names)
        self.sock = host.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.sock.bind((0, 0))
        self.configure(NFULA_CFG_CMD, struct.pack("=B", NFULNL_CFG_CMD_BIND))
        mode = struct.pack(">IBx", 0xFFFF, NFULNL_COPY_PACKET)
        self.configure(NFULA_CFG_MODE, mode)
        self.sock.setblocking(False)

    def configure(self, kind, data):
        body = struct.pack(">BBH", 0, 0, self.group) + attribute(kind, data)
        message = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG
        head = struct.pack("=IHHII", 16 + len(body), message, 5, 1, 0)
        self.sock.send(head + body)
        error = struct.unpack_from("=i", self.sock.recv(4096), 16)[0]
        if error:
            raise OSError(-error, "nflog group %d" % self.group)

    def packets(self):
        """All packets so far, each from its IP header on."""
        while True:
            data = receive(self.sock, 1 << 18)
            if data is None:
                return self.kept
            self.take(data)

    def take(self, data):
        place = 0
        while place + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, place)
            if kind == NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET:
                found = attributes(data[place + 20 : place + length])
                self.kept.append(found[NFULA_PAYLOAD])
            place += (length + 3) & ~3

    def wait(self, count, what="packets at the hook", seconds=10):
        wait_until(
            lambda: len(self.packets()) >= count, seconds, "%d %s" % (count, what)
        )
        return self.kept

    def close(self):
        self.sock.close()
        with contextlib.suppress(AssertionError):
            self.host.run("nft", "delete table inet nflog%d" % self.group)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
