//! The changes since an upgrade, for an administrator who wants to go back to 2.13.

use super::sqlite;
use super::url::DatabaseUrl;
use crate::types::error::Result;
use crate::types::uid::VersionUid;
use std::path::{Path, PathBuf};

/// The database to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoingBack {
    /// The database is on a server, where an upgrade keeps no copy.
    NoCopies,
    /// The database was not upgraded yet.
    NotUpgraded,
    /// The copy from before the upgrade is not at this path.
    CopyMissing(PathBuf),
    /// There is a copy.
    To {
        /// Its path.
        copy: PathBuf,
        /// The changes since the copy was made.
        since: Since,
    },
}

/// The changes since a copy of the database was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    /// Versions made or imported, oldest first.
    pub made: Vec<LoneVersion>,
    /// Versions removed, oldest first.
    pub removed: Vec<LoneVersion>,
    /// Uids of versions with blobs that were good then and are bad now.
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
    /// For a removed version, the number of its blobs that no block names any more. Their data is deleted, or about to
    /// be.
    pub gone: u64,
}

/// Compares the database at `url` with the one from before its upgrade: `copy`, or the file that the upgrade has kept.
/// Changes nothing.
///
/// # Errors
/// The copy is not a database of an older release, or one of the databases fails.
pub fn since_upgrade(url: &str, copy: Option<&Path>) -> Result<GoingBack> {
    match DatabaseUrl::parse(url)? {
        DatabaseUrl::File(path) => sqlite::since::going_back(&path, copy),
        DatabaseUrl::Server(_) => Ok(GoingBack::NoCopies),
    }
}
