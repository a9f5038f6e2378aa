//! Imports the rows of a version: COPY loads all of them into a temporary table, and a few statements process them
//! from there.

use super::db::Statements;
use crate::meta::DumpRows;
use crate::meta::sql::{Db, Fallible, Fault, ImportSql, Marks};
use crate::pg::advisory::{Lock, Mode};
use crate::types::checksum::Checksum;
use crate::types::error::Error;
use crate::types::uid::BlobUid;
use crate::types::version::Version;
use postgres::GenericClient;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use std::collections::HashSet;

const TEMPORARY: &str = "CREATE TEMP TABLE IF NOT EXISTS incoming (id BIGINT NOT NULL, uid VARCHAR COLLATE \"C\",
         date TIMESTAMP NOT NULL, checksum VARCHAR COLLATE \"C\" NOT NULL, size BIGINT NOT NULL, valid INTEGER NOT NULL,
         enc_version INTEGER NOT NULL, enc_envkey VARCHAR COLLATE \"C\" NOT NULL, enc_nonce VARCHAR COLLATE \"C\")
         ON COMMIT DELETE ROWS;
     TRUNCATE incoming";

impl<C: GenericClient> ImportSql for Statements<'_, C> {
    fn import_rows(&mut self, version: &Version, rows: DumpRows<'_>) -> Fallible<()> {
        self.batch(TEMPORARY)?;
        copy(self, rows)?;
        self.batch("ANALYZE incoming")?;
        // No cleanup can take candidates until this transaction ends.
        self.lock(Lock::Naming, Mode::Shared)?;
        // The import may mark blobs as bad.
        self.lock_marks(Marks::Change)?;
        let doomed = self.ask(
            "SELECT i.id, i.uid FROM incoming i JOIN deleted_blocks d ON d.uid = i.uid AND d.delete_candidate = 1
             ORDER BY i.id LIMIT 1",
            &[],
        )?;
        if let Some(row) = doomed.first() {
            return Err(being_deleted(row.try_get::<_, i64>(0)? as u64, &row.try_get::<_, &str>(1)?.into()));
        }
        self.run(
            "INSERT INTO blobs (id, size, valid, enc_version, date)
             SELECT -size, size, 1, 0, min(date) FROM incoming WHERE uid IS NULL GROUP BY size ON CONFLICT DO NOTHING",
            &[],
        )?;
        self.run(
            "INSERT INTO blobs AS b (uid, checksum, size, valid, enc_version, enc_envkey, enc_nonce, date)
             SELECT uid, nullif(checksum, ''), size, min(valid), enc_version, nullif(enc_envkey, ''),
                    (array_agg(enc_nonce ORDER BY id))[1], (array_agg(date ORDER BY id))[1]
             FROM incoming WHERE uid IS NOT NULL GROUP BY uid, checksum, size, enc_version, enc_envkey
             ON CONFLICT (uid, coalesce(checksum, ''), size, enc_version, coalesce(enc_envkey, '')) WHERE id > 0
             DO UPDATE SET valid = least(b.valid, excluded.valid)",
            &[],
        )?;
        self.run(
            "INSERT INTO block_map (version_id, block_id, blob_id)
             SELECT v.id, i.id, CASE WHEN i.uid IS NULL THEN -i.size ELSE b.id END
             FROM versions v CROSS JOIN incoming i
             LEFT JOIN blobs b ON b.id > 0 AND b.uid = i.uid AND coalesce(b.checksum, '') = i.checksum
                 AND b.size = i.size AND b.enc_version = i.enc_version AND coalesce(b.enc_envkey, '') = i.enc_envkey
             WHERE v.uid = ?1",
            &[&version.uid.as_str()],
        )?;
        Ok(())
    }
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
    let listed = db.ask("SELECT DISTINCT uid FROM deleted_blocks WHERE delete_candidate = 1", &[])?;
    let doomed: HashSet<BlobUid> = listed
        .iter()
        .map(|row| row.try_get(0).map(<BlobUid as From<&str>>::from))
        .collect::<Result<_, _>>()?;
    let mut seen = Seen::default();
    let mut writer = BinaryCopyInWriter::new(db.client.copy_in(sql)?, &TYPES);
    for row in rows {
        let row = row.map_err(Fault::Because)?;
        // Report duplicates here, where the line of the dump is known. Conflicts with other transactions are found
        // later.
        if !seen.insert(row.id) {
            return Err(twice(row.id));
        }
        if let Some(uid) = row.uid.as_ref().filter(|uid| doomed.contains(uid)) {
            return Err(being_deleted(row.id, uid));
        }
        writer.write(&[
            &(row.id as i64),
            &row.uid.as_ref().map(BlobUid::as_str),
            &row.date.naive(),
            &row.checksum.as_ref().map_or("", Checksum::as_str),
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

fn twice(block: u64) -> Fault {
    Fault::Because(Error::DumpFormat(format!("block {block} occurs twice")))
}

fn being_deleted(block: u64, uid: &BlobUid) -> Fault {
    let text = format!("block {block} names the blob {uid}, which a cleanup is deleting");
    Fault::Because(Error::DumpFormat(text))
}

/// A set of numbers, most of them small. Small ones take one bit each, at most 8 MiB together.
#[derive(Default)]
struct Seen {
    bits: Vec<u64>,
    large: HashSet<u64>,
}

impl Seen {
    const BITS: u64 = 1 << 26;

    /// Inserts a number. Returns whether it is new.
    fn insert(&mut self, number: u64) -> bool {
        if number >= Self::BITS {
            return self.large.insert(number);
        }
        let (word, bit) = ((number / 64) as usize, 1u64 << (number % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let before = self.bits[word];
        self.bits[word] |= bit;
        before & bit == 0
    }
}
