#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make check-servers: real servers between two protected hosts, in a guest whose
# root image has them (KERNEL=6.12).

. "$(dirname "$0")/lib/common.sh"

NETVEIL_ROOT=$("$NETVEIL_TOP/scripts/servers-image.sh")
export NETVEIL_ROOT
exec "$NETVEIL_TOP/scripts/vm-run.sh" --kernel "${KERNEL:-6.12}" --mem 2048 --timeout 1800 -- \
	tests/servers/t_servers.sh
