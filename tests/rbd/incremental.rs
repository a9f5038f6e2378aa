//! `backup --incremental` of RBD images: the choice of the base, the removal of snapshots, and killed runs.

use crate::common::ceph::{Ceph, errors};
use crate::common::checks::{ended, seed, wait_until};
use crate::common::install::{Install, noise};
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;

const MIB: usize = 1 << 20;
const BLOCK: usize = 256 << 10;
const SIZE: usize = 16 * MIB;

/// An image of noise with a hole at its end.
fn image(ceph: &Ceph, name: &str) -> String {
    ceph.rbd(&["create", "--size", "16M", "--object-size", "256K", name]);
    let url = format!("rbd://rbd/{name}");
    ceph.writer(&url).write_at(0, &noise(1, SIZE - 4 * MIB)).expect("written");
    url
}

/// Overwrites a few blocks.
fn change(ceph: &Ceph, url: &str, random: &mut fastrand::Rng) {
    let target = ceph.writer(url);
    for _ in 0..8 {
        let at = random.usize(0..SIZE / BLOCK) * BLOCK;
        target.write_at(at as u64, &noise(random.u64(..), BLOCK)).expect("written");
    }
    target.flush().expect("flushed");
}

/// The snapshots that backups have made.
fn made(ceph: &Ceph, image: &str) -> Vec<String> {
    ceph.snapshots(image).into_iter().filter(|name| name.starts_with("backy2-")).collect()
}

fn snapshot_of(install: &Install, uid: &str) -> String {
    let sql = format!("SELECT snapshot_name FROM versions WHERE uid = '{uid}'");
    install.texts(&sql).pop().expect("a version")
}

fn read(install: &Install, uid: &str) -> i64 {
    install.count(&format!("SELECT sum(blocks_read) FROM stats WHERE version_uid = '{uid}'"))
}

/// The version has the same data as its snapshot, which must exist.
fn assert_same(ceph: &Ceph, install: &Install, image: &str, uid: &str) {
    let snapshot = format!("{image}@{}", snapshot_of(install, uid));
    assert!(install.restored(uid, "out.img") == ceph.export(&snapshot), "{snapshot}");
}

#[test]
fn each_run_leaves_the_snapshot_that_the_next_one_needs() {
    let Some(ceph) = Ceph::get("each_run_leaves_the_snapshot_that_the_next_one_needs") else { return };
    let (install, url) = (ceph.install(BLOCK as u32), image(&ceph, "plain"));
    let mut random = fastrand::Rng::with_seed(7);
    // Somebody else's snapshot with a similar name.
    ceph.rbd(&["snap", "create", "plain@backy2-20200101T000000"]);
    let out = install.ok(&["backup", "--incremental", &url, "vm"]);
    assert!(
        out.contains("No valid version of vm has its snapshot on the image: this is a full backup."),
        "{out}"
    );
    let first = install.uids(&["vm"]).remove(0);
    assert_eq!(made(&ceph, "plain"), ["backy2-20200101T000000".to_owned(), snapshot_of(&install, &first)]);
    assert_eq!(read(&install, &first), 12 * MIB as i64 / BLOCK as i64, "the hole is not read");
    assert_same(&ceph, &install, "plain", &first);

    change(&ceph, &url, &mut random);
    let out = install.ok(&["backup", "--incremental", &url, "vm"]);
    let old = snapshot_of(&install, &first);
    assert!(out.contains(&format!("The base is version {first}, made from snapshot {old}")), "{out}");
    assert!(out.contains(&format!("Removed snapshot {old}.")), "{out}");
    let second = install.uids(&["vm"]).remove(1);
    let name = snapshot_of(&install, &second);
    assert_eq!(made(&ceph, "plain"), ["backy2-20200101T000000".to_owned(), name.clone()]);
    let digits = name.strip_prefix("backy2-").expect("its beginning");
    assert!(digits.len() == 15 && digits.as_bytes()[8] == b'T', "{name}");
    assert_same(&ceph, &install, "plain", &second);

    // Nothing has changed: no block is read, and the version is complete.
    let third = install.backup(&["--incremental", &url, "vm"]);
    assert_eq!(read(&install, &third), 0);
    assert_same(&ceph, &install, "plain", &third);
    // The base is gone: a full backup, which stores nothing new.
    install.ok(&["rm", "-f", &third]);
    let out = install.ok(&["backup", "--incremental", &url, "vm"]);
    assert!(out.contains("a full backup"), "{out}");
    let fourth = install.newest("vm").expect("a version").0;
    assert_eq!(made(&ceph, "plain").len(), 2);
    let written = format!("SELECT blocks_written FROM stats WHERE version_uid = '{fourth}'");
    assert_eq!(install.count(&written), 0);
    assert_same(&ceph, &install, "plain", &fourth);
    install.assert_sound();
}

