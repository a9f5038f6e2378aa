#!/bin/bash
# Throughput of backup and restore of an RBD image next to `rbd export` and `rbd import`, on one cluster in one run.
#
#   benches/rbd.sh [GiB] [rounds]      default 2 and 3; needs Ceph's packages (see tests/common/ceph_lab.sh)
#
# The image is incompressible, the cluster and all files are in memory, so that the CPU is what is measured: about
# four times the size must be free. The commands of a round are interleaved; medians and ratios come out. Processor
# time is that of the command itself, without the daemons of the cluster, which share the machine; how busy all cores
# were says whether a command could have been faster with the processor that there is.
set -euo pipefail
export LC_ALL=C
gib=${1:-2}
rounds=${2:-3}
cd "$(dirname "$0")/.."
cargo build --release --quiet
program=$PWD/target/release/backy2
lab=$PWD/tests/common/ceph_lab.sh

# Sockets have short names.
cluster=$(mktemp -d /tmp/rbd.XXXXXX)
work=$(mktemp -d /dev/shm/rbd.XXXXXX)
trap '"$lab" stop "$cluster"; rm -rf "$cluster" "$work"' EXIT
conf=$("$lab" start "$cluster" | sed -n 's/^CEPH_CONF=//p')
# The lab's OSD thinks that it has 4 GiB.
ceph -c "$conf" tell osd.0 config set memstore_device_bytes $((gib * 8 << 30)) >"$work/log"
rbd() { command rbd -c "$conf" "$@"; }

"$program" -b "$work/backup" init >"$work/log"
printf '\n[io_rbd]\nceph_conffile: %s\n' "$conf" >>"$work/backup/backy.cfg"
sed -i 's/^sync:.*//; s/^\[DataBackend\]$/[DataBackend]\nsync: none/' "$work/backup/backy.cfg"
b2() { "$program" -b "$work/backup" "$@" >>"$work/log"; }

openssl enc -aes-128-ctr -pass pass:rbd -nosalt -in /dev/zero 2>"$work/openssl" | head -c "${gib}G" >"$work/data" || true
rbd --no-progress import "$work/data" rbd/image
rm "$work/data"
rbd --no-progress snap create rbd/image@s

# What all cores have done since the machine was started: ticks in all, and idle ones.
ticks() { awk '/^cpu / { for (i = 2; i <= 9; i++) all += $i; print all, $5 + $6 }' /proc/stat; }

# timed NAME COMMAND…: appends wall and processor seconds, and the percentage of all cores that was busy, to a file.
timed() {
    local name=$1 before
    shift
    local TIMEFORMAT='%R %U %S'
    before=$(ticks)
    { time "$@" 2>"$work/stderr"; } 2>"$work/time" || { cat "$work/stderr" >&2; exit 1; }
    echo "$(cat "$work/time") $before $(ticks)" |
        awk '{ print $1, $2 + $3, 100 - 100 * ($7 - $5) / ($6 - $4) }' >>"$work/$name.times"
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

for ((round = 0; round < rounds; round++)); do
    timed export rbd --no-progress export rbd/image@s "$work/exported"
    timed backup b2 backup rbd://rbd/image@s vm
    timed import rbd --no-progress import "$work/exported" rbd/imported
    rm "$work/exported"
    rbd --no-progress rm rbd/imported
    timed restore b2 restore vm:latest rbd://rbd/restored
    rbd --no-progress rm rbd/restored
    b2 rm -f vm:latest
    b2 cleanup --dangerous-force
done

echo "$gib GiB, medians of $rounds rounds, $(nproc) cores:"
for name in export backup import restore; do
    wall=$(cut -d' ' -f1 "$work/$name.times" | median)
    cpu=$(cut -d' ' -f2 "$work/$name.times" | median)
    busy=$(cut -d' ' -f3 "$work/$name.times" | median)
    awk -v n="$name" -v w="$wall" -v c="$cpu" -v b="$busy" -v g="$gib" 'BEGIN {
        printf "%-8s %6.2f s  %5.0f MiB/s  %6.2f s of processor time  all cores %3.0f %% busy\n", n, w, g * 1024 / w, c, b
    }'
done
ratio() {
    awk -v a="$(cut -d' ' -f1 "$work/$1.times" | median)" -v b="$(cut -d' ' -f1 "$work/$2.times" | median)" \
        -v what="$3" 'BEGIN { printf "%s: %.2f\n", what, a / b }'
}
ratio export backup "throughput of backup to that of rbd export"
ratio import restore "throughput of restore to that of rbd import"
