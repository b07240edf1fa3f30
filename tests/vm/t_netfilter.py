#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120
"""Firewalls, NAT, proxies and load balancers of a host work as if there were no
Netveil: they see the plaintext packets (STACK A7, B4, B8).

    delta --- down0 alpha eth0 --- the wire --- beta
"""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import nfqueue
import packets
import traffic
import wire
from hosts import alpha, beta, drops_since
from ktap import case, check, check_equal, skip, wait_until
from nflog import Log
from traffic import MARKER, in_clear
from veilproto import Identity

SERVICE = 8080
IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75
ALIAS4, ALIAS6 = "10.9.0.77", "fd09::77"
OURS = alpha.addresses + beta.addresses
FIREWALL = """
    table inet firewall {
        chain input {
            type filter hook input priority 0; policy drop;
            iifname "lo" accept
            ct state invalid counter name "invalid"
            ct state established,related accept
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
            meta l4proto { icmp, ipv6-icmp } accept
            tcp dport %d ct state new accept
            udp dport %d ct state new accept
            reject
        }
        counter invalid { }
    }"""
NAT = """
    table inet nat {
        chain out {
            type nat hook postrouting priority 100;
            %s
        }
        chain in {
            type nat hook prerouting priority -100;
            %s
        }
        chain own {
            type nat hook output priority -100;
            %s
        }
    }"""
state = {}


def set_up():
    hosts.set_up()
    delta = hosts.add_host("delta", "10.7.0.2", "fd07::2", "down0", alpha)
    hosts.forwards(alpha)
    hosts.ip_batch(
        alpha, "addr add 10.7.0.1/24 dev down0", "addr add fd07::1/64 dev down0 nodad"
    )
    hosts.ip_batch(delta, "route add default via 10.7.0.1")
    delta.run("ip", "-6", "route", "add", "default", "via", "fd07::1")
    state["delta"] = delta


class Link:
    """An encrypted link, rules on it, and the wire watched: in the end it has
    carried nothing but Netveil, and nothing was dropped."""

    def __init__(self, **rules):
        self.rules = rules

    def __enter__(self):
        hosts.make_peers(Identity(), Identity())
        hosts.ping_once(alpha, beta.v4)
        for host in alpha, beta:
            if host.name in self.rules:
                host.run("nft", self.rules[host.name])
        self.tap = wire.Tap(hosts.wire)
        self.before = alpha.drops(), beta.drops()
        return self

    def __exit__(self, *exception):
        for host in alpha, beta:
            host.run("nft", "flush ruleset")
        frames = self.tap.frames()
        self.tap.close()
        if exception[0]:
            return
        wire.only_netveil(frames, OURS, (MARKER,))
        for host, before in zip((alpha, beta), self.before):
            check_equal(drops_since(before, host.drops()), {}, "drops")


def refused(address, port):
    """Whether a connection from alpha is refused at once."""
    with alpha.socket(traffic.family(address), socket.SOCK_STREAM) as sock:
        sock.settimeout(10)
        return sock.connect_ex((address, port)) == 111


def serve(address, port=SERVICE):
    """How beta listens there."""
    return {"listen": (address, port)}


@case("a log rule sees plaintext at both ends, the same; packet sockets do not")
def nflog():
    with Link():
        for own, address in zip(alpha.addresses, beta.addresses):
            match = "udp dport %d" % SERVICE
            with Log(alpha, "output", match) as out, Log(
                beta, "prerouting", match
            ) as into, beta.udp(address, SERVICE) as receiver, alpha.udp(own) as sock:
                device = wire.packet_socket(beta, "eth0")
                device.setblocking(False)
                sock.sendto(MARKER, (address, SERVICE))
                traffic.collect(receiver, 1, "datagram")
                sent, got = out.wait(1), into.wait(1)
                # alpha's checksum was still to be filled in.
                check_equal(*map(packets.without_checksum, (got[0], sent[0])), "it")
                check(MARKER in got[0], "the payload in the log")
                seen = hosts.receive_all(device)
                check(seen, "a packet socket sees something")
                check(not any(MARKER in each for each in seen), "but no plaintext")
                device.close()


