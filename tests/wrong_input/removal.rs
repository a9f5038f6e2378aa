//! Versions that cannot be protected, unprotected or removed, and clean-ups with meaningless options.

use super::{BLOCK, UNKNOWN, with_version};
use crate::common::database::hours_ago;
use crate::common::install::noise;

#[test]
fn a_version_that_is_not_there_cannot_be_changed() {
    let (install, _) = with_version();
    for unknown in UNKNOWN {
        for command in ["protect", "unprotect", "rm"] {
            install.refuses(100, &[command, unknown], &["not found", unknown]);
        }
        install.refuses(100, &["rm", "-f", unknown], &["not found"]);
    }
}

#[test]
fn protection_is_neither_given_nor_taken_twice() {
    let (install, uid) = with_version();
    install.refuses(100, &["unprotect", &uid], &[&uid, "is not protected"]);
    install.ok(&["protect", &uid]);
    install.refuses(100, &["protect", &uid], &[&uid, "is already protected"]);
    install.ok(&["unprotect", &uid]);
    install.refuses(100, &["unprotect", &uid], &["is not protected"]);
}

#[test]
fn a_protected_version_is_not_removed_even_with_force() {
    let (install, uid) = with_version();
    install.ok(&["protect", &uid]);
    install.refuses(100, &["rm", &uid], &[&uid, "is protected", "unprotect"]);
    install.refuses(100, &["rm", "-f", &uid], &[&uid, "is protected"]);
}

#[test]
fn a_young_version_is_removed_with_force_only() {
    let (install, uid) = with_version();
    install.set("disallow_rm_when_younger_than_days", "6");
    let date_is = |hours| install.change(&format!("UPDATE versions SET date = '{}'", hours_ago(hours)));
    date_is(5 * 24 + 23);
    install.refuses(100, &["rm", &uid], &[&uid, "too young"]);
    date_is(6 * 24 + 1);
    install.ok(&["rm", &uid]);
    install.refuses(100, &["rm", &uid], &["not found"]);
    install.refuses(100, &["rm", "-f", &uid], &["not found"]);
}

#[test]
fn a_version_from_the_future_counts_as_young() {
    let (install, uid) = with_version();
    install.set("disallow_rm_when_younger_than_days", "1");
    install.change("UPDATE versions SET date = '2999-01-01 00:00:00.000000'");
    install.refuses(100, &["rm", &uid], &["its age is unknown"]);
    install.ok(&["rm", "-f", &uid]);
}

#[test]
fn a_prefix_without_full_has_no_meaning_and_a_message_says_so() {
    let (install, _) = with_version();
    let run = install.run(&["cleanup", "-p", "00"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("-p has no meaning without --full"), "{run:?}");
}

#[test]
fn a_full_cleanup_removes_only_unnamed_blobs_with_the_prefix() {
    let (install, uid) = with_version();
    let kept = install.blobs();
    // Blobs of a version of which no rows are left.
    let other = install.backup(&[&install.image("b.img", &noise(8, 2 * BLOCK)), "b"]);
    let strays = [0, 1].map(|id| install.blob_uid(&other, id));
    install.ok(&["rm", &other]);
    install.change(
        "DELETE FROM deleted_blocks; DELETE FROM blobs WHERE id NOT IN (SELECT blob_id FROM block_map)",
    );
    std::fs::create_dir_all(install.path("data/ff/ff")).expect("mkdir");
    for foreign in ["ff/ff/ffff-not-a-uid.blob", "readme.txt"] {
        std::fs::write(install.path("data").join(foreign), "mine").expect("write");
    }
    let exist = || strays.each_ref().map(|stray| install.blob(stray).exists());
    install.ok(&["cleanup", "-f", "-p", "zz"]);
    assert_eq!(exist(), [true, true]);
    install.ok(&["cleanup", "-f", "-p", &strays[1][..6]]);
    assert_eq!(exist(), [true, false]);
    install.ok(&["cleanup", "-f"]);
    assert_eq!(exist(), [false, false]);
    assert_eq!(install.blobs().len(), kept.len() + 1, "what is no uid stays");
    assert!(install.path("data/readme.txt").exists());
    install.ok(&["scrub", &uid]);
}

#[test]
fn a_cleanup_of_a_store_that_is_not_there_forgets_nothing() {
    let (install, uid) = with_version();
    install.ok(&["rm", &uid]);
    std::fs::rename(install.path("data"), install.path("elsewhere")).expect("renamed");
    std::fs::create_dir(install.path("data")).expect("mkdir");
    install.set("path", "/nonexistent/store");
    install.refuses(100, &["cleanup", "--dangerous-force"], &["/nonexistent/store"]);
    install.refuses(100, &["cleanup", "-f"], &["/nonexistent/store"]);
}
