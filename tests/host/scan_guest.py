#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The guest's part of scan.py: does what the host says over UDP, and answers with
the exit code and the output. It never idles between two orders, so that with
--icount the guest's clock goes on with its work alone.
"""

import socket
import subprocess
import time

ME, PEER, HOST = "10.8.0.1", "10.8.0.2", "10.8.0.3"
PORT = 9000
HOST_MAC = "52:54:00:00:00:02"


def shell(text):
    done = subprocess.run(
        ["bash", "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return b"%d %s" % (done.returncode, done.stdout[-1200:])


def set_up():
    shell("modprobe virtio_net")
    while shell("ip link set eth0 up")[:1] != b"0":
        pass
    for address in PEER, HOST:
        shell("ip neigh add %s lladdr %s dev eth0" % (address, HOST_MAC))
    shell("ip addr add %s/24 dev eth0" % ME)


def main():
    set_up()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ME, PORT))
    sock.setblocking(False)
    sock.sendto(b"ready", (HOST, PORT))
    while True:
        try:
            order = sock.recv(4096)
        except BlockingIOError:
            continue
        if order == b"end":
            break
        if order.startswith(b"sleep "):
            time.sleep(int(order[6:]))
            answer = b"0 "
        else:
            answer = shell(order.decode())
        sock.sendto(answer, (HOST, PORT))


main()
