#!/bin/bash
# How fast a mount and the NBD server are, next to a restore of the same version to nowhere, in one run.
#
# usage: benches/mounts.sh [BINARY]     (root; some 3 GiB in $TMPDIR; the default is target/release/backy2)
#
# Prints the seconds and MB/s of reading 1 GiB, the ratios of the best of three runs each, and, where fio is installed, 4
# KiB random reads a second from memory. NBD is read by nbdcopy (Debian: libnbd-bin).
set -euo pipefail

binary=$(realpath "${1:-$(dirname "$0")/../target/release/backy2}")
work=$(mktemp -d)
mount=$work/mnt
pid=
finish() {
    if [ -n "$pid" ]; then umount "$mount" || umount --lazy "$mount"; wait "$pid" || true; fi
    rm -rf "$work"
}
trap finish EXIT

backy2() { "$binary" -m -b "$work/b" "$@"; }
backy2 init >/dev/null
# Half of it compresses, half does not.
for _ in $(seq 64); do
    head -c 8388608 /dev/urandom
    head -c 2796202 /dev/urandom | od -An -v -tx1
done >"$work/image"
truncate -s 1G "$work/image"
uid=$(backy2 backup "$work/image" vm | tail -1)
rm "$work/image"
mkdir "$mount"

begin() {
    backy2 fuse "$mount" >"$work/log" 2>&1 &
    pid=$!
    until [ -d "$mount/by_name" ]; do sleep 0.05; done
    data=$mount/by_version_uid/$uid/data
}
end() {
    umount "$mount"
    wait "$pid"
    pid=
}
seconds() {
    local start
    start=$(date +%s.%N)
    "$@" >/dev/null
    echo "$(date +%s.%N) - $start" | bc
}
report() { echo "$1: $2 s, $(echo "1073.7 / $2" | bc) MB/s"; }

best() { printf '%s\n' "$@" | sort -g | head -1; }
ratio() { echo "$1 / restore: $(echo "scale=2; $best_restore / $2" | bc)"; }

socket=$work/nbd.sock
begin_nbd() {
    "$binary" -b "$work/b" nbd --read-only --socket "$socket" vm >"$work/log" 2>&1 &
    server=$!
    until [ -S "$socket" ]; do sleep 0.05; done
}
end_nbd() {
    kill "$server"
    wait "$server"
}

best_restore=1000 best_mount=1000 best_nbd=1000
for _ in 1 2 3; do
    took=$(seconds backy2 restore "$uid" null://)
    report restore "$took"
    best_restore=$(best "$best_restore" "$took")
    # A mount and a server of its own each time: nothing is in memory, in the program's or the kernel's.
    begin
    took=$(seconds dd if="$data" of=/dev/null bs=1M status=none)
    report mount "$took"
    best_mount=$(best "$best_mount" "$took")
    end
    begin_nbd
    took=$(seconds nbdcopy "nbd+unix:///?socket=$socket" null:)
    report nbd "$took"
    best_nbd=$(best "$best_nbd" "$took")
    end_nbd
done
ratio mount "$best_mount"
ratio nbd "$best_nbd"

if command -v fio >/dev/null; then
    random() {
        fio --name=r --rw=randread --bs=4k --size=128m --thread --numjobs=4 --allow_file_create=0 --time_based \
            --runtime=5 --group_reporting --minimal "$@" | cut -d';' -f8
    }
    begin
    dd if="$data" of=/dev/null bs=1M count=128 status=none
    echo "4 KiB random reads a second, by the mount: $(random --ioengine=psync --filename="$data")"
    end
    begin_nbd
    echo "4 KiB random reads a second, by NBD: $(random --ioengine=nbd --iodepth=8 --uri="nbd+unix:///?socket=$socket")"
    end_nbd
fi
