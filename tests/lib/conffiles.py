# SPDX-License-Identifier: GPL-2.0
"""Configuration files of alpha and beta, and what became of them."""

import base64
import json
import os
import subprocess
import tempfile
import time

import genl
import hosts
import pypeer
from hosts import alpha, beta
from ktap import check, check_equal, wait_until

folder = tempfile.mkdtemp()
state = {}


def text_of(key):
    return base64.b64encode(key).decode()


def path_of(name):
    return os.path.join(folder, name)


def write(name, text, mode=0o600):
    with open(path_of(name), "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path_of(name), mode)
    return path_of(name)


def veil(*words, host=alpha, **options):
    """Exit code, standard output, standard error."""
    done = subprocess.run(
        (hosts.VEIL, "-n", host.name, *words),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        **options,
    )
    return done.returncode, done.stdout, done.stderr


def stranger():
    return pypeer.identities()[0].public


def set_up():
    hosts.set_up()
    a, b = pypeer.identities()
    state["a"], state["b"] = a, b
    write("a.key", text_of(a.private) + "\n")
    write("b.key", text_of(b.private) + "\n")
    write("psk", text_of(os.urandom(32)) + "\n")
    write("other.psk", text_of(os.urandom(32)) + "\n")


def conf_of(host, extra="", psk=""):
    """Either end's file, in which file names are relative to it."""
    mine, key, other = (
        ("a.key", state["b"].public, beta)
        if host is alpha
        else ("b.key", state["a"].public, alpha)
    )
    return "# %s\nset private-key %s\n\npeer add %s  # the other\n%s%s\n%s" % (
        host.name,
        mine,
        text_of(key),
        "".join("\taddress %s\n" % a for a in other.addresses),
        "\tpsk %s\n" % psk if psk else "",
        extra,
    )


def take(command, host, **words):
    """Both must succeed: the file is written and taken."""
    path = write(host.name + ".conf", conf_of(host, **words))
    code, out, err = veil(command, path, host=host)
    check_equal((code, out, err), (0, "", ""), "%s %s" % (command, path))
    return path


def up(**words):
    hosts.flush_all()
    take("load", alpha, **words)
    take("load", beta, **words)
    hosts.ping_once(alpha, beta.v4)


def session():
    """What tells one session of alpha from the next: when it began, at the earliest
    and at the latest, as a busy machine takes its time to tell."""
    early = time.monotonic()
    peer = alpha.peer(state["b"].public)
    check_equal(peer["state"], genl.STATE_UP, "the peer's state")
    late, age = time.monotonic(), peer["session_age"] / 1000
    return early - age, late - age


def settled():
    """The session, once no handshake is under way any more: one that next keys or psks
    have begun at both ends at once is over soon."""
    wait_until(
        lambda: alpha.peer(state["b"].public)["session_age"] > 1500, 20, "an older session"
    )
    return session()


def same_session(before):
    now = session()
    overlap = min(now[1], before[1]) - max(now[0], before[0])
    check(overlap > -0.1, "the session lives on", before, now)


def same(path, host):
    """Neither diff nor sync finds anything to do."""
    check_equal(veil("diff", path, host=host), (0, "", ""), "diff of " + path)
    check_equal(veil("sync", path, host=host), (0, "", ""), "sync of " + path)


def config(host=alpha):
    """All that is configured, without what changes by itself."""
    whole = host.control.get()
    peers = [
        (key, tuple(peer["addresses"]), peer["has_psk"])
        for key, peer in host.control.peers().items()
    ]
    return whole["public_key"], whole["listen_port"], sorted(peers)


def policies():
    shown = json.loads(veil("-j", "policy", "show")[1])
    return {policy["prefix"]: policy["policy"] for policy in shown}
