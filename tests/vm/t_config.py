#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=120 once=yes
"""Configuration files: all or nothing, nothing in clear in between, and sessions
of peers that stay as they are live on.
"""

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import conffiles
import genl
import hosts
import ktap
from conffiles import conf_of, config, folder, path_of, policies, same, same_session
from conffiles import session, state, stranger, take, text_of, up, veil, write
from hosts import alpha, beta
from ktap import case, check, check_equal, note, wait_until
from steps import sending_to, step_refused
from veilproto import Identity

MANY = 2000


def refused(place, reason, text, command="load"):
    """The file is refused for a reason at LINE:COLUMN, in one line; nothing has
    changed."""
    before = config()
    path = write("bad.conf", text)
    code, out, err = veil(command, path)
    wanted = "veil: %s%s" % (path, ":%s: " % place if place else "")
    check(code in (1, 2) and not out, command, code, out, err)
    check(err.startswith(wanted) and reason in err, "said why", wanted, reason, err)
    check_equal(err.count("\n"), 1, "lines of the message")
    check_equal(config(), before, "the configuration")


@case("load takes the statements of a file, with file names relative to it")
def load():
    up()
    key, port, peers = config()
    check_equal(key, state["a"].public, "the key")
    check_equal(port, 51888, "the port")
    check_equal(peers, [(state["b"].public, beta.addresses, False)], "the peers")


@case("what is wrong in a file is said with its place, and nothing is changed")
def refusals():
    good = "set listen-port 4000\npeer add %s address 10.9.0.77\n" % text_of(stranger())
    key = text_of(stranger())
    up()
    for place, reason, text in (
        ("3:1", "is no command; there are: set, peer, policy", good + "setting x\n"),
        ("3:6", "'del' is no command; there are: add", good + "peer del %s\n" % key),
        ("3:5", "'listen' is not understood", good + "set listen 5\n"),
        ("4:2", "'psk' wants a file", good + "peer add %s\n\tpsk # none\n" % key),
        ("3:10", "44 characters", good + "peer add %s address 10.9.0.4\n" % key[1:]),
        ("4:10", "not an IPv4", good + "peer add %s\n address 10.9.0.400\n" % key),
        ("1:2", "goes on from none", " listen-port 5\n"),
        ("1:17", "does not end", 'set private-key "a.key\n'),
        ("3:10", "say where", good + "peer add %s\n" % key),
        ("3:80", "not on trial", good + "peer add %s address 10.9.0.4 confirm 9\n" % key),
        ("3:40", "not on trial", good + "policy add 10.9.0.0/24 require confirm 9\n"),
        ("3:1", "set before already", good + "set listen-port 4001\n"),
        ("4:1", "given already", good + "\npeer add %s address 10.9.0.9\n"
         % good.split()[5]),
        # What only the kernel knows.
        ("5:10", "10.9.0.1: address is this host's own",
         good + "\npeer add %s\naddress 10.9.0.1\n".replace("\na", "\n\ta") % key),
        ("3:10", "own public key", good + "peer add %s address 10.9.0.5\n"
         % text_of(state["a"].public)),
        ("3:63", "address belongs to another peer",
         good + "peer add %s address 10.9.0.2\n" % key),
        ("3:10", "given to two peers", good + "peer add %s address 10.9.0.77\n" % key),
    ):
        refused(place, reason, text)


@case("files that others can change, and keys that they can read, are refused")
def modes():
    up()
    before = config()
    for name, mode in (("alpha.conf", 0o620), ("alpha.conf", 0o602)):
        os.chmod(path_of(name), mode)
        code, _, err = veil("load", path_of(name))
        check(code == 1 and "chmod go-w" in err, name, oct(mode), code, err)
    os.chmod(path_of("alpha.conf"), 0o644)
    os.chmod(path_of("a.key"), 0o640)
    code, _, err = veil("load", path_of("alpha.conf"))
    check(code == 1 and "chmod 600" in err and ":2:17: " in err, "key", code, err)
    os.chmod(path_of("a.key"), 0o600)
    os.chmod(folder, 0o777)
    code, _, err = veil("load", path_of("alpha.conf"))
    check(code == 1 and "chmod go-w" in err, "folder", code, err)
    os.chmod(folder, 0o700)
    os.chown(path_of("alpha.conf"), 1234, 0)
    code, _, err = veil("load", path_of("alpha.conf"))
    check(code == 1 and "belongs to user 1234" in err, "owner", code, err)
    os.chown(path_of("alpha.conf"), 0, 0)
    os.chown(path_of("a.key"), 1234, 0)
    code, _, err = veil("load", path_of("alpha.conf"))
    check(code == 1 and "a.key belongs to user 1234" in err, "owner of a key", code, err)
    os.chown(path_of("a.key"), 0, 0)
    check_equal(config(), before, "the configuration")
    check_equal(veil("load", path_of("alpha.conf"))[0], 0, "as it should be")


