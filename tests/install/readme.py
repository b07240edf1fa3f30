# SPDX-License-Identifier: GPL-2.0
"""The commands of the README that two new users would type, by the marks before
them: <!-- install: A -->, B, or both.
"""

import os
import re

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MARKED = re.compile(r"^<!-- install: (A|B|both) -->\n\n((?:    .*\n|\n)+)", re.M)


def blocks():
    """(who, commands) in the README's order."""
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as file:
        text = file.read()
    return [(who, re.sub(r"^    ", "", body, flags=re.M).strip("\n") + "\n")
            for who, body in MARKED.findall(text)]


if __name__ == "__main__":
    print("".join(commands for _, commands in blocks()), end="")
