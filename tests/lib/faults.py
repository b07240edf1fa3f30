# SPDX-License-Identifier: GPL-2.0
"""Allocations that fail where a test wants it, by the kernel's fault injection
(a debug kernel's, see scripts/configs/debug.config).

A failure is limited to allocations that have an address of the module's on their
stack, so that what fails is the module's and not the test's.
"""

import contextlib
import os

import ktap

DEBUG = "/sys/kernel/debug/"
KINDS = "failslab", "fail_page_alloc"
# Writing the number arms it for the calling thread alone.
NTH = "/proc/thread-self/fail-nth"


def filtered():
    """Whether the kernel can fail allocations by their caller."""
    return os.path.exists(DEBUG + "failslab/require-start")


def need(by_stack=True):
    """It can fail allocations, by their caller or at all, or the case is skipped."""
    if not os.path.exists(DEBUG + "failslab"):
        ktap.skip("this kernel has no fault injection")
    if by_stack and not filtered():
        ktap.skip("this kernel's fault injection has no filter by stack")


def write(kind, **values):
    for name, value in values.items():
        path = DEBUG + kind + "/" + name.replace("_", "-")
        with open(path, "w", encoding="ascii") as file:
            file.write(str(value))


def read(kind, name):
    with open(DEBUG + kind + "/" + name, encoding="ascii") as file:
        return int(file.read(), 0)


def all_kinds(**values):
    for kind in KINDS:
        write(kind, **values)


def functions():
    """(name, first address, address behind it) of the module's functions."""
    found = []
    with open("/proc/kallsyms", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[-1] == "[netveil]" and words[1] in "tT":
                found.append((int(words[0], 16), words[2]))
    found.sort()
    ends = [start for start, _ in found[1:]] + [found[-1][0] + 4096]
    return [(name, start, end) for (start, name), end in zip(found, ends)]


def aim(start, end):
    """From now on only allocations with such an address on their stack fail,
    those that may wait too, and single pages."""
    all_kinds(verbose=0)
    if filtered():
        all_kinds(require_start=hex(start), require_end=hex(end))
    write("failslab", ignore_gfp_wait="N")
    write("fail_page_alloc", ignore_gfp_wait="N", min_order=0)


def aim_at_module():
    all_functions = functions()
    aim(all_functions[0][1], all_functions[-1][2])


@contextlib.contextmanager
def failing(start, end, times):
    """The first allocations of each kind from there fail; how many did is in
    the list when it is over."""
    failed = []
    aim(start, end)
    all_kinds(interval=1, times=times)
    all_kinds(probability=100)
    try:
        yield failed
    finally:
        all_kinds(probability=0)
        failed.append(sum(times - read(kind, "times") for kind in KINDS))


class Nth:
    """The n-th allocation of the calling thread fails."""

    def __init__(self):
        self.file = os.open(NTH, os.O_RDWR)

    def arm(self, number):
        os.pwrite(self.file, b"%d" % number, 0)

    def disarm(self):
        """Whether the allocation was reached, and failed."""
        left = int(os.pread(self.file, 20, 0))
        self.arm(0)
        return left == 0

    def close(self):
        os.close(self.file)


def sweep(attempt, most=5000):
    """attempt(arm, disarm) for every point at which an allocation can fail: how
    many there are. It returns disarm()'s answer."""
    nth = Nth()
    try:
        for number in range(1, most):
            if not attempt(lambda number=number: nth.arm(number), nth.disarm):
                return number - 1
        raise AssertionError("more than %d points" % most)
    finally:
        nth.close()
