#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Two new users, two fresh Debian machines and the README: install.py FOLDER VERSION
NEWER QEMU-WORD...; see scripts/check-install.sh. Prints KTAP. The README's commands are
typed at the machines' consoles as they stand there, both machines rebooted, the
packages upgraded under traffic, and what QEMU captured of the wire is judged.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import ktap
import readme
import wire
from ktap import case, check, check_equal, note, wait_until
from machine import Machine, wire as cable

FOLDER, VERSION, NEWER = sys.argv[1:4]
QEMU = sys.argv[4:]
del sys.argv[1:]
SCAN = os.path.join(readme.TOP, "tests", "lib", "splat-scan.sh")
HOSTS = {"A": ("10.9.0.1", "fd09::1"), "B": ("10.9.0.2", "fd09::2")}
OURS = HOSTS["A"] + HOSTS["B"]
OTHER = {"A": "B", "B": "A"}
CONTROL, MARKER, REFUSED = b"in-clear-control", b"veil-marker-ping", b"in-clear-refused"
TALK = b"veil-marker-talk"
PING = "ping -q -p %s"
machines, keys, marks = {}, {}, {}
steps = iter(readme.blocks())


def on_both(act):
    """At once, as each takes its time; the first failure is told."""
    failures = []

    def one(name):
        try:
            act(name)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=one, args=name) for name in HOSTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def typed(who, seconds=1200):
    """The README's next commands, which are for who; what A and B printed."""
    wanted, commands = next(steps)
    check_equal(wanted, who, "whom the README's next commands are for")
    for name, key in keys.items():
        commands = commands.replace("KEY_OF_" + name, key)
    printed = {}

    def type_at(name):
        printed[name] = machines[name].run(commands, seconds)

    if who == "both":
        on_both(type_at)
    else:
        type_at(who)
    return printed


def frames(since=0):
    return wire.read_pcap(machines["A"].capture)[since:]


def crossed(text, since=0):
    return any(text in frame for frame in frames(since))


def unreachable(since):
    """How many ICMP errors "port unreachable", by IPv4, crossed the wire."""
    return sum(frame[12:14] == b"\x08\0" and frame[23] == 1 and frame[34:36] == b"\3\3"
               for frame in frames(since))


def pings(name, text, count=3, more=""):
    address = HOSTS[OTHER[name]][0]
    return machines[name].attempt(
        "%s -c %d -W 20 %s %s" % (PING % text.hex(), count, more, address))[0] == 0


def keep_pinging(address):
    machines["A"].run("nohup %s -i 0.5 %s >/run/pinged 2>&1 &" % (PING % MARKER.hex(), address))


def stop_pinging():
    """There were answers."""
    note(machines["A"].run(
        "pkill -INT -x ping; while pgrep -x ping; do sleep 0.2; done; cat /run/pinged"))
    machines["A"].run("grep '[1-9][0-9]* received' /run/pinged")


def state(name):
    return json.loads(machines[name].run("veil -j show"))


def guarded(name):
    """What the guard there has dropped, by reason."""
    told = machines[name].run("nft -j list counters table inet netveil_guard")
    return {c["counter"]["name"]: c["counter"]["packets"]
            for c in json.loads(told)["nftables"] if "counter" in c}


def protected(name):
    peer, = state(name)["peers"]
    return (peer["policy"], peer["state"]) == ("require", "up")


def only_netveil(since, until=None):
    """Nothing else crossed the wire between the two since that frame."""
    judge = wire.only_netveil(frames(since)[:until], OURS, (MARKER, TALK, CONTROL, REFUSED))
    check(judge.messages[4] > 0, "Netveil's data on the wire", judge.messages)
    note("on the wire: %s" % judge.messages)


@case("two fresh machines come up")
def come_up():
    plugs = cable()
    for number, name in enumerate(HOSTS):
        machines[name] = Machine(name, FOLDER, QEMU, plugs[number], number + 1)
    on_both(furnish)


def furnish(name):
    """As whoever installed it has named it, and with the packages copied to it."""
    v4, v6 = HOSTS[name]
    machines[name].log_in()
    if os.environ["FRESH"] == "yes":
        machines[name].run("! command -v veil dkms gcc")
    machines[name].run(
        """echo %s >/etc/hostname
hostname %s
sed -i 's/localhost$/localhost %s/' /etc/hosts
cat >>/etc/network/interfaces <<END
auto eth0
iface eth0 inet static
    address %s/24
iface eth0 inet6 static
    address %s/64
END
ifup eth0
tar -xf /dev/vdb -C /root --no-same-owner""" % (name, name, name, v4, v6))


