//! Deleting the data that no version needs any more.

use super::Site;
use crate::failpoint;
use crate::meta::Fate;
use crate::monitor::Monitor;
use crate::store::BlobStore;
use crate::types::error::{Error, Result};
use crate::types::time::Timestamp;
use crate::types::version::Count;
use std::time::Instant;

/// Blobs of removed versions stay for so long, in seconds: a backup that found one as known before the `rm`
/// has committed its row by then.
const GRACE: i64 = 3600;
/// Names asked for, and entries deleted, at once.
const BATCH: usize = 1000;
/// Blobs of a batch whose failure is told one by one.
const MOST_TOLD: usize = 10;
/// Entries looked at in one transaction: `BATCH` at first, twice as many each time, and never more than these. Each
/// transaction is flushed to disk twice, into the journal and into the database; but other writers wait for it.
const MOST_CANDIDATES: usize = 16 * BATCH;

/// What a cleanup did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Blobs whose data was deleted.
    pub deleted: u64,
    /// Blobs whose data could not be deleted; the next run tries again.
    pub failed: u64,
    /// Blobs that were listed as deletable and are in use.
    pub in_use: u64,
}

/// Deletes the blobs of removed versions, whose grace time is over (`no_grace`: all of them).
///
/// # Errors
/// Another cleanup runs; the database or the store fails. Killed at any moment, it has deleted nothing that
/// is in use, and the next run goes on.
pub fn fast(site: &mut Site<'_>, no_grace: bool) -> Result<Cleaned> {
    let _lock = site.locks.cleanup()?;
    let store = site.open_store()?;
    store.check()?;
    let mut cleaned = Cleaned::default();
    // The messages are those of release 2.13: scripts look for them.
    site.monitor.info("Deleting false positives...");
    let before = before(no_grace);
    let (mut after, mut limit) = (i64::MIN, BATCH);
    loop {
        site.monitor.check()?;
        let batch = site.meta.take_delete_candidates(after, before, limit)?;
        limit = MOST_CANDIDATES.min(2 * limit);
        failpoint::pass("cleanup-doomed");
        cleaned.in_use += batch.in_use;
        match batch.next {
            Some(next) => after = next,
            None => break,
        }
    }
    site.monitor.info("Deleting false positives: done. Now deleting blocks.");
    // Those of an earlier run that was killed are among them.
    let found = pages(site, |_, uids| Ok(uids.len() as u64))?;
    site.monitor.info(&format!("{found} delete candidate blocks found."));
    let mut left = found;
    pages(site, |site, uids| {
        left = left.saturating_sub(uids.len() as u64);
        delete(site, &*store, uids, left, &mut cleaned)?;
        Ok(0)
    })?;
    Ok(cleaned)
}

/// What a fast cleanup would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Blobs that would be deleted, and their plain bytes.
    pub deletable: Count,
    /// Blobs that are listed and in use.
    pub in_use: u64,
    /// Blobs that would be left for now: their hour is not over.
    pub waiting: u64,
}

/// Looks at what [`fast`] would do, calls `visit` with each blob that it would delete, and changes nothing.
///
/// # Errors
/// The database fails, or `visit` does.
pub fn preview(
    site: &mut Site<'_>,
    no_grace: bool,
    mut visit: impl FnMut(&str) -> Result<()>,
) -> Result<Preview> {
    let mut preview = Preview::default();
    let before = before(no_grace);
    let mut after = String::new();
    loop {
        site.monitor.check()?;
        let entries = site.meta.deletable(&after, before, BATCH)?;
        let Some(last) = entries.last() else { return Ok(preview) };
        after.clone_from(&last.uid);
        for entry in &entries {
            match entry.fate {
                Fate::Goes => {
                    preview.deletable += Count { blocks: 1, bytes: entry.size };
                    visit(&entry.uid)?;
                }
                Fate::InUse => preview.in_use += 1,
                Fate::Waits => preview.waiting += 1,
            }
        }
    }
}

/// The time up to which entries are taken.
fn before(no_grace: bool) -> i64 {
    if no_grace { i64::MAX } else { Timestamp::now().unix() - GRACE }
}

