//! `migrate-db`, `locks` and `cleanup --dry-run`.

use crate::common::checks::{ended, wait_until};
use crate::common::database::Engine;
use crate::common::install::{Install, noise};
use std::time::Duration;

const BLOCK: usize = 4096;

/// An installation with several versions, one of them removed and one protected, with tags, and a hole.
fn used() -> (Install, String, Vec<u8>) {
    let install = Install::new(BLOCK as u32);
    let mut image = noise(1, 20 * BLOCK);
    image[3 * BLOCK..5 * BLOCK].fill(0);
    let uid = install.backup(&["-t", "täg,b", "-e", "2031-02-03", &install.image("a", &image), "näme\\N"]);
    install.ok(&["protect", &uid]);
    let gone = install.backup(&[&install.image("b", &noise(2, 7 * BLOCK)), "b"]);
    install.ok(&["rm", "-f", &gone]);
    (install, uid, image)
}

/// The metadata that users can see.
fn seen(install: &Install) -> Vec<String> {
    [
        &["-ms", "ls"][..],
        &["-ms", "stats"],
        &["-ms", "du"],
        &["-m", "cleanup", "--dry-run", "--dangerous-force"],
    ]
    .iter()
    .map(|args| with_sorted_tags(&install.ok(args)))
    .collect()
}

/// Sorts the tags in a line, since each engine lists them in its own order.
fn with_sorted_tags(text: &str) -> String {
    let line = |line: &str| {
        let mut cells: Vec<String> = line.split('|').map(str::to_owned).collect();
        if let [.., tags, _expire] = &mut cells[..] {
            let mut sorted: Vec<&str> = tags.split(',').collect();
            sorted.sort_unstable();
            *tags = sorted.join(",");
        }
        cells.join("|") + "\n"
    };
    text.lines().map(line).collect()
}

#[test]
fn a_database_is_copied_and_goes_on_being_used_from_there() {
    let (install, uid, image) = used();
    let (before, rows) = (seen(&install), install.dump());
    let target = format!("sqlite:///{}", install.text("copy.sqlite"));
    let out = install.ok(&["migrate-db", &target]);
    assert!(out.contains("Copied block_map: 20 rows") && out.contains("found them all"), "{out}");
    assert!(install.dump() == rows, "the source is untouched");
    // The second time the target is not empty.
    install.refuses(100, &["migrate-db", &target], &["is not empty", "Nothing was changed"]);
    let highest = install.count("SELECT max(id) FROM blobs");
    install.set("engine", &target);
    assert_eq!(seen(&install), before);
    assert!(install.restored(&uid, "out") == image);
    assert_eq!(install.ok(&["-m", "scrub", &uid]), "");
    // New blobs get new ids, higher than those of deleted blobs, too.
    install.ok(&["cleanup", "--dangerous-force"]);
    install.backup(&[&install.image("c", &noise(3, BLOCK)), "c"]);
    let copy = rusqlite::Connection::open(install.path("copy.sqlite")).expect("opens");
    let newest: i64 = copy.query_row("SELECT max(id) FROM blobs", [], |row| row.get(0)).expect("a number");
    assert!(newest > highest, "{newest} {highest}");
}

#[test]
fn from_a_file_to_a_server_and_back_nothing_is_lost() {
    let Some(server) =
        crate::common::postgres::Server::get("from_a_file_to_a_server_and_back_nothing_is_lost")
    else {
        return;
    };
    let (install, uid, image) = used();
    let before = seen(&install);
    let middle = crate::common::postgres::Database::new(&server);
    let last = format!("sqlite:///{}", install.text("last.sqlite"));
    install.ok(&["migrate-db", &middle.url()]);
    install.set("engine", &middle.url());
    assert_eq!(seen(&install), before);
    let more = install.backup(&["-f", &uid, &install.url("a"), "more"]);
    let before = seen(&install);
    let there = install.ok(&["--json", "migrate-db", &last]);
    install.set("engine", &last);
    assert_eq!(seen(&install), before);
    let back = install.ok(&["--json", "migrate-db", &format!("sqlite:///{}", install.text("again.sqlite"))]);
    assert_eq!(there, back, "counts and digests are the same on every engine");
    assert!(install.restored(&uid, "out") == image && install.restored(&more, "out") == image);
}

