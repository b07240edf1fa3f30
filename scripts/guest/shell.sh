#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make vm: an interactive shell in the guest, with two hosts and the tap ready.

. "$(dirname "$0")/../../tests/lib/topo.sh"

topo_up >/dev/null || exit
load_module || exit
cat <<-END

	Two hosts, alpha ($A4 $A6) and beta ($B4 $B6), joined by a wire.
	netveil.ko is loaded, no peer is set: the wire carries plaintext.

	  a CMD, b CMD    run CMD on alpha, on beta      a ping $B4
	  link_up_pair    keys and peers on both: from then on all is encrypted
	  tap             what the tap on the wire sees, until Ctrl-C
	  veil -n alpha show
	  dmesg | tail    the kernel's log; exit ends the VM

END
tap() {
	wire tcpdump -n -X -l -i wa
}
cat >/tmp/bashrc <<-END
	. $NETVEIL_DIR/tests/lib/topo.sh
	$(declare -f tap)
	PS1='netveil:\w# '
END
bash --rcfile /tmp/bashrc -i
exit 0
