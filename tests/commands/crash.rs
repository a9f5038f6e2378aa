//! Processes killed at every failpoint: no valid version suffers, and interrupted work can be completed.

use crate::common::install::{Install, noise};
use std::collections::BTreeSet;
use std::path::Path;

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 220;

/// The most blobs that a killed backup may leave without a row, and store again: one in each of the 24 buffers, one
/// batch of 32 that is being flushed, and one of 32 that fills up meanwhile. (A slow flush lets the second batch grow;
/// these installations have `sync: none`, which needs no flush.)
const IN_FLIGHT: usize = 24 + 2 * 32;

/// Failpoints in a backup, and the passes at which it is killed.
const IN_BACKUP: [(&str, &[usize]); 4] = [
    ("blob-before-rename", &[1, 2, 37, 150]),
    ("blob-after-put", &[1, 2, 37, 150]),
    ("commit-middle", &[1, 2, 4]),
    ("before-valid", &[1]),
];
const IN_RM: [(&str, &[usize]); 1] = [("rm-middle", &[1])];
/// A cleanup passes these once for every thousand blobs.
const IN_CLEANUP: [(&str, &[usize]); 2] = [("cleanup-doomed", &[1, 2]), ("cleanup-deleted", &[1, 2])];

/// `BLOCKS` blocks of noise, with some zeros and some repeated blocks.
fn image(seed: u64) -> Vec<u8> {
    let mut image = noise(seed, BLOCKS * BLOCK);
    image[20 * BLOCK..25 * BLOCK].fill(0);
    image.copy_within(30 * BLOCK..40 * BLOCK, 60 * BLOCK);
    image
}

/// Failpoints that other tests use: `upgrade`, `transfer`, `rekey`, `stores`, `copies`, `rebuild`, those of RBD,
/// and `wrong_input` (`neighbours`).
const ELSEWHERE: [(&str, &[usize]); 22] = [
    ("copies-list-announced", &[1]),
    ("copies-list-written", &[1]),
    ("copies-list-recorded", &[1]),
    ("copies-version-written", &[1]),
    ("copies-version-renewed", &[1]),
    ("copies-lists-merged", &[1]),
    ("copies-list-deleted", &[1]),
    ("rebuild-tables-made", &[1]),
    ("rebuild-before-commit", &[1]),
    ("upgrade-middle", &[1]),
    ("upgrade-kept", &[1]),
    ("init-folder", &[1]),
    ("init-database", &[1]),
    ("whole-before-rename", &[1]),
    ("import-before-commit", &[1]),
    ("rekey-before-commit", &[1]),
    ("rekey-before-store", &[1]),
    ("store-recorded", &[1]),
    ("store-identity-written", &[1]),
    ("incremental-noted", &[1]),
    ("incremental-made", &[1]),
    ("incremental-valid", &[1]),
];

