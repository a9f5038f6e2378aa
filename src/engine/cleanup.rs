//! Deletes the data that no version needs any more.

mod full;

use super::copies::Copies;
use super::{Site, Use};
use crate::failpoint;
use crate::meta::{Deletable, Fate};
use crate::monitor::{Level, Monitor};
use crate::store::BlobStore;
use crate::types::error::{Error, Result};
use crate::types::keys::EntryId;
use crate::types::time::Timestamp;
use crate::types::uid::BlobUid;
use crate::types::version::Count;
use chrono::TimeDelta;
use std::time::Instant;

pub use full::{full, preview_full};

/// Seconds for which blobs of removed versions are kept. A backup that found such a blob before the `rm` has
/// committed its row by then.
pub(super) const GRACE: i64 = 3600;
/// Number of names read, or entries deleted, at once.
const BATCH: usize = 1000;
/// Number of failed blobs per batch that are reported individually.
const MOST_REPORTED: usize = 10;
/// Highest number of entries checked in one transaction. The number starts at `BATCH` and doubles each time. Each
/// transaction is flushed to disk twice, into the journal and into the database, so large ones are faster. But other
/// writers wait while it runs.
const MOST_CANDIDATES: usize = 16 * BATCH;
/// On a full disk transactions become smaller, down to this number of entries.
const LEAST: usize = 16;

/// The result of a cleanup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Blobs whose data was deleted.
    pub deleted: u64,
    /// Blobs whose data could not be deleted. The next run tries again.
    pub failed: u64,
    /// Blobs that were listed as deletable but are in use.
    pub in_use: u64,
    /// Blobs that were kept because their grace time is not over.
    pub waiting: Waiting,
}

/// Whether a cleanup respects the grace time of blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// It keeps blobs whose grace time is not over.
    Respected,
    /// It does not wait.
    Waived,
}

impl Grace {
    /// Only entries up to this time, in seconds since 1970, may be deleted.
    fn before(self) -> i64 {
        match self {
            Grace::Respected => Timestamp::now().unix() - GRACE,
            Grace::Waived => i64::MAX,
        }
    }
}

/// Deletes the blobs of removed versions after their grace time.
///
/// # Errors
/// Another cleanup is running, or the database or the store fails. If the process is killed at any moment, no blob in
/// use was deleted, and the next run continues.
pub fn fast(site: &mut Site<'_>, grace: Grace) -> Result<Cleaned> {
    let _lock = site.locks.cleanup()?;
    // The order matters: a backup of 2.13 that read its base before the base was removed is still running now, or it
    // has ended.
    let before = grace.before();
    site.locks.no_old_backup(&site.config.process_name)?;
    let store = site.open_store(Use::Delete)?;
    let copies = Copies::open(site, &*store)?;
    if let Some(copies) = &copies {
        copies.before_cleanup(site)?;
    }
    let mut cleaned = Cleaned::default();
    // Scripts look for these messages of release 2.13.
    site.monitor.info("Deleting false positives...");
    trust_times(site)?;
    loop {
        let full = doom(site, before, &mut cleaned)?;
        if let Some(copies) = &copies {
            // Blobs of versions that were removed meanwhile may be doomed.
            copies.before_cleanup(site)?;
        }
        site.monitor.info("Deleting false positives: done. Now deleting blocks.");
        let deleted = cleaned.deleted;
        // This also finds blobs that an earlier run doomed before it was killed.
        let found = pages(site, |_, uids| Ok(uids.len() as u64))?;
        site.monitor.info(&format!("{found} delete candidate blocks found."));
        let mut left = found;
        pages(site, |site, uids| {
            left = left.saturating_sub(uids.len() as u64);
            delete(site, &*store, uids, left, &mut cleaned)?;
            Ok(0)
        })?;
        match full {
            None => break,
            // The deletions have freed space for more.
            Some(_) if cleaned.deleted > deleted => {}
            Some(error) => return Err(error),
        }
    }
    if let Some(copies) = &copies {
        copies.tidy(site)?;
    }
    cleaned.waiting = match grace {
        Grace::Respected => preview(site, grace, |_| Ok(()))?.waiting,
        Grace::Waived => Waiting::default(),
    };
    Ok(cleaned)
}

/// Entries written while the clock was ahead would wait until that time. Restamps them, so that their grace time
/// starts now.
fn trust_times(site: &mut Site<'_>) -> Result<()> {
    let now = Timestamp::now();
    let entries = site.meta.restamp_deleted(now.unix(), now.latest_plausible().unix())?;
    if entries > 0 {
        site.monitor.notice(&format!(
            "{entries} blobs were listed for deletion at a time in the future: the clock was wrong then, or \
             it is wrong now. They are kept for an hour from now."
        ));
    }
    Ok(())
}

/// Dooms all entries that may be deleted. On a full disk it returns the error that stopped it. The entries that are
/// doomed by then can still be deleted.
fn doom(site: &mut Site<'_>, before: i64, cleaned: &mut Cleaned) -> Result<Option<Error>> {
    let (mut after, mut limit, mut most) = (EntryId::START, BATCH, MOST_CANDIDATES);
    loop {
        site.monitor.check()?;
        let batch = match site.meta.take_delete_candidates(after, before, limit) {
            Err(Error::Full { .. }) if limit > LEAST => {
                limit = (limit / 4).max(LEAST);
                most = limit;
                continue;
            }
            Err(error @ Error::Full { .. }) => return Ok(Some(error)),
            batch => batch?,
        };
        limit = most.min(2 * limit);
        failpoint::pass("cleanup-doomed");
        cleaned.in_use += batch.in_use;
        match batch.next {
            Some(next) => after = next,
            None => return Ok(None),
        }
    }
}