@case("sync changes only what differs, and sessions of other peers live on")
def sync():
    up()
    before = session()
    one, two = stranger(), stranger()
    add = "peer add %s address %s\n"
    take("sync", alpha, extra=add % (text_of(one), "10.9.0.50"))
    same_session(before)
    take("sync", alpha, extra=add % (text_of(two), "10.9.0.50 endpoint 10.9.0.50:99"))
    same_session(before)
    peers = alpha.control.peers()
    check_equal(set(peers), {state["b"].public, two}, "the peers")
    take("load", alpha)
    check(two in alpha.control.peers(), "load removes nothing")
    alpha.veil("set", "listen-port", "4000")
    take("sync", alpha)
    check_equal(config()[1:], (51888, [(state["b"].public, beta.addresses, False)]),
                "the configuration")


@case("a psk that is loaded again leaves the session alone, another one ends it")
def psk():
    up(psk="psk")
    before = session()
    take("sync", alpha, psk="psk")
    same_session(before)
    check_equal(veil("diff", path_of("alpha.conf"))[:2], (0, ""), "diff")
    take("sync", alpha, psk="other.psk")
    check(not alpha.is_up(), "the session of the old psk has ended")
    take("sync", beta, psk="other.psk")
    hosts.ping_once(alpha, beta.v4)
    take("sync", alpha)
    check(not alpha.peer()["has_psk"], "the psk is gone")


@case("a peer that gets a new key is protected all the time")
def new_key():
    up()
    right = text_of(state["b"].public)
    with sending_to(beta.v4, pause=0.0005):
        for _ in range(20):
            wrong = text_of(stranger())
            write("alpha.conf", conf_of(alpha).replace(right, wrong))
            check_equal(veil("sync", path_of("alpha.conf"))[0], 0, "sync")
            take("sync", alpha)
        hosts.ping_once(alpha, beta.v4)


@case("diff tells what sync would change, and changes nothing")
def diff():
    up()
    path = write("alpha.conf", conf_of(alpha))
    before = config()
    check_equal(veil("diff", path), (0, "", ""), "no difference")
    new = text_of(stranger())
    text = conf_of(alpha).replace("fd09::2", "fd09::22")
    write("alpha.conf", "set listen-port 99\n%speer add %s address 10.9.0.8\n" % (text, new))
    code, out, err = veil("diff", path)
    check_equal((code, err), (1, ""), "differences")
    for line in (
        "- set listen-port 51888",
        "+ set listen-port 99",
        "-         address fd09::2",
        "+         address fd09::22",
        "+ peer add %s address 10.9.0.8" % new,
    ):
        check(line in out.splitlines(), line, out)
    check_equal(veil("diff", path_of("none.conf"))[0], 2, "trouble")
    check_equal(config(), before, "the configuration")


@case("what save writes can be loaded, and holds no secret")
def save():
    up(psk="psk", extra="peer add %s address fd09::9 endpoint [fd09::9]:7\n"
       % text_of(stranger()))
    path = path_of("alpha.conf")
    code, out, err = veil("save", path)
    check_equal((code, out, err), (0, "", ""), "save")
    check_equal(veil("diff", path), (0, "", ""), "diff")
    with open(path, encoding="ascii") as file:
        text = file.read()
    for name in "a.key", "psk":
        with open(path_of(name), encoding="ascii") as file:
            check(file.read().strip() not in text, "no secret in it", text)
    check("\tpsk psk\n" in text and "[fd09::9]:7" in text, "its words", text)
    before, told = config(), session()
    check_equal(veil("sync", path), (0, "", ""), "sync")
    same_session(told)
    check_equal(config(), before, "the configuration")
    os.symlink(path, path_of("link.conf"))
    check_equal(veil("save", path_of("link.conf")), (0, "", ""), "save to a link")
    check(os.path.islink(path_of("link.conf")), "which stays one")


