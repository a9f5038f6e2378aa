//! Databases of older releases are upgraded once, with a copy kept beside them, or stay unchanged.

use crate::common::fixture::{blocks, dump, of_image, restores_right, versions};
use crate::common::images::{by_name, sha256};
use crate::common::install::{Install, Run};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Fixture E with the configuration that its administrator needed for 2.13.
fn fixture_e() -> Install {
    let install = Install::fixture("E");
    install.adopt_config("migrate/backy-2.13.cfg");
    install
}

/// Runs a command that may write, and so upgrades.
pub(crate) fn upgrade(install: &Install, fixture: &str) -> String {
    let good = versions(fixture).into_iter().find(|v| v.sha256.is_some()).expect("a good version");
    install.ok(&["scrub", &good.uid])
}

pub(crate) fn copy_of(install: &Install) -> std::path::PathBuf {
    install.path("backy.sqlite.before-upgrade")
}

pub(crate) fn content(file: &Path) -> Vec<String> {
    dump(&Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens"))
}

/// The names of the database's files, without the journals of an open one.
pub(crate) fn beside(install: &Install) -> Vec<String> {
    let all = std::fs::read_dir(install.path("")).expect("listed");
    let all = all.map(|entry| entry.expect("entry").file_name().into_string().expect("text"));
    let mut names: Vec<String> = all.filter(|name| name.starts_with("backy.sqlite")).collect();
    names.retain(|name| !["-wal", "-shm", ".reserve"].iter().any(|end| name.ends_with(end)));
    names.sort();
    names
}

/// The database is sound, and has the revisions that releases 2.13 and 3 expect.
pub(crate) fn is_current(install: &Install) {
    let text = |sql: &str| install.sqlite().query_row(sql, [], |row| row.get::<_, String>(0)).expect(sql);
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    assert_eq!(install.count("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    assert_eq!(install.count("SELECT count(*) FROM schema_version"), 1);
    assert_eq!(text("PRAGMA journal_mode"), "wal");
    assert_eq!(text("SELECT version_num FROM alembic_version"), "30349b678801");
    assert_eq!(install.count("SELECT count(*) FROM sqlite_master WHERE name LIKE 'before_upgrade%'"), 0);
}

#[test]
fn the_view_has_the_rows_of_the_old_table_and_the_copy_is_the_old_database() {
    for name in ["A", "B", "D", "E"] {
        let install = if name == "E" { fixture_e() } else { Install::fixture(name) };
        let (rows, all) = (blocks(&install), content(&install.path("backy.sqlite")));
        let out = upgrade(&install, name);
        assert!(out.contains(copy_of(&install).to_str().expect("text")), "it is told where: {out}");
        is_current(&install);
        assert_eq!(blocks(&install), rows, "{name}");
        assert_eq!(content(&copy_of(&install)), all, "{name}");
        let again = upgrade(&install, name);
        assert!(!again.contains("before-upgrade"), "once is enough: {again}");
    }
}

#[test]
fn listing_leaves_a_database_of_2_13_as_it_is() {
    for name in ["A", "B", "D"] {
        let install = Install::fixture(name);
        let before = std::fs::read(install.path("backy.sqlite")).expect("read");
        install.ok(&["ls"]);
        install.ok(&["-m", "ls", "-t", "b_daily", "-f", "uid"]);
        assert!(std::fs::read(install.path("backy.sqlite")).expect("read") == before, "{name}");
        assert!(!copy_of(&install).exists());
    }
}

#[test]
fn listing_leaves_a_database_that_lacks_columns_as_it_is_too() {
    let install = fixture_e();
    let before = std::fs::read(install.path("backy.sqlite")).expect("read");
    install.ok(&["ls"]);
    let list = install.ok(&["-ms", "ls"]);
    assert_eq!(install.ok(&["-ms", "stats"]).lines().count(), 2);
    assert!(std::fs::read(install.path("backy.sqlite")).expect("read") == before);
    assert!(!copy_of(&install).exists());
    upgrade(&install, "E");
    assert_eq!((install.ok(&["-ms", "ls"]), list.lines().count()), (list, 2));
}

#[test]
fn remains_of_a_failed_migration_of_2_13_are_accepted() {
    let install = fixture_e();
    let rows = blocks(&install);
    std::fs::remove_file(install.path("backy.sqlite")).expect("removed");
    let sql = std::fs::read_to_string(install.path("migrate/half-migrated.sql")).expect("read");
    install.change(&sql);
    restores_right(&install, "E");
    is_current(&install);
    assert_eq!(blocks(&install), rows);
}

#[test]
fn columns_in_another_order_are_accepted() {
    let install = fixture_e();
    let rows = blocks(&install);
    std::fs::copy(install.path("migrate/after-patched-migration.sqlite"), install.path("backy.sqlite"))
        .expect("copied");
    restores_right(&install, "E");
    is_current(&install);
    assert_eq!(blocks(&install), rows);
    assert_eq!(install.count("SELECT count(*) FROM stats WHERE version_size_bytes = 536633"), 2);
}

#[test]
fn an_unknown_revision_is_refused_and_nothing_is_changed() {
    let install = Install::fixture("D");
    install.change("UPDATE alembic_version SET version_num = 'feedfacecafe'");
    let before = std::fs::read(install.path("backy.sqlite")).expect("read");
    let uid = of_image("D", "D1.img").uid;
    let (source, target) = (install.image("x.img", &by_name("D1.img")), install.url("out"));
    for args in [&["ls"][..], &["backup", &source, "x"], &["restore", &uid, &target], &["cleanup"]] {
        let error = install.fails(1, args);
        assert!(error.contains("feedfacecafe"), "{error}");
    }
    assert!(std::fs::read(install.path("backy.sqlite")).expect("read") == before);
    assert!(!copy_of(&install).exists() && !install.path("out").exists());
}

/// The steps of 2.13's chain of migrations from the revision of E on.
const LATER: [(&str, &str); 6] = [
    (
        "828da0fbbe8d",
        "ALTER TABLE versions ADD COLUMN expire DATE; UPDATE versions SET expire = '2035-06-07' WHERE protected = 0",
    ),
    ("cd3f15ae79f8", "UPDATE versions SET expire = '2035-06-07 00:00:00.000000' WHERE protected = 0"),
    ("9e0939e3bc6d", "ALTER TABLE stats RENAME TO stats_old"),
    (
        "85966fcda5e6",
        "CREATE TABLE stats (date DATETIME NOT NULL, id INTEGER NOT NULL PRIMARY KEY, version_uid VARCHAR(36),
           version_name VARCHAR NOT NULL, version_size_bytes BIGINT NOT NULL, version_size_blocks BIGINT NOT NULL,
           bytes_read BIGINT NOT NULL, blocks_read BIGINT NOT NULL, bytes_written BIGINT NOT NULL,
           blocks_written BIGINT NOT NULL, bytes_found_dedup BIGINT NOT NULL, blocks_found_dedup BIGINT NOT NULL,
           bytes_sparse BIGINT NOT NULL, blocks_sparse BIGINT NOT NULL, duration_seconds BIGINT NOT NULL);
         INSERT INTO stats SELECT date, NULL, version_uid, version_name, version_size_bytes, version_size_blocks,
           bytes_read, blocks_read, bytes_written, blocks_written, bytes_found_dedup, blocks_found_dedup,
           bytes_sparse, blocks_sparse, duration_seconds FROM stats_old; DROP TABLE stats_old",
    ),
    (
        "5260034b8125",
        "ALTER TABLE blocks ADD COLUMN enc_envkey VARCHAR(80);
         ALTER TABLE blocks ADD COLUMN enc_version INTEGER; UPDATE blocks SET enc_version = 0",
    ),
    ("30349b678801", "ALTER TABLE blocks ADD COLUMN enc_nonce VARCHAR(32)"),
];

/// Fixture E after the first `steps` of [`LATER`].
fn at_later(steps: usize) -> Install {
    let install = fixture_e();
    for (revision, sql) in &LATER[..steps] {
        install.change(sql);
        install.change(&format!("UPDATE alembic_version SET version_num = '{revision}'"));
    }
    install
}

/// The expiry set in [`LATER`]. It reads the same whether the column was a date or a time.
const EXPIRE: &str = "|2035-06-07 00:00:00";

#[test]
fn every_later_revision_is_upgraded() {
    for steps in 0..=LATER.len() {
        let install = at_later(steps);
        let rows = blocks(&install);
        restores_right(&install, "E");
        is_current(&install);
        assert_eq!(blocks(&install), rows, "after {steps} steps");
        assert_eq!(install.count("SELECT count(*) FROM stats WHERE bytes_read IN (536633, 65536)"), 2);
        assert_eq!(install.uids(&["-t", "b_daily"]).len(), 1);
        let list = install.ok(&["-ms", "ls", "-s", "snap2"]);
        assert_eq!(list.trim_end().ends_with(EXPIRE), steps > 0, "{list}");
    }
}

#[test]
fn every_earlier_revision_is_upgraded() {
    let without_tags = "DROP TABLE tags; UPDATE alembic_version SET version_num = 'bbe7904bfc3a'";
    let oldest = "DROP TABLE alembic_version; ALTER TABLE versions DROP COLUMN snapshot_name";
    for steps in [&[without_tags][..], &[without_tags, oldest]] {
        let install = fixture_e();
        steps.iter().for_each(|sql| install.change(sql));
        let rows = blocks(&install);
        restores_right(&install, "E");
        is_current(&install);
        assert_eq!(blocks(&install), rows);
        assert_eq!(install.uids(&["old"]).len(), 2);
        install.backup(&["-s", "new", "-t", "a,b", &install.image("x", &by_name("E1.img")), "old"]);
        assert_eq!(install.uids(&["-s", "new", "-t", "b"]).len(), 1);
    }
}

#[test]
fn encrypted_blocks_need_no_nonce_in_the_database() {
    let install = Install::fixture("D");
    install.change(
        "ALTER TABLE blocks DROP COLUMN enc_nonce; UPDATE alembic_version SET version_num = '5260034b8125'",
    );
    restores_right(&install, "D");
    is_current(&install);
}

#[test]
fn an_upgrade_that_is_killed_leaves_the_old_database() {
    for name in ["D", "E"] {
        let install = if name == "E" { fixture_e() } else { Install::fixture(name) };
        let (rows, all) = (blocks(&install), content(&install.path("backy.sqlite")));
        let uid = versions(name)[0].uid.clone();
        for point in ["upgrade-middle", "upgrade-kept"] {
            assert!(install.killed_at(point, &["restore", &uid, &install.url("out")]));
            assert!(!install.path("out").exists());
            assert_eq!(dump(&install.sqlite()), all, "{name}");
        }
        assert_eq!(content(&copy_of(&install)), all, "{name}");
        restores_right(&install, name);
        is_current(&install);
        assert_eq!(blocks(&install), rows, "{name}");
        assert_eq!(content(&copy_of(&install)), all, "{name}");
        assert_eq!(beside(&install), ["backy.sqlite", "backy.sqlite.before-upgrade"], "nothing else is left");
    }
}

#[test]
fn an_upgrade_is_refused_while_release_2_13_runs() {
    let install = Install::fixture("D");
    let name = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let name = name.lines().find_map(|line| line.strip_prefix("process_name: ")).expect("a name").to_owned();
    // Another program with that process name, as the list of processes would show the Python release.
    std::fs::copy("/bin/sleep", install.path(&name)).expect("copied");
    let mut other = std::process::Command::new(install.path(&name)).arg("60").spawn().expect("starts");
    let before = content(&install.path("backy.sqlite"));
    let run = install.run(&["scrub", &of_image("D", "D1.img").uid]);
    other.kill().and_then(|()| other.wait()).expect("ended");
    assert_eq!(run.code, 100, "{run:?}");
    assert!(run.stderr.contains("must be upgraded"), "{run:?}");
    assert_eq!(content(&install.path("backy.sqlite")), before);
    upgrade(&install, "D");
}

#[test]
fn commands_that_start_together_upgrade_once() {
    for name in ["D", "E"] {
        let install = if name == "E" { fixture_e() } else { Install::fixture(name) };
        let all = versions(name);
        let children: Vec<_> = (0..4)
            .map(|n| {
                let target = install.url(&format!("out{n}"));
                install.start(&["restore", &all[n % all.len()].uid, &target])
            })
            .collect();
        for (n, child) in children.into_iter().enumerate() {
            let run = Run::from(child.wait_with_output().expect("ended"));
            assert_eq!(run.code, 0, "{run:?}");
            let data = std::fs::read(install.path(&format!("out{n}"))).expect("read");
            assert_eq!(Some(sha256(&data)), all[n % all.len()].sha256);
        }
        is_current(&install);
        assert!(copy_of(&install).exists());
        assert!(!install.path("backy.sqlite.before-upgrade.1").exists(), "one copy is enough");
    }
}

#[test]
fn a_link_to_the_database_stays_one_and_so_does_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let install = Install::fixture("D");
    std::fs::create_dir(install.path("elsewhere")).expect("mkdir");
    std::fs::rename(install.path("backy.sqlite"), install.path("elsewhere/real")).expect("moved");
    std::os::unix::fs::symlink("elsewhere/real", install.path("backy.sqlite")).expect("linked");
    let real = install.path("elsewhere/real");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).expect("chmod");
    upgrade(&install, "D");
    is_current(&install);
    assert!(install.path("backy.sqlite").is_symlink());
    for name in ["elsewhere/real", "elsewhere/real.before-upgrade"] {
        let mode = std::fs::metadata(install.path(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "{name}");
    }
}

#[test]
fn the_upgrade_is_a_command_of_its_own_and_says_when_there_is_nothing_to_do() {
    for name in ["A", "E"] {
        let install = if name == "E" { fixture_e() } else { Install::fixture(name) };
        let out = install.ok(&["upgrade"]);
        for part in ["MiB beside the database", "(2/4: mapping the blocks) (", "ETA", "is upgraded"] {
            assert!(out.contains(part), "{part}: {out}");
        }
        is_current(&install);
        assert!(install.ok(&["upgrade"]).contains("nothing to do"));
        restores_right(&install, name);
    }
    let install = Install::fixture("D");
    assert_eq!(install.ok(&["--json", "upgrade"]), "{\"upgraded\":true}\n");
    assert_eq!(install.ok(&["--json", "upgrade"]), "{\"upgraded\":false}\n");
}
