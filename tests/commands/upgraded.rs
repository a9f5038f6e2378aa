//! Old and upgraded databases that cannot be written to.

use crate::common::fixture::{of_image, restores_right, versions};
use crate::common::images::by_name;
use crate::common::install::Install;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Fixture A, upgraded by a scrub.
fn upgraded() -> Install {
    let install = Install::fixture("A");
    install.ok(&["scrub", &of_image("A", "A1.img").uid]);
    install
}

/// A separate file system that can be made read-only; unmounted when dropped, even by a panic.
struct Mount {
    path: PathBuf,
}

impl Mount {
    /// `None` if mounting is not allowed; the test is then reported as skipped.
    fn new(test: &str, path: &Path) -> Option<Self> {
        std::fs::create_dir(path).expect("mkdir");
        match mount(&["-t", "tmpfs", "none"], path) {
            Ok(()) => Some(Mount { path: path.to_owned() }),
            Err(reason) => {
                crate::common::skip(test, &reason);
                None
            }
        }
    }

    fn make_read_only(&self) {
        mount(&["-o", "remount,ro"], &self.path).expect("remounted");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

fn mount(args: &[&str], path: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(args).arg(path).output().map_err(|e| e.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Moves the database to a file system and makes that read-only.
fn read_only(test: &str, install: &Install) -> Option<Mount> {
    let mount = Mount::new(test, &install.path("ro"))?;
    for name in ["backy.sqlite", "backy.sqlite-wal"] {
        if install.path(name).exists() {
            std::fs::rename(install.path(name), install.path("moved")).expect("renamed");
            std::fs::copy(install.path("moved"), mount.path.join(name)).expect("copied");
        }
    }
    install.set("engine", &format!("sqlite:///{}", install.text("ro/backy.sqlite")));
    mount.make_read_only();
    Some(mount)
}

const DAMAGED: &str = "dd3de788-e505-11f1-90ca-02fc00000001";

#[test]
fn an_old_database_that_cannot_be_written_can_be_restored_from() {
    for journal in ["delete", "wal"] {
        let install = Install::fixture("A");
        install.change(&format!("PRAGMA journal_mode = {journal}"));
        let Some(_mount) = read_only("read-only old database", &install) else { return };
        restores_from_a_copy(&install);
    }
}

fn restores_from_a_copy(install: &Install) {
    assert!(!install.ok(&["ls"]).contains("WARNING"), "nothing is missing for that");
    let good = of_image("A", "A2.img");
    let out = install.ok(&["restore", &good.uid, &install.url("x")]);
    assert!(out.contains("WARNING") && out.contains("cannot be written"), "{out}");
    assert!(std::fs::read(install.path("x")).expect("read") == by_name("A2.img"));
    install.fails(20, &["restore", DAMAGED, &install.url("y")]);
    let source = install.image("z", b"z");
    for args in [&["backup", &source, "z"][..], &["scrub", &good.uid], &["rm", &good.uid]] {
        let error = install.fails(1, args);
        assert!(error.contains("cannot be written"), "{error}");
    }
    let left: Vec<_> = std::fs::read_dir(install.path("cache")).expect("list").collect();
    assert!(left.is_empty(), "the temporary copy is gone: {left:?}");
}

#[test]
fn a_database_that_cannot_be_written_keeps_no_marks_and_a_message_says_so() {
    let install = upgraded();
    let good = versions("A").into_iter().find(|v| v.image.as_deref() == Some("A3.img")).expect("recorded");
    let gone = install.blob(&install.blob_uid(&good.uid, 1));
    let Some(_mount) = read_only("read-only database", &install) else { return };
    std::fs::remove_file(gone).expect("removed");
    let mut wanted = by_name("A3.img");
    wanted[4 << 20..8 << 20].fill(0);
    let run = install.run(&["restore", &good.uid, &install.url("x")]);
    assert_eq!(run.code, 20, "{run:?}");
    assert!(run.stdout.contains("WARNING: Bad blocks cannot be marked invalid"), "{run:?}");
    assert!(!run.stdout.contains("Marked"), "{run:?}");
    assert!(std::fs::read(install.path("x")).expect("read") == wanted);
}

/// A folder in which not even root can create or remove files; restored when dropped.
struct Immutable(PathBuf);

impl Immutable {
    fn new(test: &str, path: PathBuf) -> Option<Self> {
        let status = Command::new("chattr").arg("+i").arg(&path).status();
        if status.is_ok_and(|status| status.success()) {
            return Some(Immutable(path));
        }
        crate::common::skip(test, "chattr +i is not possible here");
        None
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg("-i").arg(&self.0).status();
    }
}

#[test]
fn a_database_in_a_folder_that_cannot_be_written_counts_as_read_only() {
    let install = Install::fixture("D");
    std::fs::create_dir(install.path("fixed")).expect("mkdir");
    std::fs::rename(install.path("backy.sqlite"), install.path("fixed/backy.sqlite")).expect("moved");
    install.set("engine", &format!("sqlite:///{}", install.text("fixed/backy.sqlite")));
    let Some(_fixed) = Immutable::new("database in an immutable folder", install.path("fixed")) else {
        return;
    };
    restores_right(&install, "D");
    let error = install.fails(1, &["rm", &of_image("D", "D1.img").uid]);
    assert!(error.contains("cannot be written"), "{error}");
}

#[test]
fn an_upgrade_without_enough_space_is_refused_and_nothing_is_changed() {
    let install = Install::fixture("D");
    let Some(disk) = Mount::new("upgrade on a small disk", &install.path("small")) else { return };
    mount(&["-o", "remount,size=4m"], &disk.path).expect("remounted");
    let database = disk.path.join("backy.sqlite");
    std::fs::copy(install.path("backy.sqlite"), &database).expect("copied");
    install.set("engine", &format!("sqlite:///{}", install.text("small/backy.sqlite")));
    let before = std::fs::read(&database).expect("read");
    for _ in 0..2 {
        let error = install.fails(1, &["upgrade"]);
        assert!(error.contains("MiB are free") && error.contains("Nothing was changed"), "{error}");
        assert!(std::fs::read(&database).expect("read") == before);
        assert_eq!(std::fs::read_dir(&disk.path).expect("listed").count(), 1, "no remains");
    }
    mount(&["-o", "remount,size=64m"], &disk.path).expect("remounted");
    install.ok(&["upgrade"]);
}
