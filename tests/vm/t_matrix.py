#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=90
"""A part of the matrix (lib/matrix.py) that every run can afford. Cells alone:

    python3 tests/vm/t_matrix.py 'v4/transport/udp/1473/*/1500'
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import matrix

if len(sys.argv) > 1:
    matrix.plan(sys.argv[1], matrix.SIZES)
else:
    set_ups = (
        ("transport", "off", 1500),
        ("transport", "on", 1500),
        ("tunnel", "on", 1500),
        ("tunnel6", "off", 1500),
    )
    matrix.plan("*", matrix.QUICK_SIZES, set_ups)
ktap.run(hosts.set_up, "cells" if sys.argv[1:] else None)
