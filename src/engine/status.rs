//! An overview: for each name its newest version and whether that is young enough, and sums over the installation.
//!
//! It reads versions, tags and statistics, and a few rows of other tables. Its cost does not grow with the number of
//! blocks, unless the sizes in the store are requested.

mod judge;
mod names;
mod totals;

use super::{Site, future};
use crate::meta::{BadBlobs, SchemaState, VersionFilter};
use crate::types::error::Result;
use crate::types::time::Timestamp;
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) use judge::Severity;
#[cfg(test)]
pub(crate) use names::Work;
pub(crate) use names::{Attempt, Flaw, NameStatus, State};
pub(crate) use totals::Totals;

/// The most bad blobs that are counted.
pub(crate) const MOST_BAD: usize = 1000;

/// An overview of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// The moment for which ages were computed.
    pub at: Timestamp,
    /// The names, sorted.
    pub names: Vec<NameStatus>,
    /// Number of blobs that are marked as bad and that versions need, up to [`MOST_BAD`].
    pub bad_blobs: u64,
    /// Sums over all versions; `None` if names were chosen.
    pub totals: Option<Totals>,
}

impl Status {
    /// The worst of all names, and of the marks on blobs.
    pub(crate) fn severity(&self) -> Severity {
        let names = self.names.iter().map(|name| name.severity).max();
        // Without a name there is no backup at all.
        let names = names.unwrap_or(Severity::Critical);
        if self.bad_blobs > 0 { Severity::Critical } else { names }
    }
}

/// Options of a status.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options<'o> {
    /// Only these names, even if they have no version; empty for all, and for those that jobs are to make.
    pub names: &'o [String],
    /// Count the bytes in the store, by listing it, and the bytes of all blobs in the database.
    pub sizes: bool,
}

/// Makes an overview for the moment `now`. Versions dated in the future cause a warning, and do not count for the age.
///
/// # Errors
/// The database fails; the store fails, if its sizes are requested.
pub(crate) fn run(site: &mut Site<'_>, options: Options<'_>, now: Timestamp) -> Result<Status> {
    let versions = site.versions(&VersionFilter::default())?;
    of(site, versions, options, now)
}

/// As [`run`], with all versions of the installation.
///
/// # Errors
/// As [`run`].
pub(super) fn of(
    site: &mut Site<'_>,
    versions: Vec<Version>,
    options: Options<'_>,
    now: Timestamp,
) -> Result<Status> {
    let chosen = |version: &&Version| options.names.is_empty() || options.names.contains(&version.name);
    future::tell(site, versions.iter().filter(chosen), "They do not count as recent backups here.");
    let state = site.meta.state()?;
    let current = !matches!(state, SchemaState::Old { .. });
    // A database of an older release has no list of bad blobs.
    let bad = if current { site.meta.bad_blobs(MOST_BAD)? } else { BadBlobs::default() };
    let held: BTreeSet<VersionUid> = under_way(site)?;
    let totals = options.names.is_empty().then(|| totals::of(site, &versions, current, options.sizes, now));
    let totals = totals.transpose()?;
    let mut by_name: BTreeMap<String, Vec<Version>> = BTreeMap::new();
    for version in versions {
        by_name.entry(version.name.clone()).or_default().push(version);
    }
    if options.names.is_empty() {
        for name in site.config.run.certain_names() {
            by_name.entry(name.to_owned()).or_default();
        }
    } else {
        let mut chosen = BTreeMap::new();
        for name in options.names {
            let versions = by_name.remove(name).unwrap_or_default();
            chosen.entry(name.clone()).or_insert(versions);
        }
        by_name = chosen;
    }
    let verified = if state == SchemaState::Current { site.meta.verifications()? } else { HashMap::new() };
    let facts = names::Facts {
        held: &held,
        bad: &bad.versions,
        verified: &verified,
        schedulers: &site.config.schedulers,
        run: &site.config.run,
        retention: &site.config.retention,
        now,
    };
    let mut names: Vec<NameStatus> =
        by_name.into_iter().map(|(name, versions)| names::of(name, versions, &facts)).collect();
    if options.names.is_empty() {
        // The first night of a new job may not have come yet.
        for name in names.iter_mut().filter(|name| name.all == 0) {
            name.severity = Severity::Warning;
        }
    }
    names::add_work(site, &mut names)?;
    Ok(Status { at: now, names, bad_blobs: bad.number, totals })
}

/// The names of all locks that another process holds alone. Among them are the uids of the versions that are being
/// written.
pub(super) fn under_way(site: &Site<'_>) -> Result<BTreeSet<VersionUid>> {
    let held = site.locks.held()?;
    Ok(held.into_iter().filter(|holder| holder.exclusive).map(|holder| holder.name.into()).collect())
}

#[cfg(test)]
mod tests;
