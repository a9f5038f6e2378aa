//! What has happened since an upgrade, for an administrator who wants to go back to 2.13.

use super::sqlite;
use super::url::DatabaseUrl;
use crate::types::error::Result;
use crate::types::uid::VersionUid;
use std::path::{Path, PathBuf};

/// What there is to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoingBack {
    /// The database is on a server, of which an upgrade keeps no copy.
    NoCopies,
    /// The database was not upgraded yet.
    NotUpgraded,
    /// The copy from before the upgrade is not at this path.
    CopyMissing(PathBuf),
    /// There is a copy.
    To {
        /// Its path.
        copy: PathBuf,
        /// What has happened since it was made.
        since: Since,
    },
}

/// What has happened since a copy of the database was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// Versions made or imported, oldest first.
    pub made: Vec<LoneVersion>,
    /// Versions removed, oldest first.
    pub removed: Vec<LoneVersion>,
    /// Uids of versions whose blobs were all good then, and of which some have been found bad.
    pub damaged: Vec<VersionUid>,
    /// Whether keys were wrapped with another master key.
    pub rekeyed: bool,
}

/// A version that only one of the two databases has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoneVersion {
    /// Its uid.
    pub uid: VersionUid,
    /// Its name.
    pub name: String,
    /// Whether it is protected.
    pub protected: bool,
    /// For a version that was removed: the number of its blobs that no block names any more, and whose data is deleted or
    /// about to be.
    pub gone: u64,
}

/// Compares the database that `url` names with the one from before its upgrade: `copy`, or the file that the upgrade has
/// kept. Changes nothing.
///
/// # Errors
/// The copy is no database of an older release; what either database says.
pub fn since_upgrade(url: &str, copy: Option<&Path>) -> Result<GoingBack> {
    match DatabaseUrl::parse(url)? {
        DatabaseUrl::File(path) => sqlite::since::going_back(&path, copy),
        DatabaseUrl::Server(_) => Ok(GoingBack::NoCopies),
    }
}
