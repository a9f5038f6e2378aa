//! The space that versions take, and the statistics of past backups.

use super::read::{HOLES_SIZE, IS_HOLE};
use crate::meta::sql::{Db, Fallible, Row, Value};
use crate::meta::{Metadata, PastRun, Usage};
use crate::types::error::Result;
use crate::types::keys::{BlobId, VersionKey};
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::{Count, Statistics, Version};
use std::collections::HashMap;

impl Metadata {
    /// Past runs of one version or of all versions, oldest first. With `limit`, only that many of the newest.
    pub fn past_runs(
        &mut self,
        version_uid: Option<&VersionUid>,
        limit: Option<u64>,
    ) -> Result<Vec<PastRun>> {
        self.read("reading statistics", |db| past_runs(db, version_uid, limit))
    }

    /// The space that `version` or every version takes, by key. Leaves out versions without blocks.
    pub fn usage(&mut self, version: Option<&Version>) -> Result<HashMap<VersionKey, Usage>> {
        self.read("adding up sizes", |db| usage(db, version.map(|v| v.key)))
    }

    /// Divides the blobs whose uids are at or after `from` and before `to` among the versions that name them, by the
    /// number of their rows. `stored` returns the bytes that a blob takes in the store. The result has the bytes of each
    /// version that names one of these blobs.
    pub fn shares(
        &mut self,
        from: &str,
        to: Option<&str>,
        stored: &dyn Fn(&BlobUid) -> u64,
    ) -> Result<HashMap<VersionKey, u64>> {
        self.read("adding up sizes", |db| shares(db, from, to, stored))
    }
}

/// The number of rows with which each version names each blob, blob by blob. In SQLite they come from the index in that
/// order, so that nothing is sorted or stored.
const BY_ID: &str = "SELECT m.blob_id, m.version_id, max(b.size), count(*)
    FROM block_map m {join} blobs b ON b.id = m.blob_id
    WHERE m.blob_id > 0
    GROUP BY m.blob_id, m.version_id";
/// The same for the blobs of one version, without sorting the rows of all versions that name them. The outer loop
/// returns each blob once, in the order of the index.
const BY_ID_OF_ONE: &str = "SELECT own.blob_id, m.version_id, b.size, 1
    FROM (SELECT blob_id FROM block_map WHERE version_id = ?1 AND blob_id > 0 GROUP BY blob_id) own
    {join} blobs b ON b.id = own.blob_id {join} block_map m ON m.blob_id = own.blob_id";
/// The same by uid, for databases in which several rows of `blobs` share their data, because an old dump was imported
/// after a rekey.
const BY_UID: &str = "SELECT b.uid, m.version_id, max(b.size), count(*)
    FROM blobs b {join} block_map m ON m.blob_id = b.id
    WHERE b.id > 0
    GROUP BY b.uid, m.version_id";
/// As [`BY_UID`], for the blobs of one version.
const BY_UID_OF_ONE: &str = "SELECT b.uid, m.version_id, max(b.size), count(*)
    FROM blobs b {join} block_map m ON m.blob_id = b.id
    WHERE b.id > 0 AND b.uid IN (
        SELECT uid FROM block_map JOIN blobs ON id = blob_id WHERE version_id = ?1 AND blob_id > 0)
    GROUP BY b.uid, m.version_id";

/// The share of one version in a blob.
struct Share {
    version: VersionKey,
    size: u64,
    rows: u64,
}

/// The sums for one version. The space is a sum of fractions, and `lost` is its rounding error so far (Neumaier's
/// summation, as in SQLite's `sum`). Without it, a million blobs make the sum wrong by some bytes.
#[derive(Default)]
struct Sums {
    usage: Usage,
    space: f64,
    lost: f64,
}

impl Sums {
    /// Adds the version's share in a blob. `rows` is the number of all rows that name the blob. `alone` says that all
    /// of them belong to this version. The sums saturate, because a damaged row may claim any size.
    fn add(&mut self, share: &Share, rows: u64, alone: bool) {
        let Share { size, rows: here, .. } = *share;
        let bytes = size.saturating_mul(here);
        let sum = |total: &mut u64, bytes: u64| *total = total.saturating_add(bytes);
        let usage = &mut self.usage;
        sum(&mut usage.real, bytes);
        // As in 2.13, the blob counts once for the version, even if the version names it several times.
        let part = size as f64 / rows as f64;
        let space = self.space + part;
        self.lost += if self.space >= part { self.space - space + part } else { part - space + self.space };
        self.space = space;
        if alone {
            sum(&mut usage.dedup_own, bytes - size);
            sum(&mut usage.individual, if here == 1 { size } else { 0 });
            sum(&mut usage.space_freed, size);
        } else {
            sum(&mut usage.dedup_others, bytes);
        }
    }

    /// The sums, with the space rounded to a whole number, and halves to the even one.
    fn rounded(self) -> Usage {
        Usage { space: (self.space + self.lost).round_ties_even() as u64, ..self.usage }
    }
}

/// Adds the shares of all versions in one blob to the sums of these versions, or of only one.
fn add(blob: &[Share], only: Option<VersionKey>, all: &mut HashMap<VersionKey, Sums>) {
    let rows = blob.iter().map(|share| share.rows).sum();
    for share in blob.iter().filter(|share| only.is_none_or(|only| only == share.version)) {
        all.entry(share.version).or_default().add(share, rows, blob.len() == 1);
    }
}

/// The identity of a blob.
#[derive(PartialEq)]
enum Key {
    Id(BlobId),
    Uid(BlobUid),
}

