#!/bin/sh
# Backs up an image, verifies the backup, restores it and compares the images. Everything is in a temporary folder,
# which is removed at the end. Run this in the project's folder after `cargo build --release`. To use another binary,
# set BACKY2.
set -eu

binary=${BACKY2:-${CARGO_TARGET_DIR:-target}/release/backy2}
if ! [ -x "$binary" ]; then
    echo "$binary is not there: run 'cargo build --release' in the project's folder first" >&2
    exit 1
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# A self-contained installation in one folder: configuration with a new key, database and data.
backy2() {
    "$binary" -b "$dir/backup" "$@"
}

# An image of 32 MiB: 12 MiB of data, and holes.
dd if=/dev/urandom of="$dir/vm1.img" bs=1M count=8 status=none
dd if=/dev/urandom of="$dir/vm1.img" bs=1M count=4 seek=20 conv=notrunc status=none
truncate -s 32M "$dir/vm1.img"

backy2 init
backy2 backup "$dir/vm1.img" vm1
backy2 ls
uid=$(backy2 -ms ls -f uid vm1)
backy2 scrub "$uid"
backy2 restore "$uid" "$dir/restored.img"

cmp "$dir/vm1.img" "$dir/restored.img"
echo "The restored image is identical to the one that was backed up."
