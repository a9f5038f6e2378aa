//! Compares the copies in the store with the database, by their names alone.

use super::unknown::{Listing, Unknown};
use crate::engine::Site;
use crate::meta::{IndexRow, VersionFilter};
use crate::store::BlobStore;
use crate::types::error::Result;
use crate::types::object::{ObjectFolder, ObjectName};
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::collections::{HashMap, HashSet};

/// The most due copies. The database never lists more.
const ALL: usize = i64::MAX as usize;

/// What is wrong with the copies in a store, as far as their names show it.
#[derive(Debug, Default)]
pub(in crate::engine) struct Audit {
    /// Number of valid versions.
    pub versions: u64,
    /// Copies that are not up to date, the oldest first.
    pub due: Vec<DueVersion>,
    /// Valid versions whose copies should be in the store and are not.
    pub lost_versions: Vec<Version>,
    /// Lists of blobs that should be in the store and are not.
    pub lost_lists: Vec<IndexRow>,
    /// Number of blobs that valid versions need and that are in no list.
    pub uncovered: u64,
    /// Versions whose uids cannot be the name of a copy.
    pub nameless: Vec<Version>,
    /// Objects that the database does not know.
    pub unknown: Unknown,
}

/// A version whose copy is due.
#[derive(Debug)]
pub(in crate::engine) struct DueVersion {
    pub uid: VersionUid,
    /// `None` if it was removed: then its copy must be deleted.
    pub version: Option<Version>,
}

impl Audit {
    /// Compares the names. Other commands may run at the same time: only what is missing or unknown for the whole time
    /// counts.
    ///
    /// # Errors
    /// The store or the database fails.
    pub(in crate::engine) fn new(site: &mut Site<'_>, store: &dyn BlobStore) -> Result<Self> {
        let expected = Expected::new(site)?;
        let listing = Listing::read(store)?;
        let now = Expected::new(site)?;
        let lists = listing.names(ObjectFolder::Index);
        let versions = listing.names(ObjectFolder::Versions);
        let mut audit = Audit { versions: now.versions, nameless: now.nameless, ..Audit::default() };
        audit.lost_lists = now.lists.into_iter().filter(|list| !lists.contains(&list.name)).collect();
        audit.lost_lists.retain(|list| expected.lists.iter().any(|before| before.name == list.name));
        let was_expected: HashSet<&VersionUid> = expected.copied.iter().map(|version| &version.uid).collect();
        audit.lost_versions = now.copied;
        audit.lost_versions.retain(|version| {
            was_expected.contains(&version.uid) && !versions.contains(version.uid.as_str())
        });
        audit.due = now.due;
        // The copy of a removed version may be deleted already.
        audit.due.retain(|due| due.version.is_some() || versions.contains(due.uid.as_str()));
        audit.uncovered = site.meta.uncovered_count()?;
        audit.unknown = Unknown::among(site, &listing)?;
        if !audit.unknown.is_empty() {
            audit.unknown = audit.unknown.both(&Unknown::among(site, &Listing::read(store)?)?);
        }
        Ok(audit)
    }
}

/// What the database expects of the store.
struct Expected {
    versions: u64,
    lists: Vec<IndexRow>,
    /// Valid versions whose copies are up to date.
    copied: Vec<Version>,
    due: Vec<DueVersion>,
    nameless: Vec<Version>,
}

impl Expected {
    fn new(site: &mut Site<'_>) -> Result<Self> {
        let mut lists = site.meta.indexes()?;
        // The others are being written, or will be deleted.
        lists.retain(|list| list.live > 0);
        let due = site.meta.due_copies(0, ALL)?;
        let all = site.versions(&VersionFilter::default())?;
        let (all, nameless): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|version| ObjectName::version(&version.uid).is_some());
        let due_uids: HashSet<&VersionUid> = due.iter().map(|due| &due.uid).collect();
        let is_due = |version: &Version| due_uids.contains(&version.uid);
        let copied = all.iter().filter(|version| version.valid && !is_due(version)).cloned().collect();
        let versions = all.iter().filter(|version| version.valid).count() as u64;
        let mut by_uid: HashMap<VersionUid, Version> =
            all.into_iter().map(|version| (version.uid.clone(), version)).collect();
        let mut expected = Expected { versions, lists, copied, due: Vec::new(), nameless };
        let held = site.locks.held()?;
        for due in due.into_iter().filter(|due| ObjectName::version(&due.uid).is_some()) {
            let is_held = held.iter().any(|holder| holder.exclusive && due.uid == *holder.name);
            let version = by_uid.remove(&due.uid);
            let needs_none = match &version {
                // An incomplete version gets its copy at the end of its backup.
                Some(version) => !version.valid && (is_held || !site.meta.missing(version)?.is_empty()),
                None => is_held,
            };
            if !needs_none {
                expected.due.push(DueVersion { uid: due.uid, version });
            }
        }
        Ok(expected)
    }
}
