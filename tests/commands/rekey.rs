//! `rekey` changes all keys or none, and shows no key to anybody.

use crate::common::checks::{ended, wait_until};
use crate::common::fixture::{restores_right, versions};
use crate::common::install::{Install, noise};
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

const OLD: &str = "decafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbaddecafbad";
const NEW: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// An installation with a version of `blocks` different blocks, its uid and its image.
fn with_blocks(blocks: usize) -> (Install, String, Vec<u8>) {
    let install = Install::new(4096);
    let image = noise(7, blocks * 4096);
    let uid = install.backup(&[&install.image("x.img", &image), "x"]);
    (install, uid, image)
}

fn keys(install: &Install) -> Vec<(String, Option<String>)> {
    let rows = install.table("SELECT uid, enc_envkey FROM blobs WHERE id > 0 ORDER BY id");
    rows.into_iter().map(|row| (row[0].clone().expect("a name"), row[1].clone())).collect()
}

#[test]
fn there_and_back_leaves_the_database_as_it_was() {
    let install = Install::fixture("A");
    // This upgrades the database.
    install.ok(&["du"]);
    let (before, blobs, _) = install.state();
    install.set("encryption_key", NEW);
    let out = install.ok(&["rekey", OLD]);
    let rows = install.count("SELECT count(*) FROM blocks WHERE enc_version = 1");
    let sparse = install.count("SELECT count(*) FROM blocks WHERE enc_version = 0");
    let told = format!(
        "Rekeying successful: {rows} rekeyed, {sparse} sparse/ignored, 0 unable to rekey (wrong encryption version).)"
    );
    assert!(rows > 10 && out.contains(&told), "{told}: {out}");
    let during = install.state();
    assert!(during.0 != before && during.1 == blobs, "keys have changed, blobs have not");
    restores_right(&install, "A");
    for version in versions("A").iter().filter(|version| version.number("valid") == 1) {
        install.ok(&["scrub", &version.uid]);
    }
    install.set("encryption_key", OLD);
    let uid = &versions("A").into_iter().find(|version| version.number("valid") == 1).expect("one").uid;
    install.fails(6, &["restore", uid, &install.url("no.img")]);
    install.ok(&["rekey", NEW]);
    install.change("DELETE FROM verifications");
    assert!(install.dump() == before);
    restores_right(&install, "A");
}

#[test]
fn damaged_rows_are_reported_and_stay() {
    let (install, uid, image) = with_blocks(20);
    let before = keys(&install);
    // Any key may begin with 00 by chance.
    let other = "CASE substr(enc_envkey, 1, 2) WHEN '00' THEN '01' ELSE '00' END || substr(enc_envkey, 3)";
    let damage = [other, "NULL", "'xyz'", "substr(enc_envkey, 5)"];
    for (at, value) in damage.iter().enumerate() {
        install.change(&format!("UPDATE blobs SET enc_envkey = {value} WHERE uid = '{}'", before[at].0));
    }
    let broken = keys(&install);
    install.set("encryption_key", NEW);
    let run = install.run(&["rekey", OLD]);
    assert_eq!(run.code, 0, "{run:?}");
    let after = keys(&install);
    for (at, (blob, key)) in after.iter().enumerate() {
        let told = run.stdout.contains(blob) || run.stderr.contains(blob);
        assert_eq!(told, at < damage.len(), "{at}: {run:?}");
        assert_eq!(*key == broken[at].1, at < damage.len());
    }
    assert!(run.stdout.contains("16 rekeyed"), "{run:?}");
    install.fails(20, &["restore", &uid, &install.url("out.img")]);
    let data = std::fs::read(install.path("out.img")).expect("read");
    let good = data.chunks(4096).zip(image.chunks(4096)).filter(|(a, b)| a == b).count();
    assert_eq!(good, 16);
}

#[test]
fn a_malformed_or_wrong_key_changes_nothing_and_is_not_shown() {
    let (install, ..) = with_blocks(3);
    install.set("encryption_key", NEW);
    let wrong = "f00d".repeat(16);
    for (key, word) in [
        (&wrong[..], "old key"),
        (NEW, "old key"),
        (&OLD[..63], "64 hex digits"),
        (&OLD[..62], "64 hex digits"),
        ("", "64 hex digits"),
        ("xyz", "64 hex digits"),
        (&OLD.replace('d', "g"), "64 hex digits"),
        (&OLD.replace("ca", "ä"), "64 hex digits"),
    ] {
        install.refuses(100, &["rekey", key], &[word]);
        let run = install.run(&["--json", "rekey", key]);
        for text in
            [run.stdout, run.stderr, std::fs::read_to_string(install.path("backy.log")).expect("a log")]
        {
            assert!(key.is_empty() || !text.contains(key), "{key} shows: {text}");
        }
    }
    install.ok(&["rekey", OLD]);
}

