//! One test for each exit code that scripts may rely on, with the last lines of the log.

use crate::common::fixture;
use crate::common::install::{Install, Run, noise};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Child;
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;

fn with_version() -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    let uid = install.backup(&[&install.image("a.img", &noise(1, 8 * BLOCK)), "a"]);
    (install, uid)
}

/// Runs a command, checks the exit code, and checks that the last lines of the log say how it ended.
fn ends(install: &Install, code: i32, args: &[&str]) -> Run {
    let run = install.run(args);
    assert_eq!(run.code, code, "{args:?}: {run:?}");
    assert_eq!(run.stdout.ends_with("    INFO: Backy complete.\n\n"), code == 0, "{args:?}: {run:?}");
    let log = run.stderr.split("To go on:\n").next().unwrap_or_default();
    assert_eq!(log.ends_with("   ERROR: Backy failed.\n\n"), code == 100, "{args:?}: {run:?}");
    assert!(code == 0 || code == 2 || run.stderr.contains("ERROR: "), "{args:?}: {run:?}");
    run
}

#[test]
fn code_0_done() {
    let (install, uid) = with_version();
    for args in [
        &["ls"][..],
        &["scrub", &uid],
        &["restore", &uid, &install.url("out")],
        &["backup", &install.url("a.img"), "a"],
        &["protect", &uid],
        &["unprotect", &uid],
        &["rm", &uid],
        &["cleanup"],
        &["cleanup", "-f"],
    ] {
        ends(&install, 0, args);
    }
}

#[test]
fn code_1_cannot_begin() {
    let (install, uid) = with_version();
    ends(&install, 1, &["backup", "-e", "tomorrow", &install.url("a.img"), "a"]);
    ends(&install, 1, &["restore", &uid, &install.url("a.img")]);
    install.image("small.img", b"small");
    ends(&install, 1, &["restore", "-f", &uid, &install.url("small.img")]);
    ends(&Install::without_database(4096), 1, &["ls"]);
    install.set("block_size", "none");
    assert_eq!(install.run(&["ls"]).code, 1);
    assert_eq!(install.run(&[]).code, 1);
}

#[test]
fn code_2_wrong_usage() {
    let (install, _) = with_version();
    ends(&install, 2, &["frobnicate"]);
    ends(&install, 2, &["backup"]);
}

#[test]
fn the_last_error_before_the_end_says_why() {
    let (install, uid) = with_version();
    std::fs::rename(install.path("data"), install.path("elsewhere")).expect("renamed");
    for args in [
        &["backup", &install.image("other.img", &noise(2, 8 * BLOCK)), "b"][..],
        &["restore", &uid, &install.url("out")],
        &["rm", "nosuch"],
        &["scrub", "-p", "x", &uid],
        &["initdb"],
    ] {
        let run = install.run(args);
        let json = install.run(&[&["--json"], args].concat());
        let document: serde_json::Value = serde_json::from_str(&json.stdout).expect("json");
        let mut errors = run.stderr.lines().filter_map(|line| line.strip_prefix("   ERROR: "));
        let last = errors.rfind(|text| *text != "Backy failed.");
        assert_eq!(last, document["error"].as_str(), "{args:?}: {run:?}");
    }
}

#[test]
fn an_empty_name_is_wrong_usage() {
    let (install, uid) = with_version();
    for args in [
        &["backup", &install.url("a.img"), ""][..],
        &["backup", &install.url("a.img"), " "],
        &["add-tag", &uid, ""],
        &["add-tag", &uid, ", ,"],
        &["export", &uid, ""],
        &["import", ""],
        &["migrate-db", ""],
    ] {
        install.refuses(2, args, &["is empty"]);
    }
    for args in [&["fuse", ""][..], &["nbd", "--socket", ""]] {
        install.refuses(2, args, &["a value is required"]);
    }
}

#[test]
fn code_5_wrong_base() {
    let (install, uid) = with_version();
    let other = install.image("other.img", &noise(2, 8 * BLOCK));
    let hints = r#"[{"offset": 0, "length": 1, "exists": true}]"#;
    std::fs::write(install.path("hints.json"), hints).expect("write");
    ends(&install, 5, &["backup", "-r", "hints.json", "-f", &uid, &other, "a"]);
    assert_eq!(install.uids(&[]), [uid]);
}

#[test]
fn code_6_the_store_failed() {
    let (install, uid) = with_version();
    let other = install.image("other.img", &noise(2, 8 * BLOCK));
    std::fs::rename(install.path("data"), install.path("elsewhere")).expect("renamed");
    ends(&install, 6, &["backup", &other, "b"]);
    ends(&install, 6, &["restore", &uid, &install.url("out")]);
    assert_eq!(install.uids(&["b"]), [""; 0], "no version was begun");
}

