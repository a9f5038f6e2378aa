//! Making a version anew in the configured encryption version.

use super::backup::{self, Made, Naming};
use super::{Site, site};
use crate::flow::version_source::VersionSource;
use crate::types::error::{Error, Result};
use crate::types::hints::count;

/// Makes a new version with the data of `version`, whose blobs all have the configured encryption version.
/// Blobs of that version which exist already are used again. The old version stays as it is.
///
/// # Errors
/// There is no such version, or it is invalid; a wrong key; a bad blob. A version that was begun stays invalid.
pub fn run(site: &mut Site<'_>, version: &str) -> Result<Made> {
    let (old, _pin) = site.pin(version)?;
    if !old.valid || count(&site.meta.missing(&old)?) > 0 {
        return Err(Error::refused(format!(
            "Version {} is invalid: damaged data cannot be migrated. Scrub the version, or restore its good \
             data.",
            old.uid
        )));
    }
    let store = site.open_store()?;
    store.check()?;
    site.probe(&*store, Some(&old), true)?;
    let config = site.config;
    let second = site.reader()?;
    let keys = site.keys.clone();
    let fetch = site::fetch(config, &*store, &keys, site.hasher);
    let source = VersionSource::new(old.clone(), config.block_size, second, &fetch);
    let mut tags = old.tags.clone();
    tags.push(format!("migrated-encryption-to-{}", config.encryption_version));
    // The copy can be the base of a backup as the old version could.
    let origin = site.meta.origin(&old)?;
    let (name, snapshot_name) = (&*old.name, &*old.snapshot_name);
    backup::copy(site, &*store, &source, Naming { name, snapshot_name, tags, expire: old.expire, origin })
}
