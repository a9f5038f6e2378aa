//! The settings that must be those with which the blobs were written: block size, master key and hash function.

use super::Check;
use super::finding::Finding;
use crate::config::StoreConfig;
use crate::engine::site;
use crate::flow::probe;
use crate::types::error::Result;

/// Compares the configured block size with the newest version.
pub(super) fn block_size(check: &mut Check<'_, '_>) -> Result<Finding> {
    let configured = check.config.block_size;
    probe::block_size(&mut check.site()?.meta, configured, None)?;
    check.fits.block_size = true;
    Ok(Finding::good(format!("{configured} bytes, as in the newest version")))
}

/// Tries the master key on a sample of the blobs.
pub(super) fn master_key(check: &mut Check<'_, '_>) -> Result<Finding> {
    let encrypts = check.config.encryption_version != 0;
    let has_key = check.config.encryption_key.is_some();
    let site = check.site()?;
    probe::key(&mut site.meta, &site.keys, None)?;
    let any = !site.meta.sample(None, Some(1), 1)?.is_empty();
    check.fits.key = true;
    Ok(match (any, has_key) {
        (true, _) => Finding::good("it opens the keys of the stored blobs"),
        (false, true) => Finding::good("it is set, and no blob is encrypted yet"),
        (false, false) if encrypts => Finding::wrong(
            "encryption_key is not set, and encryption_version 1 needs it: a backup would fail",
        )
        .advise("Set it in [DEFAULTS] to 64 random hex digits, and keep a copy elsewhere"),
        (false, false) => Finding::good("none is set, and no blob is encrypted"),
    })
}

/// Reads a few blobs and compares their checksums.
pub(super) fn hash_function(check: &mut Check<'_, '_>) -> Result<Finding> {
    let config = check.config;
    let function = config.hash_function;
    if let StoreConfig::Null = config.data.store {
        return Ok(Finding::not_checked("a store of type null has no data"));
    }
    if !check.fits.key {
        return Ok(Finding::not_checked("the blobs cannot be read without their key (see above)"));
    }
    let (site, store) = check.both()?;
    let fetch = site::fetch(config, store, &site.keys, site.hasher);
    let probed = probe::hash_function(&mut site.meta, &fetch);
    fetch.tell_doubts(site.monitor);
    probed?;
    check.fits.hash_function = true;
    Ok(Finding::good(format!("{function} agrees with a sample of the blobs")))
}
