#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=500 icount=yes once=yes
"""t_policy for sessions that are older than three minutes."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
os.environ["NETVEIL_POLICY"] = "expired"

import t_policy  # pylint: disable=wrong-import-position
from t_policy import ktap  # pylint: disable=wrong-import-position

ktap.run(t_policy.set_up)