#[test]
fn names_that_share_an_image_keep_each_others_snapshots() {
    let Some(ceph) = Ceph::get("names_that_share_an_image_keep_each_others_snapshots") else { return };
    let (install, url) = (ceph.install(BLOCK as u32), image(&ceph, "shared"));
    let mut random = fastrand::Rng::with_seed(8);
    let one = install.backup(&["--incremental", &url, "one"]);
    let two = install.backup(&["--incremental", &url, "two"]);
    assert_eq!(made(&ceph, "shared"), [snapshot_of(&install, &one), snapshot_of(&install, &two)]);
    for _ in 0..2 {
        change(&ceph, &url, &mut random);
        let new = install.backup(&["--incremental", &url, "one"]);
        assert_eq!(made(&ceph, "shared"), [snapshot_of(&install, &two), snapshot_of(&install, &new)]);
        assert!(read(&install, &new) < 12 * MIB as i64 / BLOCK as i64);
        assert_same(&ceph, &install, "shared", &new);
    }
    // Another installation makes a snapshot, too: each one leaves the other's alone.
    let other = ceph.install(BLOCK as u32);
    let theirs = other.backup(&["--incremental", &url, "one"]);
    let last = install.backup(&["--incremental", &url, "two"]);
    assert!(made(&ceph, "shared").contains(&snapshot_of(&other, &theirs)));
    assert_eq!(made(&ceph, "shared").len(), 3);
    assert_same(&ceph, &install, "shared", &last);
    // A protected snapshot stays, and is removed once it is no longer protected.
    let held = snapshot_of(&install, &last);
    ceph.rbd(&["snap", "protect", &format!("shared@{held}")]);
    let out = install.ok(&["backup", "--incremental", &url, "two"]);
    assert!(out.contains(&format!("Snapshot {held} is protected or in use, and was not removed.")), "{out}");
    ceph.rbd(&["snap", "unprotect", &format!("shared@{held}")]);
    install.ok(&["backup", "--incremental", &url, "two"]);
    assert!(!made(&ceph, "shared").contains(&held));
    assert_eq!(made(&ceph, "shared").len(), 3);
}

/// Failpoints at which a run kills itself.
const FAILPOINTS: [&str; 6] = [
    "incremental-noted",
    "incremental-made",
    "blob-after-put:3",
    "commit-middle",
    "before-valid",
    "incremental-valid",
];

#[test]
fn a_run_killed_at_any_moment_harms_nothing_and_the_next_one_tidies_up() {
    let Some(ceph) = Ceph::get("a_run_killed_at_any_moment") else { return };
    let mut random = fastrand::Rng::with_seed(seed("a_run_killed_at_any_moment"));
    let (install, url) = (ceph.install(BLOCK as u32), image(&ceph, "killed"));
    let mut before = install.backup(&["--incremental", &url, "vm"]);
    let arguments = ["backup", "--incremental", &url, "vm"];
    for moment in 0..10 {
        change(&ceph, &url, &mut random);
        match FAILPOINTS.get(moment) {
            Some(failpoint) => assert!(install.killed_at(failpoint, &arguments), "{failpoint}"),
            None => {
                install.bandwidth(4_000_000, 0);
                let pause = Duration::from_millis(600).mul_f64(random.f64());
                drop(install.killed_after(pause, &arguments));
                install.bandwidth(0, 0);
            }
        }
        install.assert_sound();
        let (newest, valid) = install.newest("vm").expect("a version");
        let base = if valid { newest } else { before };
        // A valid version has its snapshot.
        assert_same(&ceph, &install, "killed", &base);
        let uid = install.backup(&["--incremental", &url, "vm"]);
        assert_eq!(made(&ceph, "killed"), [snapshot_of(&install, &uid)], "moment {moment}");
        assert!(read(&install, &uid) < 12 * MIB as i64 / BLOCK as i64, "moment {moment}: the base was lost");
        assert_same(&ceph, &install, "killed", &uid);
        before = uid;
    }
    assert_eq!(install.count("SELECT count(*) FROM made_snapshots"), 1);
    install.ok(&["scrub", &before]);
}

