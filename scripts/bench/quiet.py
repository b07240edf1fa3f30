# SPDX-License-Identifier: GPL-2.0
"""What tasks have run, and when they are done: a figure that is taken while some
worker is still busy with what was set up counts that as well."""

import time

STEP = 0.2  # s


def busy():
    """Nanoseconds that tasks have run."""
    with open("/proc/schedstat") as file:
        return sum(int(line.split()[7]) for line in file if line.startswith("cpu"))


def wait(limit=600):
    """Until nearly nothing runs; the nanoseconds that were run until then."""
    start = before = busy()
    for _ in range(int(limit / STEP)):
        time.sleep(STEP)
        now = busy()
        if now - before < 0.02 * STEP * 1e9:
            return now - start
        before = now
    raise RuntimeError(f"the machine is still busy after {limit} s")
