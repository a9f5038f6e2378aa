//! Further use of an installation of 2.x: clean-ups, removals, unfinished backups, rows of older releases.

use crate::common::database::Engine;
use crate::common::fixture::{blocks, of_image, restores_right, versions};
use crate::common::images::by_name;
use crate::common::install::Install;
use std::collections::BTreeSet;

fn install(name: &str) -> Install {
    let install = Install::fixture(name);
    if name == "E" {
        install.adopt_config("migrate/backy-2.13.cfg");
    }
    install
}

/// The uids of the blobs in the store, and of those that rows name.
fn stored_and_named(install: &Install) -> (BTreeSet<String>, BTreeSet<String>) {
    let stem = |path: std::path::PathBuf| path.file_stem().expect("name").to_string_lossy().into_owned();
    let stored = install.blobs().into_iter().map(stem).collect();
    let named = blocks(install).into_iter().map(|row| row[0].clone()).filter(|uid| uid != "-").collect();
    (stored, named)
}

#[test]
fn the_fast_cleanup_deletes_only_blobs_that_2_13_has_listed() {
    let install = install("A");
    let (stored, named) = stored_and_named(&install);
    assert!(stored.iter().any(|uid| !named.contains(uid)), "blobs of a removed version are there");
    install.ok(&["cleanup", "--dangerous-force"]);
    let (after, _) = stored_and_named(&install);
    let wanted: BTreeSet<String> = stored.intersection(&named).cloned().collect();
    assert_eq!(after, wanted);
    assert_eq!(install.count("SELECT count(*) FROM deleted_blocks"), 0);
    restores_right(&install, "A");
}

#[test]
fn the_full_cleanup_deletes_only_blobs_that_no_row_names() {
    for name in ["A", "B", "D", "E"] {
        let install = install(name);
        let (stored, named) = stored_and_named(&install);
        install.ok(&["cleanup", "-f"]);
        let (after, _) = stored_and_named(&install);
        let wanted: BTreeSet<String> = stored.intersection(&named).cloned().collect();
        assert_eq!(after, wanted, "{name}");
        restores_right(&install, name);
    }
}

#[test]
fn the_store_is_empty_after_all_versions_are_removed() {
    for name in ["A", "B", "D", "E"] {
        let install = install(name);
        for version in versions(name) {
            if version.number("protected") == 1 {
                install.fails(100, &["rm", "-f", &version.uid]);
                install.ok(&["unprotect", &version.uid]);
            }
            let out = install.ok(&["rm", "-f", &version.uid]);
            let said =
                format!("Removed backup version {} with {} blocks.", version.uid, version.number("blocks"));
            assert!(out.contains(&said), "{out}");
        }
        install.ok(&["cleanup", "--dangerous-force"]);
        assert!(install.blobs().is_empty(), "{name}: {:?}", install.blobs());
        assert_eq!(install.count("SELECT count(*) FROM blobs WHERE id > 0"), 0, "{name}");
        assert!(install.count("SELECT count(*) FROM stats") > 0, "statistics stay");
    }
}

#[test]
fn removing_one_version_leaves_the_others_whole() {
    for name in ["B", "D"] {
        let install = install(name);
        let all = versions(name);
        install.ok(&["rm", &all[0].uid]);
        install.ok(&["cleanup", "--dangerous-force"]);
        for version in &all[1..] {
            install.ok(&["scrub", &version.uid]);
        }
    }
}

#[test]
fn a_backup_that_2_13_left_unfinished_is_continued() {
    for name in ["B", "D", "E"] {
        let install = install(name);
        let image = format!("{name}1.img");
        let uid = of_image(name, &image).uid;
        install.change(&format!(
            "DELETE FROM blocks WHERE version_uid = '{uid}' AND id % 3 = 0;
             UPDATE versions SET valid = 0 WHERE uid = '{uid}'"
        ));
        let source = install.image(&image, &by_name(&image));
        install.fails(20, &["restore", &uid, &install.url("out")]);
        let called = install.texts(&format!("SELECT name FROM versions WHERE uid = '{uid}'")).remove(0);
        install.backup(&["-c", &uid, &source, &called]);
        assert!(install.is_valid(&uid));
        restores_right(&install, name);
    }
}

#[test]
fn holes_may_be_empty_texts() {
    let install = install("B");
    let before = blocks(&install);
    install.change(
        "UPDATE blocks SET uid = '', checksum = '', enc_envkey = '', enc_nonce = '' WHERE uid IS NULL",
    );
    install.change("UPDATE blocks SET enc_envkey = '', enc_nonce = ''");
    restores_right(&install, "B");
    assert_eq!(blocks(&install), before);
    assert_eq!(install.count("SELECT count(*) FROM blobs WHERE uid = ''"), 0);
}

#[test]
fn blobs_with_shorter_names_are_read_and_cleaned_up() {
    let install = install("E");
    // Very old releases did not pad uids.
    let short = "0cc175b9c0a";
    let uid = install.blob_uid(&of_image("E", "E1.img").uid, 2);
    std::fs::create_dir_all(install.blob(short).parent().expect("a folder")).expect("mkdir");
    std::fs::rename(install.blob(&uid), install.blob(short)).expect("renamed");
    install.change(&format!("UPDATE blocks SET uid = '{short}' WHERE uid = '{uid}'"));
    restores_right(&install, "E");
    let first = of_image("E", "E1.img").uid;
    install.ok(&["unprotect", &first]);
    install.ok(&["rm", &first]);
    install.change("DELETE FROM deleted_blocks");
    install.ok(&["cleanup", "-f"]);
    assert!(!install.blob(short).exists());
}

#[test]
fn a_row_with_a_name_that_no_blob_can_have_does_not_stop_cleanups() {
    for damaged in ["../../backy.cfg", "x", "nämé", &"x".repeat(300)] {
        let install = install("D");
        if install.engine() == Engine::Postgres && damaged.len() > 32 {
            // It is too long for the column.
            continue;
        }
        let first = of_image("D", "D1.img").uid;
        install.ok(&["scrub", &first]);
        install.change(&format!(
            "UPDATE blobs SET uid = '{damaged}' WHERE uid = '{}'",
            install.blob_uid(&first, 4)
        ));
        install.fails(20, &["scrub", &first]);
        install.ok(&["rm", &first]);
        install.ok(&["cleanup", "--dangerous-force"]);
        assert_eq!(install.count("SELECT count(*) FROM deleted_blocks"), 0, "{damaged}");
        assert!(install.path("backy.cfg").exists());
    }
}

#[test]
fn blocks_of_versions_that_are_not_there_do_not_stop_the_upgrade() {
    let install = install("D");
    let unchecked = match install.engine() {
        Engine::Sqlite => "PRAGMA foreign_keys = OFF",
        Engine::Postgres => {
            "ALTER TABLE blocks DROP CONSTRAINT blocks_version_uid_fkey;
             ALTER TABLE tags DROP CONSTRAINT tags_version_uid_fkey"
        }
    };
    install.change(&format!(
        "{unchecked};
         INSERT INTO blocks (uid, version_uid, id, date, checksum, size, valid, enc_version)
           VALUES ('stray', 'nosuch', 0, '2020-01-01 00:00:00.000000', 'x', 65536, 1, 0);
         INSERT INTO tags (version_uid, name) VALUES ('nosuch', 'stray')",
    ));
    restores_right(&install, "D");
    assert_eq!(install.count("SELECT count(*) FROM blocks WHERE version_uid = 'nosuch'"), 0);
    install.assert_references();
}
