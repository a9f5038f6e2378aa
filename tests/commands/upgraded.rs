//! Work on with an upgraded database as with the old one: SQL that was written for 2.13, and databases that
//! cannot be written.

use crate::common::fixture::{blocks, of_image, restores_right, versions};
use crate::common::images::by_name;
use crate::common::install::Install;
use rusqlite::params;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A, upgraded by a scrub.
fn upgraded() -> Install {
    let install = Install::fixture("A");
    install.ok(&["scrub", &of_image("A", "A1.img").uid]);
    install
}

const NEW: &str = "00000000-0000-11f1-90ca-02fc00000001";

/// As 2.13 does: a version, and each of its blocks with all columns.
fn insert_a_copy(install: &Install, of: &str) {
    let sql = install.sqlite();
    sql.execute(
        "INSERT INTO versions (uid, date, expire, name, snapshot_name, size, size_bytes, valid, protected)
         SELECT ?, '2026-11-21 01:02:03.000004', NULL, 'copy', '', size, size_bytes, 1, 0
         FROM versions WHERE uid = ?",
        [NEW, of],
    )
    .expect("a version");
    let mut rows = sql
        .prepare(
            "SELECT uid, id, date, checksum, size, valid, enc_envkey, enc_version, enc_nonce
             FROM blocks WHERE version_uid = ? ORDER BY id",
        )
        .expect("prepared");
    let mut rows = rows.query([of]).expect("asked");
    while let Some(row) = rows.next().expect("a row") {
        let values: Vec<rusqlite::types::Value> = (0..9).map(|i| row.get(i).expect("a value")).collect();
        sql.execute(
            "INSERT INTO blocks (uid, version_uid, id, date, checksum, size, valid, enc_envkey, enc_version,
               enc_nonce) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                values[0], NEW, values[1], values[2], values[3], values[4], values[5], values[6], values[7],
                values[8]
            ],
        )
        .expect("a block");
    }
}

#[test]
fn a_version_inserted_row_by_row_restores() {
    let install = upgraded();
    let blobs = install.count("SELECT count(*) FROM blobs");
    insert_a_copy(&install, &of_image("A", "A3.img").uid);
    assert!(install.restored(NEW, "x") == by_name("A3.img"));
    assert_eq!(install.count("SELECT count(*) FROM blobs"), blobs, "the blobs were known");
    install.ok(&["scrub", NEW]);
    install.ok(&["rm", NEW]);
    restores_right(&install, "A");
}

#[test]
fn the_same_row_cannot_be_inserted_twice() {
    let install = upgraded();
    let rows = blocks(&install);
    let again = "INSERT INTO blocks SELECT * FROM blocks WHERE checksum IS NOT NULL LIMIT 1";
    assert!(install.sqlite().execute(again, []).is_err());
    assert_eq!(blocks(&install), rows);
}

#[test]
fn a_blob_marked_invalid_by_uid_and_checksum_is_so_in_every_version() {
    let install = upgraded();
    // Block 3 is the same blob in three versions, and so is block 0.
    let first = of_image("A", "A1.img").uid;
    let uid = install.blob_uid(&first, 3);
    let mark = "UPDATE blocks SET valid = 0 WHERE uid = ?1 AND checksum =
                  (SELECT checksum FROM blocks WHERE uid = ?1 LIMIT 1)";
    install.sqlite().execute(mark, [&uid]).expect("marked");
    let sharing = "SELECT count(DISTINCT version_uid) FROM blocks WHERE valid = 0 AND uid = ?";
    let count: i64 = install.sqlite().query_row(sharing, [&uid], |row| row.get(0)).expect("counted");
    assert_eq!(count, 3);
    assert_eq!(install.invalid_blocks(&first), [0, 3]);
    install.ok(&["scrub", &first]);
    assert!(install.invalid_blocks(&first).is_empty(), "the data is good");
}

