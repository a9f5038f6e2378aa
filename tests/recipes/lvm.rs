//! Snapshots of logical volumes, in a guest of QEMU.

use crate::common::{documented, skip};
use crate::vm::Guest;

/// Runs a command and prints whether it ended with that exit code. Its output is printed if it did not.
const CHECKS: &str = r#"
expect() { # CODE NAME COMMAND...
    local code=$1 name=$2 got=0
    shift 2
    "$@" >/tmp/said 2>&1 || got=$?
    if [ $got -eq $code ]; then echo "GOOD $name"; else echo "BAD $name: exit code $got"; cat /tmp/said; fi
}
silent() { [ ! -s /tmp/said ] || { echo "BAD $1 printed:"; cat /tmp/said; }; }
volumes() { lvm lvs --noheadings -o lv_name vg0 2>/dev/null | tr -d ' \n'; }
is() { if [ "$2" = "$3" ]; then echo "GOOD $1"; else echo "BAD $1: $2 instead of $3"; fi; }
for name in lvcreate lvremove; do
    # Messages about descriptors that the shell has left open say nothing here.
    printf '#!/bin/sh\nexport LVM_SUPPRESS_FD_WARNINGS=1\nexec lvm %s "$@"\n' $name >/bin/$name; chmod +x /bin/$name
done
export LVM_SUPPRESS_FD_WARNINGS=1
mkdir -p /etc/lvm /work/data /work/lock /work/cache
chmod 600 /work/backy.cfg
echo 'activation { udev_sync = 0 udev_rules = 0 } devices { obtain_device_list_from_udev = 0 }' >/etc/lvm/lvm.conf
lvm pvcreate -q /dev/vda >/dev/null 2>&1 && lvm vgcreate -q vg0 /dev/vda >/dev/null 2>&1 || echo "BAD no volume group"
"#;

/// The configuration, without the jobs.
const CONFIG: &str = "[DEFAULTS]
logfile: /work/log
block_size: 65536
lock_dir: /work/lock
cachedir: /work/cache
encryption_key: decafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbad
[MetaBackend]
type: backy2.meta_backends.sql
engine: sqlite:////work/backy.sqlite
[DataBackend]
type: backy2.data_backends.file
path: /work/data
";

const VOLUMES: &str = r#"
lvcreate -qy -L 8M -n vm-a vg0 >/dev/null 2>&1; lvcreate -qy -L 12M -n vm-b vg0 >/dev/null 2>&1
for v in vm-a vm-b; do dd if=/dev/urandom of=/dev/vg0/$v bs=64k count=40 2>/dev/null; cat /dev/vg0/$v >/tmp/$v; done
is "the volumes" "$(volumes)" vm-avm-b
expect 0 "the database" backy2 initdb
expect 0 "the night" backy2 run; silent "the night"
is "no snapshot is left" "$(volumes)" vm-avm-b
for v in vm-a vm-b; do
    expect 0 "$v restored" backy2 restore -f $v:latest file:///tmp/$v.out
    expect 0 "$v as it was when the snapshot was made" cmp /tmp/$v /tmp/$v.out
    is "$v was written to during the backup" "$(dd if=/dev/vg0/$v bs=4 count=1 2>/dev/null)" late
done
mv /work/data /work/away
expect 100 "the night without a store" backy2 run
is "no snapshot is left after a failure" "$(volumes)" vm-avm-b
mv /work/away /work/data
lvcreate -qs -L 4M -n backup-vm-a vg0/vm-a >/dev/null 2>&1
sed -i 's/^keep_daily: 8/keep_last: 8/; s/^keep_weekly: 5//' /work/backy.cfg
expect 0 "the night after a crash" backy2 run; silent "the night after a crash"
is "no snapshot is left after a crash" "$(volumes)" vm-avm-b
is "two versions of each" "$(backy2 -ms ls -f name | tr '\n' ' ')" "vm-a vm-a vm-b vm-b "
"#;

/// The machine has no guest, so the commands that freeze and thaw it only note that they were called.
const FROZEN: &str = r#"
printf '#!/bin/sh\necho "$2" >>/tmp/calls; [ "$2" = domfsthaw ] || [ ! -e /tmp/frozen ] || exit 1\n' >/bin/virsh; chmod +x /bin/virsh
lvcreate -qy -L 8M -n web vg0 >/dev/null 2>&1
dd if=/dev/urandom of=/dev/vg0/web bs=64k count=40 2>/dev/null
expect 0 "the database" backy2 initdb
expect 0 "the night" backy2 run; silent "the night"
is "frozen and thawed" "$(tr '\n' ' ' </tmp/calls)" "domfsfreeze domfsthaw "
is "no snapshot is left" "$(volumes)" web
expect 0 "restored" backy2 restore -f web:latest file:///tmp/web.out
expect 0 "equal" cmp /dev/vg0/web /tmp/web.out
# There is no room for a snapshot: no backup, and the machine is thawed.
sed -i 's/^keep_daily: 8/keep_last: 8/' /work/backy.cfg
lvcreate -qy -l 100%FREE -n full vg0 >/dev/null 2>&1
: >/tmp/calls
expect 100 "the night without room" backy2 run
is "thawed after a failure" "$(tr '\n' ' ' </tmp/calls)" "domfsfreeze domfsthaw "
is "one version" "$(backy2 -ms ls -f name)" web
"#;

/// Runs a recipe in a guest. `late` is a command at the end of `before`.
fn night(name: &str, job: &str, late: &str, script: &str) {
    let guest = match Guest::new(&["/sbin/lvm", &crate::common::program()]) {
        Ok(guest) => guest,
        Err(reason) => return skip(name, &reason),
    };
    let recipe = documented::job(job);
    assert!(recipe.contains(" -L 10G ") && recipe.contains("\nafter:"), "{recipe}");
    let recipe = recipe.replace(" -L 10G ", " -L 4M ").replacen("\nafter:", &format!("{late}\nafter:"), 1);
    std::fs::create_dir(guest.path("work")).expect("a folder");
    std::fs::write(guest.path("work/backy.cfg"), format!("{CONFIG}{recipe}")).expect("written");
    let start = "export BACKY2_CONFIG=/work/backy.cfg";
    let console = guest.boot(&format!("{CHECKS}{start}\n{script}\necho ALL DONE"));
    assert!(
        console.contains("ALL DONE") && console.contains("GOOD ") && !console.contains("BAD "),
        "{console}"
    );
}

#[test]
fn snapshots_of_volumes_are_made_and_removed() {
    let late = "; printf late | dd of=\"/dev/vg0/$BACKY2_ITEM\" conv=notrunc 2>/dev/null";
    night("snapshots_of_volumes_are_made_and_removed", "volumes", late, VOLUMES);
}

#[test]
fn a_machine_is_thawed_whatever_happens() {
    night("a_machine_is_thawed_whatever_happens", "web", "", FROZEN);
}