#[test]
fn wrong_usage_does_not_show_a_key() {
    let (install, ..) = with_blocks(1);
    let option = format!("--key={OLD}");
    for args in [&["rekey", OLD, NEW][..], &["rekey", &option], &[OLD], &["--json", "rekey", OLD, NEW]] {
        let run = install.run(args);
        assert_eq!(run.code, 2, "{run:?}");
        for key in [OLD, NEW] {
            assert!(!run.stderr.contains(key) && !run.stdout.contains(key), "{args:?}: {run:?}");
        }
        assert_eq!(run.stderr.contains("********"), args[0] == OLD || args.ends_with(&[OLD, NEW]), "{run:?}");
    }
}

#[test]
fn without_encrypted_blobs_there_is_nothing_to_rekey() {
    let install = Install::fixture("B");
    // This upgrades the database, and makes the files that a changing command needs.
    install.ok(&["cleanup"]);
    let before = install.state();
    let out = install.ok(&["rekey", OLD]);
    let other = install.count("SELECT count(*) FROM blocks WHERE uid IS NOT NULL");
    assert!(out.contains("0 rekeyed") && out.contains(&format!("{other} unable to rekey")), "{out}");
    assert!(install.state() == before);
    install.set("encryption_key", "");
    install.refuses(1, &["rekey", OLD], &["encryption_key"]);
}

#[test]
fn other_instances_keep_it_from_running() {
    let (install, uid, image) = with_blocks(200);
    install.set("encryption_key", NEW);
    install.image("y.img", &noise(8, 200 * 4096));
    // At this speed the restore takes half a minute, unless it is ended before.
    install.bandwidth(0, 30_000);
    install.set("encryption_key", OLD);
    let mut restore = install.start(&["restore", &uid, &install.url("slow.img")]);
    wait_until("the restore runs", Duration::from_secs(20), || !install.held_locks().is_empty());
    install.set("encryption_key", NEW);
    let before = keys(&install);
    let error = install.fails(100, &["rekey", OLD]);
    assert!(error.contains("running") || error.contains("alone"), "{error}");
    assert!(keys(&install) == before);
    restore.kill().expect("killed");
    restore.wait().expect("ended");
    install.bandwidth(0, 0);
    install.ok(&["rekey", OLD]);
    assert!(install.restored(&uid, "out.img") == image);
}

#[test]
fn the_old_key_shows_neither_in_the_title_nor_in_the_log() {
    let (install, ..) = with_blocks(5);
    install.set("encryption_key", NEW);
    let blocker = install.writer();
    let child = install.start(&["rekey", OLD]);
    let file = |name: &str| std::fs::read(format!("/proc/{}/{name}", child.id())).unwrap_or_default();
    let text = |name: &str| String::from_utf8_lossy(&file(name)).into_owned();
    // After its first log line, the command line is hidden.
    let log = || std::fs::read_to_string(install.path("backy.log")).unwrap_or_default();
    wait_until("it logs", Duration::from_secs(20), || log().contains("rekey ********"));
    for _ in 0..20 {
        let (cmdline, comm) = (text("cmdline"), text("comm"));
        assert!(
            !cmdline.is_empty() && !cmdline.contains("decafbad") && !comm.contains("decafbad"),
            "{cmdline}"
        );
        assert!(!cmdline.contains("rekey"), "the title stands where the arguments were: {cmdline}");
        std::thread::sleep(Duration::from_millis(10));
    }
    blocker.commit();
    let run = crate::common::checks::ended(child);
    assert_eq!(run.code, 0, "{run:?}");
    for text in [log(), run.stdout, run.stderr] {
        assert!(!text.contains("decafbad") && !text.contains(NEW), "{text}");
    }
}

#[test]
fn killed_at_any_moment_all_keys_are_old_or_all_are_new() {
    let (install, uid, image) = with_blocks(500);
    let mut random = fastrand::Rng::with_seed(crate::common::checks::seed("rekey"));
    let (mut current, mut other) = (OLD, NEW);
    let (mut done, mut killed) = (0, 0);
    for _ in 0..if crate::common::all() { 60 } else { 12 } {
        install.set("encryption_key", other);
        let run = install.killed_after(Duration::from_micros(random.u64(0..60_000)), &["rekey", current]);
        match run.code {
            -1 => killed += 1,
            code => assert_eq!(code, 0, "{run:?}"),
        }
        // A restore needs every key, so it tells whether all of them have changed.
        let before = keys(&install);
        let complete = install.run(&["restore", "-f", &uid, &install.url("out.img")]).code == 0;
        if complete {
            done += 1;
            std::mem::swap(&mut current, &mut other);
        }
        install.set("encryption_key", current);
        install.ok(&["restore", "-f", &uid, &install.url("out.img")]);
        assert!(std::fs::read(install.path("out.img")).expect("read") == image);
        assert!(keys(&install) == before);
        install.assert_database();
    }
    println!("{done} were rekeyed, {killed} killed");
    assert!(done + killed > 0);
}