@case("a stateful firewall: new, established, related, refused; nothing invalid")
def firewall():
    rules = FIREWALL % (SERVICE, SERVICE)
    with Link(alpha=rules, beta=rules):
        for address, back in zip(beta.addresses, alpha.addresses):
            traffic.stream(alpha, beta, address, **serve(address))
            check(refused(address, SERVICE + 1), "another port is refused")
            with alpha.udp(back) as sock:
                sock.setblocking(True)
                sock.settimeout(10)
                sock.connect((address, SERVICE))
                sock.send(MARKER)
                # Related: the error about a closed port.
                check_equal(sock.getsockopt(1, 4) or read_error(sock), 111, "its error")
            traffic.stream(beta, alpha, back, listen=(back, SERVICE))
            hosts.ping_once(alpha, address)
        for host in alpha, beta:
            listed = host.run("nft", "list", "counters")
            check("packets 0 bytes 0" in listed, "nothing is invalid", listed)
        listed = alpha.run("conntrack", "-L", "-p", "tcp")
        check("dport=%d" % SERVICE in listed, "conntrack knows the connection", listed)
        # Outer packets are untracked; handshakes have a socket, from one port.
        listed = alpha.run("conntrack", "-L", "-p", "udp")
        ports = [line for line in listed.splitlines() if "dport=51888" in line]
        odd = [line for line in ports if line.count("sport=51888") != 2]
        check_equal(odd, [], "tracked outer packets")


def read_error(sock):
    try:
        sock.recv(100)
    except OSError as error:
        return error.errno
    return 0


@case("a host's own DNAT: to a peer by another address, and to another port here")
def dnat():
    for address, other in (beta.v4, "192.0.2.7"), (beta.v6, "2001:db8::7"):
        v6 = ":" in address
        to = "[%s]:%d" % (address, SERVICE) if v6 else "%s:%d" % (address, SERVICE)
        kind = "ip6" if v6 else "ip"
        own = "%s daddr %s tcp dport 80 dnat %s to %s" % (kind, other, kind, to)
        words = ("-6",) if v6 else ()
        alpha.run("ip", *words, "route", "replace", other, "dev", "eth0")
        into = "tcp dport 81 redirect to :%d" % SERVICE
        with Link(alpha=NAT % ("", "", own), beta=NAT % ("", into, "")):
            for target, port in (other, 80), (address, 81):
                listener = beta.socket(traffic.family(address), socket.SOCK_STREAM)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((address, SERVICE))
                listener.listen()
                listener.settimeout(20)
                client = alpha.socket(traffic.family(address), socket.SOCK_STREAM)
                client.settimeout(20)
                client.connect((target, port))
                client.sendall(MARKER * 1000)
                client.shutdown(socket.SHUT_WR)
                server, _ = listener.accept()
                server.settimeout(20)
                got = b"".join(iter(lambda: server.recv(1 << 16), b""))
                check(got == MARKER * 1000, "what was sent to %s" % target)
                for sock in server, client, listener:
                    sock.close()


@case("SNAT to another of the host's addresses, which the peer knows")
def snat():
    hosts.ip_batch(
        alpha,
        "addr add %s/32 dev eth0" % ALIAS4,
        "addr add %s/128 dev eth0 nodad" % ALIAS6,
    )
    before = alpha.addresses
    alpha.addresses = before + (ALIAS4, ALIAS6)
    rules = "ip daddr 10.9.0.2 snat ip to %s\nip6 daddr fd09::2 snat ip6 to %s\n"
    try:
        with Link(alpha=NAT % (rules % (ALIAS4, ALIAS6), "", "")):
            for address, alias in (beta.v4, ALIAS4), (beta.v6, ALIAS6):
                seen = traffic.both_kinds(alpha, beta, address)
                check_equal(seen, alias, "whom beta saw")
    finally:
        alpha.addresses = before
        hosts.ip_batch(
            alpha,
            "addr del %s/32 dev eth0" % ALIAS4,
            "addr del %s/128 dev eth0" % ALIAS6,
        )