/// Lists the store, calls `visit` with each blob that [`full`] would delete, and changes nothing. Returns their number.
/// Needs exclusive use as well: what a backup has just stored is named by nothing yet.
///
/// # Errors
/// Other processes run; the database or the store fails, or `visit` does.
pub fn preview_full(
    site: &mut Site<'_>,
    prefix: &str,
    mut visit: impl FnMut(&str) -> Result<()>,
) -> Result<u64> {
    let _fast = site.locks.cleanup()?;
    let _exclusive = site.locks.exclusive(&site.config.process_name)?;
    let store = site.open_store()?;
    store.check()?;
    let mut found = 0;
    let (meta, monitor) = (&mut site.meta, site.monitor);
    in_batches(&*store, prefix, |batch| {
        monitor.check()?;
        let unused = meta.unnamed(batch)?;
        found += unused.len() as u64;
        unused.iter().try_for_each(|uid| visit(uid))
    })?;
    Ok(found)
}

/// Lists the store and hands the names over, some at a time.
fn in_batches(
    store: &dyn BlobStore,
    prefix: &str,
    mut visit: impl FnMut(&[String]) -> Result<()>,
) -> Result<()> {
    let mut batch = Vec::new();
    store.list(prefix, &mut |uid| {
        batch.push(uid.to_owned());
        if batch.len() < BATCH {
            return Ok(());
        }
        visit(&batch)?;
        batch.clear();
        Ok(())
    })?;
    visit(&batch)
}

/// Calls `visit` with the doomed blobs, some at a time, and adds up what it returns.
fn pages<'s>(
    site: &mut Site<'s>,
    mut visit: impl FnMut(&mut Site<'s>, &[String]) -> Result<u64>,
) -> Result<u64> {
    let mut sum = 0;
    let mut after = String::new();
    loop {
        site.monitor.check()?;
        let uids = site.meta.doomed(&after, BATCH)?;
        let Some(last) = uids.last() else { return Ok(sum) };
        after.clone_from(last);
        sum += visit(site, &uids)?;
    }
}

/// Deletes the data of doomed blobs, then their entries. `left` more wait.
fn delete(
    site: &mut Site<'_>,
    store: &dyn BlobStore,
    uids: &[String],
    left: u64,
    cleaned: &mut Cleaned,
) -> Result<()> {
    site.monitor.info(&format!("Deleting {} blocks", uids.len()));
    let started = Instant::now();
    let failed = store.delete(uids);
    let took = started.elapsed();
    failpoint::pass("cleanup-deleted");
    tell(site.monitor, &failed, "The next cleanup tries again.");
    if failed.len() == uids.len() {
        // Where nothing can be deleted nothing else needs to be tried.
        store.check()?;
    }
    let gone: Vec<String> =
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

/// Tells of blobs that could not be deleted, but not of a thousand with the same reason.
fn tell(monitor: &dyn Monitor, failed: &[(String, Error)], what_next: &str) {
    let told = failed.iter().filter(|(_, error)| !matches!(error, Error::Interrupted(_)));
    for (_, error) in told.clone().take(MOST_TOLD) {
        monitor.warning(&format!("{error}. {what_next}"));
    }
    match told.count().saturating_sub(MOST_TOLD) {
        0 => {}
        more => monitor.warning(&format!("{more} more blobs could not be deleted. {what_next}")),
    }
}

/// Lists the store and deletes every blob that begins with `prefix` and that no row names. Needs exclusive
/// use. Names that are no uids stay.
///
/// # Errors
/// Other processes run; the database or the store fails.
pub fn full(site: &mut Site<'_>, prefix: &str) -> Result<Cleaned> {
    let _fast = site.locks.cleanup()?;
    let _exclusive = site.locks.exclusive(&site.config.process_name)?;
    let store = site.open_store()?;
    store.check()?;
    // Rows first, data second: killed in between, the data is found again by the next full cleanup.
    site.meta.drop_unnamed_blobs()?;
    let mut cleaned = Cleaned::default();
    let (meta, monitor) = (&mut site.meta, site.monitor);
    in_batches(&*store, prefix, |batch| {
        monitor.check()?;
        let unused = meta.without_row(batch)?;
        let failed = store.delete(&unused);
        tell(monitor, &failed, "The next full cleanup tries again.");
        if !failed.is_empty() && failed.len() == unused.len() {
            store.check()?;
        }
        cleaned.deleted += (unused.len() - failed.len()) as u64;
        cleaned.failed += failed.len() as u64;
        Ok(())
    })?;
    Ok(cleaned)
}
