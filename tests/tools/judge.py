#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The host's part of scripts/check-tools.sh: tshark with the dissector, promtool
and the OpenMetrics parser, the JSON schema, and the description for ynl against
the header and the kernel. judge.py FOLDER PROMTOOL, KTAP on standard output.
"""

import json
import os
import re
import subprocess
import sys

import jsonschema
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))

import ktap
from ktap import case, check, check_equal, skip

FOLDER, PROMTOOL = sys.argv[1:3]
# enum netlink_attribute_type
KINDS = {"flag": 1, "u8": 2, "u16": 3, "u32": 4, "u64": 5, "s32": 8, "binary": 10,
         "nest": 13}


def read(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return file.read()


def source(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as file:
        return file.read()


SPEC = yaml.safe_load(source("kmod", "uapi", "netveil.yaml"))
SETS = {s["name"]: s for s in SPEC["attribute-sets"]}
CONSTANTS = {
    d["name"]: d["value"] for d in SPEC["definitions"] if d["type"] == "const"
}


def tshark(*fields, only="netveil"):
    """A list of values for each frame."""
    words = ["tshark", "-X", "lua_script:%s/userspace/wireshark/netveil.lua" % TOP]
    words += ["-r", os.path.join(FOLDER, "session.pcap"), "-Y", only, "-T", "fields"]
    for field in fields:
        words += ["-e", field]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    check("Lua" not in done.stderr, "the dissector runs", done.stderr)
    return [line.split("\t") for line in done.stdout.splitlines()]


@case("tshark dissects a whole session")
def session():
    rows = tshark("netveil.type", "netveil.sender", "netveil.receiver", "udp.length")
    check(not tshark("frame.number", only="netveil.malformed"), "nothing is malformed")
    kinds = [row[0] for row in rows]
    check({"1", "2", "4"} <= set(kinds), "all kinds of messages", kinds)
    answer = rows[kinds.index("2")]
    started = [row for row in rows if row[0] == "1" and row[1] == answer[2]]
    check(started, "a response names its initiation", rows[:10])
    indexes = {started[0][1], answer[1]}
    data = {row[2] for row in rows if row[0] == "4"}
    check(data & indexes, "data names a session that the handshake made", data, indexes)
    check_equal({row[3] for row in rows if row[0] == "1"}, {"216"}, "initiations")


@case("tshark counts lanes and counters as they are, and no counter twice")
def counters():
    rows = tshark(
        "ip.src", "ipv6.src", "netveil.receiver", "netveil.lane", "netveil.counter",
        only="netveil.type == 4",
    )
    check(len(rows) > 5, "data messages", len(rows))
    check_equal(len({tuple(row[2:]) for row in rows}), len(rows), "counters")


@case("tshark tells keepalives, the goodbye, tunnel mode, and lengths")
def kinds():
    check(tshark("frame.number", only="netveil.flags.close == 1"), "a goodbye")
    check(tshark("frame.number", only="netveil.flags.tunnel == 1"), "tunnel mode")
    rows = tshark("frame.len", "netveil.inner_length",
                  only="ip && netveil.type == 4 && netveil.flags.tunnel == 0")
    for whole, inner in rows:
        # Ethernet, IP, UDP, header, tag; a trailer where there is something.
        sealed = int(whole) - 14 - 20 - 8 - 16 - 16
        check_equal(int(inner), max(sealed - 2, 0), "the length inside")
    check(any(int(inner) == 64 for _, inner in rows), "a ping is 64 bytes", rows)
    text = subprocess.run(
        ["tshark", "-X", "lua_script:%s/userspace/wireshark/netveil.lua" % TOP,
         "-r", os.path.join(FOLDER, "session.pcap"), "-V"],
        check=True, capture_output=True, text=True).stdout
    for word in "initiation, sender 0x", "keepalive, receiver", "close, receiver":
        check(word in text, word)


@case("tshark says when it is no Netveil message")
def malformed():
    with open(os.path.join(FOLDER, "session.pcap"), "rb") as file:
        header = file.read(24)
    frame = bytes(12) + b"\x08\x00" + bytes.fromhex(
        "450000240000000040110000" "0a090001" "0a090002" "cab0cab000100000"
    ) + b"\x09not one"
    record = bytes(8) + len(frame).to_bytes(4, "little") * 2
    with open(os.path.join(FOLDER, "bad.pcap"), "wb") as file:
        file.write(header + record + frame)
    out = subprocess.run(
        ["tshark", "-X", "lua_script:%s/userspace/wireshark/netveil.lua" % TOP,
         "-r", os.path.join(FOLDER, "bad.pcap"), "-Y", "netveil.malformed"],
        check=True, capture_output=True, text=True).stdout
    check("Not a Netveil message" in out, "said so", out)


@case("promtool takes the metrics, and finds nothing to say")
def promtool():
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=read("metrics.prom"),
        capture_output=True, text=True, check=False)
    check_equal((done.returncode, done.stdout + done.stderr), (0, ""), "promtool")


@case("promtool takes the alerts, which fire when they should, on metrics that there are")
def alerts():
    for words in (("check", "rules", "userspace/prometheus/netveil.rules.yml"),
                  ("test", "rules", "tests/tools/alerts.yml")):
        done = subprocess.run([PROMTOOL, *words], cwd=TOP, capture_output=True,
                              text=True, check=False)
        check(done.returncode == 0, words, done.stdout + done.stderr)
    rules = source("userspace", "prometheus", "netveil.rules.yml")
    told = set(re.findall(r"^(netveil_\w+)\{", read("metrics.prom"), re.M))
    named = set(re.findall(r"\bnetveil_\w+", rules))
    check(len(named) == 4 and named <= told, "metrics that the rules name", named, told)
    reasons = set(re.findall(r'reason="(\w+)"', read("metrics.prom")))
    for group in re.findall(r'reason=~?"([\w|]+)"', rules):
        check(set(group.split("|")) <= reasons, "reasons that the rules name", group)


@case("the OpenMetrics parser takes them too, with the numbers that show has")
def openmetrics():
    show = json.loads(read("show.json"))
    families = {f.name: f for f in text_string_to_metric_families(read("metrics.open"))}
    drops = {s.labels["reason"]: s.value
             for s in families["netveil_dropped_packets"].samples}
    check_equal(drops, show["drops"], "drops by reason")
    check_equal({s.labels["reason"] for s in families["netveil_guard_dropped_packets"].samples},
                {"plaintext_in", "plaintext_out"}, "the guard's")
    peer, = show["peers"]
    for name, key in (
        ("netveil_peer_received_bytes", "rx_bytes"),
        ("netveil_peer_sent_packets", "tx_packets"),
        ("netveil_peer_last_handshake_timestamp_seconds", "last_handshake"),
    ):
        sample, = families[name].samples
        check_equal(sample.labels["public_key"], peer["public_key"], "the peer")
        check_equal(sample.value, peer[key], name)
    check_equal(families["netveil_peer_up"].samples[0].value, 1, "the peer is up")


@case("JSON is as the schema has it, which knows every name")
def schema():
    described = json.loads(source("userspace", "veil.schema.json"))
    whole, peers = json.loads(read("show.json")), json.loads(read("peer.json"))
    jsonschema.Draft7Validator.check_schema(described)
    jsonschema.validate(whole, described)
    jsonschema.validate(peers, {**described, "$ref": "#/definitions/peers"})
    for broken in ({**whole, "more": 1}, {**whole, "listen_port": "51888"},
                   {k: v for k, v in whole.items() if k != "drops"}):
        try:
            jsonschema.validate(broken, described)
        except jsonschema.ValidationError:
            continue
        check(False, "what is no answer of veil's is refused", broken)


def header_enum(name):
    """Number by name, of an enum in netveil.h."""
    body = re.search(r"^enum %s \{(.*?)^\};" % name, source("kmod", "uapi", "netveil.h"),
                     re.S | re.M).group(1)
    names = re.findall(r"^\t(?!__)(\w+)", body, re.M)
    return {name: number for number, name in enumerate(names)}


def c_name(text):
    return text.upper().replace("-", "_")


@case("the description for ynl names what the header names, by the same numbers")
def header():
    for name, described in SETS.items():
        prefix = c_name(described["name-prefix"])
        known = header_enum(c_name(described["enum-name"]).lower())
        wanted = {prefix + "UNSPEC": 0}
        for number, attribute in enumerate(described["attributes"], 1):
            wanted[prefix + c_name(attribute["name"])] = number
        check_equal(known, wanted, "attribute set " + name)
    operations = {"NETVEIL_CMD_UNSPEC": 0}
    for number, operation in enumerate(SPEC["operations"]["list"], 1):
        operations["NETVEIL_CMD_" + c_name(operation["name"])] = number
    check_equal(header_enum("netveil_cmd"), operations, "operations")
    for enum in (d for d in SPEC["definitions"] if d["type"] == "enum"):
        prefix = c_name(enum.get("name-prefix", "netveil-%s-" % enum["name"]))
        wanted = {prefix + c_name(entry["name"]): number
                  for number, entry in enumerate(enum["entries"])}
        check_equal(header_enum("netveil_" + c_name(enum["name"]).lower()), wanted,
                    enum["name"])


def constant(value):
    return CONSTANTS.get(value, value)


def check_attribute(attribute, kernel, told, where):
    """One attribute of the description against the kernel's own policy."""
    where = "%s %s" % (where, attribute["name"])
    check_equal(kernel["type"], KINDS[attribute["type"]], where)
    checks = attribute.get("checks", {})
    exact = checks.get("exact-len")
    for name, key in (("min-len", "min_len"), ("max-len", "max_len")):
        wanted = constant(checks.get(name, exact))
        if wanted is not None:
            check_equal(kernel.get(key), wanted, "%s %s" % (where, name))
    for name in "min", "max":
        if name in checks:
            check_equal(kernel.get(name), constant(checks[name]), "%s %s" % (where, name))
    if attribute["type"] == "nest":
        check_set(SETS[attribute["nested-attributes"]],
                  told["policies"][str(kernel["nested"])], told, where)


