//! Deleting the data that no version needs any more.

use super::Site;
use crate::failpoint;
use crate::store::BlobStore;
use crate::types::error::{Error, Result};
use crate::types::time::Timestamp;

/// Blobs of removed versions stay for so long, in seconds: a backup that found one as known before the `rm`
/// has committed its row by then.
const GRACE: i64 = 3600;
/// Entries looked at in one transaction, and names asked for at once.
const BATCH: usize = 1000;

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
    let unfinished = site.meta.doomed()?;
    for uids in unfinished.chunks(BATCH) {
        delete(site, &*store, uids, &mut cleaned)?;
    }
    let before = if no_grace { i64::MAX } else { Timestamp::now().unix() - GRACE };
    let mut after = i64::MIN;
    loop {
        site.monitor.check()?;
        let batch = site.meta.take_delete_candidates(after, before, BATCH)?;
        failpoint::pass("cleanup-doomed");
        cleaned.in_use += batch.in_use;
        delete(site, &*store, &batch.doomed, &mut cleaned)?;
        match batch.next {
            Some(next) => after = next,
            None => return Ok(cleaned),
        }
    }
}

/// Deletes the data of doomed blobs, then their entries.
fn delete(site: &mut Site<'_>, store: &dyn BlobStore, uids: &[String], cleaned: &mut Cleaned) -> Result<()> {
    if uids.is_empty() {
        return Ok(());
    }
    site.monitor.info(&format!("Deleting {} blocks", uids.len()));
    let failed = store.delete(uids);
    failpoint::pass("cleanup-deleted");
    for (_, error) in &failed {
        site.monitor.warning(&format!("{error}. The next cleanup tries again."));
    }
    let gone: Vec<String> =
        uids.iter().filter(|uid| !failed.iter().any(|(other, _)| other == *uid)).cloned().collect();
    cleaned.deleted += gone.len() as u64;
    cleaned.failed += failed.len() as u64;
    site.meta.forget_deleted(&gone)
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
    let mut batch = Vec::new();
    let (meta, monitor) = (&mut site.meta, site.monitor);
    let mut flush = |batch: &mut Vec<String>| -> Result<()> {
        monitor.check()?;
        let unused = meta.without_row(batch)?;
        batch.clear();
        let failed = store.delete(&unused);
        for (_, error) in &failed {
            monitor.warning(&format!("{error}. The next full cleanup tries again."));
        }
        cleaned.deleted += (unused.len() - failed.len()) as u64;
        cleaned.failed += failed.len() as u64;
        Ok::<(), Error>(())
    };
    store.list(prefix, &mut |uid| {
        batch.push(uid.to_owned());
        if batch.len() >= BATCH { flush(&mut batch) } else { Ok(()) }
    })?;
    flush(&mut batch)?;
    Ok(cleaned)
}
