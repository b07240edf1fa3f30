#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=60
"""veil check tells what the next boot would do for what is protected now: whether
netveil.service, the guard and a module for each kernel are there.
"""

import atexit
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
from hosts import VEIL, command
from ktap import case, check, check_equal

CONF = "/etc/netveil/netveil.conf"
RULES = "/etc/netveil/guard.nft"
UNITS = "/etc/systemd/system/"
WANTS = UNITS + "sysinit.target.wants/"
NFT = "/usr/sbin/nft"
KERNELS = "/lib/modules"
PEERS = "10.9.0.7", "10.9.0.8", "10.9.0.9"
SHUT, OPEN = "it reaches no peer", "it has in clear"


def write(path, text="", mode=0o600):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path, mode)


def told():
    """Exit code, and by what was looked at its result and text; peers are not tried."""
    done = subprocess.run((VEIL, "-j", "check"), capture_output=True, text=True, check=False)
    by_name = {c["check"]: (c["result"], c["text"]) for c in json.loads(done.stdout)}
    return {name: by_name.get(name) for name in ("boot", "guard", "kernels")}, done.stderr


def found(what, result, word, stderr=""):
    """Only of this one it says so."""
    everything, said = told()
    check(everything[what], what, everything)
    check(everything[what][0] == result and word in everything[what][1], what, everything)
    check(stderr in said if stderr else not said, "standard error", said)
    return everything


@contextlib.contextmanager
def mounted(source, target):
    command("mount", "--bind", source, target)
    try:
        yield
    finally:
        command("umount", target)


@contextlib.contextmanager
def away(path):
    os.rename(path, path + ".away")
    try:
        yield
    finally:
        os.rename(path + ".away", path)


def kernel(folder, version, *modules, booted=True):
    """One that is installed, or what DKMS left of one."""
    place = os.path.join(folder, version)
    write(place + "/modules.dep", "".join("%s: kernel/x.ko\n" % m for m in modules))
    for module in modules:
        write(os.path.join(place, module))
    if booted:
        write(place + "/modules.builtin")
    return place


def tear_down():
    for words in ("flush",), ("guard", "remove", "--root", "/"):
        command(VEIL, *words)
    command("nft", "flush ruleset")
    for path in CONF, WANTS + "netveil.service", UNITS + "netveil.service":
        os.unlink(path)
    command("umount", KERNELS)


def set_up():
    hosts.load_module()
    atexit.register(tear_down)
    # What needs modules of the kernel's own comes before they are hidden.
    hosts.topology_up()
    command("nft", "list ruleset")
    command("mount", "-t", "tmpfs", "tmpfs", KERNELS)
    kernel(KERNELS, "6.1.0-9-amd64", "kernel/net/x.ko", "updates/dkms/netveil.ko.xz")
    write(CONF, "policy add 10.8.0.0/16 require\nset local 10.3.0.0/16 local 10.1.0.0/16\n")
    os.chmod("/etc/netveil", 0o700)
    write(UNITS + "netveil.service", "[Unit]\n")
    os.makedirs(WANTS, exist_ok=True)
    os.symlink("../netveil.service", WANTS + "netveil.service")
    command(VEIL, "sync")
    guard_on()


def guard_on():
    """As veil guard install, but for what it loads, which UML's nf_tables does not take."""
    command(VEIL, "guard", "install", "--root", "/")
    command("nft", "add table inet netveil_guard; "
            "add counter inet netveil_guard plaintext_in")


@case("where all is there: nothing but good")
def well():
    everything, said = told()
    check_equal(said, "", "standard error")
    check_equal([r for r, _ in everything.values()], ["ok"] * 3, everything)


@case("it is not said of another network namespace")
def elsewhere():
    hosts.alpha.control.add_policy("10.8.0.0/16", "require")
    with hosts.alpha.inside():
        everything, _ = told()
    check_equal(set(everything.values()), {None}, "in alpha")