/// A dump made before a rekey brings keys that only the old master key opens.
#[test]
fn a_dump_from_before_a_rekey_can_be_rekeyed_too() {
    let (install, first, image) = with_blocks(30);
    let second = install.backup(&[&install.url("x.img"), "x"]);
    let old_dump = install.text("old.csv");
    install.ok(&["export", &first, &old_dump]);
    install.set("encryption_key", NEW);
    install.ok(&["rekey", OLD]);
    let rekeyed = keys(&install);
    install.ok(&["rm", "-f", &first]);
    install.ok(&["import", &old_dump]);
    assert_eq!(keys(&install).len(), 60, "each blob under two keys");
    install.fails(6, &["restore", &first, &install.url("no.img")]);
    assert!(install.restored(&second, "out.img") == image);
    let out = install.ok(&["rekey", OLD]);
    assert!(out.contains("30 blobs were rekeyed already") && out.contains(" 30 rekeyed"), "{out}");
    assert!(keys(&install) == rekeyed, "one row a blob again");
    for uid in [&first, &second] {
        install.ok(&["scrub", uid]);
        assert!(install.restored(uid, "out.img") == image);
    }
    install.assert_sound();
    let error = install.fails(100, &["rekey", OLD]);
    assert!(error.contains("rekeyed already"), "{error}");
    // A blob that either row has marked as bad is bad.
    install.set("encryption_key", OLD);
    install.ok(&["rekey", NEW]);
}

#[test]
fn the_old_key_comes_from_stdin_or_a_file_and_nobody_sees_it() {
    let (install, uid, image) = with_blocks(3);
    let from_stdin = |key: &str| {
        let mut child = install.command(&["rekey", "-"]);
        let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().expect("starts");
        child.stdin.take().expect("piped").write_all(key.as_bytes()).expect("written");
        ended(child)
    };
    install.set("encryption_key", NEW);
    let run = from_stdin(&format!("{OLD}\n"));
    assert_eq!((run.code, run.stderr.contains("command line")), (0, false), "{run:?}");
    install.set("encryption_key", OLD);
    std::fs::write(install.path("key"), format!("  {NEW}  \nmore\n")).expect("written");
    install.ok(&["rekey", "--old-key-file", &install.text("key")]);
    assert!(install.restored(&uid, "out.img") == image);

    // A key on the command line works as before, with a warning.
    install.set("encryption_key", NEW);
    let run = install.run(&["rekey", OLD]);
    assert!(run.code == 0 && run.stderr.contains("rekey -"), "{run:?}");

    // Mistyped keys are never shown, whatever goes wrong.
    let typo = format!("{}x{}", &OLD[..30], &OLD[31..]);
    assert_eq!(from_stdin(&typo).code, 100);
    for args in
        [&["rekey", &typo][..], &["rekey", "--old-key-file", &typo], &["rekey", &OLD[..31], &OLD[32..]]]
    {
        let run = install.run(args);
        assert!(run.code == 100 || run.code == 2, "{run:?}");
        let log = std::fs::read_to_string(install.path("backy.log")).expect("a log");
        for text in [run.stdout, run.stderr, log] {
            assert!(!text.contains(&OLD[..24]) && !text.contains(&OLD[40..]), "{args:?}: {text}");
        }
    }
    install.fails(2, &["rekey"]);
    install.fails(2, &["rekey", "--old-key-file", "f", OLD]);
}

#[test]
fn no_core_dump_can_hold_a_key() {
    let (install, ..) = with_blocks(1);
    install.bandwidth(0, 1);
    let uid = install.uids(&[]).remove(0);
    let mut child = install.start(&["scrub", &uid]);
    let limits = || std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap_or_default();
    let is_set = || {
        let limits = limits();
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
        line.split_whitespace().nth(4).is_some_and(|soft| soft == "0" || soft == "1")
    };
    wait_until("no core can be dumped", Duration::from_secs(5), is_set);
    let _ = child.kill();
    let _ = child.wait();
}
