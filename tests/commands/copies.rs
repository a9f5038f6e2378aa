//! Copies of the metadata beside the blobs say exactly what the database says.

use crate::common::database::Engine;
use crate::common::fixture::of_image;
use crate::common::install::{Install, noise};

const BLOCK: usize = 4096;
const NEW_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const OLD_KEY: &str = "decafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbad";

/// An installation with a version of `blocks` different blocks and a hole, and its uid.
fn with_a_version(blocks: usize) -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    let mut data = noise(5, blocks * BLOCK);
    data.extend(vec![0; BLOCK]);
    let uid = install.backup(&[&install.image("a.img", &data), "a"]);
    (install, uid)
}

/// A version whose image differs from that of [`with_a_version`] in one block.
fn another(install: &Install, blocks: usize, args: &[&str]) -> String {
    let mut data = noise(5, blocks * BLOCK);
    data[..BLOCK].copy_from_slice(&noise(fastrand::u64(..), BLOCK));
    data.extend(vec![0; BLOCK]);
    let source = install.image("b.img", &data);
    install.backup(&[args, &[&source, "b"]].concat())
}

#[test]
fn every_command_leaves_copies_of_what_the_database_has() {
    let (install, first) = with_a_version(8);
    install.assert_copies();
    assert_eq!((install.objects("index").len(), install.objects("versions")), (1, vec![first.clone()]));
    let second = another(&install, 8, &["-f", &first]);
    install.assert_copies();
    assert_eq!((install.objects("index").len(), install.objects("versions").len()), (2, 2));
    let third = another(&install, 8, &["-t", "one,two", "-s", "snap"]);
    install.assert_copies();
    for args in [
        &["protect", &first][..],
        &["unprotect", &first],
        &["add-tag", &first, "new"],
        &["remove-tag", &first, "new"],
        &["expire", &first, "2031-02-03"],
        &["expire", &first, ""],
        &["scrub", &second],
        &["migrate-encryption", &third],
        &["export", &third, &install.text("dump")],
        &["rm", "-f", &third],
        &["import", &install.text("dump")],
        &["rm", "-f", &third],
        &["cleanup", "--dangerous-force"],
        &["cleanup", "--full"],
    ] {
        install.ok(args);
        install.assert_copies();
    }
    assert!(install.restored(&second, "out").len() == 9 * BLOCK);
}

#[test]
fn marks_are_copied() {
    let (install, first) = with_a_version(4);
    let second = another(&install, 4, &[]);
    let blob = install.blob(&install.blob_uid(&first, 2));
    let good = std::fs::read(&blob).expect("read");
    std::fs::write(&blob, b"bad").expect("written");
    install.fails(20, &["scrub", &first]);
    install.assert_copies();
    assert!(!install.is_valid(&second), "it has the same blob");
    std::fs::write(&blob, &good).expect("written");
    install.ok(&["scrub", &first]);
    install.assert_copies();
    std::fs::write(&blob, b"bad").expect("written");
    install.fails(20, &["restore", &second, &install.url("out")]);
    install.assert_copies();
    assert!(!install.is_valid(&first));
}

#[test]
fn a_rekey_leaves_the_lists_as_they_are() {
    let (install, _) = with_a_version(4);
    let before = install.objects("index");
    install.set("encryption_key", NEW_KEY);
    install.ok(&["rekey", OLD_KEY]);
    install.assert_copies();
    assert_eq!(install.objects("index"), before);
}

#[test]
fn a_store_without_a_key_has_copies_and_gets_others_with_a_key() {
    let install = Install::new(BLOCK as u32);
    install.set("encryption_version", "0");
    install.unset("encryption_key");
    let source = install.image("a.img", &noise(1, 3 * BLOCK));
    install.backup(&[&source, "a"]);
    install.assert_copies();
    install.set("encryption_version", "1");
    install.set("encryption_key", NEW_KEY);
    install.backup(&[&source, "a"]);
    install.ok(&["cleanup"]);
    install.assert_copies();
}

#[test]
fn the_first_backup_after_an_upgrade_copies_everything() {
    let install = Install::fixture("A");
    install.ok(&["scrub", &of_image("A", "A1.img").uid]);
    assert_eq!((install.objects("index").len(), install.objects("versions").len()), (0, 0));
    let source = install.image("new.img", &noise(2, 4096));
    let uid = install.backup(&[&source, "new"]);
    install.assert_copies();
    assert!(install.objects("versions").contains(&uid) && install.objects("versions").len() > 1);
}

