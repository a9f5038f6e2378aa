#!/bin/sh
# Makes the backups that are due, dumps the metadata, verifies part of the data, removes expired versions, and deletes
# data that no version uses. Prints only errors and breaches of the schedules, for cron to mail.
#
# The file SOURCES has lines "NAME SOURCE", such as "vm1 /dev/vg/vm1". The script ignores lines that begin with #.
# The folder DUMPS must exist. BACKY2 may contain global options, such as "backy2 -b /srv/backup".
set -u
sources=${SOURCES:-/etc/backy2-sources}
dumps=${DUMPS:-/var/lib/backy2/dumps}

backy() {
    ${BACKY2:-backy2} -m "$@" </dev/null
}

failed=0
fail() {
    echo "nightly backup: $*" >&2
    failed=1
}

# Do not start while the last run is still busy.
exec 9>"$dumps/.lock" || exit 1
flock -n 9 || { echo "nightly backup: the last one is still running" >&2; exit 1; }

# A backup gets its due schedulers as tags, and the latest of their dates as its expiry.
while read -r name source; do
    case $name in '' | '#'*) continue ;; esac
    due=$(backy -s due -f schedulers,expire_date "$name") || { fail "cannot tell whether $name is due"; continue; }
    if [ -n "$due" ]; then
        uids=$(backy backup -t "${due%%|*}" -e "${due##*|}" "$source" "$name") ||
            { fail "the backup of $name ended with exit code $?"; continue; }
        uid=$(echo "$uids" | tail -n 1)
        { backy export "$uid" "$dumps/$uid.new" && mv "$dumps/$uid.new" "$dumps/$uid.csv"; } ||
            fail "version $uid of $name was not dumped"
    fi
    # Over a month, this verifies most blocks of the newest version.
    backy scrub -p 10 "$name" || fail "the scrub of $name ended with exit code $?"
done <"$sources" || fail "$sources cannot be read"

# An expired version may be the last good one, so remove nothing in a night with a failure. If you use retention rules,
# `backy prune` takes the place of this loop, and the backup gets no -e.
if [ "$failed" -eq 0 ]; then
    for uid in $(backy -s ls -e -f uid,protected | sed -n 's/|0$//p'); do
        { backy rm "$uid" && rm -f "$dumps/$uid.csv"; } || fail "version $uid has expired and was not removed"
    done
fi
backy cleanup || fail "the cleanup ended with exit code $?"

# Dumps contain no tags, and only the day of the expiry.
{ backy -s ls -f uid,tags,expire >"$dumps/tags.new" && mv "$dumps/tags.new" "$dumps/tags"; } ||
    fail "the tags were not dumped"
# Copy the dumps to another machine here, and the configuration whenever it changes.

backy -s sla || fail "the schedules were not checked"
exit "$failed"
