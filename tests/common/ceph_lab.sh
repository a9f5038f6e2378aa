#!/bin/bash
# A Ceph cluster of one machine for tests: a monitor and an OSD that keeps its data in memory, on 127.0.0.1 only.
#
#   ceph_lab.sh start DIR [rgw]    makes the cluster in DIR, an empty or missing folder; with rgw also an S3 gateway
#   ceph_lab.sh stop DIR           ends it for good; the data is gone
#
# `start` returns once the cluster answers, and prints on stdout what is needed to use it, one NAME=VALUE a line:
#   CEPH_CONF      the configuration; client.admin may do everything, client.backup has the rights that RBD needs
#                  in the pool `rbd`, which is there, initialised and empty. It names the keyring of both.
#   S3_ENDPOINT, S3_ACCESS_KEY, S3_SECRET_KEY     of the gateway; there is no bucket yet
#
# Debian's packages: ceph-mon ceph-osd ceph-common; radosgw. A daemon's log is DIR/NAME.log.
set -euo pipefail
export LC_ALL=C
unset CEPH_ARGS CEPH_CONF CEPH_KEYRING

usage() { sed -n '4,5s/^# *//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
verb=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd -P)
conf=$dir/ceph.conf
log=$dir/commands.log
access=TESTACCESSKEY0000001
secret=test/secret+with/special+characters/0001

# A command whose output is of interest only if it fails.
run() {
    "$@" </dev/null >>"$log" 2>&1 || {
        local code=$?
        tail -n 20 "$log" >&2
        echo "ceph_lab.sh: failed with $code: $*; see $dir" >&2
        exit 1
    }
}

# Waits up to 60 seconds until a command succeeds.
wait_for() {
    local try
    for try in $(seq 300); do
        "$@" </dev/null >>"$log" 2>&1 && return 0
        sleep 0.2
    done
    echo "ceph_lab.sh: not within a minute: $*; see $dir" >&2
    exit 1
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

key() {
    run ceph-authtool --create-keyring --gen-key --name "$1" "${@:2}" "$dir/new.keyring"
    cat "$dir/new.keyring" >>"$dir/keyring"
}

# The identity of the cluster, the address of its monitor, the port of its gateway.
write_conf() {
    cat >"$conf" <<END
[global]
fsid = $1
mon initial members = a
mon host = $2
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth allow insecure global id reclaim = false
keyring = $dir/keyring
run dir = $dir
crash dir = $dir
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0

[mon]
mon data = $dir/mon
# Half-second rounds of agreement with nobody would make up most of the start.
paxos propose interval = 0.05
paxos min wait = 0.01
mon allow pool size one = true
mon allow pool delete = true
mon data avail warn = 1
mon data avail crit = 0

[osd]
osd data = $dir/osd
osd objectstore = memstore
memstore device bytes = 4294967296

[mon.a]
pid file = $dir/mon.pid
log file = $dir/mon.log
admin socket = $dir/mon.asok
[osd.0]
pid file = $dir/osd.pid
log file = $dir/osd.log
admin socket = $dir/osd.asok
[client.rgw]
rgw data = $dir/rgw
rgw frontends = beast endpoint=127.0.0.1:${3:-0}
pid file = $dir/rgw.pid
log file = $dir/rgw.log
admin socket = $dir/rgw.asok
END
}

start() {
    [ -z "$(ls -A "$dir")" ] || { echo "ceph_lab.sh: $dir is not empty" >&2; exit 1; }
    # Until it is up, a failure must leave no daemon behind.
    trap 'stop' EXIT
    local gateway=$1 port='' cluster address osd
    [ -z "$gateway" ] || port=$(free_port)
    cluster=$(cat /proc/sys/kernel/random/uuid)
    address="[v2:127.0.0.1:$(free_port)]"
    osd=$(cat /proc/sys/kernel/random/uuid)
    mkdir "$dir/mon" "$dir/osd" "$dir/rgw"
    write_conf "$cluster" "$address" "$port"
    key mon. --cap mon 'allow *'
    key client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
    key osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' --cap mgr 'allow profile osd'
    key client.rgw --cap mon 'allow rwx' --cap osd 'allow rwx' --cap mgr 'allow rw'
    key client.backup --cap mon 'profile rbd' --cap osd 'profile rbd pool=rbd'
    chmod 600 "$dir/keyring"

    run monmaptool --create --fsid "$cluster" --addv a "$address" "$dir/monmap"
    run ceph-mon -c "$conf" -i a --mkfs --monmap "$dir/monmap" --keyring "$dir/keyring"
    run ceph-mon -c "$conf" -i a
    run ceph -c "$conf" --connect-timeout 30 osd new "$osd" 0
    run ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd"
    run ceph-osd -c "$conf" -i 0
    wait_for sh -c "ceph -c '$conf' --connect-timeout 30 osd stat | grep -q '1 up'"
    run ceph -c "$conf" osd pool create rbd 4
    run rbd -c "$conf" pool init rbd
    echo "CEPH_CONF=$conf"
    if [ -n "$gateway" ]; then
        run radosgw-admin -c "$conf" -n client.rgw user create --uid test --display-name test \
            --access-key "$access" --secret-key "$secret"
        run radosgw -c "$conf" -n client.rgw
        wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
        echo "S3_ENDPOINT=http://127.0.0.1:$port"
        echo "S3_ACCESS_KEY=$access"
        echo "S3_SECRET_KEY=$secret"
    fi
    trap - EXIT
}

# Ends a daemon of this folder, if the process of that number is one.
end() {
    local pid try
    pid=$(tr -cd 0-9 <"$1")
    [ -n "$pid" ] && tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF -- "$conf" || return 0
    # There is nothing to save.
    kill -9 "$pid" 2>/dev/null || return 0
    for try in $(seq 100); do
        [ -d "/proc/$pid" ] || return 0
        sleep 0.05
    done
    echo "ceph_lab.sh: process $pid does not end" >&2
    exit 1
}

stop() {
    local name
    for name in rgw osd mon; do
        [ ! -s "$dir/$name.pid" ] || end "$dir/$name.pid"
    done
    rm -f "$dir"/*.pid
}

case $verb in
    start)
        case ${3:-} in '' | rgw) start "${3:-}" ;; *) usage ;; esac ;;
    stop) stop ;;
    *) usage ;;
esac
