//! `status`: states, the line of the plugin and its exit codes, totals.

use crate::common::history::{self, Night, ago};
use crate::common::install::{Install, Run, noise};
use crate::common::skip;
use serde_json::Value;
use std::process::Command;
use std::time::Instant;

const BLOCK: usize = 4096;
const HOUR: i64 = 3600;

/// An installation with a daily schedule, and its image.
fn scheduled() -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    let config = install.path("backy.cfg");
    let text = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, text + "\n[daily]\ninterval: 1d\nkeep: 7\nsla: 6h\n").expect("written");
    let image = install.image("x.img", &noise(1, 3 * BLOCK));
    (install, image)
}

fn set_age(install: &Install, uid: &str, seconds: i64) {
    install.change(&format!("UPDATE versions SET date = '{}' WHERE uid = '{uid}'", ago(seconds)));
}

/// Runs `status --check`, which prints one line. Returns the line up to the numbers.
fn check(install: &Install, code: i32, names: &[&str]) -> String {
    let run = install.run(&[&["status", "--check"], names].concat());
    assert_eq!((run.code, run.stdout.matches('\n').count()), (code, 1), "{run:?}");
    let text = run.stdout.split(" | ").next().expect("a text");
    text.trim_end().to_owned()
}

fn json(install: &Install, args: &[&str]) -> Value {
    let out = install.ok(&[&["--json", "status"], args].concat());
    serde_json::from_str(&out).expect(&out)
}

/// The state that `status` shows of a name.
fn state(install: &Install, name: &str) -> String {
    json(install, &[name])["names"][0]["state"].as_str().expect("a word").to_owned()
}

#[test]
fn each_state_has_its_exit_code() {
    let (install, image) = scheduled();
    assert_eq!(check(&install, 2, &[]), "CRITICAL: there are no versions");
    assert!(install.ok(&["status"]).contains("There are no versions."));
    let uid = install.backup(&["-t", "daily", &image, "vm"]);
    assert!(check(&install, 0, &[]).starts_with("OK: vm is "));
    set_age(&install, &uid, 29 * HOUR);
    assert_eq!(check(&install, 0, &[]), "OK: vm is 29 h old");
    set_age(&install, &uid, 31 * HOUR);
    assert_eq!(check(&install, 1, &[]), "WARNING: vm is late (31 h old, daily)");
    set_age(&install, &uid, 49 * HOUR);
    assert_eq!(check(&install, 2, &["vm"]), "CRITICAL: vm is late (2 d old, daily)");
    assert_eq!(check(&install, 2, &["nosuch"]), "CRITICAL: nosuch has no version");
    install.run(&["status", "vm", "nosuch"]);
    // Without --check the exit code says only whether the command worked.
    assert_eq!((state(&install, "vm"), state(&install, "nosuch")), ("late".into(), "none".into()));
    let failed = install.backup(&["-t", "daily", &image, "vm"]);
    set_age(&install, &uid, HOUR);
    install.change(&format!("UPDATE versions SET valid = 0 WHERE uid = '{failed}'"));
    let text = "WARNING: vm: the newest version is incomplete (1 h old without it)";
    assert_eq!(check(&install, 1, &[]), text);
    install.change("UPDATE versions SET valid = 0");
    assert_eq!(check(&install, 2, &[]), "CRITICAL: vm has no valid version");
    assert_eq!(state(&install, "vm"), "invalid");
}

#[test]
fn bad_blobs_are_critical_until_no_version_needs_them() {
    let (install, image) = scheduled();
    let old = install.backup(&["-t", "daily", &image, "vm"]);
    std::fs::write(install.path("x.img"), noise(2, 3 * BLOCK)).expect("written");
    let new = install.backup(&["-t", "daily", &image, "vm"]);
    std::fs::remove_file(install.blob(&install.blob_uid(&new, 1))).expect("removed");
    install.fails(20, &["scrub", &new]);
    let found = json(&install, &[]);
    assert_eq!((&found["bad_blobs"], &found["severity"]), (&1.into(), &"critical".into()), "{found}");
    let name = &found["names"][0];
    assert_eq!((&name["state"], &name["uid"]), (&"invalid".into(), &old.as_str().into()), "{found}");
    assert_eq!(name["newer_invalid"][0]["flaw"], "bad blobs", "{found}");
    let text = check(&install, 2, &[]);
    assert!(text.contains("the newest version has bad blobs") && text.ends_with("1 bad blobs"), "{text}");
    let shown = install.ok(&["status"]);
    assert!(
        shown.contains(" has bad blobs\n") && shown.contains("1 blob that versions need is bad."),
        "{shown}"
    );
    install.ok(&["rm", "-f", &new]);
    check(&install, 0, &[]);
}

