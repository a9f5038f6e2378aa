//! `check` on database files: damaged ones, those of older releases, and those with foreign parts.

use crate::common::install::{Install, Run, noise};
use std::os::unix::fs::FileExt;

fn sound() -> Install {
    let install = Install::new(4096);
    install.backup(&[&install.image("a.img", &noise(1, 40 * 4096)), "vm"]);
    install
}

fn line<'r>(run: &'r Run, point: &str) -> &'r str {
    let found = run.stdout.lines().find(|line| line.split('|').nth(1) == Some(point));
    found.unwrap_or_else(|| panic!("{point} is not in {run:?}"))
}

#[test]
fn a_damaged_page_of_an_index_is_found() {
    let install = sound();
    assert_eq!(install.run(&["-ms", "check"]).code, 0);
    let page = install.count("SELECT rootpage FROM sqlite_master WHERE name = 'ix_blobs_checksum'");
    install.numbers("PRAGMA wal_checkpoint(TRUNCATE)");
    let file = std::fs::File::options().write(true).open(install.path("backy.sqlite")).expect("opened");
    file.write_all_at(&[0; 1024], (page as u64 - 1) * 4096 + 3072).expect("written");
    let run = install.run(&["-ms", "check"]);
    assert_eq!(run.code, 20, "{run:?}");
    let line = line(&run, "structure");
    assert!(line.starts_with("wrong|") && line.contains("ix_blobs_checksum"), "{line}");
}

#[test]
fn a_foreign_trigger_is_told() {
    let install = sound();
    install.change("CREATE TRIGGER gotcha AFTER INSERT ON versions BEGIN DELETE FROM tags; END");
    let run = install.run(&["-ms", "check"]);
    assert_eq!(run.code, 20, "{run:?}");
    assert!(line(&run, "database").contains("gotcha"), "{run:?}");
    assert!(line(&run, "versions").starts_with("not checked|"), "{run:?}");
}

#[test]
fn an_old_database_is_not_upgraded() {
    let install = Install::fixture("A");
    let before = install.state();
    let run = install.run(&["-ms", "check"]);
    assert_eq!(run.code, 20, "{run:?}");
    assert!(line(&run, "database").contains("older release"), "{run:?}");
    assert!(line(&run, "data store").starts_with("ok|"), "{run:?}");
    assert!(install.state() == before, "{run:?}");
    install.ok(&["upgrade"]);
    let run = install.run(&["-ms", "check"]);
    // One blob of the fixture is missing.
    assert!(line(&run, "blobs").contains("1 blob is missing"), "{run:?}");
}

#[test]
fn a_database_of_the_revision_before_is_checked_as_it_is() {
    let install = sound();
    install.change("DROP TABLE claims; DROP TABLE invalidated; UPDATE schema_version SET revision = 2");
    let before = install.state();
    let run = install.run(&["-ms", "check"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(line(&run, "database").starts_with("warning|"), "{run:?}");
    assert!(line(&run, "references").starts_with("ok|"), "{run:?}");
    assert!(install.state() == before, "{run:?}");
}
