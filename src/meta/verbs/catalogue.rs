//! Versions, tags and statistics.

use super::origins;
use crate::meta::sql::{Db, Fallible, Fault, Row, Value, Work, values};
use crate::meta::{Listed, Metadata, PastRun, StatisticsRow, VersionFilter};
use crate::types::error::{Error, Result};
use crate::types::keys::VersionKey;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::{NewVersion, Version};
use std::collections::HashMap;

impl Metadata {
    /// A number that changes whenever another connection changes the database, even if it only adds blocks. Changes
    /// made through this connection need not change it. The query is cheap.
    pub fn change_counter(&mut self) -> Result<u64> {
        self.read("looking for changes", |db| db.change_counter())
    }

    /// The versions that pass `filter`, by name, then date.
    pub fn versions(&mut self, filter: &VersionFilter) -> Result<Listed> {
        self.read("listing versions", |db| versions(db, filter))
    }

    /// One version.
    ///
    /// # Errors
    /// [`crate::types::Error::VersionNotFound`].
    pub fn version(&mut self, uid: &VersionUid) -> Result<Version> {
        let found = self.read("looking up a version", |db| version(db, uid))?;
        found.ok_or_else(|| Error::VersionNotFound(uid.to_string()))
    }

    /// Protects a version from `rm`, or ends its protection.
    pub fn set_protected(&mut self, version: &Version, protected: bool) -> Result<()> {
        self.write("changing the protection", Work::Small, |db| {
            db.execute(
                "UPDATE versions SET protected = ?1 WHERE uid = ?2",
                values![protected, &version.uid],
            )?;
            Ok(())
        })
    }

    /// The newest date, not after `until`, of a version of `name` that has `tag`, valid or not.
    pub fn last_tagged(&mut self, name: &str, tag: &str, until: Timestamp) -> Result<Option<Timestamp>> {
        self.read("looking up tags", |db| {
            let sql = "SELECT max(v.date) FROM versions v JOIN tags t ON t.version_uid = v.uid
                       WHERE v.name = ?1 AND t.name = ?2 AND v.date <= ?3";
            Ok(db.first(sql, values![name, tag, until], |row| row.opt_time(0))?.flatten())
        })
    }

    /// Adds tags to a version. Tags that it has already stay.
    pub fn add_tags(&mut self, version: &Version, tags: &[String]) -> Result<()> {
        self.write("adding tags", Work::Small, |db| add_tags(db, &version.uid, tags))
    }

    /// Removes tags from a version. Tags that it does not have are ignored.
    pub fn remove_tags(&mut self, version: &Version, tags: &[String]) -> Result<()> {
        self.write("removing tags", Work::Small, |db| {
            for tag in tags {
                db.execute(
                    "DELETE FROM tags WHERE version_uid = ?1 AND name = ?2",
                    values![&version.uid, tag],
                )?;
            }
            Ok(())
        })
    }

    /// Sets or clears the expiry.
    pub fn set_expire(&mut self, version: &Version, expire: Option<Timestamp>) -> Result<()> {
        self.write("setting the expiry", Work::Small, |db| {
            db.execute("UPDATE versions SET expire = ?1 WHERE uid = ?2", values![expire, &version.uid])?;
            Ok(())
        })
    }

    /// Creates a version without blocks. It is invalid until [`Metadata::finish_version`].
    pub fn begin_version(&mut self, version: &NewVersion) -> Result<Version> {
        self.write("making a version", Work::Small, |db| begin_version(db, version))?;
        self.version(&version.uid)
    }

    /// Adds the statistics of a run that did not finish.
    pub fn add_statistics(&mut self, statistics: &StatisticsRow) -> Result<()> {
        self.write("adding statistics", Work::Small, |db| add_statistics(db, statistics))
    }
}

const COLUMNS: &str = "uid, date, expire, name, snapshot_name, size, size_bytes, valid, protected";

/// Reads a version without its tags. The error for an impossible row names the version.
fn from_row(row: &dyn Row) -> Fallible<Version> {
    let whose = || match (row.opt_text(1), row.opt_int(0)) {
        (Ok(Some(uid)), _) if !uid.is_empty() => format!("the row of version {uid}"),
        (_, Ok(Some(key))) => format!("the row {key} of versions"),
        _ => "a row of versions".to_owned(),
    };
    read(row).and_then(checked).map_err(|fault| fault.of_row(&whose()))
}

fn checked(version: Version) -> Fallible<Version> {
    let Version { size, size_bytes, .. } = version;
    if version.uid == "" {
        return Err(Fault::Value("uid is empty".into()));
    }
    // Every block except the last has the same size, and the last has at least one byte.
    if size > size_bytes || size == 0 && size_bytes > 0 {
        return Err(Fault::Value(
            format!("size is {size} blocks, and size_bytes {size_bytes}: that is impossible").into(),
        ));
    }
    Ok(version)
}

fn read(row: &dyn Row) -> Fallible<Version> {
    Ok(Version {
        key: VersionKey(row.int(0)?),
        uid: row.text(1)?.into(),
        date: row.time(2)?,
        expire: row.opt_time(3)?,
        name: row.text(4)?,
        snapshot_name: row.text(5)?,
        size: row.size(6)?,
        size_bytes: row.size(7)?,
        valid: row.flag(8)?,
        protected: row.flag(9)?,
        tags: Vec::new(),
    })
}

