#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""make bench inside the guest: sets up each protection, takes its figures and
leaves them in bench.jsonl, a line each.  usage: run.py quick|default|full|native [WORD]...
or: run.py profile FIGURE PROTECTION.

With words only the figures and protections that they name are taken; "peers" are
those with thousands of peers."""

import json
import os
import sys

import control
import measure
import setups

ALL = list(setups.PROTECTIONS)


def quick():
    """What the bar of speed is about, and nothing else."""
    for name in ALL:
        few = name.endswith("chacha")
        yield name, 1500, 4, "off", ("ping", "tcp") if few else ("ping", "tcp", "udp64")
    for name in ("plaintext", "wireguard", "esp-gcm", "netveil-gcm"):
        yield name, 9000, 4, "off", ("tcp",)


def default():
    """All figures on the wire that counts; of the others what may differ."""
    for name in ALL:
        yield name, 1500, 4, "off", measure.FIGURES
    for mtu, family, segmentation in ((9000, 4, "off"), (1500, 6, "off"), (1500, 4, "on")):
        for name in ALL:
            yield name, mtu, family, segmentation, ("ping", "tcp", "udp64")


def full():
    for segmentation in ("off", "on"):
        for mtu in (1500, 9000):
            for family in (4, 6):
                for name in ALL:
                    yield name, mtu, family, segmentation, measure.FIGURES


PLANS = {"quick": quick, "default": default, "full": full, "native": default}


def chosen(steps, words):
    """The steps that the words name; a kind that no word names is taken whole."""
    figures = [word for word in words if word in measure.FIGURES]
    names = [word for word in words if word in setups.PROTECTIONS]
    for name, mtu, family, segmentation, all_figures in steps:
        few = [figure for figure in all_figures if not figures or figure in figures]
        if few and (not names or name in names) and (figures or names or not words):
            yield name, mtu, family, segmentation, few


def on_wire(plan, name, mtu, family, segmentation, figures):
    where = dict(protection=name, mtu=mtu, family=family, segmentation=segmentation)
    setups.wire_up(mtu, segmentation == "on")
    try:
        ends = setups.PROTECTIONS[name](mtu, family)
        measure.load(ends, "ping", 3)
        for figure in figures:
            plan.take(figure, lambda: measure.measure(figure, name, ends, mtu), **where)
    except (measure.Lost, RuntimeError) as error:
        plan.failed(name, error)
    finally:
        setups.wire_down()


def boot():
    """What udev does on a booted machine, and the modules that speed ESP up."""
    with open("/sys/devices/system/cpu/modalias") as file:
        alias = file.read().strip()
    for words in ((alias,), ("esp4_offload",), ("esp6_offload",)):
        setups.subprocess.run(["modprobe", "-aq", *words], check=False)


# Where a way begins, for profile.c: what is called from there counts as its.
WAYS = {
    "send": "tcp_write_xmit tcp_sendmsg_locked udp_sendmsg udpv6_sendmsg raw_sendmsg "
    "wg_packet_encrypt_worker wg_packet_tx_worker",
    "receive": "__napi_poll tcp_recvmsg udp_recvmsg udpv6_recvmsg raw_recvmsg icmp_rcv "
    "wg_packet_decrypt_worker",
    "ack": "__tcp_send_ack.part.0 __tcp_send_ack tcp_send_ack tcp_ack",
    "reply": "icmp_reply.constprop.0 icmp_reply",
}


def tell_symbols(out):
    """The kernel's symbols for profile.py, and the ways for profile.c."""
    address = {}
    with open("/proc/kallsyms") as file:
        symbols = file.read()
    with open(os.path.join(out, "kallsyms"), "w") as file:
        file.write(symbols)
    for line in symbols.splitlines():
        words = line.split()
        if words[1] in "tTwW":
            address.setdefault(words[2], words[0])
    lines = [f"count {address['__x64_sys_personality']}"]
    for way, names in WAYS.items():
        lines += [f"way {way} {address[name]}" for name in names.split() if name in address]
    for line in lines + ["ready"]:
        with open("/dev/kmsg", "w") as file:
            file.write(f"netveil-profile: {line}\n")


def profile(figure, name):
    """One figure at MTU 1500, IPv4, while profile.c counts."""
    out = os.environ.get("NETVEIL_OUT", ".")
    boot()
    setups.wire_up(1500, False)
    if name == "non-peer":
        ends, name = control.strangers(2000), "plaintext"
    else:
        ends = setups.PROTECTIONS[name](1500, 4)
    tell_symbols(out)
    # Also gives QEMU the time to write the console to the file that profile.c reads.
    measure.measure(figure, name, ends, 1500, 0.2)
    os.environ["LOAD_PROFILE"] = "1"
    measure.results.clear()
    measure.once(figure, name, ends, 1500, 1.0)
    del os.environ["LOAD_PROFILE"]
    with open(os.path.join(out, "profile.json"), "w") as file:
        json.dump(dict(figure=figure, protection=name, result=measure.results[-1]), file)
    setups.wire_down()
    setups.unload_module()


def main():
    if sys.argv[1] == "profile":
        return profile(*sys.argv[2:4])
    mode, words = sys.argv[1], sys.argv[2:]
    unknown = {*words} - {*measure.FIGURES, *setups.PROTECTIONS, "peers"}
    if unknown:
        sys.exit(f"run.py: neither a figure nor a protection: {' '.join(unknown)}")
    steps = list(chosen(PLANS[mode](), words))
    peers = list(control.steps(mode)) if not words or "peers" in words else []
    total = sum(len(step[4]) for step in steps) + sum(step[2] for step in peers)
    out = os.environ.get("NETVEIL_OUT", ".")
    boot()
    with open(os.path.join(out, "bench.jsonl"), "w") as file:
        plan = measure.Plan(total, file)
        for step in steps:
            on_wire(plan, *step)
        control.run(plan, peers)
    setups.unload_module()
    return 1 if plan.failures else 0


if __name__ == "__main__":
    sys.exit(main())
