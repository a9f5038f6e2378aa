//! Finds out what has changed in a database since its upgrade, by comparison with the file from before.

use super::{Sqlite, build, error, schema};
use crate::meta::{GoingBack, LoneVersion, SchemaState, Since};
use crate::types::error::{Error, Result};
use rusqlite::{Connection, params};
use std::path::Path;

/// Number of blobs whose wrapped keys are compared. One difference proves a rekey, which leaves few keys unchanged.
const KEYS: i64 = 1000;

/// See [`crate::meta::since_upgrade`].
pub(in crate::meta) fn going_back(path: &Path, copy: Option<&Path>) -> Result<GoingBack> {
    let database = Sqlite::open(path)?;
    if matches!(database.state()?, SchemaState::Old { .. }) {
        return Ok(GoingBack::NotUpgraded);
    }
    let copy = match copy {
        Some(copy) => copy.to_owned(),
        None => database.kept_copy()?,
    };
    if !copy.exists() {
        return Ok(GoingBack::CopyMissing(copy));
    }
    let since = compare(&database, &copy)?;
    Ok(GoingBack::To { copy, since })
}

/// Compares an upgraded database with `copy`, the database of an older release.
///
/// # Errors
/// `copy` is not such a database, or one of the databases fails.
pub(super) fn compare(database: &Sqlite, copy: &Path) -> Result<Since> {
    let shown = copy.display().to_string();
    let old = Sqlite::open(copy)?;
    if !matches!(schema::state(&old.connection, &shown)?, SchemaState::Old { .. }) {
        return Err(Error::refused(format!(
            "{shown} is an upgraded database, and not the old one. Name the file that the upgrade has kept."
        )));
    }
    drop(old);
    let connection = &database.connection;
    let failed = |e: rusqlite::Error| error(&database.location, &format!("comparing it with {shown}"), e);
    build::attach(connection, copy).map_err(failed)?;
    let found = look(connection).map_err(failed);
    connection.execute_batch("DETACH old").map_err(failed)?;
    found
}

fn look(connection: &Connection) -> rusqlite::Result<Since> {
    let have = build::columns(connection, "versions")?;
    let protected = if have.contains("protected") { "o.protected" } else { "0" };
    let made = "SELECT uid, name, protected, 0 FROM main.versions v
                WHERE NOT EXISTS (SELECT 1 FROM old.versions o WHERE o.uid = v.uid) ORDER BY v.date, v.id";
    let removed = format!(
        "SELECT o.uid, o.name, {protected},
                (SELECT count(DISTINCT b.uid) FROM old.blocks b WHERE b.version_uid = o.uid AND b.uid <> ''
                   AND NOT EXISTS (SELECT 1 FROM main.blobs n JOIN main.block_map m ON m.blob_id = n.id
                                   WHERE n.uid = b.uid))
         FROM old.versions o WHERE NOT EXISTS (SELECT 1 FROM main.versions v WHERE v.uid = o.uid)
         ORDER BY o.date, o.rowid"
    );
    let damaged = "SELECT DISTINCT o.version_uid FROM main.blobs b JOIN old.blocks o ON o.uid = b.uid
                   JOIN main.versions v ON v.uid = o.version_uid
                   WHERE b.valid = 0 AND b.id > 0 AND o.valid <> 0 ORDER BY 1";
    let uids = connection
        .prepare(damaged)?
        .query_map([], |row| Ok(row.get::<_, String>(0)?.into()))?
        .collect::<rusqlite::Result<_>>()?;
    let rekeyed = if build::columns(connection, "blocks")?.contains("enc_envkey") {
        connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM
                 (SELECT uid, checksum, enc_envkey FROM old.blocks WHERE enc_envkey <> '' LIMIT ?) o
               JOIN main.blobs b ON b.uid = o.uid AND b.checksum IS o.checksum
               WHERE b.enc_envkey IS NOT o.enc_envkey)",
            params![KEYS],
            |row| row.get(0),
        )?
    } else {
        false
    };
    Ok(Since {
        made: versions(connection, made)?,
        removed: versions(connection, &removed)?,
        damaged: uids,
        rekeyed,
    })
}

fn versions(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<LoneVersion>> {
    let known = |row: &rusqlite::Row<'_>| {
        Ok(LoneVersion {
            uid: row.get::<_, String>(0)?.into(),
            name: row.get(1)?,
            protected: row.get::<_, i64>(2)? != 0,
            gone: row.get::<_, i64>(3)?.unsigned_abs(),
        })
    };
    connection.prepare(sql)?.query_map([], known)?.collect()
}
