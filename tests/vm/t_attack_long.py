#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=600 long=yes
"""t_attack with 120,000 frames a flood and 64 MB a transfer."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
os.environ["NETVEIL_ATTACK"] = "long"

import t_attack  # noqa: F401 # pylint: disable=unused-import,wrong-import-position
