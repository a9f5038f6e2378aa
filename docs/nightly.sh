#!/bin/sh
# A night's work: backs up what is due, dumps the metadata, verifies a part, removes what has expired, and deletes
# the data that nothing needs any more. Prints errors and breaches of the schedules only, for cron to mail.
#
# The file SOURCES has lines "NAME SOURCE", such as "vm1 /dev/vg/vm1"; lines that begin with # count for nothing.
# The folder DUMPS must exist. BACKY2 may hold global options, such as "backy2 -b /srv/backup".
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

# Not twice at the same time, if a night is too short.
exec 9>"$dumps/.lock" || exit 1
flock -n 9 || { echo "nightly backup: the last one is still running" >&2; exit 1; }

# What is due gets the tags of its schedulers, and the date until which the longest of them keeps it.
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
    # Over a month of nights most blocks of the newest version have their turn.
    backy scrub -p 10 "$name" || fail "the scrub of $name ended with exit code $?"
done <"$sources" || fail "$sources cannot be read"

# A version that has expired may be the last good one: nothing is removed in a night with a failure.
if [ "$failed" -eq 0 ]; then
    for uid in $(backy -s ls -e -f uid,protected | sed -n 's/|0$//p'); do
        { backy rm "$uid" && rm -f "$dumps/$uid.csv"; } || fail "version $uid has expired and was not removed"
    done
fi
backy cleanup || fail "the cleanup ended with exit code $?"

# Dumps have no tags, and of the expiry only the day.
{ backy -s ls -f uid,tags,expire >"$dumps/tags.new" && mv "$dumps/tags.new" "$dumps/tags"; } ||
    fail "the tags were not dumped"
# Here the dumps should be copied to another machine, as should the configuration whenever it changes.

backy -s sla || fail "the schedules were not checked"
exit "$failed"
