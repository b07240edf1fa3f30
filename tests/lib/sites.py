# SPDX-License-Identifier: GPL-2.0
"""Where the module calls what allocates, by the object file of netveil-faults.ko: its
calls of tests/faults/calls.c, which can make just one of them fail."""

import re

import elf

WRAPPER = "__wrap_"
# What allocates, by itself or for a packet; tests/faults/calls.c has to have all.
ALLOCATORS = re.compile(
    r"_*(k[vm]?[zm]alloc\w*|krealloc\w*|kmem_cache_alloc\w*|kmemdup\w*|pcpu_alloc\w*|alloc_skb\w*"
    r"|skb_(clone|copy|copy_expand|expand_head|unshare|cow_data|ensure_writable|page_frag_refill"
    r"|gso_segment)|pskb_(copy|expand_head|pull_tail)|alloc_pages\w*|get_free_page\w*"
    r"|crypto_alloc_\w+|genlmsg_new|sock_create_kern|dst_cache_init|secpath_set"
    r"|rhashtable_insert_slow|nf_register_net_hooks?|neigh_create"
    r"|ip_route_output_flow|ip6_dst_lookup_flow)"
)
PARAMETERS = "/sys/module/netveil/parameters/"


def parameter(name, value=None):
    with open(PARAMETERS + name, "r" if value is None else "w", encoding="ascii") as file:
        return int(file.read()) if value is None else file.write(str(value))


class Site:
    """A call: from which function, to which, and what it returns to."""

    def __init__(self, function, callee, section, offset):
        self.function, self.callee, self.section = function, callee, section
        self.returns = offset + 4

    def __str__(self):
        return "%s>%s" % (self.function.split(".")[0], self.callee)

    def address(self):
        """Where the loaded module has it."""
        path = "/sys/module/netveil/sections/" + self.section
        with open(path, encoding="ascii") as file:
            return int(file.read(), 16) + self.returns

    def fails_during(self, work, times=2):
        """How many of the first calls during work() failed."""
        parameter("fail_at", self.address())
        parameter("fail_left", times)
        try:
            work()
        finally:
            failed = times - parameter("fail_left")
            parameter("fail_left", 0)
        return failed


def disarm():
    """Whether the call was reached, and failed."""
    left = parameter("fail_nth")
    parameter("fail_nth", 0)
    return not left


def sweep(attempt, most=500):
    """As faults.sweep(), for the calls that can fail; of whomever they are."""
    for number in range(1, most):
        if not attempt(lambda number=number: parameter("fail_nth", number), disarm):
            return number - 1
    raise AssertionError("more than %d calls" % most)


def of_module(path):
    """All sites, and those that nobody can make fail."""
    module = elf.Object(path)
    symbols = list(module.symbols())
    functions = [each for each in symbols if each[1] == elf.STT_FUNC]
    found, others = [], []
    for section, offset, number in module.calls():
        callee, name = symbols[number][0], module.name(module.sections[section])
        caller = next(
            f[0] for f in functions if f[2] == section and f[3] <= offset < f[3] + f[4]
        )
        if name.startswith((".init", ".exit")) or caller.startswith(WRAPPER):
            continue
        if callee.startswith(WRAPPER):
            found.append(Site(caller, callee[len(WRAPPER) :], name, offset))
        elif ALLOCATORS.fullmatch(callee):
            others.append(Site(caller, callee, name, offset))
    return found, others
