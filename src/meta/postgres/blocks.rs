//! Looks up blobs and commits blocks, many per statement, because each statement costs a round trip to the server.
//!
//! To find out whether a block uses a blob, the statements use `max`, which the server answers from the index. With
//! `EXISTS` and without statistics the server would scan the table, expecting an early match. Holes have no checksum
//! and no uid, so no condition on the id is necessary to exclude them. Such a condition would read another index.

use super::db::Statements;
use crate::failpoint;
use crate::meta::sql::{BlockSql, Fallible, Fault};
use crate::meta::verbs::{hole, keep};
use crate::meta::{Fingerprint, Known, NewBlob, NewRow};
use crate::types::keys::{BlobId, VersionKey};
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;
use postgres::GenericClient;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use std::collections::HashMap;

impl<C: GenericClient> BlockSql for Statements<'_, C> {
    fn find_known(&mut self, wanted: &[Fingerprint]) -> Fallible<Vec<Option<Known>>> {
        let checksums: Vec<&str> = wanted.iter().map(|f| f.checksum.as_str()).collect();
        let sizes: Vec<i64> = wanted.iter().map(|f| f.size as i64).collect();
        let versions: Vec<i32> = wanted.iter().map(|f| f.enc_version as i32).collect();
        // A blob that no block uses is not a match, because 2.13 may have deleted its data.
        let rows = self.ask(
            "SELECT w.n, known.id, known.uid
             FROM unnest(?1::text[], ?2::bigint[], ?3::int[]) WITH ORDINALITY AS w (checksum, size, enc_version, n)
             CROSS JOIN LATERAL (
                 SELECT id, uid FROM blobs b
                 WHERE b.checksum = w.checksum AND b.size = w.size AND b.enc_version = w.enc_version AND b.valid = 1
                   AND (SELECT max(blob_id) FROM block_map WHERE blob_id = b.id) IS NOT NULL
                 LIMIT 1) AS known",
            &[&checksums, &sizes, &versions],
        )?;
        let mut found = vec![None; wanted.len()];
        for row in rows {
            let n: i64 = row.try_get(0)?;
            if let Some(place) = usize::try_from(n - 1).ok().and_then(|n| found.get_mut(n)) {
                *place = Some(Known { id: BlobId(row.try_get(1)?), uid: row.try_get::<_, &str>(2)?.into() });
            }
        }
        Ok(found)
    }

    fn commit_blocks(&mut self, version: VersionKey, rows: &[NewRow]) -> Fallible<Vec<u64>> {
        // There is no foreign key, so lock the row of the version.
        keep(self, version)?;
        let (mut plain, mut reused, mut new): (Vec<(u64, BlobId)>, Vec<_>, Vec<&NewBlob>) =
            Default::default();
        let mut holes = HashMap::new();
        for row in rows {
            match row {
                NewRow::Sparse { id, size } => {
                    let blob = match holes.get(size) {
                        Some(blob) => *blob,
                        None => *holes.entry(*size).or_insert(hole(self, *size)?),
                    };
                    plain.push((*id, blob));
                }
                NewRow::Reuse { id, known } => reused.push((*id, known)),
                NewRow::Store { blob, .. } => new.push(blob),
            }
        }
        let rejected = reuse(self, version, &reused)?;
        let keys = insert_blobs(self, &new)?;
        failpoint::pass("commit-middle");
        for row in rows {
            if let NewRow::Store { ids, blob } = row {
                let missing = || Fault::Value(format!("the blob {} has no row", blob.uid).into());
                let key = *keys.get(&blob.uid).ok_or_else(missing)?;
                plain.extend(ids.iter().map(|id| (*id, key)));
            }
        }
        copy_map(self, version, &plain)?;
        Ok(rejected)
    }
}

/// Inserts rows for blocks that reuse blobs. A blob that was removed or marked bad since it was found gets no row.
/// The others are locked against deletion until the transaction ends.
fn reuse<C: GenericClient>(
    db: &mut Statements<'_, C>,
    version: VersionKey,
    rows: &[(u64, &Known)],
) -> Fallible<Vec<u64>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = rows.iter().map(|(id, _)| *id as i64).collect();
    let blobs: Vec<i64> = rows.iter().map(|(_, known)| known.id.0).collect();
    let uids: Vec<&str> = rows.iter().map(|(_, known)| known.uid.as_str()).collect();
    let taken = db.ask(
        "INSERT INTO block_map (version_id, block_id, blob_id)
         SELECT ?1, w.block_id, b.id
         FROM unnest(?2::bigint[], ?3::bigint[], ?4::text[]) AS w (block_id, blob_id, uid)
         JOIN blobs b ON b.id = w.blob_id AND b.uid = w.uid AND b.valid = 1
         WHERE (SELECT max(m.blob_id) FROM block_map m WHERE m.blob_id = b.id) IS NOT NULL
         FOR KEY SHARE OF b
         RETURNING block_id",
        &[&version.0, &ids, &blobs, &uids],
    )?;
    let taken: std::collections::HashSet<i64> =
        taken.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(rows.iter().map(|(id, _)| *id).filter(|id| !taken.contains(&(*id as i64))).collect())
}

/// Inserts the rows of blobs. Returns their keys by uid.
fn insert_blobs<C: GenericClient>(
    db: &mut Statements<'_, C>,
    blobs: &[&NewBlob],
) -> Fallible<HashMap<BlobUid, BlobId>> {
    if blobs.is_empty() {
        return Ok(HashMap::new());
    }
    let uids: Vec<&str> = blobs.iter().map(|b| b.uid.as_str()).collect();
    let checksums: Vec<&str> = blobs.iter().map(|b| b.fingerprint.checksum.as_str()).collect();
    let sizes: Vec<i64> = blobs.iter().map(|b| b.fingerprint.size as i64).collect();
    let versions: Vec<i32> = blobs.iter().map(|b| b.encryption.version as i32).collect();
    let envkeys: Vec<Option<&str>> = blobs.iter().map(|b| b.encryption.envkey.as_deref()).collect();
    let nonces: Vec<Option<&str>> = blobs.iter().map(|b| b.encryption.nonce.as_deref()).collect();
    let rows = db.ask(
        "INSERT INTO blobs (uid, checksum, size, valid, enc_version, enc_envkey, enc_nonce, date)
         SELECT uid, checksum, size, 1, enc_version, enc_envkey, enc_nonce, ?7
         FROM unnest(?1::text[], ?2::text[], ?3::bigint[], ?4::int[], ?5::text[], ?6::text[])
             AS new (uid, checksum, size, enc_version, enc_envkey, enc_nonce)
         RETURNING uid, id",
        &[&uids, &checksums, &sizes, &versions, &envkeys, &nonces, &Timestamp::now().naive()],
    )?;
    rows.iter().map(|row| Ok((row.try_get::<_, &str>(0)?.into(), BlobId(row.try_get(1)?)))).collect()
}

/// Inserts rows of `block_map` with COPY.
fn copy_map<C: GenericClient>(
    db: &mut Statements<'_, C>,
    version: VersionKey,
    rows: &[(u64, BlobId)],
) -> Fallible<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = "COPY block_map (version_id, block_id, blob_id) FROM STDIN BINARY";
    super::pause::point(sql);
    let mut writer = BinaryCopyInWriter::new(db.client.copy_in(sql)?, &[Type::INT8, Type::INT8, Type::INT8]);
    for (id, blob) in rows {
        writer.write(&[&version.0, &(*id as i64), &blob.0])?;
    }
    writer.finish()?;
    Ok(())
}
