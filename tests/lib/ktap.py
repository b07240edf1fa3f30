# SPDX-License-Identifier: GPL-2.0
"""KTAP version 1 output for tests in Python, and waiting on conditions.

A test is a function marked with @case("what it shows"). It fails by raising,
usually through check(); skip(why) says that it cannot run here. run() runs
them in their order and exits with the result.
"""

import os
import sys
import time
import traceback

KMEMLEAK = "/sys/kernel/debug/kmemleak"
cases = []


class Skip(Exception):
    """The case cannot run here."""


def case(name):
    def mark(function):
        cases.append((name, function))
        return function

    return mark


def skip(why):
    raise Skip(why)


def note(text):
    for line in str(text).splitlines():
        print("# " + line, flush=True)


def shown(value):
    text = repr(value)
    return text if len(text) < 500 else text[:500] + "..."


def check(condition, what, *details):
    """Fails the case with what should have been, and what was."""
    if not condition:
        was = ": " + ", ".join(map(shown, details)) if details else ""
        raise AssertionError(what + was)


def check_equal(got, wanted, what):
    check(got == wanted, "%s: got %s, wanted %s" % (what, shown(got), shown(wanted)))


def check_between(value, low, high, what):
    check(low <= value <= high, "%s between %s and %s" % (what, low, high), value)


def wait_until(condition, seconds, what, every=0.02):
    """The first true value of condition(); fails, naming what, after seconds."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError("not within %s s: %s" % (seconds, what))
        time.sleep(every)


def no_leaks():
    """What kmemleak (a debug kernel's) finds twice is a leak."""
    for _ in range(2):
        # It does not look at what is younger than 5 s.
        time.sleep(6)
        with open(KMEMLEAK, "w", encoding="ascii") as file:
            file.write("scan")
    with open(KMEMLEAK, encoding="ascii") as file:
        found = file.read()
    check("unreferenced object" not in found, "leaks:\n" + found[:4000])


def run_case(number, name, function):
    start = time.monotonic()
    try:
        function()
    except Skip as why:
        print("ok %d %s # SKIP %s" % (number, name, why), flush=True)
        return True
    except Exception:  # pylint: disable=broad-except
        note(traceback.format_exc())
        print("not ok %d %s" % (number, name), flush=True)
        return False
    spent = time.monotonic() - start
    note("%.1f s" % spent)
    print("ok %d %s" % (number, name), flush=True)
    return True


def run(set_up=None, only=None):
    """Runs all cases, or those whose name contains only, and exits. A kernel
    that can look for leaks does so after them."""
    if os.path.exists(KMEMLEAK):
        cases.append(("kmemleak finds nothing", no_leaks))
    only = only or (sys.argv[1] if len(sys.argv) > 1 else "")
    chosen = [c for c in cases if only in c[0]]
    print("KTAP version 1\n1..%d" % len(chosen), flush=True)
    try:
        if set_up:
            set_up()
    except Skip as why:
        for number, (name, _) in enumerate(chosen, 1):
            print("ok %d %s # SKIP %s" % (number, name, why), flush=True)
        sys.exit(0)
    results = [run_case(i, *c) for i, c in enumerate(chosen, 1)]
    sys.exit(0 if all(results) else 1)
