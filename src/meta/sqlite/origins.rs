//! Which RBD snapshots versions are of, and which snapshots backups have made.

use super::catalogue;
use crate::types::version::{ImageId, Origin, Version};
use rusqlite::{Connection, OptionalExtension, Row, params};

fn from_row(row: &Row, first: usize) -> rusqlite::Result<Origin> {
    let image = ImageId {
        cluster: row.get(first)?,
        pool: row.get(first + 1)?,
        namespace: row.get(first + 2)?,
        image: row.get(first + 3)?,
    };
    Ok(Origin { image, snapshot: row.get(first + 4)?, taken: row.get(first + 5)? })
}

pub(super) fn origin(connection: &Connection, uid: &str) -> rusqlite::Result<Option<Origin>> {
    let sql =
        "SELECT cluster, pool, namespace, image, snapshot, taken FROM version_origins WHERE version_uid = ?";
    connection.query_row(sql, [uid], |row| from_row(row, 0)).optional()
}

pub(super) fn record(connection: &Connection, uid: &str, origin: &Origin) -> rusqlite::Result<()> {
    let Origin { image, snapshot, taken } = origin;
    connection.execute(
        "INSERT INTO version_origins (version_uid, cluster, pool, namespace, image, snapshot, taken)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![uid, image.cluster, image.pool, image.namespace, image.image, snapshot, taken],
    )?;
    Ok(())
}

pub(super) fn versions_of(
    connection: &Connection,
    image: &ImageId,
) -> rusqlite::Result<Vec<(Version, Origin)>> {
    let mut uids = connection.prepare(
        "SELECT cluster, pool, namespace, image, snapshot, taken, version_uid FROM version_origins
         WHERE cluster = ? AND pool = ? AND namespace = ? AND image = ?",
    )?;
    let parameters = params![image.cluster, image.pool, image.namespace, image.image];
    let rows = uids.query_map(parameters, |row| Ok((from_row(row, 0)?, row.get::<_, String>(6)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (origin, uid) = row?;
        if let Some(version) = catalogue::version(connection, &uid)? {
            found.push((version, origin));
        }
    }
    found.sort_by_key(|(version, _)| (version.date, version.key));
    Ok(found)
}

pub(super) fn note(connection: &Connection, image: &ImageId, name: &str) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR IGNORE INTO made_snapshots (cluster, pool, namespace, image, name) VALUES (?, ?, ?, ?, ?)",
        params![image.cluster, image.pool, image.namespace, image.image, name],
    )?;
    Ok(())
}

pub(super) fn noted(connection: &Connection, image: &ImageId) -> rusqlite::Result<Vec<String>> {
    let mut names = connection.prepare(
        "SELECT name FROM made_snapshots
         WHERE cluster = ? AND pool = ? AND namespace = ? AND image = ? ORDER BY name",
    )?;
    let parameters = params![image.cluster, image.pool, image.namespace, image.image];
    names.query_map(parameters, |row| row.get(0))?.collect()
}

pub(super) fn forget(connection: &Connection, image: &ImageId, name: &str) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM made_snapshots
         WHERE cluster = ? AND pool = ? AND namespace = ? AND image = ? AND name = ?",
        params![image.cluster, image.pool, image.namespace, image.image, name],
    )?;
    Ok(())
}