@case("the control: before, the tap reads what they say")
def control():
    check(pings("A", CONTROL), "B answers")
    check(crossed(CONTROL), "the tap sees the control in clear")


@case("README, 1: the packages install, and a key is made")
def install():
    for name, printed in typed("both", 2400).items():
        keys[name] = printed.split()[-1]
        check(re.fullmatch("[A-Za-z0-9+/]{43}=", keys[name]), "a public key", keys[name])
        built = machines[name].run("dkms status netveil")
        check("netveil/%s," % VERSION in built and ": installed" in built, "DKMS", built)
    check(keys["A"] != keys["B"], "keys of their own")


@case("README, 2: each is told of the other")
def configure():
    for name in HOSTS:
        typed(name)


@case("README, 3: what the files say holds")
def enforce():
    marks["enforced"] = len(frames())
    typed("both")
    check(pings("A", MARKER), "B answers")
    for name in HOSTS:
        check(protected(name), "the link is up at " + name)


@case("README, 4: check, show and verify find all well")
def look():
    keep_pinging(HOSTS["B"][1])
    answers = typed("both")
    stop_pinging()
    for name, printed in answers.items():
        check("wrong" not in printed and "a ping went there and back" in printed, "check", printed)
        check("1 of 1 peers up" in printed, "show", printed)
        check(re.search(r"received sealed: +[1-9]", printed)
              and "no plaintext was seen" in printed, "verify", printed)


@case("README, 5: it is monitored")
def monitor():
    """A session lives as long as there is traffic."""
    typed("both", 1200)
    keep_pinging(HOSTS["B"][0])
    for name in HOSTS:
        machines[name].run(
            """for i in {1..300}; do
    curl -s localhost:9100/metrics | grep '^netveil_peer_up{.*} 1$' && exit
    sleep 1
done
exit 1""")
    stop_pinging()


@case("and that is all that the README has")
def all_typed():
    check_equal(list(steps), [], "commands of the README that were not typed")


EARLY = """cat >/etc/systemd/system/early.service <<'END'
[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/bash -c 'for i in {1..3000}; do echo %s >/dev/udp/%s/9 && echo $i >/run/early; sleep 0.05; done'
StandardError=null
[Install]
WantedBy=sysinit.target
END
cat >/etc/systemd/system/cloud-init-local.service <<'END'
[Unit]
DefaultDependencies=no
After=systemd-remount-fs.service
Before=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
[Install]
WantedBy=sysinit.target
END
systemctl enable early.service cloud-init-local.service 2>&1"""
SAME_MODULE = 'test "$(cat /sys/module/netveil/srcversion)" = "$(modinfo -F srcversion netveil)"'
ORDER = """for unit in netveil-guard netveil networking cloud-init-local; do
    systemctl show -P ActiveEnterTimestampMonotonic $unit.service
    systemctl show -P ExecMainStartTimestampMonotonic $unit.service
    systemctl is-failed --quiet $unit.service && exit 1
done
exit 0"""


@case("after a reboot of both the link is up, and was shut before there was a network")
def reboot():
    """A program sends from the first moment on; another is called as cloud-init, which has
    a network before all others."""
    since = len(frames())
    for name in HOSTS:
        machines[name].run(EARLY % (TALK.decode(), HOSTS[OTHER[name]][0]))
    on_both(lambda name: machines[name].reboot())
    check(pings("A", MARKER, 3) and pings("B", MARKER, 3), "they answer each other")
    for name in HOSTS:
        guarded, _, synced, _, _, networking, _, cloud = map(
            int, machines[name].run(ORDER).split())
        network = min(networking, cloud)
        check(0 < guarded < network and 0 < synced < network, "before the network",
              guarded, synced, networking, cloud)
        check(protected(name), "the link is up at " + name)
        wait_until(lambda n=name: int(machines[n].run("cat /run/early || echo 0")) > 0, 60,
                   "the early program's packets were taken")
        check_equal(state(name)["drops"]["plaintext_in"], 0, "what came in clear")
        machines[name].run(SAME_MODULE)
    only_netveil(since)


@case("check, verify and metrics say so after the reboot, too")
def say_so():
    keep_pinging(HOSTS["B"][0])
    for name in HOSTS:
        machines[name].run("veil check")
        machines[name].run("veil verify -t 5")
        machines[name].run("systemd-analyze security --no-pager --threshold=25"
                           " netveil-guard.service")
        told = machines[name].run("veil metrics")
        check(re.search(r"^netveil_peer_up\{.*\} 1$", told, re.M), "metrics", told)
    stop_pinging()


