# SPDX-License-Identifier: GPL-2.0
"""A virtual machine that is used as a person at its console would: commands are
typed at root's shell on a serial port, and what they print is read there.
"""

import os
import re
import select
import socket
import subprocess
import time

from ktap import check

ENTRY = re.compile(rb"root@[\w-]+:~# ")
DONE = re.compile(rb"@@(\d+)@@\r?\n")
# bash without line editing, so that nothing is echoed but what commands print.
PLAIN = "exec env PS1= PS2= DEBIAN_FRONTEND=noninteractive bash --norc --noediting -i\n"
QUIET = "stty -echo; set +H; echo shell-is-rea''dy\n"


def wire():
    """The two ends of a cable."""
    return socket.socketpair()


class Machine:
    """Boots at once; folder is where its console, kernel log and capture go."""

    def __init__(self, name, folder, qemu, plug, seed):
        self.name, self.folder, self.heard = name, folder, b""
        self.capture = os.path.join(folder, name + ".pcap")
        self.console, far = socket.socketpair()
        self.log = open(os.path.join(folder, name + ".console"), "wb")
        words = list(qemu)
        words += ["-chardev", "socket,id=console,fd=%d" % far.fileno()]
        words += ["-serial", "file:%s.kernel" % os.path.join(folder, name)]
        words += ["-serial", "chardev:console"]
        words += ["-netdev", "socket,id=wire,fd=%d" % plug.fileno()]
        words += ["-device", "virtio-net-pci,netdev=wire,mac=52:54:00:00:00:%02x" % seed]
        words += ["-object", "filter-dump,id=tap,netdev=wire,maxlen=262144,file=" + self.capture]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL,
                                        pass_fds=(far.fileno(), plug.fileno()))
        for ours in far, plug:
            ours.close()

    def wait_for(self, pattern, seconds, what):
        """What came before pattern, and its match; both are then forgotten."""
        end = time.monotonic() + seconds
        while True:
            match = pattern.search(self.heard)
            if match:
                before, self.heard = self.heard[: match.start()], self.heard[match.end() :]
                return before.replace(b"\r\n", b"\n").decode(errors="replace"), match
            left = end - time.monotonic()
            check(left > 0, "%s: not within %d s: %s" % (self.name, seconds, what),
                  self.heard[-1000:].decode(errors="replace"))
            if select.select([self.console], [], [], min(left, 10))[0]:
                more = self.console.recv(65536)
                check(more, self.name + "'s machine is there", self.process.poll())
                self.log.write(more)
                self.log.flush()
                self.heard += more

    def type(self, text):
        self.log.write(b"\n>>> " + text.encode())
        self.console.sendall(text.encode())

    def log_in(self, seconds=1800):
        """Root's shell, once it has booted that far."""
        self.wait_for(ENTRY, seconds, "a shell on the console")
        self.type(PLAIN)
        self.type(QUIET)
        self.wait_for(re.compile(rb"shell-is-ready\r?\n"), 60, "a plain shell")

    def attempt(self, commands, seconds=1200):
        """The exit code of commands, and what they printed."""
        self.type("(\nset -e\n%s\n) </dev/null 2>&1; echo \"@@$?@@\"\n" % commands)
        printed, match = self.wait_for(DONE, seconds, commands)
        return int(match.group(1)), printed

    def run(self, commands, seconds=1200):
        """What commands print; they have to succeed."""
        code, printed = self.attempt(commands, seconds)
        check(code == 0, "%s: exit code %d of:\n%s\nwhich printed:\n%s"
              % (self.name, code, commands, printed[-2000:]))
        return printed

    def reboot(self):
        self.type("systemctl reboot\n")
        self.heard = b""
        self.log_in()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
