# SPDX-License-Identifier: GPL-2.0
"""One host with many peers that all have a session: what a session takes in
memory, and what a handshake costs, for WireGuard and Netveil.

    spoke0 eth0 10.20.0.2, spoke1 eth0 10.20.0.3, ... --- [bridge br0] --- hub eth0 10.20.0.1
"""

import ipaddress
import os
import socket
import time

import quiet
import setups

HUB = "10.20.0.1"
INSIDE = "10.21.0.1"
GONE = 60  # s, in which a hundred namespaces are gone
FORGOTTEN = 200  # s without traffic, after which both want a new session


def nth(first, number):
    return str(ipaddress.ip_address(first) + number)


class Hub:
    """The namespaces; peers come with protect()."""

    def __init__(self, count):
        self.spokes = [f"spoke{number}" for number in range(count)]
        self.where = {name: nth(HUB, 1 + number) for number, name in enumerate(self.spokes)}
        self.where["hub"] = HUB
        setups.run("ip", "-batch", "-",
                   stdin="".join(f"netns add {name}\n" for name in self.where))
        setups.run("ip", "-batch", "-", stdin="".join(self.links()))
        for name in self.where:
            setups.batch(name, "link set lo up", "link set eth0 up",
                         f"addr add {self.where[name]}/16 dev eth0")

    def links(self):
        yield "link add br0 type bridge forward_delay 0 mcast_snooping 0\nlink set br0 up\n"
        for number, name in enumerate(self.where):
            yield f"link add port{number} master br0 up type veth peer name eth0 netns {name}\n"

    def close(self):
        """A namespace's end comes later than its name's: the devices go now, and
        what is measured next does not see their memory come back."""
        setups.run("ip", "-batch", "-", stdin="link del br0\n" + "".join(
            f"link del port{number}\n" for number in range(len(self.where))))
        for name in self.where:
            if setups.module_loaded():
                setups.run(setups.VEIL, "-n", name, "flush")
            setups.run("ip", "netns", "del", name)
        time.sleep(GONE)

    def speak(self, addresses):
        """A datagram from every spoke to the hub, and until all are quiet."""
        back = os.open("/proc/self/ns/net", os.O_RDONLY)
        for name in self.spokes:
            there = os.open(f"/run/netns/{name}", os.O_RDONLY)
            os.setns(there, os.CLONE_NEWNET)
            os.close(there)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"x", (addresses["hub"], 9))
        os.setns(back, os.CLONE_NEWNET)
        os.close(back)
        time.sleep(8)


class WireGuard:
    def __init__(self, hub):
        self.hub = hub
        self.addresses = {name: nth(INSIDE, number)
                          for number, name in enumerate(["hub", *hub.spokes])}
        self.keys = {}
        for name in hub.where:
            private = setups.run("wg", "genkey")
            self.keys[name] = setups.run("wg", "pubkey", stdin=private).strip()
            setups.batch(name, "link add wg0 type wireguard", "link set wg0 up",
                         f"addr add {self.addresses[name]}/16 dev wg0")
            setups.run(*f"ip netns exec {name} wg set wg0 listen-port 51820 private-key".split(),
                       setups.key_file(private.strip()))

    def peers(self):
        for name in self.hub.spokes:
            for here, there in ((name, "hub"), ("hub", name)):
                setups.run(
                    *f"ip netns exec {here} wg set wg0 peer {self.keys[there]} allowed-ips "
                    f"{self.addresses[there]}/32 endpoint {self.hub.where[there]}:51820".split()
                )

    def up(self):
        told = setups.run(*"ip netns exec hub wg show wg0 latest-handshakes".split())
        return sum(not line.endswith("\t0") for line in told.splitlines())


class Netveil:
    def __init__(self, hub):
        setups.load_module()
        self.hub, self.addresses = hub, hub.where
        self.keys = {}
        for name in hub.where:
            self.keys[name] = setups.run(setups.VEIL, "-n", name, "key", "generate").strip()
            setups.run(setups.VEIL, "-n", name, "set", "cipher", "aes-256-gcm")

    def peers(self):
        for name in self.hub.spokes:
            for here, there in ((name, "hub"), ("hub", name)):
                setups.run(setups.VEIL, "-n", here, "peer", "add", self.keys[there],
                           "address", self.hub.where[there])

    def up(self):
        return setups.run(setups.VEIL, "-n", "hub", "show").count("last handshake:")


def measure(plan, count, free_kib):
    for name, kind in (("wireguard", WireGuard), ("netveil-gcm", Netveil)):
        hub = Hub(count)
        try:
            side = kind(hub)
            before = free_kib()
            side.peers()
            hub.speak(side.addresses)
            if side.up() != count:
                raise RuntimeError(f"{name}: {side.up()} of {count} sessions came up")
            where = dict(protection=name, peers=count)
            plan.take("session", lambda: (before - free_kib()) * 1024 / (2 * count), **where)
            time.sleep(FORGOTTEN)
            start = quiet.busy()
            hub.speak(side.addresses)
            plan.take("handshake", lambda: count * 1e9 / (quiet.busy() - start), **where)
        finally:
            hub.close()