#[test]
fn a_signal_takes_the_snapshot_back() {
    let Some(ceph) = Ceph::get("a_signal_takes_the_snapshot_back") else { return };
    let (install, url) = (ceph.install(BLOCK as u32), image(&ceph, "stopped"));
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        install.bandwidth(1, 0);
        let child = install.start(&["backup", "--incremental", &url, "vm"]);
        wait_until("the version begins", Duration::from_secs(10), || install.newest("vm").is_some());
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("sent");
        let run = ended(child);
        install.bandwidth(0, 0);
        assert_eq!(run.code, code, "{run:?}");
        assert_eq!(made(&ceph, "stopped"), [""; 0], "{run:?}");
        let (uid, valid) = install.newest("vm").expect("a version");
        assert!(!valid && run.stderr.contains(&format!("Then run `backy2 rm -f {uid}`")), "{run:?}");
        install.assert_sound();
        install.ok(&["rm", "-f", &uid]);
    }
    let uid = install.backup(&["--incremental", &url, "vm"]);
    assert_same(&ceph, &install, "stopped", &uid);
}

#[test]
fn a_base_must_be_of_this_very_snapshot() {
    let Some(ceph) = Ceph::get("a_base_must_be_of_this_very_snapshot") else { return };
    let (install, url) = (ceph.install(BLOCK as u32), image(&ceph, "proven"));
    let other = image(&ceph, "other");
    for at in ["proven@a", "proven@b", "other@a"] {
        ceph.rbd(&["snap", "create", at]);
    }
    let at = |snapshot: &str| format!("{url}@{snapshot}");
    let base = install.backup(&[&at("a"), "vm"]);
    assert_eq!(snapshot_of(&install, &base), "a", "the snapshot's name is noted");
    // The same snapshot under another name, and an earlier snapshot.
    let again = install.backup(&["-f", &base, &at("a"), "vm"]);
    assert_eq!(read(&install, &again), 0);
    ceph.rbd(&["snap", "rename", "proven@a", "proven@z"]);
    let renamed = install.backup(&["-f", &base, &at("b"), "vm"]);
    assert_eq!(read(&install, &renamed), 0);
    let out = install.ok(&["backup", "-f", &renamed, &at("z"), "vm"]);
    assert!(out.contains("is newer than the source. All blocks are read"), "{out}");
    // Another image; another snapshot with that name; no snapshot.
    let error = install.fails(100, &["backup", "-f", &base, &format!("{other}@a"), "vm"]);
    assert!(error.contains("an image with another identity"), "{error}");
    ceph.rbd(&["snap", "rm", "proven@z"]);
    ceph.rbd(&["snap", "create", "proven@a"]);
    install.refuses(100, &["backup", "-f", &base, &at("b"), "vm"], &["another one was made under that name"]);
    ceph.rbd(&["snap", "rm", "proven@a"]);
    let out = install.ok(&["backup", "-f", &base, &at("b"), "vm"]);
    assert!(out.contains("its snapshot a is no longer there. All blocks are read"), "{out}");
    // A version without a recorded snapshot, and the image itself as source.
    install.change(&format!("DELETE FROM version_origins WHERE version_uid = '{renamed}'"));
    let out = install.ok(&["backup", "-f", &renamed, &at("b"), "vm"]);
    assert!(out.contains("no snapshot of an image was recorded with it. All blocks are read"), "{out}");
    let whole = install.backup(&["-f", &base, &url, "vm"]);
    assert_eq!(read(&install, &whole), 12 * MIB as i64 / BLOCK as i64);
    // A copy in another encryption version works as a base, too.
    let base = install.backup(&[&at("b"), "vm"]);
    install.ok(&["migrate-encryption", &base]);
    let copy = install.newest("vm").expect("a version").0;
    ceph.rbd(&["snap", "create", "proven@c"]);
    assert_eq!(read(&install, &install.backup(&["-f", &copy, &at("c"), "vm"])), 0);
}

#[test]
fn a_backup_is_continued_from_its_own_snapshot_only() {
    let Some(ceph) = Ceph::get("a_backup_is_continued_from_its_own_snapshot_only") else { return };
    let (install, url) = (ceph.install(BLOCK as u32), image(&ceph, "continued"));
    ceph.rbd(&["snap", "create", "continued@a"]);
    ceph.rbd(&["snap", "create", "continued@b"]);
    let at = |snapshot: &str| format!("{url}@{snapshot}");
    assert!(install.killed_at("commit-middle", &["backup", &at("a"), "vm"]));
    let uid = install.newest("vm").expect("a version").0;
    for source in [at("b"), url.clone()] {
        install.refuses(100, &["backup", "-c", &uid, &source, "vm"], &["started from snapshot a"]);
    }
    install.ok(&["backup", "-c", &uid, &at("a"), "vm"]);
    assert_same(&ceph, &install, "continued", &uid);
}

