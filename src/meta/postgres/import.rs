//! Importing the rows of a version: all of them by COPY into a temporary table, and from there by a few statements.

use super::db::{MARKING, NAMING, Statements};
use crate::meta::DumpRows;
use crate::meta::sql::{Db, Fallible, Fault};
use crate::types::error::Error;
use crate::types::version::Version;
use postgres::GenericClient;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;

const TEMPORARY: &str = "CREATE TEMP TABLE IF NOT EXISTS incoming (id BIGINT NOT NULL, uid VARCHAR COLLATE \"C\",
         date TIMESTAMP NOT NULL, checksum VARCHAR COLLATE \"C\" NOT NULL, size BIGINT NOT NULL, valid INTEGER NOT NULL,
         enc_version INTEGER NOT NULL, enc_envkey VARCHAR COLLATE \"C\" NOT NULL, enc_nonce VARCHAR COLLATE \"C\")
         ON COMMIT DELETE ROWS;
     TRUNCATE incoming";

pub(super) fn rows<C: GenericClient>(
    db: &mut Statements<'_, C>,
    version: &Version,
    rows: DumpRows<'_>,
) -> Fallible<()> {
    db.batch(TEMPORARY)?;
    copy(db, rows)?;
    db.batch("ANALYZE incoming")?;
    refuse(
        db,
        "SELECT id, '' FROM incoming GROUP BY id HAVING count(*) > 1 ORDER BY id LIMIT 1",
        |id, _| format!("block {id} is there twice"),
    )?;
    // No cleanup takes candidates until this is committed.
    db.lock(NAMING, true)?;
    // It may say of blobs that they are bad.
    db.lock(MARKING, false)?;
    refuse(
        db,
        "SELECT i.id, i.uid FROM incoming i JOIN deleted_blocks d ON d.uid = i.uid AND d.delete_candidate = 1
         ORDER BY i.id LIMIT 1",
        |id, uid| format!("block {id} names the blob {uid}, which a cleanup is deleting"),
    )?;
    db.run(
        "INSERT INTO blobs (id, size, valid, enc_version, date)
         SELECT -size, size, 1, 0, min(date) FROM incoming WHERE uid IS NULL GROUP BY size ON CONFLICT DO NOTHING",
        &[],
    )?;
    db.run(
        "INSERT INTO blobs AS b (uid, checksum, size, valid, enc_version, enc_envkey, enc_nonce, date)
         SELECT uid, nullif(checksum, ''), size, min(valid), enc_version, nullif(enc_envkey, ''),
                (array_agg(enc_nonce ORDER BY id))[1], (array_agg(date ORDER BY id))[1]
         FROM incoming WHERE uid IS NOT NULL GROUP BY uid, checksum, size, enc_version, enc_envkey
         ON CONFLICT (uid, coalesce(checksum, ''), size, enc_version, coalesce(enc_envkey, '')) WHERE id > 0
         DO UPDATE SET valid = least(b.valid, excluded.valid)",
        &[],
    )?;
    db.run(
        "INSERT INTO block_map (version_id, block_id, blob_id)
         SELECT v.id, i.id, CASE WHEN i.uid IS NULL THEN -i.size ELSE b.id END
         FROM versions v CROSS JOIN incoming i
         LEFT JOIN blobs b ON b.id > 0 AND b.uid = i.uid AND coalesce(b.checksum, '') = i.checksum
             AND b.size = i.size AND b.enc_version = i.enc_version AND coalesce(b.enc_envkey, '') = i.enc_envkey
         WHERE v.uid = ?1",
        &[&version.uid],
    )?;
    Ok(())
}

fn copy<C: GenericClient>(db: &mut Statements<'_, C>, rows: DumpRows<'_>) -> Fallible<()> {
    const TYPES: [Type; 9] = [
        Type::INT8,
        Type::VARCHAR,
        Type::TIMESTAMP,
        Type::VARCHAR,
        Type::INT8,
        Type::INT4,
        Type::INT4,
        Type::VARCHAR,
        Type::VARCHAR,
    ];
    let sql = "COPY incoming (id, uid, date, checksum, size, valid, enc_version, enc_envkey, enc_nonce)
         FROM STDIN BINARY";
    let mut writer = BinaryCopyInWriter::new(db.client.copy_in(sql)?, &TYPES);
    for row in rows {
        let row = row.map_err(Fault::Because)?;
        writer.write(&[
            &(row.id as i64),
            &row.uid,
            &row.date.naive(),
            &row.checksum.unwrap_or_default(),
            &(row.size as i64),
            &i32::from(row.valid),
            &(row.encryption.version as i32),
            &row.encryption.envkey.unwrap_or_default(),
            &row.encryption.nonce,
        ])?;
    }
    writer.finish()?;
    Ok(())
}

/// Fails if the statement finds a block that cannot be imported.
fn refuse<C: GenericClient>(
    db: &mut Statements<'_, C>,
    sql: &str,
    why: impl Fn(i64, &str) -> String,
) -> Fallible<()> {
    match db.ask(sql, &[])?.first() {
        None => Ok(()),
        Some(row) => {
            let text = why(row.try_get(0)?, row.try_get(1)?);
            Err(Fault::Because(Error::DumpFormat(text)))
        }
    }
}
