//! Reports the space that versions use, past backup runs, and differences between versions.

use super::store_parts::Part;
use super::{Site, Use, names};
use crate::flow::rows::RowReader;
use crate::meta::{PastRun, Rows, Usage, VersionFilter};
use crate::monitor::{Activity, Progress};
use crate::types::block::BlockRow;
use crate::types::error::Result;
use crate::types::keys::VersionKey;
use crate::types::uid::{BlobUid, VersionUid};
use crate::types::version::Version;
use std::collections::HashMap;

/// The space that one version uses, or that of each version, sorted by name, then date.
///
/// # Errors
/// There is no such version; the database fails.
pub(crate) fn space(site: &mut Site<'_>, version: Option<&str>) -> Result<Vec<(Version, Usage)>> {
    let versions = measured(site, version)?;
    let only = version.and_then(|_| versions.first().cloned());
    let mut usage = site.meta.usage(only.as_ref())?;
    Ok(versions
        .into_iter()
        .map(|version| {
            let usage = usage.remove(&version.key).unwrap_or_default();
            (version, usage)
        })
        .collect())
}

/// The version to measure, or all versions, sorted by name, then date.
///
/// # Errors
/// There is no such version; the database fails.
pub(crate) fn measured(site: &mut Site<'_>, version: Option<&str>) -> Result<Vec<Version>> {
    match version {
        Some(text) => Ok(vec![names::find(site, text)?]),
        None => site.versions(&VersionFilter::default()),
    }
}

/// The bytes that each version takes in the data store: the sizes of its blobs there, each divided among all versions
/// that use it. The sum over all versions is the size of the store, without data that waits for a cleanup.
///
/// # Errors
/// The database or the store fails.
pub(crate) fn on_disk(site: &mut Site<'_>) -> Result<HashMap<VersionKey, u64>> {
    let store = site.open_store(Use::Read)?;
    store.check()?;
    let parts = Part::all(site.meta.blob_count()?.blocks);
    let mut sums: HashMap<VersionKey, u64> = HashMap::new();
    for (number, part) in parts.iter().enumerate() {
        let activity = Activity::Measure { step: "the blobs of the data store" };
        site.monitor.progress(&Progress::new(activity, number as u64, parts.len() as u64, 0));
        part.list(&*store, &mut Vec::new(), &mut |part, stored| {
            site.monitor.check()?;
            let bytes = |uid: &BlobUid| match stored.binary_search_by(|found| found.uid.cmp(uid)) {
                Ok(index) => stored[index].bytes.unwrap_or_default(),
                Err(_) => 0,
            };
            for (version, bytes) in site.meta.shares(&part.from, part.to.as_deref(), &bytes)? {
                let sum = sums.entry(version).or_default();
                *sum = sum.saturating_add(bytes);
            }
            Ok(())
        })?;
    }
    Ok(sums)
}

/// Past runs of a version, or of all versions, oldest first. The version may have been removed since; then only its
/// complete uid finds its runs.
///
/// # Errors
/// The text is ambiguous, or the database fails.
pub(crate) fn past_runs(
    site: &mut Site<'_>,
    version: Option<&str>,
    limit: Option<u64>,
) -> Result<Vec<PastRun>> {
    let uid = match version {
        Some(text) => {
            let whole = VersionUid::from(text);
            if site.meta.past_runs(Some(&whole), Some(1))?.is_empty() {
                match &names::candidates(site, text)?[..] {
                    [] => Some(whole),
                    [version] => Some(version.uid.clone()),
                    several => return Err(names::ambiguous(text, several)),
                }
            } else {
                Some(whole)
            }
        }
        None => None,
    };
    site.meta.past_runs(uid.as_ref(), limit)
}

/// How a block differs between two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Both name the same blob, or both are holes.
    Same,
    /// The blobs are different.
    Differs,
    /// Only the first version has it.
    OnlyLeft,
    /// Only the second version has it.
    OnlyRight,
}

/// Compares two versions block by block, using only their metadata.
///
/// # Errors
/// There is no such version, or the database or `each` fails.
pub(crate) fn differences(
    site: &mut Site<'_>,
    left: &str,
    right: &str,
    each: &mut dyn FnMut(u64, Difference) -> Result<()>,
) -> Result<()> {
    let (left, right) = (names::find(site, left)?, names::find(site, right)?);
    let mut left = RowReader::new(&left, 0, Rows::All);
    let mut right = RowReader::new(&right, 0, Rows::All);
    loop {
        site.monitor.check()?;
        let meta = &mut site.meta;
        let (a, b) = (left.peek(meta)?, right.peek(meta)?);
        let (id, difference) = match (a, b) {
            (None, None) => return Ok(()),
            (Some(a), None) => (a.id, Difference::OnlyLeft),
            (None, Some(b)) => (b.id, Difference::OnlyRight),
            (Some(a), Some(b)) if a.id < b.id => (a.id, Difference::OnlyLeft),
            (Some(a), Some(b)) if a.id > b.id => (b.id, Difference::OnlyRight),
            (Some(a), Some(b)) if same_data(a, b) => (a.id, Difference::Same),
            (Some(a), Some(_)) => (a.id, Difference::Differs),
        };
        each(id, difference)?;
        if difference != Difference::OnlyRight {
            left.next(meta)?;
        }
        if difference != Difference::OnlyLeft {
            right.next(meta)?;
        }
    }
}

/// Whether both blocks are holes or use the same blob. As in 2.13, data that was stored twice counts as different,
/// even if the checksums are equal.
fn same_data(a: &BlockRow, b: &BlockRow) -> bool {
    match (&a.blob, &b.blob) {
        (None, None) => true,
        (Some(a), Some(b)) => a.uid == b.uid,
        _ => false,
    }
}