#[test]
fn a_version_deleted_row_by_row_is_gone_and_cleaned_up() {
    let install = upgraded();
    let version = of_image("A", "A2.img").uid;
    let only_here = install.blob_uid(&of_image("A", "A3.img").uid, 1);
    let version3 = of_image("A", "A3.img").uid;
    for version in [&version, &version3] {
        install.change(&format!(
            "INSERT INTO deleted_blocks (uid, size, delete_candidate, time)
               SELECT uid, size, 0, 1700000000 FROM blocks WHERE version_uid = '{version}' AND uid IS NOT NULL;
             DELETE FROM tags WHERE version_uid = '{version}';
             DELETE FROM blocks WHERE version_uid = '{version}';
             DELETE FROM versions WHERE uid = '{version}'"
        ));
    }
    assert!(!install.uids(&[]).contains(&version));
    assert!(install.blob(&only_here).exists());
    install.ok(&["cleanup"]);
    assert!(!install.blob(&only_here).exists());
    assert_eq!(install.count("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    let first = of_image("A", "A1.img");
    assert!(install.restored(&first.uid, "x") == by_name("A1.img"), "what it shared is still there");
}

#[test]
fn what_a_view_cannot_change_is_an_error() {
    let install = upgraded();
    let rows = blocks(&install);
    for sql in
        ["UPDATE blocks SET size = 1", "UPDATE blocks SET uid = 'x'", "UPDATE blocks SET id = id + 100"]
    {
        assert!(install.sqlite().execute(sql, []).is_err(), "{sql}");
    }
    assert_eq!(blocks(&install), rows);
}

/// A file system of its own that can be made read-only; unmounted when dropped, also by a panic.
struct Mount {
    path: PathBuf,
}

impl Mount {
    /// `None`, and the test is told to be skipped, where mounting is not allowed.
    fn new(test: &str, path: &Path) -> Option<Self> {
        std::fs::create_dir(path).expect("mkdir");
        match mount(&["-t", "tmpfs", "none"], path) {
            Ok(()) => Some(Mount { path: path.to_owned() }),
            Err(reason) => {
                crate::common::skip(test, &reason);
                None
            }
        }
    }

    fn make_read_only(&self) {
        mount(&["-o", "remount,ro"], &self.path).expect("remounted");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

fn mount(args: &[&str], path: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(args).arg(path).output().map_err(|e| e.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Moves the database to a file system that is then made read-only.
fn read_only(test: &str, install: &Install) -> Option<Mount> {
    let mount = Mount::new(test, &install.path("ro"))?;
    for name in ["backy.sqlite", "backy.sqlite-wal"] {
        if install.path(name).exists() {
            std::fs::rename(install.path(name), install.path("moved")).expect("renamed");
            std::fs::copy(install.path("moved"), mount.path.join(name)).expect("copied");
        }
    }
    install.set("engine", &format!("sqlite:///{}", install.text("ro/backy.sqlite")));
    mount.make_read_only();
    Some(mount)
}

const DAMAGED: &str = "dd3de788-e505-11f1-90ca-02fc00000001";

#[test]
fn an_old_database_that_cannot_be_written_can_be_restored_from() {
    for journal in ["delete", "wal"] {
        let install = Install::fixture("A");
        install.change(&format!("PRAGMA journal_mode = {journal}"));
        let Some(_mount) = read_only("read-only old database", &install) else { return };
        restores_from_a_copy(&install);
    }
}

fn restores_from_a_copy(install: &Install) {
    assert!(!install.ok(&["ls"]).contains("WARNING"), "nothing is missing for that");
    let good = of_image("A", "A2.img");
    let out = install.ok(&["restore", &good.uid, &install.url("x")]);
    assert!(out.contains("WARNING") && out.contains("cannot be written"), "{out}");
    assert!(std::fs::read(install.path("x")).expect("read") == by_name("A2.img"));
    install.fails(20, &["restore", DAMAGED, &install.url("y")]);
    let source = install.image("z", b"z");
    for args in [&["backup", &source, "z"][..], &["scrub", &good.uid], &["rm", &good.uid]] {
        let error = install.fails(1, args);
        assert!(error.contains("cannot be written"), "{error}");
    }
    let left: Vec<_> = std::fs::read_dir(install.path("cache")).expect("list").collect();
    assert!(left.is_empty(), "the temporary copy is gone: {left:?}");
}

#[test]
fn a_database_that_cannot_be_written_keeps_no_marks_and_that_is_told() {
    let install = upgraded();
    let good = versions("A").into_iter().find(|v| v.image.as_deref() == Some("A3.img")).expect("recorded");
    let gone = install.blob(&install.blob_uid(&good.uid, 1));
    let Some(_mount) = read_only("read-only database", &install) else { return };
    std::fs::remove_file(gone).expect("removed");
    let mut wanted = by_name("A3.img");
    wanted[4 << 20..8 << 20].fill(0);
    let run = install.run(&["restore", &good.uid, &install.url("x")]);
    assert_eq!(run.code, 20, "{run:?}");
    assert!(run.stdout.contains("WARNING: Bad blocks cannot be marked invalid"), "{run:?}");
    assert!(!run.stdout.contains("Marked"), "{run:?}");
    assert!(std::fs::read(install.path("x")).expect("read") == wanted);
}

/// A folder in which no file can be made or removed, not even by root; as before when dropped.
struct Immutable(PathBuf);

impl Immutable {
    fn new(test: &str, path: PathBuf) -> Option<Self> {
        let status = Command::new("chattr").arg("+i").arg(&path).status();
        if status.is_ok_and(|status| status.success()) {
            return Some(Immutable(path));
        }
        crate::common::skip(test, "chattr +i is not possible here");
        None
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg("-i").arg(&self.0).status();
    }
}

#[test]
fn a_database_in_a_folder_that_cannot_be_written_counts_as_read_only() {
    let install = Install::fixture("D");
    std::fs::create_dir(install.path("fixed")).expect("mkdir");
    std::fs::rename(install.path("backy.sqlite"), install.path("fixed/backy.sqlite")).expect("moved");
    install.set("engine", &format!("sqlite:///{}", install.text("fixed/backy.sqlite")));
    let Some(_fixed) = Immutable::new("database in an immutable folder", install.path("fixed")) else {
        return;
    };
    restores_right(&install, "D");
    let error = install.fails(1, &["rm", &of_image("D", "D1.img").uid]);
    assert!(error.contains("cannot be written"), "{error}");
}
