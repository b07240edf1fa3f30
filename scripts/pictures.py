#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The README's pictures, from what a run of make check-tools left: pictures.py
FOLDER TARGET. SVG, by hand: text of a terminal, and the way of a packet.
"""

import html
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FONT = "font-family=\"ui-monospace, 'DejaVu Sans Mono', monospace\" font-size=\"13\""
WIDTH, HEIGHT, MARGIN = 7.85, 18, 14
INK = {"": "#d8dee9", "1": "#ffffff", "31": "#ff7b72", "32": "#7ee787", "33": "#f2cc60"}


def svg(width, height, background, *body):
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" '
        'height="%d">\n<rect width="100%%" height="100%%" rx="8" fill="%s"/>\n%s\n</svg>\n'
        % (width, height, width, height, background, "\n".join(body))
    )


def spans(line):
    """Parts of a line of a terminal, with their colours."""
    color = ""
    for part in re.split(r"(\033\[[0-9;?]*[a-zA-Z])", line):
        code = re.fullmatch(r"\033\[(\d*)m", part)
        if code:
            color = code.group(1).replace("0", "") if code.group(1) == "0" else code.group(1)
        elif part and not part.startswith("\033"):
            yield color, part


def terminal(text):
    lines = text.expandtabs().replace("\r", "").rstrip().split("\n")
    plain = [re.sub(r"\033\[[0-9;?]*[a-zA-Z]", "", line) for line in lines]
    body = []
    for number, line in enumerate(lines):
        parts = "".join(
            '<tspan fill="%s"%s>%s</tspan>'
            % (INK.get(color, INK[""]), ' font-weight="bold"' if color == "1" else "",
               html.escape(part))
            for color, part in spans(line)
        )
        body.append('<text xml:space="preserve" x="%d" y="%d" %s>%s</text>'
                    % (MARGIN, MARGIN + 14 + number * HEIGHT, FONT, parts))
    width = MARGIN * 2 + max(map(len, plain)) * WIDTH
    return svg(width, MARGIN * 2 + len(lines) * HEIGHT, "#0d1117", *body)


def tshark(folder, name):
    script = "lua_script:%s/userspace/wireshark/netveil.lua" % TOP
    words = ["tshark", "-X", script, "-r", os.path.join(folder, name), "-Y", "ip && !arp"]
    for field in "ip.src", "ip.dst", "_ws.col.Protocol", "frame.len", "_ws.col.Info":
        words += ["-e", field]
    return subprocess.run(
        words + ["-T", "fields"], check=True, capture_output=True, text=True
    ).stdout.splitlines()


def wire(folder):
    """The same request as tshark sees it before and after."""
    text = ["\033[1m$ tshark    # before\033[0m"]
    for name, color in ("before.pcap", "31"), ("session.pcap", "32"):
        shown = 0
        if text[1:]:
            text += ["", "\033[1m$ tshark -X lua_script:netveil.lua    # after\033[0m"]
        for line in tshark(folder, name):
            source, target, protocol, length, info = line.split("\t")[:5]
            if shown < 12:
                text.append("%-9s > %-9s %-8s %4s  \033[%sm%s\033[0m"
                            % (source, target, protocol, length, color, info[:76]))
            shown += 1
        text.append("... %d more" % (shown - 12) if shown > 12 else "")
    return terminal("\n".join(text))


def box(x, y, width, height, fill, *lines):
    texts = "".join(
        '<text x="%d" y="%d" text-anchor="middle" font-family="sans-serif" font-size="13" '
        'fill="#1f2328"%s>%s</text>'
        % (x + width / 2, y + height / 2 + 5 + 16 * (i - (len(lines) - 1) / 2),
           ' font-weight="bold"' if i == 0 else "", html.escape(line))
        for i, line in enumerate(lines)
    )
    return ('<rect x="%d" y="%d" width="%d" height="%d" rx="6" fill="%s" stroke="#57606a"/>%s'
            % (x, y, width, height, fill, texts))


def arrow(x, y, to_x, to_y):
    return ('<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#57606a" stroke-width="2" '
            'marker-end="url(#head)"/>' % (x, y, to_x, to_y))


def path():
    """The way of a packet; the same as the README tells in words."""
    plain, ours, cipher = "#ddf4ff", "#dafbe1", "#ffebe9"
    body = ['<defs><marker id="head" markerWidth="8" markerHeight="8" refX="7" refY="4" '
            'orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#57606a"/></marker></defs>']
    left, right, width = 20, 480, 260
    rows = [
        (plain, ("programs, sockets", "10.9.0.1 > 10.9.0.2"), ("programs, sockets", "10.9.0.1 > 10.9.0.2")),
        (plain, ("OUTPUT, conntrack, nftables, NAT",), ("INPUT, nftables, conntrack, raw",)),
        (ours, ("POST_ROUTING, last: seal", "no session: wait, then drop"),
         ("PRE_ROUTING, first: open", "from A, not sealed by A: drop")),
        (ours, ("egress of every device: fence", "for B, not sealed: drop"), None),
        (cipher, ("NIC",), ("NIC",)),
    ]
    for number, (fill, out, back) in enumerate(rows):
        y = 50 + number * 74
        body.append(box(left, y, width, 50, fill, *out))
        if back:
            body.append(box(right, y, width, 50, fill, *back))
        if number:
            body.append(arrow(left + width / 2, y - 24, left + width / 2, y))
        if number and number != 3:
            top = y - 24 if number != 4 else 50 + 2 * 74 + 50
            body.append(arrow(right + width / 2, y, right + width / 2, top))
    y = 50 + 4 * 74 + 25
    body.append(arrow(left + width, y, right, y))
    for x, line in (left + width / 2, "host A, 10.9.0.1"), (right + width / 2, "host B, 10.9.0.2"):
        body.append('<text x="%d" y="32" text-anchor="middle" font-family="sans-serif" '
                    'font-size="15" font-weight="bold" fill="#1f2328">%s</text>' % (x, line))
    for number, line in enumerate(("the wire, and the tap", "IP | UDP 51888 | header | ciphertext")):
        body.append('<text x="380" y="%d" text-anchor="middle" font-family="sans-serif" '
                    'font-size="12" fill="#cf222e">%s</text>' % (y + 44 + 16 * number, line))
    return svg(760, 50 + 5 * 74 + 30, "#ffffff", *body)


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


def main():
    source, target = sys.argv[1:3]
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(source, "top.ansi"), encoding="utf-8") as file:
        write(target, "top.svg", terminal("\033[1m# veil top\033[0m\n\n" + file.read()))
    write(target, "wire.svg", wire(source))
    write(target, "path.svg", path())


main()
