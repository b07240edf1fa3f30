# SPDX-License-Identifier: GPL-2.0
"""How much memory the kernel holds: what grows is a leak."""

import contextlib
import gc
import glob
import time


def meminfo():
    """/proc/meminfo in KiB."""
    with open("/proc/meminfo", encoding="ascii") as file:
        fields = (line.split(":") for line in file)
        return {name: int(value.split()[0]) for name, value in fields}


def shrink_caches():
    """What a cache holds ready for a CPU counts as in use."""
    for path in glob.glob("/sys/kernel/slab/kmalloc-*/shrink"):
        with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as file:
            file.write("1")


def slab_kib():
    """Objects in use, not the pages that hold them."""
    with open("/proc/slabinfo", encoding="ascii") as file:
        caches = [line.split() for line in file if line.startswith(("kmalloc-", "veil_"))]
    return sum(int(used) * int(size) for _, used, _, size, *_ in caches) // 1024


def kept_kib():
    """Memory that the kernel holds and cannot give back; stacks are not, since kworkers
    come and go, and the module has no threads of its own."""
    gc.collect()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("3")
    shrink_caches()
    info = meminfo()
    pages = sum(info.get(name, 0) for name in ("Percpu", "VmallocUsed"))
    return pages + slab_kib()


def least_kept_kib():
    """Freeing waits for grace periods and workers: until it has come to rest."""
    last = kept_kib()
    while True:
        time.sleep(0.5)
        now = kept_kib()
        if now >= last - 4:
            return min(now, last)
        last = now
