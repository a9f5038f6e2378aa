#!/bin/bash
# What the copies of the metadata cost: the same backups with metadata_copies on and off, in one run.
#
# usage: benches/copies.sh [BINARY]     (some 4 GiB in $TMPDIR; the default is target/release/backy2)
#
# Prints wall and processor time of an incremental backup of a million blocks, of which 1000 have changed, and of a first
# backup of 2 GiB, and the bytes of the copies. The blocks of the incremental backup have 512 bytes, so that the metadata
# is all that counts. Their blobs are in random order, which is the worst case for the copies.
set -euo pipefail

binary=$(realpath "${1:-$(dirname "$0")/../target/release/backy2}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
blocks=1048576

backy2() { "$binary" -m -b "$work/b" "$@"; }
installation() { # BLOCK_SIZE COPIES
    rm -rf "$work/b"
    backy2 init >/dev/null
    sed -i "/^block_size:/d; s/^\[DEFAULTS\]/[DEFAULTS]\nblock_size: $1/" "$work/b/backy.cfg"
    sed -i "/^sync:/d; s/^\[DataBackend\]/[DataBackend]\nsync: none\nmetadata_copies: $2/" "$work/b/backy.cfg"
}
timed() { # TEXT COMMAND…
    local text=$1
    shift
    TIMEFORMAT="$text: %R s, processor %U + %S s"
    time "$@" >"$work/out"
}

python3 - "$work" "$blocks" <<'PYTHON'
import json, os, random, sys
work, blocks = sys.argv[1], int(sys.argv[2])
random.seed(1)
contents = [os.urandom(512) for _ in range(2000)]
with open(f"{work}/image", "wb") as image:
    for _ in range(0, blocks, 1024):
        image.write(b"".join(random.choices(contents, k=1024)))
hints = []
with open(f"{work}/image", "r+b") as image:
    for block in sorted(random.sample(range(blocks), 1000)):
        hints.append({"offset": block * 512, "length": 512, "exists": True})
with open(f"{work}/hints", "w") as file:
    json.dump(hints, file)
PYTHON
change() { # new content of the blocks in the hints
    python3 - "$work" <<'PYTHON'
import json, os, sys
with open(f"{sys.argv[1]}/image", "r+b") as image:
    for hint in json.load(open(f"{sys.argv[1]}/hints")):
        image.seek(hint["offset"])
        image.write(os.urandom(512))
PYTHON
}
for copies in 0 1; do
    installation 512 "$copies"
    base=$(backy2 backup "$work/image" vm | tail -1)
    for _ in 1 2 3; do
        change
        timed "incremental, metadata_copies: $copies" backy2 backup -r "$work/hints" -f "$base" "$work/image" vm
        base=$(tail -1 "$work/out")
    done
done
versions=$(find "$work/b/data/versions" -type f -printf '%s\n')
echo "bytes of the copy of a version: $(echo "$versions" | sort -n | tail -1), of a list of 1000 blobs:" \
    "$(find "$work/b/data/index" -type f -printf '%s\n' | sort -n | head -1)"
rm "$work/image"

head -c 2147483648 /dev/urandom >"$work/image"
for copies in 0 1 0 1 0 1; do
    installation 4194304 "$copies"
    timed "first backup of 2 GiB, metadata_copies: $copies" backy2 backup "$work/image" vm
done
echo "bytes of the copies: $(du -cb "$work/b/data/versions" "$work/b/data/index" | tail -1 | cut -f 1)"
