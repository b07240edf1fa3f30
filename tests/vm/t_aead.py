#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
# netveil-test: timeout=60 boot=own kernels=6.12
"""Sessions use the AEADs that were timed when the module was loaded, whatever is put in
front of them later, as any local user can by AF_ALG.

For kernels see t_async, whose AEADs are in front before that.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))

import aead
import hosts
import ktap
from hosts import alpha, beta
from ktap import case, check_equal
from veilproto import Identity


@case("cryptd around an AEAD that the module has timed: no session uses it")
def in_front():
    ciphers = (2,) if aead.has_aes_instructions() else (1, 2)
    queued = {each: aead.put_off(aead.CIPHERS[each]) for each in ciphers}
    before = {each: aead.users(aead.CIPHERS[each]) for each in ciphers}
    hosts.make_peers(Identity(), Identity())
    for each in ciphers:
        aead.pin(each)
        hosts.ping_once(alpha, beta.v4)
        check_equal(aead.users(aead.CIPHERS[each]), before[each], "users of cryptd's")
    for sock in queued.values():
        sock.close()


ktap.run(hosts.set_up)
