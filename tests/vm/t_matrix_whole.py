#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=900 long=yes
"""The whole matrix (lib/matrix.py): every family, mode, protocol, size, offload
and MTU. t_matrix.py runs cells alone."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import hosts
import ktap
import matrix

matrix.plan("*", matrix.SIZES)
ktap.run(hosts.set_up)
