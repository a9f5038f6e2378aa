//! Going back to 2.13, and upgrading again.

use super::upgrade::{content, copy_of, is_current, upgrade};
use crate::common::fixture::of_image;
use crate::common::install::{Install, noise};

#[test]
fn going_back_and_upgrading_again_keeps_the_newer_state() {
    let install = Install::fixture("D");
    upgrade(&install, "D");
    // As docs/migration.md describes.
    let path = |name: &str| install.path(name);
    std::fs::rename(path("backy.sqlite"), path("backy.sqlite.upgraded")).expect("renamed");
    for journal in ["backy.sqlite-wal", "backy.sqlite-shm"] {
        let _ = std::fs::remove_file(path(journal));
    }
    std::fs::copy(copy_of(&install), path("backy.sqlite")).expect("copied");
    install.change("UPDATE versions SET name = 'changed by 2.13'");
    let all = content(&path("backy.sqlite"));
    upgrade(&install, "D");
    is_current(&install);
    assert_eq!(content(&copy_of(&install)), all, "one copy, of the last moment");
    assert!(install.ok(&["-ms", "ls", "-f", "name"]).contains("changed by 2.13"));
}

#[test]
fn steps_for_going_back_are_listed() {
    let install = Install::fixture("A");
    let first = of_image("A", "A1.img").uid;
    assert!(install.ok(&["downgrade-check"]).contains("still that of an older release"));
    upgrade(&install, "A");
    install.refuses(100, &["downgrade-check", &install.text("absent")], &["no database from before"]);
    assert!(install.ok(&["downgrade-check"]).contains("Going back would lose nothing"));
    assert_eq!(install.ok(&["-ms", "downgrade-check"]), "");

    let new = install.backup(&[&install.image("x.img", &noise(1, 65536)), "new"]);
    let gone = of_image("A", "A3.img").uid;
    install.ok(&["rm", "-f", &gone]);
    install.ok(&["cleanup", "--dangerous-force"]);
    let marked = install.blob_uid(&first, 2);
    install.change(&format!("UPDATE blobs SET valid = 0 WHERE uid = '{marked}'"));
    let run = install.run(&["-ms", "downgrade-check"]);
    assert_eq!(run.code, 20, "{run:?}");
    let rows: Vec<Vec<&str>> = run.stdout.lines().map(|line| line.split('|').collect()).collect();
    let has = |when: &str, command: String, reason: &str| {
        let found = rows.iter().any(|row| row[0] == when && row[1] == command && row[2].contains(reason));
        assert!(found, "{when} {command} {reason}: {run:?}");
    };
    has("before", format!("backy2 export {new} {new}.dump"), "was made since");
    has("after", format!("backy2 rm -f {gone}"), "of its blobs are deleted");
    has("after", format!("backy2 import {new}.dump"), "before any cleanup");
    has("after", format!("backy2 scrub {first}"), "Damage was found");

    install.set("encryption_key", &"00ff".repeat(16));
    install.set("hash_function", "blake3");
    install.ok(&["rekey", &"decafbad".repeat(8)]);
    let text = install.run(&["downgrade-check"]);
    assert_eq!(text.code, 20, "{text:?}");
    for part in ["backy2 rekey PRESENT_KEY", "blake3", "before-upgrade"] {
        assert!(text.stdout.contains(part), "{part}: {text:?}");
    }
    let upgraded = install.text("backy.sqlite");
    install.refuses(100, &["downgrade-check", &upgraded], &["is an upgraded database"]);
}
