//! What versions take, and what past backups did.

use super::catalogue::timestamp;
use crate::meta::{PastRun, Usage};
use crate::types::time::Timestamp;
use crate::types::version::{Count, Statistics};
use rusqlite::{Connection, named_params};
use std::collections::HashMap;

/// One query whatever the number of versions: first each version's own count of each blob, then how often and
/// in how many versions each of these blobs occurs at all.
const USAGE: &str = "
    WITH own AS (
        SELECT m.version_id AS version, b.uid AS uid, max(b.size) AS size, count(*) AS here
        FROM block_map m JOIN blobs b ON b.id = m.blob_id
        WHERE m.blob_id > 0 AND (:version IS NULL OR m.version_id = :version)
        GROUP BY m.version_id, b.uid),
    overall AS (
        SELECT b.uid AS uid, count(*) AS rows, count(DISTINCT m.version_id) AS versions
        FROM blobs b CROSS JOIN block_map m ON m.blob_id = b.id
        WHERE b.id > 0 AND (:version IS NULL OR b.uid IN (SELECT uid FROM own))
        GROUP BY b.uid)
    SELECT own.version,
           sum(own.size * own.here),
           sum(CASE WHEN overall.versions = 1 THEN (own.here - 1) * own.size ELSE 0 END),
           sum(CASE WHEN overall.versions > 1 THEN own.here * own.size ELSE 0 END),
           sum(CASE WHEN overall.versions = 1 AND own.here = 1 THEN own.size ELSE 0 END),
           sum(1.0 * own.size / overall.rows),
           sum(CASE WHEN overall.versions = 1 THEN own.size ELSE 0 END)
    FROM own JOIN overall USING (uid) GROUP BY own.version";

pub(super) fn usage(connection: &Connection, version: Option<i64>) -> rusqlite::Result<HashMap<i64, Usage>> {
    let mut all: HashMap<i64, Usage> = HashMap::new();
    let parameters = named_params! {":version": version};
    let mut statement = connection.prepare(USAGE)?;
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        let usage = Usage {
            real: row.get(1)?,
            null: 0,
            dedup_own: row.get(2)?,
            dedup_others: row.get(3)?,
            individual: row.get(4)?,
            space: row.get::<_, f64>(5)?.round_ties_even() as u64,
            space_freed: row.get(6)?,
        };
        all.insert(row.get(0)?, usage);
    }
    // The id of a hole is its size below zero.
    let mut holes = connection.prepare(
        "SELECT version_id, -sum(blob_id) FROM block_map
         WHERE blob_id < 0 AND (:version IS NULL OR version_id = :version) GROUP BY version_id",
    )?;
    let mut rows = holes.query(parameters)?;
    while let Some(row) = rows.next()? {
        all.entry(row.get(0)?).or_default().null = row.get(1)?;
    }
    Ok(all)
}

pub(super) fn past_runs(
    connection: &Connection,
    version_uid: Option<&str>,
    limit: Option<u64>,
) -> rusqlite::Result<Vec<PastRun>> {
    let mut statement = connection.prepare(
        "SELECT date, version_uid, version_name, version_size_bytes, version_size_blocks, bytes_read, blocks_read,
                bytes_written, blocks_written, bytes_found_dedup, blocks_found_dedup, bytes_sparse, blocks_sparse,
                duration_seconds
         FROM stats WHERE (:uid IS NULL OR version_uid = :uid) ORDER BY date DESC, id LIMIT :limit",
    )?;
    let limit = limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let parameters = named_params! {":uid": version_uid, ":limit": limit};
    let mut runs: Vec<PastRun> = statement
        .query_map(parameters, |row| {
            let count = |bytes: usize| -> rusqlite::Result<Count> {
                Ok(Count { bytes: row.get(bytes)?, blocks: row.get(bytes + 1)? })
            };
            Ok(PastRun {
                date: timestamp(row, 0)?.unwrap_or(Timestamp::from_naive(Default::default())),
                version_uid: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
                name: row.get(2)?,
                size: count(3)?,
                statistics: Statistics {
                    read: count(5)?,
                    written: count(7)?,
                    dedup: count(9)?,
                    sparse: count(11)?,
                },
                duration: row.get(13)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    // The newest were asked for; they are shown oldest first. Of those from the same second 2.13, which stored
    // no fraction, shows the later one first: so do we.
    runs.reverse();
    Ok(runs)
}
