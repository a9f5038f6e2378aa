//! When versions were verified.

use crate::meta::sql::{Work, values};
use crate::meta::{Metadata, VerifiedBy};
use crate::types::error::Result;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::collections::HashMap;

/// The share of a version that was read as a whole.
const WHOLE: u8 = 100;

impl Metadata {
    /// Records that this share of a version's blocks, in percent, was read and is good. An earlier record of the same
    /// share is replaced. Does nothing if the version was removed meanwhile.
    pub fn record_verification(
        &mut self,
        version: &Version,
        by: VerifiedBy,
        share: u8,
        now: Timestamp,
    ) -> Result<()> {
        let kind = match by {
            VerifiedBy::Scrub => "scrub",
            VerifiedBy::Restore => "restore",
        };
        self.write("recording a verification", Work::Optional, |db| {
            db.execute(
                "INSERT INTO verifications (version_uid, share, date, kind)
                 SELECT uid, ?2, ?3, ?4 FROM versions WHERE uid = ?1
                 ON CONFLICT (version_uid, share) DO UPDATE SET date = excluded.date, kind = excluded.kind",
                values![&version.uid, u32::from(share), now, kind],
            )?;
            Ok(())
        })
    }

    /// When each version was last read as a whole and found good. Leaves out versions of which no such record exists.
    pub fn verifications(&mut self) -> Result<HashMap<VersionUid, Timestamp>> {
        self.read("looking up verifications", |db| {
            let sql = "SELECT version_uid, date FROM verifications WHERE share = ?1";
            let rows =
                db.all(sql, values![u32::from(WHOLE)], |row| Ok((row.text(0)?.into(), row.time(1)?)))?;
            Ok(rows.into_iter().collect())
        })
    }
}