/// Blobs that a cleanup keeps because their grace time is not over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Number of blobs, and their plain bytes.
    pub count: Count,
    /// When a cleanup would delete the last of these blobs.
    pub until: Option<Timestamp>,
}

impl Waiting {
    fn add(&mut self, entry: &Deletable) {
        self.count += Count { blocks: 1, bytes: entry.size };
        let until = Timestamp::from_unix(entry.time).after(TimeDelta::seconds(GRACE + 1));
        self.until = self.until.max(Some(until));
    }
}

/// The effects that a fast cleanup would have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Blobs that would be deleted, and their plain bytes.
    pub deletable: Count,
    /// Blobs that are listed but in use.
    pub in_use: u64,
    /// Blobs whose grace time is not over.
    pub waiting: Waiting,
}

/// Finds out what [`fast`] would do and calls `visit` with each blob that it would delete. Changes nothing.
///
/// # Errors
/// The database or `visit` fails.
pub fn preview(
    site: &mut Site<'_>,
    grace: Grace,
    mut visit: impl FnMut(&BlobUid) -> Result<()>,
) -> Result<Preview> {
    let mut preview = Preview::default();
    let before = grace.before();
    let mut after: Option<BlobUid> = None;
    loop {
        site.monitor.check()?;
        let entries = site.meta.deletable(after.as_ref(), before, BATCH)?;
        let Some(last) = entries.last() else { return Ok(preview) };
        after = Some(last.uid.clone());
        for entry in &entries {
            match entry.fate {
                Fate::Goes => {
                    preview.deletable += Count { blocks: 1, bytes: entry.size };
                    visit(&entry.uid)?;
                }
                Fate::InUse => preview.in_use += 1,
                Fate::Waits => preview.waiting.add(entry),
            }
        }
    }
}

/// Calls `visit` with batches of doomed blobs, and returns the sum of its results.
fn pages<'s>(
    site: &mut Site<'s>,
    mut visit: impl FnMut(&mut Site<'s>, &[BlobUid]) -> Result<u64>,
) -> Result<u64> {
    let mut sum = 0;
    let mut after: Option<BlobUid> = None;
    loop {
        site.monitor.check()?;
        let uids = site.meta.doomed(after.as_ref(), BATCH)?;
        let Some(last) = uids.last() else { return Ok(sum) };
        after = Some(last.clone());
        sum += visit(site, &uids)?;
    }
}

/// Deletes the data of doomed blobs, then their entries. `left` is the number of blobs that remain, for the progress
/// message.
fn delete(
    site: &mut Site<'_>,
    store: &dyn BlobStore,
    uids: &[BlobUid],
    left: u64,
    cleaned: &mut Cleaned,
) -> Result<()> {
    site.monitor.info(&format!("Deleting {} blocks", uids.len()));
    let started = Instant::now();
    let failed = store.delete(uids);
    let took = started.elapsed();
    failpoint::pass("cleanup-deleted");
    tell(site.monitor, store, uids.len(), &failed, "The next cleanup tries again.")?;
    let gone: Vec<BlobUid> =
        uids.iter().filter(|uid| !failed.iter().any(|(other, _)| other == *uid)).cloned().collect();
    cleaned.deleted += gone.len() as u64;
    cleaned.failed += failed.len() as u64;
    let started = Instant::now();
    site.meta.forget_deleted(&gone)?;
    let rate = gone.len() as f64 / took.as_secs_f64().max(0.001);
    let eta = if rate > 0.0 { left as f64 / rate } else { 0.0 };
    site.monitor.info(&format!(
        "Deleted {} blocks in {:.0}s ({rate:.0}/s). Blocks left: {left} ETA {eta:.0}s. DB delete took {:.0}s",
        gone.len(),
        took.as_secs_f64(),
        started.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Reports blobs that could not be deleted, up to `MOST_REPORTED` of them individually. If none of `all` could be deleted, it
/// finds out whether the store works at all.
///
/// # Errors
/// The store fails, or is another one.
fn tell(
    monitor: &dyn Monitor,
    store: &dyn BlobStore,
    all: usize,
    failed: &[(BlobUid, Error)],
    what_next: &str,
) -> Result<()> {
    let checked = if all > 0 && failed.len() == all { store.check() } else { Ok(()) };
    if matches!(checked, Err(Error::WrongStore { .. })) {
        return checked;
    }
    let reported = failed.iter().filter(|(_, error)| !matches!(error, Error::Interrupted(_)));
    for (_, error) in reported.clone().take(MOST_REPORTED) {
        monitor.advise(Level::Warning, &format!("{}. {what_next}", error.line()), error.remedies());
    }
    match reported.count().saturating_sub(MOST_REPORTED) {
        0 => {}
        more => monitor.warning(&format!("{more} more blobs could not be deleted. {what_next}")),
    }
    checked
}
