//! An upgraded database still works with SQL that was written for 2.13.

use crate::common::database::literal;
use crate::common::fixture::{blocks, of_image, restores_right};
use crate::common::images::by_name;
use crate::common::install::{Install, noise};

/// Fixture A, upgraded by a scrub.
fn upgraded() -> Install {
    let install = Install::fixture("A");
    install.ok(&["scrub", &of_image("A", "A1.img").uid]);
    install
}

const NEW: &str = "00000000-0000-11f1-90ca-02fc00000001";

/// Inserts a version and each of its blocks with all columns, as 2.13 does.
fn insert_a_copy(install: &Install, of: &str) {
    install.change(&format!(
        "INSERT INTO versions (uid, date, expire, name, snapshot_name, size, size_bytes, valid, protected)
         SELECT '{NEW}', '2026-11-21 01:02:03.000004', NULL, 'copy', '', size, size_bytes, 1, 0
         FROM versions WHERE uid = '{of}'"
    ));
    let columns = "uid, id, date, checksum, size, valid, enc_envkey, enc_version, enc_nonce";
    for row in install.table(&format!("SELECT {columns} FROM blocks WHERE version_uid = '{of}' ORDER BY id"))
    {
        let values: Vec<String> = row.iter().map(|value| literal(value.as_deref())).collect();
        let values = values.join(", ");
        install.change(&format!("INSERT INTO blocks ({columns}, version_uid) VALUES ({values}, '{NEW}')"));
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
    assert!(install.try_change(again).is_err());
    assert_eq!(blocks(&install), rows);
}

#[test]
fn a_blob_marked_invalid_by_uid_and_checksum_is_so_in_every_version() {
    let install = upgraded();
    // Three versions share the blob of block 3, and also that of block 0.
    let first = of_image("A", "A1.img").uid;
    let uid = install.blob_uid(&first, 3);
    install.change(&format!(
        "UPDATE blocks SET valid = 0 WHERE uid = '{uid}' AND checksum =
           (SELECT checksum FROM blocks WHERE uid = '{uid}' LIMIT 1)"
    ));
    let sharing = "SELECT count(DISTINCT version_uid) FROM blocks WHERE valid = 0 AND uid = ";
    assert_eq!(install.count(&format!("{sharing}'{uid}'")), 3);
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
    install.assert_references();
    let first = of_image("A", "A1.img");
    assert!(install.restored(&first.uid, "x") == by_name("A1.img"), "what it shared is still there");
}

#[test]
fn changes_that_a_view_cannot_make_are_errors() {
    let install = upgraded();
    let rows = blocks(&install);
    for sql in
        ["UPDATE blocks SET size = 1", "UPDATE blocks SET uid = 'x'", "UPDATE blocks SET id = id + 100"]
    {
        assert!(install.try_change(sql).is_err(), "{sql}");
    }
    assert_eq!(blocks(&install), rows);
}

/// Begins a backup on a base as 2.13 does: its version exists, and another program has locked it.
fn begin_a_backup_of_2_13(install: &Install) -> std::process::Child {
    install.change(&format!(
        "INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)
         VALUES ('{NEW}', '2026-11-21 01:02:03.000004', 'copy', '', 1, 4194304, 0, 0)"
    ));
    let lock = install.text(&format!("lock/backy_{NEW}.lock"));
    let child = std::process::Command::new("flock").args(["-o", "-x", &lock, "sleep", "60"]).spawn();
    let child = child.expect("flock of util-linux");
    crate::common::checks::wait_until("it is locked", std::time::Duration::from_secs(10), || {
        install.ok(&["-ms", "locks"]).contains(NEW)
    });
    child
}

#[test]
fn a_cleanup_waits_for_the_end_of_a_backup_of_2_13_whose_base_was_removed() {
    let install = upgraded();
    let base = of_image("A", "A3.img");
    // A blob that only this version uses.
    let columns = "uid, checksum, size, valid, enc_version, enc_envkey, enc_nonce";
    let row = "SELECT {columns} FROM blocks b WHERE version_uid = '{}' AND uid <> ''
         AND NOT EXISTS (SELECT 1 FROM blocks o WHERE o.uid = b.uid AND o.version_uid <> b.version_uid) LIMIT 1";
    let row = install.table(&row.replace("{}", &base.uid).replace("{columns}", columns)).remove(0);
    let (uid, size) = (row[0].clone().expect("a uid"), row[2].clone().expect("a size"));
    let values: Vec<String> = row.iter().map(|value| literal(value.as_deref())).collect();
    let mut backup = begin_a_backup_of_2_13(&install);
    install.ok(&["rm", "-f", &base.uid]);
    install.refuses(100, &["cleanup", "--dangerous-force"], &["2.13", NEW]);
    assert!(install.blob(&uid).exists());
    // The backup of 2.13 names the blob that it has read from its base.
    install.change(&format!(
        "INSERT INTO blocks (version_uid, id, date, {columns})
         VALUES ('{NEW}', 0, '2026-11-21 01:02:03.000004', {});
         UPDATE versions SET valid = 1, size_bytes = {size} WHERE uid = '{NEW}'",
        values.join(", ")
    ));
    backup.kill().and_then(|()| backup.wait()).expect("ended");
    install.ok(&["cleanup", "--dangerous-force"]);
    assert!(install.blob(&uid).exists(), "it is in use");
    install.ok(&["scrub", NEW]);
}

#[test]
fn a_version_is_not_removed_while_2_13_is_about_to_look_for_its_base() {
    let install = upgraded();
    let version = of_image("A", "A3.img").uid;
    let name = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let name = name.lines().find_map(|line| line.strip_prefix("process_name: ")).expect("a name").to_owned();
    std::fs::copy("/bin/sleep", install.path(&name)).expect("copied");
    let mut other = std::process::Command::new(install.path(&name)).arg("60").spawn().expect("starts");
    install.refuses(100, &["rm", "-f", &version], &["preparing its work", "2.13"]);
    assert!(install.uids(&[]).contains(&version));
    other.kill().and_then(|()| other.wait()).expect("ended");
    install.ok(&["rm", "-f", &version]);
}

/// Removes a version with the statements of 2.13.
fn remove_as_2_13(install: &Install, uid: &str) {
    install.change(&format!(
        "INSERT INTO deleted_blocks (uid, size, delete_candidate, time)
           SELECT uid, size, 0, 1700000000 FROM blocks WHERE version_uid = '{uid}' AND uid IS NOT NULL;
         DELETE FROM tags WHERE version_uid = '{uid}';
         DELETE FROM blocks WHERE version_uid = '{uid}';
         DELETE FROM versions WHERE uid = '{uid}'"
    ));
}

/// The fast cleanup of 2.13: it deletes the listed blobs that no block names, and their entries.
fn clean_up_as_2_13(install: &Install) {
    for uid in install.texts("SELECT DISTINCT uid FROM deleted_blocks") {
        if install.count(&format!("SELECT count(*) FROM blocks WHERE uid = '{uid}'")) == 0 {
            // It may be missing.
            let _ = std::fs::remove_file(install.blob(&uid));
        }
        install.change(&format!("DELETE FROM deleted_blocks WHERE uid = '{uid}'"));
    }
}

/// The full cleanup of 2.13: it deletes every file named `*.blob` that no block names.
fn clean_up_fully_as_2_13(install: &Install) {
    let named = install.texts("SELECT DISTINCT uid FROM blocks WHERE uid IS NOT NULL");
    let stem = |path: &std::path::Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    for blob in install.blobs() {
        if !named.contains(&stem(&blob).expect("a name")) {
            std::fs::remove_file(&blob).expect("deleted");
        }
    }
}

#[test]
fn copies_of_the_metadata_follow_the_commands_of_2_13() {
    let install = upgraded();
    let source = install.image("new.img", &noise(3, 5 << 20));
    let new = install.backup(&[&source, "new"]);
    install.assert_copies();
    let objects = |install: &Install| [install.objects("index"), install.objects("versions")];
    let before = objects(&install);

    remove_as_2_13(&install, &of_image("A", "A2.img").uid);
    clean_up_as_2_13(&install);
    insert_a_copy(&install, &of_image("A", "A3.img").uid);
    install.change(&format!("UPDATE versions SET protected = 1 WHERE uid = '{new}'"));
    let stray = install.blob("00stray0");
    std::fs::create_dir_all(stray.parent().expect("a folder")).expect("made");
    std::fs::write(&stray, b"of a killed backup").expect("written");
    clean_up_fully_as_2_13(&install);
    assert!(!stray.exists());
    assert_eq!(objects(&install), before, "2.13 does not see the copies");
    assert!(install.ok(&["-ms", "ls"]).contains(NEW));
    install.fails(20, &["rebuild", "--check"]);

    install.backup(&[&source, "new"]);
    install.ok(&["rebuild", "--check"]);
    let shown = |install: &Install| [&["-ms", "ls"][..], &["-ms", "du"]].map(|args| install.ok(args));
    let all = shown(&install);
    install.ok(&["cleanup"]);
    install.assert_copies();
    install.lose_database();
    let rebuilt = install.run(&["rebuild"]);
    assert_eq!(rebuilt.code, 0, "{rebuilt:?}");
    assert_eq!(shown(&install), all);
    assert!(install.restored(NEW, "x") == by_name("A3.img"));
    assert!(install.restored(&new, "x") == noise(3, 5 << 20));
}
