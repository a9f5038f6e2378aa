//! Databases of older releases on a server are upgraded once, or stay unchanged.

use crate::common::checks::{ended, wait_until};
use crate::common::database::{Row, sqlite_rows};
use crate::common::fixture::{blocks, of_image, restores_right, versions};
use crate::common::images::{by_name, sha256};
use crate::common::install::{Install, fixture_folder};
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

/// A fixture with the configuration that its administrator needed for 2.13.
fn fixture(name: &str) -> Install {
    let install = Install::fixture(name);
    if name == "E" {
        install.adopt_config("migrate/backy-2.13.cfg");
    }
    install
}

/// The database is sound, and has the revisions that releases 2.13 and 3 expect.
fn is_current(install: &Install) {
    install.assert_references();
    assert_eq!(install.count("SELECT count(*) FROM schema_version"), 1);
    assert_eq!(install.texts("SELECT version_num FROM alembic_version"), ["30349b678801"]);
    let aside = "SELECT count(*) FROM pg_class WHERE relname LIKE 'before_upgrade%'";
    assert_eq!(install.count(aside), 0, "nothing is left of the old tables");
}

/// The other tests rely on this: the databases on the server have the same rows as the files of the fixtures.
#[test]
fn the_old_tables_are_those_of_the_files() {
    for name in ["A", "B", "D", "E"] {
        let install = Install::fixture(name);
        let file = rusqlite::Connection::open(fixture_folder(name).join("backy.sqlite")).expect("opens");
        for table in ["versions", "tags", "blocks", "deleted_blocks", "stats", "alembic_version"] {
            let sql = format!("SELECT * FROM {table}");
            let sorted = |mut rows: Vec<Row>| {
                // PostgreSQL omits trailing zeros in fractions of seconds.
                let times = rows.iter_mut().flatten().flatten().filter(|text| text.len() == 26);
                times.for_each(|text| *text = text.trim_end_matches('0').trim_end_matches('.').to_owned());
                rows.sort();
                rows
            };
            let (here, there) = (install.table(&sql), sqlite_rows(&file, &sql).expect("rows"));
            assert!(sorted(here) == sorted(there), "{table} of {name}");
        }
    }
}

#[test]
fn the_view_has_the_rows_of_the_old_table() {
    for name in ["A", "B", "D", "E"] {
        let install = fixture(name);
        let rows = blocks(&install);
        let good = versions(name).into_iter().find(|v| v.sha256.is_some()).expect("a good version");
        let out = install.ok(&["scrub", &good.uid]);
        assert!(out.contains("upgraded"), "{out}");
        is_current(&install);
        assert_eq!(blocks(&install), rows, "{name}");
        let again = install.ok(&["scrub", &good.uid]);
        assert!(!again.contains("upgraded"), "once is enough: {again}");
        restores_right(&install, name);
    }
}

#[test]
fn listing_leaves_a_database_of_2_13_as_it_is() {
    for name in ["A", "B", "D"] {
        let install = fixture(name);
        let before = install.dump();
        install.ok(&["ls"]);
        install.ok(&["-m", "ls", "-t", "b_daily", "-f", "uid"]);
        assert!(install.dump() == before, "{name}");
    }
}

#[test]
fn an_unknown_revision_is_refused_and_nothing_is_changed() {
    let install = fixture("D");
    install.change("UPDATE alembic_version SET version_num = 'feedfacecafe'");
    let before = install.dump();
    let uid = of_image("D", "D1.img").uid;
    let (source, target) = (install.image("x.img", &by_name("D1.img")), install.url("out"));
    for args in [&["ls"][..], &["backup", &source, "x"], &["restore", &uid, &target], &["cleanup"]] {
        let error = install.fails(1, args);
        assert!(error.contains("feedfacecafe"), "{error}");
    }
    assert!(install.dump() == before);
    assert!(!install.path("out").exists());
}

#[test]
fn an_upgrade_that_is_killed_leaves_the_old_database() {
    for name in ["D", "E"] {
        let install = fixture(name);
        let (rows, all) = (blocks(&install), install.dump());
        let uid = versions(name)[0].uid.clone();
        assert!(install.killed_at("upgrade-middle", &["restore", &uid, &install.url("out")]));
        assert!(!install.path("out").exists());
        assert_eq!(install.dump(), all, "{name}");
        restores_right(&install, name);
        is_current(&install);
        assert_eq!(blocks(&install), rows, "{name}");
    }
}