#[test]
fn errors_are_unknown_and_one_line() {
    let (install, _) = scheduled();
    install.lose_database();
    let is_unknown = |run: Run, word: &str| {
        assert_eq!((run.code, run.stdout.matches('\n').count()), (3, 1), "{run:?}");
        assert!(run.stdout.starts_with("UNKNOWN: ") && run.stdout.contains(word), "{run:?}");
        assert!(run.stderr.contains(word), "the error is also on stderr: {run:?}");
    };
    is_unknown(install.run(&["status", "--check"]), "initdb");
    let run = install.run(&["--json", "status", "--check"]);
    assert!(run.code == 3 && run.stdout.contains("\"exit_code\":3"), "{run:?}");
    assert_eq!(install.run(&["status"]).code, 1, "without --check it is an error like any other");
    install.set("block_size", "many");
    is_unknown(install.run(&["status", "--check"]), "block_size");
}

#[test]
fn scripts_and_pipes_see_whole_names() {
    let (install, image) = scheduled();
    let long = format!("{}|日本\u{1b}[2J", "n".repeat(150));
    let uid = install.backup(&["-t", "daily", &image, &long]);
    let out = install.ok(&["status"]);
    assert!(out.contains(&"n".repeat(150)) && !out.contains('\u{1b}') && !out.contains('…'), "{out}");
    let out = install.ok(&["-m", "status"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines[0].starts_with("name|state|severity|running|date|age_seconds|uid|size_bytes|new_bytes|"));
    let cells: Vec<&str> = lines[1].split('|').collect();
    assert_eq!(cells.len(), lines[0].split('|').count());
    assert_eq!((cells[1], cells[6], cells[7], cells[8]), ("ok", &uid[..], "12288", "12288"));
    assert_eq!(install.ok(&["-ms", "status"]).lines().count(), 1);
}

#[test]
fn a_terminal_gets_colours_and_lines_that_fit() {
    let name = "a_terminal_gets_colours_and_lines_that_fit";
    if Command::new("script").arg("--version").output().is_err() {
        return skip(name, "script of util-linux is not installed");
    }
    let (install, image) = scheduled();
    install.backup(&["-t", "daily", &image, &"n".repeat(150)]);
    let shown = |environment: &str| {
        let (program, config) = (crate::common::program(), install.text("backy.cfg"));
        let line = format!("stty cols 80; {environment} TERM=xterm {program} -c {config} status");
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env_remove("NO_COLOR").env("TZ", "UTC");
        Run::from(command.output().expect("runs")).stdout
    };
    let (coloured, plain) = (shown(""), shown("NO_COLOR=1"));
    assert!(coloured.contains("\x1b[32mok"), "{coloured:?}");
    assert!(!plain.contains("\x1b[32m"), "{plain:?}");
    let row = plain.lines().find(|line| line.starts_with("nnn")).expect("a row").trim_end();
    assert!(row.contains('…') && row.chars().count() < 80, "{row:?}");
}

/// Another process holds the lock, as a backup does with the lock of its version.
fn while_locked(install: &Install, lock: &str, work: impl FnOnce()) {
    let file = install.text(&format!("lock/backy_{lock}.lock"));
    let mut holder =
        Command::new("flock").args(["-o", "-x", &file, "sleep", "60"]).spawn().expect("flock of util-linux");
    while install.ok(&["-ms", "locks"]).is_empty() {
        std::thread::yield_now();
    }
    work();
    holder.kill().expect("killed");
    holder.wait().expect("ended");
}

#[test]
fn a_version_that_is_being_written_is_no_failure() {
    let (install, image) = scheduled();
    install.backup(&["-t", "daily", &image, "vm"]);
    let running = install.backup(&["-t", "daily", &image, "vm"]);
    install.change(&format!("UPDATE versions SET valid = 0 WHERE uid = '{running}'"));
    check(&install, 1, &[]);
    while_locked(&install, &running, || {
        check(&install, 0, &[]);
        assert_eq!(json(&install, &[])["names"][0]["running"], true);
        assert!(install.ok(&["status"]).contains("vm: a version is being written now"));
    });
    check(&install, 1, &[]);
}

#[test]
fn it_works_while_another_command_must_be_alone() {
    let (install, image) = scheduled();
    install.backup(&["-t", "daily", &image, "vm"]);
    while_locked(&install, "backy", || {
        install.fails(100, &["ls"]);
        check(&install, 0, &[]);
    });
}

#[test]
fn totals_know_what_is_stored_and_what_waits() {
    let (install, image) = scheduled();
    std::fs::write(install.path("x.img"), vec![7; 3 * BLOCK]).expect("written");
    let first = install.backup(&["-t", "daily", &image, "vm"]);
    install.backup(&["-t", "daily", &image, "vm"]);
    let quick = json(&install, &[])["totals"].clone();
    let block = BLOCK as u64;
    assert_eq!((&quick["versions"], &quick["logical_bytes"]), (&2.into(), &(6 * block).into()), "{quick}");
    assert_eq!((&quick["data_bytes"], &quick["deduplication"]), (&block.into(), &6.0.into()), "{quick}");
    assert!(quick["stored_bytes"].is_null() && quick["compression"].is_null(), "{quick}");
    assert!(quick["free_bytes"].as_u64() < quick["size_bytes"].as_u64(), "{quick}");
    let whole = json(&install, &["--store"])["totals"].clone();
    let file = install.blobs()[0].metadata().expect("a blob").len();
    assert_eq!((&whole["stored_bytes"], &whole["stored_blobs"]), (&file.into(), &1.into()), "{whole}");
    assert_eq!(whole["compression"], block as f64 / file as f64);
    install.ok(&["rm", "-f", &first]);
    assert_eq!(json(&install, &[])["totals"]["waiting_bytes"], 0, "the other version has the blob");
    install.ok(&["rm", "-f", "vm:latest"]);
    let waits = json(&install, &[])["totals"].clone();
    assert_eq!((&waits["waiting_bytes"], &waits["deletable_bytes"]), (&block.into(), &0.into()), "{waits}");
    assert!(waits["waiting_until"].is_string(), "{waits}");
    assert!(install.ok(&["status"]).contains("cleanup   4 KiB wait until "));
    install.change(&format!("UPDATE deleted_blocks SET time = time - {}", 2 * HOUR));
    let ready = json(&install, &[])["totals"].clone();
    assert_eq!(
        (&ready["deletable_bytes"], &ready["waiting_until"]),
        (&block.into(), &Value::Null),
        "{ready}"
    );
    install.ok(&["cleanup"]);
    assert_eq!(json(&install, &["--store"])["totals"]["stored_blobs"], 0);
    assert!(json(&install, &["vm"]).get("totals").is_none(), "sums are over everything");
}

/// When the name `vm` was last verified, as `status` shows it.
fn verified(install: &Install) -> Option<String> {
    json(install, &["vm"])["names"][0]["verified"].as_str().map(str::to_owned)
}

#[test]
fn whole_scrubs_and_restores_that_find_nothing_are_recorded() {
    let (install, image) = scheduled();
    let uid = install.backup(&["-t", "daily", &image, "vm"]);
    assert_eq!(verified(&install), None);
    assert!(install.ok(&["status"]).contains(" never  daily"));
    install.ok(&["scrub", "-p", "50", &uid]);
    assert_eq!(verified(&install), None, "a part is not the whole");
    install.ok(&["scrub", &uid]);
    let first = verified(&install).expect("a date");
    assert!(install.ok(&["status"]).contains(" s  daily"));
    let again = |args: &[&str], changes: bool| {
        install.change("UPDATE verifications SET date = '2020-01-01 00:00:00.000000'");
        install.run(args);
        let date = verified(&install).expect("a date");
        assert_eq!(date >= first, changes, "{args:?}: {date}");
    };
    again(&["restore", &uid, &install.url("out")], true);
    again(&["restore", "-c", "1", &uid, &install.url("out")], false);
    again(&["restore", &uid, "null://"], true);
    again(&["restore", &uid, &install.url("out")], false);
    let other = install.image("y.img", &noise(9, 3 * BLOCK));
    again(&["scrub", "-s", &other, &uid], false);
    again(&["scrub", "-s", &image, &uid], true);
    // The next version has not been verified, but the name has.
    install.backup(&["-t", "daily", &image, "vm"]);
    assert!(verified(&install).is_some());
    install.ok(&["rm", "-f", &uid]);
    assert_eq!(verified(&install), None);
    assert_eq!(install.count("SELECT count(*) FROM verifications"), 0);
    std::fs::remove_file(install.blob(&install.blob_uid(&install.uids(&["vm"])[0], 1))).expect("removed");
    install.fails(20, &["restore", "vm", &install.url("bad")]);
    assert_eq!(install.count("SELECT count(*) FROM verifications"), 0, "data is missing");
}

#[test]
fn a_removal_by_2_13_and_a_move_to_another_database_take_verifications_along() {
    let (install, image) = scheduled();
    let (uid, other) = (install.backup(&[&image, "vm"]), install.backup(&[&image, "vm"]));
    install.ok(&["scrub", &uid]);
    install.ok(&["scrub", &other]);
    for table in ["blocks WHERE version_uid", "tags WHERE version_uid", "versions WHERE uid"] {
        install.change(&format!("DELETE FROM {table} = '{other}'"));
    }
    assert_eq!(install.texts("SELECT version_uid FROM verifications"), [uid]);
    let moved = serde_json::from_str::<Value>(&install.ok(&[
        "--json",
        "migrate-db",
        &format!("sqlite:///{}", install.text("copy.sqlite")),
    ]));
    let tables = moved.expect("a document")["tables"].as_array().expect("tables").clone();
    let table = tables.iter().find(|table| table["table"] == "verifications").expect("copied");
    assert_eq!(table["rows"], 1);
}

#[test]
fn a_database_of_2_13_is_shown_and_not_upgraded() {
    for fixture in ["A", "E"] {
        let install = Install::fixture(fixture);
        let found = json(&install, &[]);
        let names = found["names"].as_array().expect("a list");
        // On a server, some of them are upgraded for every command.
        let is_old = install.postgres().is_none();
        assert!(!names.is_empty() && (found["totals"]["data_bytes"].is_null() || !is_old), "{found}");
        assert!(names.iter().any(|name| name["uid"].is_string()), "{found}");
        let listed = install.uids(&[]).len() as u64;
        assert_eq!(found["totals"]["versions"], listed);
    }
}

/// 365 nights with 20 names. The newest version of name N is N times 3 hours old, give or take a minute.
#[test]
fn after_a_year_each_name_is_judged_exactly_and_at_once() {
    let (install, _) = scheduled();
    let night = |name: i64, night: i64| Night {
        uid: format!("{name:02}-{night:03}"),
        name: format!("vm{name:02}"),
        age: (name * 3 * HOUR + if name % 2 == 0 { 60 } else { -60 } + night * 24 * HOUR).max(0),
        new: 7,
    };
    let nights: Vec<Night> = (0..20).flat_map(|name| (0..365).map(move |at| night(name, at))).collect();
    history::insert(&install, &nights);
    let start = Instant::now();
    let found = json(&install, &[]);
    let took = start.elapsed();
    assert_eq!(found["totals"]["versions"], 7300);
    for (index, name) in found["names"].as_array().expect("names").iter().enumerate() {
        let hours = 3 * index as i64;
        let late = hours > 30 || hours == 30 && index % 2 == 0;
        let very = hours > 48 || hours == 48 && index % 2 == 0;
        let expected = if late { "late" } else { "ok" };
        assert_eq!((&name["state"], &name["new_bytes"]), (&expected.into(), &7.into()), "{name}");
        let severity = ["ok", "warning", "critical"][usize::from(late) + usize::from(very)];
        assert_eq!(name["severity"], severity, "{name}");
    }
    check(&install, 2, &[]);
    // A generous limit, because other tests run at the same time.
    assert!(took.as_secs() < 5, "{took:?}");
}