TALKER = """cat >/root/talker <<'END'
exec 3<>/dev/tcp/%s/7000
n=0
until [ -e /run/enough ]; do
    echo "%s $n" >&3
    read -r -t 300 -u 3 line && [ "$line" = "%s $n" ] || exit
    n=$((n + 1))
    echo $n >/run/talked
    sleep 0.1
done
echo whole >>/run/talked
END
nohup bash /root/talker >/dev/null 2>&1 &"""


@case("an upgrade of A lets nothing out, and breaks nothing")
def upgrade():
    """A connection and a ping go on all the while; B stays as it is."""
    since = len(frames())
    address, text = HOSTS["B"][0], TALK.decode()
    machines["B"].run("nohup systemd-socket-activate -l 7000 --inetd -a cat >/dev/null 2>&1 &")
    wait_until(lambda: "7000" in machines["B"].run("ss -Hltn"), 60, "B listens")
    machines["A"].run(TALKER % (address, text, text))
    keep_pinging(address)
    sent = state("A")["peers"][0]["tx_packets"]
    machines["A"].run("apt install ./new/netveil-*.deb", 2400)
    stop_pinging()
    machines["A"].run("touch /run/enough")
    wait_until(lambda: "whole" in machines["A"].run("cat /run/talked"), 60, "the connection lives")
    note(machines["A"].run("cat /run/talked"))
    check(state("A")["peers"][0]["tx_packets"] - sent > 50, "packets went meanwhile")
    only_netveil(since)
    for name in HOSTS:
        check(protected(name), "the link is up at " + name)
    check(NEWER in machines["A"].run("veil version"), "the newer version")
    machines["A"].run("systemctl is-active netveil-metrics.timer")
    check("netveil %s is loaded, and this is veil %s" % (VERSION, NEWER)
          in machines["A"].run("veil check"), "check tells of the older module")


AWAY = """module=$(modinfo -n netveil)
mv $module /root/
echo $module >/root/module-was
depmod"""
BACK = """mv /root/netveil.ko* $(cat /root/module-was)
depmod
systemctl restart netveil.service"""


@case("the guard alone holds A shut where the module is missing at boot")
def module_missing():
    since = len(frames())
    machines["A"].run(AWAY)
    machines["A"].reboot()
    machines["A"].run("systemctl is-active networking.service netveil-guard.service")
    machines["A"].run("systemctl is-failed netveil.service")
    machines["A"].run("! grep -w netveil /proc/modules")
    check(not pings("A", TALK, 3, "-i 1 -w 6"), "B does not hear of A")
    check(guarded("A")["plaintext_out"] >= 3, "the guard counted it", guarded("A"))
    machines["A"].run(BACK)
    check(NEWER in machines["A"].run("dkms status netveil"), "the upgrade's module")
    machines["A"].run(SAME_MODULE)
    check(pings("A", MARKER, 10), "once the module is there, B answers")
    check(protected("A"), "the link is up")
    only_netveil(since)


@case("plaintext is refused, and counted")
def refuse():
    """B does what an impostor could, in its place. A's guard stands before the module."""
    marks["refused"] = len(frames())
    machines["B"].run("systemctl stop early.service; veil flush; veil guard remove")
    before = guarded("A")["plaintext_in"]
    check(not pings("B", REFUSED, 3, "-i 1 -w 6"), "nobody answers B in clear")
    check(crossed(REFUSED, marks["refused"]), "the tap sees that B tried")
    count = guarded("A")["plaintext_in"]
    check(count >= before + 3, "and A counted it", before, count)
    # What the guard leaves to the module: B, which has no port of Netveil's open
    # any more, may say so of a handshake.
    wait_until(lambda: state("A")["drops"]["plaintext_in"] == unreachable(marks["refused"]),
               60, "the module refused that alone")
    told = machines["A"].run("veil metrics")
    check('netveil_guard_dropped_packets_total{reason="plaintext_in"} ' + str(count) in told,
          "so do the metrics", told)
    since = len(frames())
    machines["B"].run("systemctl reload netveil; veil guard install")
    check(pings("B", MARKER), "and once it is itself again, A answers")
    only_netveil(since)


@case("from the first veil sync on, the tap read nothing")
def nothing_read():
    only_netveil(marks["enforced"], marks["refused"] - marks["enforced"])


@case("the kernels have nothing to complain of")
def kernels_clean():
    logs = [os.path.join(FOLDER, name + ".kernel") for name in HOSTS]
    done = subprocess.run([SCAN, *logs], capture_output=True, text=True, check=False)
    check_equal(done.returncode, 0, done.stdout)


start = time.monotonic()
try:
    ktap.run()
finally:
    note("took %d s" % (time.monotonic() - start))
    for each in machines.values():
        each.stop()
