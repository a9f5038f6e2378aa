//! A mount that vanishes while a command uses the store on it.

use crate::common::bound::Bound;
use crate::common::checks::{ended, wait_until};
use crate::common::install::{Install, noise};
use std::collections::BTreeSet;
use std::process::Child;
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;

/// An installation with a version of `blocks` different blocks, and its uid.
fn with_a_version(blocks: usize) -> (Install, String) {
    let install = Install::new(BLOCK as u32);
    let uid = install.backup(&[&install.image("a.img", &noise(5, blocks * BLOCK)), "a"]);
    (install, uid)
}

/// Whether a process has the folder of the store open.
fn uses_store(install: &Install, child: &Child) -> bool {
    let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", child.id())) else { return false };
    let (real, data) = (install.path("real"), install.path("data"));
    let targets = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    targets.into_iter().any(|to| to.starts_with(&real) || to.starts_with(&data))
}

#[test]
fn a_mount_that_vanishes_meanwhile_is_no_damage() {
    let (install, uid) = with_a_version(40);
    let Some(mount) = Bound::new("a_mount_that_vanishes_meanwhile_is_no_damage", &install) else { return };
    // One blob is really missing. When a command asks for it, it looks at the path again.
    let lost = mount.below(&install.blob(&install.blob_uid(&uid, 35)));
    let aside = install.path("lost.blob");
    std::fs::rename(&lost, &aside).expect("moved");
    let state = || (install.table("SELECT uid, valid FROM blobs ORDER BY id"), install.is_valid(&uid));
    let before = state();
    install.bandwidth(0, 40_000);
    for args in [&["scrub", &uid][..], &["restore", "-f", &uid, &install.url("out")]] {
        let child = install.start(args);
        wait_until("it reads", Duration::from_secs(20), || uses_store(&install, &child));
        std::thread::sleep(Duration::from_millis(300));
        mount.vanish();
        let run = ended(child);
        mount.again();
        assert_eq!(run.code, 6, "{args:?}: {run:?}");
        assert!(run.stderr.contains("is gone since the command began"), "{args:?}: {run:?}");
        assert!(state() == before, "{args:?}: nothing is marked");
    }
    install.bandwidth(0, 0);
    std::fs::rename(&aside, &lost).expect("moved back");
    install.ok(&["scrub", &uid]);
}

#[test]
fn a_backup_whose_mount_vanishes_meanwhile_fails_and_can_be_continued() {
    let (install, _) = with_a_version(3);
    let name = "a_backup_whose_mount_vanishes_meanwhile_fails_and_can_be_continued";
    let Some(mount) = Bound::new(name, &install) else { return };
    let image = noise(8, 200 * BLOCK);
    let source = install.image("slow.img", &image);
    install.bandwidth(100_000, 0);
    let child = install.start(&["backup", &source, "slow"]);
    wait_until("it has begun", Duration::from_secs(20), || install.newest("slow").is_some());
    std::thread::sleep(Duration::from_millis(500));
    mount.vanish();
    let run = ended(child);
    assert_eq!(run.code, 6, "{run:?}");
    assert!(
        std::fs::read_dir(install.path("data")).expect("listed").next().is_none(),
        "nothing is below the mount"
    );
    mount.again();
    install.bandwidth(0, 0);
    let (uid, valid) = install.newest("slow").expect("a version");
    assert!(!valid);
    install.ok(&["backup", "-c", &uid, &source, "slow"]);
    assert!(install.restored(&uid, "out") == image);
    assert_eq!(install.count("SELECT count(*) FROM blobs WHERE valid = 0"), 0);
}

/// A transaction of another session, so that nobody can write to the list of deletable blobs.
enum Blocker {
    Sqlite(rusqlite::Connection),
    Postgres(postgres::Client),
}

impl Blocker {
    fn new(install: &Install) -> Self {
        match install.postgres() {
            Some(database) => Blocker::Postgres(database.client()),
            None => Blocker::Sqlite(install.sqlite()),
        }
    }

    fn say(&mut self, sqlite: &str, postgres: &str) {
        match self {
            Blocker::Sqlite(connection) => connection.execute_batch(sqlite).expect("done"),
            Blocker::Postgres(client) => client.batch_execute(postgres).expect("done"),
        }
    }