#[test]
fn after_a_crash_the_next_command_completes_the_copies() {
    let failpoints = [
        "copies-list-announced",
        "copies-list-written",
        "copies-list-recorded",
        "copies-version-written",
        "before-valid",
    ];
    for failpoint in failpoints {
        let (install, first) = with_a_version(3);
        let source = install.image("b.img", &noise(7, 3 * BLOCK));
        assert!(install.killed_at(failpoint, &["backup", &source, "b"]), "{failpoint}");
        let (uid, valid) = install.newest("b").expect("it was begun");
        assert!(!valid, "{failpoint}");
        install.backup(&["-c", &uid, &source, "b"]);
        install.ok(&["cleanup"]);
        install.assert_copies();

        let source = install.image("c.img", &noise(8, 3 * BLOCK));
        assert!(install.killed_at(failpoint, &["backup", &source, "c"]), "{failpoint}");
        install.ok(&["rm", "-f", &install.newest("c").expect("it was begun").0]);
        install.ok(&["cleanup", "--dangerous-force"]);
        install.assert_copies();
        assert!(install.restored(&first, "out").len() == 4 * BLOCK);
    }
    for (failpoint, args) in [
        ("copies-version-renewed", &["protect"][..]),
        ("copies-version-renewed", &["rm", "-f"]),
        ("copies-list-deleted", &["cleanup", "--dangerous-force"]),
        ("cleanup-doomed", &["cleanup", "--dangerous-force"]),
    ] {
        let (install, first) = with_a_version(3);
        let args = match args[0] {
            "cleanup" => {
                install.ok(&["rm", "-f", &first]);
                args.to_vec()
            }
            _ => [args, &[&first]].concat(),
        };
        assert!(install.killed_at(failpoint, &args), "{failpoint} {args:?}");
        install.ok(&["cleanup", "--dangerous-force"]);
        install.assert_copies();
    }
}

#[test]
fn lists_with_many_gaps_are_put_together() {
    let install = Install::new(BLOCK as u32);
    let mut kept = Vec::new();
    for n in 0..3 {
        let data = noise(n, 6 * BLOCK);
        let whole = install.backup(&[&install.image("a.img", &data), "a"]);
        kept.push(install.backup(&[&install.image("b.img", &data[..BLOCK]), "b"]));
        install.ok(&["rm", "-f", &whole]);
    }
    assert_eq!(install.objects("index").len(), 3);
    assert!(install.killed_at("copies-lists-merged", &["cleanup", "--dangerous-force"]));
    install.ok(&["cleanup", "--dangerous-force"]);
    install.assert_copies();
    assert_eq!(install.objects("index").len(), 1);
    for uid in &kept {
        assert!(install.restored(uid, "out").len() == BLOCK);
    }
}

#[test]
fn changes_by_sql_of_2_13_are_noticed() {
    let (install, first) = with_a_version(3);
    let second = another(&install, 3, &[]);
    install.change(&format!("UPDATE versions SET protected = 1 WHERE uid = '{first}'"));
    install.change(&format!("INSERT INTO tags (version_uid, name) VALUES ('{first}', 'sql')"));
    install.change(&format!(
        "DELETE FROM tags WHERE version_uid = '{second}'; DELETE FROM blocks WHERE version_uid = '{second}';
         DELETE FROM versions WHERE uid = '{second}'"
    ));
    let third = another(&install, 3, &[]);
    install.assert_copies();
    assert!(!install.objects("versions").contains(&second));
    install.change(&format!("UPDATE blocks SET valid = 0 WHERE version_uid = '{third}' AND id = 0"));
    install.change(&format!("UPDATE versions SET valid = 0 WHERE uid = '{third}'"));
    install.ok(&["cleanup"]);
    install.assert_copies();
}

#[test]
fn without_the_store_versions_can_be_changed_and_the_copies_follow_later() {
    let (install, first) = with_a_version(3);
    let second = another(&install, 3, &[]);
    std::fs::rename(install.path("data"), install.path("away")).expect("renamed");
    for args in [&["rm", "-f", &first][..], &["protect", &second], &["add-tag", &second, "x"]] {
        let run = install.run(args);
        assert_eq!(run.code, 0, "{run:?}");
        let log = std::fs::read_to_string(install.path("backy.log")).expect("read");
        assert!(log.contains("The next backup or cleanup tries again."), "{log}");
    }
    std::fs::create_dir(install.path("data")).expect("made");
    install.ok(&["expire", &second, "2031-02-03"]);
    assert_eq!(
        std::fs::read_dir(install.path("data")).expect("listed").count(),
        0,
        "nothing is written there"
    );
    std::fs::remove_dir(install.path("data")).expect("removed");
    std::fs::rename(install.path("away"), install.path("data")).expect("renamed");
    assert_eq!(install.count("SELECT count(*) FROM copies_due"), 2);
    install.ok(&["cleanup"]);
    install.assert_copies();
}

#[test]
fn a_cleanup_deletes_no_blob_before_the_copy_of_its_version() {
    use std::os::unix::fs::symlink;
    let (install, first) = with_a_version(3);
    let object = install.path("data").join("versions").join(&first);
    // The object cannot be deleted, because a folder has its name.
    std::fs::remove_file(&object).expect("removed");
    std::fs::create_dir(&object).expect("made");
    symlink("nowhere", object.join("x")).expect("linked");
    install.ok(&["rm", "-f", &first]);
    let before = install.blobs();
    install.fails(100, &["cleanup", "--dangerous-force"]);
    assert_eq!(install.blobs(), before);
    std::fs::remove_file(object.join("x")).expect("removed");
    std::fs::remove_dir(&object).expect("removed");
    install.ok(&["cleanup", "--dangerous-force"]);
    assert!(install.blobs().is_empty());
    install.assert_copies();
}

