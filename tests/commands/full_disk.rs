//! The database and the store share a disk that is full.

use crate::common::install::{Install, noise};
use crate::common::skip;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

const BLOCK: usize = 4096;
/// Blocks of the image.
const BLOCKS: usize = 1500;

/// A disk of 48 MiB in memory, which is removed when dropped.
struct Disk(PathBuf);

impl Disk {
    fn new(test: &str, install: &Install) -> Option<Self> {
        let path = install.path("disk");
        std::fs::create_dir(&path).expect("mkdir");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "none"]).arg(&path).status();
        if !mounted.is_ok_and(|status| status.success()) {
            skip(test, "mounting is not allowed");
            return None;
        }
        for part in ["data", "lock", "cache"] {
            std::fs::create_dir(path.join(part)).expect("mkdir");
        }
        install.set("engine", &format!("sqlite:///{}", install.text("disk/backy.sqlite")));
        install.set("path", &install.text("disk/data"));
        install.set("lock_dir", &install.text("disk/lock"));
        install.set("cachedir", &install.text("disk/cache"));
        install.set("logfile", &install.text("disk/backy.log"));
        install.ok(&["initdb"]);
        Some(Disk(path))
    }

    /// Fills the disk, leaving `left` bytes free.
    fn fill(&self, left: usize) {
        let mut file = std::fs::File::create(self.0.join("filling")).expect("made");
        while file.write_all(&[1; BLOCK]).is_ok() {}
        let length = file.metadata().expect("there").len();
        file.set_len(length.saturating_sub(left as u64)).expect("cut");
    }

    /// Adds blocks to the only version, in the database alone.
    fn grow(&self, blocks: usize) {
        let database = rusqlite::Connection::open(self.0.join("backy.sqlite")).expect("opens");
        let sql = format!(
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {blocks})
             INSERT INTO blobs (uid, checksum, size, valid, enc_version, date)
             SELECT printf('%032x', n * 2654435761 % 4294967296), 'made up', 4096, 1, 0, '2026-01-01' FROM s
             WHERE {blocks} > 0;
             INSERT INTO block_map SELECT v.id, 100000 + b.id, b.id FROM versions v, blobs b
             WHERE b.checksum = 'made up';
             PRAGMA wal_checkpoint(TRUNCATE)"
        );
        database.execute_batch(&sql).expect("grown");
    }

    fn reserve(&self) -> u64 {
        std::fs::metadata(self.0.join("backy.sqlite.reserve")).map_or(0, |meta| meta.len())
    }

    fn is_sound(&self) {
        let database = rusqlite::Connection::open(self.0.join("backy.sqlite")).expect("opens");
        let answer: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
        assert_eq!(answer, "ok");
        let broken: i64 = database
            .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
            .expect("checked");
        assert_eq!(broken, 0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn rm_and_cleanup_free_a_full_disk_that_holds_database_and_store() {
    let test = "rm_and_cleanup_free_a_full_disk_that_holds_database_and_store";
    // The second round has a version that is so large that it can be removed only in parts.
    for more in [0, 60_000] {
        let install = Install::without_database(BLOCK as u32);
        let Some(disk) = Disk::new(test, &install) else { return };
        let image = noise(1, BLOCKS * BLOCK);
        let uid = install.backup(&[&install.image("a.img", &image), "vm"]);
        assert_eq!(disk.reserve(), 4 << 20);
        disk.grow(more);
        disk.fill(0);
        // Reading still works.
        assert!(install.ok(&["-ms", "ls"]).contains(&uid));
        if more == 0 {
            assert!(install.restored(&uid, "out.img") == image);
            for command in [&["protect", &uid][..], &["scrub", &uid], &["add-tag", &uid, "x"]] {
                let error = install.fails(100, command);
                assert!(error.contains("is full") && error.contains("`backy2 rm`"), "{command:?}: {error}");
                assert!(!error.contains("Check the rights"), "{error}");
            }
            let run = install.run(&["backup", &install.url("a.img"), "other"]);
            assert!(run.code == 100 && run.stderr.contains("is full"), "{run:?}");
        }
        // The large version is removed in several runs: each makes room for the next.
        let mut rounds = 0;
        while !install.ok(&["-ms", "ls"]).is_empty() {
            let removed = install.run(&["rm", &uid]);
            rounds += 1;
            match more {
                0 => {
                    assert!(removed.code == 0 && !removed.stderr.contains("in small steps"), "{removed:?}");
                    assert!(removed.stdout.contains(&format!("with {BLOCKS} blocks")), "{removed:?}");
                    let waits = install.run(&["cleanup"]);
                    assert!(
                        waits.code == 0 && waits.stdout.contains(&format!("{BLOCKS} blobs")),
                        "{waits:?}"
                    );
                }
                _ if rounds == 1 => {
                    assert_eq!(removed.code, 100, "{removed:?}");
                    assert!(removed.stderr.contains("in small steps"), "{removed:?}");
                    assert!(removed.stderr.contains("then `backy2 rm"), "{removed:?}");
                }
                _ => assert!(rounds < 8 && (removed.code == 0 || removed.code == 100), "{removed:?}"),
            }
            let cleaned = install.run(&["cleanup", "--dangerous-force"]);
            assert!(cleaned.code == 0 && cleaned.stdout.contains(" blocks."), "{cleaned:?}");
        }
        let left = Command::new("find")
            .arg(disk.0.join("data"))
            .args(["-type", "f", "-not", "-name", "backy2.store"])
            .output()
            .expect("find");
        assert!(left.stdout.is_empty(), "{left:?}");
        assert_eq!(install.ok(&["-ms", "ls"]), "");
        disk.is_sound();
        std::fs::remove_file(disk.0.join("filling")).expect("removed");
        let again = install.backup(&[&install.url("a.img"), "vm"]);
        install.ok(&["scrub", &again]);
        assert_eq!(disk.reserve(), 4 << 20, "made anew");
    }
}

#[test]
fn a_backup_that_fills_the_disk_says_so_and_leaves_a_sound_database() {
    let test = "a_backup_that_fills_the_disk_says_so_and_leaves_a_sound_database";
    let install = Install::without_database(BLOCK as u32);
    let Some(disk) = Disk::new(test, &install) else { return };
    let good = install.backup(&[&install.image("a.img", &noise(1, 50 * BLOCK)), "vm"]);
    for left in [2 << 20, 600 << 10] {
        disk.fill(left);
        let run =
            install.run(&["backup", &install.image("b.img", &noise(left as u64, BLOCKS * BLOCK)), "big"]);
        assert!(run.code == 6 || run.code == 100, "{run:?}");
        let said =
            ["is full", "No space left", "no space is left"].iter().any(|words| run.stderr.contains(words));
        assert!(said && !run.stderr.contains("Check the rights"), "{run:?}");
        disk.is_sound();
        for uid in install.ok(&["-ms", "ls", "-f", "uid", "big"]).lines() {
            install.ok(&["rm", uid]);
        }
        install.ok(&["cleanup", "--dangerous-force"]);
        // Nothing names most of what was stored.
        install.ok(&["cleanup", "--full", "--dangerous-force"]);
        install.ok(&["scrub", &good]);
        std::fs::remove_file(disk.0.join("filling")).expect("removed");
    }
}