#[test]
fn a_target_that_cannot_be_one_is_refused_and_shows_no_password() {
    let (install, _, _) = used();
    let own = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let own = own.lines().find_map(|line| line.strip_prefix("engine: ")).expect("a URL").to_owned();
    install.refuses(100, &["migrate-db", &own], &["the configured database itself"]);
    for (target, word) in [
        ("postgresql://u:geheim@127.0.0.1:1/d", "127.0.0.1:1"),
        ("postgresql://u:geheim@h/d?sslmode=maybe", "TARGET_ENGINE: sslmode=maybe"),
        ("mysql://u:geheim@h/d", "TARGET_ENGINE: MySQL"),
    ] {
        let run = install.run(&["-v", "migrate-db", target]);
        assert_ne!(run.code, 0, "{run:?}");
        assert!(run.stderr.contains(word), "{run:?}");
        assert!(!run.stderr.contains("geheim") && !run.stdout.contains("geheim"), "{run:?}");
    }
    let log = std::fs::read_to_string(install.path("backy.log")).expect("a log");
    assert!(!log.contains("geheim"), "{log}");
    // A database that has versions.
    let other = Install::on(Engine::Sqlite, BLOCK as u32);
    other.backup(&[&other.image("x", &noise(1, BLOCK)), "x"]);
    let target = format!("sqlite:///{}", other.text("backy.sqlite"));
    let before = other.dump();
    install.refuses(100, &["migrate-db", &target], &["is not empty"]);
    assert!(other.dump() == before);
}

#[test]
fn a_dry_run_shows_the_effects_of_the_cleanup() {
    let (install, _, _) = used();
    let waiting = install.ok(&["cleanup", "--dry-run"]);
    assert!(
        waiting.contains("Would delete 0 blobs")
            && waiting.contains("7 blobs (28 KiB before compression) wait until"),
        "{waiting}"
    );
    let orphan = "6".repeat(32);
    let path = install.blob(&orphan);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let before = (install.dump(), install.blobs());
    let text = install.ok(&["cleanup", "--dry-run", "--dangerous-force"]);
    assert!(text.contains("Would delete 7 blobs (28 KiB before compression)"), "{text}");
    let names = install.ok(&["-m", "cleanup", "--dry-run", "--dangerous-force"]);
    assert_eq!(names.lines().count(), 7);
    assert!((install.dump(), install.blobs()) == before, "nothing was changed");
    install.ok(&["cleanup", "--dangerous-force"]);
    let gone = |name: &&str| !install.blob(name).exists();
    assert_eq!(names.lines().filter(gone).count(), 7);
    // Only the full cleanup finds blobs without a row.
    let stray = install.backup(&[&install.image("d", &noise(4, 2 * BLOCK)), "d"]);
    install.change(&format!("DELETE FROM blocks WHERE version_uid = '{stray}'"));
    assert!(install.ok(&["cleanup", "--dry-run"]).contains("Would delete 0 blobs"));
    let stored = install.blobs();
    assert!(install.ok(&["cleanup", "--full", "--dry-run"]).contains("Would delete 2 blobs."));
    assert_eq!(install.ok(&["-m", "cleanup", "--full", "--dry-run"]).lines().count(), 2);
    assert!(install.blobs() == stored);
    let full = install.ok(&["cleanup", "--full"]);
    let (before, after) =
        full.split_once("2 blobs in the store are named by no version").expect("says how many");
    assert!(!before.contains("Removed") && after.contains("Removed 2 blobs"), "{full}");
    assert_eq!(install.ok(&["-m", "cleanup", "--full"]), "");
    assert_eq!(install.ok(&["-m", "cleanup"]), "");
}

#[test]
fn locks_shows_the_holder_of_each_lock() {
    let (install, uid, _) = used();
    install.ok(&["unprotect", &uid]);
    assert_eq!(install.ok(&["-ms", "locks"]), "");
    install.bandwidth(0, 8 * BLOCK as u64);
    let child = install.start(&["restore", &uid, &install.url("slow")]);
    wait_until("it is listed", Duration::from_secs(20), || !install.ok(&["-ms", "locks"]).is_empty());
    let line = install.ok(&["-ms", "locks", "-f", "lock,mode,pid,process"]);
    let pid = child.id().to_string();
    let wanted = format!("{uid}|shared|{pid}|");
    assert!(line.starts_with(&wanted) && line.lines().count() == 1, "{line}");
    let table = install.ok(&["locks"]);
    assert!(table.contains("| since ") && table.contains(&uid), "{table}");
    let refused = install.fails(100, &["rm", "-f", &uid]);
    assert!(refused.contains("is locked"), "{refused}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::KILL)
        .expect("killed");
    ended(child);
    install.ok(&["rm", "-f", &uid]);
    assert_eq!(install.ok(&["-ms", "locks"]), "");
}