@case("containers behind the host's address: masquerade out, DNAT in")
def containers():
    delta = state["delta"]
    into = "tcp dport 82 dnat ip to 10.7.0.2:%d" % SERVICE
    with Link(alpha=NAT % ('oifname "eth0" masquerade', into, "")):
        for address, host in zip(beta.addresses, alpha.addresses):
            check_equal(traffic.both_kinds(delta, beta, address), host, "seen by beta")
            hosts.ping_once(delta, address)
        listener = delta.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind((delta.v4, SERVICE))
        listener.listen()
        listener.settimeout(20)
        with beta.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(20)
            client.connect((alpha.v4, 82))
            server, seen = listener.accept()
            server.sendall(MARKER * 100)
            server.close()
            got = b"".join(iter(lambda: client.recv(1 << 16), b""))
        listener.close()
        check(got == MARKER * 100, "from the container")
        check_equal(seen[0], beta.v4, "whom the container saw")


@case("containers, with the devices' offloads on")
def containers_offload():
    features = "tx on sg on tso on gso on gro on".split()
    for host, device in (alpha, "eth0"), (alpha, "down0"), (beta, "eth0"):
        host.run("ethtool", "-K", device, *features)
    try:
        with Link(alpha=NAT % ('oifname "eth0" masquerade', "", "")):
            for address in beta.addresses:
                traffic.stream(state["delta"], beta, address, 1 << 20)
    finally:
        features = [word.replace("on", "off") for word in features]
        for host in alpha, beta:
            host.run("ethtool", "-K", "eth0", *features)


def iptables(flavour):
    """The firewall of a host with iptables: state match, NAT, a mark."""
    both = "iptables-" + flavour, "ip6tables-" + flavour
    rules = (
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT",
        "-A INPUT -p tcp --dport %d -m state --state NEW -j ACCEPT" % SERVICE,
        "-A INPUT -p udp --dport 1024:65535 -m state --state NEW -j ACCEPT",
        "-A INPUT -p %s -j ACCEPT",
        "-A INPUT -j DROP",
        "-t mangle -A OUTPUT -p tcp -j MARK --set-mark 7",
        "-t nat -A POSTROUTING -s %s -o eth0 -j MASQUERADE",
    )
    used = []

    def run(words):
        for host in alpha, beta:
            for number, program in enumerate(both):
                word = (("icmp", "10.7.0.0/24"), ("icmpv6", "fd07::/64"))[number][
                    "MASQ" in words
                ]
                line = words % word if "%s" in words else words
                host.run(program, "-w", *line.split())
        used.append(words)

    try:
        with Link():
            for words in rules:
                run(words)
            for address, own in zip(beta.addresses, alpha.addresses):
                traffic.stream(alpha, beta, address, **serve(address))
                traffic.stream(state["delta"], beta, address, **serve(address))
                traffic.datagrams(alpha, beta, address)
                check_equal(
                    traffic.stream(beta, alpha, own, listen=(own, SERVICE)),
                    address,
                    "whom alpha saw",
                )
    except AssertionError as error:
        if not used and ("No such file" in str(error) or "does not exist" in str(error)):
            skip("no iptables-%s on this kernel" % flavour)
        raise
    finally:
        for host in alpha, beta:
            for program in both:
                for table in "filter", "mangle", "nat":
                    host.start(program, "-w", "-t", table, "-F").wait()


@case("iptables-nft: states, marks, masquerade")
def iptables_nft():
    iptables("nft")


@case("iptables-legacy: states, marks, masquerade")
def iptables_legacy():
    iptables("legacy")


@case("a queue for userspace late in POST_ROUTING, and rules behind our hook")
def queue():
    rules = """
        table inet late {
            counter behind { }
            chain ask {
                type filter hook postrouting priority 300;
                udp dport %d queue num 5
            }
            chain last {
                type filter hook postrouting priority 2147483647;
                udp dport %d counter name "behind"
            }
        }""" % (SERVICE, SERVICE)
    with Link(alpha=rules):
        with nfqueue.Queue(alpha, 5) as queued:
            for own, address in zip(alpha.addresses, beta.addresses):
                with beta.udp(address, SERVICE) as receiver, alpha.udp(own) as sock:
                    for size in 10, 1400, 3000:
                        data = traffic.marked(size)
                        sock.sendto(data, (address, SERVICE))
                        payload = queued.accept()
                        check(MARKER in payload or size == 10, "the queue sees it")
                        got = traffic.collect(receiver, 1, "datagram")
                        check(got[0][0] == data, "what was sent")
        listed = alpha.run("nft", "list", "counters")
        check("packets 6 " in listed, "a rule behind our hook counts them", listed)


