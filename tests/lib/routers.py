# SPDX-License-Identifier: GPL-2.0
"""Routers between alpha and beta, as a rule for wire.Relay: they count TTLs down,
have an MTU of their own, and say so to alpha, or do not.
"""

import packets

R4, R6 = ("10.9.0.254", "10.9.0.253"), ("fd09::fe", "fd09::fd")


class Routers:
    """For frames from alpha to beta; those back pass.

    hops: how many routers; mtu: of the link behind them; says: how many bytes
    of a packet they quote behind its IP header, None for all, 0 for not a word.
    """

    def __init__(self, injector, hops=0, mtu=None, says=None):
        self.wire, self.hops, self.mtu, self.says = injector, hops, mtu, says
        self.told, self.dropped = 0, 0

    def __call__(self, to, frame):
        packet = packets.parse_frame(frame)
        if to != "wb" or packet is None or packets.is_discovery(packet):
            return [frame]
        # The link's own (MLD, whenever a host likes), and no router complains of
        # it (RFC 4443, 2.4).
        if packets.address(packet.destination).is_multicast:
            return [frame]
        inner = frame[14:]
        ttl = inner[8] if packet.version == 4 else inner[7]
        if ttl <= self.hops:
            self.tell(packet, inner, ttl - 1, packets.time_exceeded)
            return []
        if self.mtu and len(inner) > self.mtu:
            return self.too_long(frame, packet, inner)
        return [frame[:14] + packets.aged(inner, self.hops)]

    def too_long(self, frame, packet, inner):
        if packet.version == 4 and not inner[6] & 0x40:
            parts = packets.refragment(inner, self.mtu)
            return [frame[:14] + packets.aged(part, self.hops) for part in parts]
        self.dropped += 1
        self.tell(packet, inner, max(self.hops - 1, 0), packets.too_big, self.mtu)
        return []

    def tell(self, packet, inner, hop, message, *more):
        if self.says == 0:
            return
        v6 = packet.version == 6
        header = 40 if v6 else 20
        quoted = inner if self.says is None else inner[: header + self.says]
        router = (R6 if v6 else R4)[hop]
        self.told += 1
        self.wire.packet(message(router, packet.source, quoted, *more))
