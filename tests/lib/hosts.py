# SPDX-License-Identifier: GPL-2.0
"""The two hosts and the wire of topo.sh, driven from one Python process.

A socket belongs to the namespace of the thread that made it, so a test opens
sockets on all hosts by stepping into their namespaces, without starting a
process for each.
"""

import atexit
import contextlib
import fcntl
import os
import socket
import struct
import subprocess

import genl
from ktap import check, skip, wait_until
from veilproto import Identity

LIB = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(LIB))
MODULE = os.environ.get("NETVEIL_KO", os.path.join(TOP, "netveil.ko"))
VEIL = os.path.join(TOP, "veil")
PORT = 51888
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33


def command(*words, **options):
    """Run a program; its output, or an error that shows it."""
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    check(done.returncode == 0, " ".join(words), done.returncode, done.stdout)
    return done.stdout


class Host:
    """A network namespace and the addresses in it."""

    def __init__(self, name, *addresses, device="eth0"):
        self.name, self.addresses, self.device = name, addresses, device
        self.control_socket = None
        self.place = None

    @property
    def v4(self):
        return self.addresses[0]

    @property
    def v6(self):
        return self.addresses[1]

    @contextlib.contextmanager
    def inside(self):
        """The calling thread, and what it opens or starts, is on this host."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open("/run/netns/" + self.name, os.O_RDONLY)
        try:
            os.setns(there, os.CLONE_NEWNET)
            yield self
        finally:
            os.setns(back, os.CLONE_NEWNET)
            os.close(there)
            os.close(back)

    def socket(self, *kind):
        with self.inside():
            return socket.socket(*kind)

    def run(self, *words, **options):
        with self.inside():
            return command(*words, **options)

    def start(self, *words, **options):
        """A program in the background."""
        options = {"stdin": subprocess.DEVNULL, **options}
        with self.inside():
            return subprocess.Popen(words, **options)

    def veil(self, *words, **options):
        return command(VEIL, "-n", self.name, *words, **options)

    @property
    def control(self):
        if self.control_socket is None:
            with self.inside():
                self.control_socket = genl.Control()
        return self.control_socket

    def forget_control(self):
        """After the module was unloaded, its family has another number."""
        if self.control_socket is not None:
            self.control_socket.close()
            self.control_socket = None

    def drops(self):
        return self.control.drops()

    def peer(self, public_key=None):
        """The named peer's properties, or those of the only one."""
        peers = self.control.peers()
        return peers[public_key] if public_key else next(iter(peers.values()))

    def is_up(self, public_key=None):
        return self.peer(public_key)["state"] == genl.STATE_UP

    def udp(self, address, port=0):
        """A UDP socket at one of this host's addresses, without blocking."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = self.socket(family, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 4 << 20)
        sock.bind((address, port))
        sock.setblocking(False)
        return sock

    def sysctl(self, key, value):
        """key: its path below /proc/sys/net."""
        with self.inside(), open("/proc/sys/net/" + key, "w", encoding="ascii") as file:
            file.write(str(value))

    def read_sysctl(self, key):
        with self.inside(), open("/proc/sys/net/" + key, encoding="ascii") as file:
            return file.read().strip()

    def statistic(self, name):
        """One of nstat's."""
        return int(self.run("nstat", "-asz", name).splitlines()[-1].split()[1])

    def mac(self):
        with self.inside(), socket.socket() as sock:
            request = struct.pack("16s16x", self.device.encode())
            answer = fcntl.ioctl(sock, 0x8927, request)  # SIOCGIFHWADDR
            return answer[18:24]


alpha = Host("alpha", "10.9.0.1", "fd09::1")
beta = Host("beta", "10.9.0.2", "fd09::2")
wire = Host("wire", device="wa")
more_hosts = []


def topology_up(*options):
    command("bash", os.path.join(LIB, "topo.sh"), "up", *options)


def ip_batch(host, *lines):
    """`ip` on a host, all lines by one process."""
    text = "".join(line + "\n" for line in lines)
    command("ip", "-n", host.name, "-batch", "-", input=text)


def add_host(name, v4, v6, port, on):
    """A further host, whose eth0 is joined to a new device `port` of host on."""
    host = Host(name, v4, v6)
    command("ip", "netns", "add", name)
    more_hosts.append(name)
    ip_batch(
        on,
        "link add %s type veth peer name eth0 netns %s" % (port, name),
        "link set %s up" % port,
    )
    ip_batch(
        host,
        "link set lo up",
        "link set eth0 up",
        "addr add %s/24 dev eth0" % v4,
        "addr add %s/64 dev eth0 nodad" % v6,
    )
    return host


def add_gamma():
    """A third host on the same wire, at port wg."""
    gamma = add_host("gamma", "10.9.0.3", "fd09::3", "wg", wire)
    ip_batch(wire, "link set wg master br0")
    return gamma


def forwards(host):
    """The host is a router from now on."""
    for key in "ipv4/ip_forward", "ipv6/conf/all/forwarding":
        host.sysctl(key, 1)


