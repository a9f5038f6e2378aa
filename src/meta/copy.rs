//! Copies a whole database into another one, of the same or another engine, and makes sure that nothing is lost.

use super::sql::{Db, Fallible, Fault, Field, Row, Work};
use super::{Metadata, SchemaState};
use crate::types::error::{Error, Result};
use crate::types::time::Timestamp;
use std::io::Write;

/// Number of rows that are inserted at once.
const BATCH: usize = 5000;

/// The type of a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ColumnType {
    Int,
    Text,
    Time,
}
use ColumnType::*;

/// A table, and the key that orders its rows.
struct Table {
    name: &'static str,
    columns: &'static [(&'static str, ColumnType)],
    key: &'static str,
    /// Whether the table gives numbers to its rows.
    numbers: bool,
    /// The revision of the schema that brought it.
    since: i64,
}

/// The table that triggers fill while the others are copied. Its tokens have no meaning in another database.
const DUE: &str = "copies_due";

/// All tables with data of the user, referenced ones first.
const TABLES: [Table; 13] = [
    Table {
        name: "versions",
        columns: &[
            ("id", Int),
            ("uid", Text),
            ("date", Time),
            ("expire", Time),
            ("name", Text),
            ("snapshot_name", Text),
            ("size", Int),
            ("size_bytes", Int),
            ("valid", Int),
            ("protected", Int),
        ],
        key: "id",
        numbers: true,
        since: 1,
    },
    Table {
        name: "tags",
        columns: &[("version_uid", Text), ("name", Text)],
        key: "version_uid, name",
        numbers: false,
        since: 1,
    },
    Table {
        name: "stats",
        columns: &[
            ("id", Int),
            ("date", Time),
            ("version_uid", Text),
            ("version_name", Text),
            ("version_size_bytes", Int),
            ("version_size_blocks", Int),
            ("bytes_read", Int),
            ("blocks_read", Int),
            ("bytes_written", Int),
            ("blocks_written", Int),
            ("bytes_found_dedup", Int),
            ("blocks_found_dedup", Int),
            ("bytes_sparse", Int),
            ("blocks_sparse", Int),
            ("duration_seconds", Int),
        ],
        key: "id",
        numbers: true,
        since: 1,
    },
    Table {
        name: "deleted_blocks",
        columns: &[("id", Int), ("uid", Text), ("size", Int), ("delete_candidate", Int), ("time", Int)],
        key: "id",
        numbers: true,
        since: 1,
    },
    Table {
        name: "blobs",
        columns: &[
            ("id", Int),
            ("uid", Text),
            ("checksum", Text),
            ("size", Int),
            ("valid", Int),
            ("enc_version", Int),
            ("enc_envkey", Text),
            ("enc_nonce", Text),
            ("date", Time),
        ],
        key: "id",
        numbers: true,
        since: 1,
    },
    Table {
        name: "block_map",
        columns: &[("version_id", Int), ("block_id", Int), ("blob_id", Int)],
        key: "version_id, block_id",
        numbers: false,
        since: 1,
    },
    Table {
        name: "version_origins",
        columns: &[
            ("version_uid", Text),
            ("cluster", Text),
            ("pool", Int),
            ("namespace", Text),
            ("image", Text),
            ("snapshot", Int),
            ("taken", Int),
        ],
        key: "version_uid",
        numbers: false,
        since: 2,
    },
    Table {
        name: "made_snapshots",
        columns: &[("cluster", Text), ("pool", Int), ("namespace", Text), ("image", Text), ("name", Text)],
        key: "cluster, pool, namespace, image, name",
        numbers: false,
        since: 2,
    },
    Table {
        name: "stores",
        columns: &[("name", Text), ("uuid", Text), ("envkey", Text)],
        key: "name",
        numbers: false,
        since: 4,
    },
    Table {
        name: "index_objects",
        columns: &[("name", Text), ("total", Int), ("live", Int)],
        key: "name",
        numbers: false,
        since: 5,
    },
    Table {
        name: "index_runs",
        columns: &[("first_id", Int), ("last_id", Int), ("object", Text)],
        key: "first_id",
        numbers: false,
        since: 5,
    },
    Table {
        name: "verifications",
        columns: &[("version_uid", Text), ("share", Int), ("date", Time), ("kind", Text)],
        key: "version_uid, share",
        numbers: false,
        since: 6,
    },
    Table { name: DUE, columns: &[("version_uid", Text)], key: "version_uid", numbers: false, since: 5 },
];

/// The result of copying a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Its name.
    pub table: &'static str,
    /// Number of its rows.
    pub rows: u64,
    /// Digest (BLAKE3, hex) of all rows in the order of their key, the same on both sides.
    pub checksum: String,
}

