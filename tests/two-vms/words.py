# SPDX-License-Identifier: GPL-2.0
"""What the two machines send, and the capture is searched for."""

CONTROL, MARKER = b"veil-marker-control", b"veil-marker-sealed"
