//! The RBD snapshots that versions were made from, and the snapshots that backups have made.

use super::catalogue;
use crate::meta::Metadata;
use crate::meta::sql::{Db, Fallible, Row, Work, values};
use crate::types::error::Result;
use crate::types::uid::VersionUid;
use crate::types::version::{ImageId, SnapshotOrigin, Version};

impl Metadata {
    /// The snapshot that `version` was made from, if it was recorded.
    pub fn origin(&mut self, version: &Version) -> Result<Option<SnapshotOrigin>> {
        self.read("looking up a snapshot", |db| of(db, &version.uid))
    }

    /// The versions made from snapshots of `image`, valid or not, by date.
    pub fn versions_of(&mut self, image: &ImageId) -> Result<Vec<(Version, SnapshotOrigin)>> {
        self.read("listing versions of an image", |db| versions_of(db, image))
    }

    /// Records that a snapshot of that name is about to be made. A repetition changes nothing.
    pub fn note_snapshot(&mut self, image: &ImageId, name: &str) -> Result<()> {
        self.write("noting a snapshot", Work::Small, |db| {
            db.execute(
                "INSERT INTO made_snapshots (cluster, pool, namespace, image, name) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO NOTHING",
                values![&image.cluster, image.pool, &image.namespace, &image.image, name],
            )?;
            Ok(())
        })
    }

    /// The snapshots that [`Metadata::note_snapshot`] has recorded, by name.
    pub fn noted_snapshots(&mut self, image: &ImageId) -> Result<Vec<String>> {
        self.read("listing snapshots", |db| {
            let sql = format!("SELECT name FROM made_snapshots WHERE {OF_IMAGE} ORDER BY name");
            let parameters = values![&image.cluster, image.pool, &image.namespace, &image.image];
            db.all(&sql, parameters, |row| row.text(0))
        })
    }

    /// Removes the record of a snapshot that is gone.
    pub fn forget_snapshot(&mut self, image: &ImageId, name: &str) -> Result<()> {
        self.write("forgetting a snapshot", Work::Small, |db| {
            db.execute(
                &format!("DELETE FROM made_snapshots WHERE {OF_IMAGE} AND name = ?5"),
                values![&image.cluster, image.pool, &image.namespace, &image.image, name],
            )?;
            Ok(())
        })
    }
}

const COLUMNS: &str = "cluster, pool, namespace, image, snapshot, taken";
/// The image that the first four parameters name.
const OF_IMAGE: &str = "cluster = ?1 AND pool = ?2 AND namespace = ?3 AND image = ?4";

fn from_row(row: &dyn Row) -> Fallible<SnapshotOrigin> {
    let image =
        ImageId { cluster: row.text(0)?, pool: row.int(1)?, namespace: row.text(2)?, image: row.text(3)? };
    Ok(SnapshotOrigin { image, snapshot: row.size(4)?, taken: row.int(5)? })
}

/// See [`Metadata::origin`].
pub(super) fn of(db: &mut dyn Db, uid: &VersionUid) -> Fallible<Option<SnapshotOrigin>> {
    let sql = format!("SELECT {COLUMNS} FROM version_origins WHERE version_uid = ?1");
    db.first(&sql, values![uid], from_row)
}

pub(super) fn record(db: &mut dyn Db, uid: &VersionUid, origin: &SnapshotOrigin) -> Fallible<()> {
    let SnapshotOrigin { image, snapshot, taken } = origin;
    db.execute(
        &format!("INSERT INTO version_origins ({COLUMNS}, version_uid) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"),
        values![&image.cluster, image.pool, &image.namespace, &image.image, *snapshot, *taken, uid],
    )?;
    Ok(())
}

fn versions_of(db: &mut dyn Db, image: &ImageId) -> Fallible<Vec<(Version, SnapshotOrigin)>> {
    let sql = format!("SELECT {COLUMNS}, version_uid FROM version_origins WHERE {OF_IMAGE}");
    let parameters = values![&image.cluster, image.pool, &image.namespace, &image.image];
    let rows = db.all(&sql, parameters, |row| Ok((from_row(row)?, VersionUid::from(row.text(6)?))))?;
    let mut found = Vec::new();
    for (origin, uid) in rows {
        if let Some(version) = catalogue::version(db, &uid)? {
            found.push((version, origin));
        }
    }
    found.sort_by_key(|(version, _)| (version.date, version.key));
    Ok(found)
}
