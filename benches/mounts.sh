#!/bin/bash
# How fast a mount is, next to a restore of the same version to nowhere, in one run.
#
# usage: benches/mounts.sh [BINARY]     (root; some 3 GiB in $TMPDIR; the default is target/release/backy2)
#
# Prints for both the seconds and MB/s of reading 1 GiB, the ratio of the best of three runs each, and, where fio is
# installed, 4 KiB random reads a second from memory.
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

best_restore=1000 best_mount=1000
for _ in 1 2 3; do
    took=$(seconds backy2 restore "$uid" null://)
    report restore "$took"
    best_restore=$(printf '%s\n' "$best_restore" "$took" | sort -g | head -1)
    # A mount of its own each time: nothing is in memory, in the program's or the kernel's.
    begin
    took=$(seconds dd if="$data" of=/dev/null bs=1M status=none)
    report mount "$took"
    best_mount=$(printf '%s\n' "$best_mount" "$took" | sort -g | head -1)
    end
done
echo "mount / restore: $(echo "scale=2; $best_restore / $best_mount" | bc)"

if command -v fio >/dev/null; then
    begin
    random() {
        fio --name=r --filename="$data" --rw=randread --bs=4k --size=128m --ioengine=psync --thread --numjobs=4 \
            --allow_file_create=0 --time_based --runtime="$1" --group_reporting --minimal --direct="$2" | cut -d';' -f8
    }
    dd if="$data" of=/dev/null bs=1M count=128 status=none
    echo "4 KiB random reads a second, from the kernel's cache: $(random 5 0)"
    echo "4 KiB random reads a second, from the program's cache: $(random 5 1)"
    end
fi