def add_networks():
    """alpha and beta route for a network each, with one host in it.

    left 10.1.0.2 fd01::2 --- lan0 10.1.0.1 fd01::1 alpha === beta 10.2.0.1 fd02::1
    lan0 --- 10.2.0.2 fd02::2 right
    """
    sides = []
    for number, name, router, other in (1, "left", alpha, beta), (2, "right", beta, alpha):
        net4, net6 = "10.%d.0." % number, "fd0%d::" % number
        host = add_host(name, net4 + "2", net6 + "2", "lan0", router)
        ip_batch(
            router,
            "addr add %s1/24 dev lan0" % net4,
            "addr add %s1/64 dev lan0 nodad" % net6,
        )
        ip_batch(host, "route add default via " + net4 + "1")
        host.run("ip", "-6", "route", "add", "default", "via", net6 + "1")
        words = 3 - number, other.v4, net4
        ip_batch(router, "route add 10.%d.0.0/24 via %s src %s1" % words)
        words = "fd0%d::/64" % (3 - number), "via", other.v6, "src", net6 + "1"
        router.run("ip", "-6", "route", "add", *words)
        sides.append(host)
    forwards(alpha)
    forwards(beta)
    return sides


def load_module():
    if not os.path.exists("/sys/module/netveil"):
        forget_controls()
        command("insmod", MODULE)
        if os.path.exists("/proc/lockdep"):
            trace_all()


def trace_all():
    """Tracepoints are on, since it is then that they assert which locks are held."""
    tracing = "/sys/kernel/tracing"
    if not os.path.exists(tracing + "/events"):
        command("mount", "-t", "tracefs", "none", tracing)
    with open(tracing + "/events/netveil/enable", "w", encoding="ascii") as file:
        file.write("1")


def forget_controls():
    for host in alpha, beta:
        host.forget_control()


def unload_module():
    if os.environ.get("NETVEIL_KERNEL") == "uml-debug":
        skip("KASAN on UML cannot take a module that is loaded again")
    forget_controls()
    wait_until(try_rmmod, 15, "rmmod netveil")


def try_rmmod():
    done = subprocess.run(["rmmod", "netveil"], stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def set_up():
    """What most tests begin with: the hosts, and the module without a peer."""
    topology_up()
    load_module()


def make_peer(host, me, other_key, other_host, psk=None, addresses=None, prefixes=()):
    """host, of identity me, knows one peer: what was before is gone."""
    host.control.flush()
    host.control.set_private_key(me.private)
    addresses = addresses or other_host.addresses
    host.control.add_peer(other_key, *addresses, psk=psk, prefixes=prefixes)


def make_peer_unheard(host, me, other_key, other_host, psk=None):
    """As make_peer(); the first initiation goes to somebody who says nothing,
    where a host without a configuration would answer with an ICMP error."""
    with other_host.udp(other_host.v4, PORT) as silent:
        make_peer(host, me, other_key, other_host, psk)
        wait_until(lambda: receive_all(silent), 10, "an initiation")


def make_peers(a_identity, b_identity, psk=None):
    """Both hosts know each other. The one with the smaller key comes first: it
    answers the other's first initiation, so that there is a session at once
    (PROTOCOL section 2, crossing initiations)."""
    flush_all()
    first, second = sorted(
        [
            (alpha, a_identity, b_identity.public, beta, psk),
            (beta, b_identity, a_identity.public, alpha, psk),
        ],
        key=lambda arguments: arguments[1].public,
    )
    make_peer_unheard(*first)
    make_peer(*second)


def make_gateways(pick=lambda host: host.addresses, prefixes=None):
    """Both hosts are gateways for their networks; pick(host) are the addresses by
    which the other knows a host, prefixes what is behind alpha and behind beta."""
    behind_alpha, behind_beta = prefixes or (
        ("10.1.0.0/24", "fd01::/64"),
        ("10.2.0.0/24", "fd02::/64"),
    )
    ours, theirs = sorted((Identity(), Identity()), key=lambda i: i.public)
    flush_all()
    make_peer(beta, ours, theirs.public, alpha, None, pick(alpha), behind_alpha)
    make_peer(alpha, theirs, ours.public, beta, None, pick(beta), behind_beta)
    wait_until(lambda: alpha.is_up() and beta.is_up(), 20, "a session")


def flush_all():
    for host in alpha, beta:
        host.control.flush()


@atexit.register
def leave():
    """The module cannot be unloaded while peers are there, and topo.sh does not
    know of further hosts."""
    with contextlib.suppress(OSError):
        flush_all()
    for name in more_hosts:
        with contextlib.suppress(AssertionError):
            command("ip", "netns", "del", name)


def offer(sock, data, to):
    """Send a datagram that the module may refuse, which an application sees as
    an error of its call."""
    with contextlib.suppress(OSError):
        sock.sendto(data, to)


def receive(sock, size=65535):
    """One datagram, or None if there is none now."""
    try:
        return sock.recv(size)
    except BlockingIOError:
        return None


def receive_all(sock):
    return list(iter(lambda: receive(sock), None))


def ping_once(host, address, seconds=20):
    """An echo request is answered: sent again as `ping` would until it is."""
    family = ("-6",) if ":" in address else ()
    words = "ping", *family, "-q", "-c", "1", "-W", "1", address
    with host.inside():
        wait_until(
            lambda: subprocess.run(
                words, stdout=subprocess.DEVNULL, check=False
            ).returncode
            == 0,
            seconds,
            "ping %s from %s" % (address, host.name),
        )


def drops_since(before, after):
    """The counters that moved."""
    moved = {name: after[name] - before.get(name, 0) for name in after}
    return {name: count for name, count in moved.items() if count}