/// Counts rows and computes their digest.
#[derive(Default)]
struct Tally {
    rows: u64,
    digest: blake3::Hasher,
}

impl Tally {
    fn add(&mut self, row: &[Field]) {
        self.rows += 1;
        for field in row {
            // Kind, length and value of each field, so that different rows have different bytes.
            let (kind, bytes) = match field {
                Field::Null => (b'n', Vec::new()),
                Field::Int(value) => (b'i', value.to_le_bytes().to_vec()),
                Field::Text(text) => (b't', text.as_bytes().to_vec()),
            };
            // Writing to a digest does not fail.
            let _ =
                self.digest.write_all(&[&[kind][..], &(bytes.len() as u64).to_le_bytes(), &bytes].concat());
        }
    }

    fn done(self, table: &'static str) -> Copied {
        Copied { table, rows: self.rows, checksum: self.digest.finalize().to_hex().to_string() }
    }
}

impl Table {
    fn names(&self) -> Vec<&'static str> {
        self.columns.iter().map(|(name, _)| *name).collect()
    }

    /// Calls `visit` with every row, in the order of the key.
    fn each(&self, db: &mut dyn Db, mut visit: impl FnMut(Vec<Field>) -> Fallible<()>) -> Fallible<()> {
        let sql = format!("SELECT {} FROM {} ORDER BY {}", self.names().join(", "), self.name, self.key);
        db.each(&sql, &[], &mut |row| visit(self.read(row)?))
    }

    fn read(&self, row: &dyn Row) -> Fallible<Vec<Field>> {
        let field = |(n, (_, kind)): (usize, &(&str, ColumnType))| {
            Ok(match kind {
                Int => row.opt_int(n)?.map_or(Field::Null, Field::Int),
                Text => row.opt_text(n)?.map_or(Field::Null, Field::Text),
                // Times get one form, regardless of the release that wrote them.
                Time => {
                    row.opt_time(n)?.map_or(Field::Null, |time: Timestamp| Field::Text(time.to_database()))
                }
            })
        };
        self.columns.iter().enumerate().map(field).collect()
    }

    /// Copies the rows in order. Returns their number and digest.
    fn copy(&self, from: &mut dyn Db, to: &mut dyn Db) -> Fallible<Copied> {
        let (mut tally, mut batch, names) = (Tally::default(), Vec::new(), self.names());
        self.each(from, |row| {
            tally.add(&row);
            batch.push(row);
            if batch.len() >= BATCH {
                to.load(self.name, &names, &batch)?;
                batch.clear();
            }
            Ok(())
        })?;
        to.load(self.name, &names, &batch)?;
        if self.numbers {
            let last = from.last_id(self.name)?;
            to.set_last_id(self.name, last)?;
        }
        Ok(tally.done(self.name))
    }
}

/// Copies everything from `from` into `to` in one transaction. The tables of `to` must exist and be empty. The rows are
/// read back and compared before the commit. `from` must not change in the meantime. `say` is called after each table.
///
/// # Errors
/// [`Error::Refused`]: `to` is not empty. The errors of either database. Nothing is in `to` then.
pub(crate) fn copy(
    from: &mut Metadata,
    to: &mut Metadata,
    say: &mut dyn FnMut(&Copied),
) -> Result<Vec<Copied>> {
    let revision = match from.state()? {
        SchemaState::Behind { revision } => revision,
        _ => i64::MAX,
    };
    let place = to.location().to_owned();
    to.write("copying the database", Work::Once, |target| {
        for table in &TABLES {
            if target.number(&format!("SELECT EXISTS (SELECT 1 FROM {})", table.name), &[])? != 0 {
                return Err(Fault::Because(Error::refused(format!(
                    "The database {place} is not empty: it has rows in {}. Nothing was changed. Name an empty one.",
                    table.name
                ))));
            }
        }
        let mut copied = Vec::new();
        for table in TABLES.iter().filter(|table| table.since <= revision) {
            let what = format!("copying {}", table.name);
            if table.name == DUE {
                target.execute("DELETE FROM copies_due", &[])?;
            }
            let sent = from.read(&what, |source| table.copy(source, target)).map_err(Fault::Because)?;
            let mut tally = Tally::default();
            table.each(target, |row| {
                tally.add(&row);
                Ok(())
            })?;
            let arrived = tally.done(table.name);
            if arrived != sent {
                return Err(Fault::Because(Error::database(format!(
                    "Copying {} into {place} failed: {} rows with the digest {} were sent, {} with {} have arrived. \
                     Nothing was kept.",
                    table.name, sent.rows, sent.checksum, arrived.rows, arrived.checksum
                ))));
            }
            say(&sent);
            copied.push(sent);
        }
        Ok(copied)
    })
}