#[test]
fn code_6_the_store_failed_in_the_middle() {
    let (install, _) = with_version();
    let data = noise(3, 200 * BLOCK);
    let source = install.image("other.img", &data);
    limit(&install, "bandwidth_write", 200_000);
    let child = install.start(&["backup", &source, "b"]);
    wait_until(|| install.newest("b").is_some_and(|(uid, _)| install.rows(&uid) > 0));
    std::fs::rename(install.path("data"), install.path("elsewhere")).expect("renamed");
    let run = Run::from(child.wait_with_output().expect("ended"));
    assert_eq!(run.code, 6, "{run:?}");
    std::fs::rename(install.path("elsewhere"), install.path("data")).expect("renamed");
    is_continued(&install, &source, &data);
}

#[test]
fn code_20_bad_data() {
    let (install, uid) = with_version();
    let other = install.image("other.img", &noise(2, 8 * BLOCK));
    ends(&install, 20, &["scrub", "-s", &other, &uid]);
    std::fs::remove_file(install.blob(&install.blob_uid(&uid, 3))).expect("removed");
    ends(&install, 20, &["restore", &uid, &install.url("out")]);
    ends(&install, 20, &["scrub", &uid]);
}

#[test]
fn code_100_everything_else() {
    let (install, uid) = with_version();
    for args in [
        &["restore", "nosuch", &install.url("out")][..],
        &["unprotect", &uid],
        &["backup", &install.url("nosuch.img"), "a"],
        &["scrub", "-p", "x", &uid],
        &["ls", "-f", "nosuch"],
        &["initdb"],
    ] {
        ends(&install, 100, args);
    }
}

/// Limits the bandwidth of the store: `key` is one of `bandwidth_…`, and 0 means no limit.
fn limit(install: &Install, key: &str, bytes: u64) {
    let config = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    if !config.contains(key) {
        install.set("sync", &format!("none\n{key}: 0"));
    }
    install.set(key, &bytes.to_string());
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing happens");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The only unfinished version called `b` is invalid, holds no lock, and can be completed.
fn is_continued(install: &Install, source: &str, data: &[u8]) {
    limit(install, "bandwidth_write", 0);
    let version = install.uids(&["b"]).remove(0);
    assert!(!install.is_valid(&version));
    let before = fixture::blocks(install).iter().filter(|row| row[1] == version).count();
    assert!(before > 0, "what was stored is kept");
    install.backup(&["-c", &version, source, "b"]);
    let read = "SELECT blocks_read FROM stats ORDER BY id DESC LIMIT 1";
    let compared = before.min(10);
    let missing = data.len() / BLOCK - before;
    assert_eq!(install.count(read) as usize, missing + compared, "only what was missing, and ten to compare");
    assert!(install.restored(&version, "restored") == data);
}

fn signalled(child: Child, signal: Signal) -> Run {
    kill_process(Pid::from_child(&child), signal).expect("signalled");
    Run::from(child.wait_with_output().expect("ended"))
}

/// Interrupts a backup, a restore and a scrub.
fn interrupted(signal: Signal, code: i32, name: &str) {
    let (install, _) = with_version();
    let data = noise(4, 200 * BLOCK);
    let source = install.image("b.img", &data);
    let blobs = install.blobs().len();
    limit(&install, "bandwidth_write", 200_000);
    let child = install.start(&["backup", &source, "b"]);
    wait_until(|| install.blobs().len() > blobs + 4);
    let run = signalled(child, signal);
    assert_eq!(run.code, code, "{run:?}");
    assert!(
        run.stderr.contains(&format!("   ERROR: Interrupted by {name}.\nTo go on:\nbacky2 -c ")),
        "{run:?}"
    );
    is_continued(&install, &source, &data);

    let version = install.uids(&["b"]).remove(0);
    limit(&install, "bandwidth_read", 200_000);
    let child = install.start(&["restore", &version, &install.url("out")]);
    wait_until(|| install.path("out").exists());
    assert_eq!(signalled(child, signal).code, code);
    let child = install.start(&["-v", "scrub", &version]);
    wait_until(|| log(&install).contains(&format!("scrub {version}")));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(signalled(child, signal).code, code);
    assert!(install.is_valid(&version), "an interrupted scrub says nothing");
    limit(&install, "bandwidth_read", 0);
    install.ok(&["rm", &version]);
}

fn log(install: &Install) -> String {
    std::fs::read_to_string(install.path("backy.log")).expect("read")
}

#[test]
fn code_129_the_terminal_is_gone() {
    interrupted(Signal::HUP, 129, "SIGHUP");
}

#[test]
fn code_130_interrupted_by_ctrl_c() {
    interrupted(Signal::INT, 130, "SIGINT");
}

#[test]
fn code_143_terminated() {
    interrupted(Signal::TERM, 143, "SIGTERM");
}
