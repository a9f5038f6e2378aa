//! Files that disappear during a backup: lock files, the database; and the version itself.

use crate::common::checks::{ended, wait_until};
use crate::common::database::Engine;
use crate::common::install::{Install, noise};
use std::process::{Child, Command};
use std::time::Duration;

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 40;
const SOON: Duration = Duration::from_secs(5);

/// Starts a backup that takes about two seconds, and waits until its version exists.
fn slow_backup(install: &Install, name: &str, more: &[&str]) -> (Child, String, Vec<u8>) {
    slower_backup(install, name, more, 2)
}

/// As [`slow_backup`], but with a given number of seconds.
fn slower_backup(install: &Install, name: &str, more: &[&str], seconds: usize) -> (Child, String, Vec<u8>) {
    let image = noise(name.bytes().map(u64::from).sum(), BLOCKS * BLOCK);
    let url = install.image(name, &image);
    install.bandwidth((BLOCKS * BLOCK / seconds) as u64, 0);
    let child = install.start(&[&["backup"], more, &[&url, name]].concat());
    wait_until("its version exists", SOON, || install.newest(name).is_some());
    install.bandwidth(0, 0);
    let uid = install.newest(name).expect("there").0;
    (child, uid, image)
}

fn files_in(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).expect("listed").map(|entry| entry.expect("entry").path()).collect()
}

