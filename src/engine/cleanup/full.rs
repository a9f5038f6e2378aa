//! The cleanup that compares all of the store with the database.

use super::{BATCH, Cleaned, tell};
use crate::engine::Site;
use crate::store::BlobStore;
use crate::types::error::Result;
use crate::types::uid::BlobUid;

/// So many names of blobs that go are kept in memory; of more, the store is listed twice.
const KEPT: usize = 100_000;

/// Lists the store and deletes every blob that begins with `prefix` and that no row names. Says before how many these
/// are. Needs exclusive use. Names that are no uids stay.
///
/// # Errors
/// Other processes run; the database or the store fails.
pub fn full(site: &mut Site<'_>, prefix: &str) -> Result<Cleaned> {
    let _fast = site.locks.cleanup()?;
    let _exclusive = site.locks.exclusive(&site.config.process_name)?;
    let store = site.open_store()?;
    store.check()?;
    // Nothing is named from here on that is not now: nobody else is at work.
    let mut names = Vec::new();
    let found = unnamed(site, &*store, prefix, |uid| {
        if names.len() <= KEPT {
            names.push(uid.clone());
        }
        Ok(())
    })?;
    site.monitor
        .info(&format!("Cleanup: {found} blobs in the store are named by no version and are deleted now."));
    // Rows first, data second: killed in between, the data is found again by the next full cleanup.
    site.meta.drop_unnamed_blobs()?;
    let mut cleaned = Cleaned::default();
    match names.len() > KEPT {
        false => names.chunks(BATCH).try_for_each(|batch| delete(site, &*store, batch, &mut cleaned))?,
        true => in_batches(&*store, prefix, |batch| delete(site, &*store, batch, &mut cleaned))?,
    }
    Ok(cleaned)
}

/// Deletes those of a batch that have no row.
fn delete(
    site: &mut Site<'_>,
    store: &dyn BlobStore,
    batch: &[BlobUid],
    cleaned: &mut Cleaned,
) -> Result<()> {
    site.monitor.check()?;
    let unused = site.meta.without_row(batch)?;
    let failed = store.delete(&unused);
    tell(site.monitor, &failed, "The next full cleanup tries again.");
    if !failed.is_empty() && failed.len() == unused.len() {
        store.check()?;
    }
    cleaned.deleted += (unused.len() - failed.len()) as u64;
    cleaned.failed += failed.len() as u64;
    Ok(())
}

/// Lists the store, calls `visit` with each blob that [`full`] would delete, and changes nothing. Returns their number.
/// Needs exclusive use as well: what a backup has just stored is named by nothing yet.
///
/// # Errors
/// Other processes run; the database or the store fails, or `visit` does.
pub fn preview_full(
    site: &mut Site<'_>,
    prefix: &str,
    visit: impl FnMut(&BlobUid) -> Result<()>,
) -> Result<u64> {
    let _fast = site.locks.cleanup()?;
    let _exclusive = site.locks.exclusive(&site.config.process_name)?;
    let store = site.open_store()?;
    store.check()?;
    unnamed(site, &*store, prefix, visit)
}

/// Calls `visit` with each blob of the store that no version names. Returns their number.
fn unnamed(
    site: &mut Site<'_>,
    store: &dyn BlobStore,
    prefix: &str,
    mut visit: impl FnMut(&BlobUid) -> Result<()>,
) -> Result<u64> {
    let mut found = 0;
    in_batches(store, prefix, |batch| {
        site.monitor.check()?;
        let unused = site.meta.unnamed(batch)?;
        found += unused.len() as u64;
        unused.iter().try_for_each(&mut visit)
    })?;
    Ok(found)
}

/// Lists the store and hands the names over, some at a time.
fn in_batches(
    store: &dyn BlobStore,
    prefix: &str,
    mut visit: impl FnMut(&[BlobUid]) -> Result<()>,
) -> Result<()> {
    let mut batch = Vec::new();
    store.list(prefix, &mut |uid| {
        batch.push(uid.clone());
        if batch.len() < BATCH {
            return Ok(());
        }
        visit(&batch)?;
        batch.clear();
        Ok(())
    })?;
    visit(&batch)
}