@case("what save cannot complete takes no place of a file that loads, nor does it of others")
def save_incomplete():
    up(psk="psk")
    path = path_of("new.conf")
    for there in "", conf_of(beta):
        if there:
            write("new.conf", there)
        code, out, err = veil("save", path)
        check(code == 1 and "private-key" in err and "psk" in err, "warnings", err)
        check("%s is as it was" % path in err, "where it is", err)
        check_equal(veil("load", path + ".incomplete")[0], 1, "to be completed first")
        code, _, err = veil("save", path)
        check(code == 1 and "is there already" in err, "that may be under way", err)
        os.unlink(path + ".incomplete")
        if there:
            with open(path, encoding="ascii") as file:
                check_equal(file.read(), there, "the file")
        else:
            check(not os.path.exists(path), "no file")
    code, out, err = veil("save")
    check(code == 1 and "psk unknown" in out and "not known" in err, "to output", out, err)
    os.symlink("nowhere", path_of("dangling.conf"))
    for place in "/dev/null", "/dev/stdout", path_of("dangling.conf"):
        code, out, err = veil("save", place)
        check(code == 1 and "no file to be replaced" in err, place, err)
    check(os.path.islink(path_of("dangling.conf")), "which still is a link")
    check(stat.S_ISCHR(os.stat("/dev/null").st_mode), "which it still is")


@case("a file of a secret that is called as an option is")
def save_names():
    up(psk="psk")
    write("oldpsk", text_of(os.urandom(32)) + "\n")
    text = conf_of(alpha) + "\tpsk-next psk\n\tpsk oldpsk\n"
    check_equal(veil("sync", write("alpha.conf", text)), (0, "", ""), "sync")
    path = path_of("alpha.conf")
    check_equal(veil("save", path)[0], 0, "save")
    with open(path, encoding="ascii") as file:
        saved = file.read()
    check("\tpsk oldpsk\n\tpsk-next psk\n" in saved, "both names", saved)


@case("files without a statement end no protection")
def empty():
    up()
    before = config()
    write("empty.conf", "# nothing but\n\n# comments\n")
    for command in "load", "sync", "diff":
        for word, options in (path_of("empty.conf"), {}), ("-", {"input": ""}):
            code, out, err = veil(command, word, **options)
            check(code == (2 if command == "diff" else 1), command, code)
            check("no statement in " + word in err and "veil flush" in err, "why", err)
            check_equal(config(), before, "the configuration")


@case("what a host that boots would be refused is refused while it runs")
def boots():
    up()
    new = Identity()
    write("a2.key", text_of(new.private) + "\n")
    check_equal(veil("set", "next-private-key", path_of("a2.key"))[0], 0, "set")
    check_equal(veil("key", "retire", "force")[0], 0, "the key is another by now")
    text = conf_of(alpha).replace("a.key", "a2.key next-private-key a2.key")
    refused("2:1", "are the same key", text, "sync")
    key, other = text_of(state["b"].public), text_of(stranger())
    twice = conf_of(alpha).replace("a.key", "a2.key") + "\tnext-key %s\n" % other
    refused("9:1", "is the next one of the peer at",
            twice + "peer add %s address %s\n" % (other, beta.v4), "sync")
    alpha.control.flush()




@case("while a change is on trial no sync says that all is as a file has it")
def on_trial():
    up()
    words = text_of(stranger()), "address", "10.9.0.77"
    check_equal(veil("peer", "add", *words, "confirm", "60")[0], 0, "a change on trial")
    path = write("alpha.conf", conf_of(alpha, "peer add %s %s %s\n" % words))
    for command in "sync", "load":
        code, out, err = veil(command, path)
        check(code == 1 and "on trial" in err and "veil confirm" in err, command, out, err)
    check_equal(veil("confirm"), (0, "", ""), "confirm")
    same(path, alpha)


@contextlib.contextmanager
def standard_folder():
    """/etc/netveil, empty, for as long as it is used."""
    os.makedirs("/etc/netveil", exist_ok=True)
    hosts.command("mount", "-t", "tmpfs", "-o", "mode=755", "none", "/etc/netveil")
    try:
        yield "/etc/netveil/"
    finally:
        hosts.command("umount", "/etc/netveil")