#[test]
fn a_snapshot_that_is_removed_meanwhile_makes_no_valid_version() {
    let Some(ceph) = Ceph::get("a_snapshot_that_is_removed_meanwhile") else { return };
    let (install, url) = (ceph.install(BLOCK as u32), image(&ceph, "gone"));
    ceph.rbd(&["snap", "create", "gone@a"]);
    install.bandwidth(3_000_000, 0);
    let child = install.start(&["backup", &format!("{url}@a"), "vm"]);
    wait_until("the version begins", Duration::from_secs(10), || install.newest("vm").is_some());
    ceph.rbd(&["snap", "rm", "gone@a"]);
    let run = ended(child);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("has no snapshot a"), "{run:?}");
    assert!(!install.newest("vm").expect("a version").1);
}

#[test]
fn contradictory_options_are_wrong_usage() {
    let install = Install::in_memory(BLOCK as u32);
    install.ok(&["initdb"]);
    std::fs::write(install.path("hints.json"), "[]").expect("written");
    let source = install.image("a.img", &noise(1, 4 * BLOCK));
    for more in [["-r", "hints.json"], ["-f", "vm"], ["-c", "vm"]] {
        let error = install.fails(2, &[&["backup", "--incremental"], &more[..], &[&source, "vm"]].concat());
        assert!(error.contains("--incremental"), "{error}");
    }
    let error = install.fails(2, &["backup", "--incremental", "-s", "x", "rbd://rbd/i", "vm"]);
    assert!(error.contains("--snapshot-name"), "{error}");
    let run = install.run(&["backup", "--incremental", "rbd://rbd/i@s", "vm"]);
    assert_eq!((run.code, errors(&run)[0].contains("Leave @s out")), (100, true), "{run:?}");
}

#[test]
fn of_a_file_all_but_holes_is_read_and_nothing_is_stored_twice() {
    let install = Install::in_memory(BLOCK as u32);
    install.ok(&["initdb"]);
    let mut data = noise(2, 8 * BLOCK);
    let source = install.image("a.img", &data);
    let out = install.ok(&["backup", "--incremental", "-s", "mine", &source, "vm"]);
    assert!(out.contains("There is no valid version of vm: this is a full backup."), "{out}");
    let first = install.newest("vm").expect("a version").0;
    assert_eq!(snapshot_of(&install, &first), "mine");
    data[..BLOCK].fill(7);
    install.image("a.img", &data);
    let out = install.ok(&["backup", "--incremental", &source, "vm"]);
    assert!(out.contains(&format!("The base is version {first}.")), "{out}");
    let second = install.newest("vm").expect("a version").0;
    assert!(install.restored(&second, "out.img") == data);
    assert_eq!((install.blobs().len(), read(&install, &second)), (9, 8));
}

#[test]
fn a_database_of_the_first_revision_gets_the_tables_when_something_is_changed() {
    let install = Install::in_memory(BLOCK as u32);
    install.ok(&["initdb"]);
    let source = install.image("a.img", &noise(3, BLOCK));
    let uid = install.backup(&[&source, "vm"]);
    install.change(
        "DROP TRIGGER version_origins_go; DROP TABLE version_origins; DROP TABLE made_snapshots;
         DROP TABLE claims; DROP TABLE invalidated; DROP TABLE stores;
         DROP TABLE copies_due; DROP TABLE index_objects; DROP TABLE index_runs;
         DROP TRIGGER copies_due_new_version; DROP TRIGGER copies_due_version; DROP TRIGGER copies_due_old_version;
         DROP TRIGGER copies_due_new_tag; DROP TRIGGER copies_due_tag; DROP TRIGGER copies_due_old_tag;
         DROP TRIGGER copies_due_statistics; DROP TRIGGER copies_due_blob; DROP TRIGGER index_objects_live;
         DROP TRIGGER verifications_go; DROP TABLE verifications;
         UPDATE schema_version SET revision = 1",
    );
    install.ok(&["ls"]);
    assert_eq!(install.count("SELECT revision FROM schema_version"), 1);
    // A restore upgrades the database, since it may mark blobs.
    install.ok(&["restore", &uid, "null://"]);
    assert_eq!(install.count("SELECT revision FROM schema_version"), 6);
    install.backup(&["-f", &uid, &source, "vm"]);
    assert_eq!(install.count("SELECT revision FROM schema_version"), 6);
    assert_eq!(install.count("SELECT count(*) FROM version_origins"), 0);
    install.assert_sound();
}
