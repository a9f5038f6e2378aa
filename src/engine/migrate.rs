//! Copies a version and re-encodes its data with the configured encryption version.

use super::backup::{self, Made, Naming};
use super::row_check::{Completeness, RowCheck};
use super::site::Key;
use super::{Site, Use, site};
use crate::flow::version_source::VersionSource;
use crate::types::error::{Error, Result};

/// Makes a new version with the data of `version`, using only blobs of the configured encryption version. It reuses
/// such blobs if they exist. The old version does not change.
///
/// # Errors
/// There is no such version, or it is invalid; the key is wrong; a blob is bad. A new version that was begun stays
/// invalid.
pub(crate) fn run(site: &mut Site<'_>, version: &str) -> Result<Made> {
    let (old, _pin) = site.pin(version)?;
    if !old.valid || !site.meta.missing(&old)?.is_empty() {
        return Err(Error::refused(format!(
            "Version {} is invalid: damaged data cannot be migrated. Scrub the version, or restore its good \
             data.",
            old.uid
        )));
    }
    let store = site.open_store(Use::Write)?;
    site.probe(&*store, Some(&old), Key::Needed)?;
    let mut rows = RowCheck::new(site, &*store, &old)?;
    rows.add_before(site, &old, u64::MAX)?;
    if !rows.conclude(site, Completeness::Complete) {
        return Err(Error::refused(format!(
            "Version {} is not migrated, because its rows in the database are wrong. Nothing was changed.",
            old.uid
        )));
    }
    let config = site.config;
    let second = site.reader()?;
    let keys = site.keys.clone();
    let mut fetch = site::fetch(config, &*store, &keys, site.hasher);
    fetch.plain = rows.plain();
    let source = VersionSource::new(old.clone(), config.block_size, second, &fetch);
    let mut tags = old.tags.clone();
    tags.push(format!("migrated-encryption-to-{}", config.encryption_version));
    // Keep the origin, so that the copy can be the base of a backup like the old version.
    let origin = site.meta.origin(&old)?;
    let (name, snapshot_name) = (&*old.name, &*old.snapshot_name);
    backup::copy(site, &*store, &source, Naming { name, snapshot_name, tags, expire: old.expire, origin })
}