@case("save takes the standard folder as it comes: empty, and with other files in it")
def save_standard():
    up()
    key = "peer add " + text_of(state["b"].public)
    with standard_folder() as standard:
        code, out, err = veil("save")
        check(code == 1 and key in out and "private-key" in err, "empty", code, out, err)
        shutil.copy(path_of("a.key"), standard)
        for name, warned in ("one.conf", False), ("one", False), ("two.conf", True):
            shutil.copy(path_of("alpha.conf"), standard + name)
            code, out, err = veil("save", standard + name)
            check_equal((code, out, "other *.conf" in err), (0, "", warned), name + ": " + err)


@case("settings one by one: diff tells what comes and goes, sync does it, then nothing is left")
def settings():
    up()
    path = path_of("alpha.conf")
    new = Identity()
    write("a3.key", text_of(new.private) + "\n")
    text = conf_of(alpha)
    was = "- set next-private-key, whose public key is "
    for words, names, lines in (
        ("local 10.70.0.0/16 local 10.71.0.0/16", ["local"],
         ("+ set local 10.70.0.0/16", "+ set local 10.71.0.0/16")),
        ("local 10.71.0.0/16", ["local"], ("- set local 10.70.0.0/16",)),
        ("rx-mark 0x1/0xff", ["rx-mark", "local"],
         ("+ set rx-mark 0x1/0xff", "- set local 10.71.0.0/16")),
        ("rx-mark 0x1/0xf", ["rx-mark"],
         ("- set rx-mark 0x1/0xff", "+ set rx-mark 0x1/0xf")),
        ("next-private-key a3.key", ["next-private-key", "rx-mark"],
         ("- set rx-mark 0x1/0xf", "+ set next-private-key a3.key")),
        ("no-next-private-key", ["next-private-key"], (was + text_of(new.public),)),
    ):
        write("alpha.conf", text.replace("a.key", "a.key " + words))
        code, out, err = veil("diff", path)
        check_equal((code, err), (1, ""), "diff, " + words)
        check_equal(sorted(out.splitlines()), sorted(lines), "what it says")
        told = json.loads(veil("-j", "diff", path)[1])
        check_equal(told["settings"], names, "as JSON")
        check_equal(veil("sync", path), (0, "", ""), "sync, " + words)
        same(path, alpha)


@case("networks behind a peer and our own are part of the configuration")
def networks():
    up()
    before = session()
    conf = "set local 10.70.0.0/16 rx-mark 0x1/0xf\n" + conf_of(alpha).replace(
        "\taddress fd09::2", "\tprefix 10.71.0.0/16\n\taddress fd09::2")
    conf = conf.replace("set private-key a.key", "")
    path = write("alpha.conf", conf)
    check_equal(veil("sync", path), (0, "", ""), "sync")
    hosts.ping_once(alpha, beta.v4)
    before = session()
    check_equal(veil("diff", path), (0, "", ""), "diff")
    check_equal(veil("sync", path), (0, "", ""), "sync again")
    same_session(before)
    shown = json.loads(veil("-j", "show")[1])
    check_equal(shown["peers"][0]["prefixes"], ["10.71.0.0/16"], "behind the peer")
    # The prefix goes from one key to the other and back, in a step each.
    for key in text_of(stranger()), text_of(state["b"].public):
        write("alpha.conf", conf.replace(text_of(state["b"].public), key))
        check_equal(veil("sync", path), (0, "", ""), "sync")
        shown = json.loads(veil("-j", "show")[1])
        check_equal([p["prefixes"] for p in shown["peers"]], [["10.71.0.0/16"]], "moved")
    hosts.ping_once(alpha, beta.v4)
    write("alpha.conf", "set private-key a.key\n" + conf)
    check_equal(veil("save", path), (0, "", ""), "save")
    take("sync", alpha)
    shown = json.loads(veil("-j", "show")[1])
    check_equal(shown["peers"][0]["prefixes"], [], "none is left")


