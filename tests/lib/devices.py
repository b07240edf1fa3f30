# SPDX-License-Identifier: GPL-2.0
"""Other devices than eth0 with a host's addresses on them, or longer frames, for as
long as a test wants."""

import contextlib

import hosts
from hosts import alpha, beta, ip_batch
from ktap import skip

ADDRESSES = {"alpha": ("10.9.0.1/24", "fd09::1/64"), "beta": ("10.9.0.2/24", "fd09::2/64")}


@contextlib.contextmanager
def moved(host, device, *lines):
    """The host's addresses are on another device, which `ip` makes by lines; it
    is gone afterwards."""
    addresses = ADDRESSES[host.name]
    ip_batch(host, "addr flush dev eth0 scope global")
    try:
        ip_batch(host, *lines)
    except AssertionError as error:
        back(host)
        skip("no such device on this kernel: " + str(error)[-200:])
    ip_batch(
        host,
        "link set %s up" % device,
        "addr add %s dev %s" % (addresses[0], device),
        "addr add %s dev %s nodad" % (addresses[1], device),
    )
    host.device = device
    forget_neighbours()
    try:
        yield
    finally:
        hosts.flush_all()
        ip_batch(host, "link set eth0 nomaster")
        ip_batch(host, "link del " + device)
        back(host)


@contextlib.contextmanager
def on_bridge(host):
    """On a bridge whose port eth0 is, with br_netfilter."""
    lines = (
        "link add br7 type bridge forward_delay 0 mcast_snooping 0",
        "link set eth0 master br7",
    )
    with moved(host, "br7", *lines):
        try:
            filter_frames(host)
        except FileNotFoundError:
            hosts.command("modprobe", "br_netfilter")
            filter_frames(host)
        yield


@contextlib.contextmanager
def jumbo_without_large_pages():
    """Frames of 9000 bytes, and a kernel that gives out single pages for packets."""
    ports = [(hosts.wire, device) for device in ("wa", "wb", "br0")]
    ports += [(host, "eth0") for host in (alpha, beta)]

    def lengths(mtu):
        for host, device in ports:
            ip_batch(host, "link set %s mtu %d" % (device, mtu))

    def large_pages(disabled):
        path = "/proc/sys/net/core/high_order_alloc_disable"
        with open(path, "w", encoding="ascii") as file:
            file.write(disabled)

    lengths(9000)
    large_pages("1")
    try:
        yield
    finally:
        large_pages("0")
        lengths(1500)


def filter_frames(host):
    for name in "iptables", "ip6tables":
        host.sysctl("bridge/bridge-nf-call-" + name, 1)


def forget_neighbours():
    """They know the address by another device's MAC."""
    for host in alpha, beta:
        host.run("ip", "neigh", "flush", "all")


def back(host):
    addresses = ADDRESSES[host.name]
    host.device = "eth0"
    ip_batch(
        host,
        "link set eth0 up",
        "addr add %s dev eth0" % addresses[0],
        "addr add %s dev eth0 nodad" % addresses[1],
    )
    forget_neighbours()