#[test]
fn a_version_that_is_written_cannot_be_removed_though_its_lock_file_is_gone() {
    let install = Install::new(BLOCK as u32);
    let base = install.backup(&[&install.image("base", &noise(1, BLOCK)), "base"]);
    let hints = install
        .image("hints", format!(r#"[{{"offset":0,"length":{},"exists":true}}]"#, BLOCKS * BLOCK).as_bytes());
    let more = ["-r", &hints["file://".len()..], "-f", &base];
    let (child, uid, image) = slower_backup(&install, "slow", &more, 4);
    let locks = files_in(&install.path("lock"));
    assert!(locks.len() >= 2, "{locks:?}");
    locks.iter().for_each(|file| std::fs::remove_file(file).expect("removed"));
    for args in [&["rm", "-f", &uid][..], &["rm", &base], &["scrub", &uid]] {
        let error = install.fails(100, args);
        assert!(error.contains("is locked") && error.contains(&format!("process {}", child.id())), "{error}");
    }
    let listed = install.ok(&["-ms", "locks", "-f", "lock,mode,pid"]);
    assert!(listed.contains(&format!("{uid}|exclusive|{}\n", child.id())), "{listed}");
    let run = ended(child);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(install.restored(&uid, "out.img") == image);
    install.ok(&["rm", &uid]);
    install.ok(&["rm", &base]);
    if install.engine() == Engine::Sqlite {
        assert_eq!(install.count("SELECT count(*) FROM claims"), 0, "all was given back");
    }
}

#[test]
fn claims_of_a_killed_backup_do_not_count() {
    let install = Install::new(BLOCK as u32);
    let (mut child, uid, image) = slow_backup(&install, "slow", &[]);
    child.kill().expect("killed");
    child.wait().expect("ended");
    if install.engine() == Engine::Sqlite {
        assert_eq!(install.ok(&["-ms", "locks"]), "");
    }
    install.ok(&["backup", "-c", &uid, &install.url("slow"), "slow"]);
    assert!(install.restored(&uid, "out.img") == image);
    install.ok(&["rm", &uid]);
    install.assert_sound();
}

#[test]
fn a_version_that_vanishes_while_it_is_written_is_an_error() {
    let install = Install::new(BLOCK as u32);
    let (child, uid, _) = slow_backup(&install, "slow", &[]);
    // Like a program that knows nothing of claims, and had another lock file.
    install.change(&format!(
        "DELETE FROM tags WHERE version_uid = '{uid}'; DELETE FROM blocks WHERE version_uid = '{uid}';
         DELETE FROM versions WHERE uid = '{uid}'"
    ));
    let run = ended(child);
    assert_eq!(run.code, 100, "{run:?}");
    assert!(run.stderr.contains("was removed while it was being written"), "{run:?}");
    assert!(install.newest("slow").is_none());
    install.assert_database();
}

#[test]
fn a_database_that_vanishes_meanwhile_is_an_error() {
    for lost in ["backy.sqlite", "backy.sqlite-wal"] {
        let install = Install::on(Engine::Sqlite, BLOCK as u32);
        let (child, _, _) = slow_backup(&install, "slow", &[]);
        std::fs::rename(install.path(lost), install.path("aside")).expect("renamed");
        let run = ended(child);
        assert_eq!(run.code, 1, "{lost}: {run:?}");
        assert!(run.stderr.contains("was deleted, moved or replaced"), "{lost}: {run:?}");
    }
}

#[test]
fn two_backups_of_one_name_at_a_time_are_reported() {
    let install = Install::new(BLOCK as u32);
    let (child, uid, _) = slow_backup(&install, "vm", &[]);
    let run = install.run(&["backup", &install.url("vm"), "vm"]);
    assert_eq!(run.code, 0, "{run:?}");
    let said = run.stdout + &run.stderr;
    let words = format!("Another backup of vm is running: version {uid}, by process {}", child.id());
    assert!(said.contains(&words), "{said}");
    let other = install.run(&["backup", &install.url("vm"), "other"]);
    assert!(!(other.stdout + &other.stderr).contains("Another backup"), "the name is another one");
    let run = ended(child);
    assert_eq!(run.code, 0, "{run:?}");
    let run = install.run(&["backup", &install.url("vm"), "vm"]);
    assert!(!(run.stdout + &run.stderr).contains("Another backup"), "it has ended");
    install.assert_sound();
}

#[test]
fn one_incremental_backup_of_an_image_at_a_time() {
    let install = Install::new(BLOCK as u32);
    let (child, _, _) = slow_backup(&install, "vm", &["--incremental"]);
    install.image("second", b"another image");
    let error = install.fails(100, &["backup", "--incremental", &install.url("vm"), "vm"]);
    assert!(error.contains("Another incremental backup of"), "{error}");
    assert_eq!(install.uids(&["vm"]).len(), 1);
    install.backup(&["--incremental", &install.url("second"), "second"]);
    assert_eq!(ended(child).code, 0);
    install.backup(&["--incremental", &install.url("vm"), "vm"]);
}

#[test]
fn a_source_that_grows_meanwhile_is_reported() {
    let install = Install::new(BLOCK as u32);
    let (child, uid, image) = slow_backup(&install, "vm", &[]);
    let file = std::fs::File::options().write(true).open(install.path("vm")).expect("opened");
    file.set_len(image.len() as u64 + 5).expect("grown");
    let run = ended(child);
    assert_eq!(run.code, 0, "{run:?}");
    let words = format!("has grown to {} bytes", image.len() + 5);
    assert!((run.stdout + &run.stderr).contains(&words));
    assert!(install.restored(&uid, "out.img") == image);
}

#[test]
fn without_lock_dir_locks_are_beside_the_database_and_where_2_13_looks() {
    let install = Install::on(Engine::Sqlite, BLOCK as u32);
    install.unset("lock_dir");
    let (child, uid, _) = slow_backup(&install, "vm", &[]);
    let (own, old) = (format!("backy.sqlite.locks/backy_{uid}.lock"), format!("/tmp/backy_{uid}.lock"));
    assert!(install.path(&own).exists());
    let as_2_13 = |mode: &str| {
        let status = Command::new("flock").args([mode, "-n", &old, "true"]).status().expect("flock");
        status.success()
    };
    assert!(!as_2_13("-s"), "2.13 would see that it is locked");
    assert_eq!(ended(child).code, 0);
    assert!(!install.path(&own).exists() && !std::path::Path::new(&old).exists());
    // Locks of 2.13 are respected.
    let mut other = Command::new("flock").args(["-o", "-s", &old, "sleep", "60"]).spawn().expect("flock");
    wait_until("it is locked", SOON, || !as_2_13("-x"));
    let error = install.fails(100, &["rm", &uid]);
    other.kill().expect("killed");
    other.wait().expect("ended");
    assert!(error.contains(&format!("Version {uid} is locked")), "{error}");
    if !rustix::process::geteuid().is_root() {
        return crate::common::skip("without_lock_dir (a stranger's file)", "only root can give files away");
    }
    // A lock file of another user is ignored.
    std::fs::write(&old, "").expect("written");
    std::os::unix::fs::chown(&old, Some(65534), None).expect("given away");
    let mut stranger = Command::new("flock").args(["-o", "-x", &old, "sleep", "60"]).spawn().expect("flock");
    wait_until("it is locked", SOON, || !as_2_13("-s"));
    let run = install.run(&["rm", &uid]);
    stranger.kill().expect("killed");
    stranger.wait().expect("ended");
    let _ = std::fs::remove_file(&old);
    assert_eq!(run.code, 0, "{run:?}");
}
