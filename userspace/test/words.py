#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Every command and option of the parser is in the manual, in veil's help and in
both completions, and the completions offer nothing else. Prints KTAP. Without the word
"all" zsh is left out, whose completion make check-tools looks at.
"""

import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
results = []


def read(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as file:
        return file.read()


def result(good, name, detail=""):
    results.append(good)
    for line in detail.splitlines() if not good else ():
        print("# " + line)
    print("%s %d %s" % ("ok" if good else "not ok", len(results), name))


def tables(kind):
    """The words of each table of commands or options, by its file."""
    found = {}
    for name in sorted(os.listdir(TOP)):
        if not name.endswith(".c"):
            continue
        for body in re.findall(
            r"const struct %s \w+\[\] = \{(.*?)\n\t?\};" % kind, read(name), re.S
        ):
            found.setdefault(name, set()).update(
                re.findall(r'^\t+\{ "([^"]+)",', body, re.M)
            )
    return found


def manual_words():
    """What the manual shows in bold, with its escapes undone."""
    text = read("veil.8").replace("\\-", "-")
    text = re.sub(r"\\f[A-Z]", " ", text)
    bold = re.findall(r"^\.(?:B|BR|BI|RB|IR)[ \t](.*)$", text, re.M)
    return set(re.findall(r"[a-z0-9][a-z0-9-]*", " ".join(bold)))


def quoted_words(*path):
    """All words of a completion that could be offered."""
    text = re.sub(r"^\s*#.*$", "", read(*path), flags=re.M)
    return set(re.findall(r"[a-z0-9][a-z0-9-]*", text))


def offered_words():
    """What the completions offer by lists of words."""
    bash, zsh = read("completion", "veil"), read("completion", "_veil")
    lists = re.findall(r'_veil_words "([a-z0-9 -]+)"', bash)
    lists += re.findall(r"_veil_words ([a-z0-9-]+)", bash)
    lists += re.findall(r'_veil_commands="([^"]*)"', bash)
    lists += re.findall(r"(?:compadd|_veil_options) ([a-z][a-z0-9 -]*)", zsh)
    lists += re.findall(r"commands=\(([^)]*)\)", zsh)
    return set(" ".join(lists).replace("\\", " ").split())


def completed(*words):
    """What bash completion offers for the last word, which is an empty one."""
    script = 'source completion/veil; COMP_WORDS=("$@" ""); COMP_CWORD=$#; _veil; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script, "bash", *words], cwd=TOP, check=True,
                          capture_output=True, text=True)
    return set(done.stdout.split())


def synopsis(command):
    """The manual's words for that command alone."""
    text = read("veil.8").replace("\\-", "-").split("\n.SH SYNOPSIS")[1].split("\n.SH")[0]
    part, = (part for part in re.split(r"\n\.(?:br|PP)\n", text)
             if part.startswith(".B veil " + command))
    return set(re.findall(r"[a-z][a-z-]*", re.sub(r"\\f[A-Z]", " ", part)))


commands, options = tables("command"), tables("option")
# Statements of files are the commands again.
commands.pop("cmd_load.c", None)
# Options with a dash are told by what is behind it.
known = {w.lstrip("-") for w in set().union(*commands.values(), *options.values())}
names = set(re.findall(r'= "([a-z0-9-]+)",', read("names.c")))
result(len(known) > 20 and "listen-port" in known and "genkey" in known,
       "tables were found", repr(known))
usage = subprocess.run(
    [os.path.join(TOP, "veil"), "help"], check=True, capture_output=True, text=True
).stdout
for where, words in [
    ("the manual", manual_words()),
    ("veil help", set(re.findall(r"[a-z0-9][a-z0-9-]*", usage)) | {"delete"}),
    ("bash completion", quoted_words("completion", "veil")),
    ("zsh completion", quoted_words("completion", "_veil")),
][: 4 if sys.argv[1:] == ["all"] else 3]:
    missing = known - words
    result(not missing, where + " has every word", "missing: %s" % sorted(missing))
extra = {w.lstrip("-") for w in offered_words()} - known - names - {"j", "p", "n", "a"}
result(not extra, "completions offer what there is", "unknown: %s" % sorted(extra))
for words, what in (
    (("peer", "add", "KEY"), "peer add"),
    (("peer", "set", "KEY"), "peer set"),
    (("policy", "set", "10.0.0.0/8"), "policy add"),
    (("policy", "set", "10.0.0.0/8", "require"), "policy add"),
    (("policy", "set", "fd00", "::", "/8"), "policy add"),
):
    offered = completed("veil", *words)
    result(offered and offered <= synopsis(what),
           "the manual's synopsis of veil %s has what is offered after %s" % (what, words[-1]),
           "offered: %s" % sorted(offered))
result(completed("veil", "policy", "set", "fd00", "::", "/8") == {"require", "prefer", "bypass"},
       "after an IPv6 prefix come the policies")
# A line in the synopsis and the usage for each command of veil itself.
for word in sorted(commands["main.c"]):
    result(re.search(r"\bveil[^\n]*\b%s\b" % word, read("veil.8").replace("\\-", "-"))
           or re.search(r'"veil %s"' % word, read("veil.8"))
           or re.search(r'^\.BR "veil [^\n]*\b%s\b' % word, read("veil.8"), re.M),
           "the manual's synopsis has veil " + word)
print("1..%d" % len(results))
print("# %d passed, %d failed" % (sum(map(bool, results)), results.count(False) + results.count(None)))
sys.exit(not all(results))