#[test]
fn an_older_copy_of_the_database_is_refused() {
    if Engine::usual() != Engine::Sqlite {
        return;
    }
    let (install, first) = with_a_version(3);
    let database = install.path("backy.sqlite");
    install.sqlite().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("written");
    let older = std::fs::read(&database).expect("read");
    let second = another(&install, 3, &[]);
    install.sqlite().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("written");
    let newer = std::fs::read(&database).expect("read");
    std::fs::write(&database, older).expect("written");
    let source = install.image("c.img", &noise(9, 3 * BLOCK));
    for args in [
        &["backup", &source, "c"][..],
        &["cleanup", "--dangerous-force"],
        &["cleanup", "--full", "--dangerous-force"],
        &["migrate-encryption", &first],
    ] {
        install.refuses(6, args, &["is an older copy", "Put the newest copy of the database back"]);
    }
    assert!(install.restored(&first, "out").len() == 4 * BLOCK, "reading is allowed");
    install.ok(&["protect", &first]);
    std::fs::write(&database, newer).expect("written");
    install.ok(&["cleanup"]);
    install.assert_copies();
    assert!(install.restored(&second, "out").len() == 4 * BLOCK);
}

#[test]
fn a_full_cleanup_refuses_copies_that_the_database_does_not_know() {
    let (install, first) = with_a_version(3);
    another(&install, 3, &[]);
    install.change(&format!(
        "DELETE FROM tags WHERE version_uid = '{first}'; DELETE FROM blocks WHERE version_uid = '{first}';
         DELETE FROM versions WHERE uid = '{first}'; DELETE FROM copies_due"
    ));
    let before = (install.blobs(), install.objects("versions"));
    let error = install.fails(100, &["cleanup", "--full"]);
    assert!(
        error.contains("1 versions, and 0 lists of blobs") && error.contains("--dangerous-force"),
        "{error}"
    );
    assert_eq!((install.blobs(), install.objects("versions")), before);
    install.ok(&["cleanup", "--full", "--dangerous-force"]);
    install.assert_copies();
    assert_eq!(install.objects("versions").len(), 1);
}

#[test]
fn blobs_of_an_import_are_copied() {
    let (install, first) = with_a_version(3);
    install.ok(&["export", &first, &install.text("dump")]);
    let blobs: Vec<_> =
        install.blobs().into_iter().map(|path| (std::fs::read(&path).expect("read"), path)).collect();
    install.ok(&["rm", "-f", &first]);
    install.ok(&["cleanup", "--dangerous-force"]);
    assert_eq!(install.count("SELECT count(*) FROM index_objects"), 0);
    for (data, path) in blobs {
        std::fs::write(path, data).expect("written");
    }
    install.ok(&["import", &install.text("dump")]);
    assert_eq!(install.count("SELECT count(*) FROM index_objects"), 1);
    install.assert_copies();
}

#[test]
fn copies_can_be_switched_off_and_on() {
    let install = Install::new(BLOCK as u32);
    install.set_in("DataBackend", "metadata_copies", "0");
    let source = install.image("a.img", &noise(1, 3 * BLOCK));
    let first = install.backup(&[&source, "a"]);
    install.ok(&["protect", &first]);
    install.ok(&["cleanup"]);
    assert_eq!((install.objects("index").len(), install.objects("versions").len()), (0, 0));
    install.set_in("DataBackend", "metadata_copies", "1");
    install.ok(&["cleanup"]);
    assert_eq!(install.objects("versions"), [first]);
    install.backup(&[&source, "a"]);
    install.assert_copies();
}

#[test]
fn a_migrated_database_knows_the_copies() {
    if Engine::usual() != Engine::Sqlite {
        return;
    }
    let (install, first) = with_a_version(3);
    install.ok(&["migrate-db", &format!("sqlite:///{}", install.text("new.sqlite"))]);
    std::fs::rename(install.path("new.sqlite"), install.path("backy.sqlite")).expect("renamed");
    for journal in ["backy.sqlite-wal", "backy.sqlite-shm"] {
        let _ = std::fs::remove_file(install.path(journal));
    }
    install.assert_copies();
    install.ok(&["rm", "-f", &first]);
    install.assert_copies();
}

#[test]
fn wrong_settings_are_not_copied() {
    let (install, uid) = with_a_version(8);
    install.set("block_size", "8192");
    install.set("hash_function", "sha256");
    install.ok(&["add-tag", &uid, "kept"]);
    install.set("block_size", &BLOCK.to_string());
    install.set("hash_function", "sha512");
    install.ok(&["rebuild", "--check"]);
    install.assert_copies();
}
