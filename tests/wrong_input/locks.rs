//! Locks that another process holds.

use super::{image, with_version};
use crate::common::database::Engine;
use crate::common::install::{Install, Run};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;

const ALONE: bool = true;
const SHARED: bool = false;

/// Holds a lock like another backy2 process, until it is dropped. With SQLite the process is on this host, with
/// PostgreSQL on another host.
fn hold(install: &Install, name: &str, exclusive: bool) -> Held {
    if install.engine() == Engine::Postgres {
        let holder = fastrand::i64(1..);
        install.change(&format!(
            "INSERT INTO lock_holders (id, host, machine, pid, started, command)
                 VALUES ({holder}, 'other', 'other', 1, 1, 'a test');
             INSERT INTO locks (id, name, exclusive, holder) VALUES ({holder}, '{name}', {exclusive}, {holder})"
        ));
        return Held { file: None, row: Some((install.postgres().expect("one").client(), holder)) };
    }
    let file = File::create(install.path("lock").join(format!("backy_{name}.lock"))).expect("created");
    let operation = if exclusive {
        FlockOperation::NonBlockingLockExclusive
    } else {
        FlockOperation::NonBlockingLockShared
    };
    flock(&file, operation).expect("locked");
    Held { file: Some(file), row: None }
}

/// A lock that is held.
struct Held {
    file: Option<File>,
    row: Option<(postgres::Client, i64)>,
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.file.take());
        if let Some((client, holder)) = &mut self.row {
            client.execute("DELETE FROM lock_holders WHERE id = $1", &[holder]).expect("released");
        }
    }
}

#[test]
fn while_a_command_runs_alone_no_other_starts() {
    let (install, uid) = with_version();
    let _held = hold(&install, "backy", ALONE);
    let (source, target) = (install.url("a.img"), install.url("out"));
    let commands = [
        &["ls"][..],
        &["backup", &source, "b"],
        &["restore", &uid, &target],
        &["scrub", &uid],
        &["rm", "-f", &uid],
        &["protect", &uid],
        &["cleanup"],
        &["cleanup", "-f"],
        &["initdb"],
    ];
    let before = install.state();
    // Commands that only list do not conflict with another host, and `initdb` only checks that the database is empty.
    let other_host = install.engine() == Engine::Postgres;
    let commands = commands.into_iter().filter(|args| !other_host || !["ls", "initdb"].contains(&args[0]));
    // Start them all at once, as each one waits for a second.
    let started: Vec<_> = commands.map(|args| (install.start(args), args)).collect();
    for (child, args) in started {
        let run = Run::from(child.wait_with_output().expect("ended"));
        assert_eq!(run.code, 100, "{args:?}: {run:?}");
        assert!(run.stderr.contains("exclusive access"), "{args:?}: {run:?}");
    }
    assert!(install.state() == before);
}

#[test]
fn others_that_started_a_moment_ago_are_no_obstacle() {
    let (install, uid) = with_version();
    let _held = hold(&install, "backy", SHARED);
    install.ok(&["ls"]);
    install.ok(&["scrub", &uid]);
    install.refuses(100, &["cleanup", "-f"], &["exclusive access"]);
}

#[test]
fn one_cleanup_keeps_out_the_next_and_nothing_else() {
    let (install, uid) = with_version();
    let _held = hold(&install, "backy-cleanup-fast", ALONE);
    for args in [&["cleanup"][..], &["cleanup", "--dangerous-force"], &["cleanup", "-f"]] {
        install.refuses(100, args, &["Another backy cleanup is running"]);
    }
    install.ok(&["scrub", &uid]);
    install.backup(&[&install.url("a.img"), "b"]);
    install.ok(&["rm", &uid]);
}

#[test]
fn a_version_that_is_being_written_is_left_alone() {
    let (install, uid) = with_version();
    install.change("UPDATE versions SET valid = 0");
    let _held = hold(&install, &uid, ALONE);
    let (source, target) = (install.url("a.img"), install.url("out"));
    for args in [
        &["restore", &uid, &target][..],
        &["scrub", &uid],
        &["rm", "-f", &uid],
        &["backup", "-f", &uid, &source, "a"],
        &["backup", "-c", &uid, &source, "a"],
    ] {
        install.refuses(100, args, &[&uid, "locked"]);
    }
    install.refuses(100, &["cleanup", "-f"], &[&uid, "Other backy instances are running"]);
    install.ok(&["ls"]);
    install.ok(&["protect", &uid]);
}

#[test]
fn a_version_that_is_being_read_can_be_read_and_not_removed() {
    let (install, uid) = with_version();
    let _held = hold(&install, &uid, SHARED);
    install.refuses(100, &["rm", "-f", &uid], &[&uid, "locked"]);
    install.refuses(100, &["cleanup", "-f"], &[&uid, "Other backy instances are running"]);
    assert!(install.restored(&uid, "out") == image());
    install.ok(&["scrub", &uid]);
    install.backup(&["-f", &uid, &install.url("a.img"), "a"]);
}

#[test]
fn lock_files_that_nobody_holds_are_no_locks() {
    let (install, uid) = with_version();
    for name in ["backy", "backy-cleanup-fast", &uid] {
        drop(hold(&install, name, ALONE));
    }
    install.ok(&["cleanup"]);
    install.ok(&["cleanup", "-f"]);
    install.ok(&["rm", &uid]);
}

#[test]
fn the_full_cleanup_refuses_while_another_process_of_the_name_runs() {
    let (install, _) = with_version();
    let config = std::fs::read_to_string(install.path("backy.cfg")).expect("read");
    let name = config.lines().find_map(|line| line.strip_prefix("process_name: ")).expect("a name");
    std::fs::copy("/bin/sleep", install.path(name)).expect("copied");
    let mut other = std::process::Command::new(install.path(name)).arg("60").spawn().expect("starts");
    let run = install.run(&["cleanup", "-f"]);
    other.kill().and_then(|()| other.wait()).expect("ended");
    assert_eq!(run.code, 100, "{run:?}");
    assert!(run.stderr.contains("Other backy instances are running"), "{run:?}");
    install.ok(&["cleanup", "-f"]);
}
