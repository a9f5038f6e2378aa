//! Checks that every installation must pass, whatever happened to it before.

use super::database::{Engine, quoted};
use super::install::{Install, Run};
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

impl Install {
    /// Every blob and version that a row refers to exists.
    pub fn assert_references(&self) {
        if self.engine() == Engine::Sqlite {
            assert_eq!(self.count("SELECT count(*) FROM pragma_foreign_key_check"), 0, "references");
        }
        let lost = "SELECT count(*) FROM block_map m LEFT JOIN blobs b ON b.id = m.blob_id
                    LEFT JOIN versions v ON v.id = m.version_id WHERE b.id IS NULL OR v.id IS NULL";
        assert_eq!(self.count(lost), 0, "rows without a version or a blob");
    }

    /// The database is whole: its pages, its references, and the numbers of rows of valid versions.
    pub fn assert_database_of_imports(&self) {
        if self.engine() == Engine::Sqlite {
            assert_eq!(self.texts("PRAGMA integrity_check"), ["ok"]);
        }
        self.assert_references();
        let short = "SELECT count(*) FROM versions v WHERE valid = 1 AND size <>
                     (SELECT count(*) FROM block_map WHERE version_id = v.id)";
        assert_eq!(self.count(short), 0, "valid versions with too few or too many rows");
    }

    /// As [`Install::assert_database_of_imports`], and no two rows of blobs share a uid, which only imports may cause.
    pub fn assert_database(&self) {
        self.assert_database_of_imports();
        let twice = "SELECT count(*) FROM (SELECT uid FROM blobs WHERE id > 0 GROUP BY uid HAVING count(*) > 1) AS twice";
        assert_eq!(self.count(twice), 0, "uids that two rows of blobs share");
    }

    /// All blobs that rows name are in the store, the database is whole, and nobody holds a lock.
    pub fn assert_sound(&self) {
        self.assert_database();
        let stored = self.stored_uids();
        let lost = self.named_uids().difference(&stored).count();
        assert_eq!(lost, 0, "rows name blobs that are not stored");
        assert_eq!(self.held_locks(), Vec::<String>::new(), "locks that are still held");
    }

    /// The uids of the blobs in the store.
    pub fn stored_uids(&self) -> BTreeSet<String> {
        let name = |path: &PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        self.blobs().iter().filter_map(name).collect()
    }

    /// The uids of the blobs that blocks of versions name.
    pub fn named_uids(&self) -> BTreeSet<String> {
        let sql = "SELECT DISTINCT b.uid FROM blobs b JOIN block_map m ON m.blob_id = b.id WHERE b.id > 0";
        self.texts(sql).into_iter().collect()
    }

    /// The number of blobs in the store that no version names.
    pub fn unnamed_blobs(&self) -> usize {
        self.stored_uids().difference(&self.named_uids()).count()
    }

    /// The store holds exactly the blobs that versions name.
    pub fn assert_no_waste(&self) {
        assert_eq!((self.unnamed_blobs(), self.stored_uids().len()), (0, self.named_uids().len()));
    }

    /// The locked files in `lock_dir`, those of other hosts included, and the locks in the database.
    pub fn held_locks(&self) -> Vec<String> {
        let list = |folder: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).expect("listed");
            entries.map(|entry| entry.expect("entry").path()).collect()
        };
        let folders = list(&self.path(""))
            .into_iter()
            .filter(|path| path.ends_with("lock") || path.extension().is_some_and(|e| e == "lock"));
        let mut held = Vec::new();
        for path in folders.flat_map(|folder| list(&folder)) {
            let Ok(file) = std::fs::File::open(&path) else { continue };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                held.push(path.display().to_string());
            }
        }
        if self.engine() == Engine::Postgres {
            // Locks of killed processes do not count.
            let locks = "SELECT l.name, h.pid FROM locks l JOIN lock_holders h ON h.id = l.holder";
            let lives =
                |pid: &Option<String>| pid.as_ref().is_none_or(|pid| Path::new("/proc").join(pid).exists());
            held.extend(
                self.table(locks).into_iter().filter(|row| lives(&row[1])).map(|row| format!("{row:?}")),
            );
        }
        held
    }

    /// The uid of the newest version with that name, and whether it is valid.
    pub fn newest(&self, name: &str) -> Option<(String, bool)> {
        let sql = format!("SELECT uid, valid FROM versions WHERE name = {} ORDER BY id DESC", quoted(name));
        let mut row = self.table(&(sql + " LIMIT 1")).pop()?;
        let valid = row.pop()?.expect("not NULL");
        Some((row.pop()?.expect("not NULL"), valid == "1"))
    }

    /// The number of rows of a version.
    pub fn rows(&self, uid: &str) -> i64 {
        let sql = "SELECT count(*) FROM block_map m JOIN versions v ON v.id = m.version_id WHERE v.uid = ";
        self.count(&(sql.to_owned() + &quoted(uid)))
    }

    /// Runs a command that kills itself at a failpoint (`NAME:N`). Returns whether it was killed.
    pub fn killed_at(&self, failpoint: &str, args: &[&str]) -> bool {
        use std::os::unix::process::ExitStatusExt;
        let mut command = self.command(args);
        command.env("BACKY2_FAILPOINT", failpoint).stdin(Stdio::null());
        let output = command.output().expect("runs");
        output.status.signal() == Some(9)
    }

    /// Runs a command, kills it with SIGKILL after `pause` unless it has ended, and returns its output.
    pub fn killed_after(&self, pause: Duration, args: &[&str]) -> Run {
        let mut child = self.start(args);
        std::thread::sleep(pause);
        let _ = child.kill();
        Run::from(child.wait_with_output().expect("ended"))
    }
}

/// Waits until `done` returns true; panics after `limit`.
pub fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for a process that was started with pipes, and returns its output.
pub fn ended(child: Child) -> Run {
    Run::from(child.wait_with_output().expect("ended"))
}

/// A random seed, which the test prints so that a failure can be repeated. It comes from the environment variable
/// `BACKY2_SEED`, or is chosen at random.
pub fn seed(test: &str) -> u64 {
    let given = std::env::var("BACKY2_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(0..1_000_000));
    println!("{test}: BACKY2_SEED={seed}");
    seed
}