#[test]
fn commands_that_start_together_upgrade_once() {
    for name in ["D", "E"] {
        let install = fixture(name);
        let all = versions(name);
        let children: Vec<_> = (0..4)
            .map(|n| {
                let target = install.url(&format!("out{n}"));
                install.start(&["restore", &all[n % all.len()].uid, &target])
            })
            .collect();
        for (n, child) in children.into_iter().enumerate() {
            let run = ended(child);
            assert_eq!(run.code, 0, "{run:?}");
            let data = std::fs::read(install.path(&format!("out{n}"))).expect("read");
            assert_eq!(Some(sha256(&data)), all[n % all.len()].sha256);
        }
        is_current(&install);
    }
}

#[test]
fn an_upgrade_is_refused_while_release_2_13_runs() {
    let install = fixture("D");
    let name = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let name = name.lines().find_map(|line| line.strip_prefix("process_name: ")).expect("a name").to_owned();
    // Another program with that process name, as the list of processes would show the Python release.
    std::fs::copy("/bin/sleep", install.path(&name)).expect("copied");
    let mut other = std::process::Command::new(install.path(&name)).arg("60").spawn().expect("starts");
    let before = install.dump();
    let uid = of_image("D", "D1.img").uid;
    let run = install.run(&["scrub", &uid]);
    other.kill().and_then(|()| other.wait()).expect("ended");
    assert_eq!(run.code, 100, "{run:?}");
    assert!(run.stderr.contains("must be upgraded"), "{run:?}");
    assert_eq!(install.dump(), before);
    install.ok(&["scrub", &uid]);
    is_current(&install);
}

#[test]
fn a_signal_ends_the_upgrade_at_once_and_the_command_with_it() {
    let install = fixture("D");
    // One of the upgrade's statements has to wait for a transaction that reads the old tables.
    let mut reader = install.postgres().expect("a server").client();
    reader.batch_execute("BEGIN; LOCK TABLE blocks IN ACCESS SHARE MODE").expect("locked");
    let rows = "SELECT count(*) FROM blocks";
    let before = install.count(rows);
    let good = of_image("D", "D1.img").uid;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let _ = std::fs::remove_file(install.path("backy.log"));
        let child = install.start(&["rm", "-f", &good]);
        wait_until("the upgrade is under way", Duration::from_secs(20), || {
            let log = std::fs::read_to_string(install.path("backy.log")).unwrap_or_default();
            log.contains("is being upgraded, in one transaction")
        });
        let start = Instant::now();
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("sent");
        let run = ended(child);
        assert_eq!(run.code, code, "{run:?}");
        assert!(start.elapsed() < Duration::from_secs(2), "it took {:?}", start.elapsed());
        assert_eq!(install.count(rows), before);
        let old = "SELECT count(*) FROM pg_class WHERE relname IN ('blobs', 'before_upgrade_blocks')";
        assert_eq!(install.count(old), 0, "all is as it was");
    }
    reader.batch_execute("COMMIT").expect("released");
    let out = install.ok(&["rm", "-f", &good]);
    assert!(out.contains("Upgrading the database (2/2: mapping the blocks)"), "{out}");
    is_current(&install);
    assert!(install.ok(&["upgrade"]).contains("nothing to do"));
}

#[test]
fn another_host_that_upgrades_is_reported_and_waited_for() {
    let install = fixture("D");
    let mut other = install.postgres().expect("a server").client();
    other.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(1650549611, 3)").expect("locked");
    let child = install.start(&["upgrade"]);
    wait_until("it is told", Duration::from_secs(20), || {
        let log = std::fs::read_to_string(install.path("backy.log")).unwrap_or_default();
        log.contains("is being upgraded by") && log.contains("on 127.0.0.1 since 2")
    });
    other.batch_execute("COMMIT").expect("released");
    let run = ended(child);
    assert_eq!(run.code, 0, "{run:?}");
    is_current(&install);
}
