#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Real servers between two protected hosts, none of them changed or told: they
# work, and the tap reads nothing of what they say. Run by scripts/check-servers.sh,
# whose guest has them; README.md beside this has the how-to for each.

. "$(dirname "$0")/../lib/ktap.sh"
. "$(dirname "$0")/../lib/topo.sh"

SECRET=veil-marker-$RANDOM$RANDOM$RANDOM
dir=$(mktemp -d)
chmod 755 "$dir"
pg=$(echo /usr/lib/postgresql/*/bin)
box() {
	ip netns exec box "$@"
}

### nginx ###

start_nginx() {
	mkdir -p "$dir/www" /var/log/nginx /var/lib/nginx
	echo "$SECRET" >"$dir/www/index.html"
	head -c 2000000 /dev/urandom >"$dir/www/big"
	openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=beta -days 2 \
		-keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null || return
	cat >"$dir/nginx.conf" <<-END
	user root;
	error_log $dir/nginx.log;
	pid $dir/nginx.pid;
	events {}
	http {
		access_log off;
		server {
			listen $B4:80;
			listen [$B6]:80;
			listen $B4:443 ssl;
			listen $B4:443 quic;
			http2 on;
			ssl_certificate $dir/cert.pem;
			ssl_certificate_key $dir/key.pem;
			root $dir/www;
		}
	}
	END
	b nginx -c "$dir/nginx.conf"
}

# fetch VERSION URL CURL-WORD...: the page, by that version of HTTP; and 2 MB.
fetch() {
	local version=$1 url=$2 got
	shift 2
	got=$(a curl -sk --max-time 60 -w '%{http_version}' "$@" "$url/")
	if [ "$got" != "$SECRET"$'\n'"$version" ]; then
		echo "got '$got'"
		return 1
	fi
	a curl -sk --max-time 60 "$@" "$url/big" | cmp - "$dir/www/big"
}

### PostgreSQL ###

postgres() {
	local host=$1 program=$2
	shift 2
	"$host" setpriv --reuid postgres --regid postgres --clear-groups \
		env HOME=/tmp LC_ALL=C "$pg/$program" "$@"
}

sql() {
	local host=$1 address=$2
	shift 2
	postgres "$host" psql -h "$address" -U postgres -Atqc "$*" postgres
}

start_postgres() {
	mkdir -p "$dir/pg/run" && chown -R postgres: "$dir/pg" || return
	postgres b initdb -A trust -D "$dir/pg/primary" || return
	echo "host all,replication all 10.9.0.0/24 trust" >>"$dir/pg/primary/pg_hba.conf"
	postgres b pg_ctl -D "$dir/pg/primary" -l "$dir/pg/primary.log" -w \
		-o "-h $B4 -k $dir/pg/run" start &&
		sql b "$B4" "create table t (s text); insert into t values ('$SECRET')"
}

start_standby() {
	postgres a pg_basebackup -h "$B4" -U postgres -R -X stream -D "$dir/pg/standby" &&
		postgres a pg_ctl -D "$dir/pg/standby" -l "$dir/pg/standby.log" -w \
			-o "-h $A4 -k $dir/pg/run -p 5433" start &&
		sql b "$B4" "insert into t select '$SECRET-' || i from generate_series(1, 5000) i" &&
		wait_for 60 caught_up
}

caught_up() {
	[ "$(PGPORT=5433 sql a "$A4" 'select count(*) from t')" = 5001 ] &&
		sql b "$B4" 'select state from pg_stat_replication' | grep -q streaming
}

### Redis ###

start_redis() {
	b redis-server --bind "$B4" --protected-mode no --dir "$dir" --daemonize yes --save '' &&
		a redis-server --bind "$A4" --protected-mode no --dir "$dir" --daemonize yes --save '' \
			--replicaof "$B4" 6379 &&
		wait_for 20 a redis-cli -h "$B4" set secret "$SECRET" &&
		wait_for 60 replicated
}

replicated() {
	[ "$(a redis-cli -h "$A4" get secret)" = "$SECRET" ]
}

### SSH ###

start_ssh() {
	mkdir -p /run/sshd && ssh-keygen -qt ed25519 -N '' -f "$dir/host" &&
		ssh-keygen -qt ed25519 -N '' -f "$dir/user" && cp "$dir/user.pub" "$dir/allowed" &&
		chmod 600 "$dir/allowed" || return
	b /usr/sbin/sshd -f /dev/null -h "$dir/host" -o ListenAddress="$B4" -o UsePAM=no \
		-o StrictModes=no -o AuthorizedKeysFile="$dir/allowed" -o PermitRootLogin=yes
}

by_ssh() {
	a ssh -i "$dir/user" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
		-o LogLevel=ERROR "root@$B4" "$@"
}

use_ssh() {
	[ "$(by_ssh echo "$SECRET")" = "$SECRET" ] &&
		by_ssh cat "$dir/www/big" | cmp - "$dir/www/big"
}

### NFS ###

start_nfs() {
	modprobe -a nfsd nfs nfsv4 || return
	mkdir -p "$dir/export" "$dir/mount" /run/rpc_pipefs /var/lib/nfs/rpc_pipefs /var/lib/nfs/v4recovery
	touch /var/lib/nfs/etab /var/lib/nfs/rmtab
	mount -t tmpfs tmpfs "$dir/export" && echo "$SECRET" >"$dir/export/file" || return
	b bash -c "mount -t nfsd nfsd /proc/fs/nfsd &&
		exportfs -o rw,no_root_squash,fsid=0,insecure,no_subtree_check $A4:$dir/export &&
		rpc.nfsd -N 3 -V 4 2 && rpc.mountd -N 3 -V 4 && exec sleep infinity" &
	wait_for 30 nfs_listens
}

nfs_listens() {
	b ss -Hltn 'sport = 2049' | grep -q . && pgrep -x rpc.mountd
}

# What is mounted by ip netns exec is gone when that ends.
use_nfs() {
	a bash -c "mount -t nfs4 -o vers=4.2,soft,timeo=100 $B4:/ $dir/mount &&
		[ \"\$(cat $dir/mount/file)\" = $SECRET ] && cp $dir/www/big $dir/mount/" &&
		cmp "$dir/www/big" "$dir/export/big"
}

### NVMe over TCP ###

start_nvme() {
	local target=$dir/config/nvmet
	modprobe -a nvmet nvmet-tcp nvme-tcp && mkdir -p "$dir/config" &&
		mount -t configfs configfs "$dir/config" &&
		truncate -s 64M "$dir/disk" && mkdir "$target/subsystems/veil" &&
		echo 1 >"$target/subsystems/veil/attr_allow_any_host" &&
		mkdir "$target/subsystems/veil/namespaces/1" &&
		echo "$dir/disk" >"$target/subsystems/veil/namespaces/1/device_path" &&
		echo 1 >"$target/subsystems/veil/namespaces/1/enable" &&
		mkdir "$target/ports/1" && echo ipv4 >"$target/ports/1/addr_adrfam" &&
		echo tcp >"$target/ports/1/addr_trtype" && echo "$B4" >"$target/ports/1/addr_traddr" &&
		echo 4420 >"$target/ports/1/addr_trsvcid" &&
		b ln -s "$target/subsystems/veil" "$target/ports/1/subsystems/veil"
}

use_nvme() {
	a sh -c "echo nqn=veil,transport=tcp,traddr=$B4,trsvcid=4420 >/dev/nvme-fabrics" &&
		wait_for 30 test -b /dev/nvme0n1 || return
	{ echo "$SECRET"; cat "$dir/www/big"; } | head -c 1048576 >"$dir/block"
	dd if="$dir/block" of=/dev/nvme0n1 bs=64k oflag=direct status=none &&
		dd if=/dev/nvme0n1 bs=64k count=16 iflag=direct status=none | cmp - "$dir/block" &&
		sync && cmp -n 1048576 "$dir/block" "$dir/disk" &&
		echo 1 >/sys/class/nvme/nvme0/delete_controller
}

### etcd ###

start_etcd() {
	local cluster="a=http://$A4:2380,b=http://$B4:2380"
	etcd_member a "$A4" "$cluster" && etcd_member b "$B4" "$cluster" &&
		wait_for 90 etcd "$B4" endpoint health
}

etcd_member() {
	"$1" etcd --name "$1" --data-dir "$dir/etcd-$1" --initial-cluster "$3" \
		--listen-peer-urls "http://$2:2380" --initial-advertise-peer-urls "http://$2:2380" \
		--listen-client-urls "http://$2:2379" --advertise-client-urls "http://$2:2379" \
		--heartbeat-interval 1000 --election-timeout 10000 \
		>"$dir/etcd-$1.log" 2>&1 &
}

etcd() {
	a etcdctl --endpoints "http://$1:2379" --command-timeout 20s "${@:2}"
}

use_etcd() {
	etcd "$A4" put secret "$SECRET" && [ "$(etcd "$B4" get --print-value-only secret)" = "$SECRET" ]
}

### a container behind alpha ###

start_box() {
	ip netns add box && ip -n alpha link add box0 type veth peer name eth0 netns box &&
		ip -n alpha addr add 172.18.0.1/24 dev box0 && ip -n alpha link set box0 up &&
		ip -n box addr add 172.18.0.2/24 dev eth0 && ip -n box link set eth0 up &&
		ip -n box route add default via 172.18.0.1 &&
		a sysctl -qw net.ipv4.ip_forward=1 &&
		a nft 'table ip nat { chain post { type nat hook postrouting priority 100;
			ip saddr 172.18.0.0/24 oifname eth0 masquerade; }; }'
}

use_box() {
	[ "$(box curl -s --max-time 30 "http://$B4/")" = "$SECRET" ] &&
		box curl -s --max-time 60 "http://$B4/big" | cmp - "$dir/www/big"
}

### what the tap saw ###

nothing_read() {
	tap_stop "$dir/tap.pcap" || return
	python3 "$NETVEIL_DIR/tests/lib/wire.py" "$dir/tap.pcap" &&
		! grep -qaF "$SECRET" "$dir/tap.pcap"
}

clear_drops() {
	{ a veil -j show && b veil -j show; } | jq -c '.drops | {plaintext_in, plaintext_out}'
}

# While the two were set up, one was ahead of the other.
link_settles() {
	a ping -q -c 1 -W 20 "$B4" && clear_drops >"$dir/before"
}

no_drops() {
	clear_drops | diff "$dir/before" -
}

clean_up() {
	for ns in alpha beta box; do topo_kill "$ns"; done
	ip netns del box 2>/dev/null
	rm -f "$dir/config/nvmet/ports/1/subsystems/veil"
	return 0
}

plan 21
check "two hosts" topo_up
check "the module loads" load_module
check "a protected link" link_up_pair
check "a session" link_settles
check "the tap listens" tap_start "$dir/tap.pcap"
check "nginx starts" start_nginx
check "HTTP/1.1 over IPv6" fetch 1.1 "http://[$B6]"
check "HTTP/2" fetch 2 "https://$B4" --http2
check "HTTP/3" fetch 3 "https://$B4" --http3-only
check "PostgreSQL starts" start_postgres
check "PostgreSQL streams to a standby" start_standby
check "Redis replicates" start_redis
check "sshd starts" start_ssh
check "SSH runs a command and carries a file" use_ssh
check "NFS starts" start_nfs
check "NFS 4.2 reads and writes" use_nfs
check "NVMe over TCP: a disk" eval "start_nvme && use_nvme"
check "a container behind a host's masquerade" eval "start_box && use_box"
check "etcd forms a cluster, and its members agree" eval "start_etcd && use_etcd"
check "nothing was dropped for being in clear" no_drops
check "the tap read nothing of all that" nothing_read
clean_up
finish
