//! Versions and statistics of many nights, as backups would have written them.

use super::install::Install;
use chrono::{TimeDelta, Utc};

/// Rows in one statement.
const AT_ONCE: usize = 5000;

/// A backup.
pub struct Night {
    /// The uid of its version.
    pub uid: String,
    /// The name of its version.
    pub name: String,
    /// Its age in seconds.
    pub age: i64,
    /// Bytes newly stored.
    pub new: u64,
}

/// The date so many seconds ago, as the database holds it.
pub fn ago(seconds: i64) -> String {
    (Utc::now() - TimeDelta::seconds(seconds)).format("%Y-%m-%d %H:%M:%S.000000").to_string()
}

/// Adds valid versions of one block with the tag `daily`, and their statistics.
pub fn insert(install: &Install, nights: &[Night]) {
    for nights in nights.chunks(AT_ONCE) {
        let (mut versions, mut tags, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        for Night { uid, name, age, new } in nights {
            let date = ago(*age);
            versions.push(format!("('{uid}', '{date}', '{name}', '', 1, 4096, 1, 0)"));
            tags.push(format!("('{uid}', 'daily')"));
            runs.push(format!("('{date}', '{uid}', '{name}', 4096, 1, 1, 1, {new}, 1, 0, 0, 0, 0, 5)"));
        }
        for (table, rows) in [
            ("versions (uid, date, name, snapshot_name, size, size_bytes, valid, protected)", versions),
            ("tags (version_uid, name)", tags),
            (
                "stats (date, version_uid, version_name, version_size_bytes, version_size_blocks, bytes_read, \
                 blocks_read, bytes_written, blocks_written, bytes_found_dedup, blocks_found_dedup, bytes_sparse, \
                 blocks_sparse, duration_seconds)",
                runs,
            ),
        ] {
            install.change(&format!("INSERT INTO {table} VALUES {}", rows.join(", ")));
        }
    }
}