@case("a transparent proxy gets what was sealed, and not what is forged")
def tproxy():
    rules = """
        table inet proxy {
            chain c {
                type filter hook prerouting priority -150;
                meta l4proto { tcp, udp } th dport 83 \
                    tproxy to :%d meta mark set 1 accept
            }
        }""" % SERVICE
    for words in ("-4", "local", "0.0.0.0/0"), ("-6", "local", "::/0"):
        beta.run("ip", words[0], "rule", "add", "fwmark", "1", "lookup", "100")
        beta.run("ip", words[0], "route", "add", *words[1:], "dev", "lo", "table", "100")
    options = {4: (0, IP_TRANSPARENT), 6: (41, IPV6_TRANSPARENT)}
    try:
        with Link(beta=rules) as link:
            for own, address in zip(alpha.addresses, beta.addresses):
                any_address = "::" if ":" in address else "0.0.0.0"
                proxy = beta.udp(any_address, SERVICE)
                level, option = options[6 if ":" in address else 4]
                proxy.setsockopt(level, option, 1)
                with alpha.udp(own) as sock:
                    sock.sendto(MARKER, (address, 83))
                    got = traffic.collect(proxy, 1, "datagram at the proxy")
                    check_equal(got[0][0], MARKER, "at the proxy")
                    check_equal(got[0][1][0], own, "whom the proxy saw")
                elsewhere = "2001:db8::9" if ":" in address else "192.0.2.9"
                before = beta.drops()
                segment = packets.udp(own, elsewhere, 7, 83, b"forged")
                injector = wire.Injector(hosts.wire, "wb", alpha.mac(), beta.mac())
                injector.packet(packets.ip(own, elsewhere, packets.UDP, segment))
                moved = wait_until(
                    lambda: drops_since(before, beta.drops()), 10, "a drop"
                )
                check_equal(moved, {"plaintext_in": 1}, "drops")
                check_equal(hosts.receive_all(proxy), [], "at the proxy")
                injector.close()
                proxy.close()
            link.before = link.before[0], beta.drops()
    except AssertionError as error:
        if "tproxy" in str(error) and "No such file" in str(error):
            skip("this kernel's nftables has no tproxy")
        raise
    finally:
        for words in "-4", "-6":
            beta.run("ip", words, "rule", "del", "fwmark", "1", "lookup", "100")
            beta.run("ip", words, "route", "flush", "table", "100")


@case("IPVS: a service whose real server is a peer")
def ipvs():
    hosts.ip_batch(alpha, "addr add 192.0.2.100/32 dev lo")
    try:
        alpha.run("ipvsadm", "-A", "-t", "192.0.2.100:80", "-s", "rr")
    except AssertionError as error:
        hosts.ip_batch(alpha, "addr del 192.0.2.100/32 dev lo")
        skip("no IPVS: " + str(error)[-200:])
    real = "%s:%d" % (beta.v4, SERVICE)
    alpha.run("ipvsadm", "-a", "-t", "192.0.2.100:80", "-r", real, "-m")
    try:
        with Link():
            listener = beta.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((beta.v4, SERVICE))
            listener.listen()
            listener.settimeout(20)
            with alpha.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
                client.settimeout(20)
                client.bind((alpha.v4, 0))
                client.connect(("192.0.2.100", 80))
                server, seen = listener.accept()
                server.sendall(MARKER * 1000)
                server.close()
                got = b"".join(iter(lambda: client.recv(1 << 16), b""))
            listener.close()
            check(got == MARKER * 1000, "what the real server sent")
            check_equal(seen[0], alpha.v4, "whom the real server saw")
    finally:
        alpha.run("ipvsadm", "-C")
        hosts.ip_batch(alpha, "addr del 192.0.2.100/32 dev lo")


ktap.run(set_up)