@case("netveil.service that is not enabled, has no files, other ones, or wrong ones")
def service():
    with away(WANTS + "netveil.service"):
        check_equal(found("boot", "doubtful", "not enabled")["kernels"], None, "kernels")
    os.rename(UNITS + "netveil.service", UNITS + "x")
    os.symlink("/dev/null", UNITS + "netveil.service")
    found("boot", "doubtful", "not enabled")
    # The package's own unit is elsewhere, and what is enabled.
    os.unlink(WANTS + "netveil.service")
    os.symlink("../x", WANTS + "netveil.service")
    check_equal(found("boot", "doubtful", "masked")["kernels"], None, "kernels")
    os.rename(UNITS + "x", UNITS + "netveil.service")
    os.unlink(WANTS + "netveil.service")
    os.symlink("../netveil.service", WANTS + "netveil.service")
    with away(CONF):
        found("boot", "doubtful", "veil save")
    command(VEIL, "policy", "add", "10.7.0.0/16", "require")
    found("boot", "doubtful", "which differs: veil diff")
    command(VEIL, "sync")
    found("boot", "ok", "")
    write("/etc/netveil/more.conf", "policy add 10.8.0.0/33 require\n")
    found("boot", "wrong", "would not take the files", "more.conf:1:")
    os.unlink("/etc/netveil/more.conf")
    command(VEIL, "key", "generate")
    found("boot", "doubtful", "in the kernel alone")
    command(VEIL, "flush")
    command(VEIL, "sync")


@case("a guard that is not there, not enabled, cannot be loaded, or is not")
def guard():
    link = WANTS + "netveil-guard.service"
    with away(link):
        found("guard", "wrong", "not enabled")
        with away(RULES):
            found("guard", "doubtful", "not by netveil-guard.service")
    with away(RULES):
        found("guard", "wrong", "there is no " + RULES)
    with mounted("/dev/null", NFT):
        found("guard", "wrong", "install nftables")
    command("nft", "flush ruleset")
    found("guard", "wrong", "it is not loaded")
    with away(link), away(RULES):
        found("guard", "doubtful", "veil guard install")
    guard_on()
    found("guard", "ok", "shut until")


@case("a guard that was made of another configuration; the order of it is none")
def outdated():
    conf = "policy add 10.8.0.0/16 require\nset local 10.1.0.0/16 local 10.3.0.0/16\n"
    entries = ["policy add %s/32 require\n" % address for address in PEERS]
    write(CONF, conf + "".join(entries))
    command(VEIL, "sync")
    found("guard", "doubtful", "is not what would be made")
    command(VEIL, "guard", "install", "--root", "/")
    found("guard", "ok", "")
    command(VEIL, "flush")
    command(VEIL, "set", "no-local")
    write(CONF, conf.replace("1.0.0/16 local 10.3", "3.0.0/16 local 10.1") + "".join(entries[::-1]))
    command(VEIL, "sync")
    found("guard", "ok", "")
    command(VEIL, "set", "listen-port", "4000")
    found("guard", "doubtful", "is not what would be made")
    command(VEIL, "sync")


@case("a kernel without a module, with the guard and without")
def kernels():
    kernel(KERNELS, "6.1.0-8-amd64", "kernel/net/x.ko", booted=False)
    kernel(KERNELS, "6.12.9", "netveil.ko")
    found("kernels", "ok", "")
    new = kernel(KERNELS, "6.12.10", "kernel/net/netveil-faults.ko")
    everything = found("kernels", "doubtful", "6.12.10: booted, " + SHUT)
    check("6.1.0" not in everything["kernels"][1], "the others", everything)
    command("nft", "flush ruleset")
    found("kernels", "wrong", "6.12.10: booted, " + OPEN)
    guard_on()
    shutil.rmtree(new)
    # What depmod knows is gone.
    os.unlink(KERNELS + "/6.12.9/netveil.ko")
    found("kernels", "doubtful", "6.12.9: booted")
    shutil.rmtree(KERNELS + "/6.12.9")


ktap.run(set_up)
