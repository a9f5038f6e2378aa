//! Signals and other commands during an upgrade.

use super::upgrade::{beside, copy_of, is_current};
use crate::common::checks::{ended, wait_until};
use crate::common::fixture::of_image;
use crate::common::install::{Install, noise};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Child;
use std::time::{Duration, Instant};

/// Fixture D with one more version of `blocks` blocks, as 2.13 would have made it.
fn large(blocks: u32) -> Install {
    let install = Install::fixture("D");
    let versions =
        "INSERT INTO versions SELECT '00000000-0000-11f1-90ca-000000000001', date, NULL, 'large', '',
        {blocks}, {blocks} * 65536, 1, 0 FROM versions LIMIT 1;";
    let rows = "DROP INDEX ix_blocks_checksum;
        INSERT INTO blocks (uid, version_uid, id, date, checksum, size, valid, enc_version)
        WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {blocks})
        SELECT printf('%032x', i), '00000000-0000-11f1-90ca-000000000001', i, '2026-01-01 00:00:00.000000',
               printf('%0128x', i), 65536, 1, 0 FROM n;";
    let sql = format!("PRAGMA synchronous = OFF; BEGIN; {versions}{rows} COMMIT;");
    install.change(&sql.replace("{blocks}", &blocks.to_string()));
    install
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("sent");
}

/// Starts a command, and returns when its upgrade is under way.
fn upgrading(install: &Install, args: &[&str]) -> Child {
    let _ = std::fs::remove_file(install.path("backy.log"));
    let child = install.start(args);
    wait_until("the upgrade is under way", Duration::from_secs(20), || {
        let log = std::fs::read_to_string(install.path("backy.log")).unwrap_or_default();
        log.contains("Upgrading the database (2/4")
    });
    child
}

#[test]
fn a_signal_ends_the_upgrade_at_once_and_the_command_with_it() {
    let install = large(250_000);
    let good = of_image("D", "D1.img").uid;
    let (image, target) = (install.image("x.img", &noise(1, 65536)), install.url("out"));
    let before = std::fs::read(install.path("backy.sqlite")).expect("read");
    let dump = install.text("dump");
    for (args, signal, code) in [
        (&["rm", "-f", &good][..], Signal::INT, 130),
        (&["backup", &image, "x"], Signal::TERM, 143),
        (&["scrub", &good], Signal::INT, 130),
        (&["restore", &good, &target], Signal::TERM, 143),
        (&["-m", "cleanup"], Signal::INT, 130),
        (&["export", &good, &dump], Signal::HUP, 129),
        (&["du"], Signal::INT, 130),
    ] {
        let child = upgrading(&install, args);
        let start = Instant::now();
        send(&child, signal);
        let run = ended(child);
        assert!(start.elapsed() < Duration::from_secs(2), "{args:?} took {:?}", start.elapsed());
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        assert!(std::fs::read(install.path("backy.sqlite")).expect("read") == before, "{args:?}");
        assert!(!install.path("out").exists() && !install.path("dump").exists());
        if args[0] != "du" {
            // It ends at once; the next command cleans up.
            assert_eq!(beside(&install), ["backy.sqlite"], "{args:?}");
        }
    }
    install.ok(&["rm", "-f", &good]);
    assert_eq!(beside(&install), ["backy.sqlite", "backy.sqlite.before-upgrade"]);
    assert!(std::fs::read(copy_of(&install)).expect("read") == before);
    is_current(&install);
    assert_eq!(install.count("SELECT count(*) FROM blocks WHERE version_uid LIKE '%000000000001'"), 250_000);
}

#[test]
fn other_commands_name_the_process_that_upgrades_and_scripts_see_one_line() {
    let install = large(100_000);
    let child = upgrading(&install, &["-m", "rm", "-f", &of_image("D", "D1.img").uid]);
    send(&child, Signal::STOP);
    for args in [&["ls"][..], &["du"], &["upgrade"]] {
        let error = install.fails(100, args);
        let who = format!("is being upgraded by process {} on ", child.id());
        assert!(error.contains(&who) && error.contains(" since 2"), "{error}");
    }
    send(&child, Signal::CONT);
    let run = ended(child);
    assert_eq!((run.code, &run.stdout[..]), (0, ""), "{run:?}");
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert!(lines.len() == 1 && lines[0].contains("is being upgraded"), "{run:?}");
}