fn versions(db: &mut dyn Db, filter: &VersionFilter) -> Fallible<Listed> {
    let wanted: [(&str, Value); 4] = [
        ("name = ?", filter.name.as_ref().into()),
        ("snapshot_name = ?", filter.snapshot_name.as_ref().into()),
        ("uid IN (SELECT version_uid FROM tags WHERE tags.name = ?)", filter.tag.as_ref().into()),
        ("CAST(expire AS TEXT) <> '' AND expire < ?", filter.expired_at.into()),
    ];
    let mut sql = format!("SELECT {}, {COLUMNS} FROM versions WHERE 1 = 1", db.dialect().key);
    let mut parameters = Vec::new();
    for (condition, value) in wanted {
        if !matches!(value, Value::Null) {
            parameters.push(value);
            sql += " AND ";
            sql += &condition.replace('?', &format!("?{}", parameters.len()));
        }
    }
    let mut listed = Listed::default();
    db.each(&sql, &parameters, &mut |row| {
        match from_row(row) {
            Ok(version) => listed.versions.push(version),
            Err(Fault::Value(why)) => listed.unreadable.push(why.line()),
            Err(other) => return Err(other),
        }
        Ok(())
    })?;
    let mut tags: HashMap<VersionUid, Vec<String>> = HashMap::new();
    let order = db.dialect().tags;
    db.each(&format!("SELECT version_uid, name FROM tags ORDER BY {order}"), &[], &mut |row| {
        if let (Ok(uid), Ok(tag)) = (row.text(0), row.text(1)) {
            tags.entry(uid.into()).or_default().push(tag);
        }
        Ok(())
    })?;
    for version in &mut listed.versions {
        version.tags = tags.remove(&version.uid).unwrap_or_default();
    }
    // Sort here, because the engines order letters differently.
    listed.versions.sort_by(|a, b| (&a.name, a.date, a.key).cmp(&(&b.name, b.date, b.key)));
    Ok(listed)
}

pub(super) fn version(db: &mut dyn Db, uid: &VersionUid) -> Fallible<Option<Version>> {
    let sql = format!("SELECT {}, {COLUMNS} FROM versions WHERE uid = ?1", db.dialect().key);
    let Some(mut version) = db.first(&sql, values![uid], from_row)? else { return Ok(None) };
    let sql = format!("SELECT name FROM tags WHERE version_uid = ?1 ORDER BY {}", db.dialect().tags);
    version.tags = db.all(&sql, values![uid], |row| row.text(0))?;
    Ok(Some(version))
}

fn add_tags(db: &mut dyn Db, uid: &VersionUid, tags: &[String]) -> Fallible<()> {
    for tag in tags {
        let sql = "INSERT INTO tags (version_uid, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        db.execute(sql, values![uid, tag])?;
    }
    Ok(())
}

fn begin_version(db: &mut dyn Db, new: &NewVersion) -> Fallible<()> {
    let new = new.clone();
    let version = Version {
        key: VersionKey(0),
        uid: new.uid,
        date: new.date,
        expire: new.expire,
        name: new.name,
        snapshot_name: new.snapshot_name,
        size: new.size,
        size_bytes: new.size_bytes,
        valid: false,
        protected: false,
        tags: new.tags,
    };
    insert_version(db, &version)?;
    new.origin.map_or(Ok(()), |origin| origins::record(db, &version.uid, &origin))
}

/// Inserts a version. The database gives it its key.
pub(super) fn insert_version(db: &mut dyn Db, version: &Version) -> Fallible<()> {
    insert_version_as(db, None, version)
}

/// Inserts a version with the row key `key`, or with a new one.
pub(super) fn insert_version_as(db: &mut dyn Db, key: Option<VersionKey>, version: &Version) -> Fallible<()> {
    // 2.13 may have removed a version of that uid, and does not know this table.
    db.execute("DELETE FROM invalidated WHERE version_uid = ?1", values![&version.uid])?;
    let row = values![
        &version.uid,
        version.date,
        version.expire,
        &version.name,
        &version.snapshot_name,
        version.size,
        version.size_bytes,
        version.valid,
        version.protected
    ];
    let places = "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9";
    match key {
        None => db.execute(&format!("INSERT INTO versions ({COLUMNS}) VALUES ({places})"), row)?,
        Some(key) => {
            let row: Vec<_> = row.iter().copied().chain([key.into()]).collect();
            db.execute(&format!("INSERT INTO versions ({COLUMNS}, id) VALUES ({places}, ?10)"), &row)?
        }
    };
    add_tags(db, &version.uid, &version.tags)
}

pub(super) fn add_statistics(db: &mut dyn Db, row: &StatisticsRow) -> Fallible<()> {
    insert_run(db, &row.past())
}

/// Inserts a row of statistics.
pub(super) fn insert_run(db: &mut dyn Db, row: &PastRun) -> Fallible<()> {
    let s = &row.statistics;
    db.execute(
        "INSERT INTO stats (date, version_uid, version_name, version_size_bytes, version_size_blocks, bytes_read,
             blocks_read, bytes_written, blocks_written, bytes_found_dedup, blocks_found_dedup, bytes_sparse,
             blocks_sparse, duration_seconds)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        values![
            row.date,
            &row.version_uid,
            &row.name,
            row.size.bytes,
            row.size.blocks,
            s.read.bytes,
            s.read.blocks,
            s.written.bytes,
            s.written.blocks,
            s.dedup.bytes,
            s.dedup.blocks,
            s.sparse.bytes,
            s.sparse.blocks,
            row.duration
        ],
    )?;
    Ok(())
}
