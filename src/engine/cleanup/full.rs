//! The full cleanup, which compares the whole store with the database.

use super::{BATCH, Cleaned, tell};
use crate::engine::copies::{Copies, Unknown};
use crate::engine::{Site, Use};
use crate::store::BlobStore;
use crate::types::error::{Error, Result};
use crate::types::reason::Reason;
use crate::types::remedy::Remedy;
use crate::types::uid::BlobUid;

/// Number of names of deletable blobs kept in memory. If there are more, the store is listed twice.
const KEPT: usize = 100_000;

/// Number of blobs up to which a full cleanup deletes any part of a store.
const FEW: u64 = 8;

/// Deletes every blob in the store whose name begins with `prefix` and that no row names. Reports their number first.
/// Needs exclusive use. Files whose names are not blob uids stay.
///
/// # Errors
/// Other processes are running, or the database or the store fails. [`Error::Refused`]: more than half of the blobs would
/// go, and the caller has not said `even_most`.
pub fn full(site: &mut Site<'_>, prefix: &str, even_most: bool) -> Result<Cleaned> {
    let _fast = site.locks.cleanup()?;
    let _exclusive = site.locks.exclusive(&site.config.process_name)?;
    let store = site.open_store(Use::Delete)?;
    let copies = Copies::open(site, &*store)?;
    let unknown = Unknown::find(site, &*store)?;
    if !unknown.is_empty() && !even_most {
        return Err(not_ours(&store.location(), &unknown));
    }
    // The process is alone, so no blob can come into use from here on.
    let mut names = Vec::new();
    let Found { unnamed: found, all } = unnamed(site, &*store, prefix, |uid| {
        if names.len() <= KEPT {
            names.push(uid.clone());
        }
        Ok(())
    })?;
    if all > FEW && found > all / 2 && !even_most {
        return Err(too_many(&store.location(), prefix, found, all));
    }
    site.monitor
        .info(&format!("Cleanup: {found} blobs in the store are named by no version and are deleted now."));
    unknown.delete(&*store)?;
    if let Some(copies) = &copies {
        copies.before_cleanup(site)?;
    }
    // Rows first, then data: after a crash in between, the next full cleanup finds the data again.
    site.meta.drop_unnamed_blobs()?;
    let mut cleaned = Cleaned::default();
    if names.len() > KEPT {
        in_batches(&*store, prefix, |batch| delete(site, &*store, batch, &mut cleaned))?
    } else {
        names.chunks(BATCH).try_for_each(|batch| delete(site, &*store, batch, &mut cleaned))?
    }
    if let Some(copies) = &copies {
        copies.tidy(site)?;
    }
    Ok(cleaned)
}

fn not_ours(store: &str, unknown: &Unknown) -> Error {
    Error::Refused(
        Reason::from(format!(
            "The data store {store} has copies of metadata that this database does not know: of {} versions, and {} lists \
             of blobs. Nothing was deleted.",
            unknown.versions.len(),
            unknown.lists.len()
        ))
        .advise("Is this an old copy of the database, or the database of another installation?")
        .remedy(Remedy::DeleteMost),
    )
}

fn too_many(store: &str, prefix: &str, found: u64, all: u64) -> Error {
    let which = if prefix.is_empty() { String::new() } else { format!(" whose names begin with {prefix}") };
    Error::Refused(
        Reason::from(format!(
            "No version names {found} of the {all} blobs{which} in the data store {store}: that is more than half of \
             them. Nothing was deleted."
        ))
        .advise("Is this an old copy of the database, or the database of another installation?")
        .remedy(Remedy::DeleteMost),
    )
}

/// Deletes the blobs of a batch that have no row.
fn delete(
    site: &mut Site<'_>,
    store: &dyn BlobStore,
    batch: &[BlobUid],
    cleaned: &mut Cleaned,
) -> Result<()> {
    site.monitor.check()?;
    let unused = site.meta.without_row(batch)?;
    let failed = store.delete(&unused);
    tell(site.monitor, store, unused.len(), &failed, "The next full cleanup tries again.")?;
    cleaned.deleted += (unused.len() - failed.len()) as u64;
    cleaned.failed += failed.len() as u64;
    Ok(())
}

/// Calls `visit` with each blob that [`full`] would delete, and changes nothing. Returns their number. Needs
/// exclusive use too, because no row names a blob that a backup has just stored.
///
/// # Errors
/// Other processes are running, or the database, the store or `visit` fails.
pub fn preview_full(
    site: &mut Site<'_>,
    prefix: &str,
    visit: impl FnMut(&BlobUid) -> Result<()>,
) -> Result<u64> {
    let _fast = site.locks.cleanup()?;
    let _exclusive = site.locks.exclusive(&site.config.process_name)?;
    let store = site.open_store(Use::Read)?;
    Ok(unnamed(site, &*store, prefix, visit)?.unnamed)
}

/// Numbers of blobs.
#[derive(Default)]
struct Found {
    /// Those that no version names.
    unnamed: u64,
    /// All that were listed.
    all: u64,
}

/// Calls `visit` with each blob in the store that no version names. Returns their number.
fn unnamed(
    site: &mut Site<'_>,
    store: &dyn BlobStore,
    prefix: &str,
    mut visit: impl FnMut(&BlobUid) -> Result<()>,
) -> Result<Found> {
    let mut found = Found::default();
    in_batches(store, prefix, |batch| {
        site.monitor.check()?;
        let unused = site.meta.unnamed(batch)?;
        found.unnamed += unused.len() as u64;
        found.all += batch.len() as u64;
        unused.iter().try_for_each(&mut visit)
    })?;
    Ok(found)
}

/// Lists the store and passes the names on in batches.
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
