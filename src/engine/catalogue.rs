//! Lists versions and changes their protection.

use super::{Site, copies, future, names};
use crate::meta::{PastRun, VersionFilter};
use crate::types::error::{Error, Result};
use crate::types::uid::VersionUid;
use crate::types::version::Version;
use std::collections::HashMap;

/// The fewest characters of a uid that a listing for people shows. They are rarely the same for two versions.
const SHORT: usize = 8;

/// The versions that pass `filter`, sorted by name, then date. Warns about versions that are dated in the future.
///
/// # Errors
/// The database fails.
pub(crate) fn list(site: &mut Site<'_>, filter: &VersionFilter) -> Result<Vec<Version>> {
    let versions = site.versions(filter)?;
    future::tell(site, &versions, "Automatic tags, `due` and `sla` ignore them.");
    Ok(versions)
}

/// What a listing for people shows of versions besides their rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Details {
    /// Plain bytes that the backups of a version have stored.
    new: HashMap<VersionUid, u64>,
    /// Number of characters that tell all uids apart.
    enough: usize,
}

impl Details {
    /// The details of these versions, whose backups were these.
    pub(crate) fn of(versions: &[Version], runs: &[PastRun]) -> Self {
        let mut new: HashMap<VersionUid, u64> = HashMap::new();
        for run in runs {
            let sum = new.entry(run.version_uid.clone()).or_default();
            *sum = sum.saturating_add(run.statistics.written.bytes);
        }
        let mut uids: Vec<&str> = versions.iter().map(|version| version.uid.as_str()).collect();
        uids.sort_unstable();
        let shared = |pair: &[&str]| pair[0].chars().zip(pair[1].chars()).take_while(|(a, b)| a == b).count();
        let enough = uids.windows(2).map(|pair| shared(pair) + 1).fold(SHORT, usize::max);
        Details { new, enough }
    }

    /// Plain bytes that the backups of this version have stored; `None` if no statistics are known.
    pub(crate) fn new_bytes(&self, uid: &VersionUid) -> Option<u64> {
        self.new.get(uid).copied()
    }

    /// The beginning of the uid, which no other version has. Commands accept it as the version.
    pub(crate) fn short<'u>(&self, uid: &'u VersionUid) -> &'u str {
        let uid = uid.as_str();
        uid.char_indices().nth(self.enough).map_or(uid, |(end, _)| &uid[..end])
    }
}

/// The details of all versions.
///
/// # Errors
/// The database fails.
pub(crate) fn details(site: &mut Site<'_>) -> Result<Details> {
    let versions = site.versions(&VersionFilter::default())?;
    Ok(Details::of(&versions, &site.meta.past_runs(None, None)?))
}

/// Warns if no version has this name: it may be misspelt.
///
/// # Errors
/// The database fails.
pub(crate) fn tell_unknown(site: &mut Site<'_>, name: &str) -> Result<()> {
    let filter = VersionFilter { name: Some(name.to_owned()), ..VersionFilter::default() };
    if site.versions(&filter)?.is_empty() {
        site.monitor.notice(&format!("There is no version of the name '{name}'."));
    }
    Ok(())
}

/// Protects a version from `rm`, or removes the protection.
///
/// # Errors
/// There is no such version, or it already has the requested state.
pub(crate) fn set_protected(site: &mut Site<'_>, version: &str, protected: bool) -> Result<()> {
    let version = names::find(site, version)?;
    if version.protected == protected {
        let state = if protected { "already" } else { "not" };
        return Err(Error::refused(format!("Version {} is {state} protected.", version.uid)));
    }
    site.meta.set_protected(&version, protected)?;
    copies::follow(site);
    Ok(())
}