/// Collects the names of the failpoints in the source.
fn in_source(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("listed") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            in_source(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).expect("read");
            let names = text.split("failpoint::pass(\"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn no_failpoint_is_left_out() {
    let mut found = BTreeSet::new();
    in_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let covered = IN_BACKUP
        .iter()
        .chain(&IN_RM)
        .chain(&IN_CLEANUP)
        .chain(&ELSEWHERE)
        .map(|(name, _)| (*name).to_owned());
    assert_eq!(found, covered.collect::<BTreeSet<_>>());
}

/// An installation with a valid version whose image shares some blocks with the next one.
fn with_a_version() -> (Install, String, Vec<u8>) {
    let install = Install::new(BLOCK as u32);
    let mut old = image(1);
    old[..10 * BLOCK].copy_from_slice(&image(2)[..10 * BLOCK]);
    std::fs::write(install.path("old.img"), &old).expect("written");
    let uid = install.backup(&[&install.url("old.img"), "old"]);
    (install, uid, old)
}

#[test]
fn a_backup_killed_at_any_failpoint_harms_nothing_and_is_continued() {
    let (install, old_uid, old) = with_a_version();
    for (failpoint, passings) in IN_BACKUP {
        for (n, passing) in passings.iter().enumerate() {
            let at = format!("{failpoint}:{passing}");
            // Each run gets new blocks, so that there is something to store.
            let mut new = image(1000 + n as u64 + failpoint.len() as u64 * 10);
            new[..10 * BLOCK].copy_from_slice(&old[..10 * BLOCK]);
            std::fs::write(install.path("new.img"), &new).expect("written");
            let source = install.url("new.img");
            assert!(install.killed_at(&at, &["backup", &source, &at]), "{at} was not passed");

            install.assert_sound();
            install.ok(&["scrub", &old_uid]);
            let (uid, valid) = install.newest(&at).expect("the version exists");
            assert!(!valid, "{at}: valid before its end");
            if install.rows(&uid) < BLOCKS as i64 {
                install.fails(20, &["scrub", &uid]);
            }
            let unnamed = install.unnamed_blobs();
            assert!(unnamed <= IN_FLIGHT, "{at}: {unnamed} blobs were stored in vain");

            assert_eq!(install.backup(&["-c", &uid, &source, &at]), uid);
            install.assert_sound();
            assert_eq!(install.unnamed_blobs(), unnamed, "{at}: what was committed was not stored again");
            install.ok(&["scrub", "-s", &source, &uid]);
            assert!(install.restored(&uid, "out.img") == new, "{at}");
            install.ok(&["cleanup", "--full"]);
            install.assert_no_waste();
        }
    }
    assert!(install.restored(&old_uid, "out.img") == old);
}

#[test]
fn a_killed_rm_has_removed_nothing_and_can_be_repeated() {
    let (install, uid, old) = with_a_version();
    for (failpoint, passings) in IN_RM {
        for passing in passings {
            assert!(install.killed_at(&format!("{failpoint}:{passing}"), &["rm", &uid]));
            install.assert_sound();
            install.ok(&["scrub", &uid]);
            assert!(install.restored(&uid, "out.img") == old);
            assert_eq!(install.count("SELECT count(*) FROM deleted_blocks"), 0);
        }
    }
    install.ok(&["rm", &uid]);
    install.ok(&["cleanup", "--dangerous-force"]);
    assert_eq!(install.stored_uids().len(), 0);
    install.assert_sound();
}

#[test]
fn a_killed_cleanup_goes_on_next_time_and_never_deletes_blobs_in_use() {
    const SMALL: usize = 512;
    let install = Install::new(SMALL as u32);
    let kept = noise(3, 300 * SMALL);
    std::fs::write(install.path("kept.img"), &kept).expect("written");
    let kept_uid = install.backup(&[&install.url("kept.img"), "kept"]);
    for (failpoint, passings) in IN_CLEANUP {
        for passing in passings {
            let at = format!("{failpoint}:{passing}");
            // 1100 blobs to delete, so two passes, and some that stay.
            let mut gone = noise(*passing as u64 * 100 + failpoint.len() as u64, 1400 * SMALL);
            gone[..kept.len()].copy_from_slice(&kept);
            std::fs::write(install.path("gone.img"), &gone).expect("written");
            let gone_uid = install.backup(&[&install.url("gone.img"), "gone"]);
            install.ok(&["rm", &gone_uid]);

            let killed = install.killed_at(&at, &["cleanup", "--dangerous-force"]);
            assert!(killed, "{at} was not passed");
            install.assert_sound();
            install.ok(&["scrub", &kept_uid]);
            // Back up the same data again: doomed blobs must not be reused, and reused ones must not be deleted later.
            let again = install.backup(&[&install.url("gone.img"), "gone"]);
            install.ok(&["cleanup", "--dangerous-force"]);
            install.assert_sound();
            assert_eq!(install.count("SELECT count(*) FROM deleted_blocks"), 0, "{at}");
            assert_eq!(install.unnamed_blobs(), 0, "{at}");
            install.ok(&["scrub", &again]);
            assert!(install.restored(&again, "out.img") == gone, "{at}");
            install.ok(&["rm", &again]);
            install.ok(&["cleanup", "--dangerous-force"]);
        }
    }
    assert!(install.restored(&kept_uid, "out.img") == kept);
    assert_eq!(install.stored_uids().len(), 300);
}