@case("where a peer roams to is no difference; that it roams is configuration")
def roaming():
    up()
    key = text_of(stranger())
    peer = "peer add %s\n\taddress 10.50.0.9\n\troaming\n\tkeepalive 25\n" % key
    take("load", alpha, extra=peer + "\tendpoint 192.0.2.1:999\n")
    shown = json.loads(veil("-j", "peer", "show", key)[1])[0]
    check_equal((shown["roaming"], shown["keepalive"], shown["endpoint"]),
                (True, 25, {"address": "192.0.2.1", "port": 999}), "the peer")
    path = path_of("alpha.conf")
    check_equal(veil("diff", path), (0, "", ""), "diff")
    veil("peer", "set", key, "endpoint", "192.0.2.2:1000")
    check_equal(veil("diff", path), (0, "", ""), "diff after it went elsewhere")
    check_equal(veil("save", path), (0, "", ""), "save")
    with open(path, encoding="ascii") as file:
        text = file.read()
    check("\troaming\n\tkeepalive 25\n" in text, "its words", text)
    check("192.0.2." not in text, "not where it is", text)
    check_equal(veil("sync", path), (0, "", ""), "sync")
    shown = json.loads(veil("-j", "peer", "show", key)[1])[0]
    check_equal(shown["endpoint"], {"address": "192.0.2.2", "port": 1000}, "stays")
    # Made anew, since something else of it changes; it was never heard.
    take("sync", alpha, extra=peer + "\tprefix 10.51.0.0/24\n\tendpoint 192.0.2.3:998\n")
    shown = json.loads(veil("-j", "peer", "show", key)[1])[0]
    check_equal((shown["prefixes"], shown["endpoint"]),
                (["10.51.0.0/24"], {"address": "192.0.2.3", "port": 998}), "as is given")
    for new, roams in ("", False), ("\troaming\n", True):
        extra = peer.replace("\troaming\n", new)
        code, out, _ = veil("diff", write("alpha.conf", conf_of(alpha, extra)))
        wanted = "%s         roaming" % ("+" if new else "-")
        check(code == 1 and wanted in out.splitlines(), "diff", wanted, out)
        take("sync", alpha, extra=extra)
        shown = json.loads(veil("-j", "peer", "show", key)[1])[0]
        check_equal(shown["roaming"], roams, "whether it roams")
        check_equal(veil("diff", path), (0, "", ""), "diff")


@case("a peer that roams is where it was heard, also when it is made anew")
def roamed():
    up()
    roams = "\troaming\n\tendpoint 192.0.2.1:999\n\taddress fd09::2"
    text = conf_of(alpha).replace("\taddress fd09::2", roams)
    for prefix in "", "\tprefix 10.51.0.0/24\n":
        path = write("alpha.conf", text.replace("\troaming", prefix + "\troaming"))
        check_equal(veil("sync", path), (0, "", ""), "sync")
        hosts.ping_once(alpha if prefix else beta, (beta if prefix else alpha).v4)
        shown = json.loads(veil("-j", "show")[1])["peers"][0]
        check_equal((shown["prefixes"], shown["endpoint"]),
                    (prefix.split()[1:], {"address": beta.v4, "port": 51888}), "where")


@case("policies are loaded, changed and removed with the rest")
def policies_too():
    up()
    before = session()
    two = "policy add 10.66.0.0/16 require\npolicy add 10.66.1.0/24 bypass\n"
    take("sync", alpha, extra=two)
    check_equal(policies(), {"10.66.0.0/16": "require", "10.66.1.0/24": "bypass"}, "both")
    path = path_of("alpha.conf")
    check_equal(veil("save", path), (0, "", ""), "save")
    check_equal(veil("diff", path), (0, "", ""), "diff")
    write("alpha.conf", conf_of(alpha, "policy add 10.66.1.0/24 prefer\n"))
    code, out, _ = veil("diff", path)
    check_equal(code, 1, "differences")
    for line in (
        "- policy add 10.66.0.0/16 require",
        "- policy add 10.66.1.0/24 bypass",
        "+ policy add 10.66.1.0/24 prefer",
    ):
        check(line in out.splitlines(), line, out)
    check_equal(veil("sync", path), (0, "", ""), "sync")
    check_equal(policies(), {"10.66.1.0/24": "prefer"}, "the other one")
    # A policy that was added goes again with the step that fails.
    bad = "policy add 10.67.0.0/16 require\npeer add %s address 10.9.0.88\n"
    bad += "peer add %s address 10.9.0.88\n"
    refused("3:10", "given to two peers", bad % (text_of(stranger()), text_of(stranger())))
    for second in "require", "bypass":
        both = "policy add 10.68.0.0/16 require\npolicy add 10.68.0.0/16 %s\n" % second
        for command in "load", "sync":
            refused("2:1", "is given already at", both, command)
    check_equal(policies(), {"10.66.1.0/24": "prefer"}, "as before")
    take("sync", alpha)
    check_equal(policies(), {}, "none is left")
    same_session(before)


