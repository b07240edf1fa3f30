# SPDX-License-Identifier: GPL-2.0
"""Two hosts in namespaces, alpha and beta, on a veth wire, and what protects it.

    alpha eth0 10.9.0.1 fd09::1 --------- eth0 10.9.0.2 fd09::2 beta
"""

import base64
import os
import secrets
import subprocess
import time

HOSTS = ("alpha", "beta")
WIRE = {4: ("10.9.0.1", "10.9.0.2"), 6: ("fd09::1", "fd09::2")}
INSIDE = {4: ("10.10.0.1", "10.10.0.2"), 6: ("fd10::1", "fd10::2")}
MACS = ("02:00:00:00:09:01", "02:00:00:00:09:02")
TOP = os.environ.get("NETVEIL_BENCH", "/netveil")
MODULE = os.path.join(TOP, "netveil.ko")
VEIL = os.path.join(TOP, "veil")
SEGMENTATION = ("tso", "gso", "tx-udp-segmentation")


def run(*words, stdin=None):
    """Run a program; its output, or an error that shows it."""
    done = subprocess.run(
        words, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def batch(host, *lines):
    run("ip", "-n", host, "-batch", "-", stdin="\n".join(lines) + "\n")


def addresses(device, pairs, index, neighbours=True):
    """Both families on device, and the other host as a permanent neighbour."""
    lines = [f"link set {device} up"]
    for family, bits in ((4, 24), (6, 64)):
        nodad = " nodad" if family == 6 else ""
        lines.append(f"addr add {pairs[family][index]}/{bits} dev {device}{nodad}")
        if neighbours:
            other = pairs[family][1 - index]
            lines.append(
                f"neigh replace {other} lladdr {MACS[1 - index]} dev {device} nud permanent"
            )
    return lines


def wire_up(mtu, segmentation):
    """Fails when a namespace of that name exists: it is somebody else's."""
    for host in HOSTS:
        run("ip", "netns", "add", host)
    run(
        *f"ip link add eth0 netns alpha mtu {mtu} address {MACS[0]} type veth "
        f"peer name eth0 netns beta mtu {mtu} address {MACS[1]}".split()
    )
    state = "on" if segmentation else "off"
    for index, host in enumerate(HOSTS):
        words = [word for name in SEGMENTATION for word in (name, state)]
        run(*f"ip netns exec {host} ethtool -K eth0 gro on".split(), *words)
        batch(host, "link set lo up", *addresses("eth0", WIRE, index))


def wire_down():
    if module_loaded():
        for host in HOSTS:
            if os.path.exists(f"/run/netns/{host}"):
                run(VEIL, "-n", host, "flush")
    for host in HOSTS:
        if os.path.exists(f"/run/netns/{host}"):
            run("ip", "netns", "del", host)


def plaintext(mtu, family):
    return WIRE[family]


def key_file(key):
    with open("/tmp/bench-key", "w") as file:
        file.write(key + "\n")
    return file.name


def wireguard(mtu, family):
    keys = [base64.b64encode(secrets.token_bytes(32)).decode() for _ in HOSTS]
    public = [run("wg", "pubkey", stdin=key + "\n").strip() for key in keys]
    for index, host in enumerate(HOSTS):
        other = WIRE[family][1 - index]
        end = f"[{other}]" if family == 6 else other
        batch(host, f"link add wg0 mtu {mtu - 80} type wireguard",
              *addresses("wg0", INSIDE, index, neighbours=False))
        allowed = ",".join(INSIDE[f][1 - index] for f in (4, 6))
        run(
            *f"ip netns exec {host} wg set wg0 listen-port 51820 private-key {key_file(keys[index])} peer "
            f"{public[1 - index]} endpoint {end}:51820 allowed-ips {allowed}".split()
        )
    return INSIDE[family]


def esp(algorithm):
    """Transport mode, as an administrator with static keys would write it."""

    def setup(mtu, family):
        a, b = WIRE[family]
        lines = []
        for source, to, spi in ((a, b, 1), (b, a, 2)):
            key = "0x" + secrets.token_hex(36)
            lines.append(
                f"xfrm state add src {source} dst {to} proto esp spi {spi} mode transport "
                f"reqid 1 replay-window 128 aead {algorithm} {key} 128"
            )
        for index, host in enumerate(HOSTS):
            policies = [
                f"xfrm policy add src {source} dst {to} dir {way} "
                f"tmpl src {source} dst {to} proto esp reqid 1 mode transport"
                for source, to, way in (
                    (a, b, ("out", "in")[index]),
                    (b, a, ("in", "out")[index]),
                )
            ]
            batch(host, *lines, *policies)
        return a, b

    return setup


def macsec(mtu, family):
    keys = [secrets.token_hex(32) for _ in HOSTS]
    for index, host in enumerate(HOSTS):
        batch(host, "link add link eth0 macsec0 type macsec cipher gcm-aes-256 encrypt on "
              "replay on window 128")
        for words in (
            f"tx sa 0 pn 1 on key 00 {keys[index]}",
            f"rx port 1 address {MACS[1 - index]} on",
            f"rx port 1 address {MACS[1 - index]} sa 0 pn 1 on key 01 {keys[1 - index]}",
        ):
            run(*f"ip -n {host} macsec add macsec0 {words}".split())
        batch(host, *addresses("macsec0", INSIDE, index))
    return INSIDE[family]


def netveil(cipher):
    def setup(mtu, family):
        load_module()
        keys = []
        for host in HOSTS:
            run(VEIL, "-n", host, "set", "cipher", cipher)
            keys.append(run(VEIL, "-n", host, "key", "generate").strip())
        for index, host in enumerate(HOSTS):
            words = [word for f in (4, 6) for word in ("address", WIRE[f][1 - index])]
            run(VEIL, "-n", host, "peer", "add", keys[1 - index], *words)
        return WIRE[family]

    return setup


def module_loaded():
    return os.path.isdir("/sys/module/netveil")


def load_module():
    if not module_loaded():
        for name in run("modinfo", "-F", "depends", MODULE).strip().split(","):
            if name:
                run("modprobe", name)
        run("insmod", MODULE)


def unload_module():
    """A namespace goes a moment after its name, and holds the module until then."""
    for _ in range(100):
        if not module_loaded():
            return
        if subprocess.run(["rmmod", "netveil"], stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError("netveil.ko cannot be unloaded")


PROTECTIONS = {
    "plaintext": plaintext,
    "wireguard": wireguard,
    "esp-gcm": esp("rfc4106(gcm(aes))"),
    "esp-chacha": esp("rfc7539esp(chacha20,poly1305)"),
    "macsec": macsec,
    "netveil-gcm": netveil("aes-256-gcm"),
    "netveil-chacha": netveil("chacha20-poly1305"),
}
