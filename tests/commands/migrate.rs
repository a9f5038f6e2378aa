//! `migrate-encryption` makes a new version with the same data and another encryption.

use crate::common::fixture::{self, versions};
use crate::common::images;
use crate::common::install::{Install, noise};
use std::collections::BTreeSet;
use std::time::Duration;

/// Migrates a version and returns the new version's uid.
fn migrate(install: &Install, uid: &str) -> String {
    let out = install.ok(&["--json", "migrate-encryption", uid]);
    let answer: serde_json::Value = serde_json::from_str(&out).expect("json");
    answer["version"]["uid"].as_str().expect("a uid").to_owned()
}

fn encryptions(install: &Install, uid: &str) -> BTreeSet<i64> {
    let sql =
        format!("SELECT DISTINCT enc_version FROM blocks WHERE version_uid = '{uid}' AND uid IS NOT NULL");
    install.numbers(&sql).into_iter().collect()
}

fn listed(install: &Install, uid: &str, fields: &str) -> String {
    let out = install.ok(&["-ms", "ls", "-f", &format!("uid,{fields}")]);
    let line = out.lines().find(|line| line.starts_with(uid)).expect("listed");
    line[uid.len() + 1..].to_owned()
}

fn rows_of(install: &Install, uid: &str) -> Vec<Vec<String>> {
    fixture::blocks(install).into_iter().filter(|row| row[1] == uid).collect()
}

#[test]
fn from_plain_to_encrypted_all_is_kept_and_no_plain_data_is_written() {
    let install = Install::fixture("B");
    install.set("encryption_version", "1");
    for version in versions("B") {
        let (uid, size) = (&version.uid, version.number("size"));
        install.ok(&["expire", uid, "2031-02-03 04:05:06"]);
        install.ok(&["add-tag", uid, "one,\"two,three\""]);
        let (tags, before) = (listed(&install, uid, "tags"), rows_of(&install, uid));
        let blobs: BTreeSet<_> = install.blobs().into_iter().collect();
        let new = migrate(&install, uid);
        assert_eq!(rows_of(&install, uid), before, "the old version is as it was");
        assert_eq!(listed(&install, uid, "tags"), tags);
        let mut wanted: BTreeSet<&str> = tags.split(',').collect();
        wanted.insert("migrated-encryption-to-1");
        assert_eq!(listed(&install, &new, "tags").split(',').collect::<BTreeSet<_>>(), wanted);
        let same = "name,snapshot_name,size,size_bytes,valid,expire";
        assert_eq!(listed(&install, &new, same), listed(&install, uid, same));
        assert!(encryptions(&install, &new).iter().all(|version| *version == 1), "{new}");
        if let Some(sha256) = &version.sha256 {
            assert_eq!(&images::sha256(&install.restored(&new, "new")), sha256);
            assert_eq!(&images::sha256(&install.restored(uid, "old")), sha256);
        }
        let image = install.restored(uid, "old");
        let added: Vec<_> = install.blobs().into_iter().filter(|path| !blobs.contains(path)).collect();
        // The stored blobs must not contain these pieces of the plain data.
        let plain: Vec<&[u8]> = image
            .chunks(4096)
            .filter_map(|block| block.get(..32))
            .filter(|part| part.iter().any(|b| *b != 0))
            .collect();
        for path in &added {
            let blob = std::fs::read(path).expect("read");
            assert!(!plain.iter().any(|part| blob.windows(32).any(|window| window == *part)), "{path:?}");
        }
        let distinct: BTreeSet<&[u8]> =
            image.chunks(4096).filter(|block| block.iter().any(|b| *b != 0)).collect();
        assert!(added.len() <= distinct.len() && install.rows(&new) as u64 == size);
        install.ok(&["scrub", &new]);
    }
    install.assert_sound();
}

#[test]
fn a_second_migration_writes_nothing() {
    let install = Install::fixture("B");
    install.set("encryption_version", "1");
    let version = versions("B").into_iter().find(|version| version.image.is_some()).expect("one");
    let first = migrate(&install, &version.uid);
    let blobs = install.blobs();
    for uid in [&version.uid, &first] {
        let again = migrate(&install, uid);
        assert_eq!(install.blobs(), blobs);
        let uids = |uid: &str| -> Vec<String> {
            rows_of(&install, uid).into_iter().map(|row| row[0].clone()).collect()
        };
        assert_eq!(uids(&again), uids(&first));
        let written = format!("SELECT blocks_written FROM stats WHERE version_uid = '{again}'");
        assert_eq!(install.count(&written), 0);
        assert_eq!(listed(&install, &again, "tags").matches("migrated-encryption-to-1").count(), 1);
    }
}