    fn block(&mut self) {
        self.say("BEGIN IMMEDIATE", "BEGIN; LOCK TABLE deleted_blocks IN SHARE MODE");
    }

    fn end(&mut self) {
        self.say("COMMIT", "COMMIT");
    }
}

/// The uids of the blobs that are listed for deletion.
fn listed(install: &Install) -> BTreeSet<String> {
    install.texts("SELECT DISTINCT uid FROM deleted_blocks").into_iter().collect()
}

#[test]
fn a_cleanup_whose_mount_vanishes_meanwhile_counts_nothing_as_deleted() {
    let (install, uid) = with_a_version(4000);
    let name = "a_cleanup_whose_mount_vanishes_meanwhile_counts_nothing_as_deleted";
    let Some(mount) = Bound::new(name, &install) else { return };
    let kept = install.backup(&[&install.image("b.img", &noise(6, 5 * BLOCK)), "b"]);
    install.ok(&["rm", "-f", &uid]);
    let all = listed(&install);
    assert_eq!(all.len(), 4000);
    let some: Vec<_> = all.iter().take(20).map(|uid| install.blob(uid)).collect();
    let mut blocker = Blocker::new(&install);
    let child = install.start(&["cleanup", "--dangerous-force"]);
    let start = Instant::now();
    // The blobs go in the order of their uids, 1000 before the first entries are deleted.
    while some.iter().all(|blob| blob.exists()) {
        assert!(start.elapsed() < Duration::from_secs(60), "it deletes");
    }
    blocker.block();
    mount.vanish();
    blocker.end();
    let run = ended(child);
    mount.again();
    assert_eq!(run.code, 6, "{run:?}");
    assert!(run.stderr.contains("nothing counts as deleted"), "{run:?}");
    let left = listed(&install);
    assert!(!left.is_empty() && left.len() < 4001, "{}", left.len());
    let stored = install.stored_uids();
    let lost: Vec<_> = all.iter().filter(|uid| stored.contains(*uid) && !left.contains(*uid)).collect();
    assert!(lost.is_empty(), "{} blobs count as deleted and are there", lost.len());
    install.ok(&["cleanup", "--dangerous-force"]);
    assert_eq!((listed(&install).len(), install.blobs().len()), (0, 5));
    assert!(install.restored(&kept, "out") == noise(6, 5 * BLOCK));
    install.assert_copies();
}

#[test]
fn a_full_cleanup_whose_mount_vanishes_meanwhile_fails() {
    let (install, uid) = with_a_version(3000);
    let Some(mount) = Bound::new("a_full_cleanup_whose_mount_vanishes_meanwhile_fails", &install) else {
        return;
    };
    let kept = install.backup(&[&install.image("b.img", &noise(6, 5 * BLOCK)), "b"]);
    install.ok(&["rm", "-f", &uid]);
    let child = install.start(&["cleanup", "--full", "--dangerous-force"]);
    let start = Instant::now();
    while !uses_store(&install, &child) {
        assert!(start.elapsed() < Duration::from_secs(60), "it uses the store");
    }
    mount.vanish();
    let run = ended(child);
    mount.again();
    assert_eq!(run.code, 6, "{run:?}");
    assert!(install.restored(&kept, "out") == noise(6, 5 * BLOCK), "nothing is marked");
    install.ok(&["cleanup", "--full", "--dangerous-force"]);
    assert_eq!(install.blobs().len(), 5);
    install.assert_copies();
}

#[test]
fn versions_are_removed_and_changed_though_the_mount_has_vanished() {
    let (install, uid) = with_a_version(3);
    let kept = install.backup(&[&install.url("a.img"), "b"]);
    let name = "versions_are_removed_and_changed_though_the_mount_has_vanished";
    let Some(mount) = Bound::new(name, &install) else { return };
    mount.vanish();
    install.ok(&["rm", "-f", &uid]);
    install.ok(&["add-tag", &kept, "x"]);
    for args in [&["cleanup", "--dangerous-force"][..], &["check", "--write-metadata"]] {
        assert!([6, 20].contains(&install.run(args).code), "{args:?}");
    }
    assert_eq!(
        std::fs::read_dir(install.path("data")).expect("listed").count(),
        0,
        "nothing is written there"
    );
    mount.again();
    assert_eq!(install.objects("versions").len(), 2);
    install.ok(&["check", "--write-metadata"]);
    install.assert_copies();
}
