//! The databases that the explorer works on. All content on which the protocol depends can be saved and restored.

use super::search::Scenario;
use crate::meta::Metadata;
use crate::meta::sqlite::Sqlite;
use rusqlite::{Connection, Row, params};
use std::rc::Rc;

/// A row of `versions`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionRow {
    pub id: i64,
    pub uid: String,
    pub size: i64,
    pub valid: bool,
}

/// A row of `blobs`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlobRow {
    pub id: i64,
    pub uid: Option<String>,
    pub checksum: Option<String>,
    pub size: i64,
    pub valid: bool,
    pub enc_version: i64,
    pub envkey: Option<String>,
}

/// A row of `block_map`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapRow {
    pub version: i64,
    pub block: i64,
    pub blob: i64,
}

/// A row of `deleted_blocks`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub id: i64,
    pub uid: String,
    pub size: i64,
    pub doomed: bool,
    pub time: i64,
}

/// The content of a database, except for dates, names and statistics, on which the protocol does not depend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Content {
    pub versions: Vec<VersionRow>,
    pub blobs: Vec<BlobRow>,
    pub map: Vec<MapRow>,
    pub entries: Vec<Entry>,
    /// Uids of versions that were valid until a blob was marked.
    pub invalidated: Vec<String>,
    /// Due copies, with their tokens.
    pub due: Vec<(i64, String)>,
    /// The ids given last, by table.
    pub sequences: Vec<(String, i64)>,
}

impl Content {
    /// Whether any block names a blob of that uid.
    pub fn names(&self, uid: &str) -> bool {
        self.blobs.iter().any(|blob| blob.uid.as_deref() == Some(uid) && self.names_row(blob.id))
    }

    /// Whether any block names that row of `blobs`.
    pub fn names_row(&self, blob: i64) -> bool {
        self.map.iter().any(|row| row.blob == blob)
    }

    /// The stored blobs, with their uids.
    pub fn stored(&self) -> impl Iterator<Item = (&BlobRow, &str)> {
        self.blobs.iter().filter_map(|blob| Some((blob, blob.uid.as_deref()?)))
    }
}

/// A database whose content can be saved and restored.
pub trait Ground {
    /// Its verbs.
    fn meta(&mut self) -> &mut Metadata;
    /// All of its content.
    fn content(&mut self) -> Rc<Content>;
    /// Makes `content` its content.
    fn set(&mut self, content: &Rc<Content>);
    /// Runs statements in one transaction, as 2.13 would.
    fn old_change(&mut self, sql: &str) -> Result<(), String>;
    /// The first column of a result, as 2.13 would read it.
    fn old_read(&mut self, sql: &str) -> Result<Vec<String>, String>;
}

/// SQLite in memory. All commands share one connection, because each verb is one transaction and no two run at the same
/// time.
pub struct InMemory {
    database: Metadata,
    current: Rc<Content>,
    changes: u64,
}

impl InMemory {
    /// An empty database, with the schema as it is on this thread. Copies are never due: most scenarios write none, and
    /// tokens would make states different that are the same.
    pub fn new() -> InMemory {
        let ground = Self::with_copies();
        let names = ground.table(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'copies_due%'",
            |r| r.get::<_, String>(0),
        );
        for name in names {
            ground.connection().execute_batch(&format!("DROP TRIGGER {name}")).expect("dropped");
        }
        ground
    }

    /// An empty database in which copies are due.
    pub fn with_copies() -> InMemory {
        let mut ground =
            InMemory { database: Sqlite::in_memory().into(), current: Rc::default(), changes: u64::MAX };
        ground.content();
        ground
    }

    /// An empty database for a scenario.
    pub fn of(scenario: &Scenario) -> InMemory {
        if scenario.excused.copies { Self::new() } else { Self::with_copies() }
    }

    fn connection(&self) -> &Connection {
        self.database.sqlite().connection()
    }

    fn changes(&self) -> u64 {
        self.connection().total_changes()
    }

    fn table<T>(&self, sql: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let mut statement = self.connection().prepare_cached(sql).expect(sql);
        statement.query_map([], read).and_then(Iterator::collect).expect(sql)
    }

    fn fill(&self, sql: &str, rows: impl Iterator<Item: rusqlite::Params>) {
        let mut statement = self.connection().prepare_cached(sql).expect(sql);
        for row in rows {
            statement.execute(row).expect(sql);
        }
    }
}

impl Ground for InMemory {
    fn meta(&mut self) -> &mut Metadata {
        &mut self.database
    }

