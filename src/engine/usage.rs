//! Reports the space that versions use, past backup runs, and differences between versions.

use super::{Site, names};
use crate::flow::rows::RowReader;
use crate::meta::{PastRun, Rows, Usage, VersionFilter};
use crate::types::block::BlockRow;
use crate::types::error::Result;
use crate::types::uid::VersionUid;
use crate::types::version::Version;

/// The space that one version uses, or that of each version, sorted by name, then date.
///
/// # Errors
/// There is no such version; the database fails.
pub(crate) fn space(site: &mut Site<'_>, version: Option<&str>) -> Result<Vec<(Version, Usage)>> {
    let (versions, only) = match version {
        Some(text) => {
            let version = names::find(site, text)?;
            (vec![version.clone()], Some(version))
        }
        None => (site.versions(&VersionFilter::default())?, None),
    };
    let mut usage = site.meta.usage(only.as_ref())?;
    Ok(versions
        .into_iter()
        .map(|version| {
            let usage = usage.remove(&version.key).unwrap_or_default();
            (version, usage)
        })
        .collect())
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
