//! Sources and destinations of dumps, and the memory that they take.

use super::{Install, Run, import_stdin, with_a_dump};
use crate::common::database::padded;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn to_stdout_goes_the_dump_and_nothing_else() {
    let (install, uid, _, dump) = with_a_dump();
    for options in [&[][..], &["-m"], &["-v"], &["-d"], &["--json"]] {
        let run = install.run(&[options, &["export", &uid, "-"]].concat());
        assert_eq!((run.code, &run.stdout), (0, &dump), "{options:?}");
        assert!(dump.ends_with("\r\n") && !dump.ends_with("\n\r\n"));
        let quiet = options.contains(&"-m") || options.contains(&"--json");
        assert_eq!(run.stderr.contains("Backy complete."), !quiet, "{options:?}: messages are on stderr");
    }
    let run = install.run(&["export", "nosuch", "-"]);
    assert_eq!((run.code, &run.stdout[..]), (100, ""));
}

#[test]
fn a_version_that_is_not_there_makes_no_file_and_spoils_none() {
    let (install, uid, _, dump) = with_a_dump();
    let path = install.text("y.csv");
    install.refuses(100, &["export", "nosuch", &path], &["nosuch"]);
    assert!(!install.path("y.csv").exists());
    install.ok(&["export", &uid, &path]);
    install.refuses(100, &["export", "nosuch", &path], &["nosuch"]);
    assert_eq!(std::fs::read_to_string(&path).expect("read"), dump);
    install.refuses(100, &["export", &uid, &install.text("no/such/folder.csv")], &["folder.csv"]);
}

#[test]
fn a_reader_that_goes_away_has_not_got_the_dump() {
    let (install, uid, _, _) = with_a_dump();
    let big = big_version(&install, 20_000);
    for uid in [&uid, &big] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = install.command(&["export", uid, "-"]).stdin(Stdio::null()).stdout(writer).output();
        let run = Run::from(output.expect("runs"));
        assert_eq!(run.code, 100, "{run:?}");
    }
}

/// Makes a version of `blocks` blocks without any data; every second block has its own blob.
fn big_version(install: &Install, blocks: u64) -> String {
    let uid = "11111111-e505-11f1-90ca-02fc00000001";
    let digits = |n: usize| "9".repeat(n);
    install.change(&format!(
        "BEGIN;
         INSERT INTO versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)
         VALUES ('{uid}', '2026-01-01 00:00:00.000000', 'big', '', {blocks}, {blocks} * 4096, 1, 0);
         CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {blocks})
             SELECT i FROM n;
         INSERT INTO blobs (id, size, valid, enc_version, date) VALUES (-4096, 4096, 1, 0, '2026-01-01 00:00:00')
             ON CONFLICT DO NOTHING;
         INSERT INTO blobs (id, uid, checksum, size, valid, enc_version, enc_envkey, enc_nonce, date)
             SELECT 1000000 + i, {}, {}, 4096, 1, 1, '{}', '{}', '2026-01-01 00:00:00'
             FROM n WHERE i % 2 = 0;
         INSERT INTO block_map SELECT (SELECT id FROM versions WHERE uid = '{uid}'), i,
             CASE WHEN i % 2 = 0 THEN 1000000 + i ELSE -4096 END FROM n;
         COMMIT;",
        padded("i", 32),
        padded("i", 128),
        digits(80),
        digits(32),
    ));
    uid.to_owned()
}

/// Runs a command with an address space of `kibibytes` KiB.
fn in_little_memory(install: &Install, kibibytes: u64, args: &[&str]) -> Run {
    let command = install.command(args);
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -v {kibibytes}; exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args()).current_dir(install.path(""));
    Run::from(shell.stdin(Stdio::null()).output().expect("runs"))
}

/// The dump has 107 MB, not much less than the allowed memory.
#[test]
fn half_a_million_blocks_go_out_and_in_within_seconds_and_in_little_memory() {
    const ENOUGH: u64 = 144 << 10;
    let (install, ..) = with_a_dump();
    let uid = big_version(&install, 500_000);
    let path = install.text("big.csv");
    let start = Instant::now();
    let run = in_little_memory(&install, ENOUGH, &["export", &uid, &path]);
    assert_eq!(run.code, 0, "{run:?}");
    let size = std::fs::metadata(&path).expect("there").len();
    assert!(size > 100 << 20, "{size}: larger than the memory that it was given, nearly");
    install.ok(&["rm", "-f", &uid]);
    let run = in_little_memory(&install, ENOUGH, &["import", &path]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(start.elapsed() < Duration::from_secs(240), "{:?}", start.elapsed());
    assert_eq!(install.rows(&uid), 500_000);
    let again = install.text("again.csv");
    install.ok(&["export", &uid, &again]);
    assert!(std::fs::read(&path).expect("read") == std::fs::read(&again).expect("read"));
}

#[test]
fn an_empty_version_goes_out_and_in() {
    let install = Install::new(4096);
    let uid = install.backup(&[&install.image("empty", b""), "e"]);
    let dump = install.ok(&["-m", "export", &uid, "-"]);
    assert_eq!(dump.lines().count(), 2);
    install.ok(&["rm", "-f", &uid]);
    assert_eq!(import_stdin(&install, &dump).code, 0);
    install.ok(&["scrub", &uid]);
    assert_eq!(install.restored(&uid, "out").len(), 0);
}
