#!/bin/bash
# The metadata verbs on PostgreSQL and on SQLite side by side, with 100 000 blobs and with 5 million (or MILLIONS): a
# server with its default settings is started for it, as the user postgres, and removed afterwards. Takes ten minutes
# and 8 GiB.
#
#   benches/postgresql.sh [MILLIONS]
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
dir=$(mktemp -d)
as_user() { if [ "$(id -u)" -eq 0 ]; then (cd / && setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"); else "$@"; fi; }
trap 'as_user "$bin/pg_ctl" -D "$dir/data" stop -m immediate >/dev/null 2>&1; rm -rf "$dir"' EXIT
[ "$(id -u)" -ne 0 ] || chown postgres: "$dir"
as_user "$bin/initdb" -D "$dir/data" -U admin --auth=trust --no-instructions >/dev/null
as_user "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -o "-c listen_addresses= -k $dir" start >/dev/null
cargo build --quiet --profile bench --bench postgresql
cargo bench --quiet --bench postgresql -- "postgresql:///postgres?host=$dir&user=admin" "${1:-5}"