fn usage(db: &mut dyn Db, version: Option<VersionKey>) -> Fallible<HashMap<VersionKey, Usage>> {
    let parameters: Vec<Value> = version.into_iter().map(Value::from).collect();
    let shared = "SELECT EXISTS (SELECT 1 FROM blobs WHERE uid > '' GROUP BY uid HAVING count(*) > 1)";
    let by_uid = db.number(shared, &[])? != 0;
    let sql = match (by_uid, version) {
        (true, None) => BY_UID,
        (true, Some(_)) => BY_UID_OF_ONE,
        (false, None) => BY_ID,
        (false, Some(_)) => BY_ID_OF_ONE,
    };
    let dialect = db.dialect();
    let sql = sql.replace("{join}", dialect.join) + dialect.sorted;
    let mut sums: HashMap<VersionKey, Sums> = HashMap::new();
    let (mut blob, mut shares): (Option<Key>, Vec<Share>) = (None, Vec::new());
    db.each(&sql, &parameters, &mut |row| {
        let key = Some(if by_uid { Key::Uid(row.text(0)?.into()) } else { Key::Id(BlobId(row.int(0)?)) });
        if key != blob {
            add(&shares, version, &mut sums);
            shares.clear();
            blob = key;
        }
        let share = Share { version: VersionKey(row.int(1)?), size: row.count(2)?, rows: row.count(3)? };
        match shares.last_mut() {
            Some(last) if last.version == share.version => last.rows += share.rows,
            _ => shares.push(share),
        }
        Ok(())
    })?;
    add(&shares, version, &mut sums);
    let rounded = sums.into_iter().map(|(key, sums)| (key, sums.rounded()));
    let mut all: HashMap<VersionKey, Usage> = rounded.collect();
    let one = if version.is_some() { "AND version_id = ?1" } else { "" };
    let holes =
        format!("SELECT version_id, {HOLES_SIZE} FROM block_map WHERE {IS_HOLE} {one} GROUP BY version_id");
    db.each(&holes, &parameters, &mut |row| {
        all.entry(VersionKey(row.int(0)?)).or_default().null = row.count(1)?;
        Ok(())
    })?;
    Ok(all)
}

fn shares(
    db: &mut dyn Db,
    from: &str,
    to: Option<&str>,
    stored: &dyn Fn(&BlobUid) -> u64,
) -> Fallible<HashMap<VersionKey, u64>> {
    let mut parameters: Vec<Value> = vec![from.into()];
    parameters.extend(to.map(Value::from));
    let end = if to.is_some() { "AND b.uid < ?2" } else { "" };
    let dialect = db.dialect();
    let sql = format!(
        "SELECT b.uid, m.version_id, count(*) FROM blobs b {} block_map m ON m.blob_id = b.id
         WHERE b.uid >= ?1 AND b.uid <> '' AND b.id > 0 {end}
         GROUP BY b.uid, m.version_id{}",
        dialect.join, dialect.sorted
    );
    let mut sums: HashMap<VersionKey, u64> = HashMap::new();
    let mut divide = |blob: &Option<BlobUid>, shares: &[(VersionKey, u64)]| {
        let Some(uid) = blob else { return };
        let bytes = u128::from(stored(uid));
        let rows: u128 = shares.iter().map(|(_, rows)| u128::from(*rows)).sum();
        for (version, own) in shares {
            let part = bytes * u128::from(*own) / rows.max(1);
            let sum = sums.entry(*version).or_default();
            *sum = sum.saturating_add(u64::try_from(part).unwrap_or(u64::MAX));
        }
    };
    let (mut blob, mut shares): (Option<BlobUid>, Vec<(VersionKey, u64)>) = (None, Vec::new());
    db.each(&sql, &parameters, &mut |row| {
        let uid: Option<BlobUid> = Some(row.text(0)?.into());
        if uid != blob {
            divide(&blob, &shares);
            shares.clear();
            blob = uid;
        }
        shares.push((VersionKey(row.int(1)?), row.count(2)?));
        Ok(())
    })?;
    divide(&blob, &shares);
    Ok(sums)
}

/// The columns of a run, for [`past_run`].
pub(super) const RUN: &str = "date, version_uid, version_name, version_size_bytes, version_size_blocks, bytes_read,
    blocks_read, bytes_written, blocks_written, bytes_found_dedup, blocks_found_dedup, bytes_sparse, blocks_sparse,
    duration_seconds";

fn past_runs(
    db: &mut dyn Db,
    version_uid: Option<&VersionUid>,
    limit: Option<u64>,
) -> Fallible<Vec<PastRun>> {
    let one = if version_uid.is_some() { "WHERE version_uid = ?2" } else { "" };
    let sql = format!("SELECT {RUN} FROM stats {one} ORDER BY date DESC, id LIMIT ?1");
    let mut parameters: Vec<Value> = vec![limit.unwrap_or(u64::MAX).into()];
    parameters.extend(version_uid.map(Value::from));
    let mut runs = db.all(&sql, &parameters, past_run)?;
    // The query returns the newest first, but runs are shown oldest first. Of runs in the same second, the later one is
    // shown first, as in 2.13, which stored no fractions.
    runs.reverse();
    Ok(runs)
}

/// Reads [`RUN`].
pub(super) fn past_run(row: &dyn Row) -> Fallible<PastRun> {
    let count = |bytes: usize| -> Fallible<Count> {
        Ok(Count { bytes: row.count(bytes)?, blocks: row.count(bytes + 1)? })
    };
    Ok(PastRun {
        date: row.time(0)?,
        version_uid: row.opt_text(1)?.unwrap_or_default().into(),
        name: row.opt_text(2)?.unwrap_or_default(),
        size: count(3)?,
        statistics: Statistics { read: count(5)?, written: count(7)?, dedup: count(9)?, sparse: count(11)? },
        duration: row.count(13)?,
    })
}
