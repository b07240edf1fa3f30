#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=90
"""With the devices' offloads on, as they are on every real host: segmentation,
checksums, joining on arrival. What arrives is what was sent, and none of it
is in clear on the wire.
"""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import devices
import hosts
import ktap
import wire
from hosts import alpha, beta, receive_all
from ktap import case, check, check_equal, wait_until
from traffic import each_way, in_clear, marked, transfer
from veilproto import Identity

APP, UDP_SEGMENT, UDP_GRO = 7000, 103, 104
SIZE = 1 << 20


def set_up():
    hosts.topology_up("--offload")
    hosts.load_module()


def udp_segments(source, target, address):
    """One call that the kernel cuts into datagrams (UDP GSO)."""
    receiver = target.udp(address, APP)
    sender = source.udp(source.addresses[":" in address])
    sender.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 1200)
    data = marked(1200 * 30 + 700)
    sender.sendto(data, (address, APP))
    got = []

    def complete():
        got.extend(receive_all(receiver))
        return sum(map(len, got)) >= len(data)

    wait_until(complete, 20, "31 datagrams to " + address)
    check_equal([len(each) for each in got], [1200] * 30 + [700], "their sizes")
    check(b"".join(got) == data, "their bytes")
    receiver.close()
    sender.close()


# The first, since large pages that the module has it would use again.
@case("jumbo frames, where the kernel has no large pages to give")
def single_pages():
    with devices.jumbo_without_large_pages():
        hosts.make_peers(Identity(), Identity())
        for way in each_way(alpha, beta):
            transfer(*way, marked(SIZE))
        for host in alpha, beta:
            check_equal(host.drops()["no_memory"], 0, "no_memory on " + host.name)
        hosts.flush_all()


@case("TCP both ways, IPv4 and IPv6, with and without peers")
def tcp_files():
    tap = wire.Tap(hosts.wire)
    transfer(alpha, beta, beta.v4, marked(SIZE))
    check(in_clear(tap), "the control is in clear")
    hosts.make_peers(Identity(), Identity())
    for way in each_way(alpha, beta):
        transfer(*way, marked(SIZE))
        check_equal(in_clear(tap), [], "frames in clear")
    tap.close()
    hosts.flush_all()


@case("UDP segmentation both ways, IPv4 and IPv6, with and without peers")
def udp_gso():
    tap = wire.Tap(hosts.wire)
    udp_segments(alpha, beta, beta.v4)
    check(in_clear(tap), "the control is in clear")
    hosts.make_peers(Identity(), Identity())
    for way in each_way(alpha, beta):
        udp_segments(*way)
        check_equal(in_clear(tap), [], "frames in clear")
    tap.close()


@case("UDP of all sizes, and sealed packets joined on arrival, are split again")
def sizes():
    for source, target, address in each_way(alpha, beta):
        receiver = target.udp(address, APP)
        sender = source.udp(source.addresses[":" in address])
        sent = [marked(size) for size in (1, 100, 1400, 1400, 1400, 1450, 9000, 60000)]
        for data in sent:
            sender.sendto(data, (address, APP))
        got = []
        wait_until(lambda: len(got) == 8 or got.extend(receive_all(receiver)), 10, "8")
        check(got == sent, "datagrams to " + address, [len(each) for each in got])
        receiver.close()
        sender.close()
    for host in alpha, beta:
        dropped = {name: count for name, count in host.drops().items() if count}
        check_equal(dropped, {}, "drops on " + host.name)


ktap.run(set_up)