@case("policies, peers and networks take each other's places in one step, never in clear")
def turns():
    """Each file is synced after the one before it."""
    up()
    alpha.run("ip", "route", "replace", "10.70.0.0/16", "via", beta.v4)
    one, two = stranger(), stranger()
    host, net = "10.70.1.1/32", "10.70.1.0/24"
    policy, peer = "policy add %s require\n", "peer add %s address 10.70.1.1\n" % text_of(one)
    behind = ["peer add %s address 10.77.0.1 prefix %s\n" % (text_of(k), net) for k in (one, two)]

    def turn(*texts):
        for text in texts:
            take("sync", alpha, extra=text)
            same(path_of("alpha.conf"), alpha)

    turn(policy % host)
    with sending_to("10.70.1.1"):
        turn(peer, policy % host, behind[0], policy % net, *behind, policy % net, policy % host)
    # What was to leave stays if the step is refused, and is in the way again.
    both = (genl.PEER_ADD, one, "10.70.1.1"), (genl.PEER_ADD, two, "10.70.1.1")
    step_refused("given to two peers", (genl.POLICY_DEL, host), *both)
    step_refused("policy of its own", both[0])
    for again in (genl.POLICY_SET, host, "bypass"), (genl.POLICY_DEL, host):
        step_refused("removed twice, or set and", (genl.POLICY_DEL, host), again)
    check_equal(policies(), {"10.70.1.1": "require"}, "the policies")
    local = "set local %s\n" % net
    turn(policy % net, local, behind[0], local)
    twice = "peer add %s address 10.77.0.1\n" % text_of(two)
    refused("", "given to two peers", conf_of(alpha, behind[0] + twice), "sync")
    refused("", "is a local one", conf_of(alpha, behind[0]))
    turn(policy % net, "")
    alpha.run("ip", "route", "del", "10.70.0.0/16")


@case("what changes meanwhile is saved, and guarded, as it was at one moment")
def meanwhile():
    """The state and the policies, of which veil asks one after the other: strace has it
    wait in between, for longer where the change was not done by then."""
    # After the family, the state and the peers; and after the policies as well.
    for word, done in ("save", 3), ("guard", 4):
        out = None
        for seconds in 2, 8, 32:
            out = out or changed_after(word, done, seconds)
        check(out, "a change in time")
        found = tuple(each for pair in PAIRS for each in pair if each in out)
        check_equal(found, PAIRS[1], "what %s has" % word)
    hosts.flush_all()


# A local network and a policy, before and after
PAIRS = ("10.61.0.0/16", "10.71.0.0/16"), ("10.62.0.0/16", "10.72.0.0/16")


def changed_after(word, done, seconds):
    """What veil prints that waits after so many requests, if all changed meanwhile."""
    trace = path_of("trace")

    def asked():
        with open(trace, encoding="ascii") as file:
            return file.read().count("\n")

    (local, policy), (other, instead) = PAIRS
    hosts.flush_all()
    alpha.control.apply((genl.POLICY_ADD, policy, "require"), local=[local])
    write("trace", "")
    wait = "inject=sendto:delay_enter=%d:when=%d" % (seconds * 1000000, done + 1)
    words = "strace", "-qq", "-o", trace, "-e", "trace=sendto", "-e", wait
    with subprocess.Popen(
        (*words, hosts.VEIL, "-n", "alpha", word), stdout=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: asked() >= done, 20, "that many requests")
        # Its answer, the end of which it would take for one of amid a change.
        time.sleep(seconds / 4)
        changes = (genl.POLICY_DEL, policy), (genl.POLICY_ADD, instead, "require")
        alpha.control.apply(*changes, local=[other])
        in_time = asked() == done
        out, _ = process.communicate()
    check_equal(process.returncode, 0, word)
    return in_time and out


@case("%d peers are loaded, synced and removed as one step each" % MANY)
def many():
    up()
    before = session()
    keys = [text_of(os.urandom(32)) for _ in range(MANY)]
    lines = [
        "peer add %s address 10.77.%d.%d address fd77::%x\n" % (k, i >> 8, i & 255, i)
        for i, k in enumerate(keys)
    ]
    for count, command in ((MANY, "load"), (MANY - 1, "sync"), (0, "sync")):
        start = time.monotonic()
        take(command, alpha, extra="".join(lines[:count]))
        note("%s %d: %.1f s" % (command, count, time.monotonic() - start))
        check_equal(alpha.control.get()["peers"], count + 1, "peers")
    same_session(before)


ktap.run(conffiles.set_up)