    fn content(&mut self) -> Rc<Content> {
        let changes = self.changes();
        if changes == self.changes {
            return self.current.clone();
        }
        self.changes = changes;
        self.current = Rc::new(Content {
            versions: self.table("SELECT id, uid, size, valid FROM versions ORDER BY id", |r| {
                Ok(VersionRow { id: r.get(0)?, uid: r.get(1)?, size: r.get(2)?, valid: r.get(3)? })
            }),
            blobs: self.table(
                "SELECT id, uid, checksum, size, valid, enc_version, enc_envkey FROM blobs ORDER BY id",
                |r| {
                    Ok(BlobRow {
                        id: r.get(0)?,
                        uid: r.get(1)?,
                        checksum: r.get(2)?,
                        size: r.get(3)?,
                        valid: r.get(4)?,
                        enc_version: r.get(5)?,
                        envkey: r.get(6)?,
                    })
                },
            ),
            map: self.table("SELECT version_id, block_id, blob_id FROM block_map ORDER BY 1, 2", |r| {
                Ok(MapRow { version: r.get(0)?, block: r.get(1)?, blob: r.get(2)? })
            }),
            entries: self.table(
                "SELECT id, uid, size, delete_candidate, time FROM deleted_blocks ORDER BY id",
                |r| {
                    let (id, uid, size) = (r.get(0)?, r.get(1)?, r.get(2)?);
                    Ok(Entry { id, uid, size, doomed: r.get(3)?, time: r.get(4)? })
                },
            ),
            invalidated: self.table("SELECT version_uid FROM invalidated ORDER BY 1", |r| r.get(0)),
            due: self.table("SELECT token, version_uid FROM copies_due ORDER BY token", |r| {
                Ok((r.get(0)?, r.get(1)?))
            }),
            sequences: self
                .table("SELECT name, seq FROM sqlite_sequence ORDER BY name", |r| Ok((r.get(0)?, r.get(1)?))),
        });
        self.current.clone()
    }

    fn set(&mut self, content: &Rc<Content>) {
        if *self.content() == **content {
            return;
        }
        let run =
            |sql: &str| self.connection().prepare_cached(sql).and_then(|mut s| s.execute([])).expect(sql);
        run("BEGIN");
        for table in
            ["block_map", "blobs", "versions", "deleted_blocks", "invalidated", "stats", "sqlite_sequence"]
        {
            run(&format!("DELETE FROM {table}"));
        }
        self.fill(
            "INSERT INTO versions (id, uid, date, name, size, size_bytes, valid, protected)
             VALUES (?1, ?2, '2026-01-02 03:04:05.000006', 'vm', ?3, ?3 * 4096, ?4, 0)",
            content.versions.iter().map(|v| (v.id, &v.uid, v.size, v.valid)),
        );
        self.fill(
            "INSERT INTO blobs (id, uid, checksum, size, valid, enc_version, enc_envkey, date)
             VALUES (?, ?, ?, ?, ?, ?, ?, '2026-01-02 03:04:05.000006')",
            content
                .blobs
                .iter()
                .map(|b| (b.id, &b.uid, &b.checksum, b.size, b.valid, b.enc_version, &b.envkey)),
        );
        self.fill(
            "INSERT INTO block_map VALUES (?, ?, ?)",
            content.map.iter().map(|m| (m.version, m.block, m.blob)),
        );
        self.fill(
            "INSERT INTO deleted_blocks (id, uid, size, delete_candidate, time) VALUES (?, ?, ?, ?, ?)",
            content.entries.iter().map(|e| (e.id, &e.uid, e.size, e.doomed, e.time)),
        );
        self.fill(
            "INSERT INTO invalidated (version_uid) VALUES (?)",
            content.invalidated.iter().map(|v| (v,)),
        );
        run("DELETE FROM copies_due");
        self.fill(
            "INSERT INTO copies_due (token, version_uid) VALUES (?, ?)",
            content.due.iter().map(|(t, v)| (t, v)),
        );
        run("DELETE FROM sqlite_sequence");
        self.fill(
            "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)",
            content.sequences.iter().map(|(n, s)| (n, s)),
        );
        run("COMMIT");
        self.current = content.clone();
        self.changes = self.changes();
    }

    fn old_change(&mut self, sql: &str) -> Result<(), String> {
        let done = self.connection().execute_batch(&format!("BEGIN; {sql}; COMMIT"));
        done.map_err(|error| {
            self.connection().execute_batch("ROLLBACK").expect("rolls back");
            error.to_string()
        })
    }

    fn old_read(&mut self, sql: &str) -> Result<Vec<String>, String> {
        let connection = self.connection();
        let read = || -> rusqlite::Result<Vec<String>> {
            connection.prepare_cached(sql)?.query_map(params![], |row| row.get(0))?.collect()
        };
        read().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restored_content_is_the_saved_content() {
        let mut ground = InMemory::new();
        let empty = ground.content();
        ground
            .old_change(
                "INSERT INTO versions (uid, date, name, size, size_bytes, valid, protected)
                 VALUES ('v', '2026-01-02', 'n', 2, 8192, 1, 0);
                 INSERT INTO blocks (uid, version_uid, id, date, checksum, size, valid, enc_version, enc_envkey)
                 VALUES ('a', 'v', 0, '2026-01-02', 'c', 4096, 0, 1, 'k'), ('', 'v', 1, '2026-01-02', '', 4096, 1, 0, '');
                 INSERT INTO invalidated (version_uid) VALUES ('v');
                 INSERT INTO deleted_blocks (uid, size, delete_candidate, time) VALUES ('b', 1, 1, 7)",
            )
            .expect("changes");
        let full = ground.content();
        assert_eq!((full.versions.len(), full.blobs.len(), full.map.len(), full.entries.len()), (1, 2, 2, 1));
        ground.set(&empty);
        assert_eq!(ground.content(), empty);
        ground.changes = u64::MAX;
        assert_eq!(ground.content(), empty, "as it is read");
        ground.set(&full);
        ground.changes = u64::MAX;
        assert_eq!(ground.content(), full);
        assert!(ground.old_change("DELETE FROM blobs").is_err(), "references are checked");
        assert_eq!(ground.content(), full);
    }
}
