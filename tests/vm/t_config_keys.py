#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=100 once=yes
"""Keys and psks that change by configuration files: before, during and after the
change the same file is right, at boot as well, and so is what save writes.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import conffiles
import hosts
import ktap
from conffiles import conf_of, path_of, same, same_session, session, settled
from conffiles import state, text_of, up, veil, write
from hosts import alpha, beta
from ktap import case, check, check_equal, wait_until
from veilproto import Identity


@case("keys and psks change by files, and a key's old file undoes nothing")
def rotated():
    up(psk="psk")
    new = Identity()
    write("a2.key", text_of(new.private) + "\n")
    write("psk2", text_of(os.urandom(32)) + "\n")

    def files(psk):
        ours = conf_of(alpha, psk="psk").replace("a.key", "a.key next-private-key a2.key")
        theirs = conf_of(beta, psk="psk") + "\tnext-key %s\n" % text_of(new.public)
        return [write(host.name + ".conf", text.replace("\tpsk psk\n", psk))
                for host, text in ((alpha, ours), (beta, theirs))]

    before = alpha.drops()
    path, other = files("\tpsk psk\n\tpsk-next psk2\n")
    check_equal(veil("sync", path), (0, "", ""), "sync")
    same(path, alpha)
    # A handshake begins at once, and nothing ends before its session is there.
    session()
    hosts.ping_once(alpha, beta.v4)
    check_equal(hosts.drops_since(before, alpha.drops()), {}, "drops on the way")
    check_equal(alpha.peer(state["b"].public)["queued"], 0, "packets that wait")
    check_equal(veil("save", path), (0, "", ""), "save")
    same(path, alpha)
    check_equal(veil("sync", other, host=beta), (0, "", ""), "sync")
    wait_until(lambda: set(beta.control.peers()) == {new.public}
               and not beta.peer()["has_psk_next"]
               and alpha.peer()["on_next"] and not alpha.peer()["has_psk_next"],
               20, "both use the next key and psk")
    # The psk's files catch up; those of the keys do later.
    path, other = files("\tpsk psk2\n")
    before = settled()
    same(path, alpha)
    same(other, beta)
    alpha.veil("key", "retire")
    same(path, alpha)
    check_equal(alpha.control.get()["public_key"], new.public, "alpha's key")
    # What is saved is the key that there is now, not that of the old file.
    check_equal(veil("save", path), (0, "", ""), "save")
    with open(path, encoding="ascii") as file:
        saved = file.read()
    check("\tprivate-key a2.key\n" in saved and "a.key" not in saved, "saved", saved)
    write("alpha.conf", conf_of(alpha, psk="psk2").replace("a.key", "a2.key"))
    write("beta.conf", conf_of(beta, psk="psk2").replace(
        text_of(state["a"].public), text_of(new.public)))
    same(path, alpha)
    same(other, beta)
    same_session(before)
    hosts.ping_once(alpha, beta.v4)


def with_nexts():
    """Both ends' files amid a change of alpha's key and of the psk."""
    new = Identity()
    write("a2.key", text_of(new.private) + "\n")
    write("psk2", text_of(os.urandom(32)) + "\n")
    psks = "\tpsk psk\n\tpsk-next psk2\n"
    ours = conf_of(alpha).replace("a.key", "a.key next-private-key a2.key") + psks
    theirs = conf_of(beta) + psks + "\tnext-key %s\n" % text_of(new.public)
    return new, write("alpha.conf", ours), write("beta.conf", theirs)


@case("a host that boots amid a change of key and psk has both by its files, and by save's")
def booted():
    up(psk="psk")
    new, path, other = with_nexts()
    for host in alpha, beta:
        veil("flush", host=host)
    check_equal(veil("sync", path), (0, "", ""), "sync at boot")
    whole = alpha.control.get()
    check_equal((whole["public_key"], whole["next_key"]), (state["a"].public, new.public),
                "both keys")
    check_equal(veil("sync", other, host=beta), (0, "", ""), "sync at boot")
    hosts.ping_once(alpha, beta.v4)
    wait_until(lambda: alpha.peer()["on_next"] and not alpha.peer()["has_psk_next"]
               and not beta.peer()["has_psk_next"], 20, "both use the next key and psk")
    code, _, err = veil("save", path)
    check(code == 0 and "that of psk still, or that of psk2" in err, "a warning", err)
    # Here alpha is a peer with a new key by now.
    check_equal(veil("save", other, host=beta)[0], 0, "save")
    for name in path, other:
        with open(name, encoding="ascii") as file:
            saved = file.read()
        check("\tpsk psk\n\tpsk-next psk2\n" in saved, "both psks", saved)
        check("unknown" not in saved, "what loads", saved)
    before = settled()
    check_equal(veil("sync", path)[0], 0, "sync of what was saved")
    same_session(before)
    veil("flush")
    check_equal(veil("sync", path), (0, "", ""), "sync at the next boot")
    hosts.ping_once(alpha, beta.v4)


@case("a file with a psk that was replaced changes nothing of it, whatever else it changes")
def old_psk():
    up(psk="psk")
    _, path, other = with_nexts()
    veil("sync", path)
    veil("sync", other, host=beta)
    wait_until(lambda: alpha.peer()["on_next"] and not alpha.peer()["has_psk_next"]
               and not beta.peer()["has_psk_next"], 20, "both use the next key and psk")
    before = settled()
    for old, new in ("\tpsk psk\n", ""), ("psk-next psk2\n", "psk-next psk2\n\tkeepalive 25\n"):
        with open(path, encoding="ascii") as file:
            text = file.read()
        write("alpha.conf", text.replace(old, new))
        check_equal(veil("sync", path), (0, "", ""), "sync")
        same_session(before)
        peer = alpha.peer()
        check_equal((peer["has_psk"], peer["has_psk_next"]), (True, False), "its psks")
    check_equal(alpha.peer()["keepalive"], 25, "what the file changes")
    # The peer goes and comes in one step.
    with open(path, encoding="ascii") as file:
        text = file.read()
    write("alpha.conf", text.replace("fd09::2\n", "fd09::2\n\taddress fd09::22\n"))
    check_equal(veil("sync", path), (0, "", ""), "sync")
    peer = alpha.peer()
    check_equal((peer["has_psk"], peer["has_psk_next"]), (True, False), "its psks")
    hosts.ping_once(alpha, beta.v4)


ktap.run(conffiles.set_up)
