# SPDX-License-Identifier: GPL-2.0
"""A netfilter queue: a program that is asked about packets and lets them go on."""

import socket
import struct

import nflog
from ktap import check

NFNL_SUBSYS_QUEUE = 3
NFQNL_MSG_PACKET, NFQNL_MSG_VERDICT, NFQNL_MSG_CONFIG = 0, 1, 2
NFQA_PACKET_HDR, NFQA_VERDICT_HDR, NFQA_PAYLOAD = 1, 2, 10
NFQA_CFG_CMD, NFQA_CFG_PARAMS, NFQA_CFG_MASK, NFQA_CFG_FLAGS = 1, 2, 4, 5
NFQA_CFG_F_GSO = struct.pack(">I", 4)
NFQNL_CFG_CMD_BIND, NFQNL_COPY_PACKET = 1, 2
NF_ACCEPT = 1
NLMSG_ERROR = 2
SOL_NETLINK, NETLINK_NO_ENOBUFS = 270, 5


class Queue:
    """Queue `number` of a host, each packet waited for and accepted."""

    def __init__(self, host, number):
        self.number, self.ether_type = number, 0
        kind = socket.AF_NETLINK, socket.SOCK_RAW, nflog.NETLINK_NETFILTER
        self.sock = host.socket(*kind)
        self.sock.bind((0, 0))
        self.sock.settimeout(10)
        command = struct.pack(">BxH", NFQNL_CFG_CMD_BIND, 0)
        self.configure((NFQA_CFG_CMD, command))
        params = struct.pack(">IB", 0xFFFF, NFQNL_COPY_PACKET)
        self.configure((NFQA_CFG_PARAMS, params))

    def message(self, kind, body, flags=1):
        body = struct.pack(">BBH", 0, 0, self.number) + body
        head = (16 + len(body), NFNL_SUBSYS_QUEUE << 8 | kind, flags, 1, 0)
        self.sock.send(struct.pack("=IHHII", *head) + body)

    def configure(self, *attributes):
        body = b"".join(nflog.attribute(*each) for each in attributes)
        self.message(NFQNL_MSG_CONFIG, body, flags=5)
        error = struct.unpack_from("=i", self.sock.recv(4096), 16)[0]
        check(error == 0, "configuring a queue", error)

    def take_joined(self):
        """Joined segments come as one packet; those that come too fast are lost."""
        self.configure(
            (NFQA_CFG_MASK, NFQA_CFG_F_GSO), (NFQA_CFG_FLAGS, NFQA_CFG_F_GSO)
        )
        self.sock.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)

    def accept(self, change=None):
        """The next packet, from its IP header on; it goes on, as change() makes it.
        None if an earlier verdict was refused."""
        data = self.sock.recv(1 << 17)
        if struct.unpack_from("=H", data, 4)[0] == NLMSG_ERROR:
            return None
        found = nflog.attributes(data[20:])
        ident, self.ether_type = struct.unpack_from(">IH", found[NFQA_PACKET_HDR])
        packet = found.get(NFQA_PAYLOAD, b"")
        verdict = struct.pack(">II", NF_ACCEPT, ident)
        body = nflog.attribute(NFQA_VERDICT_HDR, verdict)
        if change:
            body += nflog.attribute(NFQA_PAYLOAD, change(packet))
        self.message(NFQNL_MSG_VERDICT, body)
        return packet

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.sock.close()
