//! Sums over the whole installation.

use super::Site;
use crate::config::StoreConfig;
use crate::engine::Use;
use crate::engine::cleanup::GRACE;
use crate::meta::Deletions;
use crate::monitor::{Activity, Progress};
use crate::store::Found;
use crate::sys::space::{self, Space};
use crate::types::error::Result;
use crate::types::time::Timestamp;
use crate::types::version::{Count, Version};
use chrono::TimeDelta;

/// With more rows than this, the sizes of blobs are only added up if that was requested: their table would have to be
/// read as a whole.
const QUICK: i64 = 100_000;
/// Number of blobs between two reports of the progress.
const REPORTED: u64 = 10_000;

/// Sums over all versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Number of valid versions.
    pub valid: u64,
    /// Number of all versions.
    pub versions: u64,
    /// Bytes of the images of all valid versions.
    pub logical: u64,
    /// The blobs in the database, before compression; `None` if they were not added up. Those that wait for a cleanup
    /// count.
    pub data: Option<Count>,
    /// The blobs in the store, as they are stored; `None` if the store was not listed.
    pub stored: Option<Count>,
    /// The file system of the store; `None` if it is not a folder here.
    pub space: Option<Space>,
    /// The data that waits for a cleanup.
    pub deletions: Deletions,
    /// From then on a cleanup deletes all of it; `None` if it does so now, or if there is none.
    pub deletable: Option<Timestamp>,
}

impl Totals {
    /// How many times as large the images are as the data of which they consist.
    pub(crate) fn deduplication(&self) -> Option<f64> {
        ratio(self.logical, self.data?.bytes)
    }

    /// How many times as large the data is as the blobs.
    pub(crate) fn compression(&self) -> Option<f64> {
        ratio(self.data?.bytes, self.stored?.bytes)
    }
}

fn ratio(whole: u64, part: u64) -> Option<f64> {
    (part > 0).then(|| whole as f64 / part as f64)
}

/// Adds up. `current` says that the database is not one of an older release. `sizes` requests the sizes of all blobs,
/// in the database and in the store.
pub(super) fn of(
    site: &mut Site<'_>,
    versions: &[Version],
    current: bool,
    sizes: bool,
    now: Timestamp,
) -> Result<Totals> {
    let valid = versions.iter().filter(|version| version.valid);
    let logical = valid.clone().fold(0, |sum: u64, version| sum.saturating_add(version.size_bytes));
    let deletions = site.meta.deletions(now.unix() - GRACE)?;
    // The table of blobs is empty if the catalogue of an older database was copied.
    let highest = if current { site.meta.highest_blob()? } else { None };
    let wanted = highest.is_some_and(|highest| sizes || highest.0 <= QUICK) || current && versions.is_empty();
    Ok(Totals {
        valid: valid.count() as u64,
        versions: versions.len() as u64,
        logical,
        data: if wanted { Some(site.meta.blob_count()?) } else { None },
        stored: if sizes { Some(stored(site)?) } else { None },
        space: match &site.config.data.store {
            StoreConfig::File { path, .. } => space::of(path),
            StoreConfig::Null | StoreConfig::S3(_) => None,
        },
        deletable: deletions.newest.map(|newest| newest.after(TimeDelta::seconds(GRACE + 1))),
        deletions,
    })
}

/// Lists the store, and adds up the sizes of its blobs.
fn stored(site: &mut Site<'_>) -> Result<Count> {
    let store = site.open_store(Use::Read)?;
    let mut sum = Count::default();
    store.survey("", &mut |found| {
        if let Found::Blob { bytes, .. } = found {
            sum.add(bytes.unwrap_or_default());
            if sum.blocks.is_multiple_of(REPORTED) {
                site.monitor.check()?;
                let activity = Activity::Check { step: "listing the blobs" };
                site.monitor.progress(&Progress::new(activity, sum.blocks, sum.blocks, sum.bytes));
            }
        }
        Ok(())
    })?;
    Ok(sum)
}