def check_set(described, policy, told, where):
    for number, kernel in policy.items():
        attribute = described["attributes"][int(number) - 1]
        check_attribute(attribute, kernel, told, where)


@case("the description for ynl is what the kernel checks by")
def kernel_policies():
    told = json.loads(read("policies.json"))
    attributes = {a["name"]: str(number)
                  for number, a in enumerate(SETS["netveil"]["attributes"], 1)}
    for number, operation in enumerate(SPEC["operations"]["list"], 1):
        request = (operation.get("do") or {}).get("request", {}).get("attributes", [])
        index = told["operations"].get(str(number))
        policy = told["policies"].get(str(index), {}) if request else {}
        check_equal({attributes[name] for name in request}, set(policy),
                    operation["name"])
        check_set(SETS["netveil"], policy, told, operation["name"])


@case("linux-source's ynl reads, sets and dumps by it")
def ynl():
    if not os.path.exists(os.path.join(FOLDER, "ynl-get.json")):
        skip("it did not run on this kernel")
    state, peers = json.loads(read("ynl-get.json")), json.loads(read("ynl-peers.json"))
    show = json.loads(read("show.json"))
    check_equal(state["listen-port"], show["listen_port"], "the port")
    check_equal({d["reason"] for d in state["drop"]}, set(show["drops"]), "reasons")
    check_equal(peers[0]["peer"]["state"], "up", "the peer's state")


sys.argv = sys.argv[:1]
ktap.run()