#[test]
fn from_encrypted_to_plain_and_back() {
    let install = Install::new(4096);
    let mut image = noise(2, 20 * 4096 + 77);
    image[4096..5 * 4096].fill(0);
    let uid = install.backup(&["-s", "snap", &install.image("x.img", &image), "x"]);
    install.set("encryption_version", "0");
    let plain = migrate(&install, &uid);
    assert_eq!(encryptions(&install, &plain), BTreeSet::from([0]));
    assert_eq!(listed(&install, &plain, "snapshot_name"), "snap");
    let blob = std::fs::read(install.blob(&install.blob_uid(&plain, 10))).expect("read");
    assert!(blob == image[10 * 4096..11 * 4096], "version 0 is the data itself");
    install.set("encryption_version", "1");
    let blobs = install.blobs();
    let back = migrate(&install, &plain);
    assert_eq!(install.blobs(), blobs, "the blobs of the first version are used again");
    for uid in [&uid, &plain, &back] {
        assert!(install.restored(uid, "out") == image);
    }
}

#[test]
fn an_empty_version_is_migrated_too() {
    let install = Install::new(4096);
    let uid = install.backup(&[&install.image("empty", b""), "e"]);
    install.set("encryption_version", "0");
    let new = migrate(&install, &uid);
    assert!(new != uid && install.is_valid(&new));
    assert_eq!(install.restored(&new, "out").len(), 0);
}

#[test]
fn a_damaged_version_is_refused() {
    let install = Install::new(4096);
    let uid = install.backup(&[&install.image("x.img", &noise(3, 10 * 4096)), "x"]);
    install.set("encryption_version", "0");
    std::fs::write(install.blob(&install.blob_uid(&uid, 4)), b"short").expect("written");
    let error = install.fails(100, &["migrate-encryption", &uid]);
    assert!(error.contains("block 4") && error.contains("crub"), "{error}");
    // If a new version was begun, it is invalid.
    for new in install.uids(&[]).iter().filter(|new| **new != uid) {
        assert!(!install.is_valid(new));
        assert!(error.contains(new.as_str()), "it tells what it has left: {error}");
        install.ok(&["rm", "-f", new]);
    }
    install.fails(20, &["scrub", &uid]);
    install.refuses(100, &["migrate-encryption", &uid], &[&uid, "invalid"]);
    install.refuses(100, &["migrate-encryption", "nosuch"], &["nosuch"]);
    install.refuses(100, &["migrate-encryption", "x"], &["x"]);
}

#[test]
fn a_wrong_key_is_refused_before_anything_is_written() {
    let install = Install::new(4096);
    let uid = install.backup(&[&install.image("x.img", &noise(3, 10 * 4096)), "x"]);
    install.set("encryption_key", &"f00d".repeat(16));
    for version in ["0", "1"] {
        install.set("encryption_version", version);
        install.refuses(100, &["migrate-encryption", &uid], &["key"]);
    }
}

#[test]
fn interrupted_at_any_moment_the_old_version_is_whole_and_another_try_succeeds() {
    let install = Install::new(4096);
    let image = noise(5, 300 * 4096);
    let uid = install.backup(&[&install.image("x.img", &image), "x"]);
    install.set("encryption_version", "0");
    let mut random = fastrand::Rng::with_seed(crate::common::checks::seed("migrate"));
    let mut left = 0;
    for _ in 0..if crate::common::all() { 40 } else { 8 } {
        let run = install
            .killed_after(Duration::from_micros(random.u64(5_000..150_000)), &["migrate-encryption", &uid]);
        assert!(run.code <= 0, "{run:?}");
        install.assert_sound();
        install.ok(&["scrub", &uid]);
        for new in install.uids(&[]).iter().filter(|new| **new != uid) {
            left += usize::from(!install.is_valid(new));
            install.ok(&["rm", "-f", new]);
        }
    }
    println!("{left} were left unfinished");
    install.bandwidth(100_000, 0);
    let child = install.start(&["migrate-encryption", &uid]);
    crate::common::checks::wait_until("it writes", Duration::from_secs(20), || {
        install.newest("x").is_some_and(|(new, _)| new != uid && install.rows(&new) > 0)
    });
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT)
        .expect("sent");
    let run = crate::common::checks::ended(child);
    assert_eq!(run.code, 130, "{run:?}");
    let (new, valid) = install.newest("x").expect("a version");
    assert!(!valid && run.stderr.contains(&new), "{run:?}");
    install.bandwidth(0, 0);
    let (unfinished, stored) = (new.clone(), install.rows(&new));
    let new = migrate(&install, &uid);
    assert!(install.restored(&new, "out") == image);
    let written = install.count(&format!("SELECT blocks_written FROM stats WHERE version_uid = '{new}'"));
    assert_eq!(written, 300 - stored, "what the unfinished one has is used again");
    install.ok(&["rm", "-f", &unfinished]);
    install.ok(&["cleanup", "--dangerous-force"]);
    assert!(install.restored(&new, "out") == image);
    install.assert_sound();
}
