#!/bin/bash
# How fast a bucket is filled and read: a backup and a restore of 1 GiB in 4 MiB blocks by 20 threads, without
# encryption, next to `rclone copy` of as many files of that size by 20 threads, to the same servers (rclone and radosgw,
# on this machine) in the same run. A ratio above 1 means that backy2 is the faster one.
#
# Needs rclone (or RCLONE=path), and for radosgw Debian's ceph-mon, ceph-osd, ceph-common and radosgw. Other work on the
# machine spoils the result: on few cores server and client compete for them.
#
#   benches/s3.sh [MIB]
set -euo pipefail
cd "$(dirname "$0")/.."
BACKY2_S3_SPEED=${1:-1024} cargo test --release --test s3 speed:: -- --nocapture 2>&1 | grep -E '^(rclone|radosgw): |SKIPPED|panicked|FAILED'
