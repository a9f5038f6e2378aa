#!/bin/bash
# A PostgreSQL server for tests, which lives as long as somebody holds the standard input of this script open.
#
#   postgres_lab.sh BINARIES FOLDER PORT durable|fast
#
# FOLDER, which does not exist yet, gets the data, the socket and the log; it is removed at the end, with the server.
# The server listens on 127.0.0.1 and in FOLDER, trusts everybody, and has a superuser `admin`. Nothing is flushed to
# disk. A server that is `fast` also confirms transactions before they are handed to the kernel, which a crash of the
# server would lose.
#
# Once the server answers, `ready` is printed. Then each line of the standard input is carried out and answered by
# `done` or `failed`: `start`, `stop fast`, `stop immediate`.
#
# The server refuses to run as root; root runs it as the user postgres, or nobody where there is no such user.
set -u
export LC_ALL=C
[ $# -eq 4 ] || { sed -n '4s/^# *//p' "$0" >&2; exit 2; }
bin=$1 dir=$2 port=$3 commits=$4
unset "${!PG@}"

as_user=(env)
mkdir -m 700 "$dir" || exit 1
if [ "$(id -u)" -eq 0 ]; then
    user=postgres
    id "$user" >/dev/null 2>&1 || user=nobody
    group=$(id -gn "$user")
    chown "$user:$group" "$dir"
    as_user=(setpriv "--reuid=$user" "--regid=$group" --clear-groups --)
fi

# A child of this shell, and not of pg_ctl, so that somebody reaps it.
server=
start() {
    (cd "$dir" && exec "${as_user[@]}" "$bin/postgres" -D "$dir/data") </dev/null >>"$dir/log" 2>&1 &
    server=$!
    local try
    for try in $(seq 600); do
        "$bin/pg_isready" -q -h "$dir" -p "$port" && return 0
        kill -0 "$server" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

# SIGINT: fast; SIGQUIT: immediate.
stop() {
    [ -n "$server" ] || return 1
    kill "-$1" "$server" 2>/dev/null
    wait "$server"
    server=
}

finish() {
    stop QUIT
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 143' HUP INT TERM

(cd "$dir" && exec "${as_user[@]}" "$bin/initdb" -D "$dir/data" -U admin --auth=trust --encoding=UTF8 --locale=C \
    --no-sync --no-instructions --wal-segsize=1) </dev/null >"$dir/commands.log" 2>&1 &&
    cat >>"$dir/data/postgresql.conf" <<END &&
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$dir'
max_connections = 200
shared_buffers = 32MB
max_wal_size = 128MB
fsync = off
full_page_writes = off
synchronous_commit = $([ "$commits" = durable ] && echo on || echo off)
END
    start || {
    tail -n 20 "$dir/commands.log" "$dir/log" >&2
    exit 1
}
echo ready

while read -r verb mode; do
    case "$verb" in
    start) start ;;
    stop) case "$mode" in fast) stop INT ;; immediate) stop QUIT ;; *) false ;; esac ;;
    *) false ;;
    esac && echo "done" || echo failed
done
