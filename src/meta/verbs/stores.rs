//! The store that the blobs of this database are in.
//!
//! A store has an identity, and the database remembers its UUID. To make an identity takes two steps, so that a crash
//! in between does no harm: the row is named `making` until the identity is in the store, and `main` from then on.

use super::copies::forget_all;
use crate::meta::sql::{Db, Fallible, Value, Work, values};
use crate::meta::{Metadata, SampleBlob, SchemaState, StoreRow};
use crate::types::error::Result;

/// The name of the store. There is one now.
const MAIN: &str = "main";
/// The name of a store whose identity may not be written yet.
const MAKING: &str = "making";

impl Metadata {
    /// What the database remembers of its store. `None` if nothing, or if the database has no table for that yet.
    pub fn store(&mut self) -> Result<Option<StoreRow>> {
        match self.state()? {
            SchemaState::Current => self.read("reading what the store is", store),
            _ => Ok(None),
        }
    }

    /// Records that an identity with this UUID, and this wrapped key, is being made, unless there is a row already.
    /// Returns the row that is there then.
    pub fn begin_store(&mut self, uuid: &str, envkey: Option<&str>) -> Result<Option<StoreRow>> {
        self.write("recording the store", Work::Small, |db| {
            let begun = db.execute(
                "INSERT INTO stores (name, uuid, envkey)
                 SELECT CAST(?1 AS VARCHAR(64)), CAST(?2 AS VARCHAR(36)), CAST(?3 AS VARCHAR(80))
                 WHERE NOT EXISTS (SELECT 1 FROM stores) ON CONFLICT DO NOTHING",
                values![MAKING, uuid, envkey],
            )?;
            if begun > 0 {
                // Copies in a store with another identity are no good.
                forget_all(db)?;
            }
            store(db)
        })
    }

    /// Records that the store with this UUID belongs to the database, unless another one does. Returns the row that is
    /// there then.
    pub fn remember_store(&mut self, uuid: &str, envkey: Option<&str>) -> Result<Option<StoreRow>> {
        self.write("recording the store", Work::Small, |db| {
            db.execute(
                "INSERT INTO stores (name, uuid, envkey) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                values![MAIN, uuid, envkey],
            )?;
            db.execute("DELETE FROM stores WHERE name = ?1", values![MAKING])?;
            store(db)
        })
    }

    /// Records the wrapped key of the store, unless there is one already. Returns the row that is there then.
    pub fn set_store_key(&mut self, envkey: &str) -> Result<Option<StoreRow>> {
        self.write("recording the key of the store", Work::Small, |db| {
            // Copies that were made without the key are no good any more.
            if db.execute("UPDATE stores SET envkey = ?1 WHERE envkey IS NULL", values![envkey])? > 0 {
                forget_all(db)?;
            }
            store(db)
        })
    }

    /// Some blobs that should be in the store, valid ones before others: the newest, and some at random. Empty only if the
    /// database knows of no blob.
    pub fn sample_of_store(&mut self, limit: usize) -> Result<Vec<SampleBlob>> {
        self.read("reading the names of some blobs", |db| sample(db, limit))
    }

    /// Whether any blob is not encrypted.
    pub fn has_plain_blobs(&mut self) -> Result<bool> {
        self.read("looking for blobs without encryption", |db| {
            let sql = "SELECT count(*) FROM (SELECT 1 FROM blobs WHERE id > 0 AND enc_version = 0 LIMIT 1) AS plain";
            Ok(db.number(sql, &[])? > 0)
        })
    }
}

fn store(db: &mut dyn Db) -> Fallible<Option<StoreRow>> {
    // In this order `main` comes first.
    db.first("SELECT uuid, envkey, name FROM stores ORDER BY name LIMIT 1", &[], |row| {
        Ok(StoreRow { uuid: row.text(0)?, envkey: row.filled(1)?, made: row.text(2)? == MAIN })
    })
}

fn sample(db: &mut dyn Db, limit: usize) -> Fallible<Vec<SampleBlob>> {
    let mut found: Vec<SampleBlob> = Vec::new();
    let mut add = |db: &mut dyn Db, certain: bool, condition: &str, parameters: &[Value]| -> Fallible<bool> {
        let sql = format!("SELECT uid, coalesce(size, 0) FROM {condition}");
        for blob in db.all(&sql, parameters, |row| {
            Ok(SampleBlob { uid: row.opt_text(0)?.unwrap_or_default().into(), size: row.count(1)?, certain })
        })? {
            if !found.iter().any(|other| other.uid == blob.uid) {
                found.push(blob);
            }
        }
        Ok(found.len() < limit)
    };
    let half = limit / 2;
    add(db, true, "blobs WHERE id > 0 AND valid = 1 ORDER BY id DESC LIMIT ?1", values![half])?;
    let last = db.number("SELECT coalesce(max(id), 0) FROM blobs", &[])?.max(0);
    for _ in 0..half {
        let from = fastrand::i64(0..=last).max(1);
        add(db, true, "blobs WHERE id >= ?1 AND valid = 1 ORDER BY id LIMIT 1", values![from])?;
    }
    // Blobs that may have been lost or deleted.
    if add(db, false, "blobs WHERE id > 0 AND valid = 0 ORDER BY id DESC LIMIT ?1", values![limit])? {
        add(db, false, "deleted_blocks WHERE uid <> '' ORDER BY id DESC LIMIT ?1", values![limit])?;
    }
    found.truncate(limit);
    Ok(found)
}
